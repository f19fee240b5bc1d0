"""What a tracing program sees of a function of another program: words, numbers, the context.

Source: Linux 6.18 kernel/bpf/btf.c (btf_ctx_access, btf_translate_to_vmlinux).
"""

from dataclasses import replace
from typing import Final, NoReturn

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.uapi.flags import ProgType
from skep.verifier.check import Check
from skep.verifier.extension import lent_type
from skep.verifier.interface import Proof
from skep.verifier.prototypes import is_context
from skep.verifier.rules.memory import CONTEXT_FIELD
from skep.verifier.scalar import UNKNOWN
from skep.verifier.target import Target
from skep.verifier.values import Value, btf_pointer

MAX_REGISTERS: Final = 5
_CONTEXTS: Final = "bpf_ctx_convert"


def read_word(check: Check, target: Target, off: int, size: int, *, sees_result: bool) -> Value:
    """Value of a register of a function whose arguments nobody knows, or of its result."""
    number = off // 8
    if number > MAX_REGISTERS or (number == MAX_REGISTERS and not sees_result):
        why = f"func '{target.name}' doesn't have {number + 1}-th argument\n"
        _refuse(check, off, size, why)
    return UNKNOWN


def read_lent_context(check: Check, traced: Proof, type_: kinds.Ptr, off: int, size: int) -> Value:
    """Value of an argument that points to a structure.

    It must be the context; what the kernel has in its place is seen.
    """
    row, btf, kernel = lent_type(traced), traced.request.btf, check.kernel_btf
    assert btf is not None, "what is traced has types"
    if not is_context(replace(traced.request, program_type=row), btf, type_):
        _refuse(check, off, size)
    found = kernel_context(kernel, row.id) if kernel is not None else 0
    if kernel is None or not found:
        check.not_supported(f"the context of a {row.name} program that is traced")
    return btf_pointer(kernel, found)


def kernel_context(kernel: Btf, program_type: int) -> int:
    """Id of the kernel's own type behind the context, as struct bpf_ctx_convert lists it, or 0."""
    holder = kernel.by_name(_CONTEXTS, Kind.STRUCT)
    wanted = f"BPF_PROG_TYPE_{ProgType(program_type).name}_kern"
    for member in kernel.members(holder) if holder is not None else ():
        if member.name == wanted:
            return kernel.resolve(member.type)
    return 0


def _refuse(check: Check, off: int, size: int, why: str = "") -> NoReturn:
    check.refuse(CONTEXT_FIELD, f"{why}invalid bpf_context access off={off} size={size}")
