"""Reason: why the verifier refused a program, as plain data that outlives the verification.

A Rejected knows the request it came from, and through it the whole subsystem; a Reason holds only
what a reader may want to see: the rule, the fields of ``report.as_dict`` and the source lines.

Source: BTF line info, as ``skep.verifier.report`` resolved it.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from skep.verifier import Rejected
from skep.verifier.interface import LineInfo
from skep.verifier.report import OF_ALL_PATHS, as_dict
from skep.verifier.rules.rule import Rule

CONTEXT: Final = 2  # lines shown before and after the place
OPERAND: Final = re.compile(r"\b[rw](10|[0-9])\b")
REGISTER: Final = re.compile(r"\bR(?:10|[0-9])\b")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction that had a part in it.

    Args:
        insn: its slot. *text*: the instruction. *effect*: what it made of which register.
        line: its source line; None without line info.
    """

    insn: int
    text: str
    effect: str
    line: LineInfo | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a program was refused.

    Args:
        rule: the rule that may not hold.
        fields: everything about the verdict, ready for JSON (``report.as_dict``).
        line: source line of the refused instruction; None without line info.
        nearby: recorded lines of the same file around it, by line number.
        steps: what led to it, in the order of the path.
    """

    rule: Rule
    fields: dict[str, Any]
    line: LineInfo | None
    nearby: dict[int, str]
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, rejected: Rejected) -> "Reason":
        """What *rejected* says, without what it came from."""
        steps = tuple(
            Step(cause.pc, plain(cause.insn), cause.effect, rejected.line_at(cause.pc))
            for cause in rejected.causes
        )
        nearby = _nearby(rejected.line_infos, rejected.line)
        return cls(rejected.rule, as_dict(rejected), rejected.line, nearby, steps)

    @property
    def insn(self) -> int:
        """Slot of the refused instruction; -1 if the program as a whole is refused."""
        return int(self.fields["insn"])

    @property
    def text(self) -> str:
        """The refused instruction; "" if the program as a whole is refused."""
        return plain(str(self.fields["text"]))

    @property
    def message(self) -> str:
        """The diagnostic, in the kernel's words where those are settled; may have many lines."""
        return str(self.fields["message"])

    @property
    def hint(self) -> str:
        """What usually helps; "" if nothing does."""
        return str(self.fields["hint"])

    @property
    def found(self) -> str:
        """What was found: in the rule's words, or the registers of the message, or of the insn."""
        if self.fields["found"]:
            return str(self.fields["found"])
        registers: dict[str, str] = self.fields["registers"]
        names = dict.fromkeys(REGISTER.findall(self.message))
        if not names and self.rule not in OF_ALL_PATHS and not self.text.startswith("call"):
            names = dict.fromkeys(f"R{number}" for number in OPERAND.findall(self.text))
        return ", ".join(f"{name}={registers[name]}" for name in names if name in registers)


def plain(insn: str) -> str:
    """An instruction of the log without its opcode: ``(85) call f`` is ``call f``."""
    return insn.partition(") ")[2] if insn.startswith("(") else insn


def _nearby(infos: tuple[LineInfo, ...], place: LineInfo | None) -> dict[int, str]:
    if place is None:
        return {}
    found = {
        info.line: info.text
        for info in infos
        if info.file == place.file and abs(info.line - place.line) <= CONTEXT and info.text
    }
    return dict(sorted(found.items()))
