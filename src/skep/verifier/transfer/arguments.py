"""Call of helpers: what each kind of argument takes, and what the call learns from it.

Source: Linux 6.18 kernel/bpf/verifier.c (check_func_arg, check_reg_type, check_func_arg_reg_off).
"""

from collections.abc import Callable
from typing import Final

from skep.uapi.flags import MapType
from skep.uapi.helper_rows_core import KPTR_XCHG, MAP_PEEK_ELEM
from skep.uapi.helper_types import VALUE, Arg, ArgType
from skep.uapi.program_types import Packet
from skep.verifier.check import Check
from skep.verifier.helper_prototypes import Parameter
from skep.verifier.rules.calls import (
    ARGUMENT_NO_LEAK,
    ARGUMENT_PACKET,
    ARGUMENT_TYPE,
    MAP_SAME,
    SIZE_CONSTANT,
)
from skep.verifier.rules.resources import (
    ONE_REFERENCE,
    RELEASED_IS_REFERENCE,
    RELEASED_UNMOVED,
)
from skep.verifier.scalar import Scalar
from skep.verifier.spelling import kind_text, type_text
from skep.verifier.transfer import dynptrs, fields
from skep.verifier.transfer.buffers import require_region, require_sized
from skep.verifier.transfer.call import Call
from skep.verifier.transfer.objects import require_object
from skep.verifier.transfer.regions import require_aligned, require_unmodified
from skep.verifier.transfer.strings import require_constant_string
from skep.verifier.values import (
    ALLOC,
    ARENA,
    BTF_ID,
    BUF,
    CONST_DYNPTR,
    CONST_MAP_PTR,
    CTX,
    DYNPTR_FLAGS,
    FUNC,
    MAP_KEY,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    NON_OWN_REF,
    PACKET,
    PACKET_END,
    PACKET_META,
    PERCPU,
    RCU,
    RDONLY,
    RINGBUF,
    SOCK_COMMON,
    SOCKET,
    STACK,
    TCP_SOCK,
    TRUSTED,
    XDP_SOCK,
    Pointer,
    Value,
)

_KPTR_XCHG: Final = KPTR_XCHG.id
_MAP_PEEK_ELEM: Final = MAP_PEEK_ELEM.id
_SCALAR: Final = (-1, 0)
_MEMORY: Final = (
    (STACK, 0), (PACKET, 0), (PACKET_META, 0), (MAP_KEY, 0), (MAP_VALUE, 0), (MEM, 0),
    (MEM, RINGBUF), (BUF, 0), (BTF_ID, TRUSTED),
)  # fmt: skip
_SOCKETS: Final = ((SOCK_COMMON, 0), (SOCKET, 0), (TCP_SOCK, 0), (XDP_SOCK, 0))
_VALUE_OR_OBJECT: Final = ((MAP_VALUE, 0), (BTF_ID, ALLOC))

# kinds and flags of the values that an argument takes; -1 is a number
COMPATIBLE: Final[dict[int, tuple[tuple[int, int], ...]]] = {
    Arg.MAP_KEY: _MEMORY,
    Arg.MAP_VALUE: _MEMORY,
    Arg.MEM: _MEMORY,
    Arg.CONST_SIZE: (_SCALAR,),
    Arg.CONST_SIZE_OR_ZERO: (_SCALAR,),
    Arg.CONST_ALLOC_SIZE: (_SCALAR,),
    Arg.CONST_MAP_PTR: ((CONST_MAP_PTR, 0),),
    Arg.CTX: ((CTX, 0),),
    Arg.SOCK_COMMON: _SOCKETS,
    Arg.BTF_ID_SOCK_COMMON: (*_SOCKETS, (BTF_ID, 0), (BTF_ID, TRUSTED)),
    Arg.SOCKET: ((SOCKET, 0),),
    Arg.BTF_ID: ((BTF_ID, 0), (BTF_ID, TRUSTED), (BTF_ID, RCU)),
    Arg.SPIN_LOCK: _VALUE_OR_OBJECT,
    Arg.RINGBUF_MEM: ((MEM, RINGBUF),),
    Arg.PERCPU_BTF_ID: ((BTF_ID, PERCPU), (BTF_ID, PERCPU | RCU), (BTF_ID, PERCPU | TRUSTED)),
    Arg.FUNC: ((FUNC, 0),),
    Arg.STACK: ((STACK, 0),),
    Arg.CONST_STR: ((MAP_VALUE, 0),),
    Arg.TIMER: ((MAP_VALUE, 0),),
    Arg.KPTR: _VALUE_OR_OBJECT,
    Arg.DYNPTR: ((STACK, 0), (CONST_DYNPTR, 0)),
}
_NUMBER: Final = -1


def _packed(kind: int, flags: int) -> int:
    return _NUMBER if kind < 0 else flags << 8 | kind


_WANTED: Final[dict[int, frozenset[int]]] = {
    kind: frozenset(_packed(*each) for each in rows) for kind, rows in COMPATIBLE.items()
}
_NONE: Final = Arg.NONE
_SOCKMAP: Final = int(MapType.SOCKMAP)
_SOCKHASH: Final = int(MapType.SOCKHASH)
_ANYTHING: Final = Arg.ANYTHING
_MAP_VALUE: Final = Arg.MAP_VALUE
_MEM: Final = Arg.MEM
# Pointers that may be passed with any offset; objects with a constant one, others unmoved.
_ANY_OFFSET: Final = (
    1 << STACK | 1 << PACKET | 1 << PACKET_META | 1 << MAP_KEY | 1 << MAP_VALUE | 1 << MEM
    | 1 << BUF | 1 << ARENA
)  # fmt: skip
_OBJECT_FLAGS: Final = frozenset(
    (0, ALLOC, TRUSTED, RCU, ALLOC | NON_OWN_REF, ALLOC | NON_OWN_REF | RCU)
)
_PACKET_KINDS: Final = 1 << PACKET | 1 << PACKET_META | 1 << PACKET_END
_BTF_ARGUMENTS: Final = frozenset((Arg.BTF_ID, Arg.BTF_ID_SOCK_COMMON))


def check_argument(check: Check, call: Call, parameter: Parameter, register: int) -> None:
    """Require that the argument in *register* is what the helper takes."""
    kind = parameter.kind
    if kind is _NONE:
        return
    value = check.read(register)
    if kind is _ANYTHING:
        if not check.privileged and isinstance(value, Pointer):
            check.refuse(ARGUMENT_NO_LEAK, f"R{register} leaks addr into helper function")
        return
    _require_packet_allowed(check, call, value)
    if kind is _MAP_VALUE:
        kind = _resolved_kind(check, call, parameter.type)
    if parameter.nullable and isinstance(value, Scalar) and value.is_number(0):
        check.mark_precise(register)
    else:
        _require_type(check, call, parameter, kind, register, value)
        _require_offset(check, parameter, register, value)
    if parameter.release:
        _note_release(check, call, parameter.type, register, value)
    if isinstance(value, Pointer) and value.ref_id:
        _note_reference(check, call, kind, register, value)
    handler = _HANDLERS.get(kind)
    if handler is not None:
        handler(check, call, parameter.type, register, value)


def _require_packet_allowed(check: Check, call: Call, value: Value) -> None:
    if not isinstance(value, Pointer) or not _PACKET_KINDS >> value.kind & 1:
        return
    row = check.request.program_type
    if row.packet_in_any_helper:
        return
    if row.packet is Packet.NONE or not call.helper.pkt_access:
        check.refuse(ARGUMENT_PACKET, "helper access to the packet is not allowed")


def _resolved_kind(check: Check, call: Call, argument: ArgType) -> Arg:
    """Socket maps hold sockets, so their values are passed as such."""
    kind = call.map.map_type if call.map is not None else 0
    if kind == _SOCKMAP or kind == _SOCKHASH:
        if argument == VALUE:
            return Arg.BTF_ID_SOCK_COMMON
        check.refuse(
            ARGUMENT_TYPE, "invalid arg_type for sockmap/sockhash", errno=RELEASED_UNMOVED.errno
        )
    return _MAP_VALUE


# --- types ------------------------------------------------------------------------------------


def _require_type(
    check: Check, call: Call, parameter: Parameter, kind: Arg, register: int, value: Value
) -> None:
    wanted = _WANTED.get(kind)
    if wanted is None:
        check.not_supported(f"an argument of kind {kind.name}")
    found = _NUMBER
    if isinstance(value, Pointer):
        found = _packed(value.kind, _folded_flags(call, parameter, kind, register, value))
    if found not in wanted:
        names = ", ".join("scalar" if k < 0 else kind_text(k, f) for k, f in COMPATIBLE[kind])
        check.refuse(
            ARGUMENT_TYPE,
            f"R{register} type={type_text(value)} expected={names}",
            found=f"argument {register} of bpf_{call.helper.name}",
        )
    if isinstance(value, Pointer) and value.kind == BTF_ID:
        require_object(check, call, parameter.type, kind, register, value)


def _folded_flags(
    call: Call, parameter: Parameter, kind: Arg, register: int, value: Pointer
) -> int:
    """Flags of *value* without those that do not matter for the argument."""
    flags = value.flags
    if flags == 0:
        return 0
    if parameter.rdonly:
        flags &= ~RDONLY
    if parameter.nullable:
        flags &= ~MAYBE_NULL
    if kind is _MEM or value.kind == CONST_DYNPTR:
        flags &= ~DYNPTR_FLAGS
    if call.id == _KPTR_XCHG and register == 2 and flags & ALLOC:
        flags &= ~(ALLOC | PERCPU)
    return flags


def _require_offset(check: Check, parameter: Parameter, register: int, value: Value) -> None:
    if isinstance(value, Scalar):
        return
    if parameter.release:
        if parameter.kind is Arg.DYNPTR and value.kind == STACK:
            return
        if value.off:
            check.refuse(
                RELEASED_UNMOVED,
                f"R{register} must have zero offset when passed to release func or "
                "trusted arg to kfunc",
            )
        require_unmodified(check, value, register)
        return
    require_argument_offset(check, register, value)


def require_argument_offset(check: Check, register: int, value: Pointer) -> None:
    """Require that *value* has an offset with which pointers of its kind may be passed."""
    if _ANY_OFFSET >> value.kind & 1 and not value.flags & ~(RDONLY | RINGBUF):
        return
    fixed_ok = value.kind == BTF_ID and value.flags in _OBJECT_FLAGS
    require_unmodified(check, value, register, fixed_ok=fixed_ok)


# --- references -------------------------------------------------------------------------------


def _note_release(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    if argument.kind is Arg.DYNPTR:
        dynptrs.require_releasable(check, register, value)
    elif isinstance(value, Pointer):
        if not value.ref_id:
            check.refuse(
                RELEASED_IS_REFERENCE,
                f"R{register} must be referenced when passed to release function",
            )
    elif not value.is_number(0):
        check.refuse(
            RELEASED_IS_REFERENCE,
            f"R{register} must be referenced when passed to release function",
        )
    call.release_register = register


def _note_reference(check: Check, call: Call, kind: Arg, register: int, value: Pointer) -> None:
    if kind is Arg.KPTR:
        return
    if call.ref_id:
        check.refuse(
            ONE_REFERENCE,
            f"more than one arg with ref_obj_id R{register} {value.ref_id} {call.ref_id}",
        )
    call.ref_id = value.ref_id


# --- kinds ------------------------------------------------------------------------------------


def _map_pointer(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    del argument, register
    assert isinstance(value, Pointer)
    if call.map is not None and (call.map is not value.map or call.map_uid != value.map_uid):
        check.refuse(
            MAP_SAME,
            f"timer pointer in R1 map_uid={call.map_uid} doesn't match map pointer in R2 "
            f"map_uid={value.map_uid}",
        )
    call.map = value.map
    call.map_uid = value.map_uid


def _map_key(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    del argument
    if call.map is None:
        check.refuse(ARGUMENT_TYPE, "invalid map_ptr to access map->key")
    require_region(check, register, call.map.key_size, write=False)
    if isinstance(value, Pointer):
        fields.note_constant_key(check, call, value)


def _map_value(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    if isinstance(value, Scalar) and argument.nullable:
        return
    if call.map is None:
        check.refuse(ARGUMENT_TYPE, "invalid map_ptr to access map->value")
    size = call.map.value_size
    asks = call.id == _MAP_PEEK_ELEM and call.map.map_type == MapType.BLOOM_FILTER
    fill = argument.uninit and not asks
    if require_region(check, register, size, write=argument.writes and not asks, raw=fill):
        call.raw_register, call.raw_size = register, size


def _memory(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    call.fill = argument.uninit
    if not argument.size:
        return
    fills = require_region(
        check, register, argument.size, write=argument.writes, raw=argument.uninit
    )
    if fills:
        call.raw_register, call.raw_size = register, argument.size
    if argument.aligned and isinstance(value, Pointer):
        require_aligned(check, value, 0, argument.size, True)


def _size(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    assert isinstance(value, Scalar)
    call.size_max = value.umax
    filled = require_sized(
        check,
        register,
        write=call.helper.args[register - 2].writes,
        zero_ok=argument.kind is Arg.CONST_SIZE_OR_ZERO,
        raw=call.fill,
    )
    if filled >= 0:
        call.raw_register, call.raw_size = register - 1, filled


def _allocation_size(
    check: Check, call: Call, argument: ArgType, register: int, value: Value
) -> None:
    del argument
    assert isinstance(value, Scalar)
    if not value.is_const:
        check.refuse(SIZE_CONSTANT, f"R{register} is not a known constant'")
    call.alloc_size = value.value
    check.mark_precise(register)


def _function(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    del check, argument, register
    assert isinstance(value, Pointer)
    call.subprogram = value.subprog


def _per_cpu(check: Check, call: Call, argument: ArgType, register: int, value: Value) -> None:
    del argument
    assert isinstance(value, Pointer)
    if not value.btf_id:
        check.refuse(ARGUMENT_TYPE, f"Helper has invalid btf_id in R{register}")
    call.result_btf, call.result_id = value.btf, value.btf_id


def _constant_string(
    check: Check, call: Call, argument: ArgType, register: int, value: Value
) -> None:
    del call, argument
    assert isinstance(value, Pointer)
    require_constant_string(check, value, register)


Handler = Callable[[Check, Call, ArgType, int, Value], None]

_HANDLERS: Final[dict[Arg, Handler]] = {
    Arg.CONST_MAP_PTR: _map_pointer,
    Arg.MAP_KEY: _map_key,
    Arg.MAP_VALUE: _map_value,
    Arg.MEM: _memory,
    Arg.CONST_SIZE: _size,
    Arg.CONST_SIZE_OR_ZERO: _size,
    Arg.CONST_ALLOC_SIZE: _allocation_size,
    Arg.FUNC: _function,
    Arg.PERCPU_BTF_ID: _per_cpu,
    Arg.CONST_STR: _constant_string,
    Arg.SPIN_LOCK: fields.spin_lock,
    Arg.TIMER: fields.timer,
    Arg.KPTR: fields.kptr,
    Arg.DYNPTR: dynptrs.argument,
}
