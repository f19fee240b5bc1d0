"""What is known of a number in a register: its bits, and its range read in four ways.

A ``Scalar`` is the set of numbers within its bounds (``skep.verifier.ranges``), with the identity
that links registers known to hold related numbers.

Scalars are immutable once they are handed out: states share them, and small constants are interned.
The methods that change one in place (``meet_*``, ``set_*``, ``forget_*``, ``sync``, ``settle``) are
for the code that has just made it.

Source: Linux 6.18 kernel/bpf/verifier.c (reg_bounds_sync and what it calls) for the strength that
verdicts depend on.
"""

from typing import Final, final

from mypy_extensions import i64

from skep.base.bits import U64
from skep.verifier import tnum
from skep.verifier.ranges import Ranges
from skep.verifier.tnum import U32, Tnum, below, signed32, wrap


@final
class Scalar(Ranges):
    """A set of numbers.

    Args:
        id: registers with the same id hold the same number plus their *delta*; 0 for none.
        delta: constant that was added since the register got its id, signed 32-bit.
        moved: width of that addition, 32 or 64; 0 if there was none (``BPF_ADD_CONST``).
    """

    __slots__ = ("delta", "id", "moved")

    def __init__(self) -> None:
        super().__init__()
        self.id: i64 = 0
        self.delta: i64 = 0
        self.moved: i64 = 0

    # --- reading -----------------------------------------------------------------------------

    @property
    def value(self) -> int:
        """Known bits that are 1, unsigned 64-bit."""
        word: int = self.value_word
        return word if word >= 0 else word & U64

    @property
    def mask(self) -> int:
        """Unknown bits, unsigned 64-bit."""
        word: int = self.mask_word
        return word if word >= 0 else word & U64

    @property
    def umin(self) -> int:
        """Least member, unsigned 64-bit."""
        word: int = self.umin_word
        return word if word >= 0 else word & U64

    @property
    def umax(self) -> int:
        """Greatest member, unsigned 64-bit."""
        word: int = self.umax_word
        return word if word >= 0 else word & U64

    @property
    def smin(self) -> int:
        """Least member, signed 64-bit."""
        return self.smin_word

    @property
    def smax(self) -> int:
        """Greatest member, signed 64-bit."""
        return self.smax_word

    @property
    def tnum(self) -> Tnum:
        """What is known of the bits."""
        return Tnum(self.value, self.mask)

    @property
    def is_const(self) -> bool:
        """Whether it holds one number only; that is ``value``."""
        return self.mask_word == 0

    @property
    def is_const32(self) -> bool:
        """Whether the lower 32 bits are known."""
        return self.mask_word & U32 == 0

    def is_number(self, number: int) -> bool:
        """Whether it holds *number*, signed or unsigned, and nothing else."""
        return self.mask_word == 0 and self.value == number & U64

    def is_aligned(self, off: int, size: int) -> bool:
        """Whether every member plus *off* is a multiple of *size*, a power of two."""
        return (self.value + off) & (size - 1) == 0 and self.mask & (size - 1) == 0

    def __contains__(self, number: int) -> bool:
        """Whether *number*, signed or unsigned, is a member."""
        unsigned = number & U64
        low = unsigned & U32
        signed = unsigned - (1 << 64) if unsigned >> 63 else unsigned
        return (
            unsigned in self.tnum
            and self.umin <= unsigned <= self.umax
            and self.smin_word <= signed <= self.smax_word
            and self.u32_min <= low <= self.u32_max
            and self.s32_min <= signed32(low) <= self.s32_max
        )

    def __repr__(self) -> str:
        return (
            f"Scalar(u64={self.umin:#x}..{self.umax:#x} s64={self.smin_word}..{self.smax_word} "
            f"u32={self.u32_min:#x}..{self.u32_max:#x} s32={self.s32_min}..{self.s32_max} "
            f"bits=({self.value:#x}; {self.mask:#x}) id={self.id}+{self.delta})"
        )

    def same_range(self, other: "Scalar") -> bool:
        """Whether both hold the same numbers, by the same bounds; ids do not count."""
        return (
            self.value_word == other.value_word
            and self.mask_word == other.mask_word
            and self.umin_word == other.umin_word
            and self.umax_word == other.umax_word
            and self.smin_word == other.smin_word
            and self.smax_word == other.smax_word
            and self.u32_min == other.u32_min
            and self.u32_max == other.u32_max
            and self.s32_min == other.s32_min
            and self.s32_max == other.s32_max
        )

    def covers(self, other: "Scalar") -> bool:
        """Whether every bound of *other* lies within ours: so we hold all its members."""
        return (
            not below(other.umin_word, self.umin_word)
            and not below(self.umax_word, other.umax_word)
            and self.smin_word <= other.smin_word
            and self.smax_word >= other.smax_word
            and self.u32_min <= other.u32_min
            and self.u32_max >= other.u32_max
            and self.s32_min <= other.s32_min
            and self.s32_max >= other.s32_max
            and tnum.covers(self.value_word, self.mask_word, other.value_word, other.mask_word)
        )

    # --- copies ------------------------------------------------------------------------------

    def copy_range(self) -> "Scalar":
        """Return a scalar with the same members and no id, which the caller may change."""
        twin = Scalar()
        twin.value_word = self.value_word
        twin.mask_word = self.mask_word
        twin.umin_word = self.umin_word
        twin.umax_word = self.umax_word
        twin.smin_word = self.smin_word
        twin.smax_word = self.smax_word
        twin.u32_min = self.u32_min
        twin.u32_max = self.u32_max
        twin.s32_min = self.s32_min
        twin.s32_max = self.s32_max
        return twin

    def with_id(self, id: int, delta: int = 0, moved: int = 0) -> "Scalar":  # noqa: A002
        """Return the same set of numbers linked to *id*."""
        if self.id == id and self.delta == delta and self.moved == moved:
            return self
        twin = self.copy_range()
        twin.id = id
        twin.delta = delta
        twin.moved = moved
        return twin

    def without_id(self) -> "Scalar":
        """Return the same set of numbers, linked to nothing."""
        return self if self.id == 0 and not self.moved else self.copy_range()

    def settle(self) -> "Scalar":
        """Sync, and give up the intervals if they contradict each other (a dead branch)."""
        self.sync()
        if not self.is_consistent():
            self.forget_ranges()
        return self


def _make_const(word: i64) -> Scalar:
    made = Scalar()
    made.set_const(word)
    return made


ZERO: Final = _make_const(0)
UNKNOWN: Final = Scalar()
_FAR: Final = 1 << 62  # nearer to zero, numbers are words as they are
_SMALL: Final = (ZERO, *(_make_const(number) for number in range(1, 257)))


def const(number: int) -> Scalar:
    """Return the scalar that holds *number*, signed or unsigned 64-bit, alone."""
    if 0 <= number <= 256:
        return _SMALL[number]
    if -_FAR < number < _FAR:
        return _make_const(number)
    number &= U64
    return _make_const(number - (1 << 64) if number >> 63 else number)


def unknown() -> Scalar:
    """Return the scalar that holds every number."""
    return UNKNOWN


def unknown_bits(bits: int) -> Scalar:
    """Return the scalar that holds every number of *bits* bits, zero-extended."""
    if bits == 32:
        return _UNKNOWN32
    if bits == 16:
        return _UNKNOWN16
    return _UNKNOWN8 if bits == 8 else unsigned_between(0, (1 << bits) - 1)


def unsigned_between(low: int, high: int) -> Scalar:
    """Return the scalar of all numbers from *low* to *high*, unsigned."""
    made = Scalar()
    made.meet_u64(_word(low), _word(high))
    return made.settle()


def signed_between(low: int, high: int) -> Scalar:
    """Return the scalar of all numbers from *low* to *high*, signed."""
    return narrow_signed(UNKNOWN, low, high)


def narrow_signed(scalar: Scalar, low: int, high: int) -> Scalar:
    """Return the members of *scalar* from *low* to *high*, signed; its id is kept."""
    made = scalar.copy_range()
    made.id, made.delta, made.moved = scalar.id, scalar.delta, scalar.moved
    made.meet_s64(low, high)
    return made.settle()


def narrow_unsigned(scalar: Scalar, low: int, high: int) -> Scalar:
    """Return the members of *scalar* from *low* to *high*, unsigned; its id is kept."""
    made = scalar.copy_range()
    made.id, made.delta, made.moved = scalar.id, scalar.delta, scalar.moved
    made.meet_u64(_word(low), _word(high))
    return made.settle()


def narrow_signed32(scalar: Scalar, low: int, high: int) -> Scalar:
    """Return the members of *scalar* that are *low* to *high* as 64-bit and 32-bit signed."""
    made = scalar.copy_range()
    made.meet_s32(low, high)
    made.meet_s64(low, high)
    return made.settle()


def _word(number: int) -> i64:
    if 0 <= number < _FAR:
        return number
    number &= U64
    return wrap(number - (1 << 64) if number >> 63 else number)


_UNKNOWN8: Final = unsigned_between(0, 0xFF)
_UNKNOWN16: Final = unsigned_between(0, 0xFFFF)
_UNKNOWN32: Final = unsigned_between(0, 0xFFFF_FFFF)
