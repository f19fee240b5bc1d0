"""Kernel functions on objects that programs allocate, and on lists of them.

``struct bpf_list_head`` is ``{next, prev}``, all zero when nobody used it yet; ``struct
bpf_list_node`` is ``{next, prev, owner}``, see ``skep.runtime.heap`` for the owner. The verifier
has proved that the lock of a list is held.

Source: Linux 6.18 kernel/bpf/helpers.c.
"""

from typing import Final

from skep.base.native import cmpxchg32, cmpxchg64, load32, load64, native, store64
from skep.helpers.binding import Known
from skep.helpers.kfunc_binding import KfuncBinding
from skep.maps.answer import MINUS_EINVAL
from skep.runtime.heap import (
    LIST_OWNER,
    OWNER_MASK,
    REFCOUNT,
    TYPE,
    allocate,
    drop,
    leave,
    object_of,
)

PREV: Final = 8


@native
def obj_new(run: int, type_id: int, kind: int) -> int:  # noqa: ARG001 - a kernel function's signature
    """Allocate an object; 0 if there is no room."""
    return allocate(kind)


@native
def obj_drop(run: int, found: int) -> int:  # noqa: ARG001
    """Give a reference to an object back."""
    drop(found)
    return 0


@native
def refcount_acquire(run: int, found: int) -> int:  # noqa: ARG001
    """Take one more reference, unless the object is dying."""
    place = found + load64(load64(found - TYPE) + REFCOUNT) - 1
    count = load32(place)
    while count != 0:
        seen = cmpxchg32(place, count, count + 1)
        if seen == count:
            return found
        count = seen
    return 0


# --- lists --------------------------------------------------------------------------------------


@native
def join(node: int, place: int, head: int) -> int:
    """Make *head* the owner of *node*, whose owner stands at *place*; drop it if it has one."""
    free = load64(place) & ~OWNER_MASK
    if cmpxchg64(place, free, free | head) == free:
        return 0
    drop(object_of(place, node))
    return MINUS_EINVAL


@native
def insert(node: int, before: int, after: int) -> int:
    """Put *node* between two that follow each other."""
    store64(node, after)
    store64(node + PREV, before)
    store64(after + PREV, node)
    store64(before, node)
    return 0


@native
def begin(head: int) -> int:
    """Make a list that nobody used yet an empty one."""
    if load64(head) == 0:
        store64(head, head)
        store64(head + PREV, head)
    return 0


@native
def list_push_front(run: int, head: int, node: int) -> int:  # noqa: ARG001
    """Put an object at the front."""
    begin(head)
    answer = join(node, node + LIST_OWNER, head)
    if answer == 0:
        insert(node, head, load64(head))
    return answer


@native
def list_push_back(run: int, head: int, node: int) -> int:  # noqa: ARG001
    """Put an object at the back."""
    begin(head)
    answer = join(node, node + LIST_OWNER, head)
    if answer == 0:
        insert(node, load64(head + PREV), head)
    return answer


@native
def take_out(head: int, node: int) -> int:
    """Take *node* out of its list; 0 if there is none."""
    if node == head or not node:
        return 0
    store64(load64(node + PREV), load64(node))
    store64(load64(node) + PREV, load64(node + PREV))
    leave(node, node + LIST_OWNER)
    return node


@native
def list_pop_front(run: int, head: int) -> int:  # noqa: ARG001
    """Take the first object."""
    return take_out(head, load64(head))


@native
def list_pop_back(run: int, head: int) -> int:  # noqa: ARG001
    """Take the last object."""
    return take_out(head, load64(head + PREV))


@native
def list_front(run: int, head: int) -> int:  # noqa: ARG001
    """The first object's node."""
    return load64(head) if load64(head) != head else 0


@native
def list_back(run: int, head: int) -> int:  # noqa: ARG001
    """The last object's node."""
    return load64(head + PREV) if load64(head) != head else 0


BINDINGS: Final = (
    KfuncBinding("bpf_obj_new_impl", obj_new, known=Known.OBJECT_TYPE),
    KfuncBinding("bpf_percpu_obj_new_impl", obj_new, known=Known.PERCPU_OBJECT_TYPE),
    KfuncBinding("bpf_obj_drop_impl", obj_drop),
    KfuncBinding("bpf_percpu_obj_drop_impl", obj_drop),
    KfuncBinding("bpf_refcount_acquire_impl", refcount_acquire),
    KfuncBinding("bpf_list_push_front_impl", list_push_front),
    KfuncBinding("bpf_list_push_back_impl", list_push_back),
    KfuncBinding("bpf_list_pop_front", list_pop_front),
    KfuncBinding("bpf_list_pop_back", list_pop_back),
    KfuncBinding("bpf_list_front", list_front),
    KfuncBinding("bpf_list_back", list_back),
)
