"""What each arithmetic operation and comparison means: the reference for every back end.

Values are unsigned Python ints. Division by zero gives 0, modulo zero gives the dividend, signed
division truncates, shift counts wrap at the width.

Source: RFC 9669, section 4.
"""

# ruff: noqa: ARG005 - every row takes the same three parameters

from collections.abc import Callable, Mapping
from typing import Final

from skep.base.bits import signed, swap, unsigned
from skep.isa.table import Sem


def _signed_div(x: int, y: int) -> int:
    if y == 0:
        return 0
    quotient = abs(x) // abs(y)
    return quotient if (x < 0) == (y < 0) else -quotient


def _signed_mod(x: int, y: int) -> int:
    if y == 0:
        return x
    rest = abs(x) % abs(y)
    return -rest if x < 0 else rest


EVAL: Final[Mapping[Sem, Callable[[int, int, int], int]]] = {
    # x, y are unsigned and n bits wide; the caller wraps the result
    Sem.ADD: lambda x, y, n: x + y,
    Sem.SUB: lambda x, y, n: x - y,
    Sem.MUL: lambda x, y, n: x * y,
    Sem.UDIV: lambda x, y, n: x // y if y else 0,
    Sem.SDIV: lambda x, y, n: _signed_div(signed(x, n), signed(y, n)),
    Sem.UMOD: lambda x, y, n: x % y if y else x,
    Sem.SMOD: lambda x, y, n: _signed_mod(signed(x, n), signed(y, n)),
    Sem.OR: lambda x, y, n: x | y,
    Sem.AND: lambda x, y, n: x & y,
    Sem.XOR: lambda x, y, n: x ^ y,
    Sem.SHL: lambda x, y, n: x << (y % n),
    Sem.LSHR: lambda x, y, n: x >> (y % n),
    Sem.ASHR: lambda x, y, n: signed(x, n) >> (y % n),
    Sem.MOV: lambda x, y, n: y,
    Sem.SEXT8: lambda x, y, n: signed(y, 8),
    Sem.SEXT16: lambda x, y, n: signed(y, 16),
    Sem.SEXT32: lambda x, y, n: signed(y, 32),
    Sem.NEG: lambda x, y, n: -x,
    Sem.KEEP16: lambda x, y, n: unsigned(x, 16),
    Sem.KEEP32: lambda x, y, n: unsigned(x, 32),
    Sem.KEEP64: lambda x, y, n: x,
    Sem.SWAP16: lambda x, y, n: swap(x, 16),
    Sem.SWAP32: lambda x, y, n: swap(x, 32),
    Sem.SWAP64: lambda x, y, n: swap(x, 64),
}

COMPARE: Final[Mapping[Sem, Callable[[int, int, int], bool]]] = {
    Sem.EQ: lambda x, y, n: x == y,
    Sem.NE: lambda x, y, n: x != y,
    Sem.UGT: lambda x, y, n: x > y,
    Sem.UGE: lambda x, y, n: x >= y,
    Sem.ULT: lambda x, y, n: x < y,
    Sem.ULE: lambda x, y, n: x <= y,
    Sem.SGT: lambda x, y, n: signed(x, n) > signed(y, n),
    Sem.SGE: lambda x, y, n: signed(x, n) >= signed(y, n),
    Sem.SLT: lambda x, y, n: signed(x, n) < signed(y, n),
    Sem.SLE: lambda x, y, n: signed(x, n) <= signed(y, n),
    Sem.SET: lambda x, y, n: (x & y) != 0,
}


def evaluate(sem: Sem, x: int, y: int, bits: int) -> int:
    """Apply *sem* to the low *bits* of two registers; the result is zero-extended to 64.

    *x* is the destination's old value, *y* operand two (an immediate is sign-extended first).
    """
    return unsigned(EVAL[sem](unsigned(x, bits), unsigned(y, bits), bits), bits)


def compare(sem: Sem, x: int, y: int, bits: int) -> bool:
    """Tell whether a conditional jump is taken, comparing the low *bits*."""
    return COMPARE[sem](unsigned(x, bits), unsigned(y, bits), bits)
