"""The path to a refusal, and where each value on it came from.

Values are followed forwards along the path: a copy, a spill and a sum remember what they were made
of, so that hints can tell two copies of one value from two values.
"""

import re
from collections.abc import Sequence
from typing import Final

from skep.isa.table import Kind, Sem, registers_written
from skep.verifier.causes import accessed_slot, line_of, mentioned, place
from skep.verifier.events import Entered, Refused
from skep.verifier.interface import Request
from skep.verifier.listing import named_text
from skep.verifier.program import Program, Step
from skep.verifier.state import Frame
from skep.verifier.values import Pointer, Value

_HALF: Final = 32
_ARGUMENT: Final = re.compile(r"\bargs?#?([0-4])\b")
_PICKS: Final = (Sem.EQ, Sem.NE, Sem.SET)
_LOADS: Final = (Kind.LOAD, Kind.LOAD_SX, Kind.LEGACY)


class Origin:
    """Where a value came from: instruction *pc* on its *number*-th step of the path.

    *key* names the memory that it was loaded from, "" if from none; *low* says that only the lower
    32 bits are left; *slot* is the stack slot that it went through, -1 for none.
    """

    __slots__ = ("key", "low", "number", "pc", "slot")

    def __init__(self, number: int, pc: int, key: str, low: bool, slot: int) -> None:
        self.number = number
        self.pc = pc
        self.key = key
        self.low = low
        self.slot = slot


class Comparison:
    """A conditional jump at *pc* that compared a value with something; *orders*: by its size."""

    __slots__ = ("half", "orders", "origin", "pc")

    def __init__(self, pc: int, origin: Origin, half: bool, orders: bool) -> None:
        self.pc = pc
        self.origin = origin
        self.half = half
        self.orders = orders


class Story:
    """The path to a refusal, oldest instruction first, and where each value on it came from."""

    def __init__(
        self, program: Program, path: Sequence[Entered], refused: Refused, request: Request
    ) -> None:
        self.program = program
        self.request = request
        self.path = path
        self.refused = refused
        self.frame: Frame = path[-1].frame
        self.origins: dict[tuple[int, int], Origin] = {}  # by frame and register
        self.slots: dict[tuple[int, int], Origin] = {}  # by frame and stack slot
        self.added: dict[tuple[int, int], Origin] = {}  # to the pointer in a register
        self.comparisons: list[Comparison] = []
        for number in range(len(path) - 1):
            self._follow(number, path[number], path[number + 1])

    @property
    def step(self) -> Step | None:
        """The refused instruction."""
        return self.program.steps[self.refused.pc]

    @property
    def register(self) -> int:
        """The register that memory is accessed through, or that the message of a call names."""
        step = self.step
        if step is None:
            return -1
        if step.kind is Kind.CALL:
            names = mentioned(self.refused.detail)
            return next((number for number in range(1, 6) if names >> number & 1), self._numbered)
        return step.src if step.kind in _LOADS else step.dst

    @property
    def _numbered(self) -> int:
        """The register of the argument that the message of a kernel function numbers, as arg#0."""
        found = _ARGUMENT.search(self.refused.detail)
        return int(found[1]) + 1 if found is not None else -1

    @property
    def value(self) -> Value | None:
        """What is in that register."""
        register = self.register
        return self.frame.regs[register] if 0 <= register < len(self.frame.regs) else None

    @property
    def pointer(self) -> Pointer | None:
        """What is in that register, if it is a pointer."""
        value = self.value
        return value if isinstance(value, Pointer) else None

    def origin(self, register: int) -> Origin | None:
        """Where the value in *register* came from."""
        return self.origins.get((self.frame.number, register))

    def named(self, pc: int) -> str:
        """Slot *pc* as hints name it: ``insn 4 at prog.bpf.c:17 (r0 = 0)``."""
        step = self.program.steps[pc]
        line = line_of(self.request, pc)
        where = f"insn {pc} at {place(line)}" if line is not None else f"insn {pc}"
        if step is None:
            return where
        text = named_text(step, self.request.environment.kernel_btf)
        return f"{where} ({text.partition(') ')[2]})"

    def lost_at(self, register: int) -> tuple[int, Pointer] | None:
        """The call that made the pointer in *register* unusable, and what it was."""
        for number in range(len(self.path) - 1, 0, -1):
            entered, before = self.path[number], self.path[number - 1]
            step = self.program.steps[before.pc]
            if step is None or entered.frame.number != before.frame.number:
                return None
            old, new = before.frame.regs[register], entered.frame.regs[register]
            if step.kind is Kind.CALL:
                if isinstance(old, Pointer) and not isinstance(new, Pointer):
                    return before.pc, old
            elif registers_written(step.op, step.insn) >> register & 1:
                if step.kind is not Kind.ALU or step.sem is not Sem.MOV or not step.reg_source:
                    return None
                register = step.src
        return None

    def _follow(self, number: int, entered: Entered, then: Entered) -> None:
        step = self.program.steps[entered.pc]
        if step is None:
            return
        frame = entered.frame.number
        if then.frame.number != frame:
            self._change_frame(frame, then.frame.number)
            return
        if step.kind is Kind.JUMP:
            self._compare(step, frame)
            return
        if step.kind is Kind.STORE_REG:
            self._store(step, entered)
            return
        written = registers_written(step.op, step.insn)
        made = self._origin(number, step, entered)
        for register in range(10):
            if written >> register & 1:
                self.origins[frame, register] = made
                self._note_sum(step, frame, register)

    def _change_frame(self, before: int, after: int) -> None:
        moved = range(1, 6) if after > before else range(1)
        for register in moved:
            if (before, register) in self.origins:
                self.origins[after, register] = self.origins[before, register]

    def _compare(self, step: Step, frame: int) -> None:
        registers = [step.dst] + [step.src] * step.reg_source
        for register in registers:
            origin = self.origins.get((frame, register))
            if origin is not None:
                orders = step.sem not in _PICKS
                self.comparisons.append(Comparison(step.pc, origin, not step.wide, orders))

    def _store(self, step: Step, entered: Entered) -> None:
        slot = accessed_slot(step, entered.frame)
        origin = self.origins.get((entered.frame.number, step.src))
        if slot >= 0 and origin is not None:
            low = origin.low or step.size < 8
            kept = Origin(origin.number, origin.pc, origin.key, low, slot)
            self.slots[entered.frame.number, slot] = kept

    def _origin(self, number: int, step: Step, entered: Entered) -> Origin:
        frame = entered.frame.number
        if step.kind in (Kind.LOAD, Kind.LOAD_SX):
            slot = accessed_slot(step, entered.frame)
            known = self.slots.get((frame, slot)) if slot >= 0 else None
            if known is not None:
                low = known.low or step.size < 8
                return Origin(known.number, known.pc, known.key, low, slot)
            return Origin(number, step.pc, _memory(step, entered.frame), step.size < 8, -1)
        if step.kind is Kind.ALU:
            source = step.src if step.sem is Sem.MOV and step.reg_source else step.dst
            copied = step.sem is Sem.MOV and step.reg_source
            old = self.origins.get((frame, source))
            if old is not None and (copied or _cuts(step)):
                low = old.low or not step.wide or _cuts(step)
                return Origin(old.number, old.pc, old.key, low, old.slot)
        return Origin(number, step.pc, "", False, -1)

    def _note_sum(self, step: Step, frame: int, register: int) -> None:
        """Remember what was added to a pointer, and forget it with the pointer."""
        place = (frame, register)
        if step.kind is Kind.ALU and step.reg_source:
            if step.sem is Sem.MOV and (frame, step.src) in self.added:
                self.added[place] = self.added[frame, step.src]
                return
            other = self.origins.get((frame, step.src))
            if step.sem in (Sem.ADD, Sem.SUB) and other is not None:
                self.added[place] = other
                return
        if step.kind is not Kind.ALU or step.sem is Sem.MOV:
            self.added.pop(place, None)


def _cuts(step: Step) -> bool:
    """Whether an instruction is one of the pair that clears the upper half by shifts."""
    return step.sem in (Sem.SHL, Sem.LSHR, Sem.ASHR) and not step.reg_source and step.imm == _HALF


def _memory(step: Step, frame: Frame) -> str:
    """What a load reads, if the same text means the same place; "" if that is not known."""
    base = frame.regs[step.src]
    if not isinstance(base, Pointer) or not base.var.is_const:
        return ""
    return f"{base.kind}:{base.frame}:{base.map_uid}:{base.btf_id}:{base.off + step.off}"
