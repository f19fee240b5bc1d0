"""The hash table that hash maps are made of, in native code: buckets, chains, elements, free list.

Elements never move and their memory is never given back, so a look-up takes no lock and its
result stays readable whatever others do. An element that is deleted may be used again at once,
for another key, as in Linux.

::

    bucket, 16 bytes      0 HEAD first element; 0 or END if empty     8 LOCK, 4 bytes
    element, ESIZE bytes  0 NEXT element or END    8 HASH    12 MARK: used since the clock passed
                          16 KEY     VALUE_AT: value, or address of CPU 0's copy, or inner map

END is ``bucket index << 1 | 1``: a reader that was led into another chain by a reused element
sees it at the end and starts again (Linux: hlist_nulls).

Descriptor words: see the constants. What all threads write stands on a cache line of its own.
A free element's HASH holds the number of the next free one; elements count from 1.
"""

from typing import Final

from skep.base.native import (
    atomic_add64,
    cmpxchg64,
    load8,
    load16,
    load32,
    load64,
    load_acquire64,
    native,
    prefetch,
    relax,
    same,
    store32,
    store64,
    store_release64,
    wrap,
)
from skep.maps.interface import CPUS, DISOWN, FAMILY, KEY_SIZE, MAX_ENTRIES, STRIDE
from skep.maps.value import disown, lesser

BUCKETS: Final = FAMILY
MASK: Final = FAMILY + 8
SEED: Final = FAMILY + 16
POOL: Final = FAMILY + 24  # where element 0 would stand
ESIZE: Final = FAMILY + 32
VALUE_AT: Final = FAMILY + 40
POOL_COUNT: Final = FAMILY + 48
COPIES: Final = FAMILY + 56  # per-CPU: where CPU 0's copy of element 0 would stand
SPAN: Final = FAMILY + 64  # per-CPU: from one CPU's copies to the next CPU's
FREE: Final = FAMILY + 128  # changes << 32 | number of the first free element
FRESH: Final = FAMILY + 136  # number of the first element never used
COUNT: Final = FAMILY + 144
HAND: Final = FAMILY + 152  # the clock of LRU maps

BUCKET_SIZE: Final = 16
BUCKET_LOCK: Final = 8
NEXT: Final = 0
HASH: Final = 8
MARK: Final = 12
KEY: Final = 16

_LOW: Final = 0xFFFF_FFFF
_MIX_1: Final = 0x9E37_79B9_7F4A_7C15
_MIX_2: Final = 0xD6E8_FEB8_6659_FD93


@native
def mix(x: int) -> int:
    """Spread 64 bits over 32."""
    x = wrap(x * _MIX_1)
    x ^= x >> 32
    return wrap(x * _MIX_2) >> 32


@native
def hash_bytes(key: int, size: int, seed: int) -> int:
    """32-bit hash of any number of bytes."""
    x = seed ^ size
    while size >= 8:
        x = wrap((x ^ load64(key)) * _MIX_1)
        x ^= x >> 32
        key += 8
        size -= 8
    if size >= 4:
        x = wrap((x ^ load32(key)) * _MIX_1)
        x ^= x >> 32
        key += 4
        size -= 4
    if size >= 2:
        x = wrap((x ^ load16(key)) * _MIX_1)
        x ^= x >> 32
        key += 2
        size -= 2
    if size != 0:
        x ^= load8(key)
    return mix(x)


@native
def hash_key(key: int, size: int, seed: int) -> int:
    """32-bit hash of a key; sizes 8 and 4 are the fast ones."""
    if size == 8:
        return mix(load64(key) ^ seed)
    if size == 4:
        return mix(load32(key) ^ seed)
    return hash_bytes(key, size, seed)


@native
def has_key(element: int, key: int, size: int) -> int:
    """Whether *element* holds *key*."""
    if size == 8:
        return load64(element + KEY) == load64(key)
    if size == 4:
        return load32(element + KEY) == load32(key)
    return same(element + KEY, key, size)


@native
def find(bucket: int, index: int, hashed: int, key: int, size: int) -> int:
    """The element with *key* in the bucket at *bucket*, which is number *index*; 0 if none."""
    end = index << 1 | 1
    last = 0
    while last != end:
        element = load_acquire64(bucket)
        if element == 0:
            return 0
        while (element & 1) == 0:
            if load32(element + HASH) == hashed and has_key(element, key, size):
                return element
            element = load_acquire64(element + NEXT)
        last = element
    return 0


@native
def find_in(this: int, key: int) -> int:
    """The element with *key*, or 0."""
    size = load64(this + KEY_SIZE)
    hashed = hash_key(key, size, load64(this + SEED))
    index = hashed & load64(this + MASK)
    return find(load64(this + BUCKETS) + index * BUCKET_SIZE, index, hashed, key, size)


@native
def expect_key(this: int, key: int) -> int:
    """Ask for the bucket of *key*, which is wanted soon."""
    hashed = hash_key(key, load64(this + KEY_SIZE), load64(this + SEED))
    prefetch(load64(this + BUCKETS) + (hashed & load64(this + MASK)) * BUCKET_SIZE)
    return 0


@native
def expect_element(this: int, key: int) -> int:
    """Ask for the first element in the bucket of *key*, which was asked for before."""
    hashed = hash_key(key, load64(this + KEY_SIZE), load64(this + SEED))
    prefetch(load64(load64(this + BUCKETS) + (hashed & load64(this + MASK)) * BUCKET_SIZE))
    return 0


@native
def link(bucket: int, index: int, element: int) -> int:
    """Put *element* at the head of its chain; the bucket is locked."""
    first = load64(bucket)
    store64(element + NEXT, first if first != 0 else index << 1 | 1)
    store_release64(bucket, element)
    return 0


@native
def unlink(bucket: int, element: int) -> int:
    """Take *element* out of its chain, 1 if it was there; the bucket is locked."""
    place = bucket
    current = load64(place)
    while current != 0 and (current & 1) == 0:
        if current == element:
            store_release64(place, load64(element + NEXT))
            return 1
        place = current + NEXT
        current = load64(place)
    return 0


@native
def reserve(this: int) -> int:
    """Count one element more, 1 if the map has room for it."""
    limit = load64(this + MAX_ENTRIES)
    count = load64(this + COUNT)
    while count < limit:
        seen = cmpxchg64(this + COUNT, count, count + 1)
        if seen == count:
            return 1
        count = seen
    return 0


@native
def give_back(this: int) -> int:
    """Count one element less."""
    atomic_add64(this + COUNT, 0xFFFF_FFFF_FFFF_FFFF)
    return 0


@native
def take(this: int) -> int:
    """An element off the free list, or one never used; 0 if there is none at the moment."""
    word = load_acquire64(this + FREE)
    while (word & _LOW) != 0:
        element = load64(this + POOL) + (word & _LOW) * load64(this + ESIZE)
        following = ((((word >> 32) + 1) & _LOW) << 32) | load32(element + HASH)
        seen = cmpxchg64(this + FREE, word, following)
        if seen == word:
            return element
        word = seen
    if load64(this + FRESH) > load64(this + POOL_COUNT):
        return 0
    number = atomic_add64(this + FRESH, 1)
    if number > load64(this + POOL_COUNT):
        return 0
    element = load64(this + POOL) + number * load64(this + ESIZE)
    if load64(this + SPAN) != 0:
        copies = load64(this + COPIES) + number * load64(this + STRIDE)
        store64(element + load64(this + VALUE_AT), copies)
    return element


@native
def used_elements(this: int) -> int:
    """How many elements, from number 1 on, were ever taken."""
    return lesser(load64(this + FRESH) - 1, load64(this + POOL_COUNT))


@native
def take_spare(this: int) -> int:
    """An element, surely: there are more than count, and whoever holds one returns it soon."""
    element = take(this)
    while element == 0:
        relax()
        element = take(this)
    return element


@native
def empty(this: int, element: int) -> int:
    """Let go what the value, or each copy of it, of *element* owns."""
    if load64(this + DISOWN) == 0:
        return 0
    value = element + load64(this + VALUE_AT)
    if load64(this + SPAN) == 0:
        return disown(this, value)
    for cpu in range(load64(this + CPUS)):
        disown(this, load64(value) + cpu * load64(this + SPAN))
    return 0


@native
def put(this: int, element: int) -> int:
    """Put *element*, which is in no chain, on the free list."""
    empty(this, element)
    number = (element - load64(this + POOL)) // load64(this + ESIZE)
    word = load64(this + FREE)
    store32(element + HASH, word & _LOW)
    seen = cmpxchg64(this + FREE, word, ((((word >> 32) + 1) & _LOW) << 32) | number)
    while seen != word:
        word = seen
        store32(element + HASH, word & _LOW)
        seen = cmpxchg64(this + FREE, word, ((((word >> 32) + 1) & _LOW) << 32) | number)
    return 0
