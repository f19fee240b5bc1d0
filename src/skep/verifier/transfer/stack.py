"""Loads and stores on the stack: spills, fills, bytes whose content is unknown or zero.

A register stored whole, or in its low half at the slot's start, is remembered in its slot and comes
back as it was; other stores leave bytes of which is known that they are zero, or nothing.

Source: Linux 6.18 kernel/bpf/verifier.c (check_stack_write_fixed_off, check_stack_write_var_off,
check_stack_read_fixed_off).
"""

from typing import Final

from skep.verifier.check import Check
from skep.verifier.rules.memory import (
    NO_STACK_LEAK,
    SPILL_UNCORRUPTED,
    SPILL_WHOLE,
    STACK_CONSTANT_OFFSET,
    STACK_INITIALISED,
    STACK_POINTER_HOME,
)
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.scalar import ZERO as ZERO_NUMBER
from skep.verifier.slot_sets import slot_bit
from skep.verifier.spelling import tnum_text
from skep.verifier.state import (
    DYNPTR,
    INVALID,
    IRQ,
    ITER,
    MISC,
    MISC_SLOT,
    SLOT_SIZE,
    SPILL,
    SPILL_TYPES,
    ZERO,
    ZERO_SLOT,
    Frame,
    Slot,
)
from skep.verifier.transfer.casts import fits
from skep.verifier.transfer.stack_objects import destroy_dynptr
from skep.verifier.transfer.stack_ranges import (
    READ,
    SCRUBBED,
    WRITE,
    refuse_variable,
    require_in_stack,
    require_initialised,
    slot_of,
)
from skep.verifier.values import CONST_DYNPTR, STACK, TP_BUFFER, Pointer, Value

IMMEDIATE: Final = -1  # sources of a store other than a register
ANYTHING: Final = -2

_NEVER_SPILLED: Final = (CONST_DYNPTR, TP_BUFFER)  # what comes back is a number
_SPECIAL: Final = frozenset((SPILL, DYNPTR, ITER, IRQ))
_REST: Final = bytes(kind if kind in (INVALID, ZERO) else MISC for kind in range(256))


def link(check: Check, register: int, scalar: Scalar) -> Scalar:
    """Give the scalar in *register* an identity, so that copies of it learn together."""
    if scalar.moved:
        scalar = scalar.without_id()
    if scalar.id == 0 and not scalar.is_const:
        scalar = scalar.with_id(check.new_id())
    check.frame.regs[register] = scalar
    return scalar


# --- stores -----------------------------------------------------------------------------------


def stored(check: Check, source: int) -> Value | None:
    """What a store writes: the register *source*, or IMMEDIATE, or None for ANYTHING."""
    if source >= 0:
        return check.read(source)
    return check.step.number if source == IMMEDIATE else None


def write_stack(
    check: Check, pointer: Pointer, register: int, off: int, size: int, source: int
) -> None:
    """Store to the stack.

    Args:
        check: the examination.
        pointer: the stack pointer.
        register: where it stands.
        off: bytes, the pointer's known part included.
        size: bytes.
        source: what is stored, see ``stored``.
    """
    require_in_stack(check, pointer, register, off, size, WRITE)
    frame = check.state.own(pointer.frame)
    value = stored(check, source)
    var = pointer.var
    if var.is_const:
        _write_fixed(check, frame, off + int(var.smin), size, value, source)
    elif not check.privileged:
        refuse_variable(check, pointer, register)
    else:
        low: int = int(var.smin) + off
        high: int = int(var.smax) + off + size
        _write_variable(check, frame, low, high, value, source)


def _write_fixed(
    check: Check, frame: Frame, off: int, size: int, value: Value | None, source: int
) -> None:
    spi = slot_of(off)
    old = frame.slot(spi)
    if (
        not check.privileged
        and size != SLOT_SIZE
        and old.types[0] == SPILL
        and isinstance(old.value, Pointer)
    ):
        check.refuse(SPILL_UNCORRUPTED, "attempt to corrupt spilled pointer on stack")
    destroy_dynptr(check, frame, spi)
    old = frame.slot(spi)
    if isinstance(value, Pointer):
        if value.kind in _NEVER_SPILLED:
            _write_bytes(check, frame, off, size, value, source)
        else:
            _spill_pointer(check, frame, spi, size, value)
    elif value is not None and check.has_cap_bpf and off % SLOT_SIZE == 0:
        _spill_scalar(check, frame, spi, size, value, source)
    else:
        _write_bytes(check, frame, off, size, value, source)


def _spill_pointer(check: Check, frame: Frame, spi: int, size: int, value: Pointer) -> None:
    if size != SLOT_SIZE:
        check.refuse(SPILL_WHOLE, "invalid size of register spill")
    if value.kind == STACK and frame.number != len(check.state.frames) - 1:
        check.refuse(
            STACK_POINTER_HOME,
            "cannot spill pointers to stack into stack frame of the caller",
        )
    frame.set_slot(spi, Slot(SPILL_TYPES, value))
    check.note_stack_access(frame.number, spi)


def _spill_scalar(
    check: Check, frame: Frame, spi: int, size: int, value: Scalar, source: int
) -> None:
    if size == SLOT_SIZE or fits(value, size):
        if source >= 0:
            value = link(check, source, value)
    else:
        value = value.without_id()
    types = SPILL_TYPES
    if size != SLOT_SIZE:
        types = SPILL_TYPES[:size] + frame.slot(spi).types[size:].translate(_REST)
    frame.set_slot(spi, Slot(types, value))
    check.note_stack_access(frame.number, spi)


def _write_bytes(
    check: Check, frame: Frame, off: int, size: int, value: Value | None, source: int
) -> None:
    spi = slot_of(off)
    types = _scrub(frame.slot(spi).types)
    kind = MISC
    if isinstance(value, Scalar) and value.is_number(0):
        if source >= 0:
            check.mark_precise(source)
        kind = ZERO
    whole = MISC_SLOT if kind == MISC else ZERO_SLOT
    if size != SLOT_SIZE:
        start = off % SLOT_SIZE
        types = types[:start] + whole.types[:size] + types[start + size :]
    frame.set_slot(spi, whole if size == SLOT_SIZE or types == whole.types else Slot(types))


def _scrub(types: bytes) -> bytes:
    return types.translate(SCRUBBED) if types[0] in _SPECIAL else types


def _write_variable(
    check: Check, frame: Frame, low: int, high: int, value: Value | None, source: int
) -> None:
    zero = isinstance(value, Scalar) and value.is_number(0)
    for spi in range(slot_of(high - 1), slot_of(low) + 1):
        destroy_dynptr(check, frame, spi)
    zero_used = False
    for at in range(low, high):
        zero_used |= _touch_byte(frame, at, zero)
    if zero_used and source >= 0:
        check.mark_precise(source)


def _touch_byte(frame: Frame, at: int, zero: bool) -> bool:
    """Forget one byte that a store may hit; tell whether that a zero is stored was relied on."""
    spi, index = slot_of(at), at % SLOT_SIZE
    slot = frame.slot(spi)
    kind = slot.types[index]
    if zero and kind == SPILL and isinstance(slot.value, Scalar) and slot.value.is_number(0):
        return True
    types = _scrub(slot.types)
    keep = zero and types[index] == ZERO
    if not keep:
        types = types[:index] + bytes((MISC,)) + types[index + 1 :]
    frame.set_slot(spi, Slot(types))
    return keep


# --- loads ------------------------------------------------------------------------------------


def read_stack(
    check: Check, pointer: Pointer, register: int, off: int, size: int, wanted: bool
) -> Value:
    """Load from the stack.

    Args:
        check: the examination.
        pointer: the stack pointer.
        register: where it stands.
        off: bytes, the pointer's known part included.
        size: bytes.
        wanted: the value goes to a register; else it is only read, as a number.
    """
    require_in_stack(check, pointer, register, off, size, READ)
    if pointer.var.is_const:
        return _read_fixed(check, pointer.frame, off + int(pointer.var.smin), size, wanted)
    if not wanted:
        check.refuse(
            STACK_CONSTANT_OFFSET,
            "variable offset stack pointer cannot be passed into helper function; "
            f"var_off={tnum_text(pointer.var)} off={off} size={size}",
        )
    require_initialised(check, pointer, register, off, size, write=False)
    low: int = int(pointer.var.smin) + off
    high: int = int(pointer.var.smax) + off + size
    return _read_bytes(check.state.frames[pointer.frame], low, high)


def _read_fixed(check: Check, number: int, off: int, size: int, wanted: bool) -> Value:
    frame = check.state.frames[number]
    spi = slot_of(off)
    slot = frame.slot(spi)
    spilled = slot.value
    check.note_slots_read(number, slot_bit(spi))
    if slot.types[0] != SPILL or spilled is None:
        _require_bytes(check, slot, off, size)
        return _read_bytes(frame, off, off + size) if wanted else UNKNOWN
    if size == SLOT_SIZE and slot.types[SLOT_SIZE - 1] == SPILL:
        if not wanted and not check.privileged and isinstance(spilled, Pointer):
            check.refuse(NO_STACK_LEAK, f"leaking pointer from stack off {off}")
        check.note_stack_access(number, spi)
        return spilled
    if isinstance(spilled, Pointer):
        check.refuse(SPILL_WHOLE, "invalid size of register fill")
    return _fill_part(check, frame, slot, spilled, off, size) if wanted else UNKNOWN


def _fill_part(
    check: Check, frame: Frame, slot: Slot, spilled: Scalar, off: int, size: int
) -> Value:
    """Load some bytes of a spilled scalar, or of a slot that holds a smaller one."""
    spi, start = slot_of(off), off % SLOT_SIZE
    length = SLOT_SIZE - len(slot.types.lstrip(bytes((SPILL,))))
    if start == 0 and size <= length:
        check.note_stack_access(frame.number, spi)
        return spilled if fits(spilled, size) else spilled.without_id()
    _require_bytes(check, slot, off, size, True)
    wanted = slot.types[start : start + size]
    if wanted == bytes((SPILL,)) * size and spilled.is_number(0):
        check.note_stack_access(frame.number, spi)
        return ZERO_NUMBER
    return ZERO_NUMBER if wanted == bytes((ZERO,)) * size else UNKNOWN


def _require_bytes(check: Check, slot: Slot, off: int, size: int, spill: bool = False) -> None:
    """Require that each byte holds a number: MISC, ZERO, and for the privileged anything unset."""
    if slot is MISC_SLOT:
        return
    start = off % SLOT_SIZE
    types = slot.types
    for index in range(size):
        kind = types[start + index]
        if kind == MISC or kind == ZERO or (kind == INVALID and check.privileged):
            continue
        if not (spill and kind == SPILL):
            check.refuse(
                STACK_INITIALISED,
                f"invalid read from stack off {off}+{index} size {size}",
                hint="write the object before reading it",
            )


def _read_bytes(frame: Frame, low: int, high: int) -> Value:
    if frame.slot(slot_of(low)) is MISC_SLOT:
        return UNKNOWN
    for at in range(low, high):
        if frame.slot(slot_of(at)).types[at % SLOT_SIZE] != ZERO:
            return UNKNOWN
    return ZERO_NUMBER
