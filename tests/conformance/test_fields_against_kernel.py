"""Special fields: BTF_LOAD and MAP_CREATE take the same types as the running kernel.

Types are random. Which fields a map's values have is asked by way of RDONLY_PROG, which is refused
with EACCES where there are any. No program runs, and no map is written to.
"""

import ctypes
import os
import struct
from collections.abc import Callable

import pytest

from conformance.fields import Types, random_owners, random_types
from skep.syscall.subsystem import Subsystem
from support.running_kernel import RunningKernel

ROUNDS = 400
RDONLY_PROG, NO_PREALLOC = 1 << 7, 1
KINDS = (1, 2, 5, 6, 9, 10, 24, 28, 29, 32, 22, 11)
STORAGES = {24, 28, 29, 32}
Bpf = Callable[[int, bytearray], int]


@pytest.fixture(scope="module")
def sides() -> tuple[RunningKernel, Subsystem]:
    """The running kernel, and skep."""
    kernel = RunningKernel()
    if kernel.bpf(0, bytearray(struct.pack("<IIII", 2, 4, 4, 1)).ljust(168, b"\0")) < 0:
        pytest.skip("the running kernel's bpf(2) is not open to this user")
    if not kernel.release.startswith("6.18"):
        pytest.skip(f"special fields are those of Linux 6.18, this is {kernel.release}")
    subsystem = Subsystem()
    return kernel, subsystem


def load(bpf: Bpf, types: Types) -> int:
    data = ctypes.create_string_buffer(types.data, len(types.data))
    attr = bytearray(struct.pack("<QQI", ctypes.addressof(data), 0, len(types.data)))
    return bpf(18, attr.ljust(168, b"\0"))


def create(bpf: Bpf, kind: int, fd: int, types: Types, value: tuple[int, int], flags: int) -> int:
    section = value == types.values[-1] and len(types.values) > 1
    key = 8 if kind == 11 else 0 if kind == 22 else 4
    lazy = NO_PREALLOC if kind in STORAGES or kind == 11 else 0
    entries = 0 if kind in STORAGES else 1
    attr = bytearray(168)
    struct.pack_into("<IIIII", attr, 0, kind, key, value[1], entries, flags | lazy)
    struct.pack_into("<III", attr, 48, fd, 0 if section and kind == 2 else types.key, value[0])
    return bpf(0, attr)


def answers(bpf: Bpf, close: Callable[[int], None], types: Types) -> list[object]:
    fd = load(bpf, types)
    found: list[object] = [min(fd, 0)]
    if fd < 0:
        return found
    for value in types.values:
        for kind in KINDS:
            for flags in (0, RDONLY_PROG):
                made = create(bpf, kind, fd, types, value, flags)
                found.append((value[0], kind, flags, min(made, 0)))
                if made >= 0:
                    close(made)
    close(fd)
    return found


@pytest.mark.parametrize("block", range(4))
def test_types_with_special_fields_are_taken_as_the_kernel_takes_them(
    sides: tuple[RunningKernel, Subsystem], block: int
) -> None:
    kernel, subsystem = sides
    differing = []
    for seed in range(block * ROUNDS, (block + 1) * ROUNDS):
        types = random_types(seed)
        theirs = answers(kernel.bpf, os.close, types)
        ours = answers(subsystem.bpf, subsystem.close, types)
        if ours != theirs:
            differing.append((seed, ours[0], theirs[0]))

    assert differing == []


def test_types_that_own_each_other_are_taken_as_the_kernel_takes_them(
    sides: tuple[RunningKernel, Subsystem],
) -> None:
    kernel, subsystem = sides
    differing = []
    for seed in range(ROUNDS):
        types = random_owners(seed)
        theirs = answers(kernel.bpf, os.close, types)
        ours = answers(subsystem.bpf, subsystem.close, types)
        if ours != theirs:
            differing.append((seed, ours[0], theirs[0]))

    assert differing == []
