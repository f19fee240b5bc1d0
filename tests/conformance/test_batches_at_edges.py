"""Batch commands whose memory ends on the way, or of whole maps, answer as the running kernel."""

import ctypes
import mmap
import struct
from collections.abc import Iterator

import pytest

from skep.syscall.subsystem import Subsystem
from support.running_kernel import RunningKernel, missing

WHY = missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

CREATE, LOOKUP, TAKE, UPDATE, DELETE = 0, 24, 25, 26, 27
PAGE = 4096
Side = RunningKernel | Subsystem
Sides = list[tuple[Side, int]]
KINDS = {"hash": 1, "array": 2, "lru hash": 9}


class Edge:
    """A page that can be used, and one behind it that cannot."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        libc.mprotect.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
        self._map = mmap.mmap(-1, 2 * PAGE)
        self.end = ctypes.addressof(ctypes.c_char.from_buffer(self._map)) + PAGE
        assert libc.mprotect(self.end, PAGE, 0) == 0

    def put(self, data: bytes) -> int:
        """Address of *data*, which ends where memory does."""
        ctypes.memmove(self.end - len(data), data, len(data))
        return self.end - len(data)


@pytest.fixture(name="sides", params=KINDS)
def _sides(request: pytest.FixtureRequest) -> Iterator[Sides]:
    kernel, ours = RunningKernel(), Subsystem()
    sides: Sides = []
    each: tuple[Side, ...] = (kernel, ours)
    for side in each:
        attr = bytearray(struct.pack("=5I", KINDS[request.param], 4, 8, 64, 0).ljust(72, b"\0"))
        fd = side.bpf(CREATE, attr)
        assert fd >= 0
        sides.append((side, fd))
    yield sides
    kernel.close(sides[0][1])


def ask(
    side: Side, fd: int, command: int, keys: int, values: int, count: int
) -> tuple[int, int, bytes]:
    place = ctypes.create_string_buffer(8)
    out = ctypes.addressof(place) if command in (LOOKUP, TAKE) else 0
    attr = bytearray(struct.pack("=QQQQIIQQ", 0, out, keys, values, count, fd, 0, 0))
    result = side.bpf(command, attr)
    return result, struct.unpack_from("=I", attr, 32)[0], b""


@pytest.mark.parametrize("there", [0, 1, 5])
@pytest.mark.parametrize("what", ["keys", "values"])
def test_elements_whose_memory_is_there_are_moved(what: str, there: int, sides: Sides) -> None:
    answers = []
    for side, fd in sides:
        edge, room = Edge(), ctypes.create_string_buffer(bytes(range(200)) * 8, 1600)
        keys = b"".join(struct.pack("=I", number) for number in range(there))
        values = b"".join(struct.pack("=Q", number) for number in range(there))
        whole = ctypes.create_string_buffer(struct.pack("=8I", *range(8)))
        first = edge.put(keys) if what == "keys" else ctypes.addressof(whole)
        second = edge.put(values) if what == "values" else ctypes.addressof(room)
        rows = [ask(side, fd, UPDATE, first, second, 8)]
        if what == "keys":
            rows.append(ask(side, fd, DELETE, first, 0, 8))
        answers.append(rows)

    assert answers[0] == answers[1]


def test_whole_maps_go_in_and_out(sides: Sides) -> None:
    answers = []
    for side, fd in sides:
        keys = ctypes.create_string_buffer(struct.pack("=40I", *range(40)), 4000)
        values = ctypes.create_string_buffer(struct.pack("=40Q", *range(40)), 4000)
        first, second = ctypes.addressof(keys), ctypes.addressof(values)
        rows = [ask(side, fd, UPDATE, first, second, 40)]
        for command in (LOOKUP, TAKE, LOOKUP):
            ctypes.memset(first, 0, 4000)
            ctypes.memset(second, 0, 4000)
            result, count, _ = ask(side, fd, command, first, second, 100)
            pairs = [
                (keys.raw[4 * n : 4 * n + 4], values.raw[8 * n : 8 * n + 8]) for n in range(count)
            ]
            rows.append((result, count, b"".join(key + value for key, value in sorted(pairs))))
        answers.append(rows)

    assert answers[0] == answers[1]
