"""Lists and trees of allocated objects: used while their lock is held, and who owns an object.

What is pushed or added belongs to the collection: pointers to it stay usable, but own nothing,
until the lock is released. What is popped or removed belongs to the program again.

Source: Linux 6.18 kernel/bpf/verifier.c (__process_kf_arg_ptr_to_graph_root,
__process_kf_arg_ptr_to_graph_node, ref_convert_owning_non_owning, set_rbtree_add_callback_state).
"""

from typing import Final

from skep.btf.special_fields import (
    FIELD_NAMES,
    LIST_HEAD,
    LIST_NODE,
    RB_NODE,
    RB_ROOT,
    REFCOUNT,
    SpecialField,
)
from skep.verifier.check import Check
from skep.verifier.program import Step
from skep.verifier.rules.resources import (
    GRAPH_FIELD,
    GRAPH_LOCKED,
    LOCK_CONSTANT_OFFSET,
    OBJECT_OWNED,
)
from skep.verifier.state import LOCK_REFERENCES, Frame
from skep.verifier.transfer.callbacks import in_tree_callback
from skep.verifier.transfer.kfunc_call import Argument, KfuncCall
from skep.verifier.transfer.resources import drop_reference
from skep.verifier.transfer.subprograms import call_back
from skep.verifier.values import (
    ALLOC,
    BTF_ID,
    MAP_VALUE,
    NON_OWN_REF,
    RCU,
    Pointer,
    Value,
    btf_pointer,
)
from skep.verifier.walk import same_type

INSERTS: Final = frozenset(
    ("bpf_list_push_front_impl", "bpf_list_push_back_impl", "bpf_rbtree_add_impl")
)


# --- lists and trees --------------------------------------------------------------------------


def list_head(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Check an argument that points to a list."""
    _head(check, call, argument, LIST_HEAD)


def tree_root(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Check an argument that points to a tree."""
    _head(check, call, argument, RB_ROOT)


def _head(check: Check, call: KfuncCall, argument: Argument, kind: int) -> None:
    value = argument.value
    in_object = isinstance(value, Pointer) and value.kind == BTF_ID and value.flags == ALLOC
    if not isinstance(value, Pointer) or not (
        in_object or (value.kind == MAP_VALUE and value.flags == 0)
    ):
        check.refuse(
            OBJECT_OWNED,
            f"arg#{argument.number} expected pointer to map value or allocated object",
        )
    if in_object and not value.ref_id:
        check.refuse(OBJECT_OWNED, "allocated object must be referenced")
    field = _field(check, argument, value, kind)
    owner: object = value.btf if in_object else value.map
    if not _is_locked(check, value.id, owner):
        check.refuse(
            GRAPH_LOCKED,
            f"bpf_spin_lock must be held for {FIELD_NAMES[kind]}",
            hint="take the lock in the same value or object first",
        )
    call.head = field


def _field(check: Check, argument: Argument, value: Pointer, kind: int) -> SpecialField:
    name = FIELD_NAMES[kind]
    if not value.var.is_const:
        check.refuse(
            LOCK_CONSTANT_OFFSET,
            f"R{argument.register} doesn't have constant offset. {name} has to be at the "
            "constant offset",
        )
    off = value.off + int(value.var.smin)
    record = check.records.of_pointer(value)
    field = record.find(off, kind) if record is not None else None
    if field is None:
        check.refuse(GRAPH_FIELD, f"{name} not found at offset={off}")
    return field


def _is_locked(check: Check, identity: int, owner: object) -> bool:
    for reference in check.state.refs:
        if (
            reference.kind in LOCK_REFERENCES
            and reference.id == identity
            and reference.owner is owner
        ):
            return True
    return False


# --- nodes ------------------------------------------------------------------------------------


def list_node(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Check an argument that points to the node of an object that is pushed."""
    value = _owned(check, argument)
    _node(check, call, argument, value, LIST_NODE)


def tree_node(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Check an argument that points to the node of an object that is added, or is in the tree."""
    if call.name in INSERTS:
        _node(check, call, argument, _owned(check, argument), RB_NODE)
        return
    value = argument.value
    if not isinstance(value, Pointer) or not (
        value.ref_id or (value.kind == BTF_ID and value.flags & NON_OWN_REF)
    ):
        check.refuse(
            OBJECT_OWNED,
            f"{call.name} can only take non-owning or refcounted bpf_rb_node pointer",
        )
    if in_tree_callback(check):
        check.refuse(GRAPH_LOCKED, f"{call.name} not allowed in rbtree cb")
    _node(check, call, argument, value, RB_NODE)


def _owned(check: Check, argument: Argument) -> Pointer:
    value = argument.value
    if not isinstance(value, Pointer) or value.kind != BTF_ID or value.flags != ALLOC:
        check.refuse(OBJECT_OWNED, f"arg#{argument.number} expected pointer to allocated object")
    if not value.ref_id:
        check.refuse(OBJECT_OWNED, "allocated object must be referenced")
    return value


def _node(check: Check, call: KfuncCall, argument: Argument, value: Pointer, kind: int) -> None:
    field = _field(check, argument, value, kind)
    head = call.head
    if head is None or head.btf is None or value.btf is None:
        check.not_supported(f"the order of arguments of {call.name}()")
    if not same_type(value.btf, value.btf_id, head.btf, head.btf_id):
        check.refuse(
            GRAPH_FIELD,
            f"operation on {FIELD_NAMES[head.kind]} expects arg#1 {FIELD_NAMES[kind]} "
            f"in struct {head.btf.type(head.btf_id).name}, but arg is in struct "
            f"{value.btf.type(value.btf_id).name}",
        )
    if field.offset != head.node_offset:
        check.refuse(
            GRAPH_FIELD,
            f"arg#1 offset={field.offset}, but expected {FIELD_NAMES[kind]} "
            f"at offset={head.node_offset}",
        )


# --- owners -----------------------------------------------------------------------------------


def element(check: Check, head: SpecialField) -> Pointer:
    """A pointer to the node of an object of the list or tree, owned by nobody yet."""
    off = head.node_offset
    if head.btf is None or off < 0:
        check.not_supported("a list or tree of unknown objects")
    made = btf_pointer(head.btf, head.btf_id, ALLOC)
    made.off = off
    return made


def disown(check: Check, value: Pointer) -> Pointer:
    """*value* as a pointer that is valid as long as the lock is held."""
    loose = value.copy()
    loose.ref_id = 0
    record = check.records.of_pointer(loose)
    loose.flags |= NON_OWN_REF
    if record is not None and record.kinds & REFCOUNT:
        loose.flags |= RCU
    return loose


def give_away(check: Check, reference: int) -> None:
    """The collection owns what the program owned."""
    if not drop_reference(check, reference):
        check.refuse(OBJECT_OWNED, "reference has not been acquired before")

    def change(value: Value) -> Value | None:
        if isinstance(value, Pointer) and value.ref_id == reference:
            return disown(check, value)
        return value

    check.state.update_values(change)
    check.frame = check.state.own(len(check.state.frames) - 1)


def compare_in_callback(check: Check, step: Step, call: KfuncCall) -> None:
    """Queue a round of the callback by which bpf_rbtree_add() compares nodes."""
    head = call.head
    assert head is not None

    def prepare(caller: Frame, callee: Frame) -> None:
        del caller
        for register in (1, 2):
            callee.regs[register] = disown(check, element(check, head))

    call_back(check, step, call.subprogram, prepare)
