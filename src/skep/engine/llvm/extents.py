"""How many bytes of the packet may be read, where a comparison with its end tells.

::

    r3 = r6          r6 is data
    r3 += 1024
    if r3 > r7 …     r7 is data_end: from here on 1024 bytes can be read from r6

Loads that no path reaches may be made then, so searches that end early become vectors too.
Only what a context gave and constants were added to is followed, and not past calls, which may
move the packet.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from skep.engine.llvm.pointers import is_address
from skep.isa.flow import Block
from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem, op_of, registers_written
from skep.uapi import contexts
from skep.uapi.contexts import Points
from skep.verifier.interface import Proof

END: Final = -1
UNKNOWN: Final = -2
LEAST: Final = 32  # bytes of which it is worth telling
MOST: Final = 0xFFFF
REGISTERS: Final = 11
_POINTS: Final = {Points.PACKET: 0, Points.PACKET_END: END}
Places = list[int]  # of each register: bytes from data on, END or UNKNOWN


def extents(proof: Proof, blocks: Sequence[Block]) -> Mapping[int, tuple[int, int, bool]]:
    """For jumps: the register that is so many bytes behind data, and which way they are there.

    Only of functions with loops. The way is true for that of the jump, false for going on.
    """
    if not any(after <= block.start for block in blocks for after in block.successors):
        return {}
    starts = {block.start for block in blocks}  # no path reaches what else jumps lead to
    at_start: dict[int, Places] = {blocks[0].start: [UNKNOWN] * REGISTERS} if blocks else {}
    changed = set(at_start)
    found: dict[int, tuple[int, int, bool]] = {}
    while changed:
        for block in blocks:
            if block.start in changed:
                changed.remove(block.start)
                last, places = _walk(proof, block, list(at_start[block.start]))
                _note(proof, last, places, found)
                for after in starts.intersection(block.successors):
                    _merge(at_start, after, places, changed)
    return found


def _merge(at_start: dict[int, Places], block: int, places: Places, changed: set[int]) -> None:
    before = at_start.get(block)
    if before is None:
        at_start[block] = places
        changed.add(block)
        return
    both = [x if x == y else UNKNOWN for x, y in zip(before, places, strict=True)]
    if both != before:
        at_start[block] = both
        changed.add(block)


def _walk(proof: Proof, block: Block, places: Places) -> tuple[int, Places]:
    """The last slot of *block*, and where registers point then."""
    pc = last = block.start
    while pc < block.end:
        insn, last = proof.insns[pc], pc
        op = op_of(insn)
        if op is not None:
            _step(proof, pc, op, insn, places)
        pc += 2 if op is not None and op.kind is Kind.WIDE else 1
    return last, places


def _step(proof: Proof, pc: int, op: Op, insn: Insn, places: Places) -> None:
    if op.kind in (Kind.CALL, Kind.CALLX):
        places[:] = [UNKNOWN] * REGISTERS
        return
    place = UNKNOWN
    if op.kind is Kind.ALU and op.bits == 64:
        old = places[insn.dst]
        if op.sem is Sem.MOV and op.reg_source:
            place = places[insn.src]
        elif op.sem is Sem.ADD and not op.reg_source and 0 <= old <= MOST and insn.imm >= 0:
            place = old + insn.imm
    elif op.kind is Kind.LOAD and is_address(proof, pc):
        place = _loaded(proof, insn.off)
    written = registers_written(op, insn)
    for register in range(REGISTERS):
        if written >> register & 1:
            places[register] = UNKNOWN
    if written:
        places[insn.dst] = place


def _loaded(proof: Proof, offset: int) -> int:
    context = contexts.by_name(proof.request.program_type.context)
    if context is not None:
        for field in context.fields:
            if field.slot >= 0 and context.native_base + 8 * field.slot == offset:
                return _POINTS.get(field.points, UNKNOWN)
    return UNKNOWN


def _note(proof: Proof, pc: int, places: Places, found: dict[int, tuple[int, int, bool]]) -> None:
    """Note what the jump at *pc* tells, or that it tells nothing after all."""
    found.pop(pc, None)
    insn = proof.insns[pc]
    op = op_of(insn)
    if op is None or op.kind is not Kind.JUMP or op.bits != 64 or not op.reg_source:
        return
    for register, other, jumps, stays in (
        (insn.dst, insn.src, (Sem.ULE, Sem.ULT), (Sem.UGT, Sem.UGE)),
        (insn.src, insn.dst, (Sem.UGE, Sem.UGT), (Sem.ULT, Sem.ULE)),
    ):
        size = places[register]
        if places[other] == END and LEAST <= size <= MOST and op.sem in (*jumps, *stays):
            found[pc] = register, size, op.sem in jumps
