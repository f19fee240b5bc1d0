"""Map operations by the type in the descriptor, in native code: for maps known only at run time.

A look-up gives an address or 0, everything else 0 or a negative errno. What a type has no
operation for answers EOPNOTSUPP; the verifier keeps programs from asking.
"""

from typing import Final

from skep.base.native import load64, native
from skep.maps.answer import MINUS_EINVAL, MINUS_ENOENT, MINUS_EOPNOTSUPP
from skep.maps.array_code import (
    array_for_each,
    array_lookup,
    array_update,
    percpu_array_lookup,
    percpu_array_lookup_on,
    percpu_array_update,
)
from skep.maps.bloom import bloom_peek, bloom_push
from skep.maps.hash_code import (
    hash_delete,
    hash_for_each,
    hash_lookup,
    hash_update,
    inner_hash_lookup,
    lru_hash_lookup,
    lru_percpu_hash_lookup,
    percpu_hash_lookup,
    percpu_hash_lookup_on,
    percpu_hash_update,
)
from skep.maps.interface import CPUS, TYPE
from skep.maps.lru import lru_hash_update, lru_percpu_hash_update
from skep.maps.nested import inner_array_lookup
from skep.maps.queue import queue_push, queue_take
from skep.maps.targets import DEVMAP, DEVMAP_HASH, target_lookup
from skep.maps.trie_code import trie_delete, trie_lookup, trie_update

HASH: Final = 1
ARRAY: Final = 2
PERCPU_HASH: Final = 5
PERCPU_ARRAY: Final = 6
LRU_HASH: Final = 9
LRU_PERCPU_HASH: Final = 10
LPM_TRIE: Final = 11
ARRAY_OF_MAPS: Final = 12
HASH_OF_MAPS: Final = 13
SOCKMAP: Final = 15
SOCKHASH: Final = 18
QUEUE: Final = 22
STACK: Final = 23
BLOOM_FILTER: Final = 30

# sets of types, as bits
_ARRAYS: Final = 1 << ARRAY | 1 << PERCPU_ARRAY
_PLAIN_HASHES: Final = 1 << HASH | 1 << LRU_HASH
_PERCPU_HASHES: Final = 1 << PERCPU_HASH | 1 << LRU_PERCPU_HASH
_QUEUES: Final = 1 << QUEUE | 1 << STACK
_HASHES: Final = _PLAIN_HASHES | _PERCPU_HASHES


@native
def lookup_rare(this: int, key: int, kind: int) -> int:
    """map_lookup_elem for the types that programs ask less often."""
    if kind == LPM_TRIE:
        return trie_lookup(this, key)
    if kind == ARRAY_OF_MAPS:
        return inner_array_lookup(this, key)
    if kind == HASH_OF_MAPS:
        return inner_hash_lookup(this, key)
    if kind == DEVMAP:
        return target_lookup(this, key)
    if kind == DEVMAP_HASH:
        return hash_lookup(this, key)
    return 0


@native
def map_lookup_elem(run: int, this: int, key: int) -> int:
    """Address of the value at *key*, or 0."""
    kind = load64(this + TYPE)
    if kind == HASH:
        return hash_lookup(this, key)
    if kind == ARRAY:
        return array_lookup(this, key)
    if kind == PERCPU_ARRAY:
        return percpu_array_lookup(run, this, key)
    if kind == PERCPU_HASH:
        return percpu_hash_lookup(run, this, key)
    if kind == LRU_HASH:
        return lru_hash_lookup(this, key)
    if kind == LRU_PERCPU_HASH:
        return lru_percpu_hash_lookup(run, this, key)
    return lookup_rare(this, key, kind)


@native
def map_update_elem(run: int, this: int, key: int, value: int, flags: int) -> int:
    """Create or replace the value at *key*."""
    kind = load64(this + TYPE)
    if kind == HASH:
        return hash_update(this, key, value, flags)
    if kind == ARRAY:
        return array_update(this, key, value, flags)
    if kind == PERCPU_ARRAY:
        return percpu_array_update(run, this, key, value, flags)
    if kind == PERCPU_HASH:
        return percpu_hash_update(run, this, key, value, flags)
    if kind == LRU_HASH:
        return lru_hash_update(this, key, value, flags)
    if kind == LRU_PERCPU_HASH:
        return lru_percpu_hash_update(run, this, key, value, flags)
    if kind == LPM_TRIE:
        return trie_update(this, key, value, flags)
    return MINUS_EOPNOTSUPP


@native
def map_delete_elem(run: int, this: int, key: int) -> int:  # noqa: ARG001 - a helper's signature
    """Remove the element at *key*."""
    kind = load64(this + TYPE)
    if _HASHES >> kind & 1:
        return hash_delete(this, key)
    if kind == LPM_TRIE:
        return trie_delete(this, key)
    if kind == SOCKHASH:
        return MINUS_ENOENT
    if (_ARRAYS | _QUEUES | 1 << SOCKMAP) >> kind & 1:
        return MINUS_EINVAL
    return MINUS_EOPNOTSUPP


@native
def map_lookup_percpu_elem(run: int, this: int, key: int, cpu: int) -> int:  # noqa: ARG001
    """Address of CPU *cpu*'s copy of the value at *key*, or 0."""
    number = cpu & 0xFFFF_FFFF
    if number >= load64(this + CPUS):
        return 0
    kind = load64(this + TYPE)
    if kind == PERCPU_ARRAY:
        return percpu_array_lookup_on(this, key, number)
    if _PERCPU_HASHES >> kind & 1:
        return percpu_hash_lookup_on(this, key, number)
    return 0


@native
def map_for_each_elem(run: int, this: int, callback: int, context: int, flags: int) -> int:
    """Call *callback* on each element until it says 1; returns how many it saw."""
    if flags != 0:
        return MINUS_EINVAL
    kind = load64(this + TYPE)
    if _PLAIN_HASHES >> kind & 1:
        return hash_for_each(run, this, callback, context, 0)
    if _PERCPU_HASHES >> kind & 1:
        return hash_for_each(run, this, callback, context, 1)
    if _ARRAYS >> kind & 1:
        return array_for_each(run, this, callback, context, kind == PERCPU_ARRAY)
    return MINUS_EOPNOTSUPP


@native
def map_push_elem(run: int, this: int, value: int, flags: int) -> int:  # noqa: ARG001
    """Add a value to a queue, stack or bloom filter."""
    kind = load64(this + TYPE)
    if _QUEUES >> kind & 1:
        return queue_push(this, value, flags)
    if kind == BLOOM_FILTER:
        return bloom_push(this, value, flags)
    return MINUS_EOPNOTSUPP


@native
def map_pop_elem(run: int, this: int, value: int) -> int:  # noqa: ARG001
    """Remove the oldest value of a queue or the newest of a stack."""
    if _QUEUES >> load64(this + TYPE) & 1:
        return queue_take(this, value, 1)
    return MINUS_EOPNOTSUPP


@native
def map_peek_elem(run: int, this: int, value: int) -> int:  # noqa: ARG001
    """Read what pop would remove; ask a bloom filter for a value."""
    kind = load64(this + TYPE)
    if _QUEUES >> kind & 1:
        return queue_take(this, value, 0)
    if kind == BLOOM_FILTER:
        return bloom_peek(this, value)
    return MINUS_EOPNOTSUPP
