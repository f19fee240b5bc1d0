"""Whatever bytes a caller passes, bpf(2) answers with a number: no exception, crash or leak."""

import ctypes
import gc
import random
import struct
from pathlib import Path

import pytest

from skep.errors import InternalError
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi.commands import BY_NUMBER

CODE = ctypes.create_string_buffer(
    b"".join(
        struct.pack("<BBhi", *row)
        for row in ((0xB7, 1, 0, 0), (0x7B, 0x1A, -8, 0), (0xB7, 0, 0, 1), (0x95, 0, 0, 0))
    )
    * 8,
    256,
)
MEMORY = ctypes.create_string_buffer(1 << 16)
LICENSE = ctypes.create_string_buffer(b"GPL")
BTF = ctypes.create_string_buffer(
    struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 16, 16, 5)
    + struct.pack("<IIII", 1, 1 << 24, 4, 32)
    + b"\0int\0"
)
ADDRESSES = [0, 1, 0x10, 2**47, 2**64 - 1]
NUMBERS = [0, 1, 2, 3, 4, 7, 8, 16, 64, 255, 4096, 65535, 1 << 31, 2**32 - 1]


def seeds(open_fds: list[int], rng: random.Random) -> bytearray:
    """A command's attr that would do, before mutation."""
    memory, code = ctypes.addressof(MEMORY), ctypes.addressof(CODE)
    fd = rng.choice(open_fds) if open_fds else 0
    shapes = (
        struct.pack("<IIIII", rng.randrange(1, 34), 4, 8, 16, 0),
        struct.pack("<IIQQQ", fd, 0, memory, memory + 256, 0),
        struct.pack(
            "<IIQQIIQ",
            rng.randrange(1, 33),
            rng.randrange(1, 30),
            code,
            ctypes.addressof(LICENSE),
            rng.choice((0, 1, 2)),
            0,
            0,
        ),
        struct.pack("<QQIII", ctypes.addressof(BTF), 0, 45, 0, 0),
        struct.pack("<IIIIQQII", fd, 0, 64, 64, memory, memory + 4096, 1, 0),
        struct.pack("<IIQ", fd, 256, memory),
        struct.pack("<QQQQIIQQ", 0, memory, memory + 64, memory + 512, 2, fd, 0, 0),
        struct.pack("<QIIi", memory, fd, 0, 0),
        rng.randbytes(64),
    )
    return bytearray(rng.choice(shapes).ljust(168, b"\0"))


def mutate(attr: bytearray, rng: random.Random, open_fds: list[int]) -> None:
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        at = 4 * rng.randrange(len(attr) // 4)
        kind = rng.randrange(4)
        if kind == 0:
            struct.pack_into("<I", attr, at, rng.choice(NUMBERS))
        elif kind == 1 and at + 8 <= len(attr):
            struct.pack_into("<Q", attr, at, rng.choice(ADDRESSES))
        elif kind == 2:
            struct.pack_into("<I", attr, at, rng.choice([*open_fds, 5, 2**32 - 1]))
        else:
            attr[rng.randrange(len(attr))] ^= 1 << rng.randrange(8)


@pytest.mark.parametrize("seed", range(10))
def test_mutated_attrs_get_a_number_and_leave_nothing(seed: int) -> None:
    rng, subsystem, open_fds = random.Random(seed), Subsystem(), []
    answered = set()
    for step in range(1000):
        cmd = rng.choice([*BY_NUMBER, *BY_NUMBER, 39, 1 << 16, 2**31])
        attr = seeds(open_fds, rng)
        mutate(attr, rng, open_fds)
        size = rng.choice((None, None, None, 0, 4, 16, 48, 100, 200, 5000))
        try:
            result = subsystem.bpf(cmd, attr, size)
        except InternalError as bug:
            raise AssertionError(f"step {step}: {BY_NUMBER.get(cmd)} {attr.hex()}") from bug
        assert result > -4096, (step, cmd, attr.hex())
        answered.add(min(0, result))
        if result >= 1024:
            open_fds.append(result)
        if len(open_fds) > 20:
            subsystem.close(open_fds.pop(rng.randrange(len(open_fds))))
    assert len(answered) > 6  # it did get somewhere

    objects = subsystem.state.objects
    for fd in open_fds:
        subsystem.close(fd)
    for pin in subsystem.files.pins():
        subsystem.files.unlink(pin.path)

    assert {kind: objects.count(kind) for kind in Kind if kind is not Kind.BTF} == {
        kind: 0 for kind in Kind if kind is not Kind.BTF
    }
    assert objects.count(Kind.BTF) <= 1  # the kernel's own stays


@pytest.mark.parametrize("seed", range(4))
def test_mutated_instructions_get_a_number(seed: int) -> None:
    rng, subsystem = random.Random(seed), Subsystem()
    opcodes = [row[0] for row in struct.iter_unpack("<B7x", CODE.raw)]
    answered = set()
    for _ in range(400):
        count = rng.choice((1, 1, 2, 3, 5, 8, 12))
        rows = [
            struct.pack(
                "<BBhi",
                rng.choice((*opcodes, 0x18, 0x85, 0x61, 0x05, 0x0F, 0x55, rng.randrange(256))),
                rng.choice((0, 1, 0x10, 0x1A, 0xA1, 0x11, rng.randrange(256))),
                rng.choice((0, 0, -8, 4, 1, -1, rng.randrange(-(2**15), 2**15))),
                rng.choice((0, 1, 5, -1, rng.randrange(-(2**31), 2**31))),
            )
            for _ in range(count)
        ]
        code = ctypes.create_string_buffer(b"".join(rows) + CODE.raw[16:32], 8 * count + 16)
        attr = struct.pack(
            "<IIQQ",
            rng.choice((1, 3, 6, 17, rng.randrange(1, 33))),
            count + 2,
            ctypes.addressof(code),
            ctypes.addressof(LICENSE),
        )
        result = subsystem.bpf(5, bytearray(attr.ljust(168, b"\0")))
        assert result > -4096, (attr.hex(), code.raw.hex())
        answered.add(min(result, 0))
        if result > 0:
            subsystem.close(result)

    assert answered >= {0, -13, -22}


def test_memory_of_closed_objects_is_given_back() -> None:
    subsystem = Subsystem()
    create = bytearray(struct.pack("<IIIII", 1, 4, 8, 64, 0))
    load = bytearray(
        struct.pack("<IIQQ", 1, 32, ctypes.addressof(CODE), ctypes.addressof(LICENSE)).ljust(
            168, b"\0"
        )
    )
    struct.pack_into("<I", load, 4, 4)

    def rounds(count: int) -> int:
        for _ in range(count):
            for cmd, attr in ((0, create), (5, load)):
                fd = subsystem.bpf(cmd, bytearray(attr))
                assert fd > 0, subsystem.last_error
                subsystem.close(fd)
        gc.collect()
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = rounds(20)

    assert rounds(100) <= before
