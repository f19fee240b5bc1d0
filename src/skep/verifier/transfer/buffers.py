"""Memory that helpers and kfuncs get: a pointer, and how many bytes from there they may touch.

Source: Linux 6.18 kernel/bpf/verifier.c (check_helper_mem_access, check_mem_size_reg,
check_mem_reg).
"""

from typing import Final

from skep.uapi.flags import ProgType
from skep.verifier.check import Check
from skep.verifier.report import Rejected
from skep.verifier.rules.calls import (
    ARGUMENT_TYPE,
    SIZE_BOUNDED,
    SIZE_NOT_NEGATIVE,
    SIZE_NOT_ZERO,
)
from skep.verifier.rules.memory import IN_MEMORY, WRITABLE
from skep.verifier.scalar import Scalar
from skep.verifier.spelling import type_text
from skep.verifier.transfer import kernel_objects, regions
from skep.verifier.transfer.context import read_context, write_context
from skep.verifier.transfer.nulls import without_null
from skep.verifier.transfer.pointers import MAX_OFFSET
from skep.verifier.transfer.stack_ranges import require_initialised
from skep.verifier.values import (
    BTF_ID,
    BUF,
    CTX,
    MAP_KEY,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    PACKET,
    PACKET_META,
    RDONLY,
    STACK,
    UNTRUSTED,
    Pointer,
)

MAX_SIZE: Final = MAX_OFFSET


def require_region(
    check: Check,
    register: int,
    size: int,
    *,
    write: bool,
    zero_ok: bool = False,
    raw: bool = False,
) -> bool:
    """Require that a callee may touch *size* bytes at the pointer in *register*.

    Args:
        check: the examination.
        register: where the pointer stands.
        size: bytes.
        write: the callee writes; else it reads.
        zero_ok: *size* may be 0.
        raw: the callee fills the memory, so stack bytes need not be initialised.

    Returns:
        Whether stack bytes are to be overwritten once the call was checked.
    """
    value = check.read(register)
    if not isinstance(value, Pointer):
        if not (zero_ok and size == 0 and value.is_number(0)):
            _refuse_type(check, register)
        return False
    kind = value.kind
    if kind == STACK:
        return require_initialised(
            check, value, register, value.off, size, write=write, zero_ok=zero_ok, raw=raw
        )
    if kind in (PACKET, PACKET_META):
        regions.require_packet(check, value, register, value.off, size, zero_ok)
    elif kind == MAP_VALUE:
        assert value.map is not None
        regions.require_map_direction(check, value.map, value.off, size, write)
        regions.require_map_value(
            check, value, register, value.off, size, helper=True, zero_ok=zero_ok
        )
    else:
        _require_other(check, value, register, size, write, zero_ok)
    return False


def _require_other(
    check: Check, value: Pointer, register: int, size: int, write: bool, zero_ok: bool
) -> None:
    kind = value.kind
    if kind == MAP_KEY:
        assert value.map is not None
        if write:
            check.refuse(WRITABLE, f"R{register} cannot write into {type_text(value)}")
        regions.require_inside(check, value, register, value.off, size, value.map.key_size)
    elif kind == MEM:
        _require_written(check, value, register, write)
        if not (value.flags & RDONLY and value.flags & UNTRUSTED):
            regions.require_inside(
                check, value, register, value.off, size, value.size, zero_ok=zero_ok
            )
    elif kind == BUF:
        _require_written(check, value, register, write)
        words = "rdonly" if value.flags & RDONLY else "rdwr"
        regions.require_buffer(check, value, register, value.off, size, words)
    elif kind == BTF_ID:
        kernel_objects.read_object(check, value, register, value.off, size)
    elif kind == CTX and check.request.program_type.id == ProgType.SYSCALL:
        _require_context(check, value, register, size, write, zero_ok)
    else:
        _refuse_type(check, register)


def _require_context(
    check: Check, value: Pointer, register: int, size: int, write: bool, zero_ok: bool
) -> None:
    """The size of this context is not known before the run: its last byte is checked then."""
    if size == 0:
        if not zero_ok:
            check.refuse(IN_MEMORY, f"R{register} invalid zero-sized access of the context")
    elif write:
        write_context(check, value, register, value.off + size - 1, 1)
    else:
        read_context(check, value, register, value.off + size - 1, 1, False)


def _require_written(check: Check, value: Pointer, register: int, write: bool) -> None:
    if write and value.flags & RDONLY:
        check.refuse(WRITABLE, f"R{register} cannot write into {type_text(value)}")


def _refuse_type(check: Check, register: int) -> None:
    check.refuse(ARGUMENT_TYPE, f"R{register} type={type_text(check.read(register))} expected=fp")


def require_sized(
    check: Check, register: int, *, write: bool, zero_ok: bool, raw: bool = False
) -> int:
    """Require that the number in *register* may be the size of the memory in the one before it.

    Returns:
        Size of the stack bytes that are to be overwritten once the call was checked, or -1.
    """
    size = check.read(register)
    assert isinstance(size, Scalar)
    if size.smin < 0:
        check.refuse(
            SIZE_NOT_NEGATIVE,
            f"R{register} min value is negative, either use unsigned or 'var &= const'",
        )
    most = size.umax
    if size.umin == 0 and not zero_ok:
        check.refuse(
            SIZE_NOT_ZERO,
            f"R{register} invalid zero-sized read: u64=[{size.umin},{most}]",
        )
    if most >= MAX_SIZE:
        check.refuse(
            SIZE_BOUNDED,
            f"R{register} unbounded memory access, use 'var &= const' or 'if (var < const)'",
        )
    fills = require_region(
        check, register - 1, most, write=write, zero_ok=zero_ok, raw=raw and size.is_const
    )
    check.mark_precise(register)
    return most if fills else -1


def pass_memory(check: Check, register: int, size: int, nullable: bool) -> str:
    """Why the value in *register* is not *size* bytes to read and write; "" if it is.

    *nullable*: NULL will do as well.
    """
    value = check.read(register)
    if isinstance(value, Scalar) and value.is_number(0) and nullable:
        return ""
    sure = value
    if isinstance(value, Pointer) and value.flags & MAYBE_NULL:
        if not nullable:
            return f"arg#{register - 1} is expected to be non-NULL"
        sure = without_null(value)
    regs = check.frame.regs
    regs[register] = sure
    try:
        require_region(check, register, size, write=False, zero_ok=True)
        require_region(check, register, size, write=True, zero_ok=True)
    except Rejected as rejected:
        return rejected.detail
    finally:
        check.frame.regs[register] = value
    return ""
