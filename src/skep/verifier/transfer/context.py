"""Accesses of the context: by the context table, or by the BTF of what the program is attached to.

Source: Linux 6.18 kernel/bpf/verifier.c (check_ctx_access), kernel/bpf/btf.c (btf_ctx_access).
"""

from typing import Final, NoReturn

from skep.btf import kinds
from skep.btf.kinds import Kind
from skep.uapi import access as table
from skep.uapi.contexts import Context, Field, Points
from skep.uapi.contexts import by_name as context_by_name
from skep.uapi.flags import AttachType, ProgType
from skep.uapi.struct_ops import Structure
from skep.uapi.typed_contexts import ITERATORS, RAW_TRACEPOINTS, UNTRUSTED_LSM_HOOKS
from skep.verifier.check import Check
from skep.verifier.interface import Request
from skep.verifier.rules.memory import CONTEXT_FIELD
from skep.verifier.scalar import UNKNOWN, Scalar, narrow_signed32
from skep.verifier.target import Target
from skep.verifier.transfer.regions import require_unmodified
from skep.verifier.transfer.traced import read_lent_context, read_word
from skep.verifier.values import (
    BTF_ID,
    BUF,
    FLOW_KEYS,
    MAYBE_NULL,
    PACKET,
    PACKET_END,
    PACKET_META,
    PERCPU,
    RDONLY,
    SOCK_COMMON,
    SOCKET,
    TCP_SOCK,
    TP_BUFFER,
    TRUSTED,
    UNTRUSTED,
    USER,
    XDP_SOCK,
    Pointer,
    Value,
)
from skep.verifier.walk import pointee

_KIND_OF: Final[dict[Points, int]] = {
    Points.PACKET: PACKET,
    Points.PACKET_END: PACKET_END,
    Points.PACKET_META: PACKET_META,
    Points.SOCKET: SOCKET,
    Points.SOCK_COMMON: SOCK_COMMON,
    Points.FLOW_KEYS: FLOW_KEYS,
    Points.BUFFER: TP_BUFFER,
    Points.TCP_SOCK: TCP_SOCK,
    Points.XDP_SOCK: XDP_SOCK,
}
_ITER_PREFIX: Final = "bpf_iter_"
_LSM_PREFIX: Final = "bpf_lsm_"
MAX_ARGUMENTS: Final = 12


def read_context(
    check: Check, pointer: Pointer, register: int, off: int, size: int, signed: bool
) -> Value:
    """Value of a load of *size* bytes at *off* of the context."""
    row = check.request.program_type
    if row.typed:
        require_unmodified(check, pointer, register)
        return _read_argument(check, off, size)
    context = _context(check)
    require_unmodified(check, pointer, register)
    field = _field(check, context, off, size, False)
    if signed and field.points is not Points.SCALAR:
        _refuse(check, off, size)
    if field.slot >= 0:
        check.slots[check.pc] = context.native_base + 8 * field.slot
    return UNKNOWN if field.points is Points.SCALAR else _pointer(check, field)


def write_context(check: Check, pointer: Pointer, register: int, off: int, size: int) -> None:
    """Require that *size* bytes at *off* of the context may be stored to."""
    if check.request.program_type.typed:
        require_unmodified(check, pointer, register)
        _refuse(check, off, size)
    require_unmodified(check, pointer, register)
    _field(check, _context(check), off, size, True)


def _context(check: Check) -> Context:
    if check.context is None:
        row = check.request.program_type
        check.context = context_by_name(row.context)
        if check.context is None:
            check.not_supported(f"the context of program type {row.name}")
    return check.context


def _refuse(check: Check, off: int, size: int, why: str = "") -> NoReturn:
    words = f"invalid bpf_context access off={off} size={size}"
    check.refuse(CONTEXT_FIELD, f"{why}\n{words}" if why else words)


def _field(check: Check, context: Context, off: int, size: int, write: bool) -> Field:
    request = check.request
    key = (off << 8 | size) << 1 | write
    known = check.fields.get(key)
    if known is not None:
        return known
    field = table.access(context, request.program_type.id, check.attach_type, off, size, write)
    if field is None or (not check.has_cap_bpf and _needs_capability(request, field, write)):
        check.refuse(
            CONTEXT_FIELD,
            f"invalid bpf_context access off={off} size={size}",
            found=f"{'store to' if write else 'load from'} {context.name}",
        )
    check.fields[key] = field
    return field


def _needs_capability(request: Request, field: Field, write: bool) -> bool:
    """Whether only programs of callers with CAP_BPF may access the field."""
    if request.program_type.id != ProgType.CGROUP_SKB:
        return False
    return field.points in (Points.PACKET, Points.PACKET_END) or (write and field.name == "tstamp")


def _pointer(check: Check, field: Field) -> Value:
    flags = MAYBE_NULL if field.nullable else 0
    if field.points is Points.BTF:
        kernel = check.kernel_btf
        target = kernel.by_name(field.btf, Kind.STRUCT) if kernel is not None else None
        if kernel is None or target is None:
            check.not_supported(f"a pointer to struct {field.btf} without kernel BTF")
        pointer = Pointer(BTF_ID, flags | TRUSTED)
        pointer.btf, pointer.btf_id = kernel, target
    else:
        pointer = Pointer(_KIND_OF[field.points], flags)
    if flags & MAYBE_NULL:
        pointer.id = check.new_id()
    return pointer


# --- contexts typed by BTF --------------------------------------------------------------------


def target_of(check: Check) -> Target:
    """What the program is attached to."""
    if check.target is None:
        check.not_supported("a program attached to another program, or to nothing")
    return check.target


def _read_argument(check: Check, off: int, size: int) -> Value:
    """Value of an argument (or the result) of the function that the program is attached to."""
    if not 0 <= off < 8 * MAX_ARGUMENTS or off % size:
        _refuse(check, off, size)
    target = target_of(check)
    if off % 8:
        _refuse(check, off, size, f"func '{target.name}' offset {off} is not multiple of 8")
    if target.only_words:
        return read_word(check, target, off, size, sees_result=_sees_result(check))
    number = _argument_at(target, off)
    params = target.proto.params[target.hidden :]
    if number < len(params):
        if target.structure is not None:
            return _member_argument(check, target, target.structure, number, off, size)
        return _argument(check, target, params[number], number, off, size)
    if number > len(params) or not _sees_result(check):
        _refuse(check, off, size, f"func '{target.name}' doesn't have {number + 1}-th argument")
    value = _typed(check, target, target.proto.returns, number, off, size, flags=0)
    limits = target.return_range
    if check.request.expected_attach_type != AttachType.LSM_MAC:
        return value
    if limits is not None and isinstance(value, Scalar):
        return narrow_signed32(value, limits.low, limits.high)
    return value


def _argument_at(target: Target, off: int) -> int:
    """Number of the argument at *off*: those larger than 8 bytes take several places."""
    end = 0
    params = target.proto.params[target.hidden :]
    for number, param in enumerate(params):
        end += (target.btf.size_of(param.type) + 7) & ~7 if param.type else 8
        if off < end:
            return number
    return len(params) + (off - end) // 8


def _sees_result(check: Check) -> bool:
    attach_type = check.request.expected_attach_type
    return attach_type in (
        AttachType.LSM_MAC, AttachType.LSM_CGROUP, AttachType.TRACE_FEXIT, AttachType.MODIFY_RETURN
    )  # fmt: skip


def _argument(
    check: Check, target: Target, param: kinds.Param, number: int, off: int, size: int
) -> Value:
    request = check.request
    flags = TRUSTED if _is_trusted(check, target) else 0
    if param.name.endswith("__nullable"):
        flags |= MAYBE_NULL
    if request.expected_attach_type == AttachType.TRACE_ITER:
        for row in ITERATORS.get(target.name.removeprefix(_ITER_PREFIX), ()):
            if row.name != param.name:
                continue
            if row.buffer:
                pointer = Pointer(BUF, MAYBE_NULL | (RDONLY if row.rdonly else 0))
                pointer.id = check.new_id()
                if size != 8:
                    _bad_size(check, target, off, size)
                return pointer
            flags = MAYBE_NULL | (TRUSTED if row.trusted else 0)
            return _typed(check, target, param.type, number, off, size, flags=flags, listed=True)
    elif request.expected_attach_type == AttachType.TRACE_RAW_TP:
        nulls, errors = RAW_TRACEPOINTS.get(target.name, ((), ()))
        if number in nulls:
            flags |= MAYBE_NULL
        value = _typed(check, target, param.type, number, off, size, flags=flags)
        return UNKNOWN if number in errors else value
    return _typed(check, target, param.type, number, off, size, flags=flags)


def _member_argument(
    check: Check, target: Target, structure: Structure, number: int, off: int, size: int
) -> Value:
    """Value of an argument of the function pointer that a struct_ops program fills."""
    param = target.proto.params[number]
    nullable = number in structure.nullable.get(target.name, ())
    flags = TRUSTED | (MAYBE_NULL if nullable or param.name.endswith("__nullable") else 0)
    value = _typed(check, target, param.type, number, off, size, flags=flags, listed=nullable)
    plain, fuller = structure.promoted
    if isinstance(value, Pointer) and plain and not value.flags & (USER | PERCPU | UNTRUSTED):
        found = target.btf.by_name(fuller, Kind.STRUCT)
        if found is not None and value.btf_id == target.btf.by_name(plain, Kind.STRUCT):
            value.btf_id = found
    return value


def _is_trusted(check: Check, target: Target) -> bool:
    request = check.request
    if request.program_type.id == ProgType.LSM:
        return target.name.removeprefix(_LSM_PREFIX) not in UNTRUSTED_LSM_HOOKS
    return request.expected_attach_type in (AttachType.TRACE_RAW_TP, AttachType.TRACE_ITER)


def _bad_size(check: Check, target: Target, off: int, size: int) -> NoReturn:
    _refuse(check, off, size, f"func '{target.name}' size {size} must be 8")


def _typed(
    check: Check,
    target: Target,
    type_id: int,
    number: int,
    off: int,
    size: int,
    *,
    flags: int,
    listed: bool = False,
) -> Value:
    """Value of BTF type *type_id*: a number, or a pointer to a kernel object.

    The log tells of the latter, unless the argument is one of those that Linux *listed*.
    """
    btf = target.btf
    type_ = btf.resolved(type_id)
    if isinstance(type_, (kinds.Enumeration, kinds.Composite)):
        return UNKNOWN
    if isinstance(type_, kinds.Int) and type_.size <= 8:
        return UNKNOWN
    if not isinstance(type_, kinds.Ptr):
        _refuse(
            check, off, size,
            f"func '{target.name}' arg{number} '{type_.name}' has type {type_.kind.name}. "
            "Only pointer access is allowed",
        )  # fmt: skip
    if size != 8:
        _bad_size(check, target, off, size)
    struct, tags = pointee(btf, type_.type)
    pointed = btf.type(struct)
    if struct == 0 or isinstance(pointed, kinds.Int):
        return UNKNOWN
    if not isinstance(pointed, kinds.Composite):
        why = f"func '{target.name}' arg{number} type {pointed.kind.name} is not a struct"
        _refuse(check, off, size, why)
    if target.program is not None:
        return read_lent_context(check, target.program, type_, off, size)
    if not listed:
        check.note(
            f"func '{target.name}' arg{number} has btf_id {struct} "
            f"type {pointed.kind.name} '{pointed.name}'"
        )
    pointer = Pointer(BTF_ID, flags | tags)
    pointer.btf, pointer.btf_id = btf, struct
    if flags & MAYBE_NULL:
        pointer.id = check.new_id()
    return pointer
