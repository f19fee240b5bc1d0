"""Maps under threads without the interpreter lock: every history has an order that explains it.

Each thread notes when each of its operations began and ended, on a clock that all share, and what
it answered. A history is linearizable if the operations on a key can be put into one order, in
which each stands between its beginning and its end, that a dict (or one that forgets, for LRU
maps) would answer alike. Source: Wing and Gong, Testing and verifying concurrent objects, 1993.

SKEP_SECONDS says for how long each test goes on; 3 by default.
"""

import ctypes
import itertools
import os
import random
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from skep.base.native import atomic_add64, load64, native, store64, wrap
from skep.engine.llvm.library import CompiledLibrary
from skep.maps.creation import Creation
from skep.maps.families import create_map
from skep.maps.hash import Hash
from skep.maps.hash_host import hash_read
from skep.maps.host_code import host_drop, host_read, host_store
from skep.maps.keyed import KeyedMap

SECONDS = float(os.environ.get("SKEP_SECONDS", "3"))
LIBRARY = CompiledLibrary()
THREADS = 3
ROUNDS = 60  # operations of a thread in one history
STORE, ADD, DROP, TAKE, READ = range(5)
ROW = struct.Struct("=7Q")  # began, ended, what, key, value, answer, seen
ENOENT, EEXIST = 2**64 - 2, 2**64 - 17
TAG = 0x0101_0101_0101_0101
WORD = 2**64 - 1


@native
def play(this: int, log: int, clock: int, seed: int, count: int, keys: int) -> int:
    """Do *count* random operations, a row of the log for each."""
    x = seed
    for number in range(count):
        x ^= wrap(x << 13)
        x ^= x >> 7
        x ^= wrap(x << 17)
        row = log + number * 56
        what = (x >> 40) % 5
        store64(row + 16, what)
        store64(row + 24, x % keys)
        store64(row + 32, wrap(seed << 20) + number)
        store64(row, atomic_add64(clock, 1))
        if what < 2:
            store64(row + 40, host_store(this, row + 24, row + 32, what))
        elif what == 2:
            store64(row + 40, host_drop(this, row + 24))
        elif what == 3:
            store64(row + 40, hash_read(this, row + 24, row + 48, 0, 0, 1))
        else:
            store64(row + 40, host_read(this, row + 24, row + 48, 0))
        store64(row + 8, atomic_add64(clock, 1))
    return 0


@dataclass(frozen=True, slots=True)
class Operation:
    began: int
    ended: int
    what: int
    key: int
    value: int
    answer: int
    seen: int

    def after(self, state: int | None) -> tuple[bool, int | None]:
        """Whether the answer is right in *state* (a value, or None), and the state after it."""
        there = state is not None
        if self.what == STORE:
            return self.answer == 0, self.value
        if self.what == ADD:
            return self.answer == (EEXIST if there else 0), state if there else self.value
        if self.answer == ENOENT:
            return not there, None
        right = there and self.answer == 0 and (self.what == DROP or self.seen == state)
        return right, state if self.what == READ else None


def explains(history: list[Operation], *, forgets: bool) -> bool:
    """Whether some order of the operations on one key explains all answers."""
    seen: set[tuple[int, int | None]] = set()
    todo: list[tuple[int, int | None]] = [(0, None)]
    everything = (1 << len(history)) - 1
    while todo:
        done, state = todo.pop()
        if done == everything:
            return True
        if (done, state) in seen:
            continue
        seen.add((done, state))
        left = [number for number in range(len(history)) if not done >> number & 1]
        first_end = min(history[number].ended for number in left)
        for number in left:
            if history[number].began < first_end:
                right, following = history[number].after(state)
                if right:
                    todo.append((done | 1 << number, following))
        if forgets and state is not None:
            todo.append((done, None))
    return False


def in_threads(work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 + SECONDS)
        assert not thread.is_alive(), "a thread hangs"


def for_seconds() -> Iterator[int]:
    """Numbers, until time is up."""
    end = time.monotonic() + SECONDS
    for number in itertools.count():
        if number and time.monotonic() > end:
            return
        yield number


def table_of(kind: int, entries: int, flags: int = 0, value_size: int = 8) -> KeyedMap:
    made = create_map(
        Creation(
            map_type=kind, key_size=8, value_size=value_size, max_entries=entries, map_flags=flags,
            cpus=2, library=LIBRARY,
        )
    )  # fmt: skip
    assert isinstance(made, KeyedMap)
    return made


def test_the_judge_knows_a_history_that_nothing_explains() -> None:
    stored = Operation(0, 1, STORE, 0, 7, 0, 0)
    lost = Operation(2, 3, READ, 0, 0, ENOENT, 0)
    stale = Operation(4, 5, READ, 0, 0, 0, 6)
    meanwhile = Operation(0, 3, READ, 0, 0, ENOENT, 0)

    assert not explains([stored, lost], forgets=False)
    assert explains([stored, lost], forgets=True)
    assert not explains([stored, stale], forgets=True)
    assert explains([stored, meanwhile], forgets=False)


@pytest.mark.parametrize(
    ("kind", "entries", "flags", "keys"),
    [(1, 8, 0, 3), (1, 8, 1, 3), (1, 64, 0, 8), (9, 64, 0, 4), (9, 4, 0, 12)],
    ids=["hash", "hash dynamic", "hash of more keys", "lru with room", "lru full"],
)
def test_histories_are_linearizable(kind: int, entries: int, flags: int, keys: int) -> None:
    run = LIBRARY.bind(play)
    for number in for_seconds():
        table = table_of(kind, entries, flags)
        logs = [ctypes.create_string_buffer(ROW.size * ROUNDS) for _ in range(THREADS)]
        clock = ctypes.c_uint64(0)
        seeds = [random.Random(number * THREADS + n).getrandbits(44) | 1 for n in range(THREADS)]
        together = threading.Barrier(THREADS)

        def work(
            which: int,
            table: KeyedMap = table,
            logs: list[ctypes.Array[ctypes.c_char]] = logs,
            clock: ctypes.c_uint64 = clock,
            seeds: list[int] = seeds,
            together: threading.Barrier = together,
        ) -> None:
            together.wait()
            place, ticks = ctypes.addressof(logs[which]), ctypes.addressof(clock)
            run(table.address, place, ticks, seeds[which], ROUNDS, keys)

        in_threads(work)
        rows = [Operation(*each) for log in logs for each in ROW.iter_unpack(log.raw)]
        for key in range(keys):
            history = sorted((row for row in rows if row.key == key), key=lambda row: row.began)
            assert explains(history, forgets=entries < keys), (seeds, key, history)


@native
def churn(this: int, room: int, seed: int, count: int, keys: int, cpus: int) -> int:
    """Store, drop and read random keys, whose values their keys tell; how many reads were wrong."""
    bad = 0
    x = seed
    for _number in range(count):
        x ^= wrap(x << 13)
        x ^= x >> 7
        x ^= wrap(x << 17)
        key = x % keys
        store64(room, key)
        action = x >> 40 & 7
        if action < 4:
            for word in range(2 * cpus):
                store64(room + 64 + 8 * word, wrap(key * TAG))
            host_store(this, room, room + 64, 0)
        elif action < 6:
            host_drop(this, room)
        elif host_read(this, room, room + 256, 0) == 0:
            for word in range(2 * cpus):
                bad += load64(room + 256 + 8 * word) != wrap(key * TAG)
    return bad


def check_elements(table: KeyedMap, copies: int) -> None:
    """Every key comes once, with its own value."""
    found = []
    for count, keys, values in table.portions():
        names = np.frombuffer(keys, "u8", count)
        data = np.frombuffer(values, "u8", count * 2 * copies).reshape(count, -1)
        assert (data == (names * np.uint64(TAG))[:, None]).all()
        found.append(names.copy())
    names = np.concatenate(found) if found else np.zeros(0, "u8")
    assert len(np.unique(names)) == len(names)


@pytest.mark.parametrize(
    ("kind", "flags", "entries"),
    [(1, 0, 50), (1, 1, 3000), (5, 0, 300), (9, 0, 300), (10, 0, 300)],
    ids=["hash", "hash dynamic", "per-CPU hash", "lru", "per-CPU lru"],
)
def test_no_value_is_torn_and_no_walk_repeats(kind: int, flags: int, entries: int) -> None:
    table = table_of(kind, entries, flags, value_size=16)
    assert isinstance(table, Hash)
    run, end = LIBRARY.bind(churn), time.monotonic() + SECONDS
    copies = 2 if table.percpu else 1
    bad = [0] * THREADS

    def work(which: int) -> None:
        room = ctypes.create_string_buffer(512)
        place, seed = ctypes.addressof(room), 0x1234_5678_9ABC_DEF1 + which
        while time.monotonic() < end:
            if which == 0:  # one thread looks at everything, many at a time
                check_elements(table, copies)
            seed = seed * 6364136223846793005 + 1442695040888963407 & WORD | 1
            bad[which] += run(table.address, place, seed, 2000, entries + entries // 2, copies)

    in_threads(work)
    assert bad == [0] * THREADS
    check_elements(table, copies)
    assert len(list(table.keys())) == len(table) <= table.max_entries


def test_emptying_batches_and_stores_lose_and_double_nothing() -> None:
    """What threads add, one reader takes out, bucket by bucket: each value arrives exactly once."""
    table = table_of(1, 5000)
    assert isinstance(table, Hash)
    end, counts = time.monotonic() + SECONDS, [0] * THREADS
    taken: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []
    done = threading.Event()

    def take() -> None:
        index = 0
        while index < table.bucket_count:
            portion = table.read_buckets(index, 6000, remove=True)
            taken.append(np.frombuffer(portion.keys, "u8", portion.count).copy())
            index = portion.index

    def work(which: int) -> None:
        if which == 0:
            while not done.is_set():
                take()
            return
        while time.monotonic() < end:
            first = which << 40 | counts[which]
            keys = np.arange(first, first + 500, dtype="u8")
            stored, _ = table.store_many(keys.ctypes.data, keys.ctypes.data, 500)
            counts[which] += stored
        counts[0] += 1
        if counts[0] == THREADS - 1:
            done.set()

    in_threads(work)
    take()
    found = np.sort(np.concatenate(taken))
    wanted = [np.arange(w << 40, (w << 40) + counts[w], dtype="u8") for w in range(1, THREADS)]
    assert np.array_equal(found, np.concatenate(wanted))
