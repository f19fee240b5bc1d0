"""Interpreter and compiler agree: on every row of the ISA, and on random programs."""

import random
from collections.abc import Iterator, Sequence

import pytest

from skep.engine.interpreter import Interpreter
from skep.engine.llvm.alu import LOWER, PREDICATE
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.machine import Machine
from skep.isa.insn import Insn
from skep.isa.meaning import COMPARE, EVAL
from skep.isa.table import OPS, Kind, Op, Sem, Use, make, slot
from skep.verifier.interface import Memory, Proof, Subprogram
from support.proofs import Run, prove

EXIT = slot("exit")
EDGES = (
    0, 1, 2, 7, 31, 32, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000,
    0xFFFF_FFFF, 0x1_0000_0000, 0x1234_5678_9ABC_DEF0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
    (1 << 64) - 2, 0xFFFF_FFFF_8000_0000,
)  # fmt: skip
IMMEDIATES = (0, 1, -1, 2, -7, 31, 32, 33, 63, 64, 127, -128, 0x7FFF_FFFF, -0x8000_0000)
ALU_OPS = [op for op in OPS if op.kind is Kind.ALU and op.sem is not Sem.PERCPU]
JUMP_OPS = [op for op in OPS if op.kind is Kind.JUMP]

MACHINE = Machine()
DATA_SLOT = 216  # where programs here find the address of the packet
RESULTS = 6  # registers r0 .. r5 go to the context at the end


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
    compiled = LlvmEngine(machine=MACHINE)

    assert outcome(Interpreter(), proof, context) == outcome(compiled, proof, context)


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


class Generator:
    """Random programs that are correct by construction.

    r6 holds the context, r7 the packet, r8 a stack address; r0 to r5 hold numbers. Stack slots and
    context words are written before the program begins, so every access is allowed.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def program(self, size: int, *, subprograms: bool) -> Proof:
        self.insns: list[Insn] = []
        self.kinds: list[int] = []
        self._prologue()
        self._body(size)
        calls = []
        if subprograms:
            calls.append(len(self.insns))
            self._add(slot("call_local"))
            for register in range(1, RESULTS):
                self._add(slot("mov64_imm", register, imm=self._small()))
            self._body(size // 4)
        self._epilogue()
        parts = [Subprogram(0, len(self.insns), "main", 64)]
        for pc in calls:
            start = len(self.insns)
            self.insns[pc] = slot("call_local", imm=start - pc - 1)
            self._subprogram(size // 2)
            parts.append(Subprogram(start, len(self.insns), "sub", 64))
        return prove(
            self.insns, memory=bytes(self.kinds), subprograms=tuple(parts),
            seen=bytes([1]) * len(self.insns),
        )  # fmt: skip

    def _add(self, insn: Insn, kind: Memory = Memory.UNKNOWN) -> None:
        self.insns.append(insn)
        self.kinds.append(kind)

    def _small(self) -> int:
        return self.random.choice(IMMEDIATES)

    def _number(self) -> int:
        return self.random.randrange(RESULTS)

    def _prologue(self) -> None:
        self._add(slot("mov64_reg", 6, 1))
        self._add(slot("ldx_u64", 7, 6, off=DATA_SLOT), Memory.CONTEXT)
        self._set_stack()
        for register in range(RESULTS):
            self._add(slot("ldx_u64", register, 6, off=64 + 8 * register), Memory.CONTEXT)

    def _set_stack(self) -> None:
        self._add(slot("mov64_reg", 8, 10))
        self._add(slot("add64_imm", 8, imm=-32))

    def _subprogram(self, size: int) -> None:
        self._add(slot("mov64_imm", 0, imm=self._small()))
        self._set_stack()
        # r6 and r7 are the caller's; take no memory but the stack
        self._body(size, pointers=((10, -64, Memory.STACK), (8, -32, Memory.STACK)))
        self._add(EXIT)

    def _epilogue(self) -> None:
        for register in range(RESULTS):
            self._add(slot("stx_u64", 6, register, off=128 + 8 * register), Memory.CONTEXT)
        for position in range(8):
            self._add(slot("ldx_u64", 1, 10, off=-64 + 8 * position), Memory.STACK)
            self._add(slot("stx_u64", 6, 1, off=8 * position), Memory.CONTEXT)
        self._add(EXIT)

    POINTERS = (
        (10, -64, Memory.STACK),
        (8, -32, Memory.STACK),
        (6, 64, Memory.CONTEXT),
        (7, 0, Memory.PACKET),
    )

    def _body(self, size: int, pointers: Sequence[tuple[int, int, Memory]] = POINTERS) -> None:
        end = len(self.insns) + size
        while len(self.insns) < end:
            left = end - len(self.insns)
            choice = self.random.randrange(10)
            if choice < 4:
                self._alu()
            elif choice < 6:
                self._jump(left)
            elif choice < 7:
                self._loop()
            else:
                self._memory(pointers)

    def _alu(self) -> None:
        op = self.random.choice(ALU_OPS)
        imm = self._small() if op.imm is Use.NUMBER else 0
        self._add(make(op, self._number(), self._number() if op.reg_source else 0, 0, imm))

    def _jump(self, left: int) -> None:
        """Forward, over instructions that follow whatever happens."""
        op = self.random.choice(JUMP_OPS)
        source, imm = (self._number(), 0) if op.reg_source else (0, self._small())
        distance = self.random.randrange(1, 5)
        if left <= distance + 1:
            return
        self._add(make(op, self._number(), source, distance, imm))
        for _ in range(distance):
            self._alu()

    def _loop(self) -> None:
        """Count r9 down to 0."""
        self._add(slot("mov64_imm", 9, imm=self.random.randrange(1, 5)))
        start = len(self.insns)
        for _ in range(self.random.randrange(1, 5)):
            self._alu()
        self._add(slot("sub64_imm", 9, imm=1))
        self._add(slot("jne64_imm", 9, off=start - len(self.insns) - 1))

    def _memory(self, pointers: Sequence[tuple[int, int, Memory]]) -> None:
        base, first, kind = self.random.choice(pointers)
        form = self.random.choice(
            (Kind.LOAD, Kind.LOAD_SX, Kind.STORE_REG, Kind.STORE_IMM, Kind.ATOMIC)
        )
        op = self.random.choice([op for op in OPS if op.kind is form])
        room = 32 if kind is Memory.STACK else 48
        off = first + op.size * self.random.randrange(room // op.size)
        register = self._number()
        if form in (Kind.LOAD, Kind.LOAD_SX) or op.sem is Sem.LOAD_ACQUIRE:
            self._add(make(op, register, base, off), kind)
        elif form is Kind.STORE_IMM:
            self._add(make(op, base, 0, off, self._small()), kind)
        else:
            self._add(make(op, base, register, off), kind)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_give_the_same_result_and_memory(seed: int) -> None:
    generator = Generator(seed)
    context = generator.random.randbytes(256)
    for _ in range(3):
        proof = generator.program(generator.random.choice((10, 40, 120)), subprograms=seed % 2 == 0)
        agree(proof, context)
