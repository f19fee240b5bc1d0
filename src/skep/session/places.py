"""What is known at a place that a user names: a slot, or a line of the source."""

from dataclasses import dataclass
from typing import Any

from skep.errors import LoadError
from skep.isa.flow import width
from skep.session.branches import DeadBranch, dead_branch, guards_of, place_fields, text_at
from skep.session.observation import Point, Watcher, as_rows, watch
from skep.session.profile import line_of, place_of
from skep.verifier.interface import LineInfo, Request


@dataclass(frozen=True, slots=True)
class Place:
    """One instruction.

    Args:
        insn: its slot. *text*: the instruction. *line*: its source line; None without line info.
        point: what became known there; None if no path reaches it.
        dead: for a jump that goes one way only, itself; for what no path reaches, the jumps that
            could lead there.
    """

    insn: int
    text: str
    line: LineInfo | None
    point: Point | None
    dead: tuple[DeadBranch, ...]

    @property
    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        point = self.point
        return {
            "insn": self.insn,
            "text": self.text,
            "source": place_fields(self.line),
            "visits": point.visits if point is not None else 0,
            "merged": point.merged if point is not None else {},
            "states": as_rows(point.states) if point is not None else [],
            "left_out": point.left_out if point is not None else 0,
            "dead_branches": [branch.as_dict for branch in self.dead],
        }


def slots_of(request: Request, place: str) -> list[int]:
    """The slots of the instructions at *place*: a number, or ``FILE:LINE``.

    Raises:
        LoadError: *place* is neither.
    """
    if place.isdecimal():
        slot = int(place)
        return [slot] if slot in _starts(request) else []
    file, colon, line = place.rpartition(":")
    if not colon or not file or not line.isdecimal():
        raise LoadError("a place is a slot, or FILE:LINE", name=place)
    return [
        pc
        for pc in _starts(request)
        if (info := line_of(request.line_infos, pc)) is not None
        and info.line == int(line)
        and (info.file == file or info.file.endswith("/" + file.removeprefix("./")))
    ]


def _starts(request: Request) -> list[int]:
    starts, pc = [], 0
    while pc < len(request.insns):
        starts.append(pc)
        pc += width(request.insns[pc])
    return starts


def nearest(request: Request, place: str) -> list[str]:
    """Lines that *place* may have meant: those of the program nearest to it."""
    number = int(place.rpartition(":")[2])
    places = {place_of(info): abs(info.line - number) for info in request.line_infos if info.line}
    return sorted(places, key=lambda name: places[name])[:3]


def look(request: Request, pcs: list[int]) -> list[Place]:
    """Verify once more, and say what is known at *pcs*."""
    watcher = watch(request)
    return [_look_at(request, watcher, pc) for pc in pcs]


def _look_at(request: Request, watcher: Watcher, pc: int) -> Place:
    point = watcher.points.get(pc)
    jumps = [pc] if point is not None else guards_of(request, frozenset(watcher.points), pc)
    dead = [dead_branch(request, watcher, jump) for jump in jumps]
    return Place(
        pc,
        text_at(request, pc),
        line_of(request.line_infos, pc),
        point,
        tuple(branch for branch in dead if branch is not None),
    )
