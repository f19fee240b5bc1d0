"""What arithmetic does to scalars: one function per meaning, joined in ``TRANSFER``.

Each takes the old value *x* of the destination, operand two *y*, and whether the operation is 32
bits wide; it returns the new value, without an id. If a number is in *x* and another in *y*, the
result of the operation on them is in what is returned.

Source: Linux 6.18 kernel/bpf/verifier.c (adjust_scalar_min_max_vals and the scalar*_min_max_*
functions) for the strength that verdicts depend on.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from mypy_extensions import i64

from skep.base.bits import S64_MAX, S64_MIN, U64
from skep.isa.table import Sem
from skep.verifier import tnum
from skep.verifier.ranges import S32_MAX, S32_MIN
from skep.verifier.scalar import UNKNOWN, ZERO, Scalar, const
from skep.verifier.tnum import HIGH, U32, below, signed32, wrap
from skep.verifier.transfer.casts import finish32
from skep.verifier.transfer.moves import (
    keep16,
    keep32,
    keep64,
    move,
    sign_extend8,
    sign_extend16,
    sign_extend32,
    swap16,
    swap32,
    swap64,
)
from skep.verifier.transfer.shifts import (
    shift_left,
    shift_right_signed,
    shift_right_unsigned,
)

Transfer: TypeAlias = Callable[[Scalar, Scalar, bool], Scalar]


def _finish(made: Scalar, is32: bool) -> Scalar:
    return finish32(made) if is32 else made.settle()


# --- sums and products ------------------------------------------------------------------------


def add(x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Sum; an interval survives unless just one of its ends overflows."""
    made = x.copy_range()
    made.value_word, made.mask_word = tnum.add(x.value_word, x.mask_word, y.value_word, y.mask_word)
    _add32(made, y)
    if not is32:
        _add64(made, y)
    return _finish(made, is32)


def _set_s32(made: Scalar, low: i64, high: i64) -> None:
    """Set the signed 32-bit interval, or forget it if an end does not fit."""
    if S32_MIN <= low <= S32_MAX and S32_MIN <= high <= S32_MAX:
        made.s32_min, made.s32_max = low, high
    else:
        made.s32_min, made.s32_max = S32_MIN, S32_MAX


def _add32(made: Scalar, y: Scalar) -> None:
    _set_s32(made, made.s32_min + y.s32_min, made.s32_max + y.s32_max)
    low, high = made.u32_min + y.u32_min, made.u32_max + y.u32_max
    if low <= U32 < high:
        low, high = 0, U32
    made.u32_min, made.u32_max = low & U32, high & U32


def _add64(made: Scalar, y: Scalar) -> None:
    low, high = wrap(made.smin_word + y.smin_word), wrap(made.smax_word + y.smax_word)
    if ((made.smin_word ^ low) & (y.smin_word ^ low)) < 0 or (
        (made.smax_word ^ high) & (y.smax_word ^ high)
    ) < 0:
        made.forget_signed64()
    else:
        made.smin_word, made.smax_word = low, high
    low, high = wrap(made.umin_word + y.umin_word), wrap(made.umax_word + y.umax_word)
    if below(high, made.umax_word) and not below(low, made.umin_word):
        low, high = 0, -1
    made.umin_word, made.umax_word = low, high


def sub(x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Difference; an interval survives unless just one of its ends underflows."""
    made = x.copy_range()
    made.value_word, made.mask_word = tnum.sub(x.value_word, x.mask_word, y.value_word, y.mask_word)
    _sub32(made, y)
    if not is32:
        _sub64(made, y)
    return _finish(made, is32)


def _sub32(made: Scalar, y: Scalar) -> None:
    _set_s32(made, made.s32_min - y.s32_max, made.s32_max - y.s32_min)
    low, high = made.u32_min - y.u32_max, made.u32_max - y.u32_min
    if low < 0 <= high:
        low, high = 0, U32
    made.u32_min, made.u32_max = low & U32, high & U32


def _sub64(made: Scalar, y: Scalar) -> None:
    low, high = wrap(made.smin_word - y.smax_word), wrap(made.smax_word - y.smin_word)
    if ((made.smin_word ^ y.smax_word) & (made.smin_word ^ low)) < 0 or (
        (made.smax_word ^ y.smin_word) & (made.smax_word ^ high)
    ) < 0:
        made.forget_signed64()
    else:
        made.smin_word, made.smax_word = low, high
    low, high = wrap(made.umin_word - y.umax_word), wrap(made.umax_word - y.umin_word)
    if below(made.umin_word, y.umax_word) and not below(made.umax_word, y.umin_word):
        low, high = 0, -1
    made.umin_word, made.umax_word = low, high


def neg(x: Scalar, _: Scalar, is32: bool) -> Scalar:
    """Negation: zero minus *x*."""
    return sub(ZERO, x, is32)


def mul(x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Product; signed ends are the least and greatest of the four products of ends."""
    made = x.copy_range()
    made.value_word, made.mask_word = tnum.mul(x.value_word, x.mask_word, y.value_word, y.mask_word)
    _mul32(made, y)
    if not is32:
        _mul64(made, x, y)
    return _finish(made, is32)


def _mul32(made: Scalar, y: Scalar) -> None:
    ends = _signed_products(made.s32_min, made.s32_max, y.s32_min, y.s32_max)
    _set_s32(made, ends[0], ends[1])
    if y.u32_max != 0 and made.u32_max > U32 // y.u32_max:
        made.u32_min, made.u32_max = 0, U32
    else:
        made.u32_min *= y.u32_min
        made.u32_max *= y.u32_max


def _signed_products(a: i64, b: i64, c: i64, d: i64) -> tuple[i64, i64]:
    """Ends of the product of *a* .. *b* and *c* .. *d*, all of at most 32 bits."""
    first, second, third, fourth = a * c, a * d, b * c, b * d
    return (
        min(min(first, second), min(third, fourth)),  # noqa: PLW3301 - of two it is compiled
        max(max(first, second), max(third, fourth)),  # noqa: PLW3301
    )


def _is_small(x: Scalar) -> bool:
    """Whether products of such numbers have less than 64 bits."""
    return x.smin_word >= S32_MIN and x.smax_word <= S32_MAX and 0 <= x.umax_word <= S32_MAX


def _mul64(made: Scalar, x: Scalar, y: Scalar) -> None:
    if _is_small(x) and _is_small(y):
        made.smin_word, made.smax_word = _signed_products(
            x.smin_word, x.smax_word, y.smin_word, y.smax_word
        )
        made.umin_word = x.umin_word * y.umin_word
        made.umax_word = x.umax_word * y.umax_word
        return
    ends = (x.smin * y.smin, x.smin * y.smax, x.smax * y.smin, x.smax * y.smax)
    low, high = min(ends), max(ends)
    if low < S64_MIN or high > S64_MAX:
        made.forget_signed64()
    else:
        made.smin_word, made.smax_word = low, high
    if x.umax * y.umax > U64:
        made.umin_word, made.umax_word = 0, -1
    else:
        made.umin_word = wrap(x.umin_word * y.umin_word)
        made.umax_word = wrap(x.umax_word * y.umax_word)


def forget(_x: Scalar, _y: Scalar, _is32: bool) -> Scalar:
    """Nothing is known of quotients and remainders."""
    return UNKNOWN


# --- bitwise ----------------------------------------------------------------------------------


def conjunction(x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Bitwise and: not less than the bits known to be 1, not more than either operand."""
    made = x.copy_range()
    value, mask = tnum.conjunction(x.value_word, x.mask_word, y.value_word, y.mask_word)
    made.value_word, made.mask_word = value, mask
    made.u32_min, made.u32_max = value & U32, min(x.u32_max, y.u32_max)
    made.umin_word = value
    if below(y.umax_word, x.umax_word):
        made.umax_word = y.umax_word
    return _finish_bitwise(made, y, is32)


def disjunction(x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Bitwise or: not less than either operand, not more than the bits that may be 1."""
    made = x.copy_range()
    value, mask = tnum.disjunction(x.value_word, x.mask_word, y.value_word, y.mask_word)
    made.value_word, made.mask_word = value, mask
    made.u32_min, made.u32_max = max(x.u32_min, y.u32_min), (value | mask) & U32
    if below(x.umin_word, y.umin_word):
        made.umin_word = y.umin_word
    made.umax_word = value | mask
    return _finish_bitwise(made, y, is32)


def difference(x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Bitwise exclusive or: between the bits known to be 1 and those that may be."""
    made = x.copy_range()
    value, mask = tnum.difference(x.value_word, x.mask_word, y.value_word, y.mask_word)
    made.value_word, made.mask_word = value, mask
    made.u32_min, made.u32_max = value & U32, (value | mask) & U32
    made.umin_word, made.umax_word = value, value | mask
    return _finish_bitwise(made, y, is32)


def _finish_bitwise(made: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Derive the signed intervals from the unsigned ones and settle."""
    if made.mask_word & U32 == 0 and y.mask_word & U32 == 0:
        made.set_low_half(made.value_word)
    else:
        low, high = signed32(made.u32_min), signed32(made.u32_max)
        if low > high:
            low, high = S32_MIN, S32_MAX
        made.s32_min, made.s32_max = low, high
    if made.mask_word == 0 and y.mask_word == 0:
        made.set_const(made.value_word)
    else:
        if made.umin_word <= made.umax_word:
            made.smin_word, made.smax_word = made.umin_word, made.umax_word
        else:
            made.forget_signed64()
        made.learn_from_bits()
    return _finish(made, is32)


# --- one number or two ------------------------------------------------------------------------


def split(sem: Sem, x: Scalar, y: Scalar) -> tuple[Scalar, Scalar] | None:
    """Tell 0 and -1 apart before a bitwise operation with a constant would blur them.

    Compilers make a mask of a condition by an arithmetic shift, and select by it. Returns the two
    values of *x* to go on with, -1 first, or None: the other one is explored from the very same
    instruction.
    """
    if y.mask_word != 0 or (sem is not _AND and sem is not _OR):
        return None
    if x.smin_word == -1 and x.smax_word == 0:
        return const(-1), ZERO
    if x.s32_min == -1 and x.s32_max == 0:
        return _with_low_half(x, -1), _with_low_half(x, 0)
    return None


def _with_low_half(x: Scalar, word: i64) -> Scalar:
    made = x.copy_range()
    made.value_word = (x.value_word & HIGH) | (word & U32)
    made.mask_word = x.mask_word & HIGH
    made.set_low_half(word)
    return made


_AND: Final = Sem.AND
_OR: Final = Sem.OR

TRANSFER: Final[Mapping[Sem, Transfer]] = {
    Sem.ADD: add,
    Sem.SUB: sub,
    Sem.MUL: mul,
    Sem.UDIV: forget,
    Sem.SDIV: forget,
    Sem.UMOD: forget,
    Sem.SMOD: forget,
    Sem.OR: disjunction,
    Sem.AND: conjunction,
    Sem.XOR: difference,
    Sem.SHL: shift_left,
    Sem.LSHR: shift_right_unsigned,
    Sem.ASHR: shift_right_signed,
    Sem.MOV: move,
    Sem.SEXT8: sign_extend8,
    Sem.SEXT16: sign_extend16,
    Sem.SEXT32: sign_extend32,
    Sem.NEG: neg,
    Sem.KEEP16: keep16,
    Sem.KEEP32: keep32,
    Sem.KEEP64: keep64,
    Sem.SWAP16: swap16,
    Sem.SWAP32: swap32,
    Sem.SWAP64: swap64,
}

# The operations that most programs are made of, by a number: quicker than to call a value.
ADD: Final = 1
SUB: Final = 2
AND: Final = 3
OR: Final = 4
SHL: Final = 5
LSHR: Final = 6
OPERATIONS: Final[Mapping[Sem, int]] = {
    Sem.ADD: ADD, Sem.SUB: SUB, Sem.AND: AND, Sem.OR: OR, Sem.SHL: SHL, Sem.LSHR: LSHR,
}  # fmt: skip


def apply(operation: int, transfer: Transfer | None, x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Return *transfer* of *x* and *y*; *operation* is its number, if it has one."""
    if operation == ADD:
        return add(x, y, is32)
    if operation == AND:
        return conjunction(x, y, is32)
    if operation == SHL:
        return shift_left(x, y, is32)
    if operation == LSHR:
        return shift_right_unsigned(x, y, is32)
    if operation == OR:
        return disjunction(x, y, is32)
    if operation == SUB:
        return sub(x, y, is32)
    assert transfer is not None
    return transfer(x, y, is32)
