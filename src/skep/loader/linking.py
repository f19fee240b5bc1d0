"""Linking: a program and the subprograms that it uses, one behind the other.

::

    section xdp       section .text           program "xdp_main"
    ┌──────────┐      ┌─────┬─────┬─────┐     ┌──────────┬─────┬─────┐
    │ xdp_main │      │  f  │  g  │  h  │     │ xdp_main │  h  │  f  │
    └──────────┘      └─────┴─────┴─────┘     └──────────┴─────┴─────┘
      calls h           h calls f

A subprogram is appended where it is first called from, and its own calls come before the rest of
its caller's. Function, line and CO-RE records of .BTF.ext follow their instructions.

Source: libbpf 1.x, ``bpf_object__reloc_code``.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from skep.btf.ext import BtfExt, CoreRecord
from skep.errors import BpfError, RelocationError
from skep.isa import table
from skep.isa.codec import SLOT_SIZE
from skep.isa.insn import Insn
from skep.loader.code import Callee, Code, Function, Meaning, Mention
from skep.loader.spec import LineRecord, Reference, Target

MAX_SLOTS: Final = 1 << 24  # more than any kernel takes; stops runaway growth


@dataclass(slots=True)
class Linked:
    """A program in the making."""

    insns: list[Insn] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    functions: list[tuple[int, int]] = field(default_factory=list)
    lines: list[LineRecord] = field(default_factory=list)
    relocations: list[CoreRecord] = field(default_factory=list)


def link(code: Code, main: Function, ext: BtfExt | None, also: Function | None = None) -> Linked:
    """Put *main*, all that it uses, and *also*, behind each other.

    Raises:
        RelocationError: a call leads to no function.
        BpfError: what a used instruction refers to could not be understood.
    """
    linker = _Linker(code, ext)
    linker.add(main)
    linker.run()
    if also is not None:
        linker.place(also)
        linker.run()
    return linker.linked


class _Linker:
    def __init__(self, code: Code, ext: BtfExt | None) -> None:
        self.code = code
        self.ext = ext
        self.linked = Linked()
        self.starts: dict[tuple[int, int], int] = {}  # section and slot: pc in the program
        self.stack: list[tuple[Function, int]] = []  # function, slot to go on with

    def run(self) -> None:
        """Follow calls, depth first, without recursion."""
        while self.stack:
            function, slot = self.stack.pop()
            self.calls(function, slot)

    def place(self, function: Function) -> int:
        """The pc of *function*, which is added if it is not there yet."""
        start = self.starts.get((function.section, function.start))
        return self.add(function) if start is None else start

    def add(self, function: Function) -> int:
        linked = self.linked
        start = len(linked.insns)
        if start + len(function.insns) > MAX_SLOTS:
            raise RelocationError("the program grows without end", name=function.name)
        self.starts[function.section, function.start] = start
        linked.insns += function.insns
        for pc, meaning in sorted(function.meanings.items(), key=lambda item: item[0]):
            self.refer(function, start, pc, meaning)
        self.records(function, start)
        self.stack.append((function, 0))
        return start

    def refer(self, function: Function, start: int, pc: int, meaning: Meaning) -> None:
        """Keep what is completed at load time; calls are followed later."""
        if isinstance(meaning, BpfError):
            raise meaning
        if isinstance(meaning, Callee):
            return
        insn = function.insns[pc]
        wide = insn.code == table.LD_IMM64
        if wide and pc + 1 >= len(function.insns):
            raise RelocationError("half an instruction at the end", name=function.name)
        if not wide and meaning.target is not Target.EXTERN:
            raise RelocationError("a call of a variable", name=function.name)
        self.linked.references.append(_reference(start + pc, meaning))

    def calls(self, function: Function, first: int) -> None:
        """Resolve calls of *function* from slot *first*, up to one that adds a subprogram."""
        start = self.starts[function.section, function.start]
        insns = self.linked.insns
        for pc in range(first, len(function.insns)):
            insn = function.insns[pc]
            callee = function.callee(pc)
            if callee is None:
                continue
            target = self.code.at(callee.section, callee.slot)
            if target is None or target.start != callee.slot:
                raise RelocationError("calls no function", name=f"{function.name}+{pc}")
            known = (target.section, target.start) in self.starts
            if not known:
                self.stack.append((function, pc + 1))
            distance = self.place(target) - (start + pc) - 1
            source = table.PSEUDO_FUNC if insn.code == table.LD_IMM64 else insn.src
            insns[start + pc] = replace(insn, src=source, imm=distance)
            if not known:
                return

    def records(self, function: Function, start: int) -> None:
        if self.ext is None:
            return
        linked, section = self.linked, function.section_name
        low, high = function.start, function.start + len(function.insns)
        move = start - function.start
        mine = [
            (record.offset // SLOT_SIZE + move, record.type_id)
            for record in self.ext.functions.get(section, ())
            if low <= record.offset // SLOT_SIZE < high
        ]
        if linked.functions and not mine:
            raise RelocationError("BTF describes its caller but not it", name=function.name)
        if linked.functions or start == 0:
            linked.functions += mine
        lines = [
            LineRecord(
                record.offset // SLOT_SIZE + move,
                record.file_off,
                record.line_off,
                record.line_col,
            )
            for record in self.ext.lines.get(section, ())
            if low <= record.offset // SLOT_SIZE < high
        ]
        if linked.lines or start == 0:
            linked.lines += lines
        linked.relocations += [
            replace(record, offset=record.offset + move * SLOT_SIZE)
            for record in self.ext.relocations.get(section, ())
            if low <= record.offset // SLOT_SIZE < high
        ]


def _reference(pc: int, mention: Mention) -> Reference:
    return Reference(pc, mention.target, mention.index, mention.offset)
