"""An ELF object of BPF code: sections, symbols and relocations, all within their bounds.

Invariant: whatever the bytes are, reading them gives an Elf or raises ElfError; no section, string
or relocation points outside of it.

Source: System V ABI, chapter 4; LLVM's BPF relocations (Documentation/bpf/llvm_reloc.rst).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from elftools.elf.elffile import ELFFile

from skep.errors import ElfError

MACHINE_BPF: Final = 247
TYPE_RELOCATABLE: Final = 1

PROGBITS: Final = 1
SYMTAB: Final = 2
STRTAB: Final = 3
RELA: Final = 4
NOBITS: Final = 8
REL: Final = 9
EXECUTABLE: Final = 4  # flag

LOCAL: Final = 0  # binding of a symbol
GLOBAL: Final = 1
WEAK: Final = 2
NOTYPE: Final = 0  # type of a symbol
OBJECT: Final = 1
FUNC: Final = 2
SECTION: Final = 3
HIDDEN: Final = (1, 2)  # visibilities INTERNAL and HIDDEN

STRUCT_OPS: Final = (".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link")

_MAX_SIZE: Final = 1 << 31  # of a section that takes no room in the file
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELOCATIONS: Final = {REL: struct.Struct("<QQ"), RELA: struct.Struct("<QQq")}
_HEADERS: Final = struct.Struct("<16sHHIQQQIHHHHHH")


@dataclass(frozen=True, slots=True)
class Section:
    """A section; *data* is empty if it takes no room in the file, *size* counts all the same."""

    index: int
    name: str
    kind: int
    flags: int
    size: int
    data: bytes
    link: int
    info: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol; *section* is 0 for an undefined one, and may lie beyond the last section.

    Only what is used must make sense: a function has a name, others may have lost theirs.
    """

    index: int
    name: str
    value: int
    size: int
    section: int
    kind: int
    bind: int
    hidden: bool

    @property
    def is_extern(self) -> bool:
        """Whether something outside of the object must provide it."""
        return self.section == 0 and self.bind in (GLOBAL, WEAK) and self.kind == NOTYPE


@dataclass(frozen=True, slots=True)
class Relocation:
    """Something to fill in at byte *offset* of section *section*.

    *value* is the symbol's, with the addend that old compilers put beside it.
    """

    section: int
    offset: int
    symbol: Symbol
    kind: int
    value: int


@dataclass(frozen=True, slots=True)
class Elf:
    """A relocatable object for BPF, little-endian, 64-bit."""

    source: str
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: tuple[Relocation, ...]

    def named(self, name: str) -> Section | None:
        """The first section called *name*."""
        return next((section for section in self.sections if section.name == name), None)

    def relocations_of(self, section: Section) -> Iterator[Relocation]:
        """What is to be filled in in *section*, by offset."""
        mine = (
            relocation for relocation in self.relocations if relocation.section == section.index
        )
        return iter(sorted(mine, key=lambda relocation: relocation.offset))

    def error(self, where: str, found: str, expected: str, offset: int = -1) -> ElfError:
        """An error about this object."""
        return ElfError(
            source=self.source, where=where, found=found, expected=expected, offset=offset
        )


def read_elf(data: bytes, source: str = "object") -> Elf:
    """Read an object.

    Args:
        data: the whole file.
        source: its name, for messages.

    Raises:
        ElfError: it is no ELF object for BPF, or points outside of itself.
    """
    _check_header(data, source)
    sections = _sections(data, source)
    symbols = _symbols(sections, source)
    relocations = tuple(
        relocation
        for section in sections
        if section.kind in (REL, RELA) and _matters(section, sections)
        for relocation in _relocations(section, sections, symbols, source)
    )
    return Elf(source, sections, symbols, relocations)


def _check_header(data: bytes, source: str) -> None:
    def require(good: bool, offset: int, found: str, expected: str) -> None:
        if not good:
            raise ElfError(
                source=source, where="ELF header", offset=offset, found=found, expected=expected
            )

    require(data[:4] == b"\x7fELF", 0, repr(bytes(data[:4])), r"b'\x7fELF'")
    require(len(data) >= _HEADERS.size, 0, f"{len(data)} bytes", f"at least {_HEADERS.size}")
    require(data[4] == 2, 4, f"class {data[4]}", "class 2 (64-bit)")
    require(data[5] == 1, 5, f"byte order {data[5]}", "byte order 1 (little-endian)")
    fields = _HEADERS.unpack_from(data)
    kind, machine = fields[1], fields[2]
    require(kind == TYPE_RELOCATABLE, 16, f"type {kind}", "type 1 (relocatable)")
    # Old LLVM leaves the machine zero.
    require(machine in (0, MACHINE_BPF), 18, f"machine {machine}", f"machine {MACHINE_BPF} (BPF)")
    start, entry, count = fields[6], fields[11], fields[12]
    require(entry == 64 or not count, 58, f"section headers of {entry} bytes", "64")
    end = start + entry * count
    require(
        start > 0 and end <= len(data), 40, f"section headers up to {end:#x}", "inside the file"
    )


def _sections(data: bytes, source: str) -> tuple[Section, ...]:
    at = 0
    try:
        file = ELFFile(BytesIO(data))
        found: list[Section] = []
        for at in range(file.num_sections()):
            header = file._get_section_header(at)  # noqa: SLF001 - the class made of it may be refused
            name = file._get_section_name(header)  # noqa: SLF001
            found.append(_section(data, at, str(name), header, source))
    except ElfError:
        raise
    # pyelftools raises whatever its parts raise: construct errors, AttributeError, KeyError, …
    except Exception as error:  # noqa: BLE001
        raise ElfError(
            source=source, where=f"section header {at}", found=f"{type(error).__name__}: {error}",
            expected="a well-formed section table",
        ) from None  # fmt: skip
    return tuple(found)


_KINDS: Final[dict[str, int]] = {
    "SHT_NULL": 0, "SHT_PROGBITS": PROGBITS, "SHT_SYMTAB": SYMTAB, "SHT_STRTAB": STRTAB,
    "SHT_NOBITS": NOBITS, "SHT_REL": REL, "SHT_RELA": RELA,
}  # fmt: skip


def _section(data: bytes, index: int, name: str, header: Any, source: str) -> Section:
    declared = header["sh_type"]
    kind = declared if isinstance(declared, int) else _KINDS.get(declared, -1)
    offset, size = int(header["sh_offset"]), int(header["sh_size"])
    stored = b""
    if kind == NOBITS:
        if size > _MAX_SIZE:
            raise ElfError(
                source=source, where=name, offset=0, found=f"{size} bytes",
                expected=f"at most {_MAX_SIZE}",
            )  # fmt: skip
    elif kind != 0:
        if offset + size > len(data):
            raise ElfError(
                source=source, where=f"section {index} {name!r}", offset=offset,
                found=f"{size} bytes in a file of {len(data)}", expected="an end inside the file",
            )  # fmt: skip
        stored = data[offset : offset + size]
    link, info = int(header["sh_link"]), int(header["sh_info"])
    return Section(index, name, kind, int(header["sh_flags"]), size, stored, link, info)


def _symbols(sections: tuple[Section, ...], source: str) -> tuple[Symbol, ...]:
    tables = [section for section in sections if section.kind == SYMTAB]
    if len(tables) != 1:
        raise ElfError(
            source=source, where="section headers", found=f"{len(tables)} symbol tables",
            expected="one; is the object stripped?",
        )  # fmt: skip
    table = tables[0]
    if table.size % _SYMBOL.size or not 0 < table.link < len(sections):
        raise ElfError(
            source=source, where=table.name, offset=0,
            found=f"{table.size} bytes with strings in section {table.link}",
            expected="whole symbols and a string table",
        )  # fmt: skip
    strings = sections[table.link].data
    found: list[Symbol] = []
    for index, fields in enumerate(_SYMBOL.iter_unpack(table.data)):
        name_off, info, other, section, value, size = fields
        name = _string(strings, name_off)
        if name is None and info & 15 == FUNC:
            raise ElfError(
                source=source, where=table.name, offset=index * _SYMBOL.size,
                found=f"string offset {name_off}",
                expected=f"a string that ends before {len(strings)}",
            )  # fmt: skip
        hidden = other & 3 in HIDDEN
        found.append(Symbol(index, name or "", value, size, section, info & 15, info >> 4, hidden))
    return tuple(found)


def _string(strings: bytes, off: int) -> str | None:
    """The string at *off*; None if it lies outside of the table."""
    end = strings.find(b"\0", off)
    if off and (off >= len(strings) or end < 0):
        return None
    return strings[off : max(end, 0)].decode("utf-8", "backslashreplace")


def _matters(table: Section, sections: tuple[Section, ...]) -> bool:
    """Whether *table* completes code or maps; debugging information may be broken."""
    target = sections[table.info] if table.info < len(sections) else table
    named = target.name == ".maps" or target.name in STRUCT_OPS
    return target is table or bool(target.flags & EXECUTABLE) or named


def _relocations(
    table: Section, sections: tuple[Section, ...], symbols: tuple[Symbol, ...], source: str
) -> Iterator[Relocation]:
    row = _RELOCATIONS[table.kind]
    if table.size % row.size or not 0 < table.info < len(sections):
        raise ElfError(
            source=source, where=table.name, offset=0,
            found=f"{table.size} bytes for section {table.info}",
            expected="whole relocations of a section",
        )  # fmt: skip
    for number, (offset, info, *addend) in enumerate(row.iter_unpack(table.data)):
        if info >> 32 >= len(symbols) or offset >= max(sections[table.info].size, 1):
            raise ElfError(
                source=source, where=table.name, offset=number * row.size,
                found=f"symbol {info >> 32} at {offset:#x}",
                expected=f"one of {len(symbols)} symbols, inside of section {table.info}",
            )  # fmt: skip
        symbol = symbols[info >> 32]
        value = symbol.value + sum(addend)
        yield Relocation(table.info, offset, symbol, info & 0xFFFF_FFFF, value)
