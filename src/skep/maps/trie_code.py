"""The operations of LPM tries in native code.

A binary trie of prefixes; an intermediate node only joins two others. Writers hold one lock and
keep VERSION odd meanwhile; a reader takes no lock and starts again if VERSION moved. Nodes never
leave the pool, and a freed node is used again as late as possible.

::

    node    0 CHILD_0   8 CHILD_1   16 PREFIX, bits (4 bytes)   20 JOINT (4)   24 DATA   VALUE_AT
    key     0 PREFIX, bits (4 bytes)   4 data

Source: Linux kernel/bpf/lpm_trie.c.
"""

from typing import Final

from skep.base.native import (
    copy,
    leading_zeros64,
    load8,
    load32,
    load64,
    load_acquire64,
    native,
    relax,
    store32,
    store64,
    store_release64,
    swap32,
    swap64,
)
from skep.maps.answer import (
    MINUS_EEXIST,
    MINUS_EINVAL,
    MINUS_ENOENT,
    MINUS_ENOMEM,
    MINUS_ENOSPC,
)
from skep.maps.interface import FAMILY, MAX_ENTRIES, VALUE_SIZE
from skep.maps.value import EXIST, NOEXIST, lesser, lock, unlock

ROOT: Final = FAMILY
TRIE_LOCK: Final = FAMILY + 8
VERSION: Final = FAMILY + 16
COUNT: Final = FAMILY + 24
DATA_SIZE: Final = FAMILY + 32
VALUE_AT: Final = FAMILY + 40
POOL: Final = FAMILY + 48  # where node 0 would stand; nodes count from 1
NODE_SIZE: Final = FAMILY + 56
POOL_COUNT: Final = FAMILY + 64
FRESH: Final = FAMILY + 72
FREE_FIRST: Final = FAMILY + 80
FREE_LAST: Final = FAMILY + 88

CHILD_0: Final = 0
CHILD_1: Final = 8
PREFIX: Final = 16
JOINT: Final = 20
DATA: Final = 24
KEY_DATA: Final = 4


@native
def bit_of(data: int, number: int) -> int:
    """Bit *number* of the bytes at *data*, the highest of the first byte being 0."""
    return load8(data + (number >> 3)) >> (7 - (number & 7)) & 1


@native
def equal_bits(x: int, y: int, size: int) -> int:
    """How many leading bits of the *size* bytes at *x* and *y* agree."""
    done = 0
    while size - done >= 8:
        difference = load64(x + done) ^ load64(y + done)
        if difference != 0:
            return done * 8 + leading_zeros64(swap64(difference))
        done += 8
    if size - done >= 4:
        difference = load32(x + done) ^ load32(y + done)
        if difference != 0:
            return done * 8 + leading_zeros64(swap32(difference)) - 32
        done += 4
    while done < size:
        difference = load8(x + done) ^ load8(y + done)
        if difference != 0:
            return done * 8 + leading_zeros64(difference) - 56
        done += 1
    return done * 8


@native
def shared_prefix(this: int, node: int, key: int) -> int:
    """Length of the longest prefix of *node* that matches *key*."""
    agreed = equal_bits(node + DATA, key + KEY_DATA, load64(this + DATA_SIZE))
    return lesser(agreed, lesser(load32(node + PREFIX), load32(key)))


@native
def child_place(node: int, key: int) -> int:
    """Where *node* points to its child on the way to *key*."""
    return node + 8 * bit_of(key + KEY_DATA, load32(node + PREFIX))


@native
def longest_match(this: int, key: int) -> int:
    """The node of the longest prefix that covers *key*, or 0; right only if VERSION stood still."""
    most = load64(this + DATA_SIZE) * 8
    node = load_acquire64(this + ROOT)
    found = 0
    steps = 0
    while node != 0 and steps <= most:
        agreed = shared_prefix(this, node, key)
        if agreed == most:
            return node
        if agreed < load32(node + PREFIX):
            return found
        if load32(node + JOINT) == 0:
            found = node
        node = load_acquire64(child_place(node, key))
        steps += 1
    return found


@native
def trie_lookup(this: int, key: int) -> int:
    """Address of the value of the longest prefix that covers *key*, or 0."""
    if load32(key) > load64(this + DATA_SIZE) * 8:
        return 0
    node = 0
    done = 0
    while done == 0:
        version = load_acquire64(this + VERSION)
        if (version & 1) == 0:
            node = longest_match(this, key)
            done = load_acquire64(this + VERSION) == version
        if not done:
            relax()
    return node + load64(this + VALUE_AT) if node != 0 else 0


@native
def trie_read(this: int, key: int, target: int) -> int:
    """Copy the value of the longest prefix that covers *key* out for the host."""
    lock(this + TRIE_LOCK)
    value = trie_lookup(this, key)
    if value != 0:
        copy(target, value, load64(this + VALUE_SIZE))
    unlock(this + TRIE_LOCK)
    return 0 if value != 0 else MINUS_ENOENT


# --- writers: the lock is held ------------------------------------------------------------------


@native
def open_trie(this: int) -> int:
    """Begin to change the trie."""
    lock(this + TRIE_LOCK)
    store_release64(this + VERSION, load64(this + VERSION) + 1)
    return 0


@native
def close_trie(this: int) -> int:
    """End a change."""
    store_release64(this + VERSION, load64(this + VERSION) + 1)
    unlock(this + TRIE_LOCK)
    return 0


@native
def take_node(this: int) -> int:
    """A node never used, or the one that has been free longest; 0 if there is none."""
    number = load64(this + FRESH)
    if number <= load64(this + POOL_COUNT):
        store64(this + FRESH, number + 1)
        return load64(this + POOL) + number * load64(this + NODE_SIZE)
    node = load64(this + FREE_FIRST)
    if node != 0:
        following = load64(node + CHILD_0)
        store64(this + FREE_FIRST, following)
        if following == 0:
            store64(this + FREE_LAST, 0)
    return node


@native
def put_node(this: int, node: int) -> int:
    """Free *node*."""
    store64(node + CHILD_0, 0)
    store64(node + CHILD_1, 0)
    last = load64(this + FREE_LAST)
    if last == 0:
        store64(this + FREE_FIRST, node)
    else:
        store64(last + CHILD_0, node)
    store64(this + FREE_LAST, node)
    return 0


@native
def leads_on(this: int, node: int, key: int) -> int:
    """Whether the place of *key* is below *node*."""
    prefix = load32(node + PREFIX)
    return shared_prefix(this, node, key) == prefix and prefix != load32(key)


@native
def place_of(this: int, key: int) -> int:
    """Address of the pointer to the node that is *key*, or that must move for it, or is 0."""
    place = this + ROOT
    node = load64(place)
    while node != 0 and leads_on(this, node, key):
        place = child_place(node, key)
        node = load64(place)
    return place


@native
def room_answer(this: int, flags: int) -> int:
    """0, or why no entry can be added."""
    if flags == EXIST:
        return MINUS_ENOENT
    if load64(this + COUNT) >= load64(this + MAX_ENTRIES):
        return MINUS_ENOSPC
    return 0


@native
def insert_answer(this: int, node: int, exact: int, flags: int) -> int:
    """0, or why *flags* forbid an entry where *node* stands (*exact*: at its very prefix)."""
    if exact != 0 and load32(node + JOINT) == 0:
        return MINUS_EEXIST if flags == NOEXIST else 0
    return room_answer(this, flags)


@native
def join(this: int, fresh: int, node: int, key: int, agreed: int) -> int:
    """A new joint above *fresh* and *node*, which part after *agreed* bits; 0 without memory."""
    joint = take_node(this)
    if joint == 0:
        return 0
    store32(joint + PREFIX, agreed)
    store32(joint + JOINT, 1)
    copy(joint + DATA, node + DATA, load64(this + DATA_SIZE))
    bit = bit_of(key + KEY_DATA, agreed)
    store64(joint + 8 * bit, fresh)
    store64(joint + 8 * (1 - bit), node)
    return joint


@native
def insert_at(this: int, place: int, fresh: int, key: int, flags: int) -> int:
    """Put the filled node *fresh* where *place* says."""
    node = load64(place)
    agreed = shared_prefix(this, node, key) if node != 0 else 0
    exact = node != 0 and load32(node + PREFIX) == agreed
    answer = insert_answer(this, node, exact, flags)
    if answer != 0:
        return answer
    added = 1
    top = fresh
    if exact:
        added = load32(node + JOINT)
        store64(fresh + CHILD_0, load64(node + CHILD_0))
        store64(fresh + CHILD_1, load64(node + CHILD_1))
    elif node != 0 and agreed == load32(key):
        store64(fresh + 8 * bit_of(node + DATA, agreed), node)
    elif node != 0:
        top = join(this, fresh, node, key, agreed)
        if top == 0:
            return MINUS_ENOMEM
    store_release64(place, top)
    store64(this + COUNT, load64(this + COUNT) + added)
    if exact:
        put_node(this, node)
    return 0


@native
def trie_update(this: int, key: int, value: int, flags: int) -> int:
    """Add a prefix or replace its value."""
    if flags > EXIST or load32(key) > load64(this + DATA_SIZE) * 8:
        return MINUS_EINVAL
    open_trie(this)
    fresh = take_node(this)
    answer = MINUS_ENOMEM
    if fresh != 0:
        store64(fresh + CHILD_0, 0)
        store64(fresh + CHILD_1, 0)
        store32(fresh + PREFIX, load32(key))
        store32(fresh + JOINT, 0)
        copy(fresh + DATA, key + KEY_DATA, load64(this + DATA_SIZE))
        copy(fresh + load64(this + VALUE_AT), value, load64(this + VALUE_SIZE))
        answer = insert_at(this, place_of(this, key), fresh, key, flags)
        if answer != 0:
            put_node(this, fresh)
    close_trie(this)
    return answer


@native
def remove_node(this: int, parent_place: int, place: int) -> int:
    """Take out the entry at *place*, whose parent's pointer is at *parent_place* (0: none)."""
    node = load64(place)
    left = load64(node + CHILD_0)
    right = load64(node + CHILD_1)
    store64(this + COUNT, load64(this + COUNT) - 1)
    if left != 0 and right != 0:
        store32(node + JOINT, 1)
        return 0
    parent = load64(parent_place) if parent_place != 0 else 0
    if parent != 0 and load32(parent + JOINT) != 0 and left == 0 and right == 0:
        other = load64(parent + CHILD_0)
        if other == node:
            other = load64(parent + CHILD_1)
        store_release64(parent_place, other)
        put_node(this, parent)
    else:
        store_release64(place, left if left != 0 else right)
    put_node(this, node)
    return 0


@native
def trie_delete(this: int, key: int) -> int:
    """Remove a prefix."""
    if load32(key) > load64(this + DATA_SIZE) * 8:
        return MINUS_EINVAL
    open_trie(this)
    parent_place = 0
    place = this + ROOT
    node = load64(place)
    while node != 0 and leads_on(this, node, key):
        parent_place = place
        place = child_place(node, key)
        node = load64(place)
    found = is_entry(this, node, key)
    answer = remove_node(this, parent_place, place) if found else MINUS_ENOENT
    close_trie(this)
    return answer


@native
def is_entry(this: int, node: int, key: int) -> int:
    """Whether *node* (or 0) is the entry of exactly *key*."""
    if node == 0 or load32(node + JOINT) != 0:
        return 0
    prefix = load32(node + PREFIX)
    return prefix == load32(key) and shared_prefix(this, node, key) == prefix
