"""Which registers a block finds as pointers: those are kept as pointers between blocks.

To LLVM an integer that was a pointer is an opaque number: it sees neither that accesses lie in a
row nor what they cannot touch. So what is a pointer stays one: addresses that contexts and maps
give, the frame pointer, and sums of which the verifier says which operand the pointer is. This is
a matter of notation: pointer or integer, a register holds the same 64 bits.
"""

from collections.abc import Mapping, Sequence

from skep.isa import flow
from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem, op_of, registers_written
from skep.verifier.interface import Memory, Proof

FIRST = 1  # what Proof.moved says of a sum
SECOND = 2
STACK_ONLY = 1 << 10
EVERY = 0x7FF


def pointer_registers(proof: Proof, function: Sequence[flow.Block]) -> Mapping[int, int]:
    """For each block of *function*: the registers that hold pointers at its start, a bit set."""
    blocks = [block for block in function if proof.seen[block.start]]
    found = {block.start: EVERY for block in blocks}
    changed = set(found)
    found[function[0].start] = STACK_ONLY  # though no path may reach the whole function
    while changed:
        for block in blocks:
            if block.start in changed:
                changed.remove(block.start)
                after = _after(proof, block, found[block.start])
                for successor in block.successors:
                    before = found.get(successor)
                    if before is not None and before & after != before:
                        found[successor] = before & after
                        changed.add(successor)
    return found


def is_address(proof: Proof, pc: int) -> bool:
    """Whether the load at *pc* takes an address from a context: those were rewritten."""
    return proof.memory[pc] == Memory.CONTEXT and proof.request.insns[pc] != proof.insns[pc]


def pointer_operand(proof: Proof, pc: int, op: Op) -> int:
    """Which operand of the sum at *pc* is the pointer that the result is based on; 0: neither."""
    if op.bits != 64 or not proof.moved:
        return 0
    which = proof.moved[pc]
    if op.sem is Sem.ADD and which != FIRST | SECOND:
        return which
    return FIRST if op.sem is Sem.SUB and which == FIRST else 0


def _after(proof: Proof, block: flow.Block, pointers: int) -> int:
    pc = block.start
    while pc < block.end:
        insn = proof.insns[pc]
        op = op_of(insn)
        if op is None or op.kind is Kind.JUMP:
            pc += 1
            continue
        gained = 1 << insn.dst if _makes_pointer(proof, pc, op, insn, pointers) else 0
        lost = 1 << insn.dst if op.kind is Kind.ALU else registers_written(op, insn)
        pointers = pointers & ~lost | gained
        pc += 2 if op.kind is Kind.WIDE else 1
    return pointers


def _makes_pointer(proof: Proof, pc: int, op: Op, insn: Insn, pointers: int) -> bool:
    """Whether the instruction leaves a pointer in its destination."""
    if op.kind is Kind.ALU:
        if op.sem is Sem.MOV:
            return op.bits == 64 and op.reg_source and bool(pointers >> insn.src & 1)
        return pointer_operand(proof, pc, op) != 0
    if op.kind is Kind.LOAD:
        return is_address(proof, pc)
    return op.sem in (Sem.MAP_VALUE, Sem.MAP_IDX_VALUE)
