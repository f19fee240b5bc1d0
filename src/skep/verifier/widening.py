"""Widening: what changed from one round of a loop to the next, and did not matter, becomes unknown.

Only for loops that end by a contract (iterators, callbacks, may_goto): there the walk goes on until
a round adds nothing new.

Source: Linux 6.18 kernel/bpf/verifier.c (find_prev_entry, widen_imprecise_scalars).
"""

from skep.verifier.renaming import Renaming
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
    """Forget every scalar of *new* that differs from *old* and was not marked precise there.

    One differs, too, if it is linked to others than before; so the order is Linux's.
    """
    ids = Renaming(0)
    for number in range(len(new.frames) - 1, -1, -1):
        mine = old.state.frames[number]
        theirs = new.frames[number]
        precise = old.precise_regs[number]
        for register in range(10):
            before, after = mine.regs[register], theirs.regs[register]
            if precise >> register & 1 or not _may_widen(before, after, ids):
                continue
            theirs = new.own(number)
            theirs.regs[register] = UNKNOWN
        precise = old.precise_slots[number]
        for spi in range(min(len(mine.stack), len(theirs.stack))):
            slot, now = mine.stack[spi], theirs.stack[spi]
            if precise >> spi & 1 or slot.types[0] != SPILL or now.types[0] != SPILL:
                continue
            if _may_widen(slot.value, now.value, ids):
                theirs = new.own(number)
                theirs.stack[spi] = Slot(now.types, UNKNOWN)


def _may_widen(before: object, after: object, ids: Renaming) -> bool:
    if not isinstance(before, Scalar) or not isinstance(after, Scalar):
        return False
    if before is not after and not (
        before.same_range(after) and before.delta == after.delta and before.moved == after.moved
    ):
        return True
    return not ids.same(_link(before), _link(after))


def _link(scalar: Scalar) -> int:
    """What *scalar* is linked to and how, as a number; 0 for nothing."""
    return scalar.id << 2 | scalar.moved >> 5 if scalar.id else 0
