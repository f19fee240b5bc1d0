"""Where control goes: successors of a slot, subprograms and basic blocks.

A pc is a slot index. The second slot of a wide instruction is never a target of fall-through.
Nothing here judges: a jump out of range simply gives a pc out of range.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from skep.isa import table
from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem, Use


@dataclass(frozen=True, slots=True)
class Block:
    """Slots ``start`` to ``end`` (exclusive) that run one after the other.

    *successors* are the starts of the blocks that may follow, fall-through first.
    """

    start: int
    end: int
    successors: tuple[int, ...]


def width(insn: Insn) -> int:
    """Slots that *insn* takes: 2 for a wide one."""
    return 2 if insn.code == table.LD_IMM64 else 1


def jump_target(pc: int, op: Op, insn: Insn) -> int | None:
    """The pc that a jump at *pc* may go to; None if *op* is no jump (calls are none)."""
    if op.kind is Kind.JUMP or op.kind is Kind.MAY_GOTO:
        return pc + 1 + insn.off
    if op.kind is Kind.GOTO:
        return pc + 1 + (insn.imm if op.imm is Use.TARGET else insn.off)
    return None


def call_target(pc: int, op: Op, insn: Insn) -> int | None:
    """The first pc of the subprogram that a local call or a function constant at *pc* names."""
    if op.sem is Sem.LOCAL or op.sem is Sem.FUNC:
        return pc + 1 + insn.imm
    return None


def successors(pc: int, insn: Insn) -> tuple[int, ...]:
    """Every pc that may follow *pc* in the same subprogram, fall-through first."""
    op = table.op_of(insn)
    if op is None:
        return (pc + 1,)
    if op.kind is Kind.EXIT:
        return ()
    target = jump_target(pc, op, insn)
    if target is None:
        return (pc + width(insn),)
    if op.kind is Kind.GOTO:
        return (target,)
    return (pc + 1,) if target == pc + 1 else (pc + 1, target)


def subprogram_starts(insns: Sequence[Insn]) -> list[int]:
    """First pcs of all subprograms, in order: 0, and what local calls and constants name."""
    starts = {0}
    pc = 0
    while pc < len(insns):
        insn = insns[pc]
        op = table.op_of(insn)
        target = call_target(pc, op, insn) if op is not None else None
        if target is not None:
            starts.add(target)
        pc += width(insn)
    return sorted(start for start in starts if 0 <= start < len(insns))


def blocks(insns: Sequence[Insn], start: int = 0, end: int = -1) -> list[Block]:
    """Basic blocks of the subprogram ``start`` .. ``end`` (exclusive, -1: to the last slot).

    Successors outside of the subprogram are kept: they tell that it falls off its end.
    """
    if end < 0:
        end = len(insns)
    leaders = {start}
    follows: dict[int, tuple[int, ...]] = {}
    order: list[int] = []
    pc = start
    while pc < end:
        order.append(pc)
        following = pc + width(insns[pc])
        after = successors(pc, insns[pc])
        follows[pc] = after
        if after != (following,):
            leaders.add(following)
            leaders.update(after)
        pc = following
    found: list[Block] = []
    first = start
    for pc in order:
        following = pc + width(insns[pc])
        if following >= end or following in leaders:
            found.append(Block(first, following, follows[pc]))
            first = following
    return found
