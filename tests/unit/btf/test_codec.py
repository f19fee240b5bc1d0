"""Bytes that are not BTF, or almost."""

import struct

import pytest

from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kinds import Kind, Member
from skep.errors import BtfError


def good() -> bytes:
    b = Builder()
    number = b.integer("int", 4)
    b.struct("s", 8, [Member("a", number, 0), Member("b", number, 32)])
    b.enum("e", {"A": 1, "B": 2})
    return b.to_bytes()


def put(at: int, form: str, value: int) -> bytes:
    data = bytearray(good())
    struct.pack_into(form, data, at, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes"),
        (good()[:23], "23 bytes"),
        (put(0, "=H", 0x1234), "magic"),
        (put(0, ">H", 0xEB9F), "other byte order"),
        (put(2, "=B", 2), "version 2"),
        (put(4, "=I", 8), "header length 8"),
        (put(4, "=I", 1 << 31), "header length"),
        (put(8, "=I", 2), "multiple of 4"),
        (put(12, "=I", 1 << 31), "type section at 0"),
        (put(12, "=I", 42), "multiple of 4"),
        (put(16, "=I", 1 << 31), "string section at"),
        (put(20, "=I", 1), "no NUL|no empty string|found"),
        (put(24 + 4, "=I", 20 << 24), "kind 20 at type 1"),
        (put(24 + 4, "=I", 0), "kind 0 at type 1"),
        (put(24 + 20, "=I", 4 << 24 | 0xFFFF), "the end of the type section at type 2"),
    ],
)
def test_a_wrong_outline_is_refused_at_once(data: bytes, text: str) -> None:
    if data == put(20, "=I", 1):
        data = put(20, "=I", 3)  # ends inside a name
    with pytest.raises(BtfError, match=text) as caught:
        Btf.parse(data, source="BTF of x.o")
    assert caught.value.source == "BTF of x.o"
    assert caught.value.offset >= 0


@pytest.mark.parametrize(
    ("at", "value", "type_id", "text"),
    [
        (24 + 0, 9999, 1, "string offset 9999"),
        (24 + 12, 200, 1, "bits"),
        (24 + 16 + 12, 0xFFFF_FFFF, 2, "string offset"),
        (24 + 16 + 16, 4, 2, "type id 4"),
        (24 + 16 + 36 + 12, 1 << 20, 3, "string offset"),
    ],
)
def test_a_wrong_type_is_refused_when_it_is_read(
    at: int, value: int, type_id: int, text: str
) -> None:
    btf = Btf.parse(put(at, "=I", value))

    with pytest.raises(BtfError, match=text) as caught:
        btf.type(type_id)
    assert caught.value.type_id == type_id
    assert caught.value.offset == at


def test_data_behind_a_longer_header_is_read() -> None:
    data = good()
    longer = data[:4] + struct.pack("=I", 32) + data[8:24] + bytes(8) + data[24:]

    assert Btf.parse(longer).by_name("s", Kind.STRUCT) == 2


def test_bytes_of_a_parsed_btf_are_the_same_bytes() -> None:
    assert Btf.parse(good()).to_bytes() == good()


def test_names_that_are_not_utf_8_are_read_as_latin_1() -> None:
    data = good().replace(b"int\0", b"\xe9nt\0")

    assert Btf.parse(data).name(1) == "\xe9nt"


def test_more_entries_than_the_format_holds_cannot_be_written() -> None:
    b = Builder()
    number = b.integer("int", 4)
    b.struct("s", 0, [Member("", number, 0)] * 0x10000)

    with pytest.raises(BtfError, match="65536 entries"):
        b.to_bytes()
