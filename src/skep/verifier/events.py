"""The journal: typed events of one verification, in order; the log and explanations render it.

Events are made only when someone asked for them (``Request.collect_journal`` or a log level).
Frames in events are snapshots that nobody changes later.
"""

from dataclasses import dataclass

from skep.verifier.state import Checkpoint, Frame, Reference


@dataclass(frozen=True, slots=True)
class Entered:
    """An instruction is about to be examined; *frame* is what is known before it."""

    pc: int
    frame: Frame
    refs: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class FunctionEntered:
    """A subprogram is verified on its own: the main program (0) or a global function."""

    subprog: int
    name: str
    by_prototype: bool = False  # for whatever its prototype allows


@dataclass(frozen=True, slots=True)
class BranchPushed:
    """The way from *pc* to *target* is kept for later."""

    pc: int
    target: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """A kept branch is taken up: ``from previous_pc to pc``; *frame* is what is known there.

    *left* is the latest slot that was examined before.
    """

    previous_pc: int
    pc: int
    frame: Frame
    refs: tuple[Reference, ...]
    speculative: bool = False
    left: int = -1


@dataclass(frozen=True, slots=True)
class Jumped:
    """The path goes on somewhere else than at the next slot."""

    previous_pc: int
    pc: int


@dataclass(frozen=True, slots=True)
class Called:
    """A static subprogram is entered (or, *returning*, left) on the path."""

    pc: int
    caller: Frame
    callee: Frame
    returning: bool = False
    refs: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Pruned:
    """The rest of the path is covered by what was walked before; *frame* is what is known."""

    pc: int
    previous_pc: int
    frame: Frame
    refs: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Remembered:
    """The state before the next instruction is remembered."""

    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Looping:
    """The path has come back to the state of *checkpoint*; it is going to be refused."""

    checkpoint: Checkpoint
    frame: Frame
    refs: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Arrived:
    """The walk has come to a slot where states are compared; *frame* is what is known."""

    frame: Frame
    refs: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class StackRead:
    """A callee reads the bytes ``fp + low .. fp + high`` of a frame."""

    frame: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class StackFilled:
    """A helper fills the bytes ``fp + low .. fp + high`` of a frame."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Searching:
    """Where exact values came from is looked for, from slot *last* back to slot *first*.

    *subsequent* is the slot that comes after *last*, -1 where the path stands.
    """

    frame: int
    last: int
    first: int
    subsequent: int


@dataclass(frozen=True, slots=True)
class Undone:
    """The search comes to slot *pc* with *regs* and *slots* of the frame, as bit sets."""

    frame: int
    regs: int
    slots: int
    pc: int


@dataclass(frozen=True, slots=True)
class Marked:
    """The search for the origin of exact values reached frame *number* of *checkpoint*.

    *regs* and *slots* are what goes on being looked for, *precise_regs* and *precise_slots* all
    that matters there, as bit sets.
    """

    checkpoint: Checkpoint
    number: int
    regs: int
    slots: int
    precise_regs: int
    precise_slots: int


@dataclass(frozen=True, slots=True)
class PathEnded:
    """The path reached the end of the program."""

    pc: int


@dataclass(frozen=True, slots=True)
class Note:
    """A line of text that belongs into the log (level 2 unless *always*)."""

    text: str
    always: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A rule may not hold: the last event."""

    pc: int
    rule: str
    detail: str
    found: str
    hint: str
    frame: Frame | None
    path: tuple[int, ...]
    source: str
