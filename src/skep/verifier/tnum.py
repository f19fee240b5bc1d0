"""The domain of bits: each of 64 bits is known to be 0, known to be 1, or unknown.

A tnum is a pair *(value, mask)*: a set bit of *mask* is unknown, the other bits are those of
*value*, and ``value & mask == 0``. It stands for all numbers that agree with it.

The functions here take and return such pairs as *words*: 64-bit numbers read as two's complement,
because that is what mypyc keeps in a machine register. ``wrap`` makes a word of any number;
compiled, it costs nothing. ``Tnum`` is the same pair as unsigned numbers, for people.

Source: H. Vishwanathan et al., "Sound, Precise, and Fast Abstract Interpretation with Tristate
Numbers", CGO 2022; Linux 6.18 kernel/bpf/tnum.c for the strength that verdicts depend on.
"""

from dataclasses import dataclass
from typing import Final

from mypy_extensions import i64

from skep.base.bits import U64

U32: Final = 0xFFFF_FFFF
SIGN32: Final = 0x8000_0000
HIGH: Final = -0x1_0000_0000  # the word whose upper half is all ones


def _shift_left(number: i64, count: i64) -> i64:
    """Shift as words: to the C compiler, a constant would be an int."""
    return number << count


def most() -> i64:
    """The greatest word. Written as one number it would be an object, converted at each use."""
    half = _shift_left(1, 62)
    return half - 1 + half


def bit(count: i64) -> i64:
    """1 shifted left by *count*, 0 to 62."""
    return _shift_left(1, count)


def wrap(number: i64) -> i64:
    """Reduce *number* to 64 bits, two's complement."""
    sign: i64 = -((number >> 63) & 1)
    return (sign << 63) | (number & most())


def below(x: i64, y: i64) -> bool:
    """Whether word *x* is less than word *y*, read as unsigned."""
    return (x < y) != ((x ^ y) < 0)


def signed32(word: i64) -> i64:
    """Read the lower half of *word* as two's complement."""
    return ((word & U32) ^ SIGN32) - SIGN32


def shift_right(word: i64, count: i64) -> i64:
    """Shift zeros in from the left; *count* is 0 to 63."""
    if word >= 0 or count == 0:
        return word >> count
    return (word >> count) & (most() >> (count - 1))


def smear(word: i64) -> i64:
    """Set every bit below the highest one of *word*, which is not negative."""
    word |= word >> 1
    word |= word >> 2
    word |= word >> 4
    word |= word >> 8
    word |= word >> 16
    return word | (word >> 32)


def between(low: i64, high: i64) -> tuple[i64, i64]:
    """The least tnum that holds every number from *low* to *high*, unsigned, both inclusive.

    Bits above the highest in which both ends differ are common to all of them.
    """
    differ = low ^ high
    if differ < 0:
        return 0, -1
    unknown = smear(differ)
    return low & ~unknown, unknown


def add(xv: i64, xm: i64, yv: i64, ym: i64) -> tuple[i64, i64]:
    """Sum. A bit is known unless an operand's is not, or the carry into it differs.

    The carries are those of the least sum (all unknown bits 0) and of the greatest (all 1): where
    both sums agree in a bit, so does every sum between.
    """
    least = wrap(xv + yv)
    greatest = wrap(least + wrap(xm + ym))
    unknown = (least ^ greatest) | xm | ym
    return least & ~unknown, unknown


def sub(xv: i64, xm: i64, yv: i64, ym: i64) -> tuple[i64, i64]:
    """Difference, by the argument of ``add``: the extremes are all borrows and none."""
    middle = wrap(xv - yv)
    unknown = (wrap(middle + xm) ^ wrap(middle - ym)) | xm | ym
    return middle & ~unknown, unknown


def mul(xv: i64, xm: i64, yv: i64, ym: i64) -> tuple[i64, i64]:
    """Product, by long multiplication; an unknown bit of x gives the union of both outcomes."""
    if xm == 0 and ym == 0:
        return wrap(xv * yv), 0
    value: i64 = 0
    mask: i64 = 0
    while xv != 0 or xm != 0:
        if xv & 1:
            value, mask = add(value, mask, yv, ym)
        elif xm & 1:
            with_value, with_mask = add(value, mask, yv, ym)
            value, mask = union(value, mask, with_value, with_mask)
        xv, xm = shift_right(xv, 1), shift_right(xm, 1)
        yv, ym = wrap(yv << 1), wrap(ym << 1)
    return value, mask


def conjunction(xv: i64, xm: i64, yv: i64, ym: i64) -> tuple[i64, i64]:
    """Bitwise and: 1 where both are 1, 0 where one is 0."""
    ones = xv & yv
    return ones, (xv | xm) & (yv | ym) & ~ones


def disjunction(xv: i64, xm: i64, yv: i64, ym: i64) -> tuple[i64, i64]:
    """Bitwise or: 1 where one is 1, 0 where both are 0."""
    ones = xv | yv
    return ones, (xm | ym) & ~ones


def difference(xv: i64, xm: i64, yv: i64, ym: i64) -> tuple[i64, i64]:
    """Bitwise exclusive or."""
    unknown = xm | ym
    return (xv ^ yv) & ~unknown, unknown


def union(xv: i64, xm: i64, yv: i64, ym: i64) -> tuple[i64, i64]:
    """The least tnum that holds all members of both."""
    unknown = (xv ^ yv) | xm | ym
    return xv & yv & ~unknown, unknown


def intersect(xv: i64, xm: i64, yv: i64, ym: i64) -> tuple[i64, i64]:
    """What is known from either; where they contradict, no member is left and 1 stands."""
    unknown = xm & ym
    return (xv | yv) & ~unknown, unknown


def overlap(xv: i64, xm: i64, yv: i64, ym: i64) -> bool:
    """Whether no bit is known 0 in one and known 1 in the other."""
    return (xv ^ yv) & ~xm & ~ym == 0


def covers(xv: i64, xm: i64, yv: i64, ym: i64) -> bool:
    """Whether every member of y is one of x."""
    return ym & ~xm == 0 and yv & ~xm == xv


def following(value: i64, mask: i64, number: i64) -> i64:
    """The least member above *number*, unsigned; the greatest member if none is above.

    A member is ``value`` plus some unknown bits. Adding 1 to the unknown bits of ``number - value``
    gives the next choice of them, once all other bits are set so that the carry runs through; a
    known bit of that difference lies above all choices of the unknown bits below it, which start
    anew from 0.
    """
    if not below(number, value | mask):
        return value | mask
    if below(number, value):
        return value
    distance = wrap(number - value)
    known = distance & ~mask
    filled = distance | (smear(known) if known >= 0 else -1) | ~mask
    return value | (wrap(filled + 1) & mask)


def swap_bytes(word: i64, size: i64) -> i64:
    """Reverse the lower *size* bytes of *word*; the others are dropped."""
    result: i64 = 0
    for _ in range(size):
        result = wrap(result << 8) | (word & 0xFF)
        word >>= 8
    return result


@dataclass(frozen=True, slots=True)
class Tnum:
    """A tnum as unsigned 64-bit numbers: ``x in tnum`` tells whether it holds *x*."""

    value: int
    mask: int

    def __contains__(self, number: int) -> bool:
        return (number ^ self.value) & ~self.mask & U64 == 0

    def is_aligned(self, size: int) -> bool:
        """Whether every member is a multiple of *size*, a power of two."""
        return (self.value | self.mask) & (size - 1) == 0

    @property
    def is_const(self) -> bool:
        """Whether it holds one number only."""
        return self.mask == 0
