"""References and critical sections: acquired, released, and none left when the program leaves.

Source: Linux 6.18 kernel/bpf/verifier.c (acquire_reference, release_reference,
process_spin_lock, invalidate_non_owning_refs).
"""

from skep.btf.special_fields import FIELD_NAMES, RES_SPIN_LOCK, SPIN_LOCK
from skep.verifier.check import Check
from skep.verifier.rules.resources import (
    LOCK_AT_OFFSET,
    LOCK_CONSTANT_OFFSET,
    LOCK_HELD,
    LOCK_ORDER,
    LOCK_PRESENT,
    LOCK_SAME,
    LOCK_TWICE,
    LOCK_TYPED,
)
from skep.verifier.scalar import UNKNOWN
from skep.verifier.state import LOCK_REFERENCES, REF_LOCK, REF_POINTER, Reference
from skep.verifier.values import MAP_VALUE, NON_OWN_REF, Pointer, Value

# --- references -------------------------------------------------------------------------------


def acquire(check: Check) -> int:
    """Record a new reference that must be released; return its identity."""
    identity = check.new_id()
    check.state.refs = (*check.state.refs, Reference(REF_POINTER, identity, check.pc))
    return identity


def drop_reference(check: Check, identity: int) -> bool:
    """Forget a reference, leaving the values that carry it; False if it is not held."""
    state = check.state
    if state.find_reference(REF_POINTER, identity) is None:
        return False
    state.refs = tuple(
        ref for ref in state.refs if not (ref.kind == REF_POINTER and ref.id == identity)
    )
    return True


def release(check: Check, identity: int) -> bool:
    """Release a reference and make every value that carries it unusable; False if not held."""
    if not drop_reference(check, identity):
        return False
    replacement: Value | None = UNKNOWN if check.privileged else None

    def forget(value: Value) -> Value | None:
        if isinstance(value, Pointer) and value.ref_id == identity:
            return replacement
        return value

    check.state.update_values(forget)
    return True


# --- spin locks -------------------------------------------------------------------------------


def lock(check: Check, pointer: Pointer, register: int, kind: int = REF_LOCK) -> None:
    """Take a lock of *kind*, one of LOCK_REFERENCES."""
    owner = _require_lock(check, pointer, register, kind)
    state = check.state
    for reference in state.refs:
        if reference.kind not in LOCK_REFERENCES:
            continue
        if kind == REF_LOCK and reference.kind == REF_LOCK:
            check.refuse(LOCK_TWICE, "Locking two bpf_spin_locks are not allowed")
        if kind != REF_LOCK and reference.id == pointer.id and reference.owner is owner:
            check.refuse(LOCK_TWICE, "Acquiring the same lock again, AA deadlock detected")
    state.refs = (*state.refs, Reference(kind, pointer.id, check.pc, owner))
    state.active_locks += 1
    state.active_lock_id = pointer.id
    state.active_lock_owner = owner


def unlock(check: Check, pointer: Pointer, register: int, kind: int = REF_LOCK) -> None:
    """Release the lock of *kind* that was taken last."""
    owner = _require_lock(check, pointer, register, kind)
    state = check.state
    name = _lock_name(kind)
    if not state.active_locks:
        check.refuse(LOCK_HELD, f"{name}_unlock without taking a lock")
    held = [
        ref
        for ref in state.refs
        if ref.kind == kind and ref.id == pointer.id and ref.owner is owner
    ]
    if not held:
        check.refuse(LOCK_SAME, f"{name}_unlock of different lock")
    if state.active_lock_owner is not owner or state.active_lock_id != pointer.id:
        check.refuse(LOCK_ORDER, f"{name}_unlock cannot be out of order")
    state.refs = tuple(ref for ref in state.refs if ref is not held[-1])
    state.active_locks -= 1
    state.active_lock_id = 0
    state.active_lock_owner = None
    for reference in state.refs:
        if reference.kind in LOCK_REFERENCES:
            state.active_lock_id = reference.id
            state.active_lock_owner = reference.owner
    invalidate_non_owning(check)


def _lock_name(kind: int) -> str:
    return "bpf_spin" if kind == REF_LOCK else "bpf_res_spin"


def _require_lock(check: Check, pointer: Pointer, register: int, kind: int) -> object:
    """Require that *pointer* points to a lock of *kind*; return what the lock belongs to."""
    wanted = SPIN_LOCK if kind == REF_LOCK else RES_SPIN_LOCK
    name = FIELD_NAMES[wanted]
    at = require_field_offset(check, pointer, register, name)
    in_map = pointer.kind == MAP_VALUE and pointer.map is not None
    if in_map and (pointer.map is None or pointer.map.btf is None):
        check.refuse(LOCK_TYPED, f"map has to have BTF in order to use {name}")
    record = check.records.of_pointer(pointer)
    what = "map" if in_map else "local kptr"
    field = record.last(wanted) if record is not None else None
    if field is None:
        check.refuse(LOCK_PRESENT, f"{what} has no valid {name}")
    if field.offset != at:
        check.refuse(
            LOCK_AT_OFFSET,
            f"off {at} doesn't point to 'struct {name}' that is at {field.offset}",
        )
    return pointer.map if in_map else pointer.btf


def require_field_offset(check: Check, pointer: Pointer, register: int, what: str) -> int:
    """Offset in bytes of the field that *pointer* points to; it must be constant."""
    if not pointer.var.is_const:
        check.refuse(
            LOCK_CONSTANT_OFFSET,
            f"R{register} doesn't have constant offset. {what} has to be at the constant offset",
        )
    return pointer.off + int(pointer.var.smin)


def invalidate_non_owning(check: Check) -> None:
    """Make pointers to objects in collections unusable: the lock that kept them is gone."""
    replacement: Value | None = UNKNOWN if check.privileged else None

    def forget(value: Value) -> Value | None:
        if isinstance(value, Pointer) and value.flags & NON_OWN_REF:
            return replacement
        return value

    check.state.update_values(forget)
