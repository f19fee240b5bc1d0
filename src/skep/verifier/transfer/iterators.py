"""Open-coded iterators: made, moved on and destroyed on the stack.

An iterator is a reference: it must be destroyed. ``next`` ends at some time, and then for good; so
the walk goes on without an element, and a copy of the state goes round again with one, until a
round adds nothing new.

Source: Linux 6.18 kernel/bpf/verifier.c (process_iter_arg, mark_stack_slots_iter,
process_iter_next_call).
"""

from typing import Final

from skep.uapi.flags import AttachType, ProgType
from skep.uapi.kfuncs import ITER_DESTROY, ITER_NEW, RCU_PROTECTED
from skep.verifier.check import Check
from skep.verifier.program import Step
from skep.verifier.rules.resources import (
    ITERATOR_INITIALISED,
    ITERATOR_PLACE,
    ITERATOR_PROTECTED,
    ITERATOR_UNINITIALISED,
)
from skep.verifier.scalar import ZERO
from skep.verifier.state import (
    EMPTY_SLOT,
    ITER,
    ITER_ACTIVE,
    ITER_DRAINED,
    SLOT_SIZE,
    Frame,
    Slot,
    StackObject,
)
from skep.verifier.transfer.accesses import write_memory
from skep.verifier.transfer.kernel_objects import in_rcu_section, in_sleepable
from skep.verifier.transfer.kfunc_call import Argument, KfuncCall
from skep.verifier.transfer.nulls import without_null
from skep.verifier.transfer.resources import acquire, release
from skep.verifier.transfer.stack import ANYTHING
from skep.verifier.transfer.stack_objects import place_of
from skep.verifier.values import RCU, STACK, UNTRUSTED, Pointer
from skep.verifier.widening import previous_round, widen

_TYPES: Final = bytes((ITER,)) * SLOT_SIZE


def iterator(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Check an argument that points to an iterator; make or destroy it if the function does."""
    value, number = argument.value, argument.number
    if call.name == "bpf_iter_css_task_new" and not _may_walk_tasks(check):
        check.refuse(
            ITERATOR_PLACE,
            "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs",
        )
    if not isinstance(value, Pointer) or value.kind != STACK:
        check.refuse(ITERATOR_PLACE, f"arg#{number} expected pointer to an iterator on stack")
    place = _Place(check, call, argument, value)
    if call.has(ITER_NEW):
        _make(check, call, argument, place)
        return
    first = _require_initialised(check, call, argument, place)
    call.iter_frame, call.iter_spi = place.frame, place.spi
    call.ref_id = first.ref_id
    if call.has(ITER_DESTROY):
        release(check, first.ref_id)
        frame = check.state.own(place.frame)
        for at in range(place.slots):
            frame.set_slot(place.spi - at, EMPTY_SLOT)


class _Place:
    """Where an iterator is: slots *spi* and the ones below it in number, of frame *frame*."""

    __slots__ = ("frame", "name", "slots", "spi")

    def __init__(self, check: Check, call: KfuncCall, argument: Argument, value: Pointer) -> None:
        self.frame: int = value.frame
        self.name: str = call.btf.type(argument.target).name.removeprefix("bpf_")
        self.slots: int = call.btf.size_of(argument.target) // SLOT_SIZE
        self.spi: int = place_of(
            check, value, self.slots, self.name, ITERATOR_PLACE, made=call.has(ITER_NEW)
        )


def _may_walk_tasks(check: Check) -> bool:
    request = check.request
    kind = request.program_type.id
    if kind == ProgType.TRACING and request.expected_attach_type == AttachType.TRACE_ITER:
        return True
    return kind == ProgType.LSM or in_sleepable(check)


def _make(check: Check, call: KfuncCall, argument: Argument, place: _Place) -> None:
    frame = check.state.frames[place.frame]
    if any(ITER in frame.slot(place.spi - at).types for at in range(place.slots)):
        check.refuse(
            ITERATOR_UNINITIALISED,
            f"expected uninitialized {place.name} as arg #{argument.number}",
        )
    for off in range(0, place.slots * SLOT_SIZE, SLOT_SIZE):
        write_memory(check, argument.register, off, SLOT_SIZE, ANYTHING)
    reference = acquire(check)
    frame = check.state.own(place.frame)
    for at in range(place.slots):
        part = StackObject(ITER, at == 0, 0, reference if at == 0 else 0)
        part.btf, part.btf_id = call.btf, argument.target
        part.active = ITER_ACTIVE
        if call.has(RCU_PROTECTED):
            part.flags = RCU if in_rcu_section(check) else UNTRUSTED
        frame.set_slot(place.spi - at, Slot(_TYPES, None, part))


def _require_initialised(
    check: Check, call: KfuncCall, argument: Argument, place: _Place
) -> StackObject:
    frame = check.state.frames[place.frame]
    found: StackObject | None = None
    for at in range(place.slots):
        part = _part_at(frame, place.spi - at, call, argument, at == 0)
        if part is not None and part.flags & UNTRUSTED:
            check.refuse(ITERATOR_PROTECTED, f"expected an RCU CS when using {call.name}")
        if part is None:
            found = None
            break
        if at == 0:
            found = part
    if found is None:
        check.refuse(
            ITERATOR_INITIALISED, f"expected an initialized {place.name} as arg #{argument.number}"
        )
    return found


def _part_at(
    frame: Frame, spi: int, call: KfuncCall, argument: Argument, first: bool
) -> StackObject | None:
    slot = frame.slot(spi)
    part = slot.object
    if slot.types != _TYPES or part is None or part.first != first:
        return None
    if part.btf is not call.btf or part.btf_id != argument.target:
        return None
    return part


def iterator_of(check: Check, call: KfuncCall) -> StackObject:
    """The iterator among the arguments of *call*, a ``next``."""
    found = check.state.frames[call.iter_frame].slot(call.iter_spi).object
    assert found is not None
    return found


def next_element(check: Check, step: Step, call: KfuncCall) -> None:
    """Go on without an element, and queue another round with one; r0 holds a possible element."""
    state = check.state
    if iterator_of(check, call).active == ITER_ACTIVE:
        before = previous_round(state, step.pc)
        queued = check.push_branch(step.next_pc)
        _change(queued.own(call.iter_frame), call.iter_spi, ITER_ACTIVE, 1)
        if before is not None:
            widen(before, queued)
        top = queued.own(len(queued.frames) - 1)
        element = top.regs[0]
        if isinstance(element, Pointer):
            top.regs[0] = without_null(element)
    _change(state.own(call.iter_frame), call.iter_spi, ITER_DRAINED, 0)
    check.frame = state.own(len(state.frames) - 1)
    check.frame.regs[0] = ZERO


def _change(frame: Frame, spi: int, active: int, deeper: int) -> None:
    slot = frame.slot(spi)
    assert slot.object is not None
    twin = slot.object.copy()
    twin.active = active
    twin.depth += deeper
    frame.set_slot(spi, Slot(slot.types, None, twin))
