"""Random programs that are correct by construction: numbers, memory, branches, loops, calls."""

import random
from collections.abc import Sequence

from skep.isa.insn import Insn
from skep.isa.table import OPS, Kind, Op, Sem, Use, make, slot
from skep.verifier.interface import Memory, Proof, Subprogram
from support.proofs import prove

EXIT = slot("exit")
IMMEDIATES = (0, 1, -1, 2, -7, 31, 32, 33, 63, 64, 127, -128, 0x7FFF_FFFF, -0x8000_0000)
ALU_OPS = [op for op in OPS if op.kind is Kind.ALU and op.sem is not Sem.PERCPU]
JUMP_OPS = [op for op in OPS if op.kind is Kind.JUMP]
DIVISIONS = frozenset({Sem.UDIV, Sem.SDIV, Sem.UMOD, Sem.SMOD})
SHIFTS = frozenset({Sem.SHL, Sem.LSHR, Sem.ASHR})
DATA_SLOT = 216  # where these programs find the address of the packet in their context
RESULTS = 6  # registers r0 .. r5 go to the context at the end


class Generator:
    """Random programs that are correct by construction.

    r6 holds the context, r7 the packet, r8 a stack address; r0 to r5 hold numbers. Stack slots and
    context words are written before the program begins, so every access is allowed.
    """

    strict = False  # only what the kernel's verifier accepts

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.insns: list[Insn] = []
        self.kinds: list[int] = []

    def program(self, size: int, *, subprograms: bool) -> Proof:
        self.insns.clear()
        self.kinds.clear()
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
            tuple(self.insns), memory=bytes(self.kinds), subprograms=tuple(parts),
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

    def _fill_stack(self) -> None:
        """Write the stack, where what was never written is not zero."""

    def _subprogram(self, size: int) -> None:
        self._add(slot("mov64_imm", 0, imm=self._small()))
        self._set_stack()
        self._fill_stack()
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
        imm = self._operand(op) if op.imm is Use.NUMBER else 0
        self._add(make(op, self._number(), self._number() if op.reg_source else 0, 0, imm))

    def _operand(self, op: Op) -> int:
        """A constant; the kernel refuses divisors of 0 and shifts by the width or more."""
        imm = self._small()
        if self.strict and op.sem in DIVISIONS:
            return imm or 3
        return imm & (op.bits - 1) if self.strict and op.sem in SHIFTS else imm

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


class NumbersOnly(Generator):
    """Programs that need no context: numbers and the stack, folded into 32 bits of r0."""

    strict = True

    def _prologue(self) -> None:
        self._set_stack()
        self._fill_stack()
        for register in range(RESULTS):
            self._add(slot("ld_imm64_const", register, imm=self._word()))
            self._add(Insn(0, imm=self._word()))

    def _fill_stack(self) -> None:
        for position in range(8):
            self._add(slot("st_u64", 10, off=-64 + 8 * position, imm=self._small()), Memory.STACK)

    def _word(self) -> int:
        return self.random.choice((self.random.getrandbits(32) - (1 << 31), self._small()))

    def _epilogue(self) -> None:
        for register in range(1, RESULTS):
            self._fold(register)
        for position in range(8):
            self._add(slot("ldx_u64", 1, 10, off=-64 + 8 * position), Memory.STACK)
            self._fold(1)
        self._add(slot("mov64_reg", 1, 0))
        self._add(slot("rsh64_imm", 1, imm=32))
        self._add(slot("xor64_reg", 0, 1))
        self._add(slot("mov32_reg", 0, 0))
        self._add(EXIT)

    def _fold(self, register: int) -> None:
        self._add(slot("mul64_imm", 0, imm=0x0100_0193))
        self._add(slot("xor64_reg", 0, register))

    def _body(
        self, size: int, pointers: Sequence[tuple[int, int, Memory]] = Generator.POINTERS[:2]
    ) -> None:
        super()._body(size, pointers)
