"""The kernel-style log: a rendering of the journal.

Level 1 shows the last path that was walked, level 2 all of them; 4 adds statistics. The state after
an instruction stands on its line: what the instruction read or wrote. If something else was written
in between, as about the search for exact values at level 2, it stands on a line of its own.

Source: Linux 6.18 kernel/bpf/verifier.c (do_check, print_verification_stats), kernel/bpf/log.c.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from skep.isa.table import Kind, Sem
from skep.verifier.events import (
    Arrived,
    BranchPushed,
    Called,
    Entered,
    FunctionEntered,
    Looping,
    Marked,
    Note,
    PathEnded,
    Pruned,
    Refused,
    Remembered,
    Resumed,
    Searching,
    StackFilled,
    StackRead,
    Undone,
)
from skep.verifier.interface import LineInfo, Request, Statistics
from skep.verifier.listing import logged_text
from skep.verifier.live_lines import LiveLines
from skep.verifier.notation import ALL, frame_parts, register_set_text, slot_set_text
from skep.verifier.program import Program, Step
from skep.verifier.shown import (
    CALLER_SAVED,
    Shown,
    changed_slots,
    overwritten,
    read_slots,
    slots_between,
    touched_registers,
    touched_slots,
    whole_slot,
)
from skep.verifier.state import Checkpoint, Frame, Reference

PATHS: Final = 1
ALL_PATHS: Final = 2
STATISTICS: Final = 4
MIN_ALIGNMENT: Final = 8
ALIGNMENT: Final = 40
MAX_INSNS: Final = 1_000_000


class Log:
    """Writes the log of one verification, event by event."""

    def __init__(self, program: Program, request: Request) -> None:
        self._program = program
        self._request = request
        self._every: bool = request.log_level & ALL_PATHS != 0
        self._lines: list[str] = []
        self._joins = False  # the last line goes on
        tells = request.log_level & (PATHS | ALL_PATHS) != 0
        self._infos = list(request.line_infos) if tells else []
        self._starts = [info.pc for info in self._infos]
        self._source: LineInfo | None = None  # the latest that was written
        self._from: tuple[int, int] | None = None  # a branch was taken up just now
        self._step: Step | None = None  # the instruction before
        self._stands = False  # it is the last line
        self._jumped: Step | None = None  # a comparison whose state is not written yet
        self._registers: int = ALL  # what the next state shows, as a bit set
        self._slots: int = ALL
        self._before: Frame | None = None
        self._refs: tuple[Reference, ...] = ()
        self._shown = Shown()
        self._live = LiveLines(program, self.write)
        self._pc = -1
        self._pushed: list[tuple[int, Step | None]] = []  # lines, step of branches that wait
        self._round: Checkpoint | None = None  # the state that a loop without end came back to
        self._remembered: list[Remembered] = []
        self._kept: dict[int, tuple[list[Frame], tuple[Reference, ...]]] = {}

    def text(self) -> str:
        """All lines so far."""
        return "".join(line + "\n" for line in self._lines)

    def add(self, event: object) -> None:
        """Write what *event* adds."""
        if isinstance(event, Entered):
            self._enter(event)
        elif isinstance(event, Resumed):
            self._resume(event)
        elif isinstance(event, Pruned):
            self._prune(event)
        elif isinstance(event, Called):
            self._call(event)
        elif isinstance(event, BranchPushed):
            self._shown.push()
            self._pushed.append((len(self._lines), self._step))
        elif isinstance(event, Remembered):
            self._remembered.append(event)
        else:
            self._add_rare(event)

    def _add_rare(self, event: object) -> None:
        if isinstance(event, FunctionEntered):
            self._begin(event)
        elif isinstance(event, Arrived):
            self._arrive(event.frame, event.refs)
        elif isinstance(event, StackRead):
            mask = slots_between(event.low, event.high)
            self._live.read(self._shown.frames, self._pc, event.frame, mask)
        elif isinstance(event, StackFilled):
            self._slots |= slots_between(event.low, event.high)
        elif isinstance(event, PathEnded):
            self._end_path()
        elif isinstance(event, (Searching, Undone, Marked)):
            self._add_search(event)
        elif isinstance(event, Note):
            self.write(event.text)
        elif isinstance(event, Looping):
            self._arrive(event.frame, event.refs)
            self._round = event.checkpoint
        elif isinstance(event, Refused):
            self._refuse(event)

    def write(self, text: str) -> None:
        """Write a line of its own."""
        if self._joins:
            self._lines[-1] += text
        else:
            self._lines.append(text)
        self._joins = False
        self._stands = False

    # --- head and end -------------------------------------------------------------------------

    def write_head(self) -> None:
        """List the functions and the live registers (level 2)."""
        if not self._every:
            return
        for function in self._program.functions:
            self.write(f"func#{function.number} @{function.start}")
        if not self._program.has_liveness:
            return
        self.write("Live regs before insn:")
        for step in self._program.steps:
            if step is not None:
                live = "".join(str(n) if step.live >> n & 1 else "." for n in range(10))
                loop = f"{step.scc:3d} " if 0 < step.scc <= self._program.loops else "    "
                self.write(f"{loop}{step.pc:3d}: {live} {self._text_of(step)}")

    def write_end(self, statistics: Statistics) -> None:
        """Write the statistics."""
        if self._request.log_level & STATISTICS:
            self.write(f"verification time {statistics.microseconds} usec")
            self.write(f"stack depth {statistics.stack_depth}")
        self.write(
            f"processed {statistics.insns_processed} insns (limit {MAX_INSNS}) "
            f"max_states_per_insn {statistics.max_states_per_insn} "
            f"total_states {statistics.total_states} "
            f"peak_states {statistics.peak_states} mark_read 0"
        )

    def _text_of(self, step: Step) -> str:
        kernel = self._request.environment.kernel_btf
        return logged_text(step, kernel, addresses=self._request.privileged)

    # --- events -------------------------------------------------------------------------------

    def _begin(self, event: FunctionEntered) -> None:
        self._shown.begin()
        self._pushed.clear()
        self._kept.clear()
        self._show_all_next()
        self._step = None
        self._from = None
        if event.by_prototype:
            self.write(f"Validating {event.name}() func#{event.subprog}...")

    def _show_all_next(self) -> None:
        self._registers = self._slots = ALL

    def _resume(self, event: Resumed) -> None:
        count, step = self._pushed.pop() if self._pushed else (len(self._lines), None)
        if not self._every:
            self._cut(count, step)
            self._source = self._source_at(event.left)
        self._shown.pop()
        self._from = (event.previous_pc, event.pc)
        self._jumped = None
        self._remembered.clear()
        written = 0 if step is None else overwritten(step)
        self._before = self._shown.arrive(event.frame, written, event.refs)
        self._step = None
        self._show_all_next()

    def _cut(self, count: int, step: Step | None) -> None:
        """Drop what was written since a branch was pushed.

        The end of the line before has been overwritten by then, if a state was written behind it.
        """
        del self._lines[count:]
        if step is not None and step.kind is not Kind.MAY_GOTO:
            self._lines[-1] = self._text_line(step) + " "
            self._joins = True
        self._stands = False

    def _prune(self, event: Pruned) -> None:
        self._arrive(event.frame, event.refs)
        if self._from is not None:
            self.write(f"\nfrom {self._from[0]} to {self._from[1]}: safe")
            self._from = None
        else:
            self.write(f"{event.pc}: safe")

    def _call(self, event: Called) -> None:
        if event.returning:
            self._end_path()
            gone = 0 if self._step is None else overwritten(self._step)  # by a tail call
            callee = self._shown.arrive(event.callee, gone, event.refs)
            caller = self._shown.arrive(event.caller, 1, event.refs)
            target = event.callee.callsite + 1
            self.write(f"returning from callee:\n{_line(frame_parts(callee, event.refs))}")
            self.write(f"to caller at {target}:\n{_line(frame_parts(caller, event.refs))}")
            self._from = (event.pc, target)
            self._registers = self._slots = 0
        else:
            caller = self._shown.arrive(event.caller, CALLER_SAVED, event.refs)
            callee = self._shown.arrive(event.callee, 0, event.refs)
            self.write(f"caller:\n{_line(frame_parts(caller, event.refs))}")
            self.write(f"callee:\n{_line(frame_parts(callee, event.refs))}")
            self._show_all_next()
        self._step = None

    def _enter(self, event: Entered) -> None:
        step = self._program.steps[event.pc]
        if step is None:
            return
        frame = self._arrive(event.frame, event.refs)
        if self._from is not None and self._every:
            known = _line(frame_parts(frame, event.refs))
            self.write(f"\nfrom {self._from[0]} to {self._from[1]}:{known}")
            self._from = None
        if self._registers or self._slots:
            self._show_state(event.pc, frame, event.refs)
        self._show_source(event.pc)
        self.write(self._text_line(step))
        self._stands = True
        self._step, self._before = step, frame
        self._jumped = step if step.kind is Kind.JUMP else None
        self._refs = event.refs
        self._registers |= touched_registers(step)
        self._slots |= touched_slots(step, frame, self._shown.frames)
        if self._every:
            self._note_slots(step, frame)

    def _note_slots(self, step: Step, frame: Frame) -> None:
        self._pc = step.pc
        if step.sem is Sem.LOCAL:
            return  # the callee's marks are the call's
        number, mask = whole_slot(step, frame)
        self._live.wrote(self._shown.frames, step.pc, {number: mask})
        number, mask = read_slots(step, frame, self._shown.frames)
        self._live.read(self._shown.frames, step.pc, number, mask)

    def _end_path(self) -> None:
        if self._every and self._shown.frames:
            self._live.update(self._shown.frames)

    def _text_line(self, step: Step) -> str:
        return f"{step.pc}: {self._text_of(step)}"

    def _refuse(self, event: Refused) -> None:
        if self._round is not None:
            self._show_source(event.pc)
        self.write(event.detail)
        if self._round is not None:
            frames, refs = self._frames_of(self._round)
            current = self._shown.frames[-1]
            self.write(f"cur state:{_line(frame_parts(current, self._refs))}")
            self.write(f"old state:{_line(frame_parts(frames[current.number], refs))}")

    def _frames_of(self, checkpoint: Checkpoint) -> tuple[list[Frame], tuple[Reference, ...]]:
        state = checkpoint.state
        return self._kept.get(id(checkpoint), (state.frames, state.refs))

    # --- states -------------------------------------------------------------------------------

    def _arrive(self, frame: Frame, refs: tuple[Reference, ...]) -> Frame:
        """The walk has come to *frame*: finish the line of the instruction before."""
        step = self._step
        shown = self._shown.arrive(frame, 0 if step is None else overwritten(step), refs)
        if step is not None and self._before is not None:
            self._slots |= changed_slots(step, shown, self._before)
        if self._jumped is not None:
            self._show_state(self._jumped.pc, shown, refs)
        self._step = self._jumped = None
        for event in self._remembered:
            self._shown.refresh(event.checkpoint.state.frames[:-1], refs)
            shown = self._shown.frames[-1]
            self._kept[id(event.checkpoint)] = (self._shown.frames.copy(), refs)
        self._remembered.clear()
        return shown

    def _show_state(self, pc: int, frame: Frame, refs: tuple[Reference, ...]) -> None:
        """Put what changed behind the instruction, or on a line of its own."""
        text = _line(frame_parts(frame, refs, self._registers, self._slots))
        self._registers = self._slots = 0
        if not self._stands:
            self.write(f"{pc}:{text}")
            return
        line = self._lines[-1]
        position = len(line) + 1
        end = max(position + MIN_ALIGNMENT // 2, ALIGNMENT)
        width = -(-end // MIN_ALIGNMENT) * MIN_ALIGNMENT - position - 1
        self._lines[-1] = f"{line}{' ' * width};{text}"
        self._stands = False

    def _add_search(self, event: Searching | Undone | Marked) -> None:
        if isinstance(event, Searching):
            self.write(
                f"mark_precise: frame{event.frame}: last_idx {event.last} "
                f"first_idx {event.first} subseq_idx {event.subsequent} "
            )
        elif isinstance(event, Undone):
            step = self._program.steps[event.pc]
            regs, slots = register_set_text(event.regs), slot_set_text(event.slots)
            line = "" if step is None else self._text_line(step)
            self.write(f"mark_precise: frame{event.frame}: regs={regs} stack={slots} before {line}")
        else:
            self._show_marked(event)

    def _show_marked(self, event: Marked) -> None:
        regs, slots = register_set_text(event.regs), slot_set_text(event.slots)
        frames, refs = self._frames_of(event.checkpoint)
        precise = (event.precise_regs, event.precise_slots)
        known = _line(frame_parts(frames[event.number], refs, precise=precise))
        self.write(
            f"mark_precise: frame{event.number}: parent state regs={regs} stack={slots}: {known}"
        )

    def _source_at(self, pc: int) -> LineInfo | None:
        at = bisect_right(self._starts, pc)
        return self._infos[at - 1] if at else None

    def _show_source(self, pc: int) -> None:
        info, shown = self._source_at(pc), self._source
        if info is None or info is shown:
            return
        if shown is not None and (info.file, info.line) == (shown.file, shown.line):
            return
        self._source = info
        name = info.file.rsplit("/", 1)[-1]
        self.write(f"; {info.text.lstrip()} @ {name}:{info.line}")


def _line(parts: list[str]) -> str:
    return "".join(f" {part}" for part in parts)


def render(
    program: Program,
    request: Request,
    journal: Sequence[object],
    statistics: Statistics,
    detail: str = "",
) -> str:
    """Return the log that ``request.log_level`` asks for.

    Args:
        program: as far as it could be decoded.
        request: what was asked.
        journal: what happened.
        statistics: what it cost.
        detail: why the program was refused; it is written unless the journal says so itself.
    """
    if request.log_level == 0:
        return ""
    shows_paths = request.log_level & (PATHS | ALL_PATHS) != 0
    log = Log(program, request)
    log.write_head()
    refused = False
    for event in journal if shows_paths else ():
        log.add(event)
        refused = refused or isinstance(event, Refused)
    if detail and not refused:
        log.write(detail)
    log.write_end(statistics)
    return log.text()
