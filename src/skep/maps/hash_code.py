"""The operations of hash maps in native code: look-up, update, delete, walk; plain and per-CPU.

Writers lock the bucket; nobody else waits. An update of a plain map puts a new element in front
of the old one, so that a program that holds the old value keeps reading the old value; per-CPU
maps and maps of maps are written in place. Source: Linux kernel/bpf/hashtab.c.
"""

from typing import Final

from skep.base.native import (
    call,
    copy,
    fill,
    load32,
    load64,
    load_acquire64,
    native,
    store32,
    store_release64,
)
from skep.maps.answer import MINUS_E2BIG, MINUS_EEXIST, MINUS_EINVAL, MINUS_ENOENT
from skep.maps.hash_table import (
    BUCKET_LOCK,
    BUCKET_SIZE,
    BUCKETS,
    HASH,
    KEY,
    MARK,
    MASK,
    NEXT,
    SEED,
    SPAN,
    VALUE_AT,
    find,
    find_in,
    give_back,
    hash_key,
    link,
    put,
    reserve,
    take_spare,
    unlink,
)
from skep.maps.interface import CPUS, KEY_SIZE, LOCK, STRIDE
from skep.maps.value import (
    EXIST,
    F_LOCK,
    NOEXIST,
    copy_value,
    disown,
    lock,
    unlock,
    write_value,
)
from skep.runtime.invocation import CPU, FAULT

_NO_LOCK: Final = ~F_LOCK & 0xFFFF_FFFF_FFFF_FFFF


# --- look-ups; the *_at forms are for the compiler, with the map's constants --------------------


@native
def hash_at(  # noqa: PLR0917 - key, then the constants
    run: int,  # noqa: ARG001 - all inline look-ups get it
    key: int,
    buckets: int,
    mask: int,
    seed: int,
    size: int,
    value_at: int,
) -> int:
    """Address of the value, or 0."""
    hashed = hash_key(key, size, seed)
    index = hashed & mask
    element = find(buckets + index * BUCKET_SIZE, index, hashed, key, size)
    return element + value_at if element != 0 else 0


@native
def lru_hash_at(  # noqa: PLR0917 - key, then the constants
    run: int, key: int, buckets: int, mask: int, seed: int, size: int, value_at: int
) -> int:
    """As hash_at, and the element counts as used."""
    value = hash_at(run, key, buckets, mask, seed, size, value_at)
    if value != 0 and load32(value - value_at + MARK) == 0:
        store32(value - value_at + MARK, 1)
    return value


@native
def percpu_hash_at(  # noqa: PLR0917 - key, then the constants
    run: int, key: int, buckets: int, mask: int, seed: int, size: int, value_at: int, span: int
) -> int:
    """Address of this CPU's copy, or 0."""
    value = hash_at(run, key, buckets, mask, seed, size, value_at)
    return load64(value) + load64(run + CPU) * span if value != 0 else 0


@native
def lru_percpu_hash_at(  # noqa: PLR0917 - key, then the constants
    run: int, key: int, buckets: int, mask: int, seed: int, size: int, value_at: int, span: int
) -> int:
    """As percpu_hash_at, and the element counts as used."""
    value = lru_hash_at(run, key, buckets, mask, seed, size, value_at)
    return load64(value) + load64(run + CPU) * span if value != 0 else 0


@native
def inner_hash_at(  # noqa: PLR0917 - key, then the constants
    run: int, key: int, buckets: int, mask: int, seed: int, size: int, value_at: int
) -> int:
    """The inner map that stands at the key, or 0."""
    value = hash_at(run, key, buckets, mask, seed, size, value_at)
    return load_acquire64(value) if value != 0 else 0


@native
def hash_lookup(this: int, key: int) -> int:
    """Address of the value (of the word that leads to the copies, or to the inner map), or 0."""
    element = find_in(this, key)
    return element + load64(this + VALUE_AT) if element != 0 else 0


@native
def lru_hash_lookup(this: int, key: int) -> int:
    """As hash_lookup, and the element counts as used."""
    element = find_in(this, key)
    if element == 0:
        return 0
    if load32(element + MARK) == 0:
        store32(element + MARK, 1)
    return element + load64(this + VALUE_AT)


@native
def percpu_hash_lookup_on(this: int, key: int, cpu: int) -> int:
    """Address of the copy of *cpu*, or 0."""
    value = hash_lookup(this, key)
    return load64(value) + cpu * load64(this + SPAN) if value != 0 else 0


@native
def percpu_hash_lookup(run: int, this: int, key: int) -> int:
    """Address of this CPU's copy, or 0."""
    return percpu_hash_lookup_on(this, key, load64(run + CPU))


@native
def lru_percpu_hash_lookup(run: int, this: int, key: int) -> int:
    """As percpu_hash_lookup, and the element counts as used."""
    value = lru_hash_lookup(this, key)
    return load64(value) + load64(run + CPU) * load64(this + SPAN) if value != 0 else 0


@native
def inner_hash_lookup(this: int, key: int) -> int:
    """The inner map that stands at *key*, or 0."""
    value = hash_lookup(this, key)
    return load_acquire64(value) if value != 0 else 0


# --- updates ------------------------------------------------------------------------------------


@native
def flags_answer(old: int, flags: int) -> int:
    """0, or why *flags* forbid an update, given the element that is there (0: none)."""
    if old != 0 and (flags & _NO_LOCK) == NOEXIST:
        return MINUS_EEXIST
    if old == 0 and (flags & _NO_LOCK) == EXIST:
        return MINUS_ENOENT
    return 0


@native
def settle(this: int, element: int, hashed: int, key: int) -> int:
    """Give a taken element its key; returns where its value goes."""
    store32(element + HASH, hashed)
    store32(element + MARK, 0)
    copy(element + KEY, key, load64(this + KEY_SIZE))
    return element + load64(this + VALUE_AT)


@native
def replace_element(this: int, bucket: int, hashed: int, old: int, key: int, value: int) -> int:
    """Put a new element in front of *old* (0: none, room is reserved); the bucket is locked."""
    fresh = take_spare(this)
    target = settle(this, fresh, hashed, key)
    disown(this, target)  # a program may have put something into the element after it was freed
    fill(target, 0, load64(this + STRIDE))
    copy_value(this, target, value)
    if old != 0:
        store32(fresh + MARK, 1)
    link(bucket, hashed & load64(this + MASK), fresh)
    if old != 0:
        unlink(bucket, old)
        put(this, old)
    return 0


@native
def hash_update_locked(
    this: int, bucket: int, hashed: int, key: int, value: int, flags: int
) -> int:
    """hash_update with the bucket locked."""
    index = hashed & load64(this + MASK)
    old = find(bucket, index, hashed, key, load64(this + KEY_SIZE))
    answer = flags_answer(old, flags)
    if answer != 0:
        return answer
    if old != 0 and (flags & F_LOCK) != 0:
        write_value(this, old + load64(this + VALUE_AT), value, flags)
        return disown(this, old + load64(this + VALUE_AT))
    if old == 0 and reserve(this) == 0:
        return MINUS_E2BIG
    return replace_element(this, bucket, hashed, old, key, value)


@native
def hash_update(this: int, key: int, value: int, flags: int) -> int:
    """Create or replace an element of a plain hash map."""
    if (flags & _NO_LOCK) > EXIST:
        return MINUS_EINVAL
    if (flags & F_LOCK) != 0 and load64(this + LOCK) == 0:
        return MINUS_EINVAL
    hashed = hash_key(key, load64(this + KEY_SIZE), load64(this + SEED))
    bucket = load64(this + BUCKETS) + (hashed & load64(this + MASK)) * BUCKET_SIZE
    lock(bucket + BUCKET_LOCK)
    answer = hash_update_locked(this, bucket, hashed, key, value, flags)
    unlock(bucket + BUCKET_LOCK)
    return answer


@native
def write_copies(this: int, first: int, value: int, cpu: int, cpus: int) -> int:
    """Write CPU *cpu*'s copy; with *cpus* not 0 all, one behind the other at *value*."""
    span = load64(this + SPAN)
    if cpus == 0:
        copy_value(this, first + cpu * span, value)
        return disown(this, first + cpu * span)
    for number in range(cpus):
        copy_value(this, first + number * span, value + number * load64(this + STRIDE))
        disown(this, first + number * span)
    return 0


@native
def clear_copies(this: int, first: int) -> int:
    """Zero all copies of a new element."""
    for number in range(load64(this + CPUS)):
        disown(this, first + number * load64(this + SPAN))
        fill(first + number * load64(this + SPAN), 0, load64(this + STRIDE))
    return 0


@native
def percpu_hash_update_on(this: int, key: int, value: int, flags: int, cpu: int, cpus: int) -> int:
    """Create or overwrite copies: of *cpu*, or all if *cpus* is not 0."""
    if flags > EXIST:
        return MINUS_EINVAL
    hashed = hash_key(key, load64(this + KEY_SIZE), load64(this + SEED))
    index = hashed & load64(this + MASK)
    bucket = load64(this + BUCKETS) + index * BUCKET_SIZE
    lock(bucket + BUCKET_LOCK)
    old = find(bucket, index, hashed, key, load64(this + KEY_SIZE))
    answer = flags_answer(old, flags)
    if answer == 0:
        if old != 0:
            write_copies(this, load64(old + load64(this + VALUE_AT)), value, cpu, cpus)
        elif reserve(this) != 0:
            fresh = take_spare(this)
            first = load64(settle(this, fresh, hashed, key))
            clear_copies(this, first)
            write_copies(this, first, value, cpu, cpus)
            link(bucket, index, fresh)
        else:
            answer = MINUS_E2BIG
    unlock(bucket + BUCKET_LOCK)
    return answer


@native
def percpu_hash_update(run: int, this: int, key: int, value: int, flags: int) -> int:
    """Create or overwrite this CPU's copy; a new element's other copies are zero."""
    return percpu_hash_update_on(this, key, value, flags, load64(run + CPU), 0)


@native
def inner_hash_update(this: int, key: int, inner: int, flags: int, displaced: int) -> int:
    """Set the inner map at *key*; its predecessor's address goes to *displaced*."""
    if flags > EXIST:
        return MINUS_EINVAL
    hashed = hash_key(key, load64(this + KEY_SIZE), load64(this + SEED))
    index = hashed & load64(this + MASK)
    bucket = load64(this + BUCKETS) + index * BUCKET_SIZE
    lock(bucket + BUCKET_LOCK)
    old = find(bucket, index, hashed, key, load64(this + KEY_SIZE))
    answer = flags_answer(old, flags)
    if answer == 0:
        if old != 0:
            place = old + load64(this + VALUE_AT)
            store_release64(displaced, load64(place))
            store_release64(place, inner)
        elif reserve(this) != 0:
            fresh = take_spare(this)
            store_release64(settle(this, fresh, hashed, key), inner)
            link(bucket, index, fresh)
        else:
            answer = MINUS_E2BIG
    unlock(bucket + BUCKET_LOCK)
    return answer


@native
def hash_delete(this: int, key: int) -> int:
    """Remove an element."""
    hashed = hash_key(key, load64(this + KEY_SIZE), load64(this + SEED))
    index = hashed & load64(this + MASK)
    bucket = load64(this + BUCKETS) + index * BUCKET_SIZE
    lock(bucket + BUCKET_LOCK)
    old = find(bucket, index, hashed, key, load64(this + KEY_SIZE))
    if old != 0:
        unlink(bucket, old)
    unlock(bucket + BUCKET_LOCK)
    if old == 0:
        return MINUS_ENOENT
    put(this, old)
    give_back(this)
    return 0


# --- for every element --------------------------------------------------------------------------


@native
def hash_for_each(run: int, this: int, callback: int, context: int, percpu: int) -> int:
    """Call *callback* on each element until it says 1; returns how many it saw.

    No lock is held: the callback may update and delete, the element at hand too.
    """
    seen = 0
    bucket = load64(this + BUCKETS)
    for _index in range(load64(this + MASK) + 1):
        element = load_acquire64(bucket)
        bucket += BUCKET_SIZE
        while element != 0 and (element & 1) == 0:
            following = load_acquire64(element + NEXT)
            value = element + load64(this + VALUE_AT)
            if percpu != 0:
                value = load64(value) + load64(run + CPU) * load64(this + SPAN)
            seen += 1
            if call(callback, run, this, element + KEY, value, context, 0) != 0:
                return seen
            if load64(run + FAULT) != 0:
                return seen
            element = following
    return seen
