"""Arguments of global functions: what a caller may pass, and what the function begins with.

A function is verified once, for whatever its prototype allows, so both must agree: whatever may be
passed lies inside of the value that the function begins with.

Source: Linux 6.18 kernel/bpf/verifier.c (btf_check_func_arg_match, do_check_common).
"""

from skep.verifier import prototypes, walk
from skep.verifier.check import Check
from skep.verifier.prototypes import Argument
from skep.verifier.rules.calls import KFUNC_ARGUMENT
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.spelling import type_text
from skep.verifier.transfer.arguments import require_argument_offset
from skep.verifier.transfer.buffers import pass_memory
from skep.verifier.transfer.dynptrs import require_dynptr
from skep.verifier.values import (
    ARENA,
    BTF_ID,
    CONST_DYNPTR,
    CTX,
    DYNPTR_LOCAL,
    MAYBE_NULL,
    STACK,
    TRUSTED,
    UNTRUSTED,
    Pointer,
    Value,
    btf_pointer,
    memory_pointer,
)


def begin_with(check: Check, argument: Argument) -> Value:
    """What the function knows of the argument."""
    kind = argument.kind
    if kind == prototypes.CONTEXT:
        return Pointer(CTX)
    if kind == prototypes.MEMORY:
        return memory_pointer(argument.size, argument.flags, check.new_id())
    if kind == prototypes.DYNPTR:
        return Pointer(CONST_DYNPTR, DYNPTR_LOCAL, 0, check.new_id())
    if kind == prototypes.KERNEL_OBJECT:
        kernel = check.kernel_btf
        assert kernel is not None
        return btf_pointer(kernel, argument.type_id, argument.flags, check.new_id())
    return UNKNOWN


def is_refused_as_access(argument: Argument) -> bool:
    """Whether Linux answers EACCES if the argument does not fit, not EINVAL."""
    return argument.kind == prototypes.KERNEL_OBJECT


def why_not(check: Check, register: int, argument: Argument) -> str:
    """Why what *register* holds may not be passed; "" if it may."""
    value = check.frame.regs[register]
    kind = argument.kind
    if argument.flags & UNTRUSTED:
        return ""  # reading through it is checked when the program runs
    if kind == prototypes.ANYTHING:
        return "" if isinstance(value, Scalar) else f"R{register} is not a scalar"
    if value is None and kind in (prototypes.CONTEXT, prototypes.DYNPTR):
        check.read(register)  # which refuses
    if kind not in (prototypes.KERNEL_OBJECT, prototypes.ARENA) and isinstance(value, Pointer):
        require_argument_offset(check, register, value)
    if kind == prototypes.CONTEXT:
        fits = isinstance(value, Pointer) and value.kind == CTX
        return "" if fits else f"arg#{register - 1} expects pointer to ctx"
    if kind == prototypes.ARENA:
        fits = isinstance(value, Scalar) or (isinstance(value, Pointer) and value.kind == ARENA)
        return "" if fits else f"R{register} is not a pointer to arena or scalar."
    if kind == prototypes.MEMORY:
        return pass_memory(check, register, argument.size, argument.flags & MAYBE_NULL != 0)
    if kind == prototypes.DYNPTR:
        return _dynptr(check, register, value)
    return _object(check, register, argument, value)


def _dynptr(check: Check, register: int, value: Value | None) -> str:
    if not isinstance(value, Pointer) or value.kind not in (STACK, CONST_DYNPTR):
        check.refuse(
            KFUNC_ARGUMENT,
            f"arg#{register - 1} expected pointer to stack or const struct bpf_dynptr",
        )
    require_dynptr(check, register, value, 0)
    return ""


def _object(check: Check, register: int, argument: Argument, value: Value | None) -> str:
    """Linux passes pointers that are not trusted, too, though the function trusts them."""
    if isinstance(value, Scalar) and value.is_number(0) and argument.flags & MAYBE_NULL:
        check.mark_precise(register)
        return ""
    kernel = check.kernel_btf
    if not isinstance(value, Pointer) or value.kind != BTF_ID or value.btf is None:
        found = "nothing" if value is None else type_text(value)
        return f"R{register} type={found} expected=ptr_, trusted_ptr_, rcu_ptr_"
    if value.flags & MAYBE_NULL and not argument.flags & MAYBE_NULL:
        return f"Possibly NULL pointer passed to helper arg{register}"
    alive = value.flags & ~MAYBE_NULL == (0 if value.ref_id else TRUSTED)
    if not alive or not value.var.is_number(0):
        return f"R{register} must be a trusted pointer"
    assert kernel is not None
    if not walk.is_part_of(
        value.btf, value.btf_id, value.off, kernel, argument.type_id, strict=False, flexible=True
    ):
        wanted, found = kernel.type(argument.type_id).name, value.btf.type(value.btf_id).name
        return f"R{register} is of type {found} but {wanted} is expected"
    return ""
