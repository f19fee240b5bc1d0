"""Calls of helpers: may the program call them, with these arguments, and what follows.

The order is the kernel's: availability, arguments one by one, release of what the call takes over,
effects of the particular helper, then the result in r0.

Source: Linux 6.18 kernel/bpf/verifier.c (check_helper_call).
"""

from typing import Final

from skep.btf.core_patch import POISON_HELPER
from skep.uapi import attach_targets, struct_ops
from skep.uapi.flags import AttachType, ProgType
from skep.uapi.helper_rows_core import SPIN_UNLOCK, TAIL_CALL
from skep.uapi.helper_rows_network import SK_STORAGE_DELETE, SK_STORAGE_GET
from skep.uapi.helper_rows_tracing import D_PATH, IMA_FILE_HASH, IMA_INODE_HASH
from skep.uapi.helper_types import Helper
from skep.uapi.program_types import PROGRAM_TYPES, may_call
from skep.verifier.check import Check
from skep.verifier.events import StackFilled
from skep.verifier.helper_prototypes import PROTOTYPES, Prototype, prototype_of
from skep.verifier.program import Step
from skep.verifier.rules.calls import (
    CALL_MAY_SLEEP,
    HELPER_AVAILABLE,
    HELPER_GPL,
    HELPER_KNOWN,
    TAIL_CALL_IN_CALLBACK,
)
from skep.verifier.rules.resources import CALL_UNDER_LOCK
from skep.verifier.scalar import UNKNOWN
from skep.verifier.state import SLOT_SIZE
from skep.verifier.target import LSM_PREFIX
from skep.verifier.transfer.accesses import write_memory
from skep.verifier.transfer.arguments import check_argument
from skep.verifier.transfer.call import Call
from skep.verifier.transfer.context import target_of
from skep.verifier.transfer.effects import apply_effects
from skep.verifier.transfer.kernel_objects import in_sleepable, is_gpl
from skep.verifier.transfer.maps import note_map, require_map_fits
from skep.verifier.transfer.packets import forget_packet
from skep.verifier.transfer.releases import release_argument
from skep.verifier.transfer.results import result
from skep.verifier.transfer.stack import ANYTHING
from skep.verifier.transfer.subprograms import clear_caller_saved, return_to_caller
from skep.verifier.values import STACK, Pointer, Value

# helpers of tracing programs that ask what they are attached to
UNRESOLVED: Final = (
    "a CO-RE relocation found no match in the kernel's BTF: ask bpf_core_field_exists(), "
    "bpf_core_type_exists() or bpf_core_enum_value_exists() before the access"
)
_STORAGE: Final = frozenset((SK_STORAGE_GET.id, SK_STORAGE_DELETE.id))
_IN_SLEEPABLE_HOOKS: Final = frozenset((D_PATH.id, IMA_FILE_HASH.id, IMA_INODE_HASH.id))


_TAIL_CALL: Final = TAIL_CALL.id


def call_helper(check: Check, step: Step) -> None:
    """Examine a call of a helper."""
    if check.state.active_locks and step.imm != SPIN_UNLOCK.id:
        check.refuse(CALL_UNDER_LOCK, "function calls are not allowed while holding a lock")
    prototype = _require_helper(check, step.imm)
    helper = prototype.helper
    call = Call(prototype)
    for number, parameter in enumerate(call.parameters):
        check_argument(check, call, parameter, number + 1)
    note_map(check, call)
    _overwrite(check, call)
    release_argument(check, call)
    apply_effects(check, step, call)
    check.frame = check.state.own(len(check.state.frames) - 1)
    clear_caller_saved(check.frame)
    check.frame.regs[0] = result(check, call)
    require_map_fits(check, call)
    if call.id not in check.implemented:
        if not check.environment.helper_implemented(call.id):
            check.not_supported(f"helper bpf_{helper.name}#{call.id}")
        check.implemented.add(call.id)
    if call.changes_packet:
        forget_packet(check.state, check.privileged, UNKNOWN)
        check.frame = check.state.own(len(check.state.frames) - 1)
    if call.id == _TAIL_CALL and len(check.state.frames) > 1:
        _return_from_other_program(check, step)


def _return_from_other_program(check: Check, step: Step) -> None:
    """A tail call that succeeds ends the subprogram with whatever the other program returns."""
    if check.frame.in_callback:
        check.refuse(TAIL_CALL_IN_CALLBACK, "cannot tail call within callback")
    check.push_branch(step.next_pc)
    forget_packet(check.state, check.privileged, UNKNOWN)
    check.frame = check.state.own(len(check.state.frames) - 1)
    check.frame.regs[0] = UNKNOWN
    return_to_caller(check, step)


def _require_helper(check: Check, number: int) -> Prototype:
    known = check.helpers.get(number)
    if known is None:
        known = _available(check, number)
        check.helpers[number] = known
    if known.might_sleep:
        _require_may_sleep(check, known.helper)
    return known


def _available(check: Check, number: int) -> Prototype:
    program_type = check.request.program_type
    helper = prototype_of(number, program_type.id)
    if helper is None:
        hint = UNRESOLVED if number == POISON_HELPER else ""
        check.refuse(HELPER_KNOWN, f"invalid func unknown#{number}", hint=hint)
    target = target_of(check).name if _has_target(check) else ""
    allowed = may_call(program_type, number, check.attach_type, target)
    if not allowed or not _structure_allows(check, number):
        check.refuse(
            HELPER_AVAILABLE,
            f"program of this type cannot use helper bpf_{PROTOTYPES[number].helper.name}#{number}",
            found=f"program type {program_type.name}",
            hint=_types_of(number),
        )
    if helper.gpl and not is_gpl(check):
        check.refuse(
            HELPER_GPL, "cannot call GPL-restricted function from non-GPL compatible program"
        )
    if not _allowed_here(check, number, target):
        check.refuse(HELPER_AVAILABLE, "helper call is not allowed in probe")
    return helper


def _allowed_here(check: Check, number: int, target: str) -> bool:
    """Whether a helper that not every probe may call may be called from this one."""
    program_type = check.request.program_type.id
    attach_type = check.request.expected_attach_type
    if number not in _STORAGE and number not in _IN_SLEEPABLE_HOOKS:
        return True
    if program_type == ProgType.SYSCALL:
        return False
    if program_type == ProgType.LSM:
        hook = target.removeprefix(LSM_PREFIX)
        return number in _STORAGE or hook in attach_targets.SLEEPABLE_LSM_HOOKS
    if program_type != ProgType.TRACING or attach_type == AttachType.TRACE_ITER:
        return True
    if number == D_PATH.id:
        return target in attach_targets.WITH_PATHS
    if attach_type == AttachType.TRACE_RAW_TP:
        return True
    traced = attach_type in (AttachType.TRACE_FENTRY, AttachType.TRACE_FEXIT)
    return traced and not target.startswith(attach_targets.STORAGE_PREFIX)


def _types_of(helper: int) -> str:
    names = [row.name for row in PROGRAM_TYPES if may_call(row, helper) and row.name != "ext"]
    return f"programs of these types may: {', '.join(names)}" if names else ""


def _structure_allows(check: Check, number: int) -> bool:
    """Whether the structure that a struct_ops program belongs to has the helper."""
    target = check.target
    if target is None or target.structure is None:
        return True
    return struct_ops.may_call(target.structure, target.name, number)


def _has_target(check: Check) -> bool:
    request = check.request
    return request.program_type.typed and request.attach_btf_id != 0


def _require_may_sleep(check: Check, helper: Helper) -> None:
    if not in_sleepable(check):
        check.refuse(CALL_MAY_SLEEP, "helper call might sleep in a non-sleepable prog")
    state = check.state
    for held, where in (
        (state.active_rcu_lock, "rcu_read_lock region"),
        (state.active_preempt_locks, "non-preemptible region"),
        (state.active_irq_id, "IRQ-disabled region"),
        (state.active_locks, "lock region"),
    ):
        if held:
            check.refuse(
                CALL_MAY_SLEEP, f"sleepable helper bpf_{helper.name}#{helper.id} in {where}"
            )


def _overwrite(check: Check, call: Call) -> None:
    """Forget the stack bytes that the helper fills."""
    if call.raw_register < 0:
        return
    target = check.frame.regs[call.raw_register]
    if check.journal is not None and check.request.log_level and isinstance(target, Pointer):
        low = target.off + int(target.var.smin)
        if target.kind == STACK:
            check.journal.append(StackFilled(low, low + call.raw_size))
    off = 0
    while off < call.raw_size:
        size = _size_at(check, check.frame.regs[call.raw_register], off, call.raw_size - off)
        write_memory(check, call.raw_register, off, size, ANYTHING)
        off += size


def _size_at(check: Check, value: Value | None, off: int, left: int) -> int:
    """How many bytes to forget at once: a slot of the stack, else one, as Linux does."""
    if left < SLOT_SIZE or not check.privileged:
        return 1
    if not isinstance(value, Pointer) or value.kind != STACK or not value.var.is_const:
        return 1
    return 1 if (value.off + int(value.var.smin) + off) % SLOT_SIZE else SLOT_SIZE
