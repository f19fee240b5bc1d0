"""Loads, by the kind of the pointer: what may be read, and what value that gives.

A reader gives the value as it stands in memory; narrowing to the width of the load comes after.

Source: Linux 6.18 kernel/bpf/verifier.c (check_mem_access, its loads).
"""

from collections.abc import Callable
from typing import Final

from skep.btf.special_fields import KPTRS, UPTR, SpecialField
from skep.uapi.flags import MapFlag
from skep.verifier.check import Check
from skep.verifier.rules.memory import KERNEL_ACCESS_PRIVILEGED
from skep.verifier.scalar import UNKNOWN, const
from skep.verifier.spelling import type_text
from skep.verifier.transfer import context, kernel_objects, regions
from skep.verifier.transfer.stack import read_stack
from skep.verifier.values import (
    ARENA,
    BTF_ID,
    BUF,
    CONST_MAP_PTR,
    CTX,
    FLOW_KEYS,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    PACKET,
    PACKET_META,
    RDONLY,
    SOCK_COMMON,
    SOCKET,
    STACK,
    TCP_SOCK,
    TP_BUFFER,
    UNTRUSTED,
    XDP_SOCK,
    Pointer,
    Value,
)

# (check, pointer, register, off, size, signed) -> value; off includes the pointer's known part
Reader = Callable[[Check, Pointer, int, int, int, bool], Value]

_RDONLY_PROG: Final = int(MapFlag.RDONLY_PROG)


def _read_stack(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del signed
    return read_stack(check, pointer, register, off, size, True)


def _read_map_key(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del signed
    assert pointer.map is not None
    regions.require_inside(check, pointer, register, off, size, pointer.map.key_size)
    return UNKNOWN


def _read_map_value(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del signed
    shape = pointer.map
    assert shape is not None
    regions.require_map_direction(check, shape, off, size, False)
    regions.require_map_value(check, pointer, register, off, size, helper=False)
    field = kptr_at(check, pointer, off)
    if field is not None:
        return kernel_objects.read_kptr(check, field)
    if pointer.var.is_const and shape.frozen and shape.map_flags & _RDONLY_PROG:
        regions.require_single_value(check, shape)
        number = shape.constant(off + int(pointer.var.smin), size)
        if number is not None:
            return const(number)
    return UNKNOWN


def kptr_at(check: Check, pointer: Pointer, off: int) -> SpecialField | None:
    """The kernel pointer field that *pointer* plus *off* is the start of, if any."""
    if not pointer.var.is_const:
        return None
    record = check.records.of_pointer(pointer)
    return record.find(off + int(pointer.var.smin), KPTRS | UPTR) if record is not None else None


def _read_memory(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del signed
    if pointer.flags & RDONLY and pointer.flags & UNTRUSTED:
        if not check.privileged:
            check.refuse(
                KERNEL_ACCESS_PRIVILEGED,
                f"{type_text(pointer)} access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN",
            )
        return UNKNOWN
    regions.require_inside(check, pointer, register, off, size, pointer.size)
    return UNKNOWN


def _read_packet(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del signed
    regions.require_packet(check, pointer, register, off, size)
    return UNKNOWN


def _read_flow_keys(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del pointer, register, signed
    regions.require_flow_keys(check, off, size)
    return UNKNOWN


def _read_socket(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del signed
    regions.require_socket(check, pointer, register, off, size)
    return UNKNOWN


def _read_tp_buffer(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del signed
    regions.require_buffer(check, pointer, register, off, size, "tracepoint")
    return UNKNOWN


def _read_buffer(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del signed
    words = "rdonly" if pointer.flags & RDONLY else "rdwr"
    regions.require_buffer(check, pointer, register, off, size, words)
    return UNKNOWN


def _read_object(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del signed
    return kernel_objects.read_object(check, pointer, register, off, size)


def _read_map_object(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del signed
    return kernel_objects.read_map_object(check, pointer, register, off, size)


def _read_arena(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    del check, pointer, register, off, size, signed
    return UNKNOWN


READ: Final[dict[int, Reader]] = {
    STACK: _read_stack,
    CTX: context.read_context,
    MAP_KEY: _read_map_key,
    MAP_VALUE: _read_map_value,
    MEM: _read_memory,
    PACKET: _read_packet,
    PACKET_META: _read_packet,
    FLOW_KEYS: _read_flow_keys,
    SOCKET: _read_socket,
    SOCK_COMMON: _read_socket,
    TCP_SOCK: _read_socket,
    XDP_SOCK: _read_socket,
    TP_BUFFER: _read_tp_buffer,
    BUF: _read_buffer,
    BTF_ID: _read_object,
    CONST_MAP_PTR: _read_map_object,
    ARENA: _read_arena,
}
