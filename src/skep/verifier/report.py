"""Rejected: the verdict that a rule may not hold, with all that explains it."""

from skep.errors import CommandError
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
        registers: registers in the kernel's notation, one text each, index = number.
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
        self.registers: tuple[str, ...] = ()
        self.log = ""
