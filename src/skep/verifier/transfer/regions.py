"""Accesses of bounded memory: map keys and values, records, packets, buffers, sockets, flow keys.

Every check takes the pointer, the register it stands in, and *off*: the offset in bytes from where
the pointer was made, its known part included, its variable part not.

Source: Linux 6.18 kernel/bpf/verifier.c (check_mem_region_access, check_map_access,
check_packet_access, check_buffer_access, check_sock_access, check_ptr_alignment).
"""

import errno
from typing import Final

from skep.btf.special_fields import FIELD_NAMES, KPTRS, UPTR, SpecialField
from skep.uapi import access as table
from skep.uapi.contexts import STRUCTS, Points
from skep.uapi.flags import MapFlag, MapType
from skep.uapi.program_types import Packet
from skep.verifier.check import Check
from skep.verifier.interface import MapShape
from skep.verifier.rules.memory import (
    ALIGNED,
    CONSTANT_OFFSET,
    CONTEXT_FIELD,
    IN_MEMORY,
    KPTR_ACCESS,
    LOWER_BOUND,
    MAP_CONSTANT,
    PACKET_IN_RANGE,
    READABLE,
    SPECIAL_FIELD,
    UNMODIFIED_POINTER,
    UPPER_BOUND,
    WRITABLE,
)
from skep.verifier.spelling import tnum_text, type_text
from skep.verifier.transfer.pointers import MAX_OFFSET
from skep.verifier.values import (
    ARENA,
    CTX,
    FLOW_KEYS,
    MAP_KEY,
    MAP_VALUE,
    PACKET,
    PACKET_META,
    SOCK_COMMON,
    SOCKET,
    STACK,
    TCP_SOCK,
    XDP_SOCK,
    Pointer,
)

RDONLY_PROG: Final = int(MapFlag.RDONLY_PROG)
_WRONLY_PROG: Final = int(MapFlag.WRONLY_PROG)
_DEVMAP: Final = int(MapType.DEVMAP)
_DEVMAP_HASH: Final = int(MapType.DEVMAP_HASH)
FLOW_KEYS_SIZE: Final = 56
NET_IP_ALIGN: Final = 2
_S32: Final = 1 << 31

STRUCT_OF: Final[dict[int, Points]] = {
    SOCKET: Points.SOCKET,
    SOCK_COMMON: Points.SOCK_COMMON,
    TCP_SOCK: Points.TCP_SOCK,
    XDP_SOCK: Points.XDP_SOCK,
}
_ALIGNMENT_WORDS: Final[dict[int, str]] = {
    FLOW_KEYS: "flow keys ",
    MAP_KEY: "key ",
    MAP_VALUE: "value ",
    CTX: "context ",
    STACK: "stack ",
    SOCKET: "sock ",
    SOCK_COMMON: "sock_common ",
    TCP_SOCK: "tcp_sock ",
    XDP_SOCK: "xdp_sock ",
}


def require_aligned(check: Check, pointer: Pointer, off: int, size: int, strict: bool) -> None:
    """Require that an access at *off* from *pointer* is aligned, where that matters."""
    kind = pointer.kind
    if size == 1 or kind == ARENA:
        return
    if not (strict or check.strict_alignment or kind == STACK):
        return
    if kind in (PACKET, PACKET_META):
        if not pointer.var.is_aligned(NET_IP_ALIGN + pointer.off + off, size):
            check.refuse(
                ALIGNED,
                f"misaligned packet access off {NET_IP_ALIGN}+{tnum_text(pointer.var)}"
                f"+{pointer.off}+{off} size {size}",
            )
    elif not pointer.var.is_aligned(pointer.off + off, size):
        check.refuse(
            ALIGNED,
            f"misaligned {_ALIGNMENT_WORDS.get(kind, '')}access off {tnum_text(pointer.var)}"
            f"+{pointer.off}+{off} size {size}",
        )


def require_unmodified(
    check: Check, pointer: Pointer, register: int, fixed_ok: bool = False
) -> None:
    """Require that *pointer* is as it was given (*fixed_ok*: plus a constant)."""
    if pointer.off < 0:
        check.refuse(
            UNMODIFIED_POINTER,
            f"negative offset {type_text(pointer)} ptr R{register} off={pointer.off} disallowed",
        )
    if pointer.off and not fixed_ok:
        check.refuse(
            UNMODIFIED_POINTER,
            f"dereference of modified {type_text(pointer)} ptr R{register} "
            f"off={pointer.off} disallowed",
        )
    if not pointer.var.is_number(0):
        check.refuse(
            UNMODIFIED_POINTER,
            f"variable {type_text(pointer)} access var_off={tnum_text(pointer.var)} disallowed",
        )


# --- plain memory -----------------------------------------------------------------------------


def _outside(
    pointer: Pointer, register: int, off: int, size: int, limit: int, zero_ok: bool
) -> str:
    """Why an access at a constant offset is outside of *limit* bytes; "" if it is inside."""
    if off >= 0 and (size > 0 or (size == 0 and zero_ok)) and off + size <= limit:
        return ""
    if pointer.kind == MAP_KEY:
        return f"invalid access to map key, key_size={limit} off={off} size={size}"
    if pointer.kind == MAP_VALUE:
        return f"invalid access to map value, value_size={limit} off={off} size={size}"
    if pointer.kind in (PACKET, PACKET_META):
        return (
            f"invalid access to packet, off={off} size={size}, "
            f"R{register}(id={pointer.id},off={off},r={limit})"
        )
    return f"invalid access to memory, mem_size={limit} off={off} size={size}"


def require_inside(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    limit: int,
    *,
    zero_ok: bool = False,
) -> None:
    """Require that *size* bytes at *off* lie in *limit* bytes, whatever the variable part is."""
    low: int = int(pointer.var.smin)
    at = low + off
    if low < 0 and (at < 0 or at >= _S32):
        check.refuse(
            LOWER_BOUND,
            f"R{register} min value is negative, either use unsigned index or do a "
            "if (index >=0) check.",
        )
    problem = _outside(pointer, register, at, size, limit, zero_ok)
    if problem:
        check.refuse(
            IN_MEMORY,
            f"{problem}\nR{register} min value is outside of the allowed memory range",
        )
    high = pointer.var.umax
    if high >= MAX_OFFSET:
        check.refuse(
            UPPER_BOUND,
            f"R{register} unbounded memory access, make sure to bounds check any such access",
        )
    problem = _outside(pointer, register, high + off, size, limit, zero_ok)
    if problem:
        check.refuse(
            IN_MEMORY,
            f"{problem}\nR{register} max value is outside of the allowed memory range",
        )


# --- map values -------------------------------------------------------------------------------


def program_flags(shape: MapShape) -> int:
    """The map's flags; programs may not change device maps, whatever the flags say."""
    kind = shape.map_type
    if kind == _DEVMAP or kind == _DEVMAP_HASH:
        return shape.map_flags | RDONLY_PROG
    return shape.map_flags


def require_map_direction(check: Check, shape: MapShape, off: int, size: int, write: bool) -> None:
    """Require that programs may read, or write, the map's values."""
    if write and program_flags(shape) & RDONLY_PROG:
        check.refuse(
            WRITABLE,
            f"write into map forbidden, value_size={shape.value_size} off={off} size={size}",
        )
    if not write and shape.map_flags & _WRONLY_PROG:
        check.refuse(
            READABLE,
            f"read from map forbidden, value_size={shape.value_size} off={off} size={size}",
        )


def require_single_value(check: Check, shape: MapShape) -> None:
    """Refuse constants of an array of several: the pointer does not tell which of them it is."""
    if shape.map_type == MapType.ARRAY and shape.max_entries != 1:
        check.refuse(MAP_CONSTANT, "direct value access of an array with several values")


def require_map_value(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    *,
    helper: bool,
    zero_ok: bool = False,
) -> None:
    """Require that bytes of a map value may be accessed, by a helper or by an instruction."""
    shape = pointer.map
    assert shape is not None
    require_inside(check, pointer, register, off, size, shape.value_size, zero_ok=zero_ok)
    record = check.records.of_map(shape)
    if record is None:
        return
    low: int = int(pointer.var.smin) + off
    high: int = pointer.var.umax + off + size
    for field in record.fields:
        if low < field.offset + field.size and field.offset < high:
            _require_field_access(check, pointer, field, low, size, helper)


def _require_field_access(
    check: Check, pointer: Pointer, field: SpecialField, at: int, size: int, helper: bool
) -> None:
    if not field.kind & (KPTRS | UPTR):
        check.refuse(
            SPECIAL_FIELD,
            f"{FIELD_NAMES[field.kind]} cannot be accessed directly by load/store",
        )
    if helper:
        check.refuse(SPECIAL_FIELD, "kptr cannot be accessed indirectly by helper")
    if not pointer.var.is_const:
        check.refuse(KPTR_ACCESS, "kptr access cannot have variable offset")
    if at != field.offset:
        check.refuse(KPTR_ACCESS, f"kptr access misaligned expected={field.offset} off={at}")
    if size != 8:
        check.refuse(KPTR_ACCESS, "kptr access size must be BPF_DW")


# --- packets, buffers, sockets ----------------------------------------------------------------


def may_write_packet(check: Check) -> bool:
    """Whether the program type may store to packets."""
    row = check.request.program_type
    return row.packet is Packet.WRITE or row.packet_in_any_helper


def require_packet(
    check: Check, pointer: Pointer, register: int, off: int, size: int, zero_ok: bool = False
) -> None:
    """Require that bytes of the packet are known to be there."""
    if pointer.var.smin < 0:
        check.refuse(
            LOWER_BOUND,
            f"R{register} min value is negative, either use unsigned index or do a "
            "if (index >=0) check.",
        )
    problem = ""
    if pointer.range >= 0:
        problem = _outside(pointer, register, off, size, pointer.range, zero_ok)
        if not problem:
            return
    check.refuse(
        PACKET_IN_RANGE,
        f"{problem}\nR{register} offset is outside of the packet".lstrip(),
        hint="compare the end of the access with data_end first",
        errno=errno.EINVAL if pointer.range < 0 else 0,
    )


def require_buffer(
    check: Check, pointer: Pointer, register: int, off: int, size: int, words: str
) -> None:
    """Require a constant, non-negative offset: the size is checked when the program attaches.

    How far the program reaches is kept by *words*: ``rdonly``, ``rdwr`` or ``tracepoint``.
    """
    if off < 0:
        check.refuse(
            IN_MEMORY, f"R{register} invalid {words} buffer access: off={off}, size={size}"
        )
    if not pointer.var.is_number(0):
        check.refuse(
            CONSTANT_OFFSET,
            f"R{register} invalid variable buffer offset: off={off}, "
            f"var_off={tnum_text(pointer.var)}",
        )
    check.buffers[words] = max(check.buffers.get(words, 0), off + size)


def require_flow_keys(check: Check, off: int, size: int) -> None:
    """Require that bytes lie in struct bpf_flow_keys."""
    if off < 0 or off + size > FLOW_KEYS_SIZE:
        check.refuse(CONTEXT_FIELD, f"invalid access to flow keys off={off} size={size}")


def require_socket(check: Check, pointer: Pointer, register: int, off: int, size: int) -> None:
    """Require that a load hits a field of the socket struct."""
    if pointer.var.smin < 0:
        check.refuse(
            LOWER_BOUND,
            f"R{register} min value is negative, either use unsigned index or do a "
            "if (index >=0) check.",
        )
    row = check.request.program_type
    struct = STRUCTS[STRUCT_OF[pointer.kind]]
    field = table.access(struct, row.id, check.request.expected_attach_type, off, size, write=False)
    if field is None or not pointer.var.is_number(0):
        check.refuse(
            CONTEXT_FIELD,
            f"R{register} invalid {type_text(pointer)} access off={off} size={size}",
        )
