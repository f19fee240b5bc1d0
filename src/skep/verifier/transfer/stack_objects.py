"""Dynptrs as stack slots: making, finding and destroying them.

A dynptr takes two slots, the first at the lower address; both carry the same identity. Memory that
was got from it carries that identity too, and becomes unusable with it.

Source: Linux 6.18 kernel/bpf/verifier.c (mark_stack_slots_dynptr, unmark_stack_slots_dynptr,
destroy_if_dynptr_stack_slot, stack_slot_obj_get_spi).
"""

import errno
from typing import Final

from skep.verifier.check import Check
from skep.verifier.rules.resources import DYNPTR_NOT_OVERWRITTEN
from skep.verifier.rules.rule import Rule
from skep.verifier.scalar import UNKNOWN
from skep.verifier.state import DYNPTR, EMPTY_SLOT, SLOT_SIZE, Frame, Slot, StackObject
from skep.verifier.values import DYNPTR_RINGBUF, MAYBE_NULL, MEM, Pointer, Value

DYNPTR_SLOTS: Final = 2
_DYNPTR_TYPES: Final = bytes((DYNPTR,)) * SLOT_SIZE


def place_of(
    check: Check, pointer: Pointer, slots: int, what: str, rule: Rule, made: bool = False
) -> int:
    """Number of the first slot of an object of *slots* slots at *pointer*; *made*: a new one.

    Raises:
        Rejected: the place is not constant, not aligned, or reaches above the frame.
    """
    if not pointer.var.is_const:
        check.refuse(rule, f"{what} has to be at a constant offset")
    off: int = pointer.off + int(pointer.var.smin)
    if off % SLOT_SIZE:
        check.refuse(rule, f"cannot pass in {what} at an offset={off}")
    spi = (-off - 1) // SLOT_SIZE
    if made and off == 0 and slots == 1:  # the one place where Linux looks at the access first
        check.refuse(rule, f"invalid write to stack off=0 size={SLOT_SIZE}", errno=errno.EACCES)
    if off >= 0 or spi + 1 < slots:
        check.refuse(rule, f"cannot pass in {what} at an offset={off}")
    return spi


def dynptr_at(frame: Frame, spi: int) -> StackObject | None:
    """The whole dynptr whose first slot is *spi*, or None."""
    slot = frame.slot(spi)
    if slot.types != _DYNPTR_TYPES or spi < 1 or frame.slot(spi - 1).types != _DYNPTR_TYPES:
        return None
    dynptr = slot.object
    return dynptr if dynptr is not None and dynptr.first else None


def put_dynptr(check: Check, frame: Frame, spi: int, flavor: int, ref_id: int) -> None:
    """Make the slots *spi* and *spi* - 1 a dynptr of *flavor*."""
    destroy_dynptr(check, frame, spi)
    destroy_dynptr(check, frame, spi - 1)
    identity = check.new_id()
    for number, first in ((spi, True), (spi - 1, False)):
        part = StackObject(DYNPTR, first, identity, ref_id)
        part.flavor = flavor
        frame.set_slot(number, Slot(_DYNPTR_TYPES, None, part))


def destroy_dynptr(check: Check, frame: Frame, spi: int) -> None:
    """Destroy the dynptr that slot *spi* is part of, if any, because the slot is overwritten."""
    slot = frame.slot(spi)
    dynptr = slot.object
    if slot.types[0] != DYNPTR or dynptr is None:
        return
    if dynptr.flavor & DYNPTR_RINGBUF:
        check.refuse(DYNPTR_NOT_OVERWRITTEN, "cannot overwrite referenced dynptr")
    first = spi if dynptr.first else spi + 1
    frame.set_slot(first, EMPTY_SLOT)
    frame.set_slot(first - 1, EMPTY_SLOT)
    invalidate_slices(check, dynptr.id)


def invalidate_slices(check: Check, identity: int) -> None:
    """Make memory got from the dynptr *identity* unusable."""
    replacement: Value | None = UNKNOWN if check.privileged else None

    def forget(value: Value) -> Value | None:
        if is_slice(value, identity):
            return replacement
        return value

    check.state.update_values(forget)


def is_slice(value: Value, identity: int) -> bool:
    """Whether *value* points to memory that goes with the dynptr *identity*.

    What bpf_dynptr_slice() gives has the dynptr's flavor: it may be a buffer of the program's own.
    """
    return (
        isinstance(value, Pointer)
        and value.kind == MEM
        and not value.flags & ~MAYBE_NULL
        and value.dynptr_id == identity
        and identity != 0
    )


def drop_dynptr(frame: Frame, spi: int) -> None:
    """Make the slots of a dynptr empty."""
    frame.set_slot(spi, EMPTY_SLOT)
    frame.set_slot(spi - 1, EMPTY_SLOT)
