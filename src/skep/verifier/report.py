"""Rejected: the verdict that a rule may not hold, with all that explains it.

``skep.verifier.explanation`` finds out how it came to that, which takes a second verification.
"""

from collections.abc import Sequence

from skep.errors import CommandError
from skep.verifier.events import Refused
from skep.verifier.interface import Request
from skep.verifier.listing import step_text
from skep.verifier.notation import value_text
from skep.verifier.program import Program
from skep.verifier.rules.rule import Rule


class Rejected(CommandError):  # noqa: N818 - a verdict, not a fault
    """The verifier found a path on which *rule* may not hold.

    Args:
        rule: the rule.
        pc: slot of the refused instruction; -1 if the program as a whole is refused.
        detail: the short diagnostic, which contains the kernel's words where those are settled.
        found: what was found, in values.
        hint: what usually helps; "" if nothing does.
        path: slots on the way to *pc*, oldest first, jumps and their targets only.
        insn: the refused instruction in the kernel's notation.
        registers: registers in the kernel's notation, by name, if a log or journal was asked for.
        source: "file:line" of the instruction; "" without line info.
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
        self.registers: dict[str, str] = {}
        self.log = ""
        self._request: Request | None = None

    @property
    def request(self) -> Request | None:
        """What was asked."""
        return self._request

    def describe(
        self, program: Program | None, request: Request, journal: Sequence[object]
    ) -> None:
        """Add what is known only of the whole verification."""
        self._request = request
        if program is not None and 0 <= self.pc < program.size:
            step = program.steps[self.pc]
            self.insn = step_text(step) if step is not None else ""
        last = journal[-1] if journal else None
        if isinstance(last, Refused) and last.frame is not None:
            frame = last.frame
            self.registers = {
                f"R{number}": value_text(value, frame.number)
                for number, value in enumerate(frame.regs)
                if value is not None
            }
