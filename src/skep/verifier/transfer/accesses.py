"""Loads and stores through a pointer of any kind.

Source: Linux 6.18 kernel/bpf/verifier.c (check_mem_access).
"""

from skep.verifier.check import Check
from skep.verifier.rules.memory import POINTER_NEEDED
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.spelling import type_text
from skep.verifier.transfer import regions
from skep.verifier.transfer.casts import sign_extend, zero_extend
from skep.verifier.transfer.readers import READ
from skep.verifier.transfer.stack import read_stack, write_stack
from skep.verifier.transfer.writers import WRITE
from skep.verifier.values import MAYBE_NULL, STACK, Pointer, Value


def _require_pointer(check: Check, value: Value, register: int) -> Pointer:
    if isinstance(value, Pointer) and not value.flags & MAYBE_NULL and value.kind in READ:
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
    if pointer.kind == STACK:
        loaded = read_stack(check, pointer, register, off + pointer.off, size, True)
    else:
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
    check: Check, register: int, off: int, size: int, source: int, *, strict: bool = False
) -> None:
    """Store to *off* from the pointer in *register*.

    Args:
        check: the examination.
        register: where the pointer stands.
        off: bytes, without the pointer's own offset.
        size: bytes.
        source: what is stored, see ``stack.stored``.
        strict: the access must be aligned, whatever the memory.
    """
    target = check.read(register)
    if isinstance(target, Pointer):
        regions.require_aligned(check, target, off, size, strict)
    pointer = _require_pointer(check, target, register)
    if pointer.kind == STACK:
        write_stack(check, pointer, register, off + pointer.off, size, source)
    else:
        WRITE[pointer.kind](check, pointer, register, off + pointer.off, size, source)
