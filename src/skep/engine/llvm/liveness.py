"""Which registers a block reads before it writes them: only those are kept between blocks."""

from collections.abc import Mapping, Sequence

from skep.isa import flow
from skep.isa.insn import Insn
from skep.isa.table import op_of, registers_read, registers_written


def live_registers(insns: Sequence[Insn], blocks: Sequence[flow.Block]) -> Mapping[int, int]:
    """For each of *blocks*, which are a function: its live registers, a bit set."""
    needs, kills = {}, {}
    for block in blocks:
        needs[block.start], kills[block.start] = _effect(insns, block)
    live = dict(needs)
    changed = True
    while changed:
        changed = False
        for block in reversed(blocks):
            after = 0
            for successor in block.successors:
                after |= live.get(successor, 0)
            before = needs[block.start] | after & ~kills[block.start]
            if before != live[block.start]:
                live[block.start], changed = before, True
    return live


def _effect(insns: Sequence[Insn], block: flow.Block) -> tuple[int, int]:
    """Registers that *block* reads before it writes them, and all that it writes."""
    reads, writes, pc = 0, 0, block.start
    while pc < block.end:
        insn = insns[pc]
        op = op_of(insn)
        if op is not None:
            reads |= registers_read(op, insn) & ~writes
            writes |= registers_written(op, insn)
        pc += flow.width(insn)
    return reads, writes
