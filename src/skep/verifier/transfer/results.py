"""What a helper leaves in r0.

Source: Linux 6.18 kernel/bpf/verifier.c (check_helper_call, do_refine_retval_range).
"""

from collections.abc import Callable
from typing import Final

from skep.btf import kinds
from skep.btf.kinds import Kind
from skep.btf.special_fields import KPTR_PERCPU
from skep.errors import BtfError
from skep.uapi import helper_rows_core as core
from skep.uapi import helper_rows_network as network
from skep.uapi import helper_rows_tracing as tracing
from skep.uapi.flags import MapType
from skep.uapi.helper_types import Ret
from skep.verifier.check import Check
from skep.verifier.scalar import UNKNOWN, narrow_signed32, unsigned_between
from skep.verifier.transfer.call import Call
from skep.verifier.transfer.fields import always_finds
from skep.verifier.transfer.resources import acquire
from skep.verifier.values import (
    ALLOC,
    BTF_ID,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    PERCPU,
    RCU,
    RDONLY,
    RINGBUF,
    SOCK_COMMON,
    SOCKET,
    TCP_SOCK,
    TRUSTED,
    Pointer,
    Value,
    map_pointer,
)

_GET_SMP_PROCESSOR_ID: Final = core.GET_SMP_PROCESSOR_ID.id
_DYNPTR_DATA: Final = core.DYNPTR_DATA.id
_MAP_LOOKUP_ELEM: Final = core.MAP_LOOKUP_ELEM.id
_SOCKMAP: Final = int(MapType.SOCKMAP)
_SOCKHASH: Final = int(MapType.SOCKHASH)
MAX_ERRNO: Final = 4095
MAX_CPUS: Final = 8192  # no world of ours has more

_CASTS: Final = frozenset(
    row.id
    for row in (
        network.TCP_SOCK,
        network.SK_FULLSOCK,
        network.SKC_TO_TCP_SOCK,
        network.SKC_TO_TCP6_SOCK,
        network.SKC_TO_UDP6_SOCK,
        network.SKC_TO_MPTCP_SOCK,
        network.SKC_TO_TCP_TIMEWAIT_SOCK,
        network.SKC_TO_TCP_REQUEST_SOCK,
    )
)
_SIZED: Final = frozenset(
    row.id
    for row in (
        tracing.GET_STACK,
        tracing.GET_TASK_STACK,
        tracing.PROBE_READ_STR,
        tracing.PROBE_READ_KERNEL_STR,
        tracing.PROBE_READ_USER_STR,
    )
)


def result(check: Check, call: Call) -> Value | None:
    """The value of r0 after the call; None if it must not be read."""
    value = _MAKE[call.helper.ret](check, call)
    if not isinstance(value, Pointer):
        return value
    if value.flags & MAYBE_NULL and not value.id:
        value.id = check.new_id()
    if call.id == _DYNPTR_DATA and call.dynptr is not None:
        value.dynptr_id = call.dynptr.id
        value.ref_id = call.dynptr.ref_id
    elif call.id in _CASTS:
        value.ref_id = call.ref_id
    elif _acquires(call):
        value.id = value.ref_id = acquire(check)
    return value


def _acquires(call: Call) -> bool:
    if call.id == _MAP_LOOKUP_ELEM and call.map is not None:
        return call.map.map_type == _SOCKMAP or call.map.map_type == _SOCKHASH
    return call.helper.acquires


def _integer(check: Check, call: Call) -> Value | None:
    del check
    if call.id in _SIZED:
        return narrow_signed32(UNKNOWN, -MAX_ERRNO, min(call.size_max, 0x7FFF_FFFF))
    if call.id == _GET_SMP_PROCESSOR_ID:
        return unsigned_between(0, MAX_CPUS - 1)
    return UNKNOWN


def _void(check: Check, call: Call) -> Value | None:
    del check, call
    return None


def _flags(call: Call) -> int:
    return MAYBE_NULL if call.helper.nullable else 0


def _map_value(check: Check, call: Call) -> Value | None:
    shape = call.map
    assert shape is not None, "helpers that give a value of a map take the map"
    flags = _flags(call)
    if (
        call.id == _MAP_LOOKUP_ELEM
        and always_finds(shape)
        and 0 <= call.const_key < shape.max_entries
    ):
        flags = 0
    pointer = map_pointer(MAP_VALUE, shape, flags)
    pointer.map_uid = call.map_uid
    if not flags:
        record = check.records.of_map(shape)
        if record is not None and record.has_lock:
            pointer.id = check.new_id()
    return pointer


def _socket(kind: int) -> Callable[[Check, Call], Value | None]:
    def make(check: Check, call: Call) -> Value | None:
        del check
        return Pointer(kind, _flags(call))

    return make


def _memory(check: Check, call: Call) -> Value | None:
    del check
    flags = _flags(call)
    if call.helper.ret_from == "ringbuf":
        flags |= RINGBUF
    if call.helper.ret_rdonly:
        flags |= RDONLY
    pointer = Pointer(MEM, flags)
    pointer.size = call.alloc_size
    return pointer


def _memory_or_object(check: Check, call: Call) -> Value | None:
    """A kernel per-CPU variable: an object if it is a struct, else plain memory."""
    btf = call.result_btf
    assert btf is not None
    type_id = btf.resolve(call.result_id)
    if isinstance(btf.type(type_id), kinds.Composite):
        flags = _flags(call)
        if call.per_cpu_object:
            flags |= ALLOC | RCU
        pointer = Pointer(BTF_ID, flags)
        pointer.btf, pointer.btf_id = btf, type_id
        return pointer
    pointer = Pointer(MEM, _flags(call) | (RDONLY if call.helper.ret_rdonly else 0))
    try:
        pointer.size = btf.size_of(type_id)
    except BtfError:
        name = btf.type(type_id).name
        check.not_supported(f"a variable of type '{name}', which has no size,")
    return pointer


def _object(check: Check, call: Call) -> Value | None:
    pointer = Pointer(BTF_ID, _flags(call))
    kernel = check.kernel_btf
    if call.kptr is not None:
        pointer.btf, pointer.btf_id = call.kptr.btf, call.kptr.btf_id
        if pointer.btf is not kernel:
            pointer.flags |= ALLOC
            if call.kptr.kind == KPTR_PERCPU:
                pointer.flags |= PERCPU
        return pointer
    name = call.helper.ret_btf
    struct = kernel.by_name(name, Kind.STRUCT) if kernel is not None else None
    if struct is None:
        check.not_supported(f"a result of struct {name} without kernel BTF")
    if call.helper.ret_trusted:
        pointer.flags |= TRUSTED
    pointer.btf, pointer.btf_id = kernel, struct
    return pointer


_MAKE: Final[dict[Ret, Callable[[Check, Call], Value | None]]] = {
    Ret.INTEGER: _integer,
    Ret.VOID: _void,
    Ret.MAP_VALUE: _map_value,
    Ret.SOCKET: _socket(SOCKET),
    Ret.TCP_SOCK: _socket(TCP_SOCK),
    Ret.SOCK_COMMON: _socket(SOCK_COMMON),
    Ret.MEM: _memory,
    Ret.MEM_OR_BTF_ID: _memory_or_object,
    Ret.BTF_ID: _object,
}
