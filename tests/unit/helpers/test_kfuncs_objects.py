"""Objects of programs: lists, trees, references, and that nothing is left."""

import random

import pytest

from skep.base.native import load64, native, store64
from skep.engine.library import PlainLibrary
from skep.engine.llvm.library import CompiledLibrary
from skep.helpers import kfuncs_cpumask as masks
from skep.helpers import kfuncs_objects as objects
from skep.helpers import kfuncs_trees as trees
from skep.runtime.heap import (
    KPTR,
    LIST,
    LIST_OWNER,
    TREE,
    TREE_LEFT,
    TREE_OWNER,
    TREE_RIGHT,
    Description,
    Heap,
)
from skep.runtime.world import World

KEY, LIST_NODE, TREE_NODE, COUNT, KEPT = 0, 8, 32, 64, 72
ITEM = Description(80, COUNT, ((KPTR, KEPT),), ((LIST_NODE, LIST_OWNER), (TREE_NODE, TREE_OWNER)))
OWNER = Description(48, -1, ((LIST, 0), (TREE, 16), (KPTR, 32)))
COMPILED = CompiledLibrary()


@pytest.fixture(params=["python", "compiled"])
def world(request: pytest.FixtureRequest) -> World:
    made = World(cpus=70)
    library = COMPILED if request.param == "compiled" else PlainLibrary()
    made.objects.heap.bind = library.bind
    made.objects.heap.address_of = library.address
    return made


@pytest.fixture
def heap(world: World) -> Heap:
    return world.objects.heap


def new(heap: Heap, what: Description, key: int = 0) -> int:
    made = heap.bind(objects.obj_new)(0, 1, heap.describe(what))
    assert made
    store64(made, key)
    return made


def push(heap: Heap, head: int, item: int) -> int:
    return heap.bind(objects.list_push_back)(0, head, item + LIST_NODE)


def test_a_list_gives_back_what_was_put_into_it(heap: Heap) -> None:
    owner = new(heap, OWNER)
    for key in range(5):
        assert push(heap, owner, new(heap, ITEM, key)) == 0
    pops = [objects.list_pop_front, objects.list_pop_back]
    keys = [load64(heap.bind(pops[n % 2])(0, owner) - LIST_NODE) for n in range(5)]

    assert keys == [0, 4, 1, 3, 2]
    assert heap.bind(objects.list_pop_front)(0, owner) == 0


def test_an_object_in_a_list_is_not_put_into_another(heap: Heap) -> None:
    one, other, item = new(heap, OWNER), new(heap, OWNER), new(heap, ITEM)
    heap.bind(objects.refcount_acquire)(0, item)
    assert push(heap, one, item) == 0

    assert push(heap, other, item) == 2**64 - 22
    assert load64(other) == other  # begun, and empty


def test_all_that_an_object_owns_goes_with_it(heap: Heap, world: World) -> None:
    owner, drop = new(heap, OWNER), heap.bind(objects.obj_drop)
    for key in range(20):
        item = new(heap, ITEM, key)
        heap.bind(objects.refcount_acquire)(0, item)
        push(heap, owner, item)
        with_callback(heap, owner + 16, item + TREE_NODE)
    chain = 0
    for _ in range(5000):  # longer than any native stack would take
        item = new(heap, ITEM)
        store64(item + KEPT, chain)
        chain = item
    store64(owner + 32, chain)
    assert heap.live == 1 + 20 + 5000
    with world.running():
        drop(0, owner)

    assert heap.live == 0


def test_what_was_dropped_is_used_again_when_no_run_can_see_it(heap: Heap, world: World) -> None:
    with world.running():
        item = new(heap, ITEM, 1)
        heap.bind(objects.obj_drop)(0, item)
        assert new(heap, ITEM) != item

    assert new(heap, ITEM) == item


def test_a_long_row_of_runs_does_not_use_the_heap_up(heap: Heap, world: World) -> None:
    drop = heap.bind(objects.obj_drop)
    with world.running() as run:
        first = new(heap, ITEM)
        drop(0, first)
        world.between(run)
        assert new(heap, ITEM) == first
        with world.running() as other:
            drop(0, first)
            world.between(other)
            assert new(heap, ITEM) != first  # the first run may still see it


def test_a_dead_object_cannot_be_counted_up(heap: Heap, world: World) -> None:
    with world.running():
        item = new(heap, ITEM)
        heap.bind(objects.obj_drop)(0, item)

        assert heap.bind(objects.refcount_acquire)(0, item) == 0


def test_an_object_that_is_too_large_is_not_made(heap: Heap) -> None:
    assert heap.bind(objects.obj_new)(0, 1, heap.describe(Description(4089))) == 0


@native
def less(x: int, y: int) -> int:
    """Whether the item with node *x* comes first."""
    return load64(x - TREE_NODE) < load64(y - TREE_NODE)


@native
def add(root: int, node: int) -> int:
    """rbtree_add with a callback that is known."""
    if objects.join(node, node + TREE_OWNER, root) != 0:
        return 1
    parent = 0
    place = root
    while load64(place) != 0:
        parent = load64(place)
        place = parent + (TREE_LEFT if less(node, parent) else TREE_RIGHT)
    store64(node, parent)
    store64(place, node)
    trees.balance_new(root, node)
    return 0


def with_callback(heap: Heap, root: int, node: int) -> None:
    assert heap.bind(add)(root, node) == 0


def check(node: int, parent: int = 0) -> int:
    """Count the black nodes of every path below *node*; they must be the same."""
    if not node:
        return 1
    assert trees.parent_of(node) == parent
    left, right = load64(node + TREE_LEFT), load64(node + TREE_RIGHT)
    if not trees.is_black(node):
        assert trees.is_black(left)
        assert trees.is_black(right)
        assert parent
    below = check(left, node)
    assert below == check(right, node)
    return below + trees.is_black(node)


def test_trees_stay_balanced_and_ordered(heap: Heap) -> None:
    choose, root = random.Random(5), new(heap, OWNER) + 16
    nodes: list[int] = []
    for step in range(300):
        if nodes and choose.random() < 0.4:
            node = nodes.pop(choose.randrange(len(nodes)))
            assert heap.bind(trees.rbtree_remove)(0, root, node) == node
        else:
            node = new(heap, ITEM, choose.randrange(50)) + TREE_NODE
            with_callback(heap, root, node)
            nodes.append(node)
        if step % 10 == 0:
            check(load64(root))
    keys = []
    while node := heap.bind(trees.rbtree_first)(0, root):
        keys.append(load64(node - TREE_NODE))
        heap.bind(trees.rbtree_remove)(0, root, node)

    assert keys == sorted(keys)
    assert len(keys) == len(nodes)


def test_a_node_that_is_not_in_the_tree_is_not_taken_out(heap: Heap) -> None:
    root, node = new(heap, OWNER) + 16, new(heap, ITEM) + TREE_NODE

    assert heap.bind(trees.rbtree_remove)(0, root, node) == 0
    assert heap.bind(trees.rbtree_left)(0, root, node) == 0


def test_sets_of_cpus_know_the_worlds_cpus(heap: Heap) -> None:
    kind = heap.describe(Description(40, 32))
    one, other = heap.bind(masks.create)(0, kind), heap.bind(masks.create)(0, kind)
    for cpu in (0, 65, 70, 5000):
        heap.bind(masks.set_cpu)(0, cpu, one, kind)
    heap.bind(masks.setall)(0, other, kind)

    assert heap.bind(masks.weight)(0, one, kind) == 2
    assert heap.bind(masks.weight)(0, other, kind) == 70
    assert heap.bind(masks.first_zero)(0, one, kind) == 1
    assert heap.bind(masks.subset)(0, one, other, kind) == 1
    assert heap.bind(masks.full)(0, other, kind) == 1
    assert heap.bind(masks.clear_cpu)(0, 65, one, kind) == 1
    assert heap.bind(masks.first_and)(0, one, other, kind) == 0
    assert heap.bind(masks.weight)(0, 0xFFFF_8000_0000_0000, kind) == 0  # no memory of the world
