"""Dynptrs as arguments: made, read, released.

Source: Linux 6.18 kernel/bpf/verifier.c (process_dynptr_func, unmark_stack_slots_dynptr).
"""

from typing import Final

from skep.uapi.helper_types import ArgType
from skep.verifier.check import Check
from skep.verifier.rules.resources import (
    DYNPTR_INITIALISED,
    DYNPTR_PLACE,
    DYNPTR_UNINITIALISED,
    RELEASED_IS_REFERENCE,
)
from skep.verifier.state import DYNPTR, SLOT_SIZE, StackObject
from skep.verifier.transfer.accesses import write_memory
from skep.verifier.transfer.call import Call
from skep.verifier.transfer.resources import acquire, release
from skep.verifier.transfer.stack import ANYTHING
from skep.verifier.transfer.stack_objects import (
    DYNPTR_SLOTS,
    drop_dynptr,
    dynptr_at,
    place_of,
    put_dynptr,
)
from skep.verifier.values import (
    CONST_DYNPTR,
    DYNPTR_FILE,
    DYNPTR_FLAGS,
    DYNPTR_LOCAL,
    DYNPTR_RINGBUF,
    DYNPTR_SKB,
    DYNPTR_SKB_META,
    DYNPTR_XDP,
    STACK,
    Pointer,
    Value,
)

FLAVORS: Final[dict[str, int]] = {
    "local": DYNPTR_LOCAL,
    "ringbuf": DYNPTR_RINGBUF,
    "skb": DYNPTR_SKB,
    "skb_meta": DYNPTR_SKB_META,
    "xdp": DYNPTR_XDP,
    "file": DYNPTR_FILE,
}


def argument(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    """Check a dynptr argument of a helper; a new dynptr is made at once."""
    assert isinstance(value, Pointer)
    flavor = FLAVORS[argument.dynptr] if argument.dynptr else 0
    if argument.uninit:
        make_dynptr(check, register, value, flavor, 0)
    else:
        call.dynptr = require_dynptr(check, register, value, flavor)


def make_dynptr(check: Check, register: int, value: Pointer, flavor: int, ref_id: int) -> None:
    """Make a dynptr of *flavor* where *value* points; *ref_id* is the reference of a clone's."""
    if value.kind == CONST_DYNPTR:
        check.refuse(DYNPTR_UNINITIALISED, "Dynptr has to be an uninitialized dynptr")
    spi = place_of(check, value, DYNPTR_SLOTS, "dynptr", DYNPTR_PLACE)
    for off in (0, SLOT_SIZE):
        write_memory(check, register, off, SLOT_SIZE, ANYTHING)
    reference = ref_id
    if flavor & DYNPTR_RINGBUF and not ref_id:
        reference = acquire(check)
    frame = check.state.own(value.frame)
    put_dynptr(check, frame, spi, flavor, reference)


def require_dynptr(check: Check, register: int, value: Pointer, flavor: int) -> StackObject:
    """The initialised dynptr that *value* points to; *flavor* 0 takes any.

    What changes a dynptr releases it, and a constant one is never released.
    """
    if value.kind == CONST_DYNPTR:
        found = StackObject(DYNPTR, True, value.id, value.ref_id)
        found.flavor = value.flags & DYNPTR_FLAGS
    else:
        spi = place_of(check, value, DYNPTR_SLOTS, "dynptr", DYNPTR_PLACE)
        at = dynptr_at(check.state.frames[value.frame], spi)
        if at is None:
            check.refuse(
                DYNPTR_INITIALISED, f"Expected an initialized dynptr as arg #{register - 1}"
            )
        found = at
    if flavor and found.flavor != flavor:
        name = next(name for name, flag in FLAVORS.items() if flag == flavor)
        check.refuse(DYNPTR_INITIALISED, f"Expected a dynptr of type {name} as arg #{register - 1}")
    return found


def require_releasable(check: Check, register: int, value: Value) -> None:
    """Require that *value* points to a dynptr that holds a reference."""
    if not isinstance(value, Pointer) or value.kind != STACK:
        check.refuse(RELEASED_IS_REFERENCE, "cannot release unowned const bpf_dynptr")
    spi = place_of(check, value, DYNPTR_SLOTS, "dynptr", DYNPTR_PLACE)
    slot = check.state.frames[value.frame].slot(spi)
    if slot.object is None or slot.object.kind != DYNPTR or not slot.object.ref_id:
        check.refuse(RELEASED_IS_REFERENCE, f"arg {register} is an unacquired reference")


def release_dynptr(check: Check, value: Pointer) -> None:
    """Release the dynptr that *value* points to, its clones, and memory got from any of them."""
    spi = place_of(check, value, DYNPTR_SLOTS, "dynptr", DYNPTR_PLACE)
    frame = check.state.own(value.frame)
    dynptr = frame.slot(spi).object
    if dynptr is None:
        return
    reference = dynptr.ref_id
    if not reference:
        drop_dynptr(frame, spi)
        return
    release(check, reference)
    for number in range(len(check.state.frames)):
        owned = check.state.own(number)
        for at in range(1, len(owned.stack)):
            clone = owned.stack[at].object
            if clone is not None and clone.ref_id == reference and clone.first:
                drop_dynptr(owned, at)
