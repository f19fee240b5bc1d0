"""Sets of stack slots (or of registers) as words: bit *n* says whether slot *n* is in the set.

A frame has 64 slots, so the set of all is -1: words are read as two's complement, because that is
what mypyc keeps in a machine register (see ``skep.verifier.tnum``).
"""

from typing import Final

from mypy_extensions import i64

from skep.verifier.tnum import most

ALL_SLOTS: Final = -1
LEAST_OFFSET: Final = -512  # of a byte of the stack


def slot_bit(spi: i64) -> i64:
    """The set of slot *spi*, 0 to 63, alone."""
    one = most() >> 62
    return one << spi if spi < 63 else ~most()


def lowest(count: i64) -> i64:
    """Slots 0 to *count* (exclusive)."""
    if count >= 64:
        return ALL_SLOTS
    return most() >> (63 - count) if count > 0 else 0


def slot_at(off: int) -> int:
    """The slot that starts exactly at ``fp + off``; -1 if none."""
    if off % 8 or not LEAST_OFFSET <= off < 0:
        return -1
    return -off // 8 - 1


def slots_between(off: int, size: int) -> int:
    """Slots that hold bytes ``fp + off`` .. ``+ size``; those above r10 are no slots."""
    low = max(off, LEAST_OFFSET)
    high = min(low + size, 0)
    if low >= high:
        return ALL_SLOTS if low < 0 < size else 0
    return lowest((-low + 7) // 8) & ~lowest(-high // 8)
