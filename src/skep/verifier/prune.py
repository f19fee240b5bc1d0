"""When does one state cover another: whatever is safe from the old one is safe from the new one.

Three strengths of comparison:

* RELAXED: a scalar's range counts only if it mattered later (it is marked precise); for old states
  whose every continuation has been walked.
* WITHIN: every scalar's range counts; for loops that are still being walked.
* EXACT: nothing may differ; to detect loops that make no progress.

Ids are compared by renaming: equal ids in the old state must be equal in the new one.

Source: Linux 6.18 kernel/bpf/verifier.c (states_equal, regsafe, stacksafe, refsafe).
"""

from typing import Final

from mypy_extensions import i64

from skep.verifier.renaming import Renaming
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.state import (
    DYNPTR,
    EMPTY_SLOT,
    FIRST_SLOT,
    INVALID,
    IRQ,
    ITER,
    ITER_ACTIVE,
    MISC,
    MISC_SLOT,
    SPILL,
    SPILL_TYPES,
    ZERO,
    ZERO_SLOT,
    Checkpoint,
    Frame,
    Slot,
    State,
)
from skep.verifier.values import (
    ARENA,
    BUF,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    PACKET,
    PACKET_META,
    TP_BUFFER,
    Pointer,
    Value,
)

RELAXED: Final = 0
EXACT: Final = 1
WITHIN: Final = 2

_RANGED: Final = 1 << MAP_KEY | 1 << MAP_VALUE | 1 << MEM | 1 << BUF | 1 << TP_BUFFER


class Comparison:
    """How two states are compared; may be used again once it has been set up anew.

    Args:
        level: RELAXED, EXACT or WITHIN.
        fresh: an id above all in use.
        uninitialised: the program may read stack bytes that were never written.
    """

    __slots__ = ("ids", "level", "strict", "trust", "uninitialised")

    def __init__(self, level: int, fresh: int, uninitialised: bool) -> None:
        self.level = level
        self.uninitialised = uninitialised
        self.strict: bool = False  # numbers decide how later arithmetic is masked: no two differ
        self.trust: bool = True  # what RCU protects may lose its protection
        self.ids = Renaming(fresh)

    def begin(self, level: int, fresh: int) -> None:
        """Set up for another comparison."""
        self.level = level
        self.ids.forget(fresh)


def states_equal(old: Checkpoint, new: State, how: Comparison, live: list[int]) -> bool:
    """Whether *old* covers *new*.

    Args:
        old: the earlier state, its dead registers and slots cleaned.
        new: the current state, cleaned too.
        how: how strictly; used for this comparison only.
        live: live registers of each frame.
    """
    state = old.state
    if len(state.frames) != len(new.frames) or state.in_sleepable != new.in_sleepable:
        return False
    how.trust = new.in_sleepable
    if old.suspect >= 0 and _suspect_differs(old, new, how, live[-1]):
        return False
    if not _same_resources(state, new, how.ids):
        return False
    for number in range(len(new.frames)):
        mine = state.frames[number]
        theirs = new.frames[number]
        if mine.callsite != theirs.callsite:
            return False
        if not _same_frame(old, mine, theirs, live[number], how):
            return False
    return True


def _suspect_differs(checkpoint: Checkpoint, new: State, how: Comparison, live: i64) -> bool:
    """Whether what told another state apart tells this one apart too: mostly it does."""
    top = len(new.frames) - 1
    mine, theirs = checkpoint.state.frames[top], new.frames[top]
    suspect = checkpoint.suspect
    if suspect < FIRST_SLOT:
        if live >> suspect & 1 == 0:
            return False
        precise = how.level != RELAXED or checkpoint.precise_regs[top] >> suspect & 1 == 1
        same = _covers(mine.regs[suspect], theirs.regs[suspect], how.level, precise, how)
    else:
        spi = suspect - FIRST_SLOT
        precise = how.level != RELAXED or checkpoint.precise_slots[top] >> spi & 1 == 1
        same = _same_or_covered(mine.slot(spi), theirs.slot(spi), precise, how)
    how.ids.forget_pairs()
    return not same


def _same_resources(old: State, new: State, ids: Renaming) -> bool:
    if len(old.refs) != len(new.refs) or old.active_locks != new.active_locks:
        return False
    if (
        old.active_preempt_locks != new.active_preempt_locks
        or old.active_rcu_lock != new.active_rcu_lock
        or old.active_lock_owner is not new.active_lock_owner
    ):
        return False
    if not ids.same(old.active_irq_id, new.active_irq_id):
        return False
    if not ids.same(old.active_lock_id, new.active_lock_id):
        return False
    for index in range(len(old.refs)):
        mine, theirs = old.refs[index], new.refs[index]
        if mine.kind != theirs.kind or mine.owner is not theirs.owner:
            return False
        if not ids.same(mine.id, theirs.id):
            return False
    return True


def _same_frame(checkpoint: Checkpoint, old: Frame, new: Frame, live: i64, how: Comparison) -> bool:
    if old.callback_depth > new.callback_depth:
        return False
    level = how.level
    precise: i64 = -1
    if level == RELAXED:
        precise = checkpoint.precise_regs[old.number]
    mine, theirs = old.regs, new.regs
    for register in range(10):
        if live & 1 and not _covers(mine[register], theirs[register], level, precise & 1 == 1, how):
            _suspect(checkpoint, old, register)
            return False
        live >>= 1
        precise >>= 1
    return _same_stack(checkpoint, old, new, how)


def _suspect(checkpoint: Checkpoint, frame: Frame, place: int) -> None:
    if frame.number == len(checkpoint.state.frames) - 1:
        checkpoint.suspect = place


def _covers(
    old: Value | None, new: Value | None, level: int, precise: bool, how: Comparison
) -> bool:
    if isinstance(old, Scalar):
        if not isinstance(new, Scalar):
            return False
        if level == EXACT or how.strict:
            return (old is new or _identical(old, new)) and how.ids.same(old.id, new.id)
        if not precise and level == RELAXED:
            return True
        return _covers_scalar(old, new, how.ids)
    if old is None:
        return level == RELAXED or new is None
    if not isinstance(new, Pointer):
        return False
    return _covers_pointer(old, new, level, how.ids)


def _identical(old: Scalar, new: Scalar) -> bool:
    return old.same_range(new) and old.delta == new.delta and old.moved == new.moved


def _covers_scalar(old: Scalar, new: Scalar, ids: Renaming) -> bool:
    if old.id != 0:
        if old.moved != new.moved or (old.moved and old.delta != new.delta):
            return False
        if not ids.same_scalar(old, new):
            return False
    return old is new or old.covers(new)


def _covers_pointer(old: Pointer, new: Pointer, level: int, ids: Renaming) -> bool:
    if level == EXACT:
        return _same_pointer(old, new, ids)
    kind = old.kind
    if kind != new.kind or old.flags != new.flags:
        return False
    if kind == ARENA:
        return True
    if kind == PACKET or kind == PACKET_META:
        return _covers_packet(old, new, ids)
    if not _RANGED >> kind & 1:
        return _same_pointer(old, new, ids)
    return (
        (old is new or (old.off == new.off and old.same_target(new)))
        and (old.var is new.var or old.var.covers(new.var))
        and ids.same(old.id, new.id)
        and ids.same(old.ref_id, new.ref_id)
        and ids.same(old.map_uid, new.map_uid)
    )


def _covers_packet(old: Pointer, new: Pointer, ids: Renaming) -> bool:
    if old.range < 0 or new.range < 0:
        if old.range != new.range:
            return False
    elif old.range > new.range:
        return False
    if old.off != new.off or not ids.same(old.id, new.id):
        return False
    return old.var is new.var or old.var.covers(new.var)


def _same_pointer(old: Pointer, new: Pointer, ids: Renaming) -> bool:
    if old is not new and not (
        old.off == new.off and old.same_target(new) and old.var.same_range(new.var)
    ):
        return False
    return (
        ids.same(old.id, new.id)
        and ids.same(old.ref_id, new.ref_id)
        and ids.same(old.map_uid, new.map_uid)
    )


# --- stack ------------------------------------------------------------------------------------


def _same_stack(checkpoint: Checkpoint, old: Frame, new: Frame, how: Comparison) -> bool:
    level = how.level
    precise: i64 = -1
    if level == RELAXED:
        precise = checkpoint.precise_slots[old.number]
    others = new.stack
    count = len(others)
    for spi, mine in enumerate(old.stack):
        if spi >= count and not (level == RELAXED and _counts_for_nothing(mine, how)):
            return False  # as in Linux: the new state's path has not come down so far
        theirs = others[spi] if spi < count else EMPTY_SLOT
        if mine is theirs and mine.value is None and mine.object is None:
            continue
        if not _same_or_covered(mine, theirs, precise >> spi & 1 == 1, how):
            _suspect(checkpoint, old, FIRST_SLOT + spi)
            return False
    return level != EXACT or _is_empty(new.stack, len(old.stack))


def _counts_for_nothing(slot: Slot, how: Comparison) -> bool:
    """Whether no byte of *slot* was stored, or could be told from one that was not."""
    if slot is EMPTY_SLOT:
        return True
    for kind in slot.types:
        if kind != INVALID and not (kind == MISC and how.uninitialised):
            return False
    return True


def _same_or_covered(mine: Slot, theirs: Slot, precise: bool, how: Comparison) -> bool:
    if how.level == EXACT:
        return _same_slot(mine, theirs, how)
    if how.level == WITHIN and mine.types != theirs.types:
        return False  # Linux 6.18 is as strict; later versions need not be
    return mine is EMPTY_SLOT or _covers_slot(mine, theirs, precise, how)


def _is_empty(stack: list[Slot], start: int) -> bool:
    for spi in range(start, len(stack)):
        slot = stack[spi]
        if slot is not EMPTY_SLOT and slot.types != EMPTY_SLOT.types:
            return False
    return True


def _as_scalar(slot: Slot, uninitialised: bool) -> Scalar | None:
    """What a load of all eight bytes gives, if that is a scalar: spilled, or unknown."""
    if slot.types[7] == SPILL and slot.types[0] == SPILL:
        value = slot.value
        return value if isinstance(value, Scalar) else None
    for i in range(8):
        kind = slot.types[i]
        if kind != MISC and not (kind == INVALID and uninitialised):
            return None
    return UNKNOWN


def _same_slot(old: Slot, new: Slot, how: Comparison) -> bool:
    return old is new is EMPTY_SLOT or (
        old.types == new.types and _covers_content(old, new, False, how)
    )


def _covers_slot(old: Slot, new: Slot, precise: bool, how: Comparison) -> bool:
    if old.types is SPILL_TYPES and new.types is SPILL_TYPES:
        return _covers(old.value, new.value, how.level, precise, how)
    if old is MISC_SLOT and (how.uninitialised or new is MISC_SLOT or new is ZERO_SLOT):
        return True
    mine = _as_scalar(old, how.uninitialised)
    theirs = _as_scalar(new, how.uninitialised) if mine is not None else None
    if mine is not None and theirs is not None:
        return _covers(mine, theirs, how.level, precise, how)
    return _covers_bytes(old.types, new.types, how.uninitialised) and (
        _covers_content(old, new, precise, how)
    )


def _covers_bytes(old: bytes, new: bytes, uninitialised: bool) -> bool:
    """Whether each byte may stand for the old one."""
    for i in range(8):
        kind = old[i]
        if kind == INVALID or kind == new[i]:
            continue
        if kind != MISC or not (uninitialised or new[i] == ZERO):
            return False
    return True


def _covers_content(old: Slot, new: Slot, precise: bool, how: Comparison) -> bool:
    kind = old.types[0]
    if kind == SPILL:
        return _covers(old.value, new.value, how.level, precise, how)
    if kind != DYNPTR and kind != ITER and kind != IRQ:
        return True
    ids = how.ids
    mine, theirs = old.object, new.object
    if mine is None or theirs is None:
        return False
    return (
        mine.kind == theirs.kind
        and mine.first == theirs.first
        and mine.flavor == theirs.flavor
        and (mine.flags == theirs.flags or not how.trust)
        and mine.btf is theirs.btf
        and mine.btf_id == theirs.btf_id
        and mine.active == theirs.active
        and ids.same(mine.id, theirs.id)
        and ids.same(mine.ref_id, theirs.ref_id)
    )


def iterations_differ(old: State, new: State) -> bool:
    """Whether an active iterator has moved on between the two states."""
    for number, frame in enumerate(old.frames):
        for spi, slot in enumerate(frame.stack):
            mine = slot.object
            if mine is None or mine.kind != ITER or mine.active != ITER_ACTIVE:
                continue
            theirs = new.frames[number].slot(spi).object
            if theirs is None or theirs.depth != mine.depth:
                return True
    return False


# --- cleaning ---------------------------------------------------------------------------------


def clean_frame(checkpoint: Checkpoint, number: int, live: i64, live_slots: i64) -> None:
    """Forget registers and slots of a frame that nothing will read."""
    state = checkpoint.state
    frame = state.frames[number]
    regs = frame.regs
    precise: i64 = checkpoint.precise_regs[number]
    checkpoint.precise_regs[number] = precise & live
    for register in range(10):
        if live & 1 == 0 and regs[register] is not None:
            frame = state.own(number)
            regs = frame.regs
            regs[register] = None
        live >>= 1
    if live_slots == -1:
        return
    precise = checkpoint.precise_slots[number]
    checkpoint.precise_slots[number] = precise & live_slots
    for spi, slot in enumerate(frame.stack):
        if slot is EMPTY_SLOT or live_slots >> spi & 1 or slot.object is not None:
            continue
        frame = state.own(number)
        frame.stack[spi] = EMPTY_SLOT
