"""THE map type table: size and flag rules, and which helpers take a map of the type.

Maps of *closed* types go only to the helpers of their row; maps of open types go to every helper
that is not another row's own. That one relation stands for the kernel's two-way check.

Source: Linux 6.18 kernel/bpf/syscall.c (``map_create``), ``map_alloc_check`` of each type,
kernel/bpf/verifier.c (``check_map_func_compatibility``, ``check_map_prog_compatibility``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from skep.uapi.flags import AttachType, ProgType
from skep.uapi.flags import MapFlag as F
from skep.uapi.helpers import by_name as helper_by_name

ANY_SIZE: Final = (1, 0xFFFF_FFFF)
NO_SIZE: Final = (0, 0)
FOUR: Final = (4, 4)
OPEN_FLAGS: Final = int(F.RDONLY | F.WRONLY)
PROG_FLAGS: Final = int(F.RDONLY_PROG | F.WRONLY_PROG)
HASH_FLAGS: Final = (
    int(F.NO_PREALLOC | F.NUMA_NODE | F.ZERO_SEED | F.NO_COMMON_LRU) | OPEN_FLAGS | PROG_FLAGS
)
ARRAY_FLAGS: Final = (
    int(F.NUMA_NODE | F.MMAPABLE | F.PRESERVE_ELEMS | F.INNER_MAP) | OPEN_FLAGS | PROG_FLAGS
)
STORAGE_FLAGS: Final = int(F.NO_PREALLOC | F.CLONE)
DEV_FLAGS: Final = int(F.NUMA_NODE) | OPEN_FLAGS


class Batch(IntFlag):
    """Batch commands that a map type has."""

    NONE = 0
    LOOKUP = 1
    LOOKUP_AND_DELETE = 2
    UPDATE = 4
    DELETE = 8


ALL_BATCH: Final = Batch.LOOKUP | Batch.LOOKUP_AND_DELETE | Batch.UPDATE | Batch.DELETE
READ_WRITE_BATCH: Final = Batch.LOOKUP | Batch.UPDATE


@dataclass(frozen=True, slots=True, kw_only=True)
class MapType:
    """One map type.

    Args:
        id: number, ``BPF_MAP_TYPE_*``. *name*: lower case, without prefix.
        key: least and greatest key size in bytes. *value*: likewise for the value.
        flags: the ``map_flags`` that MAP_CREATE may take.
        helpers: ids of the helpers made for it. *closed*: no others take it.
        batch: the batch commands that it has.
        per_cpu: a value is one copy for each possible CPU.
        holds: what an update's fd names ("program", "map", "perf event", …), "" for plain bytes.
        needs_btf: MAP_CREATE requires key and value types.
        lookup_and_delete: it has MAP_LOOKUP_AND_DELETE_ELEM.
        sleepable: sleepable programs may use it.
        special: fields with a meaning that its values may have.
        capability: what creating one needs, "" for nothing.
        since: first Linux version. *doc*: one sentence.
    """

    id: int
    name: str
    key: tuple[int, int] = FOUR
    value: tuple[int, int] = FOUR
    flags: int = 0
    helpers: frozenset[int] = frozenset()
    closed: bool = False
    batch: Batch = Batch.NONE
    per_cpu: bool = False
    holds: str = ""
    needs_btf: bool = False
    lookup_and_delete: bool = False
    sleepable: bool = False
    special: tuple[str, ...] = ()
    capability: str = ""
    since: str
    doc: str


def _takes(names: str) -> frozenset[int]:
    found = set()
    for name in names.split():
        row = helper_by_name(name)
        if row is None:
            raise AssertionError(f"no helper is called {name}")
        found.add(row.id)
    return frozenset(found)


_KPTRS: Final = ("kptr",)
_TIMED: Final = ("spin_lock", "timer", "workqueue", "kptr", "list_head", "rb_root", "refcount")
_STORED: Final = ("spin_lock", "kptr")
_LOOKUP: Final = "map_lookup_elem map_update_elem map_delete_elem"
_PERCPU: Final = _takes("map_lookup_percpu_elem")
_PERF: Final = _takes(
    "perf_event_read perf_event_output skb_output perf_event_read_value xdp_output"
)
_RINGBUF: Final = _takes(
    "ringbuf_output ringbuf_reserve ringbuf_query ringbuf_reserve_dynptr ringbuf_submit_dynptr "
    "ringbuf_discard_dynptr"
)
_QUEUE: Final = _takes("map_peek_elem map_pop_elem map_push_elem")

HASH: Final = MapType(
    id=1,
    name="hash",
    key=ANY_SIZE,
    value=ANY_SIZE,
    flags=HASH_FLAGS & ~int(F.NO_COMMON_LRU),
    batch=ALL_BATCH,
    lookup_and_delete=True,
    sleepable=True,
    special=_TIMED,
    since="3.19",
    doc="Values under keys of any bytes.",
)
ARRAY: Final = MapType(
    id=2,
    name="array",
    value=ANY_SIZE,
    flags=ARRAY_FLAGS & ~int(F.PRESERVE_ELEMS),
    batch=READ_WRITE_BATCH,
    sleepable=True,
    special=_TIMED,
    since="3.19",
    doc="Values at indexes from 0; all exist, zeroed, from the start.",
)
PROG_ARRAY: Final = MapType(
    id=3,
    name="prog_array",
    flags=ARRAY_FLAGS & ~int(F.PRESERVE_ELEMS | F.MMAPABLE | F.INNER_MAP) & ~PROG_FLAGS,
    helpers=_takes("tail_call"),
    closed=True,
    holds="program",
    since="4.2",
    doc="Programs at indexes, for tail calls.",
)
PERF_EVENT_ARRAY: Final = MapType(
    id=4,
    name="perf_event_array",
    flags=int(F.NUMA_NODE | F.PRESERVE_ELEMS) | OPEN_FLAGS,
    helpers=_PERF,
    closed=True,
    holds="perf event",
    since="4.3",
    doc="Perf events at indexes, most often one ring buffer for each CPU.",
)
PERCPU_HASH: Final = MapType(
    id=5,
    name="percpu_hash",
    key=ANY_SIZE,
    value=ANY_SIZE,
    flags=HASH_FLAGS & ~int(F.NO_COMMON_LRU),
    helpers=_PERCPU,
    batch=ALL_BATCH,
    per_cpu=True,
    lookup_and_delete=True,
    sleepable=True,
    special=_KPTRS,
    since="4.6",
    doc="A hash with one copy of each value for each CPU.",
)
PERCPU_ARRAY: Final = MapType(
    id=6,
    name="percpu_array",
    value=ANY_SIZE,
    flags=OPEN_FLAGS | PROG_FLAGS | int(F.INNER_MAP),
    helpers=_PERCPU,
    batch=READ_WRITE_BATCH,
    per_cpu=True,
    sleepable=True,
    special=_KPTRS,
    since="4.6",
    doc="An array with one copy of each value for each CPU.",
)
STACK_TRACE: Final = MapType(
    id=7,
    name="stack_trace",
    value=(8, 127 * 32),
    flags=int(F.NUMA_NODE | F.STACK_BUILD_ID) | OPEN_FLAGS,
    helpers=_takes("get_stackid"),
    closed=True,
    capability="CAP_BPF",
    since="4.6",
    doc="Stack traces under ids.",
)
CGROUP_ARRAY: Final = MapType(
    id=8,
    name="cgroup_array",
    flags=int(F.NUMA_NODE) | OPEN_FLAGS,
    helpers=_takes("skb_under_cgroup current_task_under_cgroup"),
    closed=True,
    holds="cgroup",
    since="4.8",
    doc="Cgroups at indexes.",
)
LRU_HASH: Final = MapType(
    id=9,
    name="lru_hash",
    key=ANY_SIZE,
    value=ANY_SIZE,
    flags=HASH_FLAGS & ~int(F.NO_PREALLOC),
    batch=ALL_BATCH,
    lookup_and_delete=True,
    sleepable=True,
    special=("timer", "workqueue", "kptr", "list_head", "rb_root", "refcount"),
    capability="CAP_BPF",
    since="4.10",
    doc="A hash that makes room by dropping what was not used for longest.",
)
LRU_PERCPU_HASH: Final = MapType(
    id=10,
    name="lru_percpu_hash",
    key=ANY_SIZE,
    value=ANY_SIZE,
    flags=HASH_FLAGS & ~int(F.NO_PREALLOC),
    helpers=_PERCPU,
    batch=ALL_BATCH,
    per_cpu=True,
    lookup_and_delete=True,
    sleepable=True,
    special=_KPTRS,
    capability="CAP_BPF",
    since="4.10",
    doc="An LRU hash with one copy of each value for each CPU.",
)
LPM_TRIE: Final = MapType(
    id=11,
    name="lpm_trie",
    key=(5, 260),
    value=ANY_SIZE,
    flags=int(F.NO_PREALLOC | F.NUMA_NODE) | OPEN_FLAGS | PROG_FLAGS,
    batch=Batch.LOOKUP | Batch.UPDATE | Batch.DELETE,
    capability="CAP_BPF",
    since="4.11",
    doc="Values under prefixes; a look-up finds the longest that matches.",
)
ARRAY_OF_MAPS: Final = MapType(
    id=12,
    name="array_of_maps",
    flags=int(F.NUMA_NODE | F.INNER_MAP) | OPEN_FLAGS,
    helpers=_takes("map_lookup_elem"),
    closed=True,
    batch=READ_WRITE_BATCH,
    holds="map",
    sleepable=True,
    since="4.12",
    doc="Maps of one shape at indexes.",
)
HASH_OF_MAPS: Final = MapType(
    id=13,
    name="hash_of_maps",
    key=ANY_SIZE,
    flags=HASH_FLAGS & ~int(F.NO_COMMON_LRU),
    helpers=_takes("map_lookup_elem"),
    closed=True,
    batch=ALL_BATCH,
    holds="map",
    sleepable=True,
    since="4.12",
    doc="Maps of one shape under keys.",
)
DEVMAP: Final = MapType(
    id=14,
    name="devmap",
    value=(4, 8),
    flags=DEV_FLAGS,
    helpers=_takes("redirect_map map_lookup_elem"),
    closed=True,
    holds="network device",
    capability="CAP_NET_ADMIN",
    since="4.14",
    doc="Network devices at indexes, for XDP redirects.",
)
SOCKMAP: Final = MapType(
    id=15,
    name="sockmap",
    value=(4, 8),
    flags=int(F.NUMA_NODE) | OPEN_FLAGS,
    helpers=_takes(
        "sk_redirect_map sock_map_update msg_redirect_map sk_select_reuseport map_lookup_elem"
    ),
    closed=True,
    holds="socket",
    capability="CAP_NET_ADMIN",
    since="4.14",
    doc="Sockets at indexes.",
)
CPUMAP: Final = MapType(
    id=16,
    name="cpumap",
    value=(4, 8),
    flags=int(F.NUMA_NODE),
    helpers=_takes("redirect_map"),
    closed=True,
    holds="CPU",
    capability="CAP_BPF",
    since="4.15",
    doc="CPUs at indexes, for XDP redirects.",
)
XSKMAP: Final = MapType(
    id=17,
    name="xskmap",
    flags=int(F.NUMA_NODE) | OPEN_FLAGS,
    helpers=_takes("redirect_map map_lookup_elem"),
    closed=True,
    holds="AF_XDP socket",
    capability="CAP_NET_ADMIN",
    since="4.18",
    doc="AF_XDP sockets at indexes, for XDP redirects.",
)
SOCKHASH: Final = MapType(
    id=18,
    name="sockhash",
    key=ANY_SIZE,
    value=(4, 8),
    flags=int(F.NUMA_NODE) | OPEN_FLAGS,
    helpers=_takes(
        "sk_redirect_hash sock_hash_update msg_redirect_hash sk_select_reuseport map_lookup_elem"
    ),
    closed=True,
    holds="socket",
    capability="CAP_NET_ADMIN",
    since="4.18",
    doc="Sockets under keys.",
)
CGROUP_STORAGE: Final = MapType(
    id=19,
    name="cgroup_storage",
    key=(8, 16),
    value=ANY_SIZE,
    flags=int(F.NUMA_NODE) | OPEN_FLAGS | PROG_FLAGS,
    helpers=_takes("get_local_storage"),
    closed=True,
    special=("spin_lock",),
    since="4.19",
    doc="One value for each cgroup and attachment; superseded by cgrp_storage.",
)
REUSEPORT_SOCKARRAY: Final = MapType(
    id=20,
    name="reuseport_sockarray",
    value=(4, 8),
    flags=int(F.NUMA_NODE) | OPEN_FLAGS | PROG_FLAGS,
    helpers=_takes("sk_select_reuseport"),
    closed=True,
    holds="socket",
    capability="CAP_BPF",
    since="4.19",
    doc="Sockets of reuseport groups at indexes.",
)
PERCPU_CGROUP_STORAGE: Final = MapType(
    id=21,
    name="percpu_cgroup_storage",
    key=(8, 16),
    value=ANY_SIZE,
    flags=int(F.NUMA_NODE) | OPEN_FLAGS | PROG_FLAGS,
    helpers=_takes("get_local_storage"),
    closed=True,
    per_cpu=True,
    since="4.20",
    doc="cgroup_storage with one copy for each CPU; superseded by cgrp_storage.",
)
QUEUE: Final = MapType(
    id=22,
    name="queue",
    key=NO_SIZE,
    value=ANY_SIZE,
    flags=int(F.NUMA_NODE) | OPEN_FLAGS | PROG_FLAGS,
    helpers=_QUEUE,
    closed=True,
    lookup_and_delete=True,
    sleepable=True,
    capability="CAP_BPF",
    since="4.20",
    doc="Values, first in, first out.",
)
STACK: Final = MapType(
    id=23,
    name="stack",
    key=NO_SIZE,
    value=ANY_SIZE,
    flags=int(F.NUMA_NODE) | OPEN_FLAGS | PROG_FLAGS,
    helpers=_QUEUE,
    closed=True,
    lookup_and_delete=True,
    sleepable=True,
    capability="CAP_BPF",
    since="4.20",
    doc="Values, last in, first out.",
)
SK_STORAGE: Final = MapType(
    id=24,
    name="sk_storage",
    value=ANY_SIZE,
    flags=STORAGE_FLAGS,
    helpers=_takes("sk_storage_get sk_storage_delete kptr_xchg"),
    closed=True,
    needs_btf=True,
    sleepable=True,
    special=_STORED,
    capability="CAP_BPF",
    since="5.2",
    doc="One value for each socket.",
)
DEVMAP_HASH: Final = MapType(
    id=25,
    name="devmap_hash",
    value=(4, 8),
    flags=DEV_FLAGS,
    helpers=_takes("redirect_map map_lookup_elem"),
    closed=True,
    holds="network device",
    capability="CAP_NET_ADMIN",
    since="5.4",
    doc="Network devices under numbers, for XDP redirects.",
)
STRUCT_OPS: Final = MapType(
    id=26,
    name="struct_ops",
    value=ANY_SIZE,
    flags=int(F.LINK | F.VTYPE_BTF_OBJ_FD),
    needs_btf=True,
    capability="CAP_BPF",
    since="5.6",
    doc="A table of kernel functions, filled by programs.",
)
RINGBUF: Final = MapType(
    id=27,
    name="ringbuf",
    key=NO_SIZE,
    value=NO_SIZE,
    flags=int(F.NUMA_NODE),
    helpers=_RINGBUF,
    closed=True,
    sleepable=True,
    since="5.8",
    doc="Records in order of reservation, from programs to one reader.",
)
INODE_STORAGE: Final = MapType(
    id=28,
    name="inode_storage",
    value=ANY_SIZE,
    flags=STORAGE_FLAGS,
    helpers=_takes("inode_storage_get inode_storage_delete kptr_xchg"),
    closed=True,
    needs_btf=True,
    sleepable=True,
    special=_STORED,
    capability="CAP_BPF",
    since="5.10",
    doc="One value for each inode.",
)
TASK_STORAGE: Final = MapType(
    id=29,
    name="task_storage",
    value=ANY_SIZE,
    flags=STORAGE_FLAGS,
    helpers=_takes("task_storage_get task_storage_delete kptr_xchg"),
    closed=True,
    needs_btf=True,
    sleepable=True,
    special=(*_STORED, "uptr"),
    capability="CAP_BPF",
    since="5.11",
    doc="One value for each task.",
)
BLOOM_FILTER: Final = MapType(
    id=30,
    name="bloom_filter",
    key=NO_SIZE,
    value=ANY_SIZE,
    flags=int(F.NUMA_NODE | F.ZERO_SEED) | OPEN_FLAGS | PROG_FLAGS,
    helpers=_takes("map_peek_elem map_push_elem"),
    closed=True,
    capability="CAP_BPF",
    since="5.16",
    doc="A set that may say yes for what was not added, never no for what was.",
)
USER_RINGBUF: Final = MapType(
    id=31,
    name="user_ringbuf",
    key=NO_SIZE,
    value=NO_SIZE,
    flags=int(F.NUMA_NODE),
    helpers=_takes("user_ringbuf_drain"),
    closed=True,
    sleepable=True,
    since="6.1",
    doc="Records from user space to programs.",
)
CGRP_STORAGE: Final = MapType(
    id=32,
    name="cgrp_storage",
    value=ANY_SIZE,
    flags=STORAGE_FLAGS,
    helpers=_takes("cgrp_storage_get cgrp_storage_delete kptr_xchg"),
    closed=True,
    needs_btf=True,
    sleepable=True,
    special=_STORED,
    capability="CAP_BPF",
    since="6.2",
    doc="One value for each cgroup.",
)
ARENA: Final = MapType(
    id=33,
    name="arena",
    key=NO_SIZE,
    value=NO_SIZE,
    flags=int(F.SEGV_ON_FAULT | F.MMAPABLE | F.NO_USER_CONV),
    sleepable=True,
    capability="CAP_BPF",
    since="6.9",
    doc="Memory that programs and user space share, with pointers.",
)

MAP_TYPES: Final[tuple[MapType, ...]] = (
    HASH,
    ARRAY,
    PROG_ARRAY,
    PERF_EVENT_ARRAY,
    PERCPU_HASH,
    PERCPU_ARRAY,
    STACK_TRACE,
    CGROUP_ARRAY,
    LRU_HASH,
    LRU_PERCPU_HASH,
    LPM_TRIE,
    ARRAY_OF_MAPS,
    HASH_OF_MAPS,
    DEVMAP,
    SOCKMAP,
    CPUMAP,
    XSKMAP,
    SOCKHASH,
    CGROUP_STORAGE,
    REUSEPORT_SOCKARRAY,
    PERCPU_CGROUP_STORAGE,
    QUEUE,
    STACK,
    SK_STORAGE,
    DEVMAP_HASH,
    STRUCT_OPS,
    RINGBUF,
    INODE_STORAGE,
    TASK_STORAGE,
    BLOOM_FILTER,
    USER_RINGBUF,
    CGRP_STORAGE,
    ARENA,
)
_BY_NAME: Final[Mapping[str, MapType]] = {row.name: row for row in MAP_TYPES}
_GENERIC: Final = _takes(f"{_LOOKUP} kptr_xchg")
_SPECIFIC: Final = frozenset().union(*(row.helpers for row in MAP_TYPES)) - _GENERIC

# program types (and, for tracing, attach type) that may update and delete in sockmap, sockhash
_SOCKMAP_WRITERS: Final = frozenset(
    {
        ProgType.SOCKET_FILTER,
        ProgType.SCHED_CLS,
        ProgType.SCHED_ACT,
        ProgType.XDP,
        ProgType.SK_REUSEPORT,
        ProgType.FLOW_DISSECTOR,
        ProgType.SK_LOOKUP,
    }
)
_UPDATE: Final = _takes("map_update_elem")
_DELETE: Final = _takes("map_delete_elem")

if [row.id for row in MAP_TYPES] != list(range(1, 34)) or len(_BY_NAME) != len(MAP_TYPES):
    raise AssertionError("map types are not 1 .. 33, each once")


def by_id(map_type: int) -> MapType | None:
    """The row with number *map_type*, or None."""
    return MAP_TYPES[map_type - 1] if 1 <= map_type <= len(MAP_TYPES) else None


def by_name(name: str) -> MapType | None:
    """The row called *name* (lower case, as ``lru_hash``), or None."""
    return _BY_NAME.get(name)


def takes_map(helper: int, map_type: int, program_type: int = 0, attach_type: int = 0) -> bool:
    """Tell whether the helper takes maps of this type.

    *program_type* and *attach_type* matter for sockmaps, which some programs may also write to.
    """
    row = by_id(map_type)
    if row is None:
        return False
    if helper in row.helpers:
        return True
    if row.closed:
        return row in (SOCKMAP, SOCKHASH) and _writes_sockmap(helper, program_type, attach_type)
    return helper not in _SPECIFIC


def _writes_sockmap(helper: int, program_type: int, attach_type: int) -> bool:
    if helper in _DELETE and program_type == ProgType.SOCK_OPS:
        return True
    if helper not in _UPDATE and helper not in _DELETE:
        return False
    if program_type == ProgType.TRACING:
        return attach_type == AttachType.TRACE_ITER
    return program_type in _SOCKMAP_WRITERS
