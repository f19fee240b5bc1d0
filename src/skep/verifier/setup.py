"""Checks of the request as a whole: program type, flags, maps.

Source: Linux 6.18 kernel/bpf/verifier.c (check_attach_btf_id, check_map_prog_compatibility).
"""

import errno
from typing import Final

from skep.btf.special_fields import LIST_HEAD, RB_ROOT, SPIN_LOCK, TIMER, WORKQUEUE
from skep.isa.table import Sem
from skep.uapi.flags import MapType, ProgType
from skep.uapi.program_types import may_sleep
from skep.verifier.check import Check
from skep.verifier.interface import MapShape
from skep.verifier.rules import flow
from skep.verifier.structops import resolve_member
from skep.verifier.target import resolve_target
from skep.verifier.transfer.kernel_objects import is_gpl
from skep.verifier.transfer.kfuncs import require_function
from skep.verifier.transfer.wide import require_symbol

_BTF_ID: Final = Sem.BTF_ID
_KFUNC: Final = Sem.KFUNC
_SYSCALL: Final = int(ProgType.SYSCALL)
_TRACING: Final = int(ProgType.TRACING)
_LSM: Final = int(ProgType.LSM)
_STRUCT_OPS: Final = int(ProgType.STRUCT_OPS)
_STRUCT_OPS_MAP: Final = int(MapType.STRUCT_OPS)
_PROBES: Final = frozenset(
    (
        ProgType.KPROBE, ProgType.TRACEPOINT, ProgType.PERF_EVENT, ProgType.RAW_TRACEPOINT,
        ProgType.RAW_TRACEPOINT_WRITABLE,
    )
)  # fmt: skip
_SLEEPABLE_MAPS: Final = frozenset(
    (
        MapType.HASH, MapType.LRU_HASH, MapType.ARRAY, MapType.PERCPU_HASH, MapType.PERCPU_ARRAY,
        MapType.LRU_PERCPU_HASH, MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS, MapType.RINGBUF,
        MapType.USER_RINGBUF, MapType.INODE_STORAGE, MapType.SK_STORAGE, MapType.TASK_STORAGE,
        MapType.CGRP_STORAGE, MapType.QUEUE, MapType.STACK, MapType.ARENA,
    )
)  # fmt: skip
_SINGLE: Final[dict[int, str]] = {
    MapType.CGROUP_STORAGE: "only one cgroup storage of each type is allowed",
    MapType.PERCPU_CGROUP_STORAGE: "only one cgroup storage of each type is allowed",
    MapType.ARENA: "Only one arena per program",
}
_PROBE_LIMITS: Final = (
    (LIST_HEAD | RB_ROOT, "tracing progs cannot use bpf_{list_head,rb_root} yet"),
    (SPIN_LOCK, "tracing progs cannot use bpf_spin_lock yet"),
    (TIMER, "tracing progs cannot use bpf_timer yet"),
    (WORKQUEUE, "tracing progs cannot use bpf_wq yet"),
)


def check_request(check: Check) -> None:
    """Check what needs no instruction to be looked at.

    Raises:
        Rejected: the program type may not do what is asked, or not use one of the maps.
    """
    check_maps(check)
    _require_single(check)
    _check_symbols(check)
    kind = check.request.program_type.id
    if check.sleepable and not may_sleep(
        check.request.program_type, check.request.expected_attach_type
    ):
        check.refuse(
            flow.SLEEPABLE_TYPE,
            "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs "
            "can be sleepable",
        )
    if kind == _SYSCALL and not check.sleepable:
        check.refuse(flow.SLEEPABLE_TYPE, "Syscall programs can only be sleepable")
    if kind == _TRACING or kind == _LSM:
        check.target = resolve_target(check.request)
    if kind == _STRUCT_OPS:
        check.target = resolve_member(check.request, is_gpl(check))


def check_maps(check: Check) -> None:
    """Refuse maps that programs of the type may not use."""
    for shape in check.program.maps:
        _check_map(check, shape)


def _require_single(check: Check) -> None:
    """Refuse a second map of a type of which a program has one."""
    if len(check.program.maps) < 2:
        return
    kinds = [shape.map_type for shape in check.program.maps]
    for kind, detail in _SINGLE.items():
        if kinds.count(kind) > 1:
            check.refuse(flow.MAP_FITS_PROGRAM, detail, errno=errno.EBUSY)


def _check_symbols(check: Check) -> None:
    """Check what the program names of the kernel, reachable or not."""
    for step in check.program.steps:
        if step is None:
            continue
        if step.sem is _BTF_ID:
            require_symbol(check, step)
        elif step.sem is _KFUNC and (step.imm != 0 or step.off != 0):
            require_function(check, step)
    check.pc = -1


def _check_map(check: Check, shape: MapShape) -> None:
    record = check.records.of_map(shape)
    kind = check.request.program_type.id
    if record is not None:
        if kind == ProgType.SOCKET_FILTER and record.kinds & SPIN_LOCK:
            check.refuse(flow.MAP_FITS_PROGRAM, "socket filter progs cannot use bpf_spin_lock yet")
        if kind in _PROBES:
            for fields, detail in _PROBE_LIMITS:
                if record.kinds & fields:
                    check.refuse(flow.MAP_FITS_PROGRAM, detail)
    if shape.map_type == _STRUCT_OPS_MAP:
        check.refuse(flow.MAP_FITS_PROGRAM, "bpf_struct_ops map cannot be used in prog")
    if check.sleepable and shape.map_type not in _SLEEPABLE_MAPS:
        check.refuse(
            flow.MAP_FITS_PROGRAM,
            "Sleepable programs can only use array, hash, ringbuf and local storage maps",
        )
