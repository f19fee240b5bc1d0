"""What the host does to elements, in native code, by the map's type: one at a time and many.

Values are as bpf(2) passes them: of a per-CPU map all copies, one behind the other. The types are
those whose class is a ``skep.maps.keyed.KeyedMap``. Keys and values of many elements stand one
behind the other; an operation on many is as many operations, each whole in itself.
"""

from collections.abc import Mapping
from typing import Final

from skep.base.native import NativeFunction, load32, load64, native, store8, store32, store64
from skep.maps.answer import MINUS_EINVAL, MINUS_ENOENT
from skep.maps.array_code import (
    array_read,
    array_update,
    percpu_array_copy_in,
    percpu_array_copy_out,
)
from skep.maps.hash_code import hash_delete, hash_update, percpu_hash_update_on
from skep.maps.hash_host import hash_read
from skep.maps.hash_table import expect_element, expect_key
from skep.maps.interface import CPUS, KEY_SIZE, MAX_ENTRIES, STRIDE, TYPE, VALUE_SIZE
from skep.maps.lru import lru_hash_update, lru_update_on
from skep.maps.trie_code import trie_delete, trie_read, trie_update

HASH: Final = 1
ARRAY: Final = 2
PERCPU_HASH: Final = 5
PERCPU_ARRAY: Final = 6
LRU_HASH: Final = 9
LRU_PERCPU_HASH: Final = 10
LPM_TRIE: Final = 11

_PERCPU: Final = 1 << PERCPU_HASH | 1 << LRU_PERCPU_HASH | 1 << PERCPU_ARRAY
_ARRAYS: Final = 1 << ARRAY | 1 << PERCPU_ARRAY
_HASHES: Final = 1 << HASH | 1 << PERCPU_HASH | 1 << LRU_HASH | 1 << LRU_PERCPU_HASH
_FAR: Final = 16  # operations ahead of the one at hand
_NEAR: Final = 8


@native
def host_value_size(this: int) -> int:
    """Bytes of a value as the host sees it."""
    if _PERCPU >> load64(this + TYPE) & 1:
        return load64(this + STRIDE) * load64(this + CPUS)
    return load64(this + VALUE_SIZE)


# --- of one type: what maps give their library for quick calls ----------------------------------


@native
def read_in_hash(this: int, key: int, target: int, flags: int) -> int:
    """Copy the value at *key* of a plain hash to *target*."""
    return hash_read(this, key, target, flags, 0, 0)


@native
def read_in_percpu_hash(this: int, key: int, target: int, flags: int) -> int:
    """Copy all copies of the value at *key*."""
    return hash_read(this, key, target, flags, load64(this + CPUS), 0)


@native
def store_in_percpu_hash(this: int, key: int, value: int, flags: int) -> int:
    """Create or replace all copies at *key*."""
    return percpu_hash_update_on(this, key, value, flags, 0, load64(this + CPUS))


@native
def store_in_lru_percpu_hash(this: int, key: int, value: int, flags: int) -> int:
    """Create or replace all copies at *key*, giving another element up if need be."""
    return lru_update_on(this, key, value, flags, 0, load64(this + CPUS))


@native
def read_in_array(this: int, key: int, target: int, flags: int) -> int:
    """Copy the value at *key*."""
    if load32(key) >= load64(this + MAX_ENTRIES):
        return MINUS_ENOENT
    return array_read(this, key, target, flags)


@native
def read_in_percpu_array(this: int, key: int, target: int, flags: int) -> int:  # noqa: ARG001
    """Copy all copies of the value at *key*."""
    if load32(key) >= load64(this + MAX_ENTRIES):
        return MINUS_ENOENT
    return percpu_array_copy_out(this, key, target, load64(this + CPUS))


@native
def store_in_percpu_array(this: int, key: int, value: int, flags: int) -> int:
    """Overwrite all copies at *key*."""
    return percpu_array_copy_in(this, key, value, load64(this + CPUS), flags)


@native
def read_in_trie(this: int, key: int, target: int, flags: int) -> int:  # noqa: ARG001
    """Copy the value of the longest prefix that covers *key*."""
    return trie_read(this, key, target)


@native
def drop_in_array(this: int, key: int) -> int:  # noqa: ARG001 - as the others
    """Refuse: elements of an array are always there."""
    return MINUS_EINVAL


# --- of any type: what loops over many elements do ----------------------------------------------


@native
def host_read(this: int, key: int, target: int, flags: int) -> int:
    """Copy the value at *key* to *target*."""
    kind = load64(this + TYPE)
    if kind == LPM_TRIE:
        return read_in_trie(this, key, target, flags)
    if kind == ARRAY:
        return read_in_array(this, key, target, flags)
    if kind == PERCPU_ARRAY:
        return read_in_percpu_array(this, key, target, flags)
    if _PERCPU >> kind & 1:
        return read_in_percpu_hash(this, key, target, flags)
    return read_in_hash(this, key, target, flags)


@native
def host_store(this: int, key: int, value: int, flags: int) -> int:
    """Create or replace the value at *key*."""
    kind = load64(this + TYPE)
    if kind == ARRAY:
        return array_update(this, key, value, flags)
    if kind == PERCPU_HASH:
        return store_in_percpu_hash(this, key, value, flags)
    if kind == PERCPU_ARRAY:
        return store_in_percpu_array(this, key, value, flags)
    if kind == LRU_HASH:
        return lru_hash_update(this, key, value, flags)
    if kind == LRU_PERCPU_HASH:
        return store_in_lru_percpu_hash(this, key, value, flags)
    if kind == LPM_TRIE:
        return trie_update(this, key, value, flags)
    return hash_update(this, key, value, flags)


@native
def host_drop(this: int, key: int) -> int:
    """Remove the element at *key*."""
    kind = load64(this + TYPE)
    if kind == LPM_TRIE:
        return trie_delete(this, key)
    if _ARRAYS >> kind & 1:
        return drop_in_array(this, key)
    return hash_delete(this, key)


@native
def expect(this: int, keys: int, left: int) -> int:
    """Ask for the memory that the operations on the keys behind the one at *keys* will touch.

    Memory that no cache has would stop each of them; *left* keys stand at *keys*.
    """
    if not _HASHES >> load64(this + TYPE) & 1:
        return 0
    size = load64(this + KEY_SIZE)
    if left > _FAR:
        expect_key(this, keys + _FAR * size)
    if left > _NEAR:
        expect_element(this, keys + _NEAR * size)
    return 0


@native
def host_store_many(this: int, keys: int, values: int, count: int, flags: int, why: int) -> int:
    """Store *count* elements, up to the first that is refused; returns how many were stored.

    What refused one is stored at *why*.
    """
    key_size = load64(this + KEY_SIZE)
    value_size = host_value_size(this)
    for done in range(count):
        expect(this, keys + done * key_size, count - done)
        answer = host_store(this, keys + done * key_size, values + done * value_size, flags)
        if answer != 0:
            store64(why, answer)
            return done
    return count


@native
def host_read_many(this: int, keys: int, values: int, found: int, count: int) -> int:
    """Copy the values at *count* keys; byte *i* at *found* says whether key *i* is there."""
    key_size = load64(this + KEY_SIZE)
    value_size = host_value_size(this)
    seen = 0
    for number in range(count):
        expect(this, keys + number * key_size, count - number)
        target = values + number * value_size
        there = host_read(this, keys + number * key_size, target, 0) == 0
        store8(found + number, there)
        seen += there
    return seen


@native
def host_drop_many(this: int, keys: int, count: int, why: int) -> int:
    """Remove *count* elements; returns how many there were.

    With *why* not 0, the first that is refused ends it, and what refused it is stored there.
    """
    key_size = load64(this + KEY_SIZE)
    removed = 0
    for number in range(count):
        expect(this, keys + number * key_size, count - number)
        answer = host_drop(this, keys + number * key_size)
        if answer == 0:
            removed += 1
        elif why != 0:
            store64(why, answer)
            return removed
    return removed


@native
def host_read_indices(this: int, first: int, keys: int, values: int, count: int) -> int:
    """Copy *count* elements of an array from index *first* on; *values* 0: only the keys."""
    size = host_value_size(this)
    for number in range(count):
        store32(keys + 4 * number, first + number)
        if values != 0:
            host_read(this, keys + 4 * number, values + number * size, 0)
    return count


_PLAIN: Final = (read_in_hash, hash_update, hash_delete)
CODES: Final[Mapping[int, tuple[NativeFunction, NativeFunction, NativeFunction]]] = {
    ARRAY: (read_in_array, array_update, drop_in_array),
    PERCPU_HASH: (read_in_percpu_hash, store_in_percpu_hash, hash_delete),
    PERCPU_ARRAY: (read_in_percpu_array, store_in_percpu_array, drop_in_array),
    LRU_HASH: (read_in_hash, lru_hash_update, hash_delete),
    LRU_PERCPU_HASH: (read_in_percpu_hash, store_in_lru_percpu_hash, hash_delete),
    LPM_TRIE: (read_in_trie, trie_update, trie_delete),
}


def codes_of(map_type: int) -> tuple[NativeFunction, NativeFunction, NativeFunction]:
    """What reads, stores and drops an element of a map of that type."""
    return CODES.get(map_type, _PLAIN)
