"""Nodes of LPM tries, in native code: what they are, where they come from.

A reference to a node is 32 bits, its distance from POOL in units of 8 bytes; 0 is none. Entries
and joints, which only join two nodes and have no value, come from a supply each, which has five
words: STEP, units of a node; FRESH, the node that comes next; END; FREE_FIRST and FREE_LAST, the
freed ones in a row by their CHILD_0. Nodes never leave their supply, and a freed node is used
again as late as possible.

::

    node    0 CHILD_0 (4 bytes)   4 CHILD_1 (4)   8 PREFIX, bits (2)   10 JOINT (2)   12 DATA
            VALUE_AT, in entries
    key     0 PREFIX, bits (4 bytes)   4 data

Source: Linux kernel/bpf/lpm_trie.c.
"""

from typing import Final

from skep.base.native import (
    copy,
    leading_zeros64,
    load8,
    load16,
    load32,
    load64,
    native,
    store16,
    store32,
    store64,
    swap32,
    swap64,
)
from skep.maps.interface import FAMILY
from skep.maps.value import lesser

ROOT: Final = FAMILY
TRIE_LOCK: Final = FAMILY + 8
VERSION: Final = FAMILY + 16
COUNT: Final = FAMILY + 24
DATA_SIZE: Final = FAMILY + 32
VALUE_AT: Final = FAMILY + 40
POOL: Final = FAMILY + 48
ENTRIES: Final = FAMILY + 56  # a supply
JOINTS: Final = FAMILY + 96  # a supply

STEP: Final = 0
FRESH: Final = 8
END: Final = 16
FREE_FIRST: Final = 24
FREE_LAST: Final = 32

CHILD_0: Final = 0
CHILD_1: Final = 4
PREFIX: Final = 8
JOINT: Final = 10
DATA: Final = 12
KEY_DATA: Final = 4


@native
def node_at(pool: int, reference: int) -> int:
    """Address of the node that *reference* means, 0 for none."""
    return pool + reference * 8 if reference != 0 else 0


@native
def reference_of(this: int, node: int) -> int:
    """What *node* (or 0) is stored as."""
    return (node - load64(this + POOL)) >> 3 if node != 0 else 0


@native
def at_place(this: int, place: int) -> int:
    """The node whose reference is at *place*, or 0."""
    return node_at(load64(this + POOL), load32(place))


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
    return lesser(agreed, lesser(load16(node + PREFIX), load32(key)))


@native
def child_place(node: int, key: int) -> int:
    """Where *node* refers to its child on the way to *key*."""
    return node + 4 * bit_of(key + KEY_DATA, load16(node + PREFIX))


@native
def take_node(this: int, supply: int) -> int:
    """A node never used, or the one that has been free longest; 0 if there is none."""
    pool = load64(this + POOL)
    fresh = load64(supply + FRESH)
    if fresh < load64(supply + END):
        store64(supply + FRESH, fresh + load64(supply + STEP))
        return node_at(pool, fresh)
    node = node_at(pool, load64(supply + FREE_FIRST))
    if node != 0:
        following = load32(node + CHILD_0)
        store64(supply + FREE_FIRST, following)
        if following == 0:
            store64(supply + FREE_LAST, 0)
    return node


@native
def put_node(this: int, node: int) -> int:
    """Free *node*."""
    supply = this + JOINTS if load16(node + JOINT) != 0 else this + ENTRIES
    reference = reference_of(this, node)
    store64(node + CHILD_0, 0)
    last = load64(supply + FREE_LAST)
    if last == 0:
        store64(supply + FREE_FIRST, reference)
    else:
        store32(node_at(load64(this + POOL), last) + CHILD_0, reference)
    store64(supply + FREE_LAST, reference)
    return 0


@native
def make_joint(this: int, node: int, prefix: int) -> int:
    """A new joint of the first *prefix* bits of *node*; 0 without memory."""
    joint = take_node(this, this + JOINTS)
    if joint != 0:
        store16(joint + PREFIX, prefix)
        store16(joint + JOINT, 1)
        copy(joint + DATA, node + DATA, load64(this + DATA_SIZE))
    return joint
