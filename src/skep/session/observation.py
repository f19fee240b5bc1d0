"""What the verifier knew at the instructions of a program: each visit, and all of them together.

The merged view holds, for each register and stack slot, a value that covers those of all visits: a
range for numbers, otherwise the alternatives. What a visit lacks is missing from it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from skep.verifier import Rejected, tnum, verify
from skep.verifier.interface import Request
from skep.verifier.notation import references_text, slot_text, value_text
from skep.verifier.scalar import Scalar
from skep.verifier.state import Frame, Slot
from skep.verifier.values import Value

if TYPE_CHECKING:
    from skep.verifier.check import Check

MAX_STATES: Final = 1000  # different states of one instruction that are kept
MAX_ALTERNATIVES: Final = 6

Known = dict[str, str]


@dataclass(frozen=True, slots=True)
class Visited:
    """What was known at an instruction, on one visit or on several.

    Args:
        first: number of the first such visit, from 1. *times*: how many there are.
        came_from: slots that such a visit came from; -1 is the entry.
        frame: depth of the call. *known*: registers and slots, by name, in the log's notation.
    """

    first: int
    times: int
    came_from: tuple[int, ...]
    frame: int
    known: Known


class Merged:
    """What is known on all of several visits."""

    def __init__(self) -> None:
        self._unions: dict[str, _Union] | None = None

    def add(self, frame: Frame, known: Known) -> None:
        """Take in one visit: *known* are the texts of what *frame* holds."""
        unions = self._unions
        if unions is None:
            unions = self._unions = {name: _Union(frame.number) for name in known}
        for name in [name for name in unions if name not in known]:
            del unions[name]
        for name, union in unions.items():
            union.add(_value_of(frame, name), known[name])

    @property
    def known(self) -> Known:
        """The union of each register and slot."""
        return {name: union.text for name, union in (self._unions or {}).items()}


class Point:
    """What became known at one instruction."""

    def __init__(self) -> None:
        self.visits = 0
        self.taken = self.not_taken = self.both = 0  # of a conditional jump
        self.left_out = 0  # different states beyond MAX_STATES
        self._states: dict[tuple[tuple[str, str], ...], list[int]] = {}
        self._from: dict[tuple[tuple[str, str], ...], dict[int, None]] = {}
        self._depth: dict[tuple[tuple[str, str], ...], int] = {}
        self._merged = Merged()

    def add(self, frame: Frame, known: Known, previous: int) -> None:
        """Take in one visit."""
        self.visits += 1
        self._merged.add(frame, known)
        key = tuple(known.items())
        if key in self._states:
            self._states[key][1] += 1
            self._from[key][previous] = None
        elif len(self._states) < MAX_STATES:
            self._states[key] = [self.visits, 1]
            self._from[key] = {previous: None}
            self._depth[key] = frame.number
        else:
            self.left_out += 1

    @property
    def states(self) -> list[Visited]:
        """The different states, in the order of their first visits."""
        return [
            Visited(first, times, tuple(self._from[key]), self._depth[key], dict(key))
            for key, (first, times) in self._states.items()
        ]

    @property
    def merged(self) -> Known:
        """What is known on every visit."""
        return self._merged.known

    @property
    def way(self) -> str:
        """Of a conditional jump: "always taken", "never taken", or "" if it goes both ways."""
        if self.both or bool(self.taken) == bool(self.not_taken):
            return ""
        return "always taken" if self.taken else "never taken"


class _Union:
    """A value that covers several."""

    def __init__(self, frame: int) -> None:
        self._frame = frame
        self._range: Scalar | None = None
        self._only_numbers = True
        self._texts: dict[str, None] = {}

    def add(self, value: Value | None, text: str) -> None:
        if isinstance(value, Scalar) and self._only_numbers:
            covered = self._range is not None and self._range.covers(value)
            if not covered:
                self._range = value if self._range is None else hull(self._range, value)
        else:
            self._only_numbers = False
        if len(self._texts) <= MAX_ALTERNATIVES:
            self._texts[text] = None

    @property
    def text(self) -> str:
        """The range, or the alternatives."""
        if len(self._texts) > 1 and self._only_numbers and self._range is not None:
            return value_text(self._range.without_id(), self._frame)
        shown = list(self._texts)[:MAX_ALTERNATIVES]
        return " | ".join([*shown, *(["..."] if len(self._texts) > MAX_ALTERNATIVES else [])])


def hull(x: Scalar, y: Scalar) -> Scalar:
    """The narrowest bounds that cover both."""
    both = x.copy_range()
    both.value_word, both.mask_word = tnum.union(
        x.value_word, x.mask_word, y.value_word, y.mask_word
    )
    both.umin_word = x.umin_word if x.umin <= y.umin else y.umin_word
    both.umax_word = x.umax_word if x.umax >= y.umax else y.umax_word
    both.smin_word, both.smax_word = min(x.smin, y.smin), max(x.smax, y.smax)
    both.u32_min, both.u32_max = min(x.u32_min, y.u32_min), max(x.u32_max, y.u32_max)
    both.s32_min, both.s32_max = min(x.s32_min, y.s32_min), max(x.s32_max, y.s32_max)
    return both


def known_in(frame: Frame, refs: str = "") -> Known:
    """Registers and stack slots of *frame* that hold something, by name."""
    known = {
        f"R{number}": value_text(value, frame.number)
        for number, value in enumerate(frame.regs)
        if value is not None
    }
    for spi, slot in enumerate(frame.stack):
        name, _, text = slot_text(slot, spi, frame.number).partition("=")
        if name:
            known[name] = text
    name, _, text = refs.partition("=")
    return known | ({name: text} if name else {})


def _value_of(frame: Frame, name: str) -> Value | None:
    """The value of a register, or of a slot that holds all of one."""
    if name.startswith("R"):
        return frame.regs[int(name[1:])]
    if not name.startswith("fp"):
        return None
    slot: Slot = frame.slot(-int(name[2:]) // 8 - 1)
    return slot.value if len(set(slot.types)) == 1 else None


class Watcher:
    """Sees what is known at each instruction, and behind each on the way to the next."""

    def __init__(self) -> None:
        self.points: dict[int, Point] = {}
        self.ways: dict[tuple[int, int], Merged] = {}  # from slot, to slot
        self._waiting = 0  # branches that waited at the instruction before

    def arrive(self, check: "Check") -> None:
        """See Observer."""
        pc, previous = check.pc, check.previous_pc
        before = self.points.get(previous)
        if before is not None:
            self._leave(before, check)
        self._waiting = len(check.pending)
        frame = check.state.frames[-1]
        known = known_in(frame, references_text(check.state.refs))
        self.points.setdefault(pc, Point()).add(frame, known, previous)
        self.ways.setdefault((previous, pc), Merged()).add(frame, known)

    def remember(self, pc: int) -> None:
        """See Observer."""

    def _leave(self, point: Point, check: "Check") -> None:
        """Count which ways the jump before could go: a branch that waits is the other one."""
        step = check.program.steps[check.previous_pc]
        if step is None or step.decide is None or step.target == step.next_pc:
            return
        added = len(check.pending) - self._waiting
        if added > 0:
            point.both += 1
        elif added == 0 and check.pc == step.target:
            point.taken += 1
        elif added == 0:
            point.not_taken += 1


def watch(request: Request) -> Watcher:
    """Verify once more, and see what is known."""
    watcher = Watcher()
    with suppress(Rejected):
        verify(replace(request, observer=watcher, log_level=0, collect_journal=False))
    return watcher


def as_rows(states: Sequence[Visited]) -> list[dict[str, Any]]:
    """Visits, ready for JSON."""
    return [
        {"first": s.first, "times": s.times, "from": list(s.came_from), "frame": s.frame,
         "known": s.known} for s in states
    ]  # fmt: skip
