"""Loads and stores through a pointer of any kind: what may be accessed, and what a load gives.

Dispatch is by the kind of the pointer: ``READ`` and ``WRITE`` hold one function a kind. A reader
gives the value as it stands in memory; narrowing to the width of the load comes after.

Source: Linux 6.18 kernel/bpf/verifier.c (check_mem_access).
"""

from collections.abc import Callable
from typing import Final

from skep.uapi.flags import MapFlag
from skep.verifier.check import Check
from skep.verifier.records import KPTRS, UPTR, SpecialField
from skep.verifier.rules.memory import (
    KERNEL_ACCESS_PRIVILEGED,
    NO_ADDRESS_STORED,
    PACKET_WRITABLE,
    POINTER_NEEDED,
    WRITABLE,
)
from skep.verifier.scalar import UNKNOWN, Scalar, const
from skep.verifier.spelling import type_text
from skep.verifier.transfer import context, kernel_objects, regions
from skep.verifier.transfer.casts import sign_extend, zero_extend
from skep.verifier.transfer.stack import read_stack, write_stack
from skep.verifier.values import (
    ARENA,
    BTF_ID,
    BUF,
    CONST_MAP_PTR,
    CTX,
    FLOW_KEYS,
    MAP_KEY,
    MAP_VALUE,
    MAYBE_NULL,
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
# (check, pointer, register, off, size, value, source)
Writer = Callable[[Check, Pointer, int, int, int, Value | None, int], None]

_RDONLY_PROG: Final = int(MapFlag.RDONLY_PROG)


# --- readers ----------------------------------------------------------------------------------


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
    field = _kptr_at(check, pointer, off)
    if field is not None:
        return kernel_objects.read_kptr(check, field)
    if pointer.var.is_const and shape.frozen and shape.map_flags & _RDONLY_PROG:
        number = shape.constant(off + int(pointer.var.smin), size)
        if number is not None:
            return const(number)
    return UNKNOWN


def _kptr_at(check: Check, pointer: Pointer, off: int) -> SpecialField | None:
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


# --- writers ----------------------------------------------------------------------------------


def _require_number(check: Check, value: Value | None, source: int, where: str) -> None:
    if not check.privileged and isinstance(value, Pointer):
        check.refuse(NO_ADDRESS_STORED, f"R{source} leaks addr into {where}")


def _write_stack(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    write_stack(check, pointer, register, off, size, value, source)


def _write_map_key(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    del pointer, off, size, value, source
    check.refuse(WRITABLE, f"write to change key R{register} not allowed")


def _write_map_value(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    assert pointer.map is not None
    _require_number(check, value, source, "map")
    regions.require_map_direction(check, pointer.map, off, size, True)
    regions.require_map_value(check, pointer, register, off, size, helper=False)
    field = _kptr_at(check, pointer, off)
    if field is not None:
        kernel_objects.write_kptr(check, field, value, source)


def _write_memory(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    if pointer.flags & RDONLY:
        check.refuse(WRITABLE, f"R{register} cannot write into {type_text(pointer)}")
    _require_number(check, value, source, "mem")
    regions.require_inside(check, pointer, register, off, size, pointer.size)


def _write_context(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    _require_number(check, value, source, "ctx")
    context.write_context(check, pointer, register, off, size)


def _write_packet(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    if not regions.may_write_packet(check):
        check.refuse(PACKET_WRITABLE, "cannot write into packet")
    _require_number(check, value, source, "packet")
    regions.require_packet(check, pointer, register, off, size)


def _write_flow_keys(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    del pointer, register
    _require_number(check, value, source, "flow keys")
    regions.require_flow_keys(check, off, size)


def _write_refused(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    del off, size, value, source
    check.refuse(WRITABLE, f"R{register} cannot write into {type_text(pointer)}")


def _write_tp_buffer(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    del value, source
    regions.require_buffer(check, pointer, register, off, size, "tracepoint")


def _write_buffer(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    del value, source
    if pointer.flags & RDONLY:
        check.refuse(WRITABLE, f"R{register} cannot write into {type_text(pointer)}")
    regions.require_buffer(check, pointer, register, off, size, "rdwr")


def _write_object(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    del value, source
    kernel_objects.write_object(check, pointer, register, off, size)


def _write_map_object(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    del register, off, size, value, source
    kernel_objects.refuse_map_store(check, pointer)


def _write_arena(
    check: Check, pointer: Pointer, register: int, off: int, size: int, value: Value | None,
    source: int,
) -> None:  # fmt: skip
    del check, pointer, register, off, size, value, source


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


# --- any pointer ------------------------------------------------------------------------------


def _require_pointer(check: Check, value: Value, register: int) -> Pointer:
    if isinstance(value, Pointer) and value.kind in READ and not value.flags & MAYBE_NULL:
        return value
    nullable = isinstance(value, Pointer) and value.flags & MAYBE_NULL
    return check.refuse(
        POINTER_NEEDED,
        f"R{register} invalid mem access '{type_text(value)}'",
        hint="compare it with NULL first" if nullable else "",
    )


def read_memory(
    check: Check, register: int, off: int, size: int, *, strict: bool = False, signed: bool = False
) -> Value:
    """Value of a load of *size* bytes at *off* from the pointer in *register*, widened to 64 bits.

    Args:
        check: the examination.
        register: where the pointer stands.
        off: bytes, without the pointer's own offset.
        size: bytes.
        strict: the access must be aligned, whatever the memory.
        signed: the load sign-extends.
    """
    value = check.read(register)
    if not isinstance(value, Pointer):
        _require_pointer(check, value, register)
        return UNKNOWN
    regions.require_aligned(check, value, off, size, strict)
    pointer = _require_pointer(check, value, register)
    loaded = READ[pointer.kind](check, pointer, register, off + pointer.off, size, signed)
    if size == 8 or not isinstance(loaded, Scalar):
        return loaded
    if signed:
        wide = sign_extend(loaded, size)
        kept = loaded.umax < 1 << (8 * size - 1)
    else:
        wide = zero_extend(loaded, size)
        kept = True
    return wide.with_id(loaded.id, loaded.delta, loaded.moved) if kept and loaded.id else wide


def write_memory(
    check: Check,
    register: int,
    off: int,
    size: int,
    value: Value | None,
    source: int,
    *,
    strict: bool = False,
) -> None:
    """Store *value* (None: something unknown) at *off* from the pointer in *register*.

    Args:
        check: the examination.
        register: where the pointer stands.
        off: bytes, without the pointer's own offset.
        size: bytes.
        value: what is stored.
        source: the register that holds *value*, -1 if none does.
        strict: the access must be aligned, whatever the memory.
    """
    target = check.read(register)
    if isinstance(target, Pointer):
        regions.require_aligned(check, target, off, size, strict)
    pointer = _require_pointer(check, target, register)
    WRITE[pointer.kind](check, pointer, register, off + pointer.off, size, value, source)
