"""The kernel-style log: a rendering of the journal.

Level 1 shows the last path that was walked, level 2 all of them; 4 adds statistics. The state after
an instruction stands on its line: what the instruction read or wrote. Lines about the search for
precise registers are not written.

Source: Linux 6.18 kernel/bpf/verifier.c (do_check, print_verification_stats), kernel/bpf/log.c.
"""

from collections.abc import Sequence
from typing import Final

from skep.isa.table import Kind, Sem, registers_read, registers_written
from skep.verifier.events import (
    BranchPushed,
    Called,
    Entered,
    FunctionEntered,
    Note,
    Pruned,
    Refused,
    Resumed,
)
from skep.verifier.interface import LineInfo, Request, Statistics
from skep.verifier.listing import step_text
from skep.verifier.notation import frame_parts, references_text, register_parts, slot_parts
from skep.verifier.program import Program, Step
from skep.verifier.scalar import Scalar
from skep.verifier.state import SLOT_SIZE, Frame, Reference
from skep.verifier.values import STACK, Pointer

PATHS: Final = 1
ALL_PATHS: Final = 2
STATISTICS: Final = 4
MIN_ALIGNMENT: Final = 8
ALIGNMENT: Final = 40
MAX_INSNS: Final = 1_000_000


def _touched_slots(step: Step, frame: Frame) -> frozenset[int]:
    """Slots of *frame* that a load or store through a known stack pointer accesses."""
    if step.size == 0 or step.kind is Kind.ALU:
        return frozenset()
    base = frame.regs[step.src if step.kind in (Kind.LOAD, Kind.LOAD_SX) else step.dst]
    if not isinstance(base, Pointer) or base.kind != STACK or base.frame != frame.number:
        return frozenset()
    if not base.var.is_const:
        return frozenset()
    low = base.off + base.var.smin + step.off
    return frozenset(-(byte // SLOT_SIZE) - 1 for byte in range(low, low + step.size))


class Log:
    """Writes the log of one verification, event by event."""

    def __init__(self, program: Program, request: Request) -> None:
        self._program = program
        self._level = request.log_level
        self._lines: list[str] = []
        self._infos = {info.pc: info for info in request.line_infos}
        self._shown: LineInfo | None = None
        self._fresh = True  # all registers count as changed
        self._from: tuple[int, int] | None = None  # a branch was taken up just now
        self._step: Step | None = None  # the instruction on the last line, if nothing follows it
        self._previous: Step | None = None
        self._before: Frame | None = None
        self._refs: tuple[Reference, ...] = ()
        self._open = False  # both ways of the last instruction are possible

    def text(self) -> str:
        """All lines so far."""
        return "".join(line + "\n" for line in self._lines)

    def add(self, event: object) -> None:
        """Write what *event* adds."""
        if isinstance(event, Entered):
            self._enter(event)
        elif isinstance(event, Resumed):
            self._resume(event.previous_pc, event.pc)
        elif isinstance(event, Pruned):
            self._prune(event)
        elif isinstance(event, Called):
            self._call(event)
        elif isinstance(event, BranchPushed):
            self._open = True
        else:
            self._add_rare(event)

    def _add_rare(self, event: object) -> None:
        if isinstance(event, FunctionEntered):
            self._begin(event)
        elif isinstance(event, Note):
            self.write(event.text)
        elif isinstance(event, Refused):
            self.write(event.detail)

    def write(self, text: str) -> None:
        """Write a line of its own."""
        self._lines.append(text)
        self._step = None

    # --- head and end -------------------------------------------------------------------------

    def write_head(self) -> None:
        """List the functions and the live registers (level 2)."""
        if not self._level & ALL_PATHS:
            return
        for function in self._program.functions:
            self.write(f"func#{function.number} @{function.start}")
        self.write("Live regs before insn:")
        for step in self._program.steps:
            if step is not None:
                live = "".join(str(n) if step.live >> n & 1 else "." for n in range(10))
                loop = f"{step.scc:3d} " if step.scc else "    "
                self.write(f"{loop}{step.pc:3d}: {live} {step_text(step)}")

    def write_end(self, statistics: Statistics) -> None:
        """Write the statistics."""
        if self._level & STATISTICS:
            self.write(f"verification time {statistics.microseconds} usec")
            self.write(f"stack depth {statistics.stack_depth}")
        self.write(
            f"processed {statistics.insns_processed} insns (limit {MAX_INSNS}) "
            f"max_states_per_insn {statistics.max_states_per_insn} "
            f"total_states {statistics.total_states} "
            f"peak_states {statistics.peak_states} mark_read 0"
        )

    # --- events -------------------------------------------------------------------------------

    def _begin(self, event: FunctionEntered) -> None:
        self._fresh = True
        self._before = None
        self._previous = None
        self._from = None
        if event.subprog:
            self.write(f"Validating {event.name}() func#{event.subprog}...")

    def _resume(self, previous_pc: int, pc: int) -> None:
        self._from = (previous_pc, pc)
        self._fresh = True

    def _prune(self, event: Pruned) -> None:
        if self._from is not None:
            self.write(f"\nfrom {self._from[0]} to {self._from[1]}: safe")
            self._from = None
            return
        if self._previous is not None and self._previous.kind is Kind.JUMP:
            self._show_changes(event.previous_pc, event.frame, self._refs)
        self.write(f"{event.pc}: safe")

    def _call(self, event: Called) -> None:
        caller, callee = _line(frame_parts(event.caller)), _line(frame_parts(event.callee))
        if event.returning:
            target = event.callee.callsite + 1
            self.write(f"returning from callee:\n{callee}")
            self.write(f"to caller at {target}:\n{caller}")
            self._resume(event.pc, target)
            self._fresh = False
            self._previous = None
        else:
            self.write(f"caller:\n{caller}")
            self.write(f"callee:\n{callee}")
            self._fresh = True

    def _enter(self, event: Entered) -> None:
        step = self._program.steps[event.pc]
        if step is None:
            return
        if self._from is not None and self._level & ALL_PATHS:
            known = _line(frame_parts(event.frame, event.refs))
            self.write(f"\nfrom {self._from[0]} to {self._from[1]}:{known}")
        self._from = None
        self._show_changes(event.pc, event.frame, event.refs)
        self._show_source(event.pc)
        self.write(f"{event.pc}: {step_text(step)}")
        self._step = self._previous = step
        self._before = event.frame
        self._refs = event.refs
        self._fresh = False
        self._open = False

    # --- states -------------------------------------------------------------------------------

    def _show_changes(self, pc: int, frame: Frame, refs: tuple[Reference, ...]) -> None:
        """Put what changed behind the instruction, or on a line of its own."""
        parts = self._changes(frame, refs)
        if not parts:
            return
        if self._step is None or self._needs_precision():
            jump = self._step is not None and self._step.kind is Kind.JUMP
            at = self._step.pc if jump and self._step is not None else pc
            self.write(f"{at}:{_line(parts)}")
            return
        line = self._lines[-1]
        position = len(line) + 1
        end = max(position + MIN_ALIGNMENT // 2, ALIGNMENT)
        width = -(-end // MIN_ALIGNMENT) * MIN_ALIGNMENT - position - 1
        self._lines[-1] = f"{line}{' ' * width};{_line(parts)}"
        self._step = None

    def _needs_precision(self) -> bool:
        """Whether the exact value of a register mattered to the last instruction.

        Linux searches for where it came from then, and writes about it at level 2 in between. It
        does so for comparisons that can come out one way only, and for sums with a pointer.
        """
        step, before = self._step, self._before
        if step is None or before is None or not self._level & ALL_PATHS:
            return False
        operands = [before.regs[step.dst]] + [before.regs[step.src]] * step.reg_source
        scalars = sum(isinstance(value, Scalar) for value in operands)
        if step.kind is Kind.JUMP:
            return not self._open and scalars > 0
        is_sum = step.kind is Kind.ALU and step.sem in (Sem.ADD, Sem.SUB)
        return is_sum and len(operands) == 2 and scalars == 1

    def _changes(self, frame: Frame, refs: tuple[Reference, ...]) -> list[str]:
        if self._fresh:
            return frame_parts(frame, refs)
        step = self._previous
        if step is None or self._before is None:  # a subprogram returned: all is shown already
            return []
        if step.kind in (Kind.GOTO, Kind.EXIT):
            return []
        touched = 1
        if step.kind is not Kind.CALL:
            touched = registers_read(step.op, step.insn) | registers_written(step.op, step.insn)
        registers = register_parts(frame, touched)
        slots = slot_parts(frame, self._before, _touched_slots(step, self._before))
        if not registers and not slots:
            return []
        head = [f"frame{frame.number}:"] if frame.number else []
        held = references_text(refs)
        return [*head, *registers, *slots, *([held] if held else [])]

    def _show_source(self, pc: int) -> None:
        info = self._infos.get(pc)
        if info is None or info is self._shown:
            return
        self._shown = info
        name = info.file.rsplit("/", 1)[-1]
        self.write(f"; {info.text.lstrip()} @ {name}:{info.line}")


def _line(parts: list[str]) -> str:
    return "".join(f" {part}" for part in parts)


def render(
    program: Program | None,
    request: Request,
    journal: Sequence[object],
    statistics: Statistics,
    detail: str = "",
) -> str:
    """Return the log that ``request.log_level`` asks for.

    Args:
        program: None if it could not even be decoded.
        request: what was asked.
        journal: what happened.
        statistics: what it cost.
        detail: why the program was refused; it is written unless the journal says so itself.
    """
    if request.log_level == 0:
        return ""
    shows_paths = request.log_level & (PATHS | ALL_PATHS) != 0
    log = Log(program or Program([], []), request)
    if program is not None:
        log.write_head()
    refused = False
    for event in journal if shows_paths else ():
        log.add(event)
        refused = refused or isinstance(event, Refused)
    if detail and not refused:
        log.write(detail)
    log.write_end(statistics)
    return log.text()
