"""What only the host does to hash maps, in native code: consistent reads and walks by key."""

from typing import Final

from skep.base.native import copy, fill, load64, load_acquire64, native, prefetch, store64
from skep.maps.answer import MINUS_ENOENT
from skep.maps.hash_table import (
    BUCKET_LOCK,
    BUCKET_SIZE,
    BUCKETS,
    KEY,
    MASK,
    NEXT,
    SEED,
    SPAN,
    VALUE_AT,
    find,
    give_back,
    hash_key,
    put,
    unlink,
)
from skep.maps.interface import CPUS, KEY_SIZE, STRIDE, VALUE_SIZE
from skep.maps.value import copy_value, lock, read_value, unlock

_AHEAD: Final = 12  # buckets whose elements are asked for before their turn


@native
def copy_out(this: int, element: int, target: int, flags: int, cpus: int) -> int:
    """Give the host the value, or all *cpus* copies, of *element*."""
    value = element + load64(this + VALUE_AT)
    if cpus == 0:
        return read_value(this, target, value, flags)
    stride = load64(this + STRIDE)
    fill(target, 0, stride * cpus)
    first = load64(value)
    for cpu in range(cpus):
        copy_value(this, target + cpu * stride, first + cpu * load64(this + SPAN))
    return 0


@native
def hash_read(this: int, key: int, target: int, flags: int, cpus: int, remove: int) -> int:
    """Copy the element at *key* out, with its bucket locked; take it out if *remove*."""
    hashed = hash_key(key, load64(this + KEY_SIZE), load64(this + SEED))
    index = hashed & load64(this + MASK)
    bucket = load64(this + BUCKETS) + index * BUCKET_SIZE
    lock(bucket + BUCKET_LOCK)
    element = find(bucket, index, hashed, key, load64(this + KEY_SIZE))
    if element != 0:
        copy_out(this, element, target, flags, cpus)
        if remove != 0:
            unlink(bucket, element)
    unlock(bucket + BUCKET_LOCK)
    if element == 0:
        return MINUS_ENOENT
    if remove != 0:
        put(this, element)
        give_back(this)
    return 0


@native
def first_key_from(this: int, index: int, target: int) -> int:
    """Key of the first element in bucket *index* or behind it."""
    count = load64(this + MASK) + 1
    bucket = load64(this + BUCKETS) + index * BUCKET_SIZE
    while index < count:
        element = load_acquire64(bucket)
        if element != 0 and (element & 1) == 0:
            lock(bucket + BUCKET_LOCK)
            element = load64(bucket)
            if element != 0 and (element & 1) == 0:
                copy(target, element + KEY, load64(this + KEY_SIZE))
                unlock(bucket + BUCKET_LOCK)
                return 0
            unlock(bucket + BUCKET_LOCK)
        bucket += BUCKET_SIZE
        index += 1
    return MINUS_ENOENT


@native
def hash_next_key(this: int, key: int, target: int) -> int:
    """The key after *key* in bucket order; the first for an absent key, or none (0)."""
    if key == 0:
        return first_key_from(this, 0, target)
    hashed = hash_key(key, load64(this + KEY_SIZE), load64(this + SEED))
    index = hashed & load64(this + MASK)
    bucket = load64(this + BUCKETS) + index * BUCKET_SIZE
    lock(bucket + BUCKET_LOCK)
    element = find(bucket, index, hashed, key, load64(this + KEY_SIZE))
    following = load64(element + NEXT) if element != 0 else 1
    if (following & 1) == 0:
        copy(target, following + KEY, load64(this + KEY_SIZE))
    unlock(bucket + BUCKET_LOCK)
    if element == 0:
        return first_key_from(this, 0, target)
    if (following & 1) == 0:
        return 0
    return first_key_from(this, index + 1, target)


@native
def hash_key_after(this: int, key: int, target: int, flags: int) -> int:  # noqa: ARG001
    """hash_next_key as the host's quick calls have it."""
    return hash_next_key(this, key, target)


@native
def chain_length(bucket: int) -> int:
    """How many elements the bucket has, which is locked."""
    seen = 0
    element = load64(bucket)
    while element != 0 and (element & 1) == 0:
        seen += 1
        element = load64(element + NEXT)
    return seen


@native
def dump_bucket(  # noqa: PLR0917 - one call, all in registers
    this: int, bucket: int, keys: int, values: int, flags: int, cpus: int, size: int
) -> int:
    """Copy all elements of a bucket, which is locked; *values* 0: only the keys."""
    key_size = load64(this + KEY_SIZE)
    seen = 0
    element = load64(bucket)
    while element != 0 and (element & 1) == 0:
        copy(keys + seen * key_size, element + KEY, key_size)
        if values != 0:
            copy_out(this, element, values + seen * size, flags, cpus)
        seen += 1
        element = load64(element + NEXT)
    return seen


@native
def empty_bucket(this: int, bucket: int) -> int:
    """Remove all elements of a bucket, which is locked."""
    element = load64(bucket)
    while element != 0 and (element & 1) == 0:
        unlink(bucket, element)
        put(this, element)
        give_back(this)
        element = load64(bucket)
    return 0


@native
def hash_dump(  # noqa: PLR0917 - one call, all in registers
    this: int, position: int, keys: int, values: int, room: int, flags: int, remove: int
) -> int:
    """Copy elements, bucket by bucket, from the bucket whose number stands at *position* on.

    Returns how many were copied, *room* at most; the number of the first bucket that was not is
    stored at *position*, the bucket count after the last. A bucket is copied whole or not at all;
    with *remove* it is empty then. *values* 0: only the keys.
    """
    index = load64(position)
    count = load64(this + MASK) + 1
    cpus = load64(this + CPUS) if load64(this + SPAN) != 0 else 0
    size = load64(this + STRIDE) * cpus if cpus != 0 else load64(this + VALUE_SIZE)
    key_size = load64(this + KEY_SIZE)
    seen = 0
    full = 0
    while full == 0 and index < count:
        bucket = load64(this + BUCKETS) + index * BUCKET_SIZE
        if index + _AHEAD < count:
            prefetch(load64(bucket + _AHEAD * BUCKET_SIZE))
        first = load_acquire64(bucket)
        if first != 0 and (first & 1) == 0:
            lock(bucket + BUCKET_LOCK)
            full = seen + chain_length(bucket) > room
            if full == 0:
                place = values + seen * size if values != 0 else 0
                start = keys + seen * key_size
                seen += dump_bucket(this, bucket, start, place, flags, cpus, size)
                if remove != 0:
                    empty_bucket(this, bucket)
            unlock(bucket + BUCKET_LOCK)
        if full == 0:
            index += 1
    store64(position, index)
    return seen
