"""Maps under several threads: compiled code, no interpreter lock."""

import ctypes
import struct
import threading
from collections.abc import Callable

import pytest

from skep.base.native import load64, native, store64, wrap
from skep.engine.llvm.library import CompiledLibrary
from skep.maps import hash_table
from skep.maps.creation import Creation
from skep.maps.dispatch import (
    map_delete_elem,
    map_lookup_elem,
    map_pop_elem,
    map_push_elem,
    map_update_elem,
)
from skep.maps.families import create_map
from skep.maps.hash import Hash
from skep.maps.hash_host import hash_read
from skep.maps.queue import Queue
from skep.maps.ring_code import ringbuf_discard, ringbuf_reserve, ringbuf_submit
from skep.maps.stream import RingBuffer
from skep.maps.trie import Trie
from skep.runtime.world import World

THREADS = 4
ROUNDS = 40_000
TAG = 0x0101_0101_0101_0101


@native
def churn(run: int, this: int, room: int, seed: int, count: int, keys: int) -> int:
    """Update, look up, read and delete random keys; returns how many reads were inconsistent."""
    bad = 0
    x = seed
    for _number in range(count):
        x ^= wrap(x << 13)
        x ^= x >> 7
        x ^= wrap(x << 17)
        key = x % keys
        store64(room, key)
        action = x >> 40 & 7
        if action < 3:
            store64(room + 8, wrap(key * TAG))
            store64(room + 16, wrap(key * TAG))
            map_update_elem(run, this, room, room + 8, 0)
        elif action < 5:
            map_delete_elem(run, this, room)
        elif action == 5:
            map_lookup_elem(run, this, room)
        elif hash_read(this, room, room + 32, 0, 0, 0) == 0:
            bad += load64(room + 32) != wrap(key * TAG) or load64(room + 40) != wrap(key * TAG)
    return bad


def in_threads(work: Callable[[int], int]) -> list[int]:
    results = [-1] * THREADS

    def one(number: int) -> None:
        results[number] = work(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a thread hangs"
    return results


def sound(table: Hash) -> None:
    """Every element is either in a chain or free, once, and the count is right."""
    keys = list(table.keys())
    assert len(set(keys)) == len(keys) == len(table) <= table.max_entries
    pool, size = table.word(hash_table.POOL), table.word(hash_table.ESIZE)
    free, number = set(), table.word(hash_table.FREE) & 0xFFFF_FFFF
    while number:
        assert number not in free
        free.add(number)
        number = ctypes.c_uint32.from_address(pool + number * size + hash_table.HASH).value
    used = min(table.word(hash_table.FRESH) - 1, table.word(hash_table.POOL_COUNT))
    assert used == len(keys) + len(free)


@pytest.mark.parametrize(("kind", "flags"), [(1, 0), (1, 1), (9, 0)])
@pytest.mark.parametrize("entries", [8, 1000])
def test_churn_keeps_a_hash_sound(
    kind: int, flags: int, entries: int, compiled: CompiledLibrary, world: World
) -> None:
    table = create_map(
        Creation(
            map_type=kind, key_size=8, value_size=16, max_entries=entries, map_flags=flags,
            cpus=2, library=compiled,
        )
    )  # fmt: skip
    assert isinstance(table, Hash)
    run = compiled.bind(churn)

    def work(number: int) -> int:
        room = ctypes.create_string_buffer(64)
        with world.running() as block:
            place = ctypes.addressof(room)
            seed = 0x1234_5678_9ABC_DEF1 + number
            return int(run(block.address, table.address, place, seed, ROUNDS, entries + 4))

    assert in_threads(work) == [0] * THREADS
    sound(table)
    for key in list(table.keys()):
        value = int.from_bytes(key, "little") * TAG & 0xFFFF_FFFF_FFFF_FFFF
        assert table.lookup(key) == struct.pack("<QQ", value, value)


@native
def count_up(run: int, this: int, room: int, first: int, count: int, keys: int) -> int:
    """Add one, *count* times, to each of *keys* values that only this thread touches."""
    for _round in range(count):
        for number in range(keys):
            store64(room, first + number)
            value = map_lookup_elem(run, this, room)
            store64(room + 8, load64(value) + 1 if value != 0 else 1)
            map_update_elem(run, this, room, room + 8, 0)
    return 0


@pytest.mark.parametrize("flags", [0, 1])
def test_no_update_is_lost(flags: int, compiled: CompiledLibrary, world: World) -> None:
    table = create_map(
        Creation(
            map_type=1, key_size=8, value_size=8, max_entries=THREADS * 16, map_flags=flags,
            cpus=2, library=compiled,
        )
    )  # fmt: skip
    run = compiled.bind(count_up)

    def work(number: int) -> int:
        room = ctypes.create_string_buffer(64)
        with world.running() as block:
            place = ctypes.addressof(room)
            return int(run(block.address, table.address, place, 16 * number, 2000, 16))

    in_threads(work)
    keys = list(table.keys())
    assert [int.from_bytes(table.lookup(key), "little") for key in keys] == [2000] * THREADS * 16


@native
def send(this: int, count: int, seed: int) -> int:
    """Reserve *count* records, give every third up, retry while the ring is full."""
    sent = 0
    number = 0
    while number < count:
        size = 8 + (number * 7 + seed) % 50
        record = ringbuf_reserve(0, this, size, 0)
        if record != 0:
            store64(record, seed << 32 | number)
            number += 1
            if number % 3 == 0:
                ringbuf_discard(0, record, 0)
            else:
                ringbuf_submit(0, record, 0)
                sent += 1
    return sent


def test_every_record_arrives_once_and_in_order(compiled: CompiledLibrary) -> None:
    ring = create_map(Creation(map_type=27, max_entries=4096, library=compiled))
    assert isinstance(ring, RingBuffer)
    run = compiled.bind(send)
    done = threading.Event()
    received: list[bytes] = []

    def read() -> None:
        while not done.is_set() or ring.unread:
            received.extend(ring.records())
            ring.wait(0.01)

    reader = threading.Thread(target=read)
    reader.start()
    sent = in_threads(lambda number: int(run(ring.address, 3000, number)))
    done.set()
    reader.join(60)

    assert len(received) == sum(sent) == THREADS * 2000
    for number in range(THREADS):
        words = (int.from_bytes(record[:8], "little") for record in received)
        mine = [word & 0xFFFF_FFFF for word in words if word >> 32 == number]
        assert mine == [value for value in range(3000) if value % 3 != 2]


@native
def push_and_pop(run: int, this: int, room: int, seed: int, count: int) -> int:
    """Push and pop; returns the difference of what went in and came out."""
    balance = 0
    for number in range(count):
        store64(room, seed + number)
        if map_push_elem(run, this, room, 0) == 0:
            balance = wrap(balance + seed + number)
        if map_pop_elem(run, this, room + 8) == 0:
            balance = wrap(balance - load64(room + 8))
    return balance


@pytest.mark.parametrize("kind", [22, 23])
def test_queues_lose_and_invent_nothing(kind: int, compiled: CompiledLibrary, world: World) -> None:
    queue = create_map(Creation(map_type=kind, value_size=8, max_entries=3, library=compiled))
    assert isinstance(queue, Queue)
    run = compiled.bind(push_and_pop)

    def work(number: int) -> int:
        room = ctypes.create_string_buffer(64)
        with world.running() as block:
            place = ctypes.addressof(room)
            return int(run(block.address, queue.address, place, number << 40, ROUNDS))

    balance = sum(in_threads(work))
    while len(queue):
        balance -= int.from_bytes(queue.lookup_and_delete(), "little")
    assert balance % 2**64 == 0


@native
def wander(run: int, this: int, room: int, seed: int, count: int) -> int:
    """Change and ask a trie whose /0 entry never goes; returns how often it was not found."""
    missing = 0
    x = seed
    for _number in range(count):
        x ^= wrap(x << 13)
        x ^= x >> 7
        x ^= wrap(x << 17)
        store64(room, (x >> 8 & 31) + 1 | (x >> 32) << 32)
        action = x >> 40 & 3
        if action == 0:
            map_update_elem(run, this, room, room + 8, 0)
        elif action == 1:
            map_delete_elem(run, this, room)
        else:
            store64(room, 32 | (x >> 32) << 32)
            missing += map_lookup_elem(run, this, room) == 0
    return missing


def test_a_trie_is_never_caught_half_changed(compiled: CompiledLibrary, world: World) -> None:
    trie = create_map(
        Creation(
            map_type=11, key_size=8, value_size=8, max_entries=200, map_flags=1, library=compiled
        )
    )
    assert isinstance(trie, Trie)
    trie.update(bytes(8), b"fallback")
    run = compiled.bind(wander)

    def work(number: int) -> int:
        room = ctypes.create_string_buffer(64)
        with world.running() as block:
            place = ctypes.addressof(room)
            seed = 0x9876_5432_1FED_CBA1 + number
            return int(run(block.address, trie.address, place, seed, ROUNDS))

    assert in_threads(work) == [0] * THREADS
    assert len(list(trie.keys())) == len(trie) <= 200
