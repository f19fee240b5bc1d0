"""A program's listing: instructions under the functions and source lines that they belong to.

::

    int count(struct xdp_md * ctx):
    ; __u32 key = 0;                                   count.bpf.c:12
       0: r1 = 0x0
       1: *(u32 *)(r10 - 0x4) = w1
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from skep.isa import flow, table
from skep.isa.disassembler import HelperName, disassemble
from skep.isa.insn import Insn


@dataclass(frozen=True, slots=True)
class SourceLine:
    """Where in the source a slot comes from; *line* and *column* count from 1."""

    file: str
    line: int
    column: int
    text: str


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions with what is known of them.

    Args:
        insns: slots.
        functions: pc of each function's first slot to its title.
        lines: pc to the source line that begins there.
    """

    insns: Sequence[Insn]
    functions: Mapping[int, str] = field(default_factory=dict)
    lines: Mapping[int, SourceLine] = field(default_factory=dict)

    def labels(self) -> dict[int, str]:
        """Names of all jump targets in order, as clang names them: ``LBB0_1``."""
        names: dict[int, str] = {}
        starts = [*flow.subprogram_starts(self.insns), len(self.insns)]
        for number, (start, end) in enumerate(pairwise(starts)):
            targets = {
                target
                for pc in range(start, end)
                if (target := _target(pc, self.insns[pc])) is not None
            }
            for count, target in enumerate(sorted(targets), 1):
                names.setdefault(target, f"LBB{number}_{count}")
        return names

    def listing(
        self, *, helper_name: HelperName | None = None, labels: bool = False
    ) -> Iterator[str]:
        """Lines of text: titles, source lines behind ``;``, labels if wanted, instructions."""
        names = self.labels() if labels else {}
        titles = {pc: f"{title}:" for pc, title in self.functions.items()}
        label = names.get if labels else None
        for pc, text in disassemble(self.insns, helper_name=helper_name, label=label):
            if pc in titles:
                yield titles[pc]
            if pc in self.lines:
                yield _comment(self.lines[pc])
            if pc in names:
                yield f"{names[pc]}:"
            yield f"{pc:4}: {text}"


def _target(pc: int, insn: Insn) -> int | None:
    op = table.op_of(insn)
    return None if op is None else flow.jump_target(pc, op, insn)


def _comment(line: SourceLine) -> str:
    place = f"{line.file.rpartition('/')[2]}:{line.line}"
    return f"; {line.text.strip():<60} {place}"
