import struct

import pytest

from skep.errors import ElfError
from skep.loader.elf import read_elf
from skep.loader.reader import read_object
from support.elf_writer import NOBITS, ObjectWriter


def minimal() -> ObjectWriter:
    writer = ObjectWriter()
    writer.function("main", writer.code("xdp", "r0 = 2\nexit"))
    return writer


def patched(offset: int, data: bytes) -> bytes:
    good = bytearray(minimal().to_bytes())
    good[offset : offset + len(data)] = data
    return bytes(good)


def test_sections_symbols_and_relocations_are_found() -> None:
    writer = minimal()
    maps = writer.section("maps", struct.pack("<5I", 2, 4, 4, 1, 0))
    symbol = writer.symbol("m", maps)
    code = writer.code("tc", "r1 = 0 ll\nexit")
    writer.relocate(code, 0, symbol)
    elf = read_elf(writer.to_bytes(), "x.o")

    section = elf.named("tc")

    assert section is not None
    assert [(r.offset, r.symbol.name) for r in elf.relocations_of(section)] == [(0, "m")]
    assert elf.named("nothing") is None


@pytest.mark.parametrize(
    ("offset", "data", "expected"),
    [
        (0, b"\x7fELG", "ELF"),
        (4, b"\x01", "64-bit"),
        (5, b"\x02", "little-endian"),
        (16, b"\x02\0", "relocatable"),
        (18, b"\x3e\0", "BPF"),
        (40, b"\xff" * 8, "inside the file"),
        (58, b"\x20\0", "64"),
        (60, b"\xff\xff", "inside the file"),
        (62, b"\xff\x00", "section"),
    ],
)
def test_a_foreign_or_broken_header_is_refused_with_its_offset(
    offset: int, data: bytes, expected: str
) -> None:
    with pytest.raises(ElfError) as caught:
        read_elf(patched(offset, data), "bad.o")

    assert expected in caught.value.expected
    assert caught.value.source == "bad.o"
    assert caught.value.offset in {offset, 40, -1}


def test_a_section_that_ends_behind_the_file_is_refused() -> None:
    writer = minimal()
    writer.section("version", b"1234", size=1 << 40)

    with pytest.raises(ElfError, match="inside the file"):
        read_elf(writer.to_bytes())


def test_a_section_of_zeros_of_absurd_size_is_refused() -> None:
    writer = minimal()
    writer.section(".bss", kind=NOBITS, size=1 << 62)

    with pytest.raises(ElfError, match="at most"):
        read_elf(writer.to_bytes())


def test_a_stripped_object_is_refused() -> None:
    good = bytearray(minimal().to_bytes())
    start = int.from_bytes(good[40:48], "little")
    for at in range(start, len(good), 64):
        if int.from_bytes(good[at + 4 : at + 8], "little") == 2:
            good[at + 4] = 1

    with pytest.raises(ElfError, match="stripped"):
        read_elf(bytes(good))


def test_a_function_outside_of_its_section_is_refused() -> None:
    writer = ObjectWriter()
    writer.function("main", writer.code("xdp", "r0 = 2\nexit"), 1, 2)

    with pytest.raises(ElfError, match="whole slots"):
        read_object(writer.to_bytes())


def test_a_relocation_of_a_symbol_that_is_not_there_is_refused() -> None:
    writer = minimal()
    writer.relocate(1, 0, 99)

    with pytest.raises(ElfError, match="symbols"):
        read_elf(writer.to_bytes())


def test_an_object_of_another_machine_is_refused() -> None:
    with pytest.raises(ElfError):
        read_elf(b"MZ" + bytes(200))
    with pytest.raises(ElfError):
        read_elf(b"")
