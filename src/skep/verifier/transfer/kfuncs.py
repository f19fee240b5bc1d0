"""Calls of kernel functions: may the program call them, and with these arguments.

Source: Linux 6.18 kernel/bpf/verifier.c (check_kfunc_call, check_kfunc_args).
"""

import errno
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.uapi import kfuncs as table
from skep.verifier import walk
from skep.verifier.check import Check
from skep.verifier.interface import CallFact
from skep.verifier.program import Step
from skep.verifier.rules.calls import KFUNC_ARGUMENT, KFUNC_AVAILABLE, KFUNC_GPL, KFUNC_KNOWN
from skep.verifier.rules.resources import CALL_UNDER_LOCK
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.transfer.arguments import require_argument_offset
from skep.verifier.transfer.kernel_objects import is_gpl
from skep.verifier.transfer.nulls import is_trusted
from skep.verifier.transfer.subprograms import clear_caller_saved
from skep.verifier.values import BTF_ID, MAYBE_NULL, Pointer

_MAX_ARGUMENTS: Final = 5


def call_kfunc(check: Check, step: Step) -> None:
    """Examine a call of a kernel function."""
    if step.imm == 0:
        return  # refused at the end if a path gets here, see skep.verifier.passes
    kernel = require_function(check, step)
    name = kernel.type(step.imm).name
    _require_callable(check, name)
    proto = kernel.func_proto(step.imm)
    if len(proto.params) > _MAX_ARGUMENTS or proto.variadic:
        check.not_supported(f"kernel function {name}()")
    for number, param in enumerate(proto.params):
        _require_argument(check, kernel, name, number, param.type)
    returned = kernel.resolved(proto.returns) if proto.returns else None
    if returned is not None and not isinstance(returned, (kinds.Int, kinds.Enumeration)):
        check.not_supported(f"the result of kernel function {name}()")
    check.calls[check.pc] = CallFact(kfunc=name)
    check.frame = check.state.own(len(check.state.frames) - 1)
    clear_caller_saved(check.frame)
    check.frame.regs[0] = UNKNOWN if returned is not None else None


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
    kernel = check.environment.kernel_btf
    if kernel is None or step.off != 0:
        check.not_supported("a function of a kernel module, or any without kernel BTF")
    if not kernel.has(step.imm) or not isinstance(kernel.type(step.imm), kinds.Func):
        check.refuse(KFUNC_KNOWN, f"kernel btf_id {step.imm} is not a function")
    return kernel


def _require_callable(check: Check, name: str) -> None:
    allowed = table.may_call(name, check.request.program_type.id)
    if allowed is None:
        check.not_supported(f"kernel function {name}()")
    if check.state.active_locks:
        check.refuse(CALL_UNDER_LOCK, "function calls are not allowed while holding a lock")
    if not allowed:
        check.refuse(KFUNC_AVAILABLE, f"calling kernel function {name} is not allowed")


def _require_argument(check: Check, kernel: Btf, name: str, number: int, declared: int) -> None:
    register = number + 1
    value = check.frame.regs[register]
    type_ = kernel.resolved(declared)
    if isinstance(type_, (kinds.Int, kinds.Enumeration)):
        if not isinstance(value, Scalar):
            check.refuse(KFUNC_ARGUMENT, f"R{register} is not a scalar")
        return
    target = kernel.resolve(type_.type) if isinstance(type_, kinds.Ptr) else 0
    if not target or not isinstance(kernel.type(target), kinds.Struct):
        check.not_supported(f"argument {register} of kernel function {name}()")
    _require_object(check, kernel, name, number, target)


def _require_object(check: Check, kernel: Btf, name: str, number: int, target: int) -> None:
    """Require a pointer to a live kernel object of struct *target*, or what begins with one."""
    register = number + 1
    value = check.frame.regs[register]
    wanted = kernel.type(target).name
    if not isinstance(value, Pointer) or value.kind != BTF_ID:
        check.refuse(
            KFUNC_ARGUMENT,
            f"arg#{number} pointer type STRUCT {wanted} must point to scalar, "
            "or struct with scalar",
        )
    if value.flags & MAYBE_NULL or not is_trusted(value):
        check.not_supported("an untrusted argument of a kernel function")
    require_argument_offset(check, register, value)
    btf = value.btf
    assert btf is not None
    if not walk.is_part_of(
        btf, value.btf_id, value.off, kernel, target, strict=False, flexible=True
    ):
        check.refuse(
            KFUNC_ARGUMENT,
            f"kernel function {name} args#{number} expected pointer to STRUCT {wanted} "
            f"but R{register} has a pointer to STRUCT {btf.type(value.btf_id).name}",
        )
