"""Loops that are tested at both ends: their first test is written a second time, at their end.

::

    head: if p + 2 > end goto out        head: if p + 2 > end goto out
          ...                            body: ...
          if i != n goto head      =>          if i == n goto out
    out:                                       if p + 2 > end goto out
                                               goto body

So all tests of such a loop stand at its end, and what leaves it is the same wherever it is left:
only then LLVM counts its turns before it begins, and makes vectors of it. It does so by itself
for loops that are tested at their beginning only.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from skep.isa import flow
from skep.isa.flow import Block
from skep.isa.table import Kind, op_of
from skep.verifier.interface import Proof

LONGEST: Final = 12  # slots of a test


def tests_at_both_ends(proof: Proof, blocks: Sequence[Block]) -> Mapping[int, int]:
    """The first blocks of such loops: the last slot of each, by its first one."""
    latches: dict[int, list[Block]] = {}
    for latch in blocks:
        for start in latch.successors:
            if start < latch.start:
                latches.setdefault(start, []).append(latch)
    loops = [
        (head, latches[head.start][0], last)
        for head in blocks
        if len(latches.get(head.start, ())) == 1 and (last := _test(proof, head)) >= 0
    ]
    before = _predecessors(blocks) if loops else {}
    return {head.start: last for head, latch, last in loops if _both_leave(head, latch, before)}


def _test(proof: Proof, head: Block) -> int:
    """The last slot of *head*, if it is a short test without effects; else -1.

    Nor may it load: nobody can tell beforehand how often such a test is passed.
    """
    if head.end - head.start > LONGEST or len(head.successors) != 2:
        return -1
    pc = last = head.start
    while pc < head.end:
        op = op_of(proof.insns[pc])
        if op is None or op.kind not in (Kind.ALU, Kind.JUMP):
            return -1
        last = pc
        pc += flow.width(proof.insns[pc])
    return last


def _predecessors(blocks: Sequence[Block]) -> Mapping[int, Sequence[int]]:
    before: dict[int, list[int]] = {}
    for block in blocks:
        for successor in block.successors:
            before.setdefault(successor, []).append(block.start)
    return before


def _both_leave(head: Block, latch: Block, before: Mapping[int, Sequence[int]]) -> bool:
    """Whether each of the two leads out of the loop one way, and on in it the other."""
    inside, wanted = {head.start, latch.start}, [latch.start]
    while wanted:
        for start in before.get(wanted.pop(), ()):
            if start not in inside:
                inside.add(start)
                wanted.append(start)
    return all(
        len(end.successors) == 2 and sum(each in inside for each in end.successors) == 1
        for end in (head, latch)
    )
