"""Kernel objects as arguments of helpers: of the right struct, and alive.

Source: Linux 6.18 kernel/bpf/verifier.c (check_reg_type, from its label "found" on).
"""

import errno
from typing import Final

from skep.btf.kinds import Kind
from skep.uapi.helper_rows_core import KPTR_XCHG, SPIN_LOCK, SPIN_UNLOCK
from skep.uapi.helper_rows_network import SK_RELEASE
from skep.uapi.helper_types import Arg, ArgType
from skep.verifier import walk
from skep.verifier.check import Check
from skep.verifier.rules.calls import ARGUMENT_NOT_NULL, ARGUMENT_READ_ONLY, ARGUMENT_TYPE
from skep.verifier.spelling import type_text
from skep.verifier.transfer.call import Call
from skep.verifier.transfer.kernel_objects import require_kptr_type
from skep.verifier.values import ALLOC, MAYBE_NULL, PERCPU, RCU, TRUSTED, Pointer

_MEMORY: Final = frozenset((Arg.MEM, Arg.MAP_KEY, Arg.MAP_VALUE))
_PLAIN: Final = frozenset((0, TRUSTED, TRUSTED | MAYBE_NULL, RCU, MAYBE_NULL, MAYBE_NULL | RCU))
_PER_CPU: Final = frozenset((PERCPU, PERCPU | RCU, PERCPU | TRUSTED))
_LOCAL: Final = frozenset((ALLOC, PERCPU | ALLOC))


def require_object(
    check: Check,
    call: Call,
    argument: ArgType,
    kind: Arg,
    register: int,
    value: Pointer,
) -> None:
    """Require that the kernel object *value* is of the struct that the helper takes.

    Args:
        check: the examination.
        call: the call.
        argument: the argument's row.
        kind: its kind, once the map is known.
        register: where *value* stands.
        value: a pointer of kind BTF_ID.
    """
    if kind in _MEMORY:
        if not argument.rdonly:
            check.refuse(
                ARGUMENT_READ_ONLY,
                f"bpf_{call.helper.name}() may write into memory pointed by R{register} "
                f"type={type_text(value)}",
            )
        return
    if value.flags in _PLAIN:
        _require_struct(check, call, argument, kind, register, value)
    elif value.flags in _LOCAL:
        if call.id not in (SPIN_LOCK.id, SPIN_UNLOCK.id, KPTR_XCHG.id):
            check.refuse(ARGUMENT_TYPE, "unimplemented handling of MEM_ALLOC", errno=errno.EFAULT)
        if call.id == KPTR_XCHG.id and register == 2 and call.kptr is not None:
            require_kptr_type(check, call.kptr, value, register)
    elif value.flags not in _PER_CPU:
        check.refuse(
            ARGUMENT_TYPE,
            "invalid PTR_TO_BTF_ID register for type match",
            errno=errno.EFAULT,
        )


def _require_struct(
    check: Check, call: Call, argument: ArgType, kind: Arg, register: int, value: Pointer
) -> None:
    if value.flags & MAYBE_NULL and (not argument.nullable or argument.release):
        check.refuse(ARGUMENT_NOT_NULL, f"Possibly NULL pointer passed to helper arg{register}")
    if call.id == KPTR_XCHG.id:
        if call.kptr is not None:
            require_kptr_type(check, call.kptr, value, register)
        return
    kernel = check.kernel_btf
    name = "sock_common" if kind is Arg.BTF_ID_SOCK_COMMON else argument.btf
    wanted = kernel.by_name(name, Kind.STRUCT) if kernel is not None else None
    if kernel is None or wanted is None or value.btf is None:
        check.not_supported(f"an argument of struct {name} without kernel BTF")
    strict = argument.release and call.id != SK_RELEASE.id
    flexible = not value.flags & ALLOC
    if not walk.is_part_of(
        value.btf, value.btf_id, value.off, kernel, wanted, strict=strict, flexible=flexible
    ):
        found = value.btf.type(value.btf_id).name
        check.refuse(ARGUMENT_TYPE, f"R{register} is of type {found} but {name} is expected")
