"""What only the host does to hash maps, in native code: consistent reads and walks by key."""

from skep.base.native import copy, fill, load64, load_acquire64, native
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
from skep.maps.interface import KEY_SIZE, STRIDE
from skep.maps.value import copy_value, lock, read_value, unlock


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
def hash_bucket_keys(this: int, index: int, target: int, room: int) -> int:
    """Copy the keys of bucket *index* to *target*; returns how many it has, stored or not."""
    size = load64(this + KEY_SIZE)
    bucket = load64(this + BUCKETS) + index * BUCKET_SIZE
    seen = 0
    if load_acquire64(bucket) == 0:
        return 0
    lock(bucket + BUCKET_LOCK)
    element = load64(bucket)
    while element != 0 and (element & 1) == 0:
        if seen < room:
            copy(target + seen * size, element + KEY, size)
        seen += 1
        element = load64(element + NEXT)
    unlock(bucket + BUCKET_LOCK)
    return seen


@native
def next_used_bucket(this: int, index: int) -> int:
    """Number of the first bucket from *index* on that may have elements, or the bucket count."""
    count = load64(this + MASK) + 1
    while index < count:
        element = load_acquire64(load64(this + BUCKETS) + index * BUCKET_SIZE)
        if element != 0 and (element & 1) == 0:
            return index
        index += 1
    return count
