"""What the log of level 2 tells of the search for the origin of exact values.

A tale is the journal that the search adds events to; it is None unless that level was asked for.

Source: Linux 6.18 kernel/bpf/verifier.c (__mark_chain_precision, mark_all_scalars_precise,
propagate_precision).
"""

from mypy_extensions import i64

from skep.verifier.events import Marked, Note
from skep.verifier.state import MAX_SLOTS, Checkpoint
from skep.verifier.wanted import Wanted


def _names(regs: i64, slots: i64) -> list[str]:
    names = [f"r{register}" for register in range(10) if regs >> register & 1]
    return names + [f"fp{-8 * (spi + 1)}" for spi in range(MAX_SLOTS) if slots >> spi & 1]


def tell_propagated(tale: list[object], wanted: Wanted) -> None:
    """What mattered in the state that covers the current one is looked for."""
    for frame in range(wanted.frame, -1, -1):
        names = _names(wanted.regs_of(frame), wanted.slots_of(frame))
        if names:
            tale.append(Note(f"frame {frame}: propagating {','.join(names)}"))


def tell_marked(tale: list[object], parent: Checkpoint, wanted: Wanted) -> None:
    """The search has passed *parent* and goes on with *wanted*."""
    for frame in range(wanted.frame, -1, -1):
        regs, slots = wanted.regs_of(frame), wanted.slots_of(frame)
        precise = (parent.precise_regs[frame], parent.precise_slots[frame])
        tale.append(Marked(parent, frame, regs, slots, *precise))


def tell_surrender(tale: list[object], frame: int) -> None:
    """The search could not go on."""
    text = f"mark_precise: frame{frame}: falling back to forcing all scalars precise"
    tale.append(Note(text))


def tell_forced(tale: list[object], parent: Checkpoint, number: int, regs: i64, slots: i64) -> None:
    """Scalars *regs* and *slots* of a frame of *parent* count as precise."""
    new_regs: i64 = regs & ~parent.precise_regs[number]
    new_slots: i64 = slots & ~parent.precise_slots[number]
    tale.extend(
        Note(f"force_precise: frame{number}: forcing {name} to be precise")
        for name in _names(new_regs, new_slots)
    )
