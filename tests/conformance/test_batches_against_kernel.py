"""Batch commands in random order answer as the kernel's: errno, counts, elements, positions.

A hash has another order here than there, so of hashes whole walks are compared, not parts. An LRU
map is kept from being full: which element goes is decided otherwise there, and by CPU.
"""

import ctypes
import random
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pytest

from skep.loader.door import Syscall
from skep.loader.kernel import KernelSyscall
from skep.runtime.world import World
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.commands import Command, MapBatch, MapCreate
from support.map_drivers import kernel_cpus
from support.running_kernel import missing

REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no kernel to compare with: {REASON}")

ENTRIES: Final = 12
ROOM: Final = 64  # elements
SHAPES: Final = {  # type, sizes of key and value, flags
    "hash": (1, 4, 8, 0),
    "hash not preallocated": (1, 4, 8, 1),
    "per-CPU hash": (5, 4, 8, 0),
    "lru hash": (9, 4, 8, 0),
    "array": (2, 4, 8, 0),
    "per-CPU array": (6, 4, 8, 0),
    "trie": (11, 8, 8, 1),
    "queue": (22, 0, 8, 0),
}
HASHES: Final = frozenset({1, 5, 9})
WHOLE: Final = 60  # elements: more than any map here has


class Side:
    """One map, in one subsystem."""

    def __init__(self, syscall: Syscall, shape: tuple[int, int, int, int]) -> None:
        self.syscall, (kind, self.key_size, size, flags) = syscall, shape
        self.value_size = size * kernel_cpus() if kind in (5, 6) else size
        attr = MapCreate(map_type=kind, key_size=self.key_size, value_size=size,
                         max_entries=ENTRIES, map_flags=flags)  # fmt: skip
        self.fd = syscall.bpf(commands.MAP_CREATE.number, bytearray(attr.encode()))
        assert self.fd >= 0

    def batch(  # noqa: PLR0917 - the members of the attr
        self, command: Command, keys: Sequence[bytes] = (), values: Sequence[bytes] = (),
        count: int = 0, flags: int = 0, elem_flags: int = 0, after: bytes | None = None,
    ) -> tuple[int, int, list[tuple[bytes, bytes]], bytes]:  # fmt: skip
        """Answer, count, elements as they stand in the buffers, and the position after them."""
        room = [
            ctypes.create_string_buffer(b"".join(each), ROOM * max(size, 1))
            for each, size in ((keys, self.key_size), (values, self.value_size))
        ]
        place = ctypes.create_string_buffer(after or b"", max(self.key_size, 4))
        following = ctypes.create_string_buffer(max(self.key_size, 4))
        attr = bytearray(
            MapBatch(
                map_fd=self.fd, count=count, flags=flags, elem_flags=elem_flags,
                keys=ctypes.addressof(room[0]), values=ctypes.addressof(room[1]),
                in_batch=ctypes.addressof(place) if after is not None else 0,
                out_batch=ctypes.addressof(following) if not keys else 0,
            ).encode()
        )  # fmt: skip
        answer = self.syscall.bpf(command.number, attr)
        done = MapBatch.decode(bytes(attr)).count
        pairs = [
            tuple(each.raw[at * size :][:size] for each, size in zip(
                room, (self.key_size, self.value_size), strict=True))
            for at in range(min(done, ROOM))
        ]  # fmt: skip
        return answer, done, pairs, following.raw  # type: ignore[return-value]

    def close(self) -> None:
        """Close the map."""
        self.syscall.close(self.fd)


@contextmanager
def sides(shape: tuple[int, int, int, int]) -> Iterator[list[Side]]:
    """The same map in the kernel and in skep."""
    made = [Side(KernelSyscall(), shape), Side(Subsystem(World(cpus=kernel_cpus())), shape)]
    try:
        yield made
    finally:
        for side in made:
            side.close()


def key(shape: tuple[int, int, int, int], rng: random.Random) -> bytes:
    if shape[0] == 11:
        return struct.pack(
            "=I4B", rng.choice((0, 8, 16, 24, 31, 32, 33)), 10, rng.randrange(3), 1, 9
        )
    most = {1: 16, 5: 16, 9: 5}.get(shape[0], ENTRIES + 1)
    return struct.pack("=I", rng.randrange(most))[: shape[1]]


Row = tuple[int, int, list[tuple[bytes, bytes]], bytes]


def compared(kind: int, row: Row) -> object:
    """What must be the same."""
    answer, count, pairs, following = row
    if kind in HASHES:
        return answer, count, sorted(pairs)
    return answer, count, pairs, following if answer == 0 and kind != 22 else b""


def play(shape: tuple[int, int, int, int], rng: random.Random) -> None:
    kind = shape[0]
    with sides(shape) as both:
        for number in range(25):
            what = rng.choice(("update", "update", "lookup", "take", "delete", "walk", "wrong"))
            count = rng.choice((0, 1, 2, 5, 9))
            keys = [key(shape, rng) for _ in range(count)] or [bytes(shape[1])]
            values = [rng.randbytes(both[0].value_size) for _ in keys]
            if what == "update":
                flags = rng.choice((0, 0, 0, 1, 4, 8))
                rows = [side.batch(commands.MAP_UPDATE_BATCH, keys, values, count, 0, flags)
                        for side in both]  # fmt: skip
                rows = [(row[0], row[1], [], b"") for row in rows]
            elif what == "delete":
                rows = [side.batch(commands.MAP_DELETE_BATCH, keys, (), count) for side in both]
                rows = [(row[0], row[1], [], b"") for row in rows]
            elif what == "take":
                take = commands.MAP_LOOKUP_AND_DELETE_BATCH
                rows = [side.batch(take, count=WHOLE) for side in both]
            elif what == "lookup" and kind not in HASHES:
                rows = [side.batch(commands.MAP_LOOKUP_BATCH, count=count) for side in both]
            elif what == "walk" and kind not in HASHES:
                at = key(shape, rng)
                rows = [side.batch(commands.MAP_LOOKUP_BATCH, count=count or 1, after=at)
                        for side in both]  # fmt: skip
            elif what == "wrong":
                flags = rng.choice((1, 4, 8))
                rows = [side.batch(commands.MAP_LOOKUP_BATCH, count=WHOLE, flags=flags)
                        for side in both]  # fmt: skip
            else:
                rows = [side.batch(commands.MAP_LOOKUP_BATCH, count=WHOLE) for side in both]
            found = [compared(kind, row) for row in rows]
            assert found[1] == found[0], (number, what, count, keys)


@pytest.mark.parametrize("name", SHAPES)
def test_batches_answer_alike(name: str) -> None:
    for _ in range(8):
        seed = random.SystemRandom().getrandbits(40)
        try:
            play(SHAPES[name], random.Random(seed))
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
