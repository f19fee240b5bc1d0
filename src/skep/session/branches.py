"""Why a branch is dead: which value made the jump go one way only, and what made the value so."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from skep.isa.disassembler import format_insn
from skep.isa.flow import successors
from skep.isa.table import Kind, op_of, registers_read
from skep.session.listings import helper_name
from skep.session.observation import Watcher, known_in
from skep.session.profile import line_of
from skep.session.reasons import Step, plain
from skep.verifier import Rejected, verify
from skep.verifier.causes import causes_at
from skep.verifier.interface import LineInfo, Request

if TYPE_CHECKING:
    from skep.verifier.check import Check


@dataclass(frozen=True, slots=True)
class DeadBranch:
    """A conditional jump that goes one way only.

    Args:
        insn: its slot. *text*: the jump. *line*: its source line; None without line info.
        way: "always taken" or "never taken". *dead*: the slot that it never goes to.
        found: the registers that it compares, on the visit that is shown.
        steps: what made them so, in the order of the path.
    """

    insn: int
    text: str
    line: LineInfo | None
    way: str
    dead: int
    found: str
    steps: tuple[Step, ...]

    @property
    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "insn": self.insn, "text": self.text, "way": self.way, "dead": self.dead,
            "found": self.found, "source": place_fields(self.line),
            "causes": [
                {"insn": step.insn, "text": step.text, "effect": step.effect,
                 "source": place_fields(step.line)} for step in self.steps
            ],
        }  # fmt: skip


def place_fields(line: LineInfo | None) -> dict[str, Any] | None:
    """A source line, ready for JSON."""
    if line is None:
        return None
    return {"file": line.file, "line": line.line, "column": line.column, "text": line.text}


class _Seen(Exception):  # noqa: N818 - it ends a verification that has shown enough
    pass


class _Witness:
    """Stops the verification when the jump at *pc* was decided for the first time."""

    def __init__(self, pc: int, infos: Sequence[LineInfo]) -> None:
        self._pc, self._infos = pc, infos
        self._found = ""
        self.found = ""
        self.steps: tuple[Step, ...] = ()

    def arrive(self, check: "Check") -> None:
        """See Observer."""
        if check.previous_pc == self._pc and check.journal:
            self.found = self._found
            self.steps = tuple(
                Step(cause.pc, plain(cause.insn), cause.effect, line_of(self._infos, cause.pc))
                for cause in causes_at(
                    check.program, check.journal, self._pc, kernel=check.environment.kernel_btf
                )
            )
            raise _Seen
        if check.pc == self._pc:
            step = check.program.steps[self._pc]
            known = known_in(check.state.frames[-1])
            read = registers_read(step.op, step.insn) if step is not None else 0
            names = [f"R{number}" for number in range(11) if read >> number & 1]
            self._found = ", ".join(f"{name}={known[name]}" for name in names if name in known)

    def remember(self, pc: int) -> None:
        """See Observer."""


def dead_branch(request: Request, watcher: Watcher, pc: int) -> DeadBranch | None:
    """Why the jump at *pc* goes one way only; None if it does not, or was never reached."""
    point = watcher.points.get(pc)
    if point is None or not point.way:
        return None
    witness = _Witness(pc, request.line_infos)
    with suppress(Rejected, _Seen):
        verify(replace(request, observer=witness, log_level=1, collect_journal=False))
    insn = request.insns[pc]
    after, target = pc + 1, pc + 1 + insn.off
    return DeadBranch(
        pc, text_at(request, pc), line_of(request.line_infos, pc), point.way,
        after if point.way == "always taken" else target, witness.found, witness.steps,
    )  # fmt: skip


def text_at(request: Request, pc: int) -> str:
    """The instruction at *pc*."""
    following = request.insns[pc + 1] if pc + 1 < len(request.insns) else None
    return format_insn(request.insns[pc], following, pc=pc, helper_name=helper_name)


def guards_of(request: Request, reached: frozenset[int], pc: int) -> list[int]:
    """The conditional jumps that are reached and from which *pc*, which is not, would follow."""
    before: dict[int, list[int]] = {}
    for at, insn in enumerate(request.insns):
        for follower in successors(at, insn):
            before.setdefault(follower, []).append(at)
    found: dict[int, None] = {}
    waiting, seen = [pc], {pc}
    while waiting:
        for at in before.get(waiting.pop(), ()):
            if at in reached:
                op = op_of(request.insns[at])
                if op is not None and op.kind is Kind.JUMP:
                    found[at] = None
            elif at not in seen:
                seen.add(at)
                waiting.append(at)
    return sorted(found)
