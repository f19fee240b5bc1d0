"""Values: bytes to Python and back."""

import math
import struct

import pytest

from skep.btf import kinds
from skep.btf.build import Builder
from skep.btf.kinds import Member
from skep.btf.values import decode, encode
from skep.errors import BtfError


@pytest.fixture
def b() -> Builder:
    return Builder()


def test_integers_keep_sign_and_size(b: Builder) -> None:
    narrow, wide = b.integer("s16", 2, signed=True), b.integer("u128", 16)
    flag = b.integer("bool", 1, boolean=True)
    btf = b.build()

    assert decode(btf, narrow, b"\xfe\xff") == -2
    assert encode(btf, narrow, -2) == b"\xfe\xff"
    assert encode(btf, wide, 1 << 100) == (1 << 100).to_bytes(16, "little")
    assert decode(btf, flag, b"\1") is True
    assert decode(btf, flag, b"\7") == 7


@pytest.mark.parametrize("value", [-1, 256])
def test_a_number_that_does_not_fit_is_refused(b: Builder, value: int) -> None:
    byte = b.integer("u8", 1)

    with pytest.raises(ValueError, match=r"not in 0 \.\. 255"):
        encode(b.build(), byte, value)


def test_structures_are_dicts_with_the_members_of_anonymous_ones(b: Builder) -> None:
    number = b.integer("int", 4, signed=True)
    inner = b.union("", 4, [Member("x", number, 0), Member("y", number, 0)])
    outer = b.struct(
        "s", 12, [Member("a", number, 0), Member("", inner, 32), Member("z", number, 64)]
    )
    btf = b.build()

    assert decode(btf, outer, struct.pack("=iii", 1, 2, 3)) == {"a": 1, "x": 2, "y": 2, "z": 3}
    assert encode(btf, outer, {"y": 7}) == struct.pack("=iii", 0, 7, 0)


def test_bit_fields_share_bytes_without_touching_each_other(b: Builder) -> None:
    number = b.integer("int", 4, signed=True)
    members = [Member("a", number, 0, 3), Member("b", number, 3, 7), Member("c", number, 10, 6)]
    root = b.struct("s", 4, members)
    btf = b.build()
    values = {"a": -1, "b": 37, "c": -32}

    assert decode(btf, root, encode(btf, root, values)) == values
    with pytest.raises(ValueError, match=r"value\.a: 4"):
        encode(btf, root, {"a": 4})


def test_old_bit_fields_are_integers_of_odd_width(b: Builder) -> None:
    odd = b.add(kinds.Int("int", 4, 5, 3, kinds.INT_SIGNED))
    root = b.struct("s", 4, [Member("f", odd, 8)])
    btf = b.build()

    assert decode(btf, root, encode(btf, root, {"f": -9})) == {"f": -9}
    assert encode(btf, root, {"f": -1}) == bytes([0, 0b1111_1000, 0, 0])


def test_arrays_of_char_are_text_if_they_can_be(b: Builder) -> None:
    char = b.integer("char", 1, signed=True)
    name = b.array(char, 6, char)
    btf = b.build()

    assert decode(btf, name, b"abc\0\0\0") == "abc"
    assert decode(btf, name, b"abc\0x\0") == b"abc\0x\0"
    assert decode(btf, name, b"\xff\xfe\0\0\0\0") == b"\xff\xfe\0\0\0\0"
    assert encode(btf, name, "äb") == "äb".encode() + bytes(3)
    with pytest.raises(ValueError, match="7 bytes for 6"):
        encode(btf, name, "1234567")


def test_arrays_of_numbers_are_lists_also_in_two_dimensions(b: Builder) -> None:
    byte = b.integer("u8", 1)
    table = b.array(b.array(byte, 2, byte), 2, byte)
    btf = b.build()

    assert decode(btf, table, b"\1\2\3\4") == [[1, 2], [3, 4]]
    assert encode(btf, table, [[1], [3, 4]]) == b"\1\0\3\4"
    assert encode(btf, table, b"\1\2\3\4") == b"\1\2\3\4"


def test_enumerators_may_be_given_by_name(b: Builder) -> None:
    enum = b.enum("e", {"MINUS": -1, "ONE": 1})
    btf = b.build()

    assert encode(btf, enum, "MINUS") == b"\xff" * 4
    assert decode(btf, enum, b"\xff" * 4) == -1
    with pytest.raises(ValueError, match="has no 'TWO'"):
        encode(btf, enum, "TWO")


def test_pointers_are_addresses_and_floats_are_floats(b: Builder) -> None:
    pointer, real = b.pointer(0), b.add(kinds.Float("double", 8))
    btf = b.build()

    assert (
        decode(btf, pointer, encode(btf, pointer, 0xFFFF_8880_0000_0000)) == 0xFFFF_8880_0000_0000
    )
    assert math.isclose(float(str(decode(btf, real, encode(btf, real, 2.5)))), 2.5)


def test_sections_are_dicts_by_variable(b: Builder) -> None:
    number = b.integer("int", 4, signed=True)
    x, y = b.variable("x", number), b.variable("y", b.const(number))
    section = b.section(".data", 8, [(x, 0, 4), (y, 4, 4)])
    btf = b.build()

    assert decode(btf, section, struct.pack("=ii", 5, -6)) == {"x": 5, "y": -6}
    assert encode(btf, section, {"y": -6}) == struct.pack("=ii", 0, -6)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ({"z": 1}, ValueError, "no member 'z'"),
        ({"a": "x" * 2}, TypeError, "value.a: str"),
        ({"a": None}, TypeError, "value.a: NoneType"),
        (5, TypeError, "a mapping is wanted"),
        (b"\0", ValueError, "1 bytes for 8"),
        ({"l": {"k": 1}}, TypeError, "value.l: dict"),
        ({"l": [1, 2, 3]}, ValueError, "3 elements for 2"),
        ({"l": [1, "xy"]}, TypeError, r"value.l\[1\]"),
    ],
)
def test_a_wrong_value_names_the_member(
    b: Builder, value: object, error: type[Exception], text: str
) -> None:
    number = b.integer("int", 4, signed=True)
    byte = b.integer("u16", 2)
    root = b.struct("s", 8, [Member("a", number, 0), Member("l", b.array(byte, 2, byte), 32)])

    with pytest.raises(error, match=text):
        encode(b.build(), root, value)


def test_short_data_and_sizeless_types_are_refused(b: Builder) -> None:
    number = b.integer("int", 4)
    btf = b.build()

    with pytest.raises(ValueError, match="3 bytes for a type of 4"):
        decode(btf, number, b"\0\0\0")
    with pytest.raises(BtfError, match="has a size"):
        decode(btf, 0, b"")
