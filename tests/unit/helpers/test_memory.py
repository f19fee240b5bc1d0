"""Reads that may fail, numbers in text, comparison of strings."""

import ctypes
import mmap

import pytest

from skep.helpers import memory
from skep.maps.creation import NativeLibrary
from skep.maps.stored import address_of
from skep.runtime.world import World

EFAULT = 2**64 - 14
EINVAL = 2**64 - 22
ERANGE = 2**64 - 34


def test_probe_read_copies_or_zeros(world: World) -> None:
    room = ctypes.create_string_buffer(b"x" * 8, 8)
    place = ctypes.addressof(room)
    source = b"sourceee"
    with world.running() as run:
        good = memory.probe_read(world, run.address, place, 6, address_of(source), 0, 0)
        copied = room.raw
        bad = memory.probe_read(world, run.address, place, 4, 8, 0, 0)

    assert (good, copied) == (0, b"sourcexx")
    assert (bad, room.raw) == (EFAULT, b"\0\0\0\0cexx")


@pytest.mark.parametrize(
    ("size", "length", "expected"),
    [(8, 4, b"abc\0xxxx"), (3, 3, b"ab\0xxxxx"), (1, 1, b"\0xxxxxxx"), (0, 0, b"xxxxxxxx")],
)
def test_strings_are_cut_and_counted_with_their_zero(
    size: int, length: int, expected: bytes, world: World
) -> None:
    room = ctypes.create_string_buffer(b"x" * 8, 8)
    source = b"abc\0def"
    with world.running() as run:
        answer = memory.probe_read_str(
            world, run.address, ctypes.addressof(room), size, address_of(source), 0, 0
        )

    assert (answer, room.raw) == (length, expected)


def test_a_string_may_end_at_the_end_of_memory(world: World) -> None:
    pages = mmap.mmap(-1, 4 * mmap.PAGESIZE)
    place = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + 2 * mmap.PAGESIZE
    libc = ctypes.CDLL(None)
    libc.munmap.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    libc.mprotect.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    libc.mprotect(place, mmap.PAGESIZE, 0)
    ctypes.memmove(place - 4, b"end\0", 4)
    room = ctypes.create_string_buffer(16)
    with world.running() as run:
        target = ctypes.addressof(room)
        good = memory.probe_read_str(world, run.address, target, 16, place - 4, 0, 0)
        bad = memory.probe_read_str(world, run.address, target, 16, place, 0, 0)
    libc.mprotect(place, mmap.PAGESIZE, 3)

    assert (good, bad) == (4, EFAULT)
    assert room.raw == bytes(16)


@pytest.mark.parametrize(
    ("text", "flags", "answer", "value"),
    [
        (b"42", 0, 2, 42),
        (b" \t-42x", 0, 5, 2**64 - 42),
        (b"0x1f", 0, 4, 31),
        (b"017", 0, 3, 15),
        (b"017", 10, 3, 17),
        (b"0xg", 0, 1, 0),
        (b"-9223372036854775808", 10, 20, 1 << 63),
        (b"9223372036854775808", 10, ERANGE, 0),
        (b"99999999999999999999", 10, ERANGE, 0),
        (b"", 0, EINVAL, 0),
        (b"x", 0, EINVAL, 0),
        (b"1", 7, EINVAL, 0),
        (b"1", 1 << 6, EINVAL, 0),
    ],
)
def test_signed_numbers(
    text: bytes, flags: int, answer: int, value: int, library: NativeLibrary
) -> None:
    room = ctypes.c_uint64(99)
    found = library.bind(memory.strtol)(
        0, address_of(text), len(text), flags, ctypes.addressof(room)
    )

    assert (answer, value) == (found, room.value)


@pytest.mark.parametrize(
    ("text", "answer", "value"),
    [(b"18446744073709551615", 20, 2**64 - 1), (b"-1", EINVAL, 0), (b"7;", 1, 7)],
)
def test_unsigned_numbers(text: bytes, answer: int, value: int, library: NativeLibrary) -> None:
    room = ctypes.c_uint64(99)
    found = library.bind(memory.strtoul)(0, address_of(text), len(text), 0, ctypes.addressof(room))

    assert (answer, value) == (found, room.value)


@pytest.mark.parametrize(
    ("x", "y", "size", "expected"),
    [
        (b"abc\0", b"abc\0", 4, 0),
        (b"abd\0", b"abc\0", 4, 1),
        (b"abb\0", b"abc\0", 4, 2**64 - 1),
        (b"abx\0", b"aby\0", 2, 0),
        (b"a\0x", b"a\0y", 3, 0),
        (b"\xff\0", b"\x01\0", 2, 1),
    ],
)
def test_strings_compare_as_unsigned_bytes(
    x: bytes, y: bytes, size: int, expected: int, library: NativeLibrary
) -> None:
    assert library.bind(memory.strncmp)(0, address_of(x), size, address_of(y)) == expected
