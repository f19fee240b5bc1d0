"""Functions of an object, and what their instructions refer to.

A relocation names the instruction it completes and a symbol; here it becomes a call, the address of
a function, or a reference to a map, a variable or an extern.

Source: libbpf 1.x, ``bpf_object__add_programs``, ``bpf_program__record_reloc``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from skep.errors import BpfError, RelocationError
from skep.isa import table
from skep.isa.codec import SLOT_SIZE, decode
from skep.isa.insn import Insn
from skep.loader.datamaps import ARENA, content_of
from skep.loader.elf import EXECUTABLE, FUNC, LOCAL, NOTYPE, PROGBITS, Elf, Relocation, Section
from skep.loader.elf import SECTION as SECTION_SYMBOL
from skep.loader.externs import Externs
from skep.loader.spec import Content, MapSpec, Target
from skep.uapi.flags import MapType

CALL: Final = 0x85
TEXT: Final = ".text"


@dataclass(frozen=True, slots=True)
class Callee:
    """A call or function constant: the slot of its section where the function begins."""

    section: int
    slot: int


@dataclass(frozen=True, slots=True)
class Mention:
    """A reference of an instruction; *offset* counts bytes into a map's value."""

    target: Target
    index: int
    offset: int = 0


Meaning = Callee | Mention | BpfError


@dataclass(frozen=True, slots=True)
class Function:
    """Code under one symbol.

    Args:
        section: index of its section.
        start: its first slot there.
        meanings: slot within the function to what its relocation means; an error waits there until
            the function is used.
    """

    name: str
    section: int
    section_name: str
    start: int
    insns: tuple[Insn, ...]
    entry: bool
    meanings: Mapping[int, Meaning] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The slot of its section behind its last."""
        return self.start + len(self.insns)

    def callee(self, pc: int) -> Callee | None:
        """The function that slot *pc* calls or takes the address of; None if it does neither."""
        meaning = self.meanings.get(pc)
        if isinstance(meaning, Callee):
            return meaning
        insn = self.insns[pc]
        if meaning is None and insn.code == CALL and insn.src == table.PSEUDO_CALL:
            return Callee(self.section, self.start + pc + insn.imm + 1)
        return None


@dataclass(frozen=True, slots=True)
class Code:
    """All functions of an object, in order of section and slot."""

    functions: tuple[Function, ...]

    def at(self, section: int, slot: int) -> Function | None:
        """The function that slot *slot* of section *section* lies in."""
        for function in self.functions:
            if function.section == section and function.start <= slot < function.end:
                return function
        return None

    def named(self, name: str) -> Function | None:
        """The first function called *name* that is no entry point."""
        return next((f for f in self.functions if f.name == name and not f.entry), None)


def read_code(elf: Elf, maps: Sequence[MapSpec], externs: Externs) -> Code:
    """Read all functions and what they refer to.

    Raises:
        ElfError: a function lies outside of its section.
    """
    places = _Places(elf, maps, externs)
    sections = [
        section
        for section in elf.sections
        if section.kind == PROGBITS and section.flags & EXECUTABLE and section.size
    ]
    own = [section for section in sections if section.name != TEXT]
    found: list[Function] = []
    for section in sections:
        relocations = list(elf.relocations_of(section))
        entries = section.name != TEXT or not own
        for name, offset, size, local in _ranges(elf, section):
            insns = tuple(decode(section.data[offset : offset + size], section.name))
            start = offset // SLOT_SIZE
            meanings = places.meanings(start, insns, relocations)
            entry = entries and not local
            found.append(Function(name, section.index, section.name, start, insns, entry, meanings))
    code = Code(tuple(sorted(found, key=lambda function: (function.section, function.start))))
    return _with_static_entries(code)


def _with_static_entries(code: Code) -> Code:
    """Make entry points of static functions outside of ``.text`` that nothing calls."""
    called = {
        (callee.section, callee.slot)
        for function in code.functions
        for pc in range(len(function.insns))
        if (callee := function.callee(pc)) is not None
    }
    return Code(
        tuple(
            replace(function, entry=True)
            if function.section_name != TEXT and (function.section, function.start) not in called
            else function
            for function in code.functions
        )
    )


def _ranges(elf: Elf, section: Section) -> list[tuple[str, int, int, bool]]:
    """Name, offset, size and whether it is local, of each function in *section*."""
    symbols = [s for s in elf.symbols if s.section == section.index and s.kind == FUNC]
    if not symbols:  # compilers before LLVM 8 gave functions no type: the section is one program
        named = [
            symbol
            for symbol in elf.symbols
            if symbol.section == section.index and symbol.kind == NOTYPE and symbol.value == 0
            if symbol.name and not symbol.name.startswith(("LBB", ".L"))
        ]
        named.sort(key=lambda symbol: symbol.bind == LOCAL)
        name = named[0].name if named else section.name
        return [(name, 0, _whole(elf, section, name, 0, section.size), False)]
    return [
        (s.name, s.value, _whole(elf, section, s.name, s.value, s.size), s.bind == LOCAL)
        for s in symbols
    ]


def _whole(elf: Elf, section: Section, name: str, offset: int, size: int) -> int:
    if size == 0 or size % SLOT_SIZE or offset % SLOT_SIZE or offset + size > section.size:
        raise elf.error(
            section.name, f"function {name!r} of {size} bytes", "whole slots of the section", offset
        )
    return size


class _Places:
    """What a symbol's section and value stand for."""

    def __init__(self, elf: Elf, maps: Sequence[MapSpec], externs: Externs) -> None:
        self.elf = elf
        self.externs = externs
        self.maps = {(map_.section, map_.offset): at for at, map_ in enumerate(maps)}
        arenas = (at for at, map_ in enumerate(maps) if map_.map_type == MapType.ARENA)
        self.arena = next(arenas, 0)  # if variables are to be in one, there is one
        self.names = [section.name for section in elf.sections]
        self.definers = {m.section for m in maps if m.content is Content.NOTHING}

    def meanings(
        self, start: int, insns: Sequence[Insn], relocations: Iterable[Relocation]
    ) -> dict[int, Meaning]:
        """Slot to meaning, for the function of *insns* that begins at slot *start*."""
        found: dict[int, Meaning] = {}
        for relocation in relocations:
            pc, rest = divmod(relocation.offset, SLOT_SIZE)
            pc -= start
            if not 0 <= pc < len(insns):
                continue
            try:
                if rest:
                    raise self.wrong(relocation, "does not point at an instruction")
                found[pc] = self.meaning(relocation, insns[pc])
            except BpfError as error:
                found[pc] = error
        return found

    def wrong(self, relocation: Relocation, why: str) -> RelocationError:
        symbol = relocation.symbol
        name = symbol.name or self.name(symbol.section)
        where = f"{self.name(relocation.section)}+{relocation.offset:#x}"
        return RelocationError(why, source=self.elf.source, name=f"{where}: {name!r}")

    def name(self, section: int) -> str:
        return self.names[section] if section < len(self.names) else f"section {section:#x}"

    def meaning(self, relocation: Relocation, insn: Insn) -> Meaning:
        symbol = relocation.symbol
        if insn.code not in (CALL, table.LD_IMM64):
            raise self.wrong(relocation, f"an instruction {insn.code:#04x} cannot refer to it")
        if symbol.is_extern:
            return self.extern(relocation)
        if not 0 < symbol.section < len(self.names):
            raise self.wrong(
                relocation, "in a special section; is a global variable uninitialised?"
            )
        section = self.elf.sections[symbol.section]
        if section.flags & EXECUTABLE:
            return self.function(relocation, insn)
        if insn.code == CALL:
            raise self.wrong(relocation, f"a call into {section.name}")
        if content_of(section) is not Content.NOTHING:
            index = self.maps[section.name, 0]  # of the last one, if sections share a name
            return Mention(Target.VALUE, index, relocation.value + insn.imm)
        if section.name == ARENA:
            return Mention(Target.VALUE, self.arena, relocation.value + insn.imm)
        return self.map(relocation, insn)

    def extern(self, relocation: Relocation) -> Meaning:
        symbol = relocation.symbol.index
        if symbol in self.externs.problems:
            return self.externs.problems[symbol]
        if symbol not in self.externs.by_symbol:
            raise self.wrong(relocation, "an undefined symbol")
        return Mention(Target.EXTERN, self.externs.by_symbol[symbol])

    def function(self, relocation: Relocation, insn: Insn) -> Meaning:
        symbol = relocation.symbol
        if insn.code == CALL:
            # A global function's call has imm -1, a static one's counts from its section.
            if insn.src != table.PSEUDO_CALL or relocation.value % SLOT_SIZE:
                raise self.wrong(relocation, "not a call of a function")
            return Callee(symbol.section, relocation.value // SLOT_SIZE + insn.imm + 1)
        if (relocation.value + insn.imm) % SLOT_SIZE or symbol.kind not in (FUNC, SECTION_SYMBOL):
            raise self.wrong(relocation, "not the address of a function")
        return Callee(symbol.section, (relocation.value + insn.imm) // SLOT_SIZE)

    def map(self, relocation: Relocation, insn: Insn) -> Meaning:
        symbol = relocation.symbol
        name = self.name(symbol.section)
        if name not in self.definers:
            raise self.wrong(relocation, f"section {name} holds neither maps nor variables")
        at = relocation.value + (insn.imm if symbol.kind == SECTION_SYMBOL else 0)
        if (name, at) not in self.maps:
            raise self.wrong(relocation, f"no map begins at {name}+{at:#x}")
        return Mention(Target.MAP, self.maps[name, at])
