"""What a kfunc leaves in r0.

Source: Linux 6.18 kernel/bpf/verifier.c (check_kfunc_call, its part on return types).
"""

from collections.abc import Callable
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.errors import BtfError
from skep.uapi.flags import ProgType
from skep.uapi.kfuncs import ACQUIRE, ITER_NEXT, RCU_PROTECTED, RET_NULL, UNTRUSTED_RESULT
from skep.verifier.check import Check
from skep.verifier.rules.calls import KFUNC_RESULT
from skep.verifier.scalar import UNKNOWN, ZERO
from skep.verifier.transfer.graphs import disown, element
from skep.verifier.transfer.iterators import iterator_of
from skep.verifier.transfer.kfunc_arguments import is_scalar_struct
from skep.verifier.transfer.kfunc_call import KfuncCall
from skep.verifier.transfer.regions import may_write_packet
from skep.verifier.transfer.resources import acquire
from skep.verifier.transfer.traced import kernel_context
from skep.verifier.values import (
    ALLOC,
    MAYBE_NULL,
    MEM,
    PERCPU,
    RCU,
    RDONLY,
    TRUSTED,
    UNTRUSTED,
    Pointer,
    Value,
    btf_pointer,
    memory_pointer,
)

MAX_PER_CPU: Final = 512
_U32: Final = (1 << 32) - 1
_LOCKS: Final = ("bpf_res_spin_lock", "bpf_res_spin_lock_irqsave")


def result(check: Check, call: KfuncCall) -> Value | None:
    """The value of r0 after the call; None if it must not be read."""
    btf = call.btf
    type_ = btf.resolved(call.proto.returns) if call.proto.returns else None
    if type_ is None or isinstance(type_, kinds.Void):
        return None
    if isinstance(type_, (kinds.Int, kinds.Enumeration)):
        return ZERO if call.name in _LOCKS else UNKNOWN
    if not isinstance(type_, kinds.Ptr):
        check.not_supported(f"the result of kernel function {call.name}()")
    target = btf.resolve(type_.type) if type_.type else 0
    maker = _SPECIAL.get(call.name)
    if maker is None and target:
        maker = _BY_STRUCT.get(btf.type(target).name)
    if maker is not None:
        made = maker(check, call)
    elif not target or isinstance(btf.type(target), kinds.Void):
        return UNKNOWN  # a pointer to anything is a number
    elif isinstance(btf.type(target), kinds.Composite):
        made = _kernel_object(check, call, target)
    else:
        made = _memory(check, call, target)
    return _finished(check, call, made)


def _finished(check: Check, call: KfuncCall, made: Pointer) -> Pointer:
    nullable = call.has(RET_NULL) and not (
        call.name == "bpf_refcount_acquire_impl" and call.object_owned
    )
    if nullable:
        made.flags |= MAYBE_NULL
        made.id = check.new_id()
    if call.has(ACQUIRE):
        made.ref_id = acquire(check)
        if nullable:
            made.id = made.ref_id
    elif made.flags & ALLOC:
        made = disown(check, made)
    record = check.records.of_pointer(made)
    if record is not None and record.has_lock and not made.id:
        made.id = check.new_id()
    return made


def _kernel_object(check: Check, call: KfuncCall, target: int) -> Pointer:
    flags = 0
    if call.has(UNTRUSTED_RESULT):
        flags = UNTRUSTED
    elif call.has(RCU_PROTECTED):
        flags = RCU
    elif call.has(ITER_NEXT):
        flags = RCU if iterator_of(check, call).flags & RCU else TRUSTED
    return btf_pointer(call.btf, target, flags)


def _memory(check: Check, call: KfuncCall, target: int) -> Pointer:
    try:
        size = call.btf.size_of(target)
    except BtfError:
        check.refuse(KFUNC_RESULT, f"the size of the result of {call.name}() is not known")
    made = memory_pointer(size, 0 if call.name == "bpf_session_cookie" else RDONLY)
    made.ref_id = call.ref_id
    return made


# --- functions of their own kind --------------------------------------------------------------


def _local_type(check: Check, call: KfuncCall) -> tuple[Btf, int]:
    number, btf = call.constant, check.request.btf
    if number > _U32:
        check.refuse(KFUNC_RESULT, "local type ID argument must be in range [0, U32_MAX]")
    if btf is None:
        check.refuse(KFUNC_RESULT, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF")
    if not btf.has(number) or not isinstance(btf.type(number), kinds.Struct):
        check.refuse(
            KFUNC_RESULT,
            "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct",
        )
    return btf, number


def _new_object(check: Check, call: KfuncCall) -> Pointer:
    btf, number = _local_type(check, call)
    return btf_pointer(btf, number, ALLOC)


def _new_per_cpu_object(check: Check, call: KfuncCall) -> Pointer:
    btf, number = _local_type(check, call)
    size = btf.size_of(number)
    detail = ""
    if size > MAX_PER_CPU:
        detail = f"type size ({size}) is greater than {MAX_PER_CPU}"
    elif not is_scalar_struct(btf, number):
        detail = "type ID argument must be of a struct of scalars"
    elif check.records.of_type(btf, number) is not None:
        detail = "type ID argument must not contain special fields"
    if detail:
        check.refuse(KFUNC_RESULT, f"bpf_percpu_obj_new {detail}")
    return btf_pointer(btf, number, ALLOC | PERCPU)


def _same_object(check: Check, call: KfuncCall) -> Pointer:
    del check
    assert call.object_btf is not None
    return btf_pointer(call.object_btf, call.object_id, ALLOC)


def _kernel_context(check: Check, call: KfuncCall) -> Pointer:
    """The kernel's own struct behind the context, as struct bpf_ctx_convert lists it."""
    kind = ProgType(check.request.program_type.id)
    found = kernel_context(call.btf, kind)
    if not found:
        check.not_supported(f"bpf_cast_to_kern_ctx() in programs of type {kind.name.lower()}")
    if not isinstance(call.btf.type(found), kinds.Struct):
        check.refuse(KFUNC_RESULT, f"kern ctx type id {found} is not a struct")
    return btf_pointer(call.btf, found, TRUSTED)


def _untrusted(check: Check, call: KfuncCall) -> Pointer:
    number = call.constant
    if number == 0:
        return Pointer(MEM, RDONLY | UNTRUSTED)
    if not call.btf.has(number):
        check.refuse(KFUNC_RESULT, f"Unknown type ID {number} passed to kfunc bpf_rdonly_cast")
    if not isinstance(call.btf.type(number), kinds.Composite):
        check.refuse(
            KFUNC_RESULT, "kfunc bpf_rdonly_cast type ID argument must be of a struct or void"
        )
    return btf_pointer(call.btf, number, UNTRUSTED)


def _slice(check: Check, call: KfuncCall) -> Pointer:
    dynptr = call.dynptr
    if call.constant < 0 or dynptr is None:
        check.refuse(KFUNC_RESULT, f"{call.name}() needs a dynptr and a constant size")
    flags = dynptr.flavor
    if call.name == "bpf_dynptr_slice":
        flags |= RDONLY
    elif not may_write_packet(check):
        check.refuse(KFUNC_RESULT, "the prog does not allow writes to packet data")
    made = memory_pointer(call.constant, flags)
    made.dynptr_id = dynptr.id
    # Linux 6.18 forgets that a slice of a ring buffer record dies with the record.
    made.ref_id = dynptr.ref_id
    return made


def _element(check: Check, call: KfuncCall) -> Pointer:
    assert call.head is not None
    return element(check, call.head)


_Maker = Callable[[Check, KfuncCall], Pointer]
_SPECIAL: Final[dict[str, _Maker]] = {
    "bpf_obj_new_impl": _new_object,
    "bpf_percpu_obj_new_impl": _new_per_cpu_object,
    "bpf_refcount_acquire_impl": _same_object,
    "bpf_cast_to_kern_ctx": _kernel_context,
    "bpf_rdonly_cast": _untrusted,
    "bpf_dynptr_slice": _slice,
    "bpf_dynptr_slice_rdwr": _slice,
}
_BY_STRUCT: Final[dict[str, _Maker]] = {
    "bpf_list_node": _element,
    "bpf_rb_node": _element,
}
