"""Maps answer as the running kernel's maps do: same errno, same values, same walks."""

import itertools
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skep.engine.llvm.library import CompiledLibrary
from skep.errors import CommandError, NotSupported
from skep.maps.creation import Creation
from skep.maps.families import FAMILIES, create_map
from support.map_drivers import (
    Driver,
    KernelMap,
    SkepMap,
    all_keys,
    kernel_cpus,
    kernel_create,
)
from support.running_kernel import RunningKernel, missing

REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no kernel to compare with: {REASON}")

LIBRARY = CompiledLibrary()
NEEDS_INNER = {12, 13}
KEY_SIZES = {11: 8, 22: 0, 23: 0, 27: 0, 30: 0}  # where it is not 4
CPUMAP = 16  # its limit is the kernel's configuration
SHAPES = {  # type: (key_size, value_size, flags)
    "hash": (1, 4, 8, 0),
    "hash not preallocated": (1, 4, 8, 1),
    "hash of odd sizes": (1, 3, 5, 0),
    "hash of long keys": (1, 21, 9, 0),
    "array": (2, 4, 12, 0),
    "per-CPU hash": (5, 8, 12, 0),
    "per-CPU hash not preallocated": (5, 8, 12, 1),
    "per-CPU array": (6, 4, 12, 0),
    "trie": (11, 8, 8, 1),
    "queue": (22, 0, 4, 0),
    "stack": (23, 0, 4, 0),
}


def creation(shape: tuple[int, int, int, int], entries: int) -> Creation:
    kind, key, value, flags = shape
    return Creation(
        map_type=kind,
        key_size=key,
        value_size=value,
        max_entries=entries,
        map_flags=flags,
        library=LIBRARY,
        cpus=kernel_cpus(),
    )


@pytest.fixture(scope="module")
def kernel() -> RunningKernel:
    return RunningKernel()


def key_of(shape: tuple[int, int, int, int], number: int) -> bytes:
    kind, size = shape[:2]
    if kind == 11:
        bits = (0, 1, 7, 8, 12, 16, 24, 31, 32, 33)[number % 10]
        address = random.Random(number // 10).choice([b"\n\0\0\1", b"\n\1\2\3", b"\x8a\0\xff\1"])
        return bits.to_bytes(4, "little") + address
    if size == 0:
        return b""
    return (number % 6).to_bytes(4, "little")[:size].ljust(size, b"k")


def value_of(skep: SkepMap, number: int) -> bytes:
    size, cpus = skep.map.value_size, skep.map.host_value_size // max(skep.map.value_size, 1)
    if skep.map.map_type in (5, 6):
        cpus = kernel_cpus()
        stride = skep.map.host_value_size // cpus
        copies = [bytes([(number + cpu) % 256]) * size for cpu in range(cpus)]
        return b"".join(copy.ljust(stride, b"\0") for copy in copies)
    return bytes([number % 256]) * size


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["update"] * 4 + ["lookup", "delete", "take", "next"]),
        st.integers(0, 29),
        st.integers(0, 255),
        st.sampled_from([0, 0, 0, 1, 2, 3, 4, 8, 1 << 33]),
    ),
    max_size=40,
)


def step(driver: Driver, row: tuple[str, int, int, int], key: bytes, value: bytes) -> object:
    name, _, _, flags = row
    if name == "update":
        return driver.update(key, value, flags)
    if name == "lookup":
        return driver.lookup(key, flags if flags in (0, 4) else 0)
    if name == "take":
        return driver.take(key, flags if flags in (0, 4) else 0)
    if name == "delete":
        return driver.delete(key)
    return driver.next_key(key)[0] if key else 0


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_sequences_of_operations_answer_alike(
    name: str, steps: list[tuple[str, int, int, int]], kernel: RunningKernel
) -> None:
    shape = SHAPES[name]
    ours = SkepMap(creation(shape, 4))
    theirs = KernelMap(kernel, creation(shape, 4), ours.map.host_value_size)
    try:
        for row in steps:
            if row[0] == "next" and shape[0] in (1, 5):
                continue  # another hash function, another order: see compare_walks
            key, value = key_of(shape, row[1]), value_of(ours, row[2])
            assert step(theirs, row, key, value) == step(ours, row, key, value), row
        if shape[1]:
            compare_walks(shape[0], ours, theirs)
    finally:
        theirs.close()


def compare_walks(kind: int, ours: SkepMap, theirs: KernelMap) -> None:
    expected, found = all_keys(theirs), all_keys(ours)
    if kind in (1, 5):  # another hash function, another order
        expected, found = sorted(expected), sorted(found)
    assert expected == found
    assert sorted(found) == sorted(ours.map.keys())
    assert [theirs.lookup(key) for key in expected] == [ours.lookup(key) for key in found]


EMPTY = {  # maps whose values would be things that a world does not have
    "stack traces": (7, 4, 64, 0),
    "stack traces with build ids": (7, 4, 64, 1 << 5),
    "cgroups": (8, 4, 4, 0),
    "sockets": (15, 4, 4, 0),
    "sockets with cookies": (15, 4, 8, 0),
    "sockets by key": (18, 6, 4, 0),
    "sockets by key, with cookies": (18, 6, 8, 0),
    "sockets of a port": (20, 4, 4, 0),
    "sockets of a port, with cookies": (20, 4, 8, 0),
    "storage of cgroups": (19, 8, 12, 0),
    "storage of cgroups and hooks": (19, 16, 12, 0),
    "per-CPU storage of cgroups": (21, 8, 12, 0),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_maps_answer_alike(name: str, kernel: RunningKernel) -> None:
    shape = EMPTY[name]
    wanted = creation(shape, 0 if shape[0] in (19, 21) else 5)
    ours = SkepMap(wanted)
    theirs = KernelMap(kernel, wanted, ours.map.host_value_size)
    size = ours.map.host_value_size
    values = [fd.to_bytes(4, "little").ljust(size, b"\0") for fd in (0xFFFF, 1 << 31)]
    values.append((1 << 40 | 0xFFFE).to_bytes(8, "little").ljust(size, b"\0")[:size])
    try:
        for number in (0, 1, 4, 5, 7, 8, 99, 0xFFFFFFFF):
            key = number.to_bytes(4, "little").ljust(shape[1], b"\0")
            for flags in (0, 4):
                assert theirs.lookup(key, flags) == ours.lookup(key, flags), (number, flags)
            assert theirs.take(key) == ours.take(key), number
            assert theirs.delete(key) == ours.delete(key), number
            assert theirs.next_key(key) == ours.next_key(key), number
            for value, flags in itertools.product(values, (0, 1, 2, 3, 4, 8, 1 << 33)):
                answers = theirs.update(key, value, flags), ours.update(key, value, flags)
                assert answers[0] == answers[1], (number, value, flags)
        assert theirs.next_key(None) == ours.next_key(None)
    finally:
        theirs.close()


SIZES = (0, 1, 3, 4, 5, 8, 16, 260, 264, 512, 32768, 32769, (4 << 20) - 60, 4 << 20, 1 << 31)
ENTRIES = (0, 1, 2, 3, 4096, 4097, 1 << 16, 1 << 28, (1 << 28) + 1, 1 << 31, (1 << 32) - 1)
TOKEN = 1 << 16  # asks for a token first
FLAGS = (0, *(1 << bit for bit in range(21) if 1 << bit != TOKEN), 0x180, 0x21, 0x404, 0x85)


def creations() -> Iterator[Creation]:
    kinds = sorted(set(FAMILIES) - NEEDS_INNER)
    choose = random.Random(6)
    for kind, flag in itertools.product(kinds, FLAGS):
        yield Creation(
            map_type=kind, key_size=KEY_SIZES.get(kind, 4),
            value_size=0 if kind == 27 else 4, max_entries=1 if kind == CPUMAP else 4096,
            map_flags=flag, library=LIBRARY, cpus=kernel_cpus(),
        )  # fmt: skip
    for _ in range(1500):
        yield Creation(
            map_type=choose.choice(kinds), key_size=choose.choice(SIZES),
            value_size=choose.choice(SIZES), max_entries=choose.choice(ENTRIES),
            map_flags=choose.choice([0, 0, 1, 1, *FLAGS]),
            map_extra=choose.choice([0, 0, 0, 1, 15, 16]),
            library=LIBRARY, cpus=kernel_cpus(),
        )  # fmt: skip


def test_creation_answers_alike(kernel: RunningKernel) -> None:
    different = []
    for wanted in creations():
        text = (
            f"type {wanted.map_type} key {wanted.key_size} value {wanted.value_size} "
            f"entries {wanted.max_entries} flags {wanted.map_flags:#x} extra {wanted.map_extra}"
        )
        if wanted.value_size * wanted.max_entries > 1 << 27 and wanted.map_type != 11:
            continue  # how much memory there is now decides, not the rules
        if wanted.map_type == CPUMAP and wanted.max_entries > 1:
            continue
        try:
            create_map(wanted)
            ours = 0
        except CommandError as refusal:
            ours = refusal.errno
        except NotSupported:
            continue
        fd = kernel_create(kernel, wanted)
        if fd >= 0:
            kernel.close(fd)
        if ours != max(-fd, 0):
            different.append(f"{text}: kernel {max(-fd, 0)}, ours {ours}")

    assert different == []
