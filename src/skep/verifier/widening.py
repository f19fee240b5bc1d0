"""Widening: what changed from one round of a loop to the next, and did not matter, becomes unknown.

Only for loops that end by a contract (iterators, callbacks, may_goto): there the walk goes on until
a round adds nothing new.

Source: Linux 6.18 kernel/bpf/verifier.c (find_prev_entry, widen_imprecise_scalars).
"""

from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.state import SPILL, Checkpoint, Slot, State


def previous_round(state: State, pc: int) -> Checkpoint | None:
    """The checkpoint of the round before, as seen from the instruction at *pc* itself."""
    return latest_entry(state, state.parent.state.parent, pc) if state.parent is not None else None


def latest_entry(state: State, checkpoint: Checkpoint | None, pc: int) -> Checkpoint | None:
    """The latest of *checkpoint* and those before it that stands at *pc* in the same calls."""
    while checkpoint is not None:
        old = checkpoint.state
        if old.pc == pc and _same_callsites(old, state):
            return checkpoint
        checkpoint = old.parent
    return None


def _same_callsites(old: State, new: State) -> bool:
    if len(old.frames) != len(new.frames):
        return False
    for mine, theirs in zip(old.frames, new.frames, strict=True):
        if mine.callsite != theirs.callsite:
            return False
    return True


def widen(old: Checkpoint, new: State) -> None:
    """Forget every scalar of *new* that differs from *old* and was not marked precise there."""
    for number in range(len(new.frames)):
        mine = old.state.frames[number]
        theirs = new.frames[number]
        precise = old.precise_regs[number]
        for register in range(10):
            before, after = mine.regs[register], theirs.regs[register]
            if precise >> register & 1 or not _may_widen(before, after):
                continue
            theirs = new.own(number)
            theirs.regs[register] = UNKNOWN
        precise = old.precise_slots[number]
        for spi in range(min(len(mine.stack), len(theirs.stack))):
            slot, now = mine.stack[spi], theirs.stack[spi]
            if precise >> spi & 1 or slot.types[0] != SPILL or now.types[0] != SPILL:
                continue
            if _may_widen(slot.value, now.value):
                theirs = new.own(number)
                theirs.stack[spi] = Slot(now.types, UNKNOWN)


def _may_widen(before: object, after: object) -> bool:
    if not isinstance(before, Scalar) or not isinstance(after, Scalar) or before is after:
        return False
    return not (before.same_range(after) and (before.id != 0) == (after.id != 0))
