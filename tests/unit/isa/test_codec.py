import pytest

from skep.errors import DecodeError
from skep.isa.codec import decode, encode
from skep.isa.insn import Insn


def test_fields_lie_where_the_standard_puts_them() -> None:
    assert [Insn(0x61, 3, 10, -2, -1)] == decode(bytes.fromhex("61a3feffffffffff"))


def test_encoding_is_the_inverse() -> None:
    data = bytes.fromhex("61a3feffffffffff9500000000000000")

    assert data == encode(decode(data))


def test_a_torn_slot_is_reported_with_its_offset() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(bytes(12), "prog")

    assert (caught.value.offset, caught.value.found, caught.value.source) == (8, "4 bytes", "prog")
