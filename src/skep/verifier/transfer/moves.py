"""What moves, sign extensions and byte swaps give: the part of ``TRANSFER`` that computes nothing.

Source: Linux 6.18 kernel/bpf/verifier.c (check_alu_op, scalar_byte_swap).
"""

from mypy_extensions import i64

from skep.isa.table import Sem
from skep.verifier import tnum
from skep.verifier.scalar import Scalar
from skep.verifier.tnum import U32
from skep.verifier.transfer.casts import sign_extend, sign_extend_low, zero_extend, zero_extend32


def move(_: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Operand two itself, or its lower half."""
    return zero_extend32(y) if is32 else y.without_id()


def sign_extend8(_: Scalar, y: Scalar, is32: bool) -> Scalar:
    """The lowest byte of operand two, sign-extended."""
    return sign_extend_low(y, 1) if is32 else sign_extend(y, 1)


def sign_extend16(_: Scalar, y: Scalar, is32: bool) -> Scalar:
    """The lowest two bytes of operand two, sign-extended."""
    return sign_extend_low(y, 2) if is32 else sign_extend(y, 2)


def sign_extend32(_: Scalar, y: Scalar, _is32: bool) -> Scalar:
    """The lower half of operand two, sign-extended."""
    return sign_extend(y, 4)


def move_keeps_number(sem: Sem, y: Scalar, is32: bool) -> bool:
    """Whether a move gives the very number of operand two: then both get the same id."""
    if sem is Sem.MOV:
        return not is32 or y.umax <= U32
    bits = 8 if sem is Sem.SEXT8 else 16 if sem is Sem.SEXT16 else 32
    return y.umax < 1 << (bits - 1)


# --- byte order -------------------------------------------------------------------------------


def _swap(x: Scalar, size: i64) -> Scalar:
    made = Scalar()
    made.value_word = tnum.swap_bytes(x.value_word, size)
    made.mask_word = tnum.swap_bytes(x.mask_word, size)
    return made.settle()


def swap16(x: Scalar, _: Scalar, _is32: bool) -> Scalar:
    """The lowest two bytes reversed: only bits that are known stay known."""
    return _swap(x, 2)


def swap32(x: Scalar, _: Scalar, _is32: bool) -> Scalar:
    """The lower four bytes reversed."""
    return _swap(x, 4)


def swap64(x: Scalar, _: Scalar, _is32: bool) -> Scalar:
    """All bytes reversed."""
    return _swap(x, 8)


def keep16(x: Scalar, _: Scalar, _is32: bool) -> Scalar:
    """The lowest two bytes."""
    return zero_extend(x, 2)


def keep32(x: Scalar, _: Scalar, _is32: bool) -> Scalar:
    """The lower four bytes."""
    return zero_extend(x, 4)


def keep64(x: Scalar, _: Scalar, _is32: bool) -> Scalar:
    """The number itself, and so its id."""
    return x
