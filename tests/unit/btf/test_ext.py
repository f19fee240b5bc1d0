""".BTF.ext: records of functions, lines and relocations."""

import struct

import pytest

from skep.btf.build import Builder
from skep.btf.ext import BtfExt, CoreRecord, FunctionRecord, LineRecord
from skep.errors import BtfError
from support.btf_ext_writer import ext


@pytest.fixture
def builder() -> Builder:
    builder = Builder()
    builder.function("f", builder.prototype(0))
    return builder


def sample(builder: Builder, longer: int = 0) -> bytes:
    path, access = builder.string("a.c"), builder.string("0:1")
    text = builder.string("return 0;")
    return ext(
        builder,
        [("xdp", [(0, 2), (64, 2)]), (".text", [(0, 2)])],
        [("xdp", [(8, path, text, 41 << 10 | 5)])],
        [("xdp", [(16, 1, access, 8)])],
        longer=longer,
    )


@pytest.mark.parametrize("longer", [0, 4, 40])
def test_records_come_out_by_section_also_when_they_are_longer_than_known(
    builder: Builder, longer: int
) -> None:
    data = sample(builder, longer)
    btf = builder.build()

    parsed = BtfExt.parse(data, btf)

    assert parsed.functions == {
        "xdp": (FunctionRecord(0, 2), FunctionRecord(64, 2)),
        ".text": (FunctionRecord(0, 2),),
    }
    assert parsed.relocations == {"xdp": (CoreRecord(16, 1, "0:1", 8),)}
    line = parsed.lines["xdp"][0]
    assert (line.offset, line.line, line.column) == (8, 41, 5)
    assert (btf.string(line.file_off), btf.string(line.line_off)) == ("a.c", "return 0;")


def test_an_old_header_without_relocations_is_read(builder: Builder) -> None:
    path = builder.string("a.c")
    data = ext(builder, [("xdp", [(0, 2)])], [("xdp", [(0, path, 0, 0)])])
    old = data[:4] + struct.pack("=I", 24) + data[8:24] + data[32:]

    parsed = BtfExt.parse(old, builder.build())

    assert parsed.lines == {"xdp": (LineRecord(0, path, 0, 0),)}
    assert parsed.relocations == {}


def test_records_of_a_section_named_twice_stay_in_order(builder: Builder) -> None:
    data = ext(builder, [("a", [(0, 2)]), ("b", [(0, 2)]), ("a", [(8, 2)])])

    parsed = BtfExt.parse(data, builder.build())

    assert parsed.functions["a"] == (FunctionRecord(0, 2), FunctionRecord(8, 2))


def word(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack("=I", value) + data[at + 4 :]


@pytest.mark.parametrize(
    ("at", "value", "expected"),
    [
        (0, 0x02_EB9F, "version 1"),
        (4, 20, "a multiple of 4"),
        (4, 1 << 20, "a multiple of 4"),
        (8, 1 << 20, "an end within it"),
        (12, 0xFFFF_FFFF, "an end within it"),
        (32, 4, "a multiple of 4, 8"),
        (32, 9, "a multiple of 4, 8"),
        (32, 1 << 20, "a multiple of 4, 8"),
        (36, 0xFFFF, "an offset below"),
        (40, 0, "1 or more"),
        (40, 3000, "1 or more"),
        (44, 4, "a multiple of 8"),
        (48, 77, "an id below 3"),
    ],
)
def test_what_does_not_fit_is_an_error_with_its_offset(
    builder: Builder, at: int, value: int, expected: str
) -> None:
    data = sample(builder)
    btf = builder.build()

    with pytest.raises(BtfError, match=expected) as caught:
        BtfExt.parse(word(data, at, value), btf)
    assert caught.value.offset >= 0


def test_a_section_cut_anywhere_is_an_error(builder: Builder) -> None:
    data = sample(builder)
    btf = builder.build()

    for size in range(len(data)):
        with pytest.raises(BtfError):
            BtfExt.parse(data[:size], btf)
