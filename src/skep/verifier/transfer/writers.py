"""Stores, by the kind of the pointer: what may be written, and by whom.

Source: Linux 6.18 kernel/bpf/verifier.c (check_mem_access, its stores).
"""

from collections.abc import Callable
from typing import Final

from skep.verifier.check import Check
from skep.verifier.rules.memory import NO_ADDRESS_STORED, PACKET_WRITABLE, WRITABLE
from skep.verifier.spelling import type_text
from skep.verifier.transfer import context, kernel_objects, regions
from skep.verifier.transfer.readers import kptr_at
from skep.verifier.transfer.stack import stored, write_stack
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
    XDP_SOCK,
    Pointer,
)

# (check, pointer, register, off, size, source); for source see ``stack.stored``
Writer = Callable[[Check, Pointer, int, int, int, int], None]


def _require_number(check: Check, source: int, where: str) -> None:
    if not check.privileged and isinstance(stored(check, source), Pointer):
        check.refuse(NO_ADDRESS_STORED, f"R{source} leaks addr into {where}")


def _write_stack(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    write_stack(check, pointer, register, off, size, source)


def _write_map_key(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    del pointer, off, size, source
    check.refuse(WRITABLE, f"write to change key R{register} not allowed")


def _write_map_value(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    assert pointer.map is not None
    _require_number(check, source, "map")
    regions.require_map_direction(check, pointer.map, off, size, True)
    regions.require_map_value(check, pointer, register, off, size, helper=False)
    field = kptr_at(check, pointer, off)
    if field is not None:
        kernel_objects.write_kptr(check, field, stored(check, source), source)


def _write_memory(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    if pointer.flags & RDONLY:
        check.refuse(WRITABLE, f"R{register} cannot write into {type_text(pointer)}")
    _require_number(check, source, "mem")
    regions.require_inside(check, pointer, register, off, size, pointer.size)


def _write_context(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    _require_number(check, source, "ctx")
    context.write_context(check, pointer, register, off, size)


def _write_packet(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    if not regions.may_write_packet(check):
        check.refuse(PACKET_WRITABLE, "cannot write into packet")
    _require_number(check, source, "packet")
    regions.require_packet(check, pointer, register, off, size)


def _write_flow_keys(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    del pointer, register
    _require_number(check, source, "flow keys")
    regions.require_flow_keys(check, off, size)


def _write_refused(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    del off, size, source
    check.refuse(WRITABLE, f"R{register} cannot write into {type_text(pointer)}")


def _write_tp_buffer(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    del source
    regions.require_buffer(check, pointer, register, off, size, "tracepoint")


def _write_buffer(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    del source
    if pointer.flags & RDONLY:
        check.refuse(WRITABLE, f"R{register} cannot write into {type_text(pointer)}")
    regions.require_buffer(check, pointer, register, off, size, "rdwr")


def _write_object(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    del source
    kernel_objects.write_object(check, pointer, register, off, size)


def _write_map_object(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    del register, off, size, source
    kernel_objects.refuse_map_store(check, pointer)


def _write_arena(
    check: Check,
    pointer: Pointer,
    register: int,
    off: int,
    size: int,
    source: int,
) -> None:
    del check, pointer, register, off, size, source


WRITE: Final[dict[int, Writer]] = {
    STACK: _write_stack,
    CTX: _write_context,
    MAP_KEY: _write_map_key,
    MAP_VALUE: _write_map_value,
    MEM: _write_memory,
    PACKET: _write_packet,
    PACKET_META: _write_packet,
    FLOW_KEYS: _write_flow_keys,
    SOCKET: _write_refused,
    SOCK_COMMON: _write_refused,
    TCP_SOCK: _write_refused,
    XDP_SOCK: _write_refused,
    TP_BUFFER: _write_tp_buffer,
    BUF: _write_buffer,
    BTF_ID: _write_object,
    CONST_MAP_PTR: _write_map_object,
    ARENA: _write_arena,
}
