"""What BTF says of a map's keys and values: whether it fits, and which fields are special.

Source: Linux 6.18 kernel/bpf/syscall.c (map_check_btf), ``map_check_btf`` of each map type.
"""

from collections.abc import Mapping
from errno import E2BIG
from typing import Final

from skep.btf import special_fields as fields
from skep.btf.field_search import check_pointees
from skep.btf.graph import Btf
from skep.btf.kinds import Int, Kind
from skep.btf.special_fields import LOCKS, Record
from skep.errors import BtfError
from skep.syscall.call import Call
from skep.syscall.objects import Holding
from skep.syscall.state import BtfObject, State
from skep.uapi import map_types
from skep.uapi import reasons_maps as reasons
from skep.uapi.commands import MapCreate
from skep.uapi.flags import MapFlag, MapType
from skep.uapi.reason import Reason
from skep.verifier.records import record_of_value

ARRAYS: Final = frozenset({MapType.ARRAY, MapType.PERCPU_ARRAY})
# types whose maps take no BTF at all
WITHOUT_BTF: Final = frozenset(
    {
        MapType.PERF_EVENT_ARRAY,
        MapType.CGROUP_ARRAY,
        MapType.STACK_TRACE,
        MapType.ARRAY_OF_MAPS,
        MapType.HASH_OF_MAPS,
        MapType.DEVMAP,
        MapType.DEVMAP_HASH,
        MapType.CPUMAP,
        MapType.XSKMAP,
        MapType.SOCKMAP,
        MapType.SOCKHASH,
    }
)
# types whose maps may have BTF for their values only
WITHOUT_KEYS: Final = frozenset({*ARRAYS, MapType.BLOOM_FILTER, MapType.ARENA})
# field kind -> what map_types calls it
SPECIAL: Final[Mapping[int, str]] = {
    fields.SPIN_LOCK: "spin_lock",
    fields.RES_SPIN_LOCK: "spin_lock",
    fields.TIMER: "timer",
    fields.WORKQUEUE: "workqueue",
    fields.TASK_WORK: "workqueue",
    fields.KPTR_UNREF: "kptr",
    fields.KPTR_REF: "kptr",
    fields.KPTR_PERCPU: "kptr",
    fields.REFCOUNT: "kptr",
    fields.LIST_HEAD: "list_head",
    fields.RB_ROOT: "rb_root",
    fields.UPTR: "uptr",
}


class ValueType:
    """The types of a map to be: *btf*, its object's *holding*, and what is special in a value.

    *record* has its special fields: *special* are (offset, size) of fields that plain copies leave
    alone, *lock_offset* is where the lock is, -1 for none.
    """

    def __init__(self, holding: Holding | None = None, record: Record | None = None) -> None:
        self.holding = holding
        target = holding.target if holding is not None else None
        self.btf: Btf | None = target.btf if isinstance(target, BtfObject) else None
        self.record = record
        self.special: tuple[tuple[int, int], ...] = ()
        self.lock_offset = -1
        if record is not None:
            self.special = tuple((field.offset, field.size) for field in record.fields)
            lock = record.last(LOCKS)
            self.lock_offset = lock.offset if lock is not None else -1


def value_type(state: State, call: Call[MapCreate], holding: Holding) -> ValueType:
    """Check the types that MAP_CREATE names, against sizes and map type."""
    attr, target = call.attr, holding.target
    assert isinstance(target, BtfObject)
    call.check(not target.is_kernel, reasons.CREATE_KERNEL_BTF)
    if not attr.btf_value_type_id:
        return ValueType(holding)
    if attr.btf_key_type_id:
        _check_size(call, target.btf, "key", reasons.CREATE_KEY_TYPE)
    else:
        allowed = attr.map_type in WITHOUT_KEYS or attr.map_type in WITHOUT_BTF
        call.check(allowed, reasons.CREATE_KEY_TYPE_MISSING)
    _check_size(call, target.btf, "value", reasons.CREATE_VALUE_TYPE)
    record = _record(state, call, target.btf)
    call.check(attr.map_type not in WITHOUT_BTF, reasons.CREATE_NO_TYPES)
    if attr.map_type in ARRAYS:
        _check_array(call, target.btf)
    elif attr.map_type == MapType.BLOOM_FILTER:
        call.check(not attr.btf_key_type_id, reasons.CREATE_BLOOM_KEY)
    elif attr.map_type == MapType.LPM_TRIE:
        kind = target.btf.resolved(attr.btf_key_type_id).kind
        call.check(kind is Kind.STRUCT, reasons.CREATE_TRIE_KEY)
    return ValueType(holding, record)


def _check_size(call: Call[MapCreate], btf: Btf, member: str, reason: Reason) -> None:
    type_id: int = getattr(call.attr, f"btf_{member}_type_id")
    wanted: int = getattr(call.attr, f"{member}_size")
    try:
        found = btf.size_of(type_id) if type_id < len(btf) else -1
    except BtfError:
        found = -1
    size = f"it has {found} bytes" if found >= 0 else "no type of a size has that id"
    call.check(found == wanted, reason, f"{size}, {member}_size is {wanted}")


def _check_array(call: Call[MapCreate], btf: Btf) -> None:
    """Arrays have 32-bit keys; without a key type they are sections of global variables."""
    attr = call.attr
    if attr.btf_key_type_id:
        key = btf.resolved(attr.btf_key_type_id)
        good = isinstance(key, Int) and key.size == 4 and key.bits == 32
        call.check(good, reasons.CREATE_ARRAY_KEY)
        return
    section = btf.resolved(attr.btf_value_type_id).kind is Kind.DATASEC
    good = section and attr.map_type == MapType.ARRAY and attr.max_entries == 1
    call.check(good, reasons.CREATE_ARRAY_KEY)


def _record(state: State, call: Call[MapCreate], btf: Btf) -> Record | None:
    attr = call.attr
    record = record_of_value(btf, attr.btf_value_type_id, lambda: state.kernel_btf)
    if record is None:
        return None
    read_only = attr.map_flags & (MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG)
    call.check(not read_only, reasons.CREATE_SPECIAL_ACCESS)
    row = map_types.by_id(attr.map_type)
    for field in record.fields:
        name = SPECIAL.get(field.kind, "")
        good = row is not None and name in row.special
        call.check(good, reasons.CREATE_SPECIAL, f"maps of the type hold no {name}")
    try:
        check_pointees(btf, attr.btf_value_type_id, record)
    except BtfError as error:
        large = error.errno == E2BIG
        row_of = reasons.CREATE_UPTR_LARGE if large else reasons.CREATE_UPTR
        raise call.refusal(row_of, error.found) from error
    return record
