"""bpf(2) here and in the running kernel: the same attrs get the same errno and the same answers."""

import ctypes
import random
import struct
from collections.abc import Callable
from errno import E2BIG, EOPNOTSUPP

import pytest

from skep.syscall.subsystem import Subsystem
from support.running_kernel import EXIT, RETURN_ONE, RunningKernel, insn, missing

WHY = missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

MAP_CREATE, LOOKUP, UPDATE, DELETE, NEXT_KEY, PROG_LOAD = range(6)
LOOKUP_AND_DELETE, FREEZE = 21, 22
CPUMAP = 16
BATCHES = (24, 25, 26, 27)
KEY_SIZES = [0, 1, 3, *[4] * 4, 5, 8, 8, 12, 16, 20, 260, 261, 512, 4096, 65536, 1 << 20, 2**32 - 1]
VALUE_SIZES = [0, 1, *[4] * 3, *[8] * 3, 12, 16, 64, 4096, 32768, 32769, 65536, 1 << 22, 2**32 - 1]
ENTRIES = [0, 1, 1, 2, 3, 4, 16, 256, 4096, 8192, 12288, 1 << 31, 2**32 - 1]
FLAG_BITS = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 11, 12, 13, 14, 15, 17, 18, 19, 31]
OTHER_WORDS = [20, 24, 44, 48, 52, 56, 60, 72, 76, 84, 92, 100, 160]
NAMES = [b"abc", b"a b", b"x" * 16, b"a\0b", b"a.b_9", b"\xff"]

Bpf = Callable[[int, bytearray], int]


class Twins:
    """The same calls on both sides; descriptors are named, since their numbers differ."""

    def __init__(self) -> None:
        self.kernel, self.skep = RunningKernel(), Subsystem()
        self.fds: dict[str, tuple[int, int]] = {}

    def both(self, cmd: int, kernel: bytearray, skep: bytearray) -> tuple[int, int]:
        return self.kernel.bpf(cmd, kernel), self.skep.bpf(cmd, skep)

    def opened(self, name: str, cmd: int, attr: bytearray) -> tuple[int, int]:
        """Call what gives a descriptor; errnos, 0 for a descriptor, which gets *name*."""
        results = self.both(cmd, bytearray(attr), bytearray(attr))
        if min(results) >= 0 and name:
            self.fds[name] = results
        else:
            for side, fd in zip((self.kernel, self.skep), results, strict=True):
                if fd >= 0:
                    side.close(fd)
        return min(results[0], 0), min(results[1], 0)

    def close(self) -> None:
        for ours, theirs in self.fds.values():
            self.kernel.close(ours)
            self.skep.close(theirs)
        self.fds = {}


@pytest.fixture
def twins() -> object:
    both = Twins()
    yield both
    both.close()


def map_attr(kind: int, key: int, value: int, entries: int, flags: int = 0) -> bytearray:
    attr = bytearray(168)
    struct.pack_into("<IIIII", attr, 0, kind, key, value, entries, flags)
    return attr


def random_map(rng: random.Random) -> bytearray:
    key, value, entries = rng.choice(KEY_SIZES), rng.choice(VALUE_SIZES), rng.choice(ENTRIES)
    if value <= 1 << 22 and (key + value) * min(entries, 1 << 30) > 1 << 26:
        entries = rng.choice((1, 16))
    flags = 0
    while rng.random() < 0.45:
        flags |= 1 << rng.choice(FLAG_BITS)
    attr = map_attr(rng.choice([*range(36), 99]), key, value, entries, flags)
    if rng.random() < 0.1:
        word = rng.choice((1, 5, 2**32 - 1))
        struct.pack_into("<I", attr, rng.choice(OTHER_WORDS), word)
    if rng.random() < 0.05:
        struct.pack_into("<Q", attr, 64, rng.choice((1, 16, 2**32 + 1)))
    if rng.random() < 0.05:
        struct.pack_into("16s", attr, 28, rng.choice(NAMES))
    return attr


@pytest.mark.parametrize("seed", range(4))
def test_map_create_answers_as_the_kernel(twins: Twins, seed: int) -> None:
    rng, different, asked = random.Random(seed), [], 0
    for _ in range(1000):
        attr = random_map(rng)
        theirs, ours = twins.opened("", MAP_CREATE, attr)
        if ours == -EOPNOTSUPP:  # a map type that is not here yet
            continue
        if attr[0] == CPUMAP and theirs == -E2BIG:  # as many CPUs as that kernel was built for
            continue
        asked += 1
        if ours != theirs:
            different.append((attr[:28].hex(), theirs, ours, str(twins.skep.last_error)))

    assert not different, different[:20]
    assert asked > 300


# type, key, value, entries, flags
MAPS = {
    "hash": (1, 4, 8, 4, 0),
    "hash_lazy": (1, 4, 8, 4, 1),
    "array": (2, 4, 8, 4, 0),
    "percpu_hash": (5, 4, 8, 4, 0),
    "percpu_array": (6, 4, 8, 4, 0),
    "lru_hash": (9, 4, 8, 1024, 0),
    "lpm_trie": (11, 8, 8, 4, 1),
    "queue": (22, 0, 8, 4, 0),
    "stack": (23, 0, 8, 4, 0),
    "bloom_filter": (30, 0, 8, 4, 0),
    "ringbuf": (27, 0, 0, 4096, 0),
    "prog_array": (3, 4, 4, 4, 0),
    "perf_event_array": (4, 4, 4, 4, 0),
    "read_only": (1, 4, 8, 4, 1 << 3),
    "write_only": (2, 4, 8, 4, 1 << 4),
}
COMMANDS = (LOOKUP, UPDATE, DELETE, NEXT_KEY, LOOKUP_AND_DELETE)
FLAGS = (0, 0, 0, 0, 1, 2, 3, 4, 5, 8, 16, 1 << 32, 2**64 - 1)
BAD = 0x10  # no address


class Element:
    """One element command with random arguments, for both sides."""

    def __init__(self, rng: random.Random, key_size: int) -> None:
        self.cmd = rng.choice(COMMANDS)
        key = rng.choice((0, 1, 2, 3, 4, 7, 2**32 - 1))
        self.key_bytes = struct.pack("<II", rng.choice((8, 16, 32, 33)), key)
        if key_size == 4:
            self.key_bytes = struct.pack("<II", key, 0)
        self.key = rng.choice(("ok", "ok", "ok", "ok", "ok", "null", "bad"))
        self.value = rng.choice(("ok", "ok", "ok", "ok", "ok", "null", "bad"))
        self.value_bytes = rng.randbytes(512)
        self.flags = rng.choice(FLAGS)
        self.tail = rng.choice((0, 0, 0, 0, 0, 1))

    def run(self, bpf: Bpf, fd: int) -> tuple[int, bytes]:
        key = ctypes.create_string_buffer(self.key_bytes, 16)
        value = ctypes.create_string_buffer(self.value_bytes, 512)
        where = {"null": 0, "bad": BAD}
        attr = bytearray(48)
        struct.pack_into(
            "<IIQQQ",
            attr,
            0,
            fd,
            0,
            where.get(self.key, ctypes.addressof(key)),
            where.get(self.value, ctypes.addressof(value)),
            self.flags,
        )
        attr[32] = self.tail
        return bpf(self.cmd, attr), value.raw


@pytest.mark.parametrize("name", MAPS)
def test_element_commands_answer_as_the_kernel(twins: Twins, name: str) -> None:
    assert twins.opened("map", MAP_CREATE, map_attr(*MAPS[name])) == (0, 0)
    rng, different = random.Random(name), []
    theirs, ours = twins.fds["map"]
    for step in range(600):
        element = Element(rng, MAPS[name][1])
        kernel = element.run(twins.kernel.bpf, theirs)
        skep = element.run(twins.skep.bpf, ours)
        if element.cmd == NEXT_KEY and "hash" in name:  # each has an order of its own
            continue
        if kernel != skep:
            asked = (element.cmd, element.key, element.value, element.flags, element.tail)
            different.append((step, asked, kernel[0], skep[0]))

    assert not different, different[:20]


def batch_attr(fd: int, keys: int, values: int, count: int, **rest: int) -> bytearray:
    attr = bytearray(56)
    struct.pack_into(
        "<QQQQIIQQ",
        attr,
        0,
        rest.get("in_batch", 0),
        rest.get("out_batch", 0),
        keys,
        values,
        count,
        fd,
        rest.get("elem_flags", 0),
        rest.get("flags", 0),
    )
    return attr


@pytest.mark.parametrize("name", [*MAPS])
def test_batch_commands_answer_as_the_kernel(twins: Twins, name: str) -> None:
    assert twins.opened("map", MAP_CREATE, map_attr(*MAPS[name])) == (0, 0)
    rng, different = random.Random(name), []
    key_size = MAPS[name][1]
    for step in range(400):
        cmd, count = rng.choice(BATCHES), rng.choice((0, 1, 2, 3, 4, 9))
        if "hash" in name and cmd in (24, 25):  # each side has buckets of its own
            count = rng.choice((0, 9))
        number = [rng.choice((0, 1, 2, 3)) for _ in range(16)]
        keys = b"".join(
            struct.pack("<II", 32, row) if key_size == 8 else struct.pack("<I", row)
            for row in number
        )
        elem_flags, flags = rng.choice((0, 0, 0, 0, 1, 4)), rng.choice((0, 0, 0, 0, 0, 2))
        bad_keys, values = cmd != 25 and rng.random() < 0.1, rng.randbytes(4096)
        answers = []
        for bpf, fd in zip((twins.kernel.bpf, twins.skep.bpf), twins.fds["map"], strict=True):
            key = ctypes.create_string_buffer(keys, 4096)
            value = ctypes.create_string_buffer(values, 4096)
            out = ctypes.create_string_buffer(64)
            attr = batch_attr(
                fd,
                BAD if bad_keys else ctypes.addressof(key),
                ctypes.addressof(value),
                count,
                out_batch=ctypes.addressof(out),
                elem_flags=elem_flags,
                flags=flags,
            )
            result = bpf(cmd, attr)
            answers.append((result, struct.unpack_from("<I", attr, 32)[0]))
        if answers[0] != answers[1]:
            different.append((step, cmd, count, elem_flags, flags, bad_keys, answers))

    assert not different, different[:20]


def test_frozen_maps_answer_as_the_kernel(twins: Twins) -> None:
    assert twins.opened("map", MAP_CREATE, map_attr(2, 4, 8, 1)) == (0, 0)
    answers = []
    for bpf, fd in zip((twins.kernel.bpf, twins.skep.bpf), twins.fds["map"], strict=True):
        key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(8)
        element = struct.pack("<IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
        freeze = struct.pack("<I", fd)
        answers.append(
            [
                bpf(cmd, bytearray(attr))
                for cmd, attr in (
                    (FREEZE, struct.pack("<II", fd, 1)),
                    (FREEZE, struct.pack("<I", 0x7FFF_FFFF)),
                    (FREEZE, freeze),
                    (FREEZE, freeze),
                    (UPDATE, element),
                    (LOOKUP, element),
                )
            ]
        )

    assert answers[0] == answers[1]


def test_sizes_of_attr_answer_as_the_kernel(twins: Twins) -> None:
    different = []
    walks = {11, 12, 23, 31}  # *_GET_NEXT_ID: the machine has objects of its own
    for cmd in sorted({*range(39), 9999, 0x7FFF_FFFF} - walks):
        for size, set_at in ((0, -1), (1, -1), (168, -1), (200, -1), (200, 180), (4097, -1)):
            attr = bytearray(4200)
            if set_at >= 0:
                attr[set_at] = 1
            theirs = twins.kernel.bpf(cmd, bytearray(attr), size)
            ours = twins.skep.bpf(cmd, bytearray(attr), size)
            if min(theirs, 0) != min(ours, 0) and ours != -EOPNOTSUPP:
                different.append((cmd, size, set_at, theirs, ours, str(twins.skep.last_error)))
            if theirs >= 0 and cmd == 32:
                twins.kernel.close(theirs)
                twins.skep.close(ours)

    assert not different, different[:20]


def program(kind: int, body: bytes = b"") -> bytearray:
    attr = bytearray(168)
    program.keep = (  # type: ignore[attr-defined]
        ctypes.create_string_buffer(body + RETURN_ONE + EXIT),
        ctypes.create_string_buffer(b"GPL"),
    )
    code, license_ = program.keep  # type: ignore[attr-defined]
    count = (len(body) + 16) // 8
    struct.pack_into(
        "<IIQQ", attr, 0, kind, count, ctypes.addressof(code), ctypes.addressof(license_)
    )
    return attr


def test_tags_are_those_of_the_kernel(twins: Twins) -> None:
    assert twins.opened("map", MAP_CREATE, map_attr(2, 4, 8, 1)) == (0, 0)
    tags = []
    for bpf, fd in zip((twins.kernel.bpf, twins.skep.bpf), twins.fds["map"], strict=True):
        wide = insn(0x18, 1, 1, 0, fd) + insn(0)
        prog = bpf(PROG_LOAD, program(1, wide))
        info = ctypes.create_string_buffer(232)
        assert prog >= 0
        assert bpf(15, bytearray(struct.pack("<IIQ", prog, 232, ctypes.addressof(info)))) == 0
        tags.append(info.raw[8:16])
        (twins.kernel if bpf == twins.kernel.bpf else twins.skep).close(prog)

    assert tags[0] == tags[1]
