"""What is left of a number when it is narrowed and widened again: loads, moves, 32-bit results.

Source: Linux 6.18 kernel/bpf/verifier.c (coerce_reg_to_size, coerce_reg_to_size_sx,
coerce_subreg_to_size_sx, zext_32_to_64).
"""

from mypy_extensions import i64

from skep.verifier import tnum
from skep.verifier.scalar import UNKNOWN, Scalar, const, unknown_bits
from skep.verifier.tnum import U32, bit, signed32


def fits(x: Scalar, size: i64) -> bool:
    """Whether every member of *x* is a number of *size* bytes (1, 2, 4 or 8), unsigned."""
    return size == 8 or (x.umax_word >= 0 and x.umax_word >> (8 * size) == 0)


def finish32(made: Scalar) -> Scalar:
    """Let the upper half of *made*, which is still private, be zero, and settle it."""
    made.value_word &= U32
    made.mask_word &= U32
    made.umin_word = made.u32_min
    made.umax_word = made.u32_max
    if made.s32_min >= 0 and made.s32_max >= 0:
        made.smin_word, made.smax_word = made.s32_min, made.s32_max
    else:
        made.smin_word, made.smax_word = 0, U32
    return made.settle()


def zero_extend32(x: Scalar) -> Scalar:
    """Return the lower 32 bits of *x*, zero-extended."""
    return finish32(x.copy_range())


def zero_extend(x: Scalar, size: int) -> Scalar:
    """Return the lower *size* bytes (1, 2, 4 or 8) of *x*, zero-extended."""
    if size == 8:
        return x.without_id()
    if x.same_range(UNKNOWN):
        return unknown_bits(8 * size)
    bits: i64 = 8 * size
    low: i64 = (1 << (8 * size)) - 1
    made = x.copy_range()
    made.value_word &= low
    made.mask_word &= low
    if made.umin_word >> bits == made.umax_word >> bits:
        made.umin_word &= low
        made.umax_word &= low
    else:
        made.umin_word, made.umax_word = 0, low
    made.smin_word, made.smax_word = made.umin_word, made.umax_word
    if size < 4:
        made.forget32()
    made.sync()
    return made


def sign_extend(x: Scalar, size: int) -> Scalar:
    """Return the lower *size* bytes (1, 2 or 4) of *x*, sign-extended to 64 bits."""
    if x.mask_word == 0:
        return const(_signed(x.value_word, size))
    bits: i64 = 8 * size
    made = Scalar()
    if x.smin_word >> bits == x.smax_word >> bits:
        first, last = _signed(x.smin_word, size), _signed(x.smax_word, size)
        if (first < 0) == (last < 0):
            _set_signed(made, min(first, last), max(first, last))
            return made
    made.smin_word, made.smax_word = _least(size), ~_least(size)
    made.s32_min, made.s32_max = made.smin_word, made.smax_word
    return made


def sign_extend_low(x: Scalar, size: int) -> Scalar:
    """Return the lower *size* bytes (1 or 2) of *x*, sign-extended to 32, zero-extended to 64."""
    if x.mask_word == 0:
        low: int = _signed(x.value_word, size) & U32
        return const(low)
    bits: i64 = 8 * size
    made = Scalar()
    made.mask_word = U32
    if x.s32_min >> bits == x.s32_max >> bits:
        first, last = _signed(x.s32_min, size), _signed(x.s32_max, size)
        if (first < 0) == (last < 0):
            _set_signed(made, min(first, last), max(first, last))
            return finish32(made)
    made.s32_min, made.s32_max = _least(size), ~_least(size)
    return finish32(made)


def _signed(word: i64, size: i64) -> i64:
    """Read the lower *size* bytes of *word* as two's complement."""
    if size == 4:
        return signed32(word)
    least = _least(size)
    return ((word & (~least + ~least + 1)) ^ -least) + least


def _least(size: i64) -> i64:
    """Least number of *size* bytes, 1, 2 or 4."""
    return -bit(8 * size - 1)


def _set_signed(made: Scalar, low: i64, high: i64) -> None:
    """Let *made* be the numbers from *low* to *high*, 32-bit signed, both of one sign."""
    made.value_word, made.mask_word = tnum.between(low, high)
    made.smin_word = made.s32_min = made.umin_word = low
    made.smax_word = made.s32_max = made.umax_word = high
    made.u32_min, made.u32_max = low & U32, high & U32
