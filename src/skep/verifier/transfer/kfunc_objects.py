"""Objects as arguments of kfuncs: kernel objects, maps, and objects that the program allocated.

Source: Linux 6.18 kernel/bpf/verifier.c (check_kfunc_args, process_kf_arg_ptr_to_btf_id).
"""

import errno
from typing import Final, NoReturn

from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.btf.special_fields import REFCOUNT
from skep.uapi.kfuncs import RCU as TAKES_RCU
from skep.uapi.kfuncs import RELEASE, TRUSTED_ARGS
from skep.verifier import walk
from skep.verifier.check import Check
from skep.verifier.rules.calls import KFUNC_ARGUMENT, KFUNC_TRUST, MAP_SAME
from skep.verifier.rules.memory import UNMODIFIED_POINTER
from skep.verifier.rules.resources import OBJECT_OWNED
from skep.verifier.spelling import type_text
from skep.verifier.transfer.kfunc_call import Argument, KfuncCall
from skep.verifier.transfer.nulls import TRUSTED_FLAGS, is_rcu, is_trusted
from skep.verifier.values import (
    ALLOC,
    BTF_ID,
    CONST_MAP_PTR,
    MAYBE_NULL,
    NON_OWN_REF,
    PERCPU,
    SOCK_COMMON,
    SOCKET,
    TCP_SOCK,
    UNTRUSTED,
    Pointer,
)

# what pointers that are no BTF pointers point to
_STRUCTS: Final[dict[int, str]] = {
    SOCKET: "sock",
    SOCK_COMMON: "sock_common",
    TCP_SOCK: "tcp_sock",
    CONST_MAP_PTR: "bpf_map",
}
PROJECTIONS: Final = frozenset((("__sk_buff", "sk_buff"), ("xdp_md", "xdp_buff")))
_FIELDS: Final[dict[str, str]] = {"bpf_wq_init": "workqueue"}
_INITIALISING: Final = "___init"
_DROPS: Final[dict[str, int]] = {
    "bpf_obj_drop_impl": ALLOC,
    "bpf_percpu_obj_drop_impl": ALLOC | PERCPU,
}


def is_object(argument: Argument) -> bool:
    """Whether the register holds a pointer to something that kernel BTF describes."""
    value = argument.value
    return isinstance(value, Pointer) and (value.kind == BTF_ID or value.kind in _STRUCTS)


def require_trust(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Require that the object is as alive as the function demands."""
    value = argument.value
    alive = isinstance(value, Pointer) and is_trusted(value)
    if alive:
        return
    protected = isinstance(value, Pointer) and is_rcu(value)
    register = argument.register
    if call.has(TAKES_RCU):
        if not protected:
            check.refuse(KFUNC_TRUST, f"R{register} must be a rcu pointer")
    elif call.has(TRUSTED_ARGS | RELEASE):
        check.refuse(KFUNC_TRUST, f"R{register} must be referenced or trusted")


def kernel_object(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Check an argument that points to a struct of the kernel."""
    value = argument.value
    if not isinstance(value, Pointer) or (value.kind != BTF_ID and value.kind not in _STRUCTS):
        _refuse_kind(check, argument)
    unsafe = value.flags & ~TRUSTED_FLAGS
    if value.kind == BTF_ID and unsafe and not is_rcu(value):
        _refuse_kind(check, argument)
    if not call.has(TAKES_RCU | TRUSTED_ARGS | RELEASE) and (
        value.flags & MAYBE_NULL or not (is_trusted(value) or is_rcu(value))
    ):
        check.not_supported(f"an untrusted argument of kernel function {call.name}()")
    _require_struct(check, call, argument, value)


def _refuse_kind(check: Check, argument: Argument) -> NoReturn:
    value = argument.value
    found = "a number" if value is None else type_text(value)
    check.refuse(KFUNC_ARGUMENT, f"arg#{argument.number} is {found} expected ptr_ or socket")


def _require_struct(check: Check, call: KfuncCall, argument: Argument, value: Pointer) -> None:
    kernel = call.btf
    btf, type_id = _type_of(check, kernel, value)
    target = argument.target
    if argument.name.endswith("__map"):
        target = kernel.by_name("bpf_map", Kind.STRUCT) or 0
    wanted, found = kernel.type(target).name, btf.type(type_id).name
    strict = (call.has(RELEASE) and value.ref_id != 0) or _is_alias(wanted, found)
    if (wanted, found) in PROJECTIONS:
        return
    off = value.off
    if not walk.is_part_of(
        btf, type_id, off, kernel, target, strict=strict, flexible=not value.flags & ALLOC
    ):
        check.refuse(
            KFUNC_ARGUMENT,
            f"kernel function {call.name} args#{argument.number} expected pointer to STRUCT "
            f"{wanted} but R{argument.register} has a pointer to STRUCT {found}",
        )


def _type_of(check: Check, kernel: Btf, value: Pointer) -> tuple[Btf, int]:
    if value.kind == BTF_ID:
        assert value.btf is not None
        return value.btf, value.btf.resolve(value.btf_id)
    type_id = kernel.by_name(_STRUCTS[value.kind], Kind.STRUCT)
    if type_id is None:
        check.not_supported(f"a pointer to struct {_STRUCTS[value.kind]} without its BTF")
    return kernel, type_id


def _is_alias(x: str, y: str) -> bool:
    """Whether one name marks the other struct while it is being set up."""
    return x.endswith(_INITIALISING) != y.endswith(_INITIALISING) and (
        x.removesuffix(_INITIALISING) == y.removesuffix(_INITIALISING)
    )


# --- maps -------------------------------------------------------------------------------------


def map_object(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Check an argument that points to a map."""
    value = argument.value
    if isinstance(value, Pointer) and value.kind == CONST_MAP_PTR:
        if call.map is not None and (call.map is not value.map or call.map_uid != value.map_uid):
            check.refuse(
                MAP_SAME,
                f"{_FIELDS.get(call.name, 'bpf_task_work')} pointer in R{argument.number} "
                f"map_uid={call.map_uid} doesn't match map pointer in R{argument.register} "
                f"map_uid={value.map_uid}",
            )
        call.map, call.map_uid = value.map, value.map_uid
    elif call.map is not None:
        check.refuse(KFUNC_ARGUMENT, f"pointer in R{argument.register} isn't map pointer")
    kernel_object(check, call, argument)


# --- allocated objects ------------------------------------------------------------------------


def allocated_object(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Check an argument that points to an object that the function frees."""
    value, number = argument.value, argument.number
    if not isinstance(value, Pointer) or value.kind != BTF_ID or value.flags not in _DROPS.values():
        check.refuse(OBJECT_OWNED, f"arg#{number} expected pointer to allocated object")
    if value.flags != _DROPS.get(call.name):
        right = next(name for name, flags in _DROPS.items() if flags == value.flags)
        check.refuse(OBJECT_OWNED, f"arg#{number} expected for {right}()")
    if not value.ref_id:
        check.refuse(OBJECT_OWNED, "allocated object must be referenced")


def counted_object(check: Check, call: KfuncCall, argument: Argument) -> None:
    """Check an argument that points to an object with a reference count."""
    value, number = argument.value, argument.number
    if (
        not isinstance(value, Pointer)
        or value.kind != BTF_ID
        or (value.flags & (ALLOC | UNTRUSTED) != ALLOC)
    ):
        check.refuse(OBJECT_OWNED, f"arg#{number} is neither owning or non-owning ref")
    if value.off:
        # Linux 6.18 takes the start of the object for where the pointer points to.
        check.refuse(UNMODIFIED_POINTER, "a reference is taken through an unmoved pointer")
    record = check.records.of_pointer(value)
    if record is None or not record.kinds & REFCOUNT:
        check.refuse(
            KFUNC_ARGUMENT,
            f"arg#{number} doesn't point to a type with bpf_refcount field",
            errno=errno.EFAULT if record is None else 0,
        )
    call.object_owned = not value.flags & NON_OWN_REF and value.ref_id != 0
    call.object_btf, call.object_id = value.btf, value.btf_id
