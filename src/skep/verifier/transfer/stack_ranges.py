"""Ranges of the stack: within the frame, and initialised where a callee reads them.

Source: Linux 6.18 kernel/bpf/verifier.c (check_stack_access_within_bounds,
check_stack_range_initialized).
"""

import errno
from typing import Final

from skep.verifier.check import Check
from skep.verifier.events import StackRead
from skep.verifier.rules.memory import (
    STACK_CONSTANT_OFFSET,
    STACK_IN_FRAME,
    STACK_INITIALISED,
    STACK_OFFSET_BOUND,
)
from skep.verifier.rules.resources import DYNPTR_NOT_BUFFER
from skep.verifier.scalar import Scalar
from skep.verifier.slot_sets import slots_between
from skep.verifier.spelling import tnum_text
from skep.verifier.state import (
    DYNPTR,
    EMPTY_SLOT,
    INVALID,
    MISC,
    MISC_SLOT,
    SLOT_SIZE,
    SPILL,
    STACK_SIZE,
    ZERO,
    Frame,
    Slot,
)
from skep.verifier.transfer.pointers import MAX_OFFSET
from skep.verifier.values import Pointer

READ: Final = " read from"
WRITE: Final = " write to"

SCRUBBED: Final = bytes(INVALID if kind == INVALID else MISC for kind in range(256))


def slot_of(off: int) -> int:
    """Number of the slot that holds the byte ``fp + off``."""
    return (-off - 1) // SLOT_SIZE


def require_in_stack(
    check: Check, pointer: Pointer, register: int, off: int, size: int, access: str
) -> None:
    """Require that ``fp + off .. fp + off + size`` lies in the frame, for every variable part.

    Args:
        check: the examination.
        pointer: the stack pointer.
        register: where it stands.
        off: bytes, the pointer's known part included.
        size: bytes.
        access: READ or WRITE.
    """
    var = pointer.var
    if not var.is_const and (var.smax >= MAX_OFFSET or var.smin <= -MAX_OFFSET):
        check.refuse(
            STACK_OFFSET_BOUND, f"invalid unbounded variable-offset{access} stack R{register}"
        )
    low: int = int(var.smin) + off
    high: int = int(var.smax) + off + size
    frame = check.state.frames[pointer.frame]
    least = -STACK_SIZE
    if access is READ and not check.privileged:
        least = -SLOT_SIZE * len(frame.stack)
    number = 0
    if low < least or low > -1:
        number = errno.EACCES
    elif high > 0:
        number = errno.EINVAL
    elif size < 0:
        number = errno.EFAULT
    if number:
        kind = "" if var.is_const else " variable-offset"
        bits = "" if var.is_const else f" var_off={tnum_text(var)}"
        check.refuse(
            STACK_IN_FRAME,
            f"invalid{kind}{access} stack R{register}{bits} off={off} size={size}",
            found=f"fp{low:+d} .. fp{high:+d}",
            errno=number,
        )
    grow(check, frame, low)


def grow(check: Check, frame: Frame, low: int) -> None:
    """Note that the function of *frame* uses the stack down to ``fp + low``."""
    function = check.program.functions[frame.subprog]
    depth = (7 - low) & ~7
    function.stack_depth = max(function.stack_depth, depth)
    spi = depth // SLOT_SIZE - 1
    if spi >= len(frame.stack):
        owned = check.state.own(frame.number)
        owned.set_slot(spi, EMPTY_SLOT)
        if frame is check.frame:
            check.frame = owned


def require_initialised(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    *,
    write: bool,
    zero_ok: bool = False,
    raw: bool = False,
) -> bool:
    """Require that a range of the stack may be read, by a helper or at a variable offset.

    Args:
        check: the examination.
        pointer: the stack pointer.
        register: where it stands.
        off: bytes, the pointer's known part included.
        size: bytes.
        write: a helper gets the range and may write it too.
        zero_ok: *size* may be 0.
        raw: the helper fills the range, so it need not be initialised.

    Returns:
        Whether the range is to be overwritten with unknown bytes once the call was checked.
    """
    if size == 0 and not zero_ok:
        check.refuse(STACK_INITIALISED, "invalid zero-sized read")
    require_in_stack(check, pointer, register, off, size, WRITE if write else READ)
    var = pointer.var
    if not var.is_const and not check.privileged:
        refuse_variable(check, pointer, register)
    low: int = int(var.smin) + off
    high: int = int(var.smax) + off + size
    if raw and var.is_const:
        _require_no_dynptr(check, check.state.frames[pointer.frame], low, high)
        return True
    check.note_slots_read(pointer.frame, slots_between(low, high - low))
    if check.tale is not None:
        check.tale.append(StackRead(pointer.frame, low, high))
    at = _first_unset(check, pointer.frame, low, high, write)
    if at < high:
        place = f"off {low}+" if var.is_const else f"var_off {tnum_text(var)}+"
        _refuse_unset(check, f"R{register} {place}{at - low} size {size}")
    return False


def refuse_variable(check: Check, pointer: Pointer, register: int) -> None:
    """Refuse what an unprivileged program does at an unknown place of the stack."""
    check.refuse(
        STACK_CONSTANT_OFFSET,
        f"R{register} variable offset stack access prohibited for !root, "
        f"var_off={tnum_text(pointer.var)}",
    )


def _first_unset(check: Check, number: int, low: int, high: int, write: bool) -> int:
    """The first byte of ``fp + low .. fp + high`` that a callee may not read; *high* if none."""
    frame = check.state.own(number) if write else check.state.frames[number]
    at = low
    while at < high:
        if _is_plain(check, frame.slot(slot_of(at)), write):
            at |= SLOT_SIZE - 1  # the last byte of the slot
        elif not _touch_for_call(check, frame, at, write):
            return at
        at += 1
    return high


def _is_plain(check: Check, slot: Slot, write: bool) -> bool:
    """Whether a callee may read all of *slot*, and write it without anything to note."""
    if slot is MISC_SLOT:
        return True
    return not write and check.privileged and slot.object is None and slot.types[0] <= ZERO


def _refuse_unset(check: Check, where: str) -> None:
    check.refuse(
        STACK_INITIALISED,
        f"invalid read from stack {where}",
        hint="write the object before passing its address",
    )


def _require_no_dynptr(check: Check, frame: Frame, low: int, high: int) -> None:
    for at in range(low, high):
        slot = frame.slot(slot_of(at))
        if slot.object is None:
            continue
        if slot.types[at % SLOT_SIZE] == DYNPTR:
            check.refuse(DYNPTR_NOT_BUFFER, f"potential write to dynptr at off={at} disallowed")


def _touch_for_call(check: Check, frame: Frame, at: int, write: bool) -> bool:
    """Whether byte *at* may be read; if a helper may *write* it, forget what it holds."""
    spi, index = slot_of(at), at % SLOT_SIZE
    slot = frame.slot(spi)
    kind = slot.types[index]
    if kind == MISC:
        return True
    if kind == ZERO or (kind == INVALID and check.privileged):
        if write:
            types = slot.types[:index] + bytes((MISC,)) + slot.types[index + 1 :]
            frame.set_slot(spi, Slot(types, slot.value, slot.object))
        return True
    if slot.types[0] == SPILL and (check.privileged or isinstance(slot.value, Scalar)):
        if write:
            frame.set_slot(spi, Slot(slot.types.translate(SCRUBBED)))
        return True
    return False
