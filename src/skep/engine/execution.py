"""One interpreted run: every instruction, one by one, in the plainest way.

The meaning of arithmetic and comparisons stands in ``skep.isa.meaning``; here stands the rest:
memory, jumps, subprograms. Registers are unsigned 64-bit ints; r10 is the address just past a
function's own stack frame, which is real memory, since helpers read it.

Source: RFC 9669; Linux kernel/bpf/core.c (___bpf_prog_run).
"""

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from skep.base.bits import U32, U64, signed, unsigned
from skep.base.native import load64
from skep.engine.arenas import arena_of, base_register
from skep.engine.hooks import NO_HOOKS, Hooks
from skep.engine.machinery import MAY_GOTO_LIMIT, NO_WORD, STOPPED, packet_word, spend
from skep.engine.regions import Outside, Regions
from skep.errors import InternalError, NotSupported, RunError
from skep.isa.flow import jump_target
from skep.isa.insn import Insn
from skep.isa.meaning import compare, evaluate
from skep.isa.table import Kind, Op, Sem, op_of
from skep.runtime.invocation import FAULT
from skep.verifier.interface import Memory, Proof

STACK_SIZE: Final = 512
FRAME_POINTER: Final = 10
TAIL_CALL: Final = 12
LEAVE: Final = -1  # a target that ends the function
ATOMIC_UPDATES: Final = frozenset({Sem.ADD, Sem.OR, Sem.AND, Sem.XOR})

Step = Callable[[int, list[int]], None]  # before each instruction: its pc, the registers


class Calls(Protocol):
    """Serves the calls of one program that leave it."""

    def helper(self, execution: "Execution", pc: int, registers: list[int]) -> int:
        """Call a helper; returns r0."""
        ...

    def kfunc(self, execution: "Execution", pc: int, registers: list[int]) -> int:
        """Call a kernel function; returns r0."""
        ...

    def tail_call(self, execution: "Execution", pc: int, registers: list[int]) -> int | None:
        """Run another program; returns its result, or None if the call fails."""
        ...

    def indirect(self, execution: "Execution", address: int, registers: list[int]) -> int:
        """Call the function at *address*; returns r0."""
        ...

    def callback(self, pc: int) -> int:
        """Machine address of this program's function at slot *pc*."""
        ...

    def hooked(self, execution: "Execution", pc: int, arguments: list[int]) -> int:
        """Run what is hooked to this program's function at slot *pc*; returns r0."""
        ...


@dataclass(slots=True)
class Code:
    """A program, decoded once."""

    proof: Proof
    hooks: Hooks = field(default_factory=lambda: NO_HOOKS)
    ops: tuple[Op | None, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.ops = tuple(op_of(insn) for insn in self.proof.insns)

    def at(self, pc: int) -> tuple[Insn, Op]:
        """Instruction and row at slot *pc*."""
        op = self.ops[pc] if 0 <= pc < len(self.ops) else None
        if op is None or not self.proof.seen[pc]:
            raise RunError("the verifier never came to this instruction", pc=pc)
        return self.proof.insns[pc], op

    def calls_helper(self, pc: int, helper: int) -> bool:
        """Tell whether the instruction at slot *pc* calls that helper."""
        op = self.ops[pc]
        return op is not None and op.sem is Sem.HELPER and self.proof.insns[pc].imm == helper


class Execution:
    """Runs functions of one program, for one run block.

    Args:
        code: the program.
        run: address of the run block.
        regions: what the run may touch.
        calls: serves calls that leave the program.
        step: told of every instruction before it runs.
    """

    def __init__(
        self, code: Code, run: int, regions: Regions, calls: Calls, step: Step | None
    ) -> None:
        self.code, self.run, self.regions, self.calls, self.step = code, run, regions, calls, step
        self.pc = 0
        self._by_kind: Mapping[Kind, Callable[[list[int], Insn, Op], int | None]] = {
            Kind.ALU: self._alu,
            Kind.LOAD: self._load,
            Kind.LOAD_SX: self._load,
            Kind.STORE_REG: self._store,
            Kind.STORE_IMM: self._store,
            Kind.ATOMIC: self._atomic,
            Kind.WIDE: self._wide,
            Kind.ADDR_SPACE_CAST: self._cast,
            Kind.JUMP: self._jump,
            Kind.GOTO: self._goto,
            Kind.CALL: self._call,
            Kind.CALLX: self._call_indirect,
            Kind.LEGACY: self._packet,
        }

    def function(self, pc: int, arguments: list[int]) -> int:
        """Run the function at slot *pc* with r1, r2, …, or what is hooked to it; returns r0."""
        if pc in self.code.hooks:
            return self.calls.hooked(self, pc, arguments)
        return self.body(pc, arguments)

    def body(self, pc: int, arguments: list[int]) -> int:
        """Run the function itself."""
        stack = (ctypes.c_uint64 * (STACK_SIZE // 8))()
        base = ctypes.addressof(stack)
        registers = [0, *arguments, *[0] * (9 - len(arguments)), base + STACK_SIZE]
        self.regions.grant(base, STACK_SIZE)
        try:
            return self._loop(pc, registers)
        except Outside as outside:
            message = f"{outside}, which is in no memory of this run"
            raise RunError(message, pc=self.pc, address=outside.address) from None
        finally:
            self.regions.revoke(base)

    def callback(self, pc: int, arguments: list[int]) -> int:
        """Run the function at slot *pc* for a helper, which may do so again and again."""
        self._spend(pc)
        return self.function(pc, arguments)

    def _spend(self, pc: int) -> None:
        if spend(self.run):
            raise RunError(STOPPED[load64(self.run + FAULT)], pc=pc)

    def _loop(self, pc: int, registers: list[int]) -> int:
        budget = MAY_GOTO_LIMIT
        while True:
            insn, op = self.code.at(pc)
            self.pc = pc
            if self.step is not None:
                self.step(pc, registers)
            if op.kind is Kind.EXIT:
                return registers[0]
            if op.kind is Kind.MAY_GOTO:
                target = pc + 1 + (0 if budget else insn.off)
                budget = max(budget - 1, 0)
            else:
                execute = self._by_kind.get(op.kind)
                if execute is None:
                    raise NotSupported(op.symbol)
                jumped = execute(registers, insn, op)
                target = pc + 1 if jumped is None else jumped
            if target == LEAVE:
                return registers[0]
            if target <= pc:
                self._spend(pc)
            pc = target

    def _alu(self, registers: list[int], insn: Insn, op: Op) -> None:
        if op.sem is Sem.PERCPU:
            raise NotSupported("per-CPU addresses")
        y = registers[insn.src] if op.reg_source else insn.imm
        registers[insn.dst] = evaluate(op.sem, registers[insn.dst], y, op.bits)

    def _jump(self, registers: list[int], insn: Insn, op: Op) -> int:
        y = registers[insn.src] if op.reg_source else insn.imm
        taken = compare(op.sem, registers[insn.dst], y, op.bits)
        return self.pc + 1 + (insn.off if taken else 0)

    def _goto(self, _: list[int], insn: Insn, op: Op) -> int | None:
        return jump_target(self.pc, op, insn)

    def _place(self, registers: list[int], insn: Insn, op: Op) -> tuple[int, int]:
        """Address of an access, and what the verifier says that it touches."""
        kind, start = self.code.proof.memory[self.pc], registers[base_register(op, insn)]
        if kind != Memory.ARENA:
            return start + insn.off & U64, kind
        return arena_of(self.code.proof).base + (start & U32) + insn.off, Memory.MEMORY

    def _cast(self, registers: list[int], insn: Insn, _: Op) -> None:
        registers[insn.dst] = arena_of(self.code.proof).cast(registers[insn.src], insn)

    def _load(self, registers: list[int], insn: Insn, op: Op) -> None:
        address, kind = self._place(registers, insn, op)
        value = self.regions.load(address, op.size, kind)
        if op.kind is Kind.LOAD_SX:
            value = unsigned(signed(value, 8 * op.size), 64)
        registers[insn.dst] = value

    def _store(self, registers: list[int], insn: Insn, op: Op) -> None:
        address, kind = self._place(registers, insn, op)
        value = registers[insn.src] if op.kind is Kind.STORE_REG else insn.imm
        self.regions.store(address, op.size, value, kind)

    def _atomic(self, registers: list[int], insn: Insn, op: Op) -> None:
        (address, kind), size = self._place(registers, insn, op), op.size
        if op.sem is Sem.STORE_RELEASE:
            self.regions.store(address, size, registers[insn.src], kind)
            return
        old = self.regions.load(address, size, kind)
        if op.sem is Sem.LOAD_ACQUIRE:
            registers[insn.dst] = old
        elif op.sem is Sem.CMPXCHG:
            if old == unsigned(registers[0], 8 * size):
                self.regions.store(address, size, registers[insn.src], kind)
            registers[0] = old
        else:
            new = registers[insn.src]
            if op.sem in ATOMIC_UPDATES:
                new = evaluate(op.sem, old, new, 8 * size)
            self.regions.store(address, size, new, kind)
            if op.fetch:
                registers[insn.src] = old

    def _wide(self, registers: list[int], insn: Insn, op: Op) -> int:
        registers[insn.dst] = self._constant(insn, op)
        return self.pc + 2

    def _constant(self, insn: Insn, op: Op) -> int:
        proof, pc = self.code.proof, self.pc
        high = proof.insns[pc + 1].imm
        if op.sem is Sem.CONST:
            return (high & U32) << 32 | insn.imm & U32
        if op.sem is Sem.FUNC:
            return self.calls.callback(proof.callback_at[pc])
        if op.sem is Sem.BTF_ID:
            name = proof.btf_address_at.get(pc, ("?", 0))[0]
            raise NotSupported(f"the address of kernel symbol {name}")
        shape = proof.map_at[pc]
        if op.sem in (Sem.MAP_FD, Sem.MAP_IDX):
            return shape.address
        base = shape.value_address(0)
        if base is None:
            raise InternalError(f"insn {pc}: map {shape.id} has no direct values")
        self.regions.grant(base, shape.value_size)
        return (base + high) & U64

    def _call(self, registers: list[int], insn: Insn, op: Op) -> int | None:
        pc = self.pc
        if op.sem is Sem.LOCAL:
            registers[0] = self.function(pc + 1 + insn.imm, registers[1:6])
        elif op.sem is Sem.KFUNC:
            registers[0] = self.calls.kfunc(self, pc, registers)
        elif insn.imm == TAIL_CALL:
            result = self.calls.tail_call(self, pc, registers)
            if result is not None:
                registers[0] = result
                return LEAVE
            registers[0] = 0
        else:
            registers[0] = self.calls.helper(self, pc, registers)
        return pc + 1

    def _call_indirect(self, registers: list[int], insn: Insn, _: Op) -> int:
        pc = self.pc
        registers[0] = self.calls.indirect(self, registers[insn.dst], registers)
        return pc + 1

    def _packet(self, registers: list[int], insn: Insn, op: Op) -> int:
        offset = insn.imm
        if op.sem is Sem.PACKET_IND:
            offset = signed(registers[insn.src] + insn.imm, 32)
        word = packet_word(self.run, offset & U64, op.size)
        if word == NO_WORD:
            registers[0] = 0
            return LEAVE
        registers[0] = word
        return self.pc + 1
