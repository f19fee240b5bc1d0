"""The host's walks over LPM tries, in native code: longer prefixes before those that cover them."""

from skep.base.native import copy, load16, load32, load64, native, store32
from skep.maps.answer import MINUS_ENOENT
from skep.maps.interface import VALUE_SIZE
from skep.maps.trie_code import is_entry, leads_on
from skep.maps.trie_nodes import (
    CHILD_0,
    CHILD_1,
    DATA,
    DATA_SIZE,
    JOINT,
    KEY_DATA,
    POOL,
    PREFIX,
    ROOT,
    TRIE_LOCK,
    VALUE_AT,
    at_place,
    bit_of,
    child_place,
    node_at,
    shared_prefix,
)
from skep.maps.value import lesser, lock, unlock


@native
def leftmost(this: int, place: int) -> int:
    """The entry that comes first at or below the node that *place* refers to."""
    pool = load64(this + POOL)
    node = node_at(pool, load32(place))
    found = 0
    while node != 0:
        left = load32(node + CHILD_0)
        if load16(node + JOINT) == 0:
            found = node
            left = left if left != 0 else load32(node + CHILD_1)
        node = node_at(pool, left)
    return found


@native
def beside(this: int, place: int, key: int, following: int) -> int:
    """What follows *key* where the way to it ends at the node of *place*, which is not above it."""
    node = at_place(this, place)
    agreed = shared_prefix(this, node, key)
    below = agreed == lesser(load16(node + PREFIX), load32(key))
    if not below and bit_of(key + KEY_DATA, agreed) == 0:
        return leftmost(this, place)
    return following


@native
def entry_after(this: int, key: int, absent: int) -> int:
    """The entry that follows *key* in postorder, 0 after the last.

    If no entry is *key*: the first of all with *absent* 0, else what would follow it.
    """
    place = this + ROOT
    node = at_place(this, place)
    following = 0
    while node != 0:
        if not leads_on(this, node, key):
            if is_entry(this, node, key):
                return following
            if absent:
                return beside(this, place, key, following)
            return leftmost(this, this + ROOT)
        place = child_place(node, key)
        if place == node + CHILD_0 and load32(node + CHILD_1) != 0:
            following = leftmost(this, node + CHILD_1)
        elif load16(node + JOINT) == 0:
            following = node
        node = at_place(this, place)
    return following if absent else leftmost(this, this + ROOT)


@native
def copy_key(this: int, node: int, target: int) -> int:
    """Copy the key of the entry *node* out."""
    store32(target, load16(node + PREFIX))
    copy(target + KEY_DATA, node + DATA, load64(this + DATA_SIZE))
    return 0


@native
def trie_next_key(this: int, key: int, target: int) -> int:
    """Copy the key that follows *key* (0, or not a key: the first) to *target*."""
    lock(this + TRIE_LOCK)
    if key == 0 or load32(key) > load64(this + DATA_SIZE) * 8:
        node = leftmost(this, this + ROOT)
    else:
        node = entry_after(this, key, 0)
    if node != 0:
        copy_key(this, node, target)
    unlock(this + TRIE_LOCK)
    return 0 if node != 0 else MINUS_ENOENT


@native
def trie_key_after(this: int, key: int, target: int, flags: int) -> int:  # noqa: ARG001
    """trie_next_key as the host's quick calls have it."""
    return trie_next_key(this, key, target)


@native
def trie_dump(this: int, key: int, keys: int, values: int, room: int) -> int:
    """Copy entries that follow *key* (0: from the first on), *room* at most; returns how many.

    They are as they are together at one moment. *values* 0: only the keys.
    """
    key_size = KEY_DATA + load64(this + DATA_SIZE)
    value_size = load64(this + VALUE_SIZE)
    lock(this + TRIE_LOCK)
    node = leftmost(this, this + ROOT) if key == 0 else entry_after(this, key, 1)
    seen = 0
    while node != 0 and seen < room:
        copy_key(this, node, keys + seen * key_size)
        if values != 0:
            copy(values + seen * value_size, node + load64(this + VALUE_AT), value_size)
        node = entry_after(this, keys + seen * key_size, 1)
        seen += 1
    unlock(this + TRIE_LOCK)
    return seen
