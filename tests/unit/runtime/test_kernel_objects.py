"""The region of kernel objects: pieces are zero, apart, and used again."""

import ctypes
from itertools import pairwise

import pytest

from skep.btf.kernel import kernel_btf
from skep.errors import BtfError
from skep.runtime.kernel_objects import KernelObjects


def test_pieces_lie_in_the_region_apart_from_each_other() -> None:
    objects = KernelObjects(1 << 16)
    places = [objects.take(100) for _ in range(20)]

    assert all(objects.address < place < objects.address + objects.size - 100 for place in places)
    assert min(y - x for x, y in pairwise(places)) >= 100


def test_a_piece_that_was_given_back_is_zero_again() -> None:
    objects = KernelObjects(1 << 16)
    place = objects.take(64)
    ctypes.memset(place, 0xFF, 64)
    objects.give(place)

    assert objects.take(64) == place
    assert ctypes.string_at(place, 64) == bytes(64)


def test_a_full_region_says_so() -> None:
    objects = KernelObjects(4096)

    with pytest.raises(MemoryError):
        objects.take(8192)


def test_members_stand_where_btf_has_them_and_go_with_the_struct() -> None:
    btf = kernel_btf()
    if btf is None:
        pytest.skip("there is no kernel BTF")
    objects = KernelObjects()
    struct = objects.make(btf, "bpf_map", id=7, name=b"counts")
    at = struct.address
    found = btf.by_name("bpf_map")
    assert found
    place = btf.member_path(found, "name").offset
    assert ctypes.string_at(at + place, 16) == b"counts".ljust(16, b"\0")
    with pytest.raises(BtfError):
        struct.put("colour", 1)
    del struct

    assert objects.make(btf, "bpf_map").address == at
