"""Where the functions of an object file lie: its symbol table, read.

Source: the ELF-64 object file format (Elf64_Shdr, Elf64_Sym).
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

SECTIONS_AT: Final = 0x28
SECTION_COUNT_AT: Final = 0x3C
SECTION: Final = struct.Struct("<IIQQQQIIQQ")
SYMBOL: Final = struct.Struct("<IBBHQQ")
SYMBOL_TABLE: Final = 2
FUNCTION: Final = 2


class Symbol(NamedTuple):
    """One function: its offset in its section, and its size, in bytes."""

    name: str
    offset: int
    size: int


def functions(code: bytes) -> Iterator[Symbol]:
    """The functions that a little-endian ELF-64 object file defines."""
    if code[:6] != b"\x7fELF\x02\x01":
        return
    start = int.from_bytes(code[SECTIONS_AT : SECTIONS_AT + 8], "little")
    count = int.from_bytes(code[SECTION_COUNT_AT : SECTION_COUNT_AT + 2], "little")
    sections = [SECTION.unpack_from(code, start + n * SECTION.size) for n in range(count)]
    for section in sections:
        if section[1] == SYMBOL_TABLE:
            names = sections[section[6]]
            yield from _symbols(code, section[4], section[5], names[4])


def _symbols(code: bytes, start: int, size: int, names: int) -> Iterator[Symbol]:
    for name, info, _, section, value, length in SYMBOL.iter_unpack(code[start : start + size]):
        if info & 0xF == FUNCTION and section:
            place = names + name
            text = code[place : code.index(b"\0", place)].decode("latin-1")
            yield Symbol(text, value, length)
