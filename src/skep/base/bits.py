"""Fixed-width integers: wrap, sign-extend, byte-swap.

Everything here takes and returns Python ints, so it means the same compiled and uncompiled.
"""

from typing import Final

U8: Final = 0xFF
U16: Final = 0xFFFF
U32: Final = 0xFFFF_FFFF
U64: Final = 0xFFFF_FFFF_FFFF_FFFF
S32_MIN: Final = -0x8000_0000
S32_MAX: Final = 0x7FFF_FFFF
S64_MIN: Final = -0x8000_0000_0000_0000
S64_MAX: Final = 0x7FFF_FFFF_FFFF_FFFF


def unsigned(value: int, bits: int) -> int:
    """Return *value* modulo ``2**bits``."""
    return value & ((1 << bits) - 1)


def signed(value: int, bits: int) -> int:
    """Read the low *bits* of *value* as two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def swap(value: int, bits: int) -> int:
    """Reverse the bytes of the low *bits* of *value*."""
    size = bits // 8
    return int.from_bytes((value & ((1 << bits) - 1)).to_bytes(size, "little"), "big")
