"""HASH, PERCPU_HASH, LRU_HASH and LRU_PERCPU_HASH: checks, memory and the host's operations.

Source: Linux kernel/bpf/hashtab.c.
"""

import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from skep.base.bits import U32, U64
from skep.maps import hash_table as words
from skep.maps.answer import expect_success
from skep.maps.creation import (
    ACCESS_FLAGS,
    NO_COMMON_LRU,
    NO_PREALLOC,
    NUMA_NODE,
    PERCPU_VALUE_LIMIT,
    PHYSICAL_MEMORY,
    VALUE_LIMIT,
    ZERO_SEED,
    Creation,
    check_flags,
    check_memory,
    check_value,
    power_above,
    require,
    round8,
)
from skep.maps.hash_code import hash_at, lru_hash_at, lru_percpu_hash_at, percpu_hash_at
from skep.maps.hash_host import hash_dump, hash_key_after, hash_next_key, hash_read
from skep.maps.interface import DISOWN, InlineLookup
from skep.maps.keyed import AT_ONCE, KeyedMap, address_in
from skep.maps.stored import HEAD_SIZE, address_of
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

PERCPU_HASH: Final = 5
LRU_HASH: Final = 9
LRU_PERCPU_HASH: Final = 10
_PERCPU: Final = frozenset({PERCPU_HASH, LRU_PERCPU_HASH})
_LRU: Final = frozenset({LRU_HASH, LRU_PERCPU_HASH})

_FLAGS: Final = NO_PREALLOC | NO_COMMON_LRU | NUMA_NODE | ACCESS_FLAGS | ZERO_SEED
_ELEMENT_HEAD: Final = 48  # sizeof(struct htab_elem): part of the size check
_MOST_BUCKETS: Final = U32 // words.BUCKET_SIZE
_SPARE: Final = 64  # elements beyond max_entries: for as many replacements at one moment


def check_hash(creation: Creation) -> None:
    """Refuse what Linux's htab_map_alloc_check refuses."""
    percpu, lru = creation.map_type in _PERCPU, creation.map_type in _LRU
    flags = creation.map_flags
    check_flags(creation, _FLAGS)
    common = lru or not flags & NO_COMMON_LRU
    require(common, reasons.CREATE_FLAGS, "NO_COMMON_LRU is for LRU maps")
    require(not (lru and flags & NO_PREALLOC), reasons.CREATE_LRU_PREALLOC)
    numa = flags & NUMA_NODE and (percpu or flags & NO_COMMON_LRU)
    require(not numa, reasons.CREATE_FLAGS, "per-CPU maps have no NUMA node")
    require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
    require(creation.key_size, reasons.CREATE_KEY_SIZE, "keys have at least 1 byte")
    check_value(creation)
    size = creation.key_size + creation.value_size
    most = VALUE_LIMIT - _ELEMENT_HEAD
    require(size < most, reasons.CREATE_VALUE_LONG, f"key and value have less than {most} bytes")
    copy = round8(creation.value_size)
    limit = f"a copy has at most {PERCPU_VALUE_LIMIT} bytes"
    require(not percpu or copy <= PERCPU_VALUE_LIMIT, reasons.CREATE_VALUE_LONG, limit)
    buckets = power_above(creation.max_entries)
    fits = buckets <= _MOST_BUCKETS
    require(fits, reasons.CREATE_ENTRIES_MANY, f"{buckets} buckets are too many")


@dataclass(frozen=True, slots=True)
class Portion:
    """Elements that were read together: *count* of them, packed; *index* is where to go on."""

    index: int
    count: int
    keys: bytearray
    values: bytearray


class Hash(KeyedMap):
    """A hash map of any of the four types: *percpu* and *lru* tell them apart."""

    def __init__(self, creation: Creation) -> None:
        check_hash(creation)
        self.percpu = creation.map_type in _PERCPU
        self.lru = creation.map_type in _LRU
        stride = self.word_size(creation)
        if creation.map_flags & NO_COMMON_LRU:
            entries = -(-creation.max_entries // creation.cpus) * creation.cpus
            creation = replace(creation, max_entries=entries)
        buckets = power_above(creation.max_entries)
        self._value_at = words.KEY + round8(creation.key_size)
        element = self._value_at + (8 if self.percpu else stride)
        copies = stride * creation.cpus if self.percpu else 0
        count = self._pool_count(creation, element + copies)
        table = buckets * words.BUCKET_SIZE
        check_memory(table + (count * (element + copies)))
        size = 64 + table + (count + 1) * element + 64 + copies * (count + 1) + 64 * creation.cpus
        super().__init__(creation, stride, size, 0)
        self._buckets = buckets
        self._lay_out(creation, table, element, count)

    @staticmethod
    def word_size(creation: Creation) -> int:
        """Bytes that a value takes in an element."""
        return round8(creation.value_size)

    @staticmethod
    def _pool_count(creation: Creation, each: int) -> int:
        """Elements to have room for; without preallocation no more than the memory can hold."""
        wanted = creation.max_entries + _SPARE
        if not creation.map_flags & NO_PREALLOC:
            return wanted
        return min(wanted, max(PHYSICAL_MEMORY // 2 // each, 1))

    def _lay_out(self, creation: Creation, table: int, element: int, count: int) -> None:
        start = -(-(self.address + HEAD_SIZE) // 64) * 64
        pool = start + table
        copies = -(-(pool + (count + 1) * element) // 64) * 64
        self._table = start
        self._seed = 0
        if not creation.map_flags & ZERO_SEED:
            self._seed = int.from_bytes(os.urandom(8), "little") & U64
        self._span = 0
        if self.percpu:
            self._span = -(-(count + 1) * self._stride // 64) * 64
            self.put_word(words.COPIES, copies)
            self.put_word(words.SPAN, self._span)
        self.put_word(words.BUCKETS, start)
        self.put_word(words.MASK, self._buckets - 1)
        self.put_word(words.SEED, self._seed)
        self.put_word(words.POOL, pool)
        self.put_word(words.ESIZE, element)
        self.put_word(words.VALUE_AT, self._value_at)
        self.put_word(words.POOL_COUNT, count)
        self.put_word(words.FRESH, 1)

    def __len__(self) -> int:
        return self.word(words.COUNT)

    @property
    def host_value_size(self) -> int:
        """The value, or one copy for each CPU."""
        return self._stride * self.cpus if self.percpu else self.value_size

    @property
    def memory_bytes(self) -> int:
        """Buckets, and elements: all if preallocated, else those in use."""
        count = len(self) if self.map_flags & NO_PREALLOC else self.max_entries
        copies = self._stride * self.cpus if self.percpu else 0
        return (
            HEAD_SIZE
            + self._buckets * words.BUCKET_SIZE
            + count * (self.word(words.ESIZE) + copies)
        )

    def lookup_and_delete(self, key: bytes, flags: int = 0) -> bytes:
        """Remove *key* and give its value."""
        command = "MAP_LOOKUP_AND_DELETE_ELEM"
        self.check_key(command, key)
        self.check_read_flags(command, flags)
        size = self.host_value_size
        target = self._buffers.reserve(size)
        cpus = self.cpus if self.percpu else 0
        read = self._library.bind(hash_read)
        expect_success(command, read(self.address, address_of(key), target, flags, cpus, 1))
        return ctypes.string_at(target, size)

    def next_key(self, key: bytes | None) -> bytes:
        """The key after *key* in bucket order; the first for None or an absent key."""
        command = "MAP_GET_NEXT_KEY"
        if key is not None:
            following = self._step(key)
            if following is not None:
                return following
            self.check_key(command, key)
            raise Refusal(command, elements.LAST)
        target = self._buffers.reserve(self.key_size)
        if self._library.bind(hash_next_key)(self.address, 0, target):
            raise Refusal(command, elements.LAST)
        return ctypes.string_at(target, self.key_size)

    @functools.cached_property
    def _step(self) -> Callable[[bytes], bytes | None]:
        return self.quick_step(hash_key_after)

    def close(self) -> None:
        """Let go what the elements own."""
        if self.word(DISOWN):
            for key in tuple(self.keys()):
                self.delete(key)

    @property
    def bucket_count(self) -> int:
        """How many buckets there are."""
        return self._buckets

    def read_buckets(
        self, index: int, room: int, flags: int = 0, *, values: bool = True, remove: bool = False
    ) -> Portion:
        """Copy elements, *room* at most, from bucket *index* on; no bucket is split.

        A portion without elements whose index is below ``bucket_count``: that bucket has more.

        Args:
            index: number of the bucket.
            room: how many elements there may be.
            flags: F_LOCK, or none.
            values: whether to copy values too.
            remove: whether to take what is copied out of the map.
        """
        keys = bytearray(room * self.key_size)
        data = bytearray(room * self.host_value_size if values else 0)
        place = ctypes.c_uint64(index)
        position, first, second = ctypes.addressof(place), address_in(keys), address_in(data)
        dump = self._library.bind(hash_dump)
        count = dump(self.address, position, first, second, room, flags, int(remove))
        return Portion(place.value, count, keys, data)

    def portions(self, *, values: bool = True) -> Iterator[tuple[int, bytearray, bytearray]]:
        """See KeyedMap; elements of one bucket are as they are together at one moment."""
        index, room = 0, min(len(self) + _SPARE, AT_ONCE)
        while index < self._buckets:
            portion = self.read_buckets(index, room, values=values)
            if portion.count:
                yield portion.count, portion.keys, portion.values
            elif portion.index == index:
                room *= 2
            index = portion.index

    def keys(self) -> Iterator[bytes]:
        """Every key, bucket by bucket."""
        size = self.key_size
        for count, packed, _ in self.portions(values=False):
            data = bytes(packed)
            yield from (data[place : place + size] for place in range(0, count * size, size))

    def key_at(self, value: int) -> bytes:
        """The key of the element whose value, which is not per CPU, is at *value*."""
        return ctypes.string_at(value - self._value_at + words.KEY, self.key_size)

    def inline_lookup(self) -> InlineLookup | None:
        """The look-up for the map's type, with its constants."""
        shape = (self._table, self._buckets - 1, self._seed, self.key_size, self._value_at)
        if self.percpu:
            return (lru_percpu_hash_at if self.lru else percpu_hash_at), (*shape, self._span)
        return (lru_hash_at if self.lru else hash_at), shape
