"""Rejected: the verdict that a rule may not hold, with all that explains it.

The text says which instruction, from which source line, what was found there, which rule that
breaks, what made the values so, and what usually helps::

    insn 3: r0 = *(u64 *)(r10 -8)    ; sum += stats.total;   prog.bpf.c:41
      invalid read from stack off -8+0 size 8
      found: 4 of 8 bytes are unwritten, first fp-4
      rule stack-initialised: a stack byte is written before it is read
      because:
        insn 1: (63) *(u32 *)(r10 -8) = r1    fp-8=????scalar()
      hint: zero the object before taking its address
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from skep.errors import CommandError
from skep.verifier.causes import Cause, find_causes, line_of, place
from skep.verifier.events import Refused
from skep.verifier.hints import hint_of
from skep.verifier.interface import LineInfo, Request, Statistics
from skep.verifier.listing import named_text
from skep.verifier.notation import value_text
from skep.verifier.program import Program
from skep.verifier.rules.flow import INSN_BUDGET, JUMP_SEQUENCE
from skep.verifier.rules.rule import Rule

Retry: TypeAlias = Callable[[Request], "Rejected | None"]

OF_ALL_PATHS: Final = (INSN_BUDGET, JUMP_SEQUENCE)  # no value on the last path is to blame


class Rejected(CommandError):  # noqa: N818 - a verdict, not a fault
    """The verifier found a path on which *rule* may not hold.

    Args:
        rule: the rule.
        pc: slot of the refused instruction; -1 if the program as a whole is refused.
        detail: the short diagnostic, which contains the kernel's words where those are settled.
        found: what was found, in values.
        hint: what usually helps; "" if nothing does.
        path: slots on the way to *pc*, oldest first, jumps and their targets only.
        source: "file:line" of the instruction; "" without line info.

    After the verification it also has:
        insn: the refused instruction in the kernel's notation.
        line: its source line; None without line info.
        registers: registers in the kernel's notation, by name.
        statistics: what the verification cost.
        log: the kernel-style text log, if one was asked for.
    """

    def __init__(
        self,
        rule: Rule,
        *,
        pc: int,
        detail: str,
        found: str = "",
        hint: str = "",
        path: tuple[int, ...] = (),
        source: str = "",
        errno: int = 0,
    ) -> None:
        place = f"insn {pc}: " if pc >= 0 else ""
        super().__init__("PROG_LOAD", errno or rule.errno, f"{place}{detail}")
        self.rule = rule
        self.pc = pc
        self.detail = detail
        self.found = found
        self.hint = hint
        self.path = path
        self.source = source
        self.insn = ""
        self.line: LineInfo | None = None
        self.registers: dict[str, str] = {}
        self.statistics: Statistics | None = None
        self.log = ""
        self._better = ""  # the hint that the path gives
        self._request: Request | None = None
        self._causes: tuple[Cause, ...] | None = None
        self._retry: Retry | None = None

    def __str__(self) -> str:
        return explain(self)

    def describe(
        self, request: Request, program: Program, journal: Sequence[object], retry: Retry
    ) -> None:
        """Add what is known only of the whole verification.

        *retry* verifies once more and returns the same verdict with a journal: causes are looked
        for only when someone wants to read them.
        """
        self._request = request
        self._retry = retry
        if not 0 <= self.pc < program.size:
            return
        step = program.steps[self.pc]
        kernel = request.environment.kernel_btf
        self.insn = named_text(step, kernel) if step is not None else ""
        self.line = line_of(request, self.pc)
        last = journal[-1] if journal else None
        if isinstance(last, Refused) and last.frame is not None:
            frame = last.frame
            self.registers = {
                f"R{number}": value_text(value, frame.number)
                for number, value in enumerate(frame.regs)
                if value is not None
            }
            if request.collect_journal or request.log_level & 2:
                self._causes = find_causes(program, journal, kernel)
                self._better = hint_of(program, journal, request)
                self.hint = self._better or self.hint

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The instructions and decisions that made the values so, in the order of the path."""
        if self._causes is None:
            self._causes = ()
            if self.rule in OF_ALL_PATHS:
                return self._causes
            again = self._retry(self._request) if self._retry and self._request else None
            if again is not None and (again.rule, again.pc) == (self.rule, self.pc):
                self._causes = again._causes or ()  # noqa: SLF001 - the same class
                self.registers = again.registers
                self.hint = again._better or self.hint  # noqa: SLF001 - the same class
        return self._causes

    @property
    def request(self) -> Request | None:
        """What was asked; None until the verification is over."""
        return self._request

    @property
    def line_infos(self) -> tuple[LineInfo, ...]:
        """The source lines of the program, by slot; empty without line info."""
        return tuple(self._request.line_infos) if self._request is not None else ()

    def line_at(self, pc: int) -> LineInfo | None:
        """The source line of slot *pc*; None without line info."""
        return line_of(self._request, pc) if self._request is not None else None

    def source_of(self, pc: int) -> str:
        """``file:line`` of slot *pc*; "" without line info."""
        line = self.line_at(pc)
        return place(line) if line is not None else ""


def _headline(rejected: Rejected) -> str:
    if rejected.pc < 0:
        return "the program"
    insn = rejected.insn.partition(") ")[2]
    text = f"insn {rejected.pc}: {insn}" if insn else f"insn {rejected.pc}"
    if rejected.line is None:
        return text
    return f"{text}    ; {rejected.line.text.strip()}   {place(rejected.line)}"


def explain(rejected: Rejected) -> str:
    """Say in a few lines what was refused, why, and what made it so."""
    lines = [_headline(rejected)]
    lines += [f"  {line}" for line in rejected.detail.splitlines()]
    if rejected.found:
        lines.append(f"  found: {rejected.found}")
    lines.append(f"  rule {rejected.rule.id}: {rejected.rule.sentence}")
    if rejected.causes:
        lines.append("  because:")
    for cause in rejected.causes:
        source = rejected.source_of(cause.pc)
        where = f"    ; {source}" if source else ""
        insn = cause.insn.partition(") ")[2]
        lines.append(f"    insn {cause.pc}: {insn:<32} {cause.effect}{where}")
    if not rejected.causes and len(rejected.path) > 1:
        latest = ", ".join(str(pc) for pc in rejected.path[-12:])
        more = "..., " if len(rejected.path) > 12 else ""
        lines.append(f"  reached through insns {more}{latest}")
    if rejected.hint:
        lines.append(f"  hint: {rejected.hint}")
    return "\n".join(lines)


def as_dict(rejected: Rejected) -> dict[str, object]:
    """Everything about the verdict, ready for JSON."""
    causes = [
        {
            "insn": cause.pc,
            "text": cause.insn,
            "effect": cause.effect,
            "source": rejected.source_of(cause.pc),
        }
        for cause in rejected.causes
    ]
    return {
        "rule": rejected.rule.id,
        "sentence": rejected.rule.sentence,
        "errno": rejected.errno_name,
        "insn": rejected.pc,
        "text": rejected.insn,
        "source": rejected.source,
        "line": rejected.line.text.strip() if rejected.line is not None else "",
        "message": rejected.detail,
        "found": rejected.found,
        "hint": rejected.hint,
        "registers": dict(rejected.registers),
        "causes": causes,
        "path": list(rejected.path),
    }
