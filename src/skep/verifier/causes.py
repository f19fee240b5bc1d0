"""Why a value is as it is: the instructions and decisions on the path that made it so.

Starting from the registers that the refused instruction reads, the path is followed backwards: an
instruction that wrote one of them is a cause, and what it read is followed in its stead; a
comparison that narrowed one is a cause; a load from the stack leads on to the store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from skep.btf.graph import Btf
from skep.isa.table import ARGUMENTS, Kind, Sem, registers_read, registers_written
from skep.verifier.events import BranchPushed, Entered, Refused, Resumed
from skep.verifier.interface import LineInfo, Request
from skep.verifier.listing import named_text
from skep.verifier.notation import slot_text, value_text
from skep.verifier.program import Program, Step
from skep.verifier.state import SLOT_SIZE, Frame
from skep.verifier.values import STACK, Pointer

MAX_CAUSES: Final = 16
FRAME_POINTER: Final = 1 << 10
_OF_HELD: Final = ("reference-released", "not-in-critical-section")


@dataclass(frozen=True, slots=True)
class Cause:
    """One instruction that had a part in it.

    Args:
        pc: its slot.
        insn: its text, in the log's notation.
        effect: what it made, as ``R2=scalar(umax=255)``, or which way a comparison went.
    """

    pc: int
    insn: str
    effect: str


class _Node:
    """One instruction of a path, linked to the one before."""

    __slots__ = ("before", "entered")

    def __init__(self, entered: Entered, before: "_Node | None") -> None:
        self.entered = entered
        self.before = before


def last_path(journal: Sequence[object]) -> list[Entered]:
    """The instructions on the path that the journal ends with, latest first."""
    waiting: list[_Node | None] = []
    tip: _Node | None = None
    for event in journal:
        if isinstance(event, Entered):
            tip = _Node(event, tip)
        elif isinstance(event, BranchPushed):
            waiting.append(tip)
        elif isinstance(event, Resumed) and waiting:
            tip = waiting.pop()
    path: list[Entered] = []
    while tip is not None:
        path.append(tip.entered)
        tip = tip.before
    return path


class _Search:
    """What is still to be explained, while the path is followed backwards."""

    def __init__(self, program: Program, kernel: Btf | None) -> None:
        self.program = program
        self.kernel = kernel
        self.registers = 0
        self.slots: set[int] = set()
        self.frame = 0
        self.causes: list[Cause] = []

    @property
    def is_over(self) -> bool:
        return len(self.causes) >= MAX_CAUSES or not (self.registers or self.slots)

    def visit(self, entered: Entered, then: Entered) -> None:
        """Look at one instruction; *then* is the one that followed on the path."""
        step = self.program.steps[entered.pc]
        if step is None or entered.frame.number != self.frame:
            return
        if step.kind is Kind.JUMP:
            self._visit_jump(step, entered, then)
            return
        written = registers_written(step.op, step.insn)
        wanted = written & self.registers
        slot = accessed_slot(step, entered.frame)
        if wanted:
            self._blame(step, _register_effect(wanted, then.frame))
            self.registers &= ~written
            self.registers |= _sources(step) & ~FRAME_POINTER
            if step.kind in (Kind.LOAD, Kind.LOAD_SX) and slot >= 0:
                self.slots.add(slot)
        elif step.kind in (Kind.STORE_REG, Kind.STORE_IMM) and slot in self.slots:
            self.slots.discard(slot)
            self._blame(step, slot_text(then.frame.slot(slot), slot, self.frame))
            if step.kind is Kind.STORE_REG:
                self.registers |= 1 << step.src

    def _visit_jump(self, step: Step, entered: Entered, then: Entered) -> None:
        if step.target == step.next_pc:
            return
        before, after = entered.frame.regs, then.frame.regs
        wanted = 0
        for number in range(10):
            if self.registers >> number & 1 and before[number] is not after[number]:
                wanted |= 1 << number
        if not wanted:
            return
        way = "taken" if then.pc == step.target else "not taken"
        self._blame(step, f"{way}: {_register_effect(wanted, then.frame)}")

    def _blame(self, step: Step, effect: str) -> None:
        self.causes.append(Cause(step.pc, named_text(step, self.kernel), effect))


def _sources(step: Step) -> int:
    """Registers whose values make what *step* writes."""
    if step.kind is Kind.CALL:
        return 0
    if step.kind is Kind.ALU and step.sem is Sem.MOV and not step.reg_source:
        return 0
    return registers_read(step.op, step.insn)


def accessed_slot(step: Step, frame: Frame) -> int:
    """The stack slot that a load or store accesses at a known place, else -1."""
    if step.fault or step.kind not in (Kind.LOAD, Kind.LOAD_SX, Kind.STORE_REG, Kind.STORE_IMM):
        return -1  # a fault may be the number of a register that there is not
    base = frame.regs[step.src if step.kind in (Kind.LOAD, Kind.LOAD_SX) else step.dst]
    if not isinstance(base, Pointer) or base.kind != STACK or not base.var.is_const:
        return -1
    off: int = base.off + base.var.smin + step.off
    return -(off // SLOT_SIZE) - 1


def _register_effect(wanted: int, frame: Frame) -> str:
    parts = [
        f"R{number}={value_text(value, frame.number)}"
        for number, value in enumerate(frame.regs)
        if wanted >> number & 1 and value is not None
    ]
    return " ".join(parts)


def mentioned(detail: str) -> int:
    """Registers that a diagnostic names, as a bit set."""
    found = 0
    for number in range(11):
        if f"R{number} " in f"{detail} ":
            found |= 1 << number
    return found


def find_causes(
    program: Program, journal: Sequence[object], kernel: Btf | None = None
) -> tuple[Cause, ...]:
    """Return what led to the refusal that *journal* ends with, in the order of the path."""
    if not journal or not isinstance(journal[-1], Refused):
        return ()
    refused = journal[-1]
    if refused.rule in _OF_HELD:
        return _held_since(program, journal, refused.pc, kernel)
    return causes_at(program, journal, refused.pc, mentioned(refused.detail), kernel)


def _held_since(
    program: Program, journal: Sequence[object], pc: int, kernel: Btf | None
) -> tuple[Cause, ...]:
    """What acquired what is still held at *pc*, and the decisions taken since."""
    path = last_path(journal)
    if not path or path[0].pc != pc or not path[0].refs:
        return ()
    held = {reference.id: reference.pc for reference in path[0].refs}
    causes: list[Cause] = []
    for entered, then in zip(path[1:], path, strict=False):
        step = program.steps[entered.pc]
        if step is None:
            continue
        before = {reference.id for reference in entered.refs}
        made = [number for number, at in held.items() if at == step.pc and number not in before]
        if made:
            ids = ", ".join(str(number) for number in made)
            causes.append(Cause(step.pc, named_text(step, kernel), f"acquires reference {ids}"))
            held = {number: at for number, at in held.items() if number in before}
        elif step.kind is Kind.JUMP and step.target != step.next_pc and len(causes) < MAX_CAUSES:
            way = "taken" if then.pc == step.target else "not taken"
            causes.append(Cause(step.pc, named_text(step, kernel), way))
        if not held:
            break
    return tuple(reversed(causes))


def causes_at(
    program: Program,
    journal: Sequence[object],
    pc: int,
    registers: int = 0,
    kernel: Btf | None = None,
) -> tuple[Cause, ...]:
    """Return what made *registers* so at slot *pc*, the last that *journal* entered.

    *registers* is a bit set; 0 for those that the instruction reads. *kernel* names its functions.
    """
    path = last_path(journal)
    step = program.steps[pc] if 0 <= pc < program.size else None
    if step is None or not path or path[0].pc != pc:
        return ()
    search = _Search(program, kernel)
    search.frame = path[0].frame.number
    read = ARGUMENTS if step.kind is Kind.CALL else registers_read(step.op, step.insn)
    search.registers = (registers or read) & ~FRAME_POINTER
    slot = accessed_slot(step, path[0].frame)
    if step.kind in (Kind.LOAD, Kind.LOAD_SX) and slot >= 0:
        search.slots.add(slot)
    for entered, then in zip(path[1:], path, strict=False):
        if search.is_over:
            break
        search.visit(entered, then)
    return tuple(reversed(search.causes))


# --- source lines --------------------------------------------------------------------------------


def line_of(request: Request, pc: int) -> LineInfo | None:
    """The source line of slot *pc*; None without line info."""
    found: LineInfo | None = None
    for info in request.line_infos:
        if info.pc > pc:
            break
        found = info
    return found


def place(line: LineInfo) -> str:
    """``file:line``, without folders."""
    return f"{line.file.rsplit('/', 1)[-1]}:{line.line}"
