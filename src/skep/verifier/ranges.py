"""Ten bounds on a number, and how they sharpen each other.

``Ranges`` holds a tnum and four intervals: of all 64 bits and of the lower 32, each read as
unsigned and as signed. A number is within only if it is within all five. ``sync`` lets each of the
five sharpen the others. It is the changeable part of a ``Scalar``.

The attributes that end in ``_word`` keep unsigned 64-bit numbers as two's complement, because mypyc
keeps those in machine registers (see ``skep.verifier.tnum``).

Source: Linux 6.18 kernel/bpf/verifier.c (reg_bounds_sync and what it calls) for the strength that
verdicts depend on.
"""

from typing import Final

from mypy_extensions import i64

from skep.verifier import tnum
from skep.verifier.tnum import HIGH, SIGN32, U32, below, most, signed32

S32_MAX: Final = 0x7FFF_FFFF
S32_MIN: Final = -0x8000_0000


class Ranges:
    """Bounds; nothing is known at first.

    Args:
        value_word, mask_word: the tnum.
        umin_word, umax_word: least and greatest, read as unsigned.
        smin_word, smax_word: least and greatest, read as signed.
        u32_min, u32_max, s32_min, s32_max: the same of the lower 32 bits.
    """

    __slots__ = (
        "mask_word", "s32_max", "s32_min", "smax_word", "smin_word", "u32_max", "u32_min",
        "umax_word", "umin_word", "value_word",
    )  # fmt: skip

    def __init__(self) -> None:
        ones: i64 = -1
        least: i64 = ~most()
        self.value_word: i64 = 0
        self.mask_word: i64 = ones
        self.umin_word: i64 = 0
        self.umax_word: i64 = ones
        self.smin_word: i64 = least
        self.smax_word: i64 = ~least
        self.u32_min: i64 = 0
        self.u32_max: i64 = U32
        self.s32_min: i64 = S32_MIN
        self.s32_max: i64 = S32_MAX

    # --- narrowing in place ------------------------------------------------------------------

    def meet_u64(self, low: i64, high: i64) -> None:
        """Keep members from *low* to *high*, words read as unsigned."""
        if below(self.umin_word, low):
            self.umin_word = low
        if below(high, self.umax_word):
            self.umax_word = high

    def meet_s64(self, low: i64, high: i64) -> None:
        """Keep members from *low* to *high*, signed."""
        self.smin_word = max(self.smin_word, low)
        self.smax_word = min(self.smax_word, high)

    def meet_u32(self, low: i64, high: i64) -> None:
        """Keep members whose lower half is *low* to *high*, unsigned."""
        self.u32_min = max(self.u32_min, low)
        self.u32_max = min(self.u32_max, high)

    def meet_s32(self, low: i64, high: i64) -> None:
        """Keep members whose lower half is *low* to *high*, signed."""
        self.s32_min = max(self.s32_min, low)
        self.s32_max = min(self.s32_max, high)

    def forget_ranges(self) -> None:
        """Forget all intervals; the bits stay known."""
        self.forget64()
        self.forget32()

    def forget64(self) -> None:
        """Forget the 64-bit intervals."""
        self.umin_word = 0
        self.umax_word = -1
        self.forget_signed64()

    def forget_signed64(self) -> None:
        """Forget the signed 64-bit interval."""
        least = ~most()
        self.smin_word = least
        self.smax_word = ~least

    def forget32(self) -> None:
        """Forget the 32-bit intervals."""
        self.u32_min = 0
        self.u32_max = U32
        self.s32_min = S32_MIN
        self.s32_max = S32_MAX

    # --- each part sharpens the others -------------------------------------------------------

    def sync(self) -> None:
        """Let bits and intervals sharpen each other, as often as Linux does."""
        if self.mask_word == 0 and self._settle_const():
            return
        self.learn_from_bits()
        for _ in range(3):
            if not self._exchange():
                break
        self._learn_bits()
        self.learn_from_bits()

    def _exchange(self) -> bool:
        """Let the intervals sharpen each other once; tell whether that changed any of them."""
        umin, umax = self.umin_word, self.umax_word
        smin, smax = self.smin_word, self.smax_word
        u32_min, u32_max = self.u32_min, self.u32_max
        s32_min, s32_max = self.s32_min, self.s32_max
        self._learn_low_half(umin, umax)
        self._learn_low_half(smin, smax)
        self._exchange_signs32()
        self._exchange_signs64()
        self._learn_from_low_half()
        same64 = umin == self.umin_word and umax == self.umax_word
        same64 = same64 and smin == self.smin_word and smax == self.smax_word
        same32 = u32_min == self.u32_min and u32_max == self.u32_max
        return not (same64 and same32 and s32_min == self.s32_min and s32_max == self.s32_max)

    def _settle_const(self) -> bool:
        """Set all bounds of a constant, if none contradicts it."""
        word = self.value_word
        low = word & U32
        if below(word, self.umin_word) or below(self.umax_word, word):
            return False
        if not (self.smin_word <= word <= self.smax_word and self.u32_min <= low <= self.u32_max):
            return False
        if not self.s32_min <= signed32(low) <= self.s32_max:
            return False
        self.set_const(word)
        return True

    def set_const(self, word: i64) -> None:
        """Become the one number *word*."""
        self.value_word = word
        self.mask_word = 0
        self.umin_word = self.umax_word = self.smin_word = self.smax_word = word
        self.set_low_half(word)

    def set_low_half(self, word: i64) -> None:
        """Let the 32-bit intervals be the lower half of *word* alone."""
        self.u32_min = self.u32_max = word & U32
        self.s32_min = self.s32_max = signed32(word)

    def learn_from_bits(self) -> None:
        """Narrow the intervals to the least and greatest numbers that the bits allow."""
        self.learn32_from_bits()
        self._learn64_from_bits()
        self._learn_only_member()

    def _learn64_from_bits(self) -> None:
        value, mask = self.value_word, self.mask_word
        least = ~most()
        self.meet_s64(value | (mask & least), value | (mask & ~least))
        self.meet_u64(value, value | mask)

    def _learn_only_member(self) -> None:
        """Become a constant if the bits allow just one number of the unsigned interval."""
        value, mask, low, high = self.value_word, self.mask_word, self.umin_word, self.umax_word
        following = tnum.following(value, mask, low)
        if low & ~mask == value:
            if below(high, following):
                self.set_const(low)
        elif following == value | mask or (
            not below(high, following) and below(high, tnum.following(value, mask, following))
        ):
            self.set_const(following)

    def learn32_from_bits(self) -> None:
        """Do ``learn_from_bits`` for the 32-bit intervals only."""
        value, mask = self.value_word & U32, self.mask_word & U32
        self.meet_s32(signed32(value | (mask & SIGN32)), signed32(value | (mask & S32_MAX)))
        self.meet_u32(value, value | mask)

    def _learn_low_half(self, low: i64, high: i64) -> None:
        """Narrow the 32-bit intervals by *low* to *high*, one of the 64-bit ones.

        If the upper half is the same at both ends, the lower halves form an interval. If it grows
        by one between them, they form a signed interval that crosses zero.
        """
        u_low, u_high = low & U32, high & U32
        s_low, s_high = signed32(low), signed32(high)
        if low >> 32 == high >> 32:
            if u_low <= u_high:
                self.meet_u32(u_low, u_high)
            if s_low <= s_high:
                self.meet_s32(s_low, s_high)
        elif ((low >> 32) + 1) & U32 == (high >> 32) & U32 and s_low < 0 <= s_high:
            self.meet_s32(s_low, s_high)

    def _exchange_signs32(self) -> None:
        """Let the unsigned and the signed 32-bit interval narrow each other."""
        low, high = signed32(self.u32_min), signed32(self.u32_max)
        if low <= high:
            self.meet_s32(low, high)
        low, high = self.s32_min & U32, self.s32_max & U32
        if low <= high:
            self.meet_u32(low, high)
        elif self.u32_max < low:
            # only the part of the signed interval from zero up is left
            self.s32_min = signed32(self.u32_min)
            self.u32_max = min(self.u32_max, high)
        elif high < self.u32_min:
            self.s32_max = signed32(self.u32_max)
            self.u32_min = max(self.u32_min, low)

    def _exchange_signs64(self) -> None:
        """Let the unsigned and the signed 64-bit interval narrow each other."""
        if self.umin_word <= self.umax_word:
            self.meet_s64(self.umin_word, self.umax_word)
        if not below(self.smax_word, self.smin_word):
            self.meet_u64(self.smin_word, self.smax_word)
        elif below(self.umax_word, self.smin_word):
            self.smin_word = self.umin_word
            if below(self.smax_word, self.umax_word):
                self.umax_word = self.smax_word
        elif below(self.smax_word, self.umin_word):
            self.smax_word = self.umax_word
            if below(self.umin_word, self.smin_word):
                self.umin_word = self.smin_word

    def _learn_from_low_half(self) -> None:
        """Narrow the 64-bit intervals by the 32-bit ones, put under their own upper halves."""
        self._put_low_half(self.u32_min, self.u32_max)
        low, high = self.s32_min & U32, self.s32_max & U32
        if low <= high:
            self._put_low_half(low, high)
        self._learn_sign_extended()

    def _learn_sign_extended(self) -> None:
        """A sign-extended number whose lower half is not negative is not negative itself."""
        if self.s32_min >= 0 and self.smin_word >= S32_MIN and self.smax_word <= S32_MAX:
            self.smin_word = self.umin_word = self.s32_min
            self.smax_word = self.umax_word = self.s32_max
            bits_value, bits_mask = tnum.between(self.smin_word, self.smax_word)
            self.value_word, self.mask_word = tnum.intersect(
                self.value_word, self.mask_word, bits_value, bits_mask
            )

    def _put_low_half(self, low: i64, high: i64) -> None:
        self.meet_u64((self.umin_word & HIGH) | low, (self.umax_word & HIGH) | high)
        self.meet_s64((self.smin_word & HIGH) | low, (self.smax_word & HIGH) | high)

    def _learn_bits(self) -> None:
        """Fix the bits that all numbers of the unsigned intervals share."""
        value, mask = tnum.between(self.umin_word, self.umax_word)
        value, mask = tnum.intersect(self.value_word, self.mask_word, value, mask)
        low_value, low_mask = tnum.between(self.u32_min, self.u32_max)
        low_value, low_mask = tnum.intersect(value & U32, mask & U32, low_value, low_mask)
        self.value_word = (value & HIGH) | low_value
        self.mask_word = (mask & HIGH) | low_mask

    def is_consistent(self) -> bool:
        """Whether no interval is empty and a known number is the only one in its intervals."""
        if below(self.umax_word, self.umin_word) or self.smax_word < self.smin_word:
            return False
        if self.u32_max < self.u32_min or self.s32_max < self.s32_min:
            return False
        word = self.value_word
        if self.mask_word == 0 and not (
            self.umin_word == self.umax_word == word and self.smin_word == self.smax_word == word
        ):
            return False
        low = word & U32
        return self.mask_word & U32 != 0 or (
            self.u32_min == self.u32_max == low and self.s32_min == self.s32_max == signed32(low)
        )
