"""Calls of kernel functions: may the program call them, with these arguments, and what follows.

The order is the kernel's: availability, arguments one by one, callbacks, critical sections, what
the call takes over, then the result in r0.

Source: Linux 6.18 kernel/bpf/verifier.c (check_kfunc_call).
"""

import errno
from typing import Final

from skep.base.bits import S32_MAX, S32_MIN
from skep.btf import kinds
from skep.btf.graph import Btf
from skep.uapi import kfuncs as table
from skep.uapi.kfuncs import Kfunc
from skep.verifier.check import Check
from skep.verifier.interface import CallFact
from skep.verifier.program import Step
from skep.verifier.rules.calls import (
    CALL_MAY_SLEEP,
    KFUNC_AVAILABLE,
    KFUNC_GPL,
    KFUNC_KNOWN,
    KFUNC_TRAP,
)
from skep.verifier.rules.resources import CALL_UNDER_LOCK, RELEASED_IS_REFERENCE
from skep.verifier.scalar import UNKNOWN, Scalar, narrow_signed32
from skep.verifier.state import Frame
from skep.verifier.transfer.callbacks import TASK_WORK_FUNCTIONS, give_map_element
from skep.verifier.transfer.graphs import INSERTS, compare_in_callback, give_away
from skep.verifier.transfer.iterators import next_element
from skep.verifier.transfer.kernel_objects import in_sleepable, is_gpl
from skep.verifier.transfer.kfunc_arguments import check_arguments
from skep.verifier.transfer.kfunc_call import KfuncCall
from skep.verifier.transfer.kfunc_results import result
from skep.verifier.transfer.packets import forget_packet
from skep.verifier.transfer.resources import release
from skep.verifier.transfer.returns import require_nothing_held, require_return_value
from skep.verifier.transfer.sections import enter_and_leave
from skep.verifier.transfer.subprograms import call_back_later, clear_caller_saved
from skep.verifier.values import Pointer

MAX_ERRNO: Final = 4095
ALLOCATIONS: Final = frozenset(("bpf_obj_new_impl", "bpf_percpu_obj_new_impl"))


def call_kfunc(check: Check, step: Step) -> None:
    """Examine a call of a kernel function."""
    if step.imm == 0:
        return  # refused at the end if a path gets here, see skep.verifier.passes
    kernel = require_function(check, step)
    row = _require_row(check, kernel.type(step.imm).name)
    call = KfuncCall(row, kernel, step.imm)
    if row.name.startswith("bpf_res_spin_lock"):
        _fail_to_lock(check, step)
    check_arguments(check, call)
    _note_fact(check, call)
    _call_back(check, step, call)
    enter_and_leave(check, call)
    _hand_over(check, call)
    if row.name == "bpf_throw":
        _throw(check)
        return
    check.frame = check.state.own(len(check.state.frames) - 1)
    clear_caller_saved(check.frame)
    check.frame.regs[0] = result(check, call)
    if call.has(table.CHANGES_PACKET):
        forget_packet(check.state, check.privileged, UNKNOWN)
        check.frame = check.state.own(len(check.state.frames) - 1)
    if call.has(table.ITER_NEXT):
        next_element(check, step, call)


def _note_fact(check: Check, call: KfuncCall) -> None:
    """Remember what is called; an allocation's size is part of the code."""
    type_id = call.constant if call.name in ALLOCATIONS else 0
    known = check.calls.get(check.pc)
    if known is not None and known.type_id != type_id:
        check.not_supported(f"one call of {call.name}() for objects of several types")
    check.calls[check.pc] = CallFact(kfunc=call.name, type_id=type_id)


def require_function(check: Check, step: Step) -> Btf:
    """Require that the called function exists, even where no path leads; return its BTF."""
    check.pc = step.pc
    if not is_gpl(check):
        check.refuse(KFUNC_GPL, "cannot call kernel function from non-GPL compatible program")
    if step.off < 0:
        check.refuse(KFUNC_KNOWN, "negative offset disallowed for kernel function call")
    if step.off > 0 and check.request.fd_array is None:
        check.refuse(
            KFUNC_KNOWN, "kfunc offset > 0 without fd_array is invalid", errno=errno.EPROTO
        )
    kernel = check.kernel_btf
    if kernel is None or step.off != 0:
        check.not_supported("a function of a kernel module, or any without kernel BTF")
    if not kernel.has(step.imm) or not isinstance(kernel.type(step.imm), kinds.Func):
        check.refuse(KFUNC_KNOWN, f"kernel btf_id {step.imm} is not a function")
    if kernel.type(step.imm).name in table.OF_DEVICES:
        check.refuse(
            KFUNC_AVAILABLE,
            "metadata kfuncs require device-bound program",
            hint="prog_ifindex and XDP_DEV_BOUND_ONLY bind it, where a device can run it",
            errno=errno.EINVAL,
        )
    return kernel


def _require_row(check: Check, name: str) -> Kfunc:
    row = table.by_name(name)
    if row is None:
        check.not_supported(f"kernel function {name}()")
    if check.state.active_locks and not row.flags & table.IN_LOCK:
        check.refuse(CALL_UNDER_LOCK, "function calls are not allowed while holding a lock")
    if not table.may_call(row, check.request.program_type.id, check.attach_type):
        check.refuse(KFUNC_AVAILABLE, f"calling kernel function {name} is not allowed")
    if name == "__bpf_trap":
        check.refuse(KFUNC_TRAP, "unexpected __bpf_trap() due to uninitialized variable?")
    if row.flags & table.SLEEPABLE and not in_sleepable(check):
        check.refuse(
            CALL_MAY_SLEEP,
            f"program must be sleepable to call sleepable kfunc {name}",
            errno=errno.EACCES,
        )
    return row


def _fail_to_lock(check: Check, step: Step) -> None:
    """Queue the way on which the lock could not be taken: r0 is an errno."""
    state = check.push_branch(step.next_pc)
    frame = state.own(len(state.frames) - 1)
    clear_caller_saved(frame)
    frame.regs[0] = narrow_signed32(UNKNOWN, -MAX_ERRNO, -1)


def _call_back(check: Check, step: Step, call: KfuncCall) -> None:
    if call.name == "bpf_rbtree_add_impl":
        compare_in_callback(check, step, call)
    elif call.name == "bpf_wq_set_callback_impl":
        _run_later(check, step, call, (0, 0))
    elif call.name in TASK_WORK_FUNCTIONS:
        _run_later(check, step, call, (S32_MIN, S32_MAX))


def _run_later(check: Check, step: Step, call: KfuncCall, results: tuple[int, int]) -> None:
    """Queue the callback of a work queue or task work, which may sleep."""

    def prepare(caller: Frame, callee: Frame) -> None:
        del caller
        assert call.map is not None
        give_map_element(callee, call.map, call.map_uid)

    call_back_later(check, step, call.subprogram, prepare, sleepable=True, results=results)


def _hand_over(check: Check, call: KfuncCall) -> None:
    """Release what the function takes over; a collection keeps what is put into it."""
    register = call.release_register
    if register:
        value = check.frame.regs[register]
        reference = value.ref_id if isinstance(value, Pointer) else 0
        if not release(check, reference):
            check.refuse(
                RELEASED_IS_REFERENCE, f"kfunc {call.name} reference has not been acquired before"
            )
    if call.name in INSERTS:
        node = check.frame.regs[2]
        assert isinstance(node, Pointer)
        give_away(check, node.ref_id)


def _throw(check: Check) -> None:
    """End the program from wherever it is, with the cookie or what its callback makes of it."""
    cookie = check.frame.regs[1]
    assert isinstance(cookie, Scalar)
    if not check.program.exception_callback:
        require_return_value(check, 1)
    require_nothing_held(check, "bpf_throw", exceptional=True)
    check.path_ends = True
