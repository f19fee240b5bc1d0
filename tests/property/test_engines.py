"""Interpreter and compiler agree: on every row of the ISA, and on random programs."""

from collections.abc import Iterator

import pytest

from skep.engine.interpreter import Interpreter
from skep.engine.llvm.alu import LOWER, PREDICATE
from skep.engine.llvm.compiler import has_loops
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.machine import FULL, QUICK, STRAIGHT, Machine
from skep.engine.llvm.start import START
from skep.isa.insn import Insn
from skep.isa.meaning import COMPARE, EVAL
from skep.isa.table import Op, Sem, Use, make, slot
from skep.verifier.interface import Proof
from support.programs import ALU_OPS, DATA_SLOT, IMMEDIATES, JUMP_OPS, Generator
from support.proofs import Run, prove

EXIT = slot("exit")
EDGES = (
    0, 1, 2, 7, 31, 32, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000,
    0xFFFF_FFFF, 0x1_0000_0000, 0x1234_5678_9ABC_DEF0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
    (1 << 64) - 2, 0xFFFF_FFFF_8000_0000,
)  # fmt: skip

MACHINE = Machine()


def constant(dst: int, value: int) -> list[Insn]:
    low, high = value & 0xFFFF_FFFF, value >> 32
    signed = [part - (1 << 32) if part >> 31 else part for part in (low, high)]
    return [slot("ld_imm64_const", dst, imm=signed[0]), Insn(0, imm=signed[1])]


def outcome(engine: Interpreter | LlvmEngine, proof: Proof, context: bytes) -> tuple[int, bytes]:
    """Result, and the memory that the program may have changed."""
    run = Run(packet=bytes(range(64)), context=context)
    packet = run.packet.address + 256
    run.context.view[DATA_SLOT : DATA_SLOT + 8] = packet.to_bytes(8, "little")
    result = engine.compile(proof)(run.address, run.context.address)
    run.context.view[DATA_SLOT : DATA_SLOT + 8] = bytes(8)
    return result, bytes(run.context.view) + bytes(run.packet.view[256:320])


def agree(proof: Proof, context: bytes = b"") -> None:
    expected = outcome(Interpreter(), proof, context)
    for tier in (START, QUICK, FULL if has_loops(proof) else STRAIGHT):
        assert outcome(LlvmEngine(machine=MACHINE, tier=tier), proof, context) == expected


def test_both_engines_know_every_meaning() -> None:
    assert set(LOWER) == set(EVAL)
    assert {*PREDICATE, Sem.SET} == set(COMPARE)


def operands(op: Op) -> Iterator[tuple[int, Insn]]:
    """One instruction of *op* with its operands in r1 and r2, or r1 and an immediate."""
    for value in EDGES if op.reg_source else IMMEDIATES:
        imm = value if op.imm is Use.NUMBER else 0
        yield value, make(op, 1, 2 if op.reg_source else 0, 0, imm)


@pytest.mark.parametrize("op", ALU_OPS, ids=lambda op: op.name)
def test_an_operation_on_edge_values_gives_the_same(op: Op) -> None:
    """All results of one operation are folded into r0 by a hash, so that one program does it."""
    program = [*constant(9, 0x9E37_79B9_7F4A_7C15), slot("mov64_imm", 0)]
    for x in EDGES:
        for y, insn in operands(op):
            program += [slot("ldx_u64", 1, 6, off=8 * EDGES.index(x))]
            if op.reg_source:
                program += [slot("ldx_u64", 2, 6, off=8 * EDGES.index(y))]
            program += [insn, slot("xor64_reg", 0, 1), slot("mul64_reg", 0, 9)]
    words = b"".join(value.to_bytes(8, "little") for value in EDGES)

    agree(prove([slot("mov64_reg", 6, 1), *program, EXIT], depth=0), words)


@pytest.mark.parametrize("op", ALU_OPS, ids=lambda op: op.name)
def test_an_operation_on_constants_is_folded_right(op: Op) -> None:
    program = [*constant(9, 0x9E37_79B9_7F4A_7C15), slot("mov64_imm", 0)]
    for x in EDGES[::3]:
        for y, insn in operands(op):
            program += constant(1, x)
            if op.reg_source:
                program += constant(2, y)
            program += [insn, slot("xor64_reg", 0, 1), slot("mul64_reg", 0, 9)]

    agree(prove([*program, EXIT], depth=0))


@pytest.mark.parametrize("op", JUMP_OPS, ids=lambda op: op.name)
def test_a_comparison_of_edge_values_gives_the_same(op: Op) -> None:
    program = [slot("mov64_reg", 6, 1), slot("mov64_imm", 0)]
    for x in EDGES:
        for y in EDGES[::2] if op.reg_source else IMMEDIATES:
            program += [slot("ldx_u64", 1, 6, off=8 * EDGES.index(x))]
            if op.reg_source:
                program += [slot("ldx_u64", 2, 6, off=8 * EDGES.index(y))]
            imm = 0 if op.reg_source else y
            program += [
                slot("mul64_imm", 0, imm=3),
                make(op, 1, 2 if op.reg_source else 0, 1, imm),
                slot("add64_imm", 0, imm=1),
            ]
    words = b"".join(value.to_bytes(8, "little") for value in EDGES)

    agree(prove([*program, EXIT], depth=0), words)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_give_the_same_result_and_memory(seed: int) -> None:
    generator = Generator(seed)
    context = generator.random.randbytes(256)
    for _ in range(3):
        proof = generator.program(generator.random.choice((10, 40, 120)), subprograms=seed % 2 == 0)
        agree(proof, context)
