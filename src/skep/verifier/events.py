"""The journal: typed events of one verification, in order; the log and explanations render it.

Events are made only when someone asked for them (``Request.collect_journal`` or a log level).
Frames in events are snapshots that nobody changes later.
"""

from dataclasses import dataclass

from skep.verifier.state import Frame, Reference


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


@dataclass(frozen=True, slots=True)
class BranchPushed:
    """The way from *pc* to *target* is kept for later."""

    pc: int
    target: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """A kept branch is taken up: ``from previous_pc to pc``; *frame* is what is known there."""

    previous_pc: int
    pc: int
    frame: Frame
    refs: tuple[Reference, ...]
    speculative: bool = False


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


@dataclass(frozen=True, slots=True)
class Pruned:
    """The rest of the path is covered by what was walked before; *frame* is what is known."""

    pc: int
    previous_pc: int
    frame: Frame


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
