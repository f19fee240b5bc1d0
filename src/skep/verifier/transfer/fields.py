"""Arguments that point to special fields (locks, timers, kernel pointers), and constant map keys.

Source: Linux 6.18 kernel/bpf/verifier.c (process_spin_lock, process_timer_func, process_kptr_func,
get_constant_map_key).
"""

from typing import Final

from skep.btf.special_fields import FIELD_NAMES, KPTR_PERCPU, KPTR_REF, KPTRS, TIMER
from skep.uapi.flags import MapFlag, MapType
from skep.uapi.helper_rows_core import SPIN_LOCK as SPIN_LOCK_HELPER
from skep.uapi.helper_types import ArgType
from skep.verifier import precision
from skep.verifier.check import Check
from skep.verifier.interface import MapShape
from skep.verifier.rules.resources import (
    KPTR_AT_OFFSET,
    LOCK_AT_OFFSET,
    LOCK_IN_CALLBACK,
    LOCK_PRESENT,
    LOCK_TYPED,
)
from skep.verifier.scalar import Scalar
from skep.verifier.state import SPILL, ZERO
from skep.verifier.transfer.call import Call
from skep.verifier.transfer.callbacks import in_tree_callback
from skep.verifier.transfer.resources import lock, require_field_offset, unlock
from skep.verifier.transfer.stack_ranges import slot_of
from skep.verifier.values import MAP_VALUE, STACK, Pointer, Value

_ARRAY: Final = int(MapType.ARRAY)
_PERCPU_ARRAY: Final = int(MapType.PERCPU_ARRAY)
_INNER_MAP: Final = int(MapFlag.INNER_MAP)


def spin_lock(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    """Take or release the lock that *value* points to."""
    del argument
    assert isinstance(value, Pointer)
    if in_tree_callback(check):
        check.refuse(LOCK_IN_CALLBACK, "can't spin_{lock,unlock} in rbtree cb")
    if call.id == SPIN_LOCK_HELPER.id:
        lock(check, value, register)
    else:
        unlock(check, value, register)


def timer(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    """Require that *value* points to the timer of a map value; remember the map."""
    del argument
    assert isinstance(value, Pointer)
    require_map_field(check, value, register, TIMER)
    call.map = value.map
    call.map_uid = value.map_uid


def require_map_field(check: Check, value: Pointer, register: int, kind: int) -> None:
    """Require that *value* points to the one field of *kind* in a map value."""
    shape = value.map
    assert shape is not None
    name = FIELD_NAMES[kind]
    at = require_field_offset(check, value, register, name)
    if shape.btf is None:
        check.refuse(LOCK_TYPED, f"map has to have BTF in order to use {name}")
    record = check.records.of_map(shape)
    field = record.last(kind) if record is not None else None
    if field is None:
        check.refuse(LOCK_PRESENT, f"map has no valid {name}")
    if field.offset != at:
        check.refuse(
            LOCK_AT_OFFSET,
            f"off {at} doesn't point to 'struct {name}' that is at {field.offset}",
        )


def kptr(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    """Require that *value* points to a referenced kernel pointer field; remember the field."""
    del argument
    assert isinstance(value, Pointer)
    if value.kind == MAP_VALUE and value.map is not None:
        if value.map.btf is None:
            check.refuse(LOCK_TYPED, "map has to have BTF in order to use bpf_kptr_xchg")
        call.map = value.map
    at = require_field_offset(check, value, register, "kptr")
    record = check.records.of_pointer(value)
    if record is None or not record.kinds & KPTRS:
        check.refuse(LOCK_PRESENT, f"R{register} has no valid kptr")
    field = record.find(at, KPTRS)
    if field is None:
        check.refuse(KPTR_AT_OFFSET, f"off={at} doesn't point to kptr")
    if not field.kind & (KPTR_REF | KPTR_PERCPU):
        check.refuse(KPTR_AT_OFFSET, f"off={at} kptr isn't referenced kptr")
    call.kptr = field


# --- constant keys ----------------------------------------------------------------------------


def always_finds(shape: MapShape) -> bool:
    """Whether a look-up of a known key in range cannot fail."""
    kind = shape.map_type
    return (kind == _ARRAY or kind == _PERCPU_ARRAY) and not shape.map_flags & _INNER_MAP


def note_constant_key(check: Check, call: Call, value: Pointer) -> None:
    """Remember the number that the key on the stack is known to hold."""
    call.const_key = -1
    shape = call.map
    if shape is None or not always_finds(shape) or not check.has_cap_bpf:
        return
    if value.kind != STACK or not value.var.is_const:
        return
    off: int = value.off + int(value.var.smin)
    spi, start = slot_of(off), off % 8
    slot = check.state.frames[value.frame].slot(spi)
    key = slot.types[start : start + shape.key_size]
    if key == bytes((ZERO,)) * shape.key_size:
        call.const_key = 0
        return
    spilled = slot.value
    if slot.types[0] != SPILL or not isinstance(spilled, Scalar) or not spilled.is_const:
        return
    length = 8 - len(slot.types.lstrip(bytes((SPILL,))))
    if start != 0 or length != shape.key_size:
        return
    precision.mark_slot(check.program, check.state, check.pc, value.frame, spi, check.tale)
    call.const_key = spilled.value
