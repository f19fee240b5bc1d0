"""Codecs give and take what the walk over BTF does, quicker."""

import random
from collections.abc import Iterator

import pytest

from skep.btf import kinds, values
from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED, read_btf
from skep.btf.kinds import Kind
from skep.session.arrays import dtype_of
from skep.session.codec import codec, codec_of_copies
from skep.session.packing import packing

MOST = 512  # bytes of a type


@pytest.fixture(scope="module", name="btf")
def _btf() -> Btf:
    return read_btf(str(SHIPPED))


def structures(btf: Btf) -> Iterator[tuple[int, int]]:
    """Ids and sizes of structures of all shapes."""
    for type_id, type_ in btf.types():
        if isinstance(type_, kinds.Struct) and 0 < type_.size <= MOST:
            yield type_id, type_.size


def test_a_packed_structure_reads_as_the_walk_reads_it(btf: Btf) -> None:
    choose, packed = random.Random(1), 0
    for type_id, size in structures(btf):
        if packing(btf, type_id) is None:
            continue
        packed += 1
        data = choose.randbytes(size)

        assert values.decode(btf, type_id, data) == codec(btf, type_id, size).decode(data)
    assert packed > 300


def test_a_packed_structure_is_written_as_the_walk_writes_it(btf: Btf) -> None:
    choose = random.Random(2)
    for type_id, size in structures(btf):
        value = values.decode(btf, type_id, choose.randbytes(size))

        assert values.encode(btf, type_id, value) == codec(btf, type_id, size).encode(value)


def test_members_that_are_left_out_are_zero(btf: Btf) -> None:
    for type_id, size in structures(btf):
        assert bytes(size) == codec(btf, type_id, size).encode({})


def test_numpy_types_have_the_sizes_of_types(btf: Btf) -> None:
    for type_id, size in structures(btf):
        assert size == dtype_of(btf, type_id, size).itemsize


def test_numpy_reads_the_numbers_that_the_walk_reads(btf: Btf) -> None:
    import numpy as np

    choose = random.Random(3)
    for type_id, size in structures(btf):
        packed = packing(btf, type_id)
        if packed is None or not packed.names:
            continue
        data = choose.randbytes(size)
        row = np.frombuffer(data, dtype_of(btf, type_id, size))[0]

        expected = values.decode(btf, type_id, data)
        assert isinstance(expected, dict)
        for name, number in expected.items():
            assert number == row[name].item() or not isinstance(number, int)


def test_what_does_not_fit_is_told_with_its_member(btf: Btf) -> None:
    number = btf.by_name("ethhdr", Kind.STRUCT)
    assert number is not None

    with pytest.raises(ValueError, match=r"value.h_proto: 65536 is not in 0 \.\. 65535"):
        codec(btf, number, 14).encode({"h_proto": 65536})


def test_numbers_without_a_type_wrap_and_other_sizes_are_bytes() -> None:
    assert codec(None, 0, 4).encode(-1) == b"\xff" * 4
    assert codec(None, 0, 4).decode(b"\1\0\0\0") == 1
    assert codec(None, 0, 3).decode(b"abc") == b"abc"
    with pytest.raises(TypeError, match="int for 3 untyped bytes"):
        codec(None, 0, 3).encode(1)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 12])
def test_copies_for_cpus_stand_in_strides_of_eight(size: int) -> None:
    copies, one = codec_of_copies(None, 0, size, 3), codec(None, 0, size)
    each = [one.decode(bytes([n]) * size) for n in (1, 2, 3)]
    stride = (size + 7) // 8 * 8
    data = b"".join((bytes([n]) * size).ljust(stride, b"\0") for n in (1, 2, 3))

    assert copies.encode(each) == data
    assert copies.decode(data) == each
    assert copies.encode(each[0]) == (bytes([1]) * size).ljust(stride, b"\0") * 3
    assert copies.encode(data) == data
    with pytest.raises(ValueError, match="2 values for 3 CPUs"):
        copies.encode(each[:2])


def test_copies_that_are_structures_are_lists_of_dicts(btf: Btf) -> None:
    number = btf.by_name("ethhdr", Kind.STRUCT)
    assert number is not None
    copies = codec_of_copies(btf, number, 14, 2)
    data = (bytes(12) + b"\1\0" + bytes(2)) * 2

    assert [each["h_proto"] for each in copies.decode(data)] == [1, 1]
    assert copies.encode(copies.decode(data)) == data
