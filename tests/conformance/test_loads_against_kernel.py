"""PROG_LOAD, BTF of maps, infos and ids: here and in the running kernel."""

import ctypes
import random
import struct
from collections.abc import Callable, Iterator
from errno import EOPNOTSUPP, EPERM

import pytest

from skep.syscall.subsystem import Subsystem
from support.running_kernel import EXIT, RETURN_ONE, RunningKernel, insn, missing

WHY = missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

MAP_CREATE, PROG_LOAD, GET_INFO, BTF_LOAD = 0, 5, 15, 18
CODE = ctypes.create_string_buffer(RETURN_ONE + EXIT, 16)
LICENSE = ctypes.create_string_buffer(b"GPL")
TEXT = ctypes.create_string_buffer(b"A" * 200)
LOG = ctypes.create_string_buffer(4096)
ZEROS = ctypes.create_string_buffer(64)
NUMBERS = [0, 1, 2, 3, 4, 8, 16, 64, 128, 255, 4096, 1 << 31, 2**32 - 1]
TYPES = [1, 1, 3, 6, 17, 8, 9, 18, 25, 26, 27, 30, 31, 32, 0, 33, 99, 20]
POINTER, NAME = "pointer", "name"
MEMBERS: dict[int, object] = {
    4: [0, 1, 3, 1_000_000, 1_000_001],
    8: POINTER,
    16: POINTER,
    40: NUMBERS,
    44: [1 << bit for bit in range(20)],
    48: NAME,
    64: [1, 2],
    68: list(range(60)),
    72: [1, 5, 2**32 - 1],
    76: NUMBERS,
    80: POINTER,
    88: NUMBERS,
    92: NUMBERS,
    96: POINTER,
    104: NUMBERS,
    108: [1, 2, 100, 2**32 - 1],
    112: [1, 5, 2**32 - 1],
    116: NUMBERS,
    120: POINTER,
    128: POINTER,
    136: NUMBERS,
    144: NUMBERS,
    148: [1, 2],
    152: POINTER,
    160: NUMBERS,
    164: NUMBERS,
}

Bpf = Callable[[int, bytearray], int]


class Twins:
    def __init__(self) -> None:
        self.kernel, self.skep = RunningKernel(), Subsystem()
        self._open: list[tuple[int, int]] = []

    def both(self, cmd: int, kernel: bytearray, skep: bytearray) -> tuple[int, int]:
        return self.kernel.bpf(cmd, kernel), self.skep.bpf(cmd, skep)

    def errnos(self, cmd: int, kernel: bytearray, skep: bytearray | None = None) -> tuple[int, int]:
        """Errnos of what gives a descriptor, which is closed at once."""
        ours = bytearray(kernel) if skep is None else skep
        results = self.both(cmd, bytearray(kernel), ours)
        for side, fd in zip((self.kernel, self.skep), results, strict=True):
            if fd >= 0:
                side.close(fd)
        return min(results[0], 0), min(results[1], 0)

    def open(self, cmd: int, attr: bytearray) -> tuple[int, int]:
        fds = self.both(cmd, bytearray(attr), bytearray(attr))
        assert min(fds) >= 0, (fds, self.skep.last_error)
        self._open.append(fds)
        return fds

    def close(self) -> None:
        for theirs, ours in self._open:
            self.kernel.close(theirs)
            self.skep.close(ours)


@pytest.fixture
def twins() -> Iterator[Twins]:
    both = Twins()
    yield both
    both.close()


def load_attr(kind: int = 1, code: ctypes.Array[ctypes.c_char] = CODE) -> bytearray:
    attr = bytearray(168)
    count = len(code) // 8
    struct.pack_into(
        "<IIQQ", attr, 0, kind, count, ctypes.addressof(code), ctypes.addressof(LICENSE)
    )
    return attr


def random_load(rng: random.Random) -> bytearray:
    attr = load_attr(rng.choice(TYPES))
    if rng.random() < 0.3:
        level, size = rng.choice((0, 1, 2, 4, 8, 9, 15, 16)), rng.choice((0, 4096, 8, 100, 1 << 31))
        address = rng.choice((0, ctypes.addressof(LOG), ctypes.addressof(LOG), 16))
        struct.pack_into("<IIQ", attr, 24, level, size, address)
    for _ in range(rng.choice((0, 1, 1, 2))):
        offset = rng.choice(list(MEMBERS))
        choice = MEMBERS[offset]
        if choice is POINTER:
            where = (0, 16, ctypes.addressof(TEXT), ctypes.addressof(ZEROS))
            struct.pack_into("<Q", attr, offset, rng.choice(where))
        elif choice is NAME:
            attr[48:64] = rng.choice((b"abc", b"a b", b"x" * 16)).ljust(16, b"\0")
        else:
            assert isinstance(choice, list)
            struct.pack_into("<I", attr, offset, rng.choice(choice))
    return attr


@pytest.mark.parametrize("seed", range(4))
def test_mutated_loads_answer_as_in_the_kernel(twins: Twins, seed: int) -> None:
    rng, different, asked = random.Random(seed), [], 0
    for _ in range(800):
        attr = random_load(rng)
        theirs, ours = twins.errnos(PROG_LOAD, attr)
        if ours == -EOPNOTSUPP or theirs == -EPERM:  # not here; or the oracle's own policy
            continue
        struct_ops_log = attr[0] == 27 and ours == -28  # the kernel stops before it logs
        asked += 1
        if theirs != ours and not struct_ops_log:
            different.append((attr.hex(), theirs, ours, str(twins.skep.last_error)))

    assert not different, different[:5]
    assert asked > 500


def types_blob() -> bytes:
    """1 int, 2 u64, 3 pair of them, 4 spin lock, 5 with it, 6 int[4], 7 char, 8 timer, 9 with."""
    names = b"\0int\0u64\0pair\0a\0b\0bpf_spin_lock\0locked\0val\0char\0bpf_timer\0timed\0"
    at = {name: names.index(b"\0" + name + b"\0") + 1 for name in names.split(b"\0") if name}

    def kind(name: bytes, kind_: int, vlen: int, size: int, *words: int) -> bytes:
        return struct.pack(f"<III{len(words)}I", at.get(name, 0), kind_ << 24 | vlen, size, *words)

    types = b"".join(
        (
            kind(b"int", 1, 0, 4, 1 << 24 | 32),
            kind(b"u64", 1, 0, 8, 64),
            kind(b"pair", 4, 2, 16, at[b"a"], 1, 0, at[b"b"], 2, 64),
            kind(b"bpf_spin_lock", 4, 1, 4, at[b"val"], 1, 0),
            kind(b"locked", 4, 2, 8, at[b"a"], 4, 0, at[b"b"], 1, 32),
            kind(b"", 3, 0, 0, 1, 1, 4),
            kind(b"char", 1, 0, 1, 8),
            kind(b"bpf_timer", 4, 2, 16, at[b"a"], 2, 0, at[b"b"], 2, 64),
            kind(b"timed", 4, 1, 16, at[b"a"], 8, 0),
        )
    )
    return (
        struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names))
        + types
        + names
    )


SIZES = {1: 4, 2: 8, 3: 16, 4: 4, 5: 8, 6: 16, 7: 1, 8: 16, 9: 16}


def test_types_of_maps_answer_as_in_the_kernel(twins: Twins) -> None:
    blob = types_blob()
    data = ctypes.create_string_buffer(blob, len(blob))
    fds = twins.open(
        BTF_LOAD,
        bytearray(struct.pack("<QQIIIIIi", ctypes.addressof(data), 0, len(blob), 0, 0, 0, 0, 0)),
    )
    different = []
    for kind in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 22, 23, 27, 30):
        for key in range(10):
            for value in (0, 1, 2, 3, 5, 9, 10):
                for flags in (0, 1 << 7) if kind in (1, 2) else (0,):
                    attrs = []
                    for fd in fds:
                        attr = bytearray(168)
                        sizes = SIZES.get(key, 4), SIZES.get(value, 8)
                        if kind in (22, 23, 30):
                            sizes = 0, sizes[1]
                        more = 1 if kind == 11 else 0
                        struct.pack_into(
                            "<IIIII", attr, 0, kind, *sizes, 4096 if kind == 27 else 1, flags | more
                        )
                        struct.pack_into("<III", attr, 48, fd, key, value)
                        attrs.append(attr)
                    theirs, ours = twins.errnos(MAP_CREATE, *attrs)
                    if ours not in (theirs, -EOPNOTSUPP):
                        different.append(
                            (kind, key, value, flags, theirs, ours, str(twins.skep.last_error))
                        )

    assert not different, different[:8]


def test_info_of_maps_is_that_of_the_kernel(twins: Twins) -> None:
    for kind, key, value, entries, flags in (
        (1, 4, 8, 16, 1),
        (2, 4, 24, 3, 1 << 3 | 1 << 7),
        (6, 4, 8, 2, 0),
        (22, 0, 4, 5, 0),
        (27, 0, 0, 4096, 0),
        (30, 0, 4, 5, 0),
    ):
        attr = bytearray(168)
        struct.pack_into("<IIIII", attr, 0, kind, key, value, entries, flags)
        attr[28:31] = b"a_b"
        infos = []
        for bpf, fd in zip(
            (twins.kernel.bpf, twins.skep.bpf), twins.open(MAP_CREATE, attr), strict=True
        ):
            infos.append(read_info(bpf, fd, 104))
            infos[-1] = (infos[-1][0], infos[-1][1][:4] + infos[-1][1][8:])  # ids differ

        assert infos[0] == infos[1]


def read_info(bpf: Bpf, fd: int, size: int, filled: bytes = b"") -> tuple[tuple[int, int], bytes]:
    info = ctypes.create_string_buffer(filled.ljust(max(size, 1), b"\0"), max(size, 1))
    attr = bytearray(struct.pack("<IIQ", fd, size, ctypes.addressof(info)))
    result = bpf(GET_INFO, attr)
    return (result, struct.unpack_from("<I", attr, 4)[0]), info.raw


@pytest.mark.parametrize("size", [0, 4, 88, 104, 232, 240, 5000])
@pytest.mark.parametrize("tail", [0, 1])
def test_lengths_of_infos_answer_as_in_the_kernel(twins: Twins, size: int, tail: int) -> None:
    attr = bytearray(168)
    struct.pack_into("<IIIII", attr, 0, 2, 4, 4, 1, 0)
    for cmd, what in ((MAP_CREATE, attr), (PROG_LOAD, load_attr())):
        answers = []
        for bpf, fd in zip((twins.kernel.bpf, twins.skep.bpf), twins.open(cmd, what), strict=True):
            filled = bytes(size - 1) + bytes([tail]) if size > 232 else b""
            answers.append(read_info(bpf, fd, size, filled)[0])

        assert answers[0] == answers[1]


def test_info_of_programs_is_that_of_the_kernel(twins: Twins) -> None:
    body = insn(0xBF, 6, 1) + RETURN_ONE + EXIT
    code = ctypes.create_string_buffer(body, len(body))
    infos = []
    for bpf, fd in zip(
        (twins.kernel.bpf, twins.skep.bpf), twins.open(PROG_LOAD, load_attr(3, code)), strict=True
    ):
        room = ctypes.create_string_buffer(64)
        asked = bytearray(232)
        struct.pack_into("<I", asked, 20, 64)  # xlated_prog_len
        struct.pack_into("<Q", asked, 32, ctypes.addressof(room))
        (result, length), info = read_info(bpf, fd, 232, bytes(asked))
        words = struct.unpack_from("<II8s", info), struct.unpack_from("<I", info, 20)
        stable = (words[0][0], words[0][2], words[1], info[48:56], info[64:88], info[128:136])
        infos.append((result, length, stable, room.raw, struct.unpack_from("<I", info, 216)))

    assert infos[0] == infos[1]


def test_ids_answer_as_in_the_kernel(twins: Twins) -> None:
    different = []
    for cmd in (11, 12, 13, 14, 19, 23, 30, 31):
        for words in ((2**31 - 1, 0, 0), (2**32 - 1, 0, 0), (2**31 - 2, 0, 0), (7, 0, 1 << 20)):
            attr = bytearray(struct.pack("<III", *words))
            theirs, ours = twins.both(cmd, bytearray(attr), bytearray(attr))
            if theirs != ours:
                different.append((cmd, words, theirs, ours, str(twins.skep.last_error)))

    assert not different, different
