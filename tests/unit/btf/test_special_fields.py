"""Special fields: where Linux finds them, and which types it does not take."""

import errno

import pytest

from skep.btf.build import Builder
from skep.btf.field_search import parse_record
from skep.btf.graph import Btf
from skep.btf.object_types import ObjectTypes
from skep.btf.special_fields import (
    IN_MAPS,
    IN_OBJECTS,
    KPTR_REF,
    LIST_HEAD,
    LIST_NODE,
    RB_NODE,
    REFCOUNT,
    SPIN_LOCK,
    TIMER,
    Record,
)
from skep.errors import BtfError
from support.special_types import SpecialTypes, types_of


def record(*structs: list[str], wanted: int = IN_MAPS, kernel: Btf | None = None) -> Record | None:
    btf = Btf.parse(types_of(*structs))
    return parse_record(btf, btf.by_name(f"s{len(structs) - 1}") or 0, wanted, lambda: kernel)


def refused(*structs: list[str], wanted: int = IN_OBJECTS, kernel: Btf | None = None) -> int:
    with pytest.raises(BtfError) as caught:
        record(*structs, wanted=wanted, kernel=kernel)
    return caught.value.errno


def loads(*structs: list[str]) -> int:
    try:
        ObjectTypes(Btf.parse(types_of(*structs)), lambda: None).check()
    except BtfError as error:
        return error.errno
    return 0


def places(found: Record | None) -> list[tuple[int, int]]:
    assert found is not None
    return [(field.kind, field.offset) for field in found.fields]


def test_fields_are_found_in_structs_within_structs() -> None:
    found = record(["int", "bpf_timer"], ["long", "s0", "bpf_spin_lock"])

    assert places(found) == [(TIMER, 16), (SPIN_LOCK, 32)]


def test_a_field_that_is_not_aligned_is_none() -> None:
    assert record(["bpf_timer@4"]) is None


def test_a_field_of_another_size_is_none() -> None:
    types = SpecialTypes({"bpf_timer": 24})
    value = types.struct("value", ["bpf_timer"])

    assert parse_record(Btf.parse(types.to_bytes()), value, IN_MAPS, lambda: None) is None


def test_nodes_mean_something_in_objects_only() -> None:
    members = ["bpf_list_node", "bpf_rb_node", "bpf_refcount"]

    assert places(record(members)) == [(REFCOUNT, 56)]
    assert places(record(members, wanted=IN_OBJECTS)) == [
        (LIST_NODE, 0), (RB_NODE, 24), (REFCOUNT, 56),
    ]  # fmt: skip


def test_a_second_lock_in_one_struct_is_refused() -> None:
    assert refused(["bpf_spin_lock", "bpf_spin_lock"]) == errno.E2BIG


def test_a_list_knows_where_the_nodes_of_its_elements_are() -> None:
    found = record(["long", "bpf_list_node"], ["bpf_spin_lock", "bpf_list_head contains:s0:m1"])

    assert found is not None
    head = found.last(LIST_HEAD)
    assert head is not None
    assert (head.node, head.node_offset) == ("m1", 8)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (["bpf_list_head contains:s0:m0"], errno.EINVAL),  # no lock
        (["bpf_spin_lock", "bpf_list_head"], errno.EINVAL),  # no tag
        (["bpf_spin_lock", "bpf_list_head contains:s0"], errno.EINVAL),  # no member
        (["bpf_spin_lock", "bpf_list_head contains:nobody:m0"], errno.ENOENT),
        (["bpf_spin_lock", "bpf_list_head contains:s0:m9"], errno.ENOENT),
        (["bpf_spin_lock", "bpf_list_head contains:s0:m1"], errno.EINVAL),  # an int
        (["bpf_spin_lock", "bpf_rb_root contains:s0:m0"], errno.EINVAL),  # a node of a list
        (["bpf_spin_lock", "bpf_res_spin_lock"], errno.EINVAL),
    ],
)
def test_lists_and_trees_need_locks_and_elements(members: list[str], expected: int) -> None:
    assert refused(["bpf_list_node", "int"], members) == expected


def test_objects_in_lists_and_trees_are_counted() -> None:
    assert refused(["bpf_list_node", "bpf_rb_node"]) == errno.EINVAL


def test_a_kptr_points_to_what_the_kernel_can_release() -> None:
    kernel = Builder()
    kernel.struct("task_struct", 8)
    kernel.struct("sk_buff", 8)
    types = kernel.build()

    found = record(["kptr*task_struct", "kptr*mine"], kernel=types)
    assert found is not None
    assert [field.btf is types for field in found.fields] == [True, False]
    assert refused(["kptr*sk_buff"], kernel=types) == errno.ENOENT
    assert record(["kptr_untrusted*sk_buff"], kernel=types) is not None


def test_eleven_fields_are_the_most() -> None:
    assert record(["kptr*mine"] * 11) is not None
    assert refused(["kptr*mine"] * 12) == errno.E2BIG


def test_arrays_may_hold_pointers_but_no_timers() -> None:
    types = SpecialTypes()
    pointers = types.builder.array(types.member_type("kptr*mine"), 3, types.ids["int"])
    timers = types.builder.array(types.ids["bpf_timer"], 2, types.ids["int"])
    types.ids.update(pointers=pointers, timers=timers)
    types.sizes.update(pointers=24, timers=32)
    good, bad = types.struct("good", ["pointers"]), types.struct("bad", ["timers"])
    btf = Btf.parse(types.to_bytes())

    found = parse_record(btf, good, IN_MAPS, lambda: None)
    assert places(found) == [(KPTR_REF, 0), (KPTR_REF, 8), (KPTR_REF, 16)]
    with pytest.raises(BtfError):
        parse_record(btf, bad, IN_MAPS, lambda: None)


def test_types_of_objects_are_read_when_they_are_loaded() -> None:
    assert loads(["bpf_list_node"], ["bpf_spin_lock", "bpf_list_head contains:s0:m0"]) == 0
    assert loads(["bpf_list_node@4"]) == errno.EFAULT
    assert loads(["bpf_timer", "bpf_timer"]) == 0  # no field of objects


def test_what_is_in_a_list_holds_nothing_that_holds_something() -> None:
    leaf = ["bpf_list_node"]
    middle = ["bpf_list_node", "bpf_spin_lock", "bpf_list_head contains:s0:m0"]
    root = ["bpf_list_node", "bpf_spin_lock", "bpf_list_head contains:s1:m0"]

    assert loads(leaf, middle) == 0
    assert loads(leaf, middle, root) == errno.ELOOP
    assert loads(leaf, middle, root[1:]) == 0
