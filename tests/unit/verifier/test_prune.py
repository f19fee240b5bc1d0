"""When one state covers another."""

import pytest

from skep.verifier.prune import (
    EXACT,
    RELAXED,
    WITHIN,
    Comparison,
    clean_frame,
    states_equal,
)
from skep.verifier.scalar import UNKNOWN, const, unsigned_between
from skep.verifier.state import (
    EMPTY_SLOT,
    MISC_SLOT,
    REF_POINTER,
    ZERO_SLOT,
    Checkpoint,
    Reference,
    Slot,
    State,
    new_frame,
    spill,
)
from skep.verifier.values import MAP_VALUE, PACKET, Pointer, Value

ALL = [0x3FF]


def _state(*values: Value | None, slots: tuple[Slot, ...] = ()) -> State:
    frame = new_frame(0, 0, -1)
    for register, value in enumerate(values):
        frame.regs[register] = value
    for spi, slot in enumerate(slots):
        frame.set_slot(spi, slot)
    return State([frame])


def _covers(
    old: State, new: State, level: int, *, precise: int = 0, uninitialised: bool = True
) -> bool:
    checkpoint = Checkpoint(old)
    checkpoint.precise_regs[0] = precise
    checkpoint.precise_slots[0] = precise
    return states_equal(checkpoint, new, Comparison(level, 1000, uninitialised), ALL)


def _packet(reach: int, off: int = 0) -> Pointer:
    pointer = Pointer(PACKET, 0, off)
    pointer.range = reach
    return pointer


LITTLE, MUCH = unsigned_between(0, 7), unsigned_between(0, 255)


@pytest.mark.parametrize(
    ("old", "new", "level", "precise", "covered"),
    [
        (LITTLE, MUCH, RELAXED, 0, True),
        (LITTLE, MUCH, RELAXED, 1, False),
        (MUCH, LITTLE, RELAXED, 1, True),
        (LITTLE, MUCH, WITHIN, 0, False),
        (MUCH, LITTLE, WITHIN, 0, True),
        (MUCH, LITTLE, EXACT, 0, False),
        (const(3), const(3), EXACT, 0, True),
        (None, MUCH, RELAXED, 0, True),
        (MUCH, None, RELAXED, 0, False),
        (UNKNOWN, Pointer(MAP_VALUE), WITHIN, 0, False),
        (_packet(8), _packet(14), WITHIN, 0, True),
        (_packet(14), _packet(8), WITHIN, 0, False),
        (_packet(8, 4), _packet(8), WITHIN, 0, False),
    ],
)
def test_a_register_covers_another(
    old: Value | None, new: Value | None, level: int, precise: int, covered: bool
) -> None:
    assert _covers(_state(old), _state(new), level, precise=precise) is covered


def test_linked_scalars_are_covered_only_by_linked_ones() -> None:
    linked = _state(MUCH.with_id(1), MUCH.with_id(1))
    apart = _state(MUCH.with_id(8), MUCH.with_id(9))

    assert not _covers(linked, apart, WITHIN)
    assert not _covers(linked, _state(MUCH, MUCH), WITHIN)
    assert _covers(apart, _state(MUCH.with_id(5), MUCH.with_id(6)), WITHIN)
    assert _covers(_state(MUCH, MUCH), linked, WITHIN)


def test_scalars_linked_at_different_distances_differ() -> None:
    near = _state(MUCH.with_id(1), MUCH.with_id(1, 4, 64))
    far = _state(MUCH.with_id(1), MUCH.with_id(1, 8, 64))

    assert not _covers(near, far, WITHIN)


@pytest.mark.parametrize(
    ("old", "new", "uninitialised", "covered"),
    [
        (MISC_SLOT, ZERO_SLOT, False, True),
        (ZERO_SLOT, MISC_SLOT, False, False),
        (MISC_SLOT, spill(MUCH), False, True),
        (MISC_SLOT, spill(Pointer(MAP_VALUE)), False, False),
        (MISC_SLOT, Slot(bytes(8)), False, False),
        (MISC_SLOT, Slot(bytes(8)), True, True),
        (spill(LITTLE), MISC_SLOT, False, True),
        (spill(Pointer(MAP_VALUE)), MISC_SLOT, False, False),
        (spill(Pointer(MAP_VALUE)), spill(Pointer(MAP_VALUE)), False, True),
        (Slot(bytes(8)), spill(MUCH), False, True),
    ],
)
def test_a_slot_covers_another(old: Slot, new: Slot, uninitialised: bool, covered: bool) -> None:
    before, after = _state(slots=(old,)), _state(slots=(new,))

    assert _covers(before, after, RELAXED, uninitialised=uninitialised) is covered


def test_a_precise_spill_is_not_covered_by_unknown_bytes() -> None:
    assert not _covers(
        _state(slots=(spill(LITTLE),)), _state(slots=(MISC_SLOT,)), RELAXED, precise=1
    )


def test_references_are_compared_one_by_one() -> None:
    held, free = _state(), _state()
    held.refs = (Reference(REF_POINTER, 4, 0),)

    assert not _covers(held, free, RELAXED)
    assert _covers(held, held.copy(), RELAXED)


@pytest.mark.parametrize(("low", "covered"), [(MISC_SLOT, True), (spill(MUCH), False)])
def test_a_path_that_never_came_down_so_far_is_not_covered_by_one_that_stored_there(
    low: Slot, covered: bool
) -> None:
    old, new = _state(slots=(ZERO_SLOT, low)), _state(slots=(ZERO_SLOT,))

    assert _covers(old, new, RELAXED) == covered
    assert not _covers(old, new, WITHIN)


def test_cleaning_forgets_what_is_dead_and_that_it_mattered() -> None:
    old = _state(MUCH, MUCH, slots=(spill(MUCH), spill(MUCH)))
    checkpoint = Checkpoint(old)
    checkpoint.precise_regs[0] = checkpoint.precise_slots[0] = 3

    clean_frame(checkpoint, 0, 2, 1)

    frame = old.frames[0]
    assert frame.regs[0] is None
    assert frame.regs[1] is MUCH
    assert frame.stack[1] is EMPTY_SLOT
    assert checkpoint.precise_regs == [2]
    assert checkpoint.precise_slots == [1]
