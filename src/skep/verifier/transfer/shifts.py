"""What shifts by a known count do to scalars: the part of ``TRANSFER`` that moves bits.

Source: Linux 6.18 kernel/bpf/verifier.c (scalar*_min_max_lsh, _rsh, _arsh) for the strength that
verdicts depend on.
"""

from mypy_extensions import i64

from skep.verifier.ranges import S32_MAX, S32_MIN
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.tnum import U32, below, bit, most, shift_right, signed32, wrap
from skep.verifier.transfer.casts import finish32


def _shift_count(y: Scalar, is32: bool) -> i64:
    """The count of a shift whose result can be bounded, else -1."""
    if is32:
        if y.mask_word & U32 != 0 or y.u32_min != y.u32_max or y.s32_min != y.s32_max:
            return -1
        bits: i64 = 32
    else:
        if y.mask_word != 0 or y.umin_word != y.umax_word or y.smin_word != y.smax_word:
            return -1
        bits = 64
    return y.umin_word if below(y.umax_word, bits) else -1


def shift_left(x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Shift left by a known count; an interval survives if no end loses a bit."""
    count = _shift_count(y, is32)
    if count < 0:
        return UNKNOWN
    made = x.copy_range()
    if not is32:
        _shift_left64(made, count)
    made.s32_min, made.s32_max = S32_MIN, S32_MAX
    if count > 31 or made.u32_max > bit(31 - count):
        made.u32_min, made.u32_max = 0, U32
    else:
        made.u32_min <<= count
        made.u32_max <<= count
    made.value_word, made.mask_word = wrap(x.value_word << count), wrap(x.mask_word << count)
    if is32:
        made.value_word &= U32
        made.mask_word &= U32
        made.learn32_from_bits()
        return finish32(made)
    made.learn_from_bits()
    return made.settle()


def _shift_left64(made: Scalar, count: i64) -> None:
    if count == 32:
        # compilers sign-extend by shifting 32 to the left and back
        made.smin_word, made.smax_word = wrap(made.s32_min << 32), wrap(made.s32_max << 32)
    else:
        made.forget_signed64()
    limit = bit(63 - count) if count > 0 else ~most()
    if below(limit, made.umax_word):
        made.umin_word, made.umax_word = 0, -1
    else:
        made.umin_word = wrap(made.umin_word << count)
        made.umax_word = wrap(made.umax_word << count)


def shift_right_unsigned(x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Shift zeros in from the left, by a known count."""
    count = _shift_count(y, is32)
    if count < 0:
        return UNKNOWN
    made = x.copy_range()
    if is32:
        made.s32_min, made.s32_max = S32_MIN, S32_MAX
        made.value_word = (x.value_word & U32) >> count
        made.mask_word = (x.mask_word & U32) >> count
        made.u32_min >>= count
        made.u32_max >>= count
        made.learn32_from_bits()
        return finish32(made)
    made.forget_signed64()
    made.forget32()
    made.value_word = shift_right(x.value_word, count)
    made.mask_word = shift_right(x.mask_word, count)
    made.umin_word = shift_right(x.umin_word, count)
    made.umax_word = shift_right(x.umax_word, count)
    made.learn_from_bits()
    return made.settle()


def shift_right_signed(x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Shift copies of the sign in from the left, by a known count."""
    count = _shift_count(y, is32)
    if count < 0:
        return UNKNOWN
    made = x.copy_range()
    if is32:
        made.s32_min >>= count
        made.s32_max >>= count
        made.value_word = (signed32(x.value_word) >> count) & U32
        made.mask_word = (signed32(x.mask_word) >> count) & U32
        made.u32_min, made.u32_max = 0, U32
        made.learn32_from_bits()
        return finish32(made)
    made.smin_word >>= count
    made.smax_word >>= count
    made.value_word >>= count
    made.mask_word >>= count
    made.umin_word, made.umax_word = 0, -1
    made.forget32()
    made.learn_from_bits()
    return made.settle()
