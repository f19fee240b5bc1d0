"""Least recently used: updates of LRU hash maps in native code.

A clock over the elements: look-ups of programs mark an element; a full map gives up the first
unmarked one that the hand meets, and marks are cleared as the hand passes. Linux keeps active and
inactive lists instead, with the same aim and, like here, only approximate order. The host's
look-ups leave no mark. Source: Linux kernel/bpf/bpf_lru_list.c, Documentation/bpf/map_hash.rst.
"""

from skep.base.native import atomic_add64, fill, load32, load64, native, relax, store32
from skep.maps.answer import MINUS_EINVAL
from skep.maps.hash_code import clear_copies, flags_answer, replace_element, settle, write_copies
from skep.maps.hash_table import (
    BUCKET_LOCK,
    BUCKET_SIZE,
    BUCKETS,
    ESIZE,
    HAND,
    HASH,
    MARK,
    MASK,
    POOL,
    SEED,
    SPAN,
    VALUE_AT,
    find,
    give_back,
    hash_key,
    link,
    put,
    reserve,
    take_spare,
    unlink,
    used_elements,
)
from skep.maps.interface import KEY_SIZE, STRIDE
from skep.maps.value import EXIST, copy_value, disown, lock, unlock
from skep.runtime.invocation import CPU


@native
def detach(this: int, element: int) -> int:
    """Take *element* out of its chain if it is in one; 1 if this call did it."""
    bucket = load64(this + BUCKETS) + (load32(element + HASH) & load64(this + MASK)) * BUCKET_SIZE
    lock(bucket + BUCKET_LOCK)
    done = unlink(bucket, element)
    unlock(bucket + BUCKET_LOCK)
    return done


@native
def evict(this: int) -> int:
    """An element that was in use until now; no bucket is locked."""
    passed = 0
    found = 0
    while found == 0:
        used = used_elements(this)
        if passed > 8 * used:  # others hold what there is: let them finish
            relax()
        if used != 0:
            number = atomic_add64(this + HAND, 1) % used + 1
            element = load64(this + POOL) + number * load64(this + ESIZE)
            if load32(element + MARK) != 0 and passed < 4 * used:
                store32(element + MARK, 0)
            elif detach(this, element) != 0:
                found = element
        passed += 1
    return found


@native
def obtain(this: int) -> int:
    """An element for a new key: a free one, or the least recently used."""
    if reserve(this) != 0:
        return take_spare(this)
    return evict(this)


@native
def fill_element(this: int, element: int, value: int, cpu: int, cpus: int) -> int:
    """Write the value of a new element: plain, one CPU's copy, or all *cpus* copies."""
    place = element + load64(this + VALUE_AT)
    if load64(this + SPAN) == 0:
        disown(this, place)
        fill(place, 0, load64(this + STRIDE))
        return copy_value(this, place, value)
    clear_copies(this, load64(place))
    return write_copies(this, load64(place), value, cpu, cpus)


@native
def overwrite(  # noqa: PLR0917 - one call, all in registers
    this: int, bucket: int, hashed: int, old: int, key: int, value: int, cpu: int, cpus: int
) -> int:
    """Update an element that is there; the bucket is locked."""
    if load64(this + SPAN) == 0:
        return replace_element(this, bucket, hashed, old, key, value)
    store32(old + MARK, 1)
    return write_copies(this, load64(old + load64(this + VALUE_AT)), value, cpu, cpus)


@native
def lru_insert(  # noqa: PLR0917 - one call, all in registers
    this: int, bucket: int, hashed: int, key: int, value: int, flags: int, cpu: int, cpus: int
) -> int:
    """Add an element whose key was absent a moment ago; no bucket is locked."""
    fresh = obtain(this)
    settle(this, fresh, hashed, key)
    fill_element(this, fresh, value, cpu, cpus)
    index = hashed & load64(this + MASK)
    lock(bucket + BUCKET_LOCK)
    old = find(bucket, index, hashed, key, load64(this + KEY_SIZE))
    answer = flags_answer(old, flags)
    if answer == 0 and old == 0:
        link(bucket, index, fresh)
    elif answer == 0:
        overwrite(this, bucket, hashed, old, key, value, cpu, cpus)
        answer = 1  # the new element is not needed
    unlock(bucket + BUCKET_LOCK)
    if answer != 0:
        put(this, fresh)
        give_back(this)
    return answer if answer != 1 else 0


@native
def lru_update_on(this: int, key: int, value: int, flags: int, cpu: int, cpus: int) -> int:
    """Create or replace an element, giving another one up if the map is full."""
    if flags > EXIST:
        return MINUS_EINVAL
    hashed = hash_key(key, load64(this + KEY_SIZE), load64(this + SEED))
    index = hashed & load64(this + MASK)
    bucket = load64(this + BUCKETS) + index * BUCKET_SIZE
    lock(bucket + BUCKET_LOCK)
    old = find(bucket, index, hashed, key, load64(this + KEY_SIZE))
    answer = flags_answer(old, flags)
    if answer == 0 and old != 0:
        overwrite(this, bucket, hashed, old, key, value, cpu, cpus)
    unlock(bucket + BUCKET_LOCK)
    if answer != 0 or old != 0:
        return answer
    return lru_insert(this, bucket, hashed, key, value, flags, cpu, cpus)


@native
def lru_hash_update(this: int, key: int, value: int, flags: int) -> int:
    """lru_update_on for plain values."""
    return lru_update_on(this, key, value, flags, 0, 0)


@native
def lru_percpu_hash_update(run: int, this: int, key: int, value: int, flags: int) -> int:
    """lru_update_on for this CPU's copy."""
    return lru_update_on(this, key, value, flags, load64(run + CPU), 0)
