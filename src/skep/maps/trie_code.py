"""The operations of LPM tries in native code.

A binary trie of prefixes, see ``trie_nodes``. Writers hold one lock and keep VERSION odd meanwhile;
a reader takes no lock and starts again if VERSION moved.

Source: Linux kernel/bpf/lpm_trie.c.
"""

from typing import Final

from skep.base.native import (
    copy,
    load16,
    load32,
    load64,
    load_acquire32,
    load_acquire64,
    native,
    relax,
    store16,
    store32,
    store64,
    store_release32,
    store_release64,
    swap32,
)
from skep.maps.answer import (
    MINUS_EEXIST,
    MINUS_EINVAL,
    MINUS_ENOENT,
    MINUS_ENOMEM,
    MINUS_ENOSPC,
)
from skep.maps.interface import MAX_ENTRIES, VALUE_SIZE
from skep.maps.trie_nodes import (
    CHILD_0,
    CHILD_1,
    COUNT,
    DATA,
    DATA_SIZE,
    ENTRIES,
    JOINT,
    KEY_DATA,
    POOL,
    PREFIX,
    ROOT,
    TRIE_LOCK,
    VALUE_AT,
    VERSION,
    at_place,
    bit_of,
    child_place,
    make_joint,
    node_at,
    put_node,
    reference_of,
    shared_prefix,
    take_node,
)
from skep.maps.value import EXIST, NOEXIST, lock, unlock

_SHORT: Final = 4  # bytes of data that fit into a register


@native
def longest_match(this: int, key: int) -> int:
    """The node of the longest prefix that covers *key*, or 0; right only if VERSION stood still."""
    pool = load64(this + POOL)
    most = load64(this + DATA_SIZE) * 8
    node = node_at(pool, load_acquire32(this + ROOT))
    found = 0
    steps = 0
    while node != 0 and steps <= most:
        agreed = shared_prefix(this, node, key)
        if agreed == most:
            return node
        if agreed < load16(node + PREFIX):
            return found
        if load16(node + JOINT) == 0:
            found = node
        node = node_at(pool, load_acquire32(child_place(node, key)))
        steps += 1
    return found


@native
def longest_match_short(this: int, key: int) -> int:
    """The same for keys of 4 bytes, which stay in a register."""
    pool = load64(this + POOL)
    data = swap32(load32(key + KEY_DATA))
    length = load32(key)
    reference = load_acquire32(this + ROOT)
    found = 0
    steps = 0
    while reference != 0 and steps <= 32:
        node = pool + reference * 8
        prefix = load16(node + PREFIX)
        different = swap32(load32(node + DATA)) ^ data
        if prefix > length or (different << prefix) >> 32 != 0:
            return found
        if load16(node + JOINT) == 0:
            found = node
        if prefix >= length:
            return found
        reference = load_acquire32(node + (data >> (31 - prefix) & 1) * 4)
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
            if load64(this + DATA_SIZE) == _SHORT:
                node = longest_match_short(this, key)
            else:
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
def leads_on(this: int, node: int, key: int) -> int:
    """Whether the place of *key* is below *node*."""
    prefix = load16(node + PREFIX)
    return shared_prefix(this, node, key) == prefix and prefix != load32(key)


@native
def place_of(this: int, key: int) -> int:
    """Address of the reference to the node that is *key*, or that must move for it, or is 0."""
    place = this + ROOT
    node = at_place(this, place)
    while node != 0 and leads_on(this, node, key):
        place = child_place(node, key)
        node = at_place(this, place)
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
    if exact != 0 and load16(node + JOINT) == 0:
        return MINUS_EEXIST if flags == NOEXIST else 0
    return room_answer(this, flags)


@native
def join(this: int, fresh: int, node: int, key: int, agreed: int) -> int:
    """A new joint above *fresh* and *node*, which part after *agreed* bits; 0 without memory."""
    joint = make_joint(this, node, agreed)
    if joint == 0:
        return 0
    bit = bit_of(key + KEY_DATA, agreed)
    store32(joint + 4 * bit, reference_of(this, fresh))
    store32(joint + 4 * (1 - bit), reference_of(this, node))
    return joint


@native
def insert_at(this: int, place: int, fresh: int, key: int, flags: int) -> int:
    """Put the filled node *fresh* where *place* says."""
    node = at_place(this, place)
    agreed = shared_prefix(this, node, key) if node != 0 else 0
    exact = node != 0 and load16(node + PREFIX) == agreed
    answer = insert_answer(this, node, exact, flags)
    if answer != 0:
        return answer
    added = 1
    top = fresh
    if exact:
        added = load16(node + JOINT)
        store64(fresh + CHILD_0, load64(node + CHILD_0))
    elif node != 0 and agreed == load32(key):
        store32(fresh + 4 * bit_of(node + DATA, agreed), reference_of(this, node))
    elif node != 0:
        top = join(this, fresh, node, key, agreed)
        if top == 0:
            return MINUS_ENOMEM
    store_release32(place, reference_of(this, top))
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
    fresh = take_node(this, this + ENTRIES)
    answer = MINUS_ENOMEM
    if fresh != 0:
        store64(fresh + CHILD_0, 0)
        store16(fresh + PREFIX, load32(key))
        store16(fresh + JOINT, 0)
        copy(fresh + DATA, key + KEY_DATA, load64(this + DATA_SIZE))
        copy(fresh + load64(this + VALUE_AT), value, load64(this + VALUE_SIZE))
        answer = insert_at(this, place_of(this, key), fresh, key, flags)
        if answer != 0:
            put_node(this, fresh)
    close_trie(this)
    return answer


@native
def make_bare(this: int, place: int) -> int:
    """Let a joint stand for the entry at *place*, which has two children."""
    node = at_place(this, place)
    joint = make_joint(this, node, load16(node + PREFIX))
    if joint == 0:
        return MINUS_ENOMEM
    store64(joint + CHILD_0, load64(node + CHILD_0))
    store_release32(place, reference_of(this, joint))
    store64(this + COUNT, load64(this + COUNT) - 1)
    put_node(this, node)
    return 0


@native
def remove_node(this: int, parent_place: int, place: int) -> int:
    """Take out the entry at *place*, whose parent's reference is at *parent_place* (0: none)."""
    node = at_place(this, place)
    left = load32(node + CHILD_0)
    right = load32(node + CHILD_1)
    if left != 0 and right != 0:
        return make_bare(this, place)
    parent = at_place(this, parent_place) if parent_place != 0 else 0
    if parent != 0 and load16(parent + JOINT) != 0 and left == 0 and right == 0:
        own = reference_of(this, node)
        first = load32(parent + CHILD_0)
        store_release32(parent_place, load32(parent + CHILD_1) if first == own else first)
        put_node(this, parent)
    else:
        store_release32(place, left if left != 0 else right)
    store64(this + COUNT, load64(this + COUNT) - 1)
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
    node = at_place(this, place)
    while node != 0 and leads_on(this, node, key):
        parent_place = place
        place = child_place(node, key)
        node = at_place(this, place)
    found = is_entry(this, node, key)
    answer = remove_node(this, parent_place, place) if found else MINUS_ENOENT
    close_trie(this)
    return answer


@native
def is_entry(this: int, node: int, key: int) -> int:
    """Whether *node* (or 0) is the entry of exactly *key*."""
    if node == 0 or load16(node + JOINT) != 0:
        return 0
    prefix = load16(node + PREFIX)
    return prefix == load32(key) and shared_prefix(this, node, key) == prefix
