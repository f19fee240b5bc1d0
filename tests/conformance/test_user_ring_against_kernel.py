"""User ring buffers answer as the running kernel's: same results, positions and refusals."""

import ctypes
import mmap
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import skep
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject, load
from skep.loader.reader import read_object
from skep.maps.user_ring import UserRingBuffer
from skep.uapi import commands
from support.running_kernel import missing

WHY = missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

OBJECT = Path(__file__).parents[1] / "objects" / "user_ring.bpf.o"
PAGE, SIZE = 4096, 4096
BUSY, DISCARD = 1 << 31, 1 << 30
BSS = struct.Struct("=QQqQQQQ")  # flags, stop_after, answer, nested, seen, sum, context


class KernelRing:
    """The object in the running kernel, its ring and globals."""

    def __init__(self) -> None:
        self.syscall = KernelSyscall()
        self.loaded: LoadedObject = load(read_object(OBJECT.read_bytes()), self.syscall)
        fd = self.loaded.maps["requests"]
        self.consumer = mmap.mmap(fd, PAGE, prot=mmap.PROT_READ, offset=0)
        self.ring = mmap.mmap(fd, PAGE + 2 * SIZE, offset=PAGE)

    def bss(self, data: bytes | None = None) -> bytes:
        key = ctypes.c_uint32(0)
        value = ctypes.create_string_buffer(data or bytes(BSS.size), BSS.size)
        command = commands.MAP_LOOKUP_ELEM if data is None else commands.MAP_UPDATE_ELEM
        name = next(name for name in self.loaded.maps if name.endswith("bss"))
        attr = commands.MapElem(map_fd=self.loaded.maps[name], key=ctypes.addressof(key),
                       value=ctypes.addressof(value))  # fmt: skip
        assert self.syscall.bpf(command.number, bytearray(attr.encode())) == 0
        return value.raw

    def run(self, name: str) -> None:
        data = ctypes.create_string_buffer(64)
        attr = commands.TestRun(prog_fd=self.loaded.programs[name].fd, data_size_in=64,
                       data_in=ctypes.addressof(data))  # fmt: skip
        assert self.syscall.bpf(commands.PROG_TEST_RUN.number, bytearray(attr.encode())) == 0

    def close(self) -> None:
        self.consumer.close()
        self.ring.close()
        self.loaded.close()


@pytest.fixture(name="kernel")
def _kernel() -> Iterator[KernelRing]:
    ring = KernelRing()
    yield ring
    ring.close()


def contents(choose: random.Random, at: int) -> tuple[int, bytes]:
    """A producer position and a page of records from *at* on, some of them none."""
    data, place = bytearray(choose.randbytes(SIZE)), at
    for _ in range(choose.randrange(8)):
        size = choose.choice([0, 1, 4, 8, 17, 100, 900])
        head = size | choose.choice([0] * 6 + [DISCARD, BUSY, BUSY | DISCARD])
        if choose.random() < 0.1:
            head = choose.choice([SIZE - 8, SIZE - 7, SIZE, DISCARD - 1, 0xFFFF_FFFF, 5000])
        struct.pack_into("=II", data, place % SIZE, head, 0)
        place += (size + 15) & ~7
    return place + choose.choice([0] * 8 + [4, 8, -8, SIZE]), bytes(data)


@pytest.mark.parametrize("seed", range(40))
def test_drains_answer_alike(seed: int, kernel: KernelRing) -> None:
    choose = random.Random(seed)
    with skep.load(OBJECT) as ours:
        ring = ours.maps["requests"].target
        assert isinstance(ring, UserRingBuffer)
        section = next(each for name, each in ours.maps.items() if name.endswith("bss")).target
        with mmap.mmap(ring.memory.fd, 2 * PAGE + SIZE) as seen:
            for _ in range(20):
                position = struct.unpack("=Q", kernel.consumer[:8])[0]
                producer, data = contents(choose, position)
                for memory, offset in ((kernel.ring, 0), (seen, PAGE)):
                    memory[offset + PAGE : offset + PAGE + SIZE] = data
                    memory[offset : offset + 8] = struct.pack("=Q", max(producer, 0))
                start = BSS.pack(choose.choice([0, 0, 1, 2, 3, 4]), choose.choice([0, 0, 1, 2]),
                                 0, 0, 0, 0, 0)  # fmt: skip
                kernel.bss(start)
                section.update(bytes(4), start)
                name = choose.choice(["drain", "drain", "drain_within"])
                kernel.run(name)
                ours.programs[name].run(data=bytes(64))

                assert BSS.unpack(kernel.bss()) == BSS.unpack(section.lookup(bytes(4)))
                assert kernel.consumer[:8] == seen[:8]


def test_creation_and_elements_answer_alike(kernel: KernelRing) -> None:
    fd = kernel.loaded.maps["requests"]
    with skep.load(OBJECT) as ours:
        key = ctypes.create_string_buffer(8)
        attr = commands.MapElem(map_fd=fd, key=0, value=ctypes.addressof(key)).encode()
        mine = commands.MapElem(
            map_fd=ours.maps["requests"].fd, key=0, value=ctypes.addressof(key)
        ).encode()
        for command in (1, 2, 3, 4, 21):
            size = 16 if command == 3 else 32
            expected = kernel.syscall.bpf(command, bytearray(attr[:size]))
            found = ours.subsystem.bpf(command, bytearray(mine[:size]))
            assert expected == found, (command, os.strerror(-expected))
