"""Arguments of kfuncs: what each is by its type and the ending of its name, and what it takes.

Source: Linux 6.18 kernel/bpf/verifier.c (check_kfunc_args, get_kfunc_ptr_arg_type).
"""

from collections.abc import Callable
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.special_fields import BY_STRUCT
from skep.uapi.kfuncs import ITER, RELEASE, TRUSTED_ARGS
from skep.uapi.kfuncs import RCU as TAKES_RCU
from skep.verifier import prototypes
from skep.verifier.check import Check
from skep.verifier.rules.calls import ARGUMENT_NOT_NULL, ARGUMENT_TYPE, KFUNC_ARGUMENT
from skep.verifier.rules.memory import UNMODIFIED_POINTER
from skep.verifier.rules.resources import (
    LOCK_IN_CALLBACK,
    ONE_REFERENCE,
    RELEASED_IS_REFERENCE,
    RELEASED_UNMOVED,
)
from skep.verifier.scalar import Scalar
from skep.verifier.spelling import type_text
from skep.verifier.state import REF_RES_LOCK, REF_RES_LOCK_IRQ
from skep.verifier.transfer import dynptrs, fields, graphs, kfunc_objects
from skep.verifier.transfer.arguments import require_argument_offset
from skep.verifier.transfer.buffers import require_region, require_sized
from skep.verifier.transfer.callbacks import in_tree_callback
from skep.verifier.transfer.iterators import iterator
from skep.verifier.transfer.kfunc_call import Argument, KfuncCall
from skep.verifier.transfer.nulls import without_null
from skep.verifier.transfer.regions import require_unmodified
from skep.verifier.transfer.resources import lock, unlock
from skep.verifier.transfer.sections import irq_flag
from skep.verifier.transfer.strings import require_constant_string
from skep.verifier.values import (
    ALLOC,
    BTF_ID,
    CONST_DYNPTR,
    CTX,
    DYNPTR_SKB,
    DYNPTR_SKB_META,
    DYNPTR_XDP,
    FUNC,
    MAP_VALUE,
    MAYBE_NULL,
    STACK,
    Pointer,
)

Handler = Callable[[Check, KfuncCall, Argument], None]

_MAX_ARGUMENTS: Final = 5
_MAX_NESTING: Final = 4
_IGNORED: Final = ("__ign", "__prog")
_DYNPTRS: Final[dict[str, int]] = {
    "bpf_dynptr_from_skb": DYNPTR_SKB,
    "bpf_dynptr_from_xdp": DYNPTR_XDP,
    "bpf_dynptr_from_skb_meta": DYNPTR_SKB_META,
}


def check_arguments(check: Check, call: KfuncCall) -> None:
    """Require that every register that the function reads holds what it takes."""
    params = call.proto.params
    if len(params) > _MAX_ARGUMENTS or call.proto.variadic:
        check.refuse(KFUNC_ARGUMENT, f"Function {call.name} has {len(params)} > 5 args")
    number = 0
    while number < len(params):
        if params[number].name.endswith(_IGNORED):
            number += 1
        else:
            number += _check_argument(check, call, number)
    if call.has(RELEASE) and not call.release_register:
        check.refuse(
            RELEASED_IS_REFERENCE,
            f"release kernel function {call.name} expects refcounted PTR_TO_BTF_ID",
        )


def _check_argument(check: Check, call: KfuncCall, number: int) -> int:
    """Check one argument; return how many it was: memory comes with its size."""
    param = call.proto.params[number]
    kernel = call.btf
    type_ = kernel.resolved(param.type)
    value = check.frame.regs[number + 1]
    if isinstance(type_, (kinds.Int, kinds.Enumeration)):
        _number(check, call, Argument(number, param.name, 0, value))
        return 1
    if not isinstance(type_, kinds.Ptr):
        check.refuse(KFUNC_ARGUMENT, f"Unrecognized arg#{number} type {type_.kind.name}")
    target = kernel.resolve(type_.type) if type_.type else 0
    argument = Argument(number, param.name, target, value)
    _note_reference(check, call, argument)
    sized = False
    handler = _handler(check, call, argument, type_)
    if handler is _null:
        check.mark_precise(argument.register)
        return 1
    if handler is None:
        sized = _is_sized(call, number + 1, check)
        _require_plain(check, kernel, argument, sized)
    elif handler in _TRUSTED:
        kfunc_objects.require_trust(check, call, argument)
    _require_offset(check, call, argument)
    if handler is not None:
        handler(check, call, argument)
    elif sized:
        _sized_memory(check, call, argument)
    else:
        _fixed_memory(check, argument, kernel.size_of(target))
    return 2 if sized else 1


def _note_reference(check: Check, call: KfuncCall, argument: Argument) -> None:
    value, name = argument.value, argument.name
    null = isinstance(value, Scalar) and value.is_number(0)
    maybe = isinstance(value, Pointer) and value.flags & MAYBE_NULL
    if (
        (null or maybe)
        and call.has(TRUSTED_ARGS | TAKES_RCU | RELEASE)
        and not name.endswith("__nullable")
    ):
        check.refuse(
            ARGUMENT_NOT_NULL,
            f"Possibly NULL pointer passed to trusted arg{argument.number}",
            hint="compare the pointer with NULL first",
        )
    if not isinstance(value, Pointer) or not value.ref_id:
        return
    if call.has(RELEASE):
        if call.ref_id:
            check.refuse(ONE_REFERENCE, f"more than one arg with ref_obj_id R{argument.register}")
        call.release_register = argument.register
    call.ref_id = value.ref_id


def _require_offset(check: Check, call: KfuncCall, argument: Argument) -> None:
    value, register = argument.value, argument.register
    if isinstance(value, Scalar):
        return
    if value is None:
        check.refuse(UNMODIFIED_POINTER, f"variable ? access of R{register} disallowed")
    if call.release_register == register:
        if value.off:
            check.refuse(
                RELEASED_UNMOVED,
                f"R{register} must have zero offset when passed to release func or "
                "trusted arg to kfunc",
            )
        require_unmodified(check, value, register)
        return
    require_argument_offset(check, register, value)


# --- numbers ----------------------------------------------------------------------------------


def _number(check: Check, call: KfuncCall, argument: Argument) -> None:
    value, register = argument.value, argument.register
    if not isinstance(value, Scalar):
        check.refuse(KFUNC_ARGUMENT, f"R{register} is not a scalar")
    if argument.name.endswith("__k"):
        _constant(check, call, value, register)


def _constant(check: Check, call: KfuncCall, value: Scalar, register: int) -> None:
    if not value.is_const:
        check.refuse(KFUNC_ARGUMENT, f"R{register} must be a known constant")
    check.mark_precise(register)
    call.constant = value.value


# --- which kind of pointer --------------------------------------------------------------------


def _handler(check: Check, call: KfuncCall, argument: Argument, type_: kinds.Ptr) -> Handler | None:
    """Who checks the argument; None for plain memory."""
    name, value = argument.name, argument.value
    target = call.btf.type(argument.target)
    if call.name == "bpf_cast_to_kern_ctx" or _is_context(check, call, target, type_):
        return _context
    if name.endswith("__nullable") and isinstance(value, Scalar) and value.is_number(0):
        return _null
    for suffix, handler in _BY_SUFFIX.items():
        if name.endswith(suffix):
            return handler
    if argument.number == 0 if call.has(ITER) else name.endswith("__iter"):
        return iterator
    if isinstance(target, kinds.Struct) and target.name in _BY_STRUCT:
        return _BY_STRUCT[target.name]
    if kfunc_objects.is_object(argument):
        if not isinstance(target, kinds.Composite):
            check.refuse(
                KFUNC_ARGUMENT,
                f"kernel function {call.name} args#{argument.number} pointer type "
                f"{target.kind.name} {target.name} is not supported",
            )
        return kfunc_objects.kernel_object
    return _callback if isinstance(target, kinds.FuncProto) else None


def _is_context(check: Check, call: KfuncCall, target: kinds.Type, type_: kinds.Ptr) -> bool:
    if not isinstance(target, kinds.Struct):
        return False
    if (check.request.program_type.context, target.name) in kfunc_objects.PROJECTIONS:
        return True
    return prototypes.is_context(check.request, call.btf, type_)


def _null(check: Check, call: KfuncCall, argument: Argument) -> None:
    del check, call, argument


def _context(check: Check, call: KfuncCall, argument: Argument) -> None:
    del call
    value = argument.value
    if not isinstance(value, Pointer) or value.kind != CTX:
        found = "?" if value is None else type_text(value)
        check.refuse(
            KFUNC_ARGUMENT, f"arg#{argument.number} expected pointer to ctx, but got {found}"
        )


def _callback(check: Check, call: KfuncCall, argument: Argument) -> None:
    value = argument.value
    if not isinstance(value, Pointer) or value.kind != FUNC:
        check.refuse(KFUNC_ARGUMENT, f"arg{argument.number} expected pointer to func")
    call.subprogram = value.subprog


def _string(check: Check, call: KfuncCall, argument: Argument) -> None:
    del call
    value = argument.value
    if not isinstance(value, Pointer) or value.kind != MAP_VALUE or value.flags:
        check.refuse(KFUNC_ARGUMENT, f"arg#{argument.number} doesn't point to a const string")
    require_constant_string(check, value, argument.register)


def _map_field(check: Check, call: KfuncCall, argument: Argument) -> None:
    value, kind = argument.value, BY_STRUCT[call.btf.name(argument.target)]
    if not isinstance(value, Pointer) or value.kind != MAP_VALUE or value.flags:
        check.refuse(KFUNC_ARGUMENT, f"arg#{argument.number} doesn't point to a map value")
    fields.require_map_field(check, value, argument.register, kind)
    call.map, call.map_uid = value.map, value.map_uid


def _dynptr(check: Check, call: KfuncCall, argument: Argument) -> None:
    value, register = argument.value, argument.register
    if not isinstance(value, Pointer) or value.kind not in (STACK, CONST_DYNPTR):
        check.refuse(
            KFUNC_ARGUMENT,
            f"arg#{argument.number} expected pointer to stack or const struct bpf_dynptr",
        )
    if not argument.name.endswith("__uninit"):
        call.dynptr = dynptrs.require_dynptr(check, register, value, 0)
        return
    flavor, reference = _DYNPTRS.get(call.name, 0), 0
    if call.name == "bpf_dynptr_clone":
        assert call.dynptr is not None
        flavor, reference = call.dynptr.flavor, call.dynptr.ref_id
    dynptrs.make_dynptr(check, register, value, flavor, reference)


def _res_lock(check: Check, call: KfuncCall, argument: Argument) -> None:
    value, register = argument.value, argument.register
    if in_tree_callback(check):
        check.refuse(LOCK_IN_CALLBACK, "can't res_spin_{lock,unlock} in rbtree cb")
    if not isinstance(value, Pointer) or (value.kind, value.flags) not in (
        (MAP_VALUE, 0),
        (BTF_ID, ALLOC),
    ):
        check.refuse(
            KFUNC_ARGUMENT,
            f"arg#{argument.number} doesn't point to map value or allocated object",
        )
    kind = REF_RES_LOCK_IRQ if "_irq" in call.name else REF_RES_LOCK
    if "_unlock" in call.name:
        unlock(check, value, register, kind)
    else:
        lock(check, value, register, kind)


# --- plain memory -----------------------------------------------------------------------------


def _is_sized(call: KfuncCall, number: int, check: Check) -> bool:
    """Whether argument *number* is a size of the memory before it."""
    if number >= len(call.proto.params):
        return False
    param = call.proto.params[number]
    type_ = call.btf.resolved(param.type)
    return (
        isinstance(type_, (kinds.Int, kinds.Enumeration))
        and param.name.endswith(("__sz", "__szk"))
        and isinstance(check.frame.regs[number + 1], Scalar)
    )


def _require_plain(check: Check, kernel: Btf, argument: Argument, sized: bool) -> None:
    type_ = kernel.type(argument.target) if argument.target else None
    if type_ is None or isinstance(type_, kinds.Void):
        plain = sized
    else:
        plain = _is_scalar(type_) or is_scalar_struct(kernel, argument.target)
    if not plain:
        name = "void" if type_ is None else f"{type_.kind.name} {type_.name}"
        void = "void, " if sized else ""
        check.refuse(
            KFUNC_ARGUMENT,
            f"arg#{argument.number} pointer type {name} must point to {void}scalar, "
            "or struct with scalar",
        )


def _is_scalar(type_: kinds.Type) -> bool:
    return isinstance(type_, (kinds.Int, kinds.Enumeration))


def is_scalar_struct(btf: Btf, type_id: int, depth: int = 0) -> bool:
    """Whether a struct consists of numbers only; structs nest up to four deep."""
    if depth >= _MAX_NESTING or not isinstance(btf.resolved(type_id), kinds.Composite):
        return False
    for member in btf.members(btf.resolve(type_id)):
        type_ = btf.resolved(member.type)
        if isinstance(type_, kinds.Composite):
            if not is_scalar_struct(btf, member.type, depth + 1):
                return False
            continue
        if isinstance(type_, kinds.Array):
            if not type_.count:
                return False
            type_ = btf.resolved(type_.element)
        if not _is_scalar(type_):
            return False
    return True


def _fixed_memory(check: Check, argument: Argument, size: int) -> None:
    """Memory of a known size, or NULL."""
    value, register = argument.value, argument.register
    if isinstance(value, Scalar) and value.is_number(0):
        check.mark_precise(register)
        return
    _with_sure_pointer(check, register)
    require_region(check, register, size, write=False, zero_ok=True)
    require_region(check, register, size, write=True, zero_ok=True)
    check.frame.regs[register] = value


def _with_sure_pointer(check: Check, register: int) -> None:
    """Let the register hold its pointer without a possible NULL, until it is put back."""
    value = check.frame.regs[register]
    if isinstance(value, Pointer) and value.flags & MAYBE_NULL:
        check.frame.regs[register] = without_null(value)


def _sized_memory(check: Check, call: KfuncCall, argument: Argument) -> None:
    value, register = argument.value, argument.register
    size = check.frame.regs[register + 1]
    assert isinstance(size, Scalar)
    optional = isinstance(value, Scalar) and value.is_number(0) and argument.name.endswith("__opt")
    if optional:
        check.mark_precise(register)
    else:
        if value is None:
            check.refuse(ARGUMENT_TYPE, f"R{register} type=? expected=fp")
        _with_sure_pointer(check, register)
        require_sized(check, register + 1, write=False, zero_ok=True)
        require_sized(check, register + 1, write=True, zero_ok=True)
        check.frame.regs[register] = value
    if call.proto.params[argument.number + 1].name.endswith("__szk"):
        _constant(check, call, size, register + 1)


_BY_SUFFIX: Final[dict[str, Handler]] = {
    "__alloc": kfunc_objects.allocated_object,
    "__refcounted_kptr": kfunc_objects.counted_object,
    "__str": _string,
    "__map": kfunc_objects.map_object,
    "__irq_flag": irq_flag,
}
_BY_STRUCT: Final[dict[str, Handler]] = {
    "bpf_dynptr": _dynptr,
    "bpf_list_head": graphs.list_head,
    "bpf_list_node": graphs.list_node,
    "bpf_rb_root": graphs.tree_root,
    "bpf_rb_node": graphs.tree_node,
    "bpf_wq": _map_field,
    "bpf_task_work": _map_field,
    "bpf_res_spin_lock": _res_lock,
}
_TRUSTED: Final[tuple[Handler, ...]] = (
    kfunc_objects.allocated_object, kfunc_objects.map_object, kfunc_objects.kernel_object,
)  # fmt: skip
