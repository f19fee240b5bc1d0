"""References and critical sections: acquired, released, and none left when the program leaves.

Source: Linux 6.18 kernel/bpf/verifier.c (acquire_reference, release_reference,
process_spin_lock, invalidate_non_owning_refs).
"""

from skep.verifier.check import Check
from skep.verifier.records import LOCKS, RES_SPIN_LOCK
from skep.verifier.rules.resources import (
    LOCK_AT_OFFSET,
    LOCK_CONSTANT_OFFSET,
    LOCK_HELD,
    LOCK_PRESENT,
    LOCK_SAME,
    LOCK_TYPED,
)
from skep.verifier.scalar import UNKNOWN
from skep.verifier.state import REF_LOCK, REF_POINTER, Reference
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


def lock(check: Check, pointer: Pointer, register: int) -> None:
    """bpf_spin_lock()."""
    owner = _require_lock(check, pointer, register)
    state = check.state
    state.refs = (*state.refs, Reference(REF_LOCK, pointer.id, check.pc, owner))
    state.active_locks = 1
    state.active_lock_id = pointer.id
    state.active_lock_owner = owner


def unlock(check: Check, pointer: Pointer, register: int) -> None:
    """bpf_spin_unlock()."""
    owner = _require_lock(check, pointer, register)
    state = check.state
    if not state.active_locks:
        check.refuse(LOCK_HELD, "bpf_spin_unlock without taking a lock")
    if state.active_lock_owner is not owner or state.active_lock_id != pointer.id:
        check.refuse(LOCK_SAME, "bpf_spin_unlock of different lock")
    state.refs = tuple(ref for ref in state.refs if ref.kind != REF_LOCK)
    state.active_locks = 0
    state.active_lock_id = 0
    state.active_lock_owner = None
    invalidate_non_owning(check)


def _require_lock(check: Check, pointer: Pointer, register: int) -> object:
    """Require that *pointer* points to a spin lock; return what the lock belongs to."""
    at = require_field_offset(check, pointer, register, "bpf_spin_lock")
    in_map = pointer.kind == MAP_VALUE and pointer.map is not None
    if in_map and (pointer.map is None or pointer.map.btf is None):
        check.refuse(LOCK_TYPED, "map has to have BTF in order to use bpf_spin_lock")
    record = check.records.of_pointer(pointer)
    what = "map" if in_map else "local kptr"
    field = record.first(LOCKS) if record is not None else None
    if field is None or field.kind == RES_SPIN_LOCK:
        check.refuse(LOCK_PRESENT, f"{what} has no valid bpf_spin_lock")
    if field.offset != at:
        check.refuse(
            LOCK_AT_OFFSET,
            f"off {at} doesn't point to 'struct bpf_spin_lock' that is at {field.offset}",
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
