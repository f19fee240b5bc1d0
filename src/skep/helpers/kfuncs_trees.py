"""Kernel functions on trees of objects: red-black trees, ordered by a callback of the program.

``struct bpf_rb_root`` begins with the root's node; ``struct bpf_rb_node`` is ``{parent | colour,
right, left, owner}``, where 1 is black. Programs can look at the shape (bpf_rbtree_root, _left,
_right), so it is the one that Linux gets: parents are balanced from below, and a node with two
children is replaced by the one that follows it.

Source: Cormen et al., Introduction to Algorithms, 3rd ed., chapter 13; Linux 6.18 lib/rbtree.c for
the choices that it leaves open, kernel/bpf/helpers.c.
"""

from typing import Final

from skep.base.native import call, load64, native, store64
from skep.helpers.kfunc_binding import KfuncBinding
from skep.helpers.kfuncs_objects import join
from skep.runtime.heap import OWNER_MASK, TREE_LEFT, TREE_OWNER, TREE_RIGHT, leave

_BLACK: Final = 1
_SIDES: Final = TREE_LEFT + TREE_RIGHT


@native
def parent_of(node: int) -> int:
    """The parent, 0 for the root."""
    return load64(node) & ~_BLACK


@native
def is_black(node: int) -> int:
    """Whether *node*, which may be 0, is black."""
    return node == 0 or (load64(node) & _BLACK) != 0


@native
def set_parent(node: int, parent: int) -> int:
    """Give *node*, which may be 0, a parent."""
    if node != 0:
        store64(node, parent | (load64(node) & _BLACK))
    return 0


@native
def paint(node: int, colour: int) -> int:
    """Give *node* a colour."""
    store64(node, (load64(node) & ~_BLACK) | colour)
    return 0


@native
def side_of(parent: int, node: int) -> int:
    """Which child of *parent* the *node* is: offset of its place."""
    return TREE_LEFT if load64(parent + TREE_LEFT) == node else TREE_RIGHT


@native
def replace(root: int, parent: int, node: int, other: int) -> int:
    """Let *parent*, or the *root* if it is 0, have *other* in the place of *node*."""
    store64(root if parent == 0 else parent + side_of(parent, node), other)
    return 0


@native
def rotate(root: int, node: int, up: int) -> int:
    """Let the child at *up* take the place of *node*, which becomes its other child."""
    child = load64(node + up)
    inner = load64(child + _SIDES - up)
    parent = parent_of(node)
    store64(node + up, inner)
    set_parent(inner, node)
    replace(root, parent, node, child)
    set_parent(child, parent)
    store64(child + _SIDES - up, node)
    set_parent(node, child)
    return 0


@native
def balance_new(root: int, node: int) -> int:
    """Restore the rules after *node*, red, was put below its parent."""
    parent = parent_of(node)
    while parent != 0 and not is_black(parent):
        grand = parent_of(parent)
        side = side_of(grand, parent)
        uncle = load64(grand + _SIDES - side)
        if not is_black(uncle):
            paint(parent, _BLACK)
            paint(uncle, _BLACK)
            paint(grand, 0)
            node = grand
            parent = parent_of(node)
        else:
            if load64(parent + _SIDES - side) == node:
                rotate(root, parent, _SIDES - side)
                parent = node
            paint(parent, _BLACK)
            paint(grand, 0)
            rotate(root, grand, side)
            return 0
    if parent == 0:
        paint(node, _BLACK)
    return 0


@native
def erase(root: int, node: int) -> int:
    """Take *node* out of the tree."""
    left = load64(node + TREE_LEFT)
    right = load64(node + TREE_RIGHT)
    parent = parent_of(node)
    black = is_black(node)
    if left != 0 and right != 0:
        next_ = right
        while load64(next_ + TREE_LEFT) != 0:
            next_ = load64(next_ + TREE_LEFT)
        black = is_black(next_)
        child = load64(next_ + TREE_RIGHT)
        above = next_
        if next_ != right:
            above = parent_of(next_)
            store64(above + TREE_LEFT, child)
            set_parent(child, above)
            store64(next_ + TREE_RIGHT, right)
            set_parent(right, next_)
        replace(root, parent, node, next_)
        store64(next_, load64(node))
        store64(next_ + TREE_LEFT, left)
        set_parent(left, next_)
        parent = above
    else:
        child = left | right
        replace(root, parent, node, child)
        set_parent(child, parent)
    if black:
        balance_short(root, child, parent)
    return 0


@native
def balance_short(root: int, node: int, parent: int) -> int:
    """Restore the rules where the paths through *node*, maybe 0, have one black node too few."""
    while parent != 0 and is_black(node):
        side = side_of(parent, node)
        other = _SIDES - side
        sibling = load64(parent + other)
        if not is_black(sibling):
            paint(sibling, _BLACK)
            paint(parent, 0)
            rotate(root, parent, other)
            sibling = load64(parent + other)
        if is_black(load64(sibling + TREE_LEFT)) and is_black(load64(sibling + TREE_RIGHT)):
            paint(sibling, 0)
            node = parent
            parent = parent_of(node)
        else:
            if is_black(load64(sibling + other)):
                paint(load64(sibling + side), _BLACK)
                paint(sibling, 0)
                rotate(root, sibling, side)
                sibling = load64(parent + other)
            paint(sibling, load64(parent) & _BLACK)
            paint(parent, _BLACK)
            paint(load64(sibling + other), _BLACK)
            rotate(root, parent, other)
            return 0
    if node != 0:
        paint(node, _BLACK)
    return 0


# --- kernel functions ---------------------------------------------------------------------------


@native
def rbtree_add(run: int, root: int, node: int, less: int) -> int:
    """Put an object where *less* says, behind those that equal it."""
    answer = join(node, node + TREE_OWNER, root)
    if answer != 0:
        return answer
    parent = 0
    place = root
    while load64(place) != 0:
        parent = load64(place)
        before = call(less, run, node, parent, 0, 0, 0)
        place = parent + TREE_LEFT if before != 0 else parent + TREE_RIGHT
    store64(node, parent)
    store64(node + TREE_LEFT, 0)
    store64(node + TREE_RIGHT, 0)
    store64(place, node)
    balance_new(root, node)
    return 0


@native
def is_in(root: int, node: int) -> int:
    """Whether *node* is in this tree."""
    return (load64(node + TREE_OWNER) & OWNER_MASK) == root


@native
def rbtree_remove(run: int, root: int, node: int) -> int:  # noqa: ARG001 - a kernel function's signature
    """Take an object out; 0 if it is not in this tree."""
    if not is_in(root, node):
        return 0
    erase(root, node)
    leave(node, node + TREE_OWNER)
    return node


@native
def rbtree_first(run: int, root: int) -> int:  # noqa: ARG001
    """The first node."""
    node = load64(root)
    while node != 0 and load64(node + TREE_LEFT) != 0:
        node = load64(node + TREE_LEFT)
    return node


@native
def rbtree_root(run: int, root: int) -> int:  # noqa: ARG001
    """The node at the top."""
    return load64(root)


@native
def rbtree_left(run: int, root: int, node: int) -> int:  # noqa: ARG001
    """The node below that comes before."""
    return load64(node + TREE_LEFT) if is_in(root, node) else 0


@native
def rbtree_right(run: int, root: int, node: int) -> int:  # noqa: ARG001
    """The node below that comes behind."""
    return load64(node + TREE_RIGHT) if is_in(root, node) else 0


BINDINGS: Final = (
    KfuncBinding("bpf_rbtree_add_impl", rbtree_add),
    KfuncBinding("bpf_rbtree_remove", rbtree_remove),
    KfuncBinding("bpf_rbtree_first", rbtree_first),
    KfuncBinding("bpf_rbtree_root", rbtree_root),
    KfuncBinding("bpf_rbtree_left", rbtree_left),
    KfuncBinding("bpf_rbtree_right", rbtree_right),
)
