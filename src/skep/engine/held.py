"""What a metered run holds: noted while it runs, so that it can be let go if the run is stopped.

A program gives back whatever it takes; one that is stopped cannot. So programs of metered engines
note what they take in a table of their run block (HELD), and take it out when they give it back.
Whoever stopped the run lets go what is left in the table, the last first. Other programs note
nothing, and a run without a table may be stopped too: what it held is lost.

``{count, (kind, value)*}``, all of 8 bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skep.base.native import load32, load64, native, store64
from skep.maps.ring_code import DISCARD, ring_commit
from skep.maps.value import unlock
from skep.runtime.heap import LIST_OWNER, OFFSET_SHIFT, TREE_OWNER, drop, is_object
from skep.runtime.invocation import HELD, HELD_SIZE
from skep.runtime.kernel_objects import HEAP_SIZE
from skep.uapi import kfuncs
from skep.uapi.helpers import by_name

LOCK: Final = 1  # what the value is: address of the lock,
RECORD: Final = 2  # of a reserved record,
DYNPTR: Final = 3  # of a dynptr to one,
OBJECT: Final = 4  # of an allocated object,
LIST_NODE: Final = 5  # of its node in a list,
TREE_NODE: Final = 6  # or in a tree,
BITS: Final = 7  # of an iterator over bits
_MOST: Final = HELD_SIZE // 16 - 1
_WORD: Final = 64
_COUNT: Final = 8


@dataclass(frozen=True, slots=True)
class Effect:
    """What a call takes or gives back.

    Args:
        kind: of the value, one of the above.
        register: that holds it; r0 after the call.
        only_if_zero: it is taken only if the call answers 0.
    """

    kind: int
    register: int = 0
    only_if_zero: bool = False


@dataclass(frozen=True, slots=True)
class Effects:
    """What a call gives back before it begins, and what it has taken when it returns."""

    gives: tuple[Effect, ...] = ()
    takes: tuple[Effect, ...] = ()


NOTHING: Final = Effects()
_HELPERS: Final[Mapping[str, Effects]] = {
    "spin_lock": Effects(takes=(Effect(LOCK, 1),)),
    "spin_unlock": Effects(gives=(Effect(LOCK, 1),)),
    "ringbuf_reserve": Effects(takes=(Effect(RECORD),)),
    "ringbuf_submit": Effects(gives=(Effect(RECORD, 1),)),
    "ringbuf_discard": Effects(gives=(Effect(RECORD, 1),)),
    "ringbuf_reserve_dynptr": Effects(takes=(Effect(DYNPTR, 4),)),
    "ringbuf_submit_dynptr": Effects(gives=(Effect(DYNPTR, 1),)),
    "ringbuf_discard_dynptr": Effects(gives=(Effect(DYNPTR, 1),)),
    "kptr_xchg": Effects(gives=(Effect(OBJECT, 2),), takes=(Effect(OBJECT),)),
}
_KFUNCS: Final[Mapping[str, Effects]] = {
    "bpf_res_spin_lock": Effects(takes=(Effect(LOCK, 1, only_if_zero=True),)),
    "bpf_res_spin_lock_irqsave": Effects(takes=(Effect(LOCK, 1, only_if_zero=True),)),
    "bpf_res_spin_unlock": Effects(gives=(Effect(LOCK, 1),)),
    "bpf_res_spin_unlock_irqrestore": Effects(gives=(Effect(LOCK, 1),)),
    "bpf_list_push_front_impl": Effects(gives=(Effect(LIST_NODE, 2),)),
    "bpf_list_push_back_impl": Effects(gives=(Effect(LIST_NODE, 2),)),
    "bpf_rbtree_add_impl": Effects(gives=(Effect(TREE_NODE, 2),)),
    "bpf_list_pop_front": Effects(takes=(Effect(LIST_NODE),)),
    "bpf_list_pop_back": Effects(takes=(Effect(LIST_NODE),)),
    "bpf_rbtree_remove": Effects(takes=(Effect(TREE_NODE),)),
    "bpf_iter_bits_new": Effects(takes=(Effect(BITS, 1, only_if_zero=True),)),
    "bpf_iter_bits_destroy": Effects(gives=(Effect(BITS, 1),)),
}
BY_HELPER: Final[Mapping[int, Effects]] = {
    row.id: effects for name, effects in _HELPERS.items() if (row := by_name(name)) is not None
}


def of_helper(helper: int) -> Effects:
    """What a call of the helper takes and gives back."""
    return BY_HELPER.get(helper, NOTHING)


def of_kfunc(name: str) -> Effects:
    """What a call of the kernel function takes and gives back."""
    known = _KFUNCS.get(name)
    row = kfuncs.by_name(name)
    if known is not None or row is None:
        return known or NOTHING
    return Effects(
        (Effect(OBJECT, 1),) if row.flags & kfuncs.RELEASE else (),
        (Effect(OBJECT),) if row.flags & kfuncs.ACQUIRE else (),
    )


def heap_in(objects: tuple[int, int]) -> int:
    """Address of the heap at the end of a region of kernel objects; 0 if there is no region."""
    start, size = objects
    return start + size - HEAP_SIZE if size else 0


@native
def held_value(kind: int, value: int) -> int:
    """What stands for *value* in the table; 0 if there is nothing to hold."""
    if value == 0:
        return 0
    if kind == DYNPTR:
        return load64(value)
    if kind == LIST_NODE:
        return value - (load64(value + LIST_OWNER) >> OFFSET_SHIFT)
    if kind == TREE_NODE:
        return value - (load64(value + TREE_OWNER) >> OFFSET_SHIFT)
    if kind == BITS:
        return load64(value) if load32(value + _COUNT) > _WORD else 0
    return value


@native
def take(run: int, kind: int, value: int, answer: int) -> int:
    """Note that the run holds something, unless the call that took it gave an *answer*."""
    table = load64(run + HELD)
    value = held_value(kind, value)
    if table == 0 or value == 0 or (answer & 0xFFFF_FFFF) != 0:
        return 0
    count = load64(table)
    if count < _MOST:
        store64(table + 16 + 16 * count, kind)
        store64(table + 24 + 16 * count, value)
        store64(table, count + 1)
    return 0


@native
def give(run: int, kind: int, value: int) -> int:
    """Forget what the run gives back; it is most likely what it took last."""
    table = load64(run + HELD)
    value = held_value(kind, value)
    if table == 0 or value == 0:
        return 0
    last = load64(table)
    place = last
    while place != 0:
        entry = table + 16 * place
        if load64(entry + 8) == value:
            store64(entry, load64(table + 16 * last))
            store64(entry + 8, load64(table + 16 * last + 8))
            store64(table, last - 1)
            return 0
        place -= 1
    return 0


@native
def let_go(run: int, heap: int) -> int:
    """Give back all that is left in the table of a run that was stopped."""
    table = load64(run + HELD)
    if table == 0:
        return 0
    count = load64(table)
    while count != 0:
        kind = load64(table + 16 * count)
        value = load64(table + 16 * count + 8)
        count -= 1
        store64(table, count)
        if kind == LOCK:
            unlock(value)
        elif kind < OBJECT:
            ring_commit(value, 0, DISCARD)
        elif heap != 0 and is_object(heap, value):
            drop(value)
    return 0
