"""Where the effort of a verification goes: instructions and states, by source line.

A program is "too complex" because some lines are walked again and again: each path that reaches a
loop or a join with other knowledge walks what follows once more. The line with the most
instructions is where to help the verifier, and the one with the most states where paths differ.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from skep.isa.disassembler import disassemble
from skep.session.listings import helper_name
from skep.verifier import Rejected, verify
from skep.verifier.interface import LineInfo, Request

if TYPE_CHECKING:
    from skep.verifier.check import Check


@dataclass(frozen=True, slots=True)
class Row:
    """The effort for one line, or for one instruction without line info.

    Args:
        place: ``file:line``, or ``insn N``. *text*: the line, or the instruction.
        first: slot of its first instruction.
        insns: instructions processed. *states*: states remembered.
        size: how many instructions it has.
        most: processed instructions of the one that was processed most.
    """

    place: str
    text: str
    first: int
    insns: int
    states: int
    size: int
    most: int


@dataclass(frozen=True, slots=True)
class Profile:
    """The effort for a program, rows with the most instructions first."""

    insns: int
    states: int
    rows: tuple[Row, ...]

    @property
    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        rows = [{name: getattr(row, name) for name in Row.__slots__} for row in self.rows]
        return {"insns": self.insns, "states": self.states, "rows": rows}


class _Counter:
    """Counts what the verifier does at each slot."""

    def __init__(self, size: int) -> None:
        self.insns, self.states = [0] * size, [0] * size

    def arrive(self, check: "Check") -> None:
        """See Observer."""
        self.insns[check.pc] += 1

    def remember(self, pc: int) -> None:
        """See Observer."""
        self.states[pc] += 1


def profile(request: Request) -> Profile:
    """Verify *request* once more, and count."""
    counter = _Counter(len(request.insns))
    with suppress(Rejected):  # its effort counts as well
        verify(replace(request, observer=counter, log_level=0, collect_journal=False))
    texts = dict(disassemble(request.insns, helper_name=helper_name))
    groups: dict[tuple[str, str], list[int]] = {}
    for pc, text in texts.items():
        line = line_of(request.line_infos, pc)
        key = (f"insn {pc}", text) if line is None else (place_of(line), line.text.strip())
        groups.setdefault(key, []).append(pc)
    rows = [_row(*key, pcs, counter) for key, pcs in groups.items()]
    rows = [row for row in rows if row.insns]
    rows.sort(key=lambda row: (-row.insns, -row.states, row.first))
    return Profile(sum(counter.insns), sum(counter.states), tuple(rows))


def _row(place: str, text: str, pcs: Sequence[int], counter: _Counter) -> Row:
    insns = [counter.insns[pc] for pc in pcs]
    states = sum(counter.states[pc] for pc in pcs)
    return Row(place, text, pcs[0], sum(insns), states, len(pcs), max(insns))


def line_of(infos: Sequence[LineInfo], pc: int) -> LineInfo | None:
    """The source line of slot *pc*; None without line info."""
    found: LineInfo | None = None
    for info in infos:
        if info.pc > pc:
            break
        found = info
    return found


def place_of(line: LineInfo) -> str:
    """``file:line``, without folders."""
    return f"{line.file.rsplit('/', 1)[-1]}:{line.line}"
