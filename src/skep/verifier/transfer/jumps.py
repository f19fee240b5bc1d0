"""What a comparison of scalars decides, and what each of its branches teaches.

``branch_taken`` tells which way a jump must go; ``refine`` narrows both operands on both ways.
*sem* is a comparison of ``skep.isa.table.Sem``; 32-bit comparisons see the lower halves.

Source: Linux 6.18 kernel/bpf/verifier.c (is_scalar_branch_taken, regs_refine_cond_op,
reg_set_min_max) for the strength that verdicts depend on.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from mypy_extensions import i64

from skep.isa.table import Sem
from skep.verifier import tnum
from skep.verifier.scalar import Scalar
from skep.verifier.tnum import HIGH, U32, below, signed32, wrap

ALWAYS: Final = 1
NEVER: Final = 0
OPEN: Final = -1

Refinement: TypeAlias = Callable[[Scalar, Scalar, bool], None]
Decision: TypeAlias = Callable[[Scalar, Scalar, bool], int]


# --- which way ---------------------------------------------------------------------------------


def branch_taken(sem: Sem, x: Scalar, y: Scalar, is32: bool) -> int:
    """Return ALWAYS (1) if the jump is taken for all members, NEVER (0) if for none, else OPEN."""
    return DECISIONS[sem](x, y, is32)


def _is_const(x: Scalar, is32: bool) -> bool:
    return x.mask_word & U32 == 0 if is32 else x.mask_word == 0


def _equal(x: Scalar, y: Scalar, is32: bool) -> int:
    if _is_const(x, is32) and _is_const(y, is32):
        differ = x.value_word ^ y.value_word
        if is32:
            differ &= U32
        return ALWAYS if differ == 0 else NEVER
    if _apart32(x, y):
        return NEVER
    if not is32 and _apart64(x, y):
        return NEVER
    return OPEN


def _apart32(x: Scalar, y: Scalar) -> bool:
    """Whether the lower halves cannot be equal."""
    return (
        (x.value_word ^ y.value_word) & ~x.mask_word & ~y.mask_word & U32 != 0
        or x.u32_min > y.u32_max
        or x.u32_max < y.u32_min
        or x.s32_min > y.s32_max
        or x.s32_max < y.s32_min
    )


def _apart64(x: Scalar, y: Scalar) -> bool:
    return (
        not tnum.overlap(x.value_word, x.mask_word, y.value_word, y.mask_word)
        or below(y.umax_word, x.umin_word)
        or below(x.umax_word, y.umin_word)
        or x.smin_word > y.smax_word
        or x.smax_word < y.smin_word
    )


def _not_equal(x: Scalar, y: Scalar, is32: bool) -> int:
    equal = _equal(x, y, is32)
    return equal if equal == OPEN else 1 - equal


def _has_bits(x: Scalar, y: Scalar, is32: bool) -> int:
    if not _is_const(y, is32):
        x, y = y, x
    if not _is_const(y, is32):
        return OPEN
    bits = y.value_word & U32 if is32 else y.value_word
    if x.value_word & bits != 0:
        return ALWAYS
    return NEVER if (x.value_word | x.mask_word) & bits == 0 else OPEN


def _less(x: Scalar, y: Scalar, is32: bool) -> int:
    if is32:
        if x.u32_max < y.u32_min:
            return ALWAYS
        return NEVER if x.u32_min >= y.u32_max else OPEN
    if below(x.umax_word, y.umin_word):
        return ALWAYS
    return OPEN if below(x.umin_word, y.umax_word) else NEVER


def _signed_less(x: Scalar, y: Scalar, is32: bool) -> int:
    if is32:
        if x.s32_max < y.s32_min:
            return ALWAYS
        return NEVER if x.s32_min >= y.s32_max else OPEN
    if x.smax_word < y.smin_word:
        return ALWAYS
    return NEVER if x.smin_word >= y.smax_word else OPEN


def _at_most(x: Scalar, y: Scalar, is32: bool) -> int:
    greater = _less(y, x, is32)
    return greater if greater == OPEN else 1 - greater


def _signed_at_most(x: Scalar, y: Scalar, is32: bool) -> int:
    greater = _signed_less(y, x, is32)
    return greater if greater == OPEN else 1 - greater


def _greater(x: Scalar, y: Scalar, is32: bool) -> int:
    return _less(y, x, is32)


def _at_least(x: Scalar, y: Scalar, is32: bool) -> int:
    return _at_most(y, x, is32)


def _signed_greater(x: Scalar, y: Scalar, is32: bool) -> int:
    return _signed_less(y, x, is32)


def _signed_at_least(x: Scalar, y: Scalar, is32: bool) -> int:
    return _signed_at_most(y, x, is32)


DECISIONS: Final[Mapping[Sem, Decision]] = {
    Sem.EQ: _equal,
    Sem.NE: _not_equal,
    Sem.SET: _has_bits,
    Sem.ULT: _less,
    Sem.ULE: _at_most,
    Sem.UGT: _greater,
    Sem.UGE: _at_least,
    Sem.SLT: _signed_less,
    Sem.SLE: _signed_at_most,
    Sem.SGT: _signed_greater,
    Sem.SGE: _signed_at_least,
}


# --- what is learnt: each narrows both operands in place, given that the comparison holds --------


def _meet_equal(x: Scalar, y: Scalar, is32: bool) -> None:
    if is32:
        x.meet_u32(y.u32_min, y.u32_max)
        x.meet_s32(y.s32_min, y.s32_max)
        y.u32_min, y.u32_max = x.u32_min, x.u32_max
        y.s32_min, y.s32_max = x.s32_min, x.s32_max
        value, mask = tnum.intersect(
            x.value_word & U32, x.mask_word & U32, y.value_word & U32, y.mask_word & U32
        )
        _set_low_bits(x, value, mask)
        _set_low_bits(y, value, mask)
        return
    x.meet_u64(y.umin_word, y.umax_word)
    x.meet_s64(y.smin_word, y.smax_word)
    y.umin_word, y.umax_word = x.umin_word, x.umax_word
    y.smin_word, y.smax_word = x.smin_word, x.smax_word
    value, mask = tnum.intersect(x.value_word, x.mask_word, y.value_word, y.mask_word)
    x.value_word = y.value_word = value
    x.mask_word = y.mask_word = mask


def _set_low_bits(x: Scalar, value: i64, mask: i64) -> None:
    x.value_word = (x.value_word & HIGH) | value
    x.mask_word = (x.mask_word & HIGH) | mask


def _meet_not_equal(x: Scalar, y: Scalar, is32: bool) -> None:
    """A constant at the very end of an interval can be cut off."""
    if not _is_const(y, is32):
        x, y = y, x
    if not _is_const(y, is32):
        return
    if is32:
        _cut_ends32(x, y.value_word & U32)
    else:
        _cut_ends64(x, y.value_word)


def _cut_ends32(x: Scalar, low: i64) -> None:
    if x.u32_min == low:
        x.u32_min += 1
    if x.u32_max == low:
        x.u32_max -= 1
    if x.s32_min == signed32(low):
        x.s32_min += 1
    if x.s32_max == signed32(low):
        x.s32_max -= 1


def _cut_ends64(x: Scalar, word: i64) -> None:
    if x.umin_word == word:
        x.umin_word = wrap(word + 1)
    if x.umax_word == word:
        x.umax_word = wrap(word - 1)
    if x.smin_word == word:
        x.smin_word = wrap(word + 1)
    if x.smax_word == word:
        x.smax_word = wrap(word - 1)


def _meet_has_bits(x: Scalar, y: Scalar, is32: bool) -> None:
    """Only a single tested bit is known to be set."""
    if not _is_const(y, is32):
        x, y = y, x
    if not _is_const(y, is32):
        return
    bits = y.value_word & U32 if is32 else y.value_word
    if bits == 0 or bits & wrap(bits - 1) != 0:
        return
    x.value_word |= bits
    x.mask_word &= ~bits


def _meet_lacks_bits(x: Scalar, y: Scalar, is32: bool) -> None:
    """All tested bits are clear. The intervals are forgotten: they may contradict that."""
    if not _is_const(y, is32):
        x, y = y, x
    if not _is_const(y, is32):
        return
    bits = y.value_word & U32 if is32 else y.value_word
    x.forget_ranges()
    x.value_word &= ~bits
    x.mask_word &= ~bits


def _meet_less(x: Scalar, y: Scalar, is32: bool) -> None:
    if is32:
        x.u32_max = min(x.u32_max, (y.u32_max - 1) & U32)
        y.u32_min = max((x.u32_min + 1) & U32, y.u32_min)
        return
    x.meet_u64(x.umin_word, wrap(y.umax_word - 1))
    y.meet_u64(wrap(x.umin_word + 1), y.umax_word)


def _meet_at_most(x: Scalar, y: Scalar, is32: bool) -> None:
    if is32:
        x.u32_max = min(x.u32_max, y.u32_max)
        y.u32_min = max(x.u32_min, y.u32_min)
        return
    x.meet_u64(x.umin_word, y.umax_word)
    y.meet_u64(x.umin_word, y.umax_word)


def _meet_signed_less(x: Scalar, y: Scalar, is32: bool) -> None:
    if is32:
        x.s32_max = min(x.s32_max, signed32(y.s32_max - 1))
        y.s32_min = max(signed32(x.s32_min + 1), y.s32_min)
        return
    x.smax_word = min(x.smax_word, wrap(y.smax_word - 1))
    y.smin_word = max(wrap(x.smin_word + 1), y.smin_word)


def _meet_signed_at_most(x: Scalar, y: Scalar, is32: bool) -> None:
    if is32:
        x.s32_max = min(x.s32_max, y.s32_max)
        y.s32_min = max(x.s32_min, y.s32_min)
        return
    x.smax_word = min(x.smax_word, y.smax_word)
    y.smin_word = max(x.smin_word, y.smin_word)


def _meet_greater(x: Scalar, y: Scalar, is32: bool) -> None:
    _meet_less(y, x, is32)


def _meet_at_least(x: Scalar, y: Scalar, is32: bool) -> None:
    _meet_at_most(y, x, is32)


def _meet_signed_greater(x: Scalar, y: Scalar, is32: bool) -> None:
    _meet_signed_less(y, x, is32)


def _meet_signed_at_least(x: Scalar, y: Scalar, is32: bool) -> None:
    _meet_signed_at_most(y, x, is32)


REFINEMENTS: Final[Mapping[Sem, tuple[Refinement, Refinement]]] = {
    # comparison: (given that it holds, given that it does not)
    Sem.EQ: (_meet_equal, _meet_not_equal),
    Sem.NE: (_meet_not_equal, _meet_equal),
    Sem.SET: (_meet_has_bits, _meet_lacks_bits),
    Sem.ULT: (_meet_less, _meet_at_least),
    Sem.ULE: (_meet_at_most, _meet_greater),
    Sem.UGT: (_meet_greater, _meet_at_most),
    Sem.UGE: (_meet_at_least, _meet_less),
    Sem.SLT: (_meet_signed_less, _meet_signed_at_least),
    Sem.SLE: (_meet_signed_at_most, _meet_signed_greater),
    Sem.SGT: (_meet_signed_greater, _meet_signed_at_most),
    Sem.SGE: (_meet_signed_at_least, _meet_signed_less),
}


def refine(sem: Sem, x: Scalar, y: Scalar, is32: bool) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Return *x* and *y* where the jump is taken, then *x* and *y* where it is not; ids are kept.

    Where the comparison cannot come out so (see ``branch_taken``) the result means nothing.
    """
    holds, fails = REFINEMENTS[sem]
    x_true, y_true = refined(holds, x, y, is32)
    x_false, y_false = refined(fails, x, y, is32)
    return x_true, y_true, x_false, y_false


def refined_by(refinement: Refinement, x: Scalar, y: Scalar, is32: bool) -> Scalar:
    """Return *x* as *refinement* narrows it; what becomes of *y* does not matter."""
    x_new = _copy(x)
    refinement(x_new, _copy(y), is32)
    x_new.settle()
    return x if x_new.same_range(x) else x_new


def refined(refinement: Refinement, x: Scalar, y: Scalar, is32: bool) -> tuple[Scalar, Scalar]:
    """Return *x* and *y* as *refinement* narrows them; ids are kept."""
    x_new, y_new = _copy(x), _copy(y)
    refinement(x_new, y_new, is32)
    x_new.settle()
    y_new.settle()
    return (
        x if x_new.same_range(x) else x_new,
        y if y_new.same_range(y) else y_new,
    )


def _copy(x: Scalar) -> Scalar:
    twin = x.copy_range()
    twin.id, twin.delta, twin.moved = x.id, x.delta, x.moved
    return twin
