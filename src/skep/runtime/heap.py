"""The heap: objects that programs allocate, in the region of kernel objects.

Programs hold plain addresses; what the heap must know of an object stands before it::

    -16 LINK  next in the list of free, waiting or dying objects
    -8  TYPE  address of the description of its type

A description is read-only: 8-byte words, and a row of three for each field that owns something::

    0 HEAP   8 SIZE   16 REFCOUNT  1 + offset of the bpf_refcount; 0: none   24 NODES   32 STRIDE
    40 …     (kind, offset, unused)*, ended by a kind of 0

NODES is the address of a row of ``offset + 1`` for each list and tree node, ended by 0. A node's
last word is its owner: the address of its list or tree, and above ``OFFSET_SHIFT`` where in its
object the node stands; so a node leads to its object.

What is dropped waits until the runs that may still see it have ended (``World.give``). Loads of
programs are guarded by the region, so the memory is never given back to the system.

Source: Linux 6.18 kernel/bpf/helpers.c (bpf_obj_free_fields, __bpf_obj_drop_impl), memalloc.c.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from skep.base.memory import Block
from skep.base.native import (
    NativeFunction,
    atomic_add32,
    atomic_xchg64,
    cmpxchg32,
    fill,
    load64,
    native,
    relax,
    store32,
    store64,
    store_release32,
)

LINK: Final = 16  # before the object
TYPE: Final = 8

HEAP: Final = 0
SIZE: Final = 8
REFCOUNT: Final = 16
NODES: Final = 24
STRIDE: Final = 32
FIELDS: Final = 40
ROW: Final = 24

KPTR: Final = 1
LIST: Final = 2
TREE: Final = 3
DEFERRED: Final = 4

LET_GO: Final = 1  # what the block of something deferred holds then
LARGEST: Final = 4088
OFFSET_SHIFT: Final = 48
OWNER_MASK: Final = (1 << OFFSET_SHIFT) - 1
LIST_OWNER: Final = 16
TREE_RIGHT: Final = 8
TREE_LEFT: Final = 16
TREE_OWNER: Final = 24

CPUS: Final = 40  # words of the heap
REGION: Final = 48
END: Final = 16
_LOCK: Final = 0
_NEXT: Final = 8
_LIVE: Final = 24
_WAITING: Final = 32
_FREE: Final = 64
_HEAD_SIZE: Final = 4096
_GRAIN_SHIFT: Final = 6
_MINUS_ONE: Final = 0xFFFF_FFFF


@native
def take_lock(heap: int) -> int:
    """Be alone with the heap."""
    while cmpxchg32(heap + _LOCK, 0, 1) != 0:
        relax()
    return 0


@native
def grains(size: int) -> int:
    """How many grains of 64 bytes an object of *size* bytes needs."""
    return (size + LINK + (1 << _GRAIN_SHIFT) - 1) >> _GRAIN_SHIFT


@native
def allocate(kind: int) -> int:
    """A new object of the described type; 0 if it is too large, or there is no more room."""
    heap = load64(kind + HEAP)
    size = load64(kind + SIZE)
    if size > LARGEST:
        return 0
    count = grains(size)
    place = heap + _FREE + 8 * count
    take_lock(heap)
    found = load64(place)
    if found != 0:
        store64(place, load64(found - LINK))
    elif load64(heap + _NEXT) + (count << _GRAIN_SHIFT) <= load64(heap + END):
        found = load64(heap + _NEXT) + LINK
        store64(heap + _NEXT, load64(heap + _NEXT) + (count << _GRAIN_SHIFT))
    if found != 0:
        store64(heap + _LIVE, load64(heap + _LIVE) + 1)
    store_release32(heap + _LOCK, 0)
    return initialise(found, kind) if found != 0 else 0


@native
def initialise(found: int, kind: int) -> int:
    """Make the bytes at *found* an object of the described type, with one reference."""
    fill(found, 0, load64(kind + SIZE))
    store64(found - TYPE, kind)
    if load64(kind + REFCOUNT) != 0:
        store32(found + load64(kind + REFCOUNT) - 1, 1)
    row = load64(kind + NODES)
    while row != 0 and load64(row) != 0:
        store64(found + load64(row) - 1, load64(row + 8) << OFFSET_SHIFT)
        row += 16
    return found


@native
def object_of(owner: int, node: int) -> int:
    """The object that has a *node*, whose owner stands at *owner*."""
    return node - (load64(owner) >> OFFSET_SHIFT)


@native
def is_last(found: int) -> int:
    """Give one reference to the object back; whether it was the last one."""
    count = load64(load64(found - TYPE) + REFCOUNT)
    return count == 0 or atomic_add32(found + count - 1, _MINUS_ONE) == 1


@native
def drop(found: int) -> int:
    """Give a reference back; with the last one the object goes, and what it owns."""
    return drop_all(dying(found, 0))


@native
def dying(found: int, others: int) -> int:
    """Give a reference back; the list *others*, before it the object if that was the last one."""
    if not is_last(found):
        return others
    store64(found - LINK, others)
    return found


@native
def drop_all(first: int) -> int:
    """Let a list of dying objects go, and what they own."""
    while first != 0:
        found = first
        kind = load64(found - TYPE)
        heap = load64(kind + HEAP)
        first = free_fields(found, kind, load64(found - LINK))
        take_lock(heap)
        store64(found - LINK, load64(heap + _WAITING))
        store64(heap + _WAITING, found)
        store64(heap + _LIVE, load64(heap + _LIVE) - 1)
        store_release32(heap + _LOCK, 0)
    return 0


@native
def free_value(value: int, kind: int) -> int:
    """Let all go that the fields of a map's value own; the fields are empty then."""
    return drop_all(free_fields(value, kind, 0))


@native
def free_fields(base: int, kind: int, others: int) -> int:
    """Empty the fields at *base*; the list *others*, before it what dies of that."""
    row = kind + FIELDS
    while load64(row) != 0:
        field = base + load64(row + 8)
        if load64(row) == KPTR:
            pointer = atomic_xchg64(field, 0)
            if is_object(load64(kind + HEAP), pointer):
                others = dying(pointer, others)
        elif load64(row) == LIST:
            others = free_list(field, others)
        elif load64(row) == DEFERRED:
            let_go(atomic_xchg64(field, 0))
        else:
            others = free_tree(field, others)
        row += ROW
    return others


@native
def let_go(later: int) -> int:
    """Let nothing run any more of what the block *later* stands for (skep.runtime.deferred)."""
    if later != 0:
        store64(later, LET_GO)
    return 0


@native
def is_object(heap: int, pointer: int) -> int:
    """Whether the heap has it; what a world shows as a kernel struct is not counted."""
    return pointer > heap and pointer < load64(heap + END)


@native
def free_list(head: int, others: int) -> int:
    """Empty a list; as free_fields."""
    node = load64(head)
    while node and node != head:
        after = load64(node)
        others = dying(leave(node, node + LIST_OWNER), others)
        node = after
    store64(head, 0)
    store64(head + 8, 0)
    return others


@native
def leave(node: int, owner: int) -> int:
    """Make *node* one that is in no collection; its object."""
    found = object_of(owner, node)
    fill(node, 0, owner - node)
    store64(owner, (node - found) << OFFSET_SHIFT)
    return found


@native
def free_tree(root: int, others: int) -> int:
    """Empty a tree, leaves first; as free_fields."""
    node = load64(root)
    while node != 0:
        left = load64(node + TREE_LEFT)
        right = load64(node + TREE_RIGHT)
        if left != 0:
            node = left
        elif right != 0:
            node = right
        else:
            parent = load64(node) >> 1 << 1
            if parent != 0:
                side = TREE_LEFT if load64(parent + TREE_LEFT) == node else TREE_RIGHT
                store64(parent + side, 0)
            others = dying(leave(node, node + TREE_OWNER), others)
            node = parent
    store64(root, 0)
    store64(root + 8, 0)
    return others


@native
def take_waiting(heap: int) -> int:
    """Take the list of what was dropped."""
    take_lock(heap)
    first = load64(heap + _WAITING)
    store64(heap + _WAITING, 0)
    store_release32(heap + _LOCK, 0)
    return first


@native
def give_back(heap: int, first: int) -> int:
    """Make the room of a list of objects free."""
    while first != 0:
        after = load64(first - LINK)
        place = heap + _FREE + 8 * grains(load64(load64(first - TYPE) + SIZE))
        take_lock(heap)
        store64(first - LINK, load64(place))
        store64(place, first)
        store_release32(heap + _LOCK, 0)
        first = after
    return 0


_FREE_VALUE: Final = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)


@dataclass(frozen=True, slots=True)
class Description:
    """What the heap knows of a type: *size* in bytes, and by offset what is special in it.

    Args:
        size: of an object, or of each CPU's copy of it.
        refcount: offset of the reference count, -1 if there is none.
        fields: kind and offset of each field that owns something.
        nodes: offset of each node, and of the owner in it.
        copies: 1, or one for each CPU.
    """

    size: int
    refcount: int = -1
    fields: tuple[tuple[int, int], ...] = ()
    nodes: tuple[tuple[int, int], ...] = ()
    copies: int = 1


class Heap:
    """A heap in the last *size* bytes of *block*, which are zero, in a world of *cpus*.

    Attributes:
        used: whether a program may allocate in it.
        bind: makes native functions callable, the way that programs run them.
        address_of: gives the machine address of a native function, 0 if it is not compiled.
    """

    def __init__(self, block: Block, size: int, cpus: int) -> None:
        self._block, self._size, self._cpus = block, size, cpus
        self.address, self.used = block.address + block.size - size, False
        self.bind: Callable[[NativeFunction], Callable[..., int]] = lambda function: function
        self.address_of: Callable[[NativeFunction], int] = lambda _: 0
        self._callback: Any = None
        self._described: dict[Description, int] = {}
        self._blocks: list[Block] = []

    def describe(self, description: Description) -> int:
        """Address of the description; the same one each time, as long as the heap lives."""
        found = self._described.get(description)
        if found is None:
            self._begin()
            found = self._described[description] = self._write(description)
        return found

    def _begin(self) -> None:
        if not self.used:
            self.used = True
            store64(self.address + _NEXT, self.address + _HEAD_SIZE)
            store64(self.address + END, self.address + self._size)
            store64(self.address + CPUS, self._cpus)
            store64(self.address + REGION, self._block.address)

    def _write(self, what: Description) -> int:
        stride = -(-what.size // 8) * 8
        size = what.size if what.copies == 1 else stride * what.copies
        words: list[int] = [self.address, size, what.refcount + 1, 0, stride]
        for kind, offset in what.fields:
            words += [kind, offset, 0]
        words += [0]
        nodes = len(words)
        for offset, owner in what.nodes:
            words += [offset + owner + 1, offset]
        words += [0]
        block = Block(8 * len(words), shared=False)
        self._blocks.append(block)
        words[NODES // 8] = block.address + 8 * nodes
        ctypes.memmove(block.address, (ctypes.c_uint64 * len(words))(*words), 8 * len(words))
        return block.address

    @property
    def free_value_address(self) -> int:
        """Machine address of ``free_value``."""
        found = self.address_of(free_value)
        if found:
            return found
        if self._callback is None:
            self._callback = _FREE_VALUE(free_value)
        return ctypes.cast(self._callback, ctypes.c_void_p).value or 0

    @property
    def live(self) -> int:
        """How many objects there are."""
        return load64(self.address + _LIVE)

    def detach(self) -> "Dropped | None":
        """What was dropped since; its room is free when the result goes. None if nothing was."""
        if not load64(self.address + _WAITING):
            return None
        return Dropped(self)


class Dropped:
    """Objects that were dropped, and that runs under way may still see."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap
        self._give_back = heap.bind(give_back)
        self._first = heap.bind(take_waiting)(heap.address)

    def __del__(self) -> None:
        self._give_back(self._heap.address, self._first)
