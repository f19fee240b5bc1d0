"""Dynamic pointers."""

import ctypes

import pytest

from skep.helpers import dynptr
from skep.maps.creation import Creation, NativeLibrary
from skep.maps.families import create_map
from skep.maps.stored import address_of
from skep.maps.stream import RingBuffer

EINVAL, E2BIG = 2**64 - 22, 2**64 - 7


@pytest.fixture
def pointer() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(b"\xff" * 16, 16)


def test_bytes_go_in_and_out_within_bounds(
    library: NativeLibrary, pointer: ctypes.Array[ctypes.c_char]
) -> None:
    room, target = ctypes.create_string_buffer(b"0123456789", 10), ctypes.create_string_buffer(4)
    place, source = ctypes.addressof(pointer), b"ab"
    make, read = library.bind(dynptr.dynptr_from_mem), library.bind(dynptr.dynptr_read)
    write, data = library.bind(dynptr.dynptr_write), library.bind(dynptr.dynptr_data)
    assert make(0, ctypes.addressof(room), 10, 0, place) == 0
    assert write(0, place, 3, address_of(source), 2, 0) == 0
    assert read(0, ctypes.addressof(target), 4, place, 2, 0) == 0

    assert target.raw == b"2ab5"
    assert data(0, place, 9, 1) == ctypes.addressof(room) + 9
    assert data(0, place, 9, 2) == 0
    assert read(0, ctypes.addressof(target), 4, place, 7, 0) == E2BIG
    assert write(0, place, 9, address_of(source), 2, 0) == E2BIG
    assert write(0, place, 0, address_of(source), 2, 1) == EINVAL


@pytest.mark.parametrize(("size", "flags", "errno"), [(1 << 24, 0, E2BIG), (4, 1, EINVAL)])
def test_a_refused_dynptr_is_null(
    size: int, flags: int, errno: int, library: NativeLibrary,
    pointer: ctypes.Array[ctypes.c_char],
) -> None:  # fmt: skip
    place = ctypes.addressof(pointer)
    answer = library.bind(dynptr.dynptr_from_mem)(0, 0x1000, size, flags, place)

    assert answer == errno
    assert pointer.raw == bytes(16)
    assert library.bind(dynptr.dynptr_read)(0, place, 1, place, 0, 0) == EINVAL


def test_a_record_of_unknown_size_goes_to_the_ring(
    library: NativeLibrary, pointer: ctypes.Array[ctypes.c_char]
) -> None:
    ring = create_map(Creation(map_type=27, max_entries=4096, library=library))
    assert isinstance(ring, RingBuffer)
    place, text = ctypes.addressof(pointer), b"record"
    reserve = library.bind(dynptr.ringbuf_reserve_dynptr)
    assert reserve(0, ring.address, 6, 0, place) == 0
    assert library.bind(dynptr.dynptr_write)(0, place, 0, address_of(text), 6, 0) == 0
    library.bind(dynptr.ringbuf_submit_dynptr)(0, place, 0)
    refused = reserve(0, ring.address, 5000, 0, place)
    library.bind(dynptr.ringbuf_discard_dynptr)(0, place, 0)

    assert list(ring.records()) == [b"record"]
    assert refused == EINVAL
    assert pointer.raw == bytes(16)
