"""Programs that can be cut: lines instead of slots, and jumps that follow what they jump to.

A line whose target is gone leads to the next one that is left.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from skep.isa import table
from skep.isa.flow import call_target, jump_target, width
from skep.isa.insn import Insn
from skep.isa.table import Kind, Sem, Use, op_of
from skep.verifier.interface import FunctionInfo

MAX_OFF: Final = 0x7FFF
EXIT: Final = table.slot("exit")


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction.

    Args:
        id: its place in the original program: lines are always in this order.
        insn: the slot. *second*: the second one, of a wide instruction.
        target: id of the line it jumps to or calls, or names; -1 for none.
    """

    id: int
    insn: Insn
    second: Insn | None = None
    target: int = -1

    @property
    def size(self) -> int:
        """Slots."""
        return 1 if self.second is None else 2


Lines = tuple[Line, ...]


def lines_of(insns: Sequence[Insn]) -> Lines:
    """The lines of a program; a line's id is its slot."""
    found, pc = [], 0
    while pc < len(insns):
        insn = insns[pc]
        op = op_of(insn)
        goal = None
        if op is not None:
            goal = jump_target(pc, op, insn)
            goal = call_target(pc, op, insn) if goal is None else goal
        second = insns[pc + 1] if width(insn) == 2 and pc + 1 < len(insns) else None
        found.append(Line(pc, insn, second, -1 if goal is None else goal))
        pc += 1 if second is None else 2
    return tuple(found)


def places(lines: Lines) -> list[int]:
    """The slot of each line."""
    found, pc = [], 0
    for line in lines:
        found.append(pc)
        pc += line.size
    return found


def assemble(lines: Lines) -> list[Insn] | None:
    """The slots of a program; None if a jump is too far."""
    starts, ids = places(lines), [line.id for line in lines]
    size = starts[-1] + lines[-1].size if lines else 0
    insns: list[Insn] = []
    for line, pc in zip(lines, starts, strict=True):
        insn = line.insn
        if line.target >= 0:
            index = bisect_left(ids, line.target)
            distance = (starts[index] if index < len(starts) else size) - pc - 1
            op = op_of(insn)
            wide = op is not None and (op.imm is Use.TARGET or op.sem in (Sem.LOCAL, Sem.FUNC))
            if not wide and not -MAX_OFF - 1 <= distance <= MAX_OFF:
                return None
            insn = replace(insn, imm=distance) if wide else replace(insn, off=distance)
        insns.append(insn)
        if line.second is not None:
            insns.append(line.second)
    return insns


def functions_of(lines: Lines, infos: Sequence[FunctionInfo]) -> list[FunctionInfo]:
    """Where the functions of the original program begin now; those of no line are gone."""
    starts, ids = places(lines), [line.id for line in lines]
    found: dict[int, FunctionInfo] = {}
    for number, info in enumerate(infos):
        end = infos[number + 1].pc if number + 1 < len(infos) else ids[-1] + 1 if ids else 0
        index = bisect_left(ids, info.pc)
        if index < len(ids) and ids[index] < end:
            found[starts[index]] = FunctionInfo(starts[index], info.type_id)
    return list(found.values())


def simpler(line: Line) -> Iterator[Line]:
    """Lines that say less than *line*, the simplest first; never one that is as simple."""
    if line.insn == EXIT:
        return
    yield replace(line, insn=EXIT, second=None, target=-1)
    op = op_of(line.insn)
    if op is None:
        return
    if op.kind is Kind.JUMP:
        yield replace(line, insn=table.slot("ja"))
    zero = table.slot("mov64_imm", line.insn.dst)
    if op.kind is Kind.CALL:
        zero = table.slot("mov64_imm", 0)
    writes = op.kind in (Kind.ALU, Kind.LOAD, Kind.LOAD_SX, Kind.CALL, Kind.WIDE)
    if writes and line.insn != zero and not _is_number(line.insn):
        yield replace(line, insn=zero, second=None, target=-1)
    if op.imm is Use.NUMBER and op.kind not in (Kind.CALL, Kind.WIDE):
        yield from (
            replace(line, insn=replace(line.insn, imm=number)) for number in _smaller(line.insn.imm)
        )


def _is_number(insn: Insn) -> bool:
    return insn.code == table.slot("mov64_imm").code and insn.off == 0


def _smaller(number: int) -> list[int]:
    """Numbers nearer to zero."""
    tried = [0, 1, int(number / 2), int(number / 256)]
    return [n for n in dict.fromkeys(tried) if abs(n) < abs(number)]
