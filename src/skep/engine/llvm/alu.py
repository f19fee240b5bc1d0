"""Arithmetic and comparisons as LLVM IR: only where the machine differs from the plain operation.

BPF defines what LLVM leaves undefined: division by zero gives 0, modulo zero gives the dividend,
the least number divided by -1 gives itself, shift counts wrap at the width. Operands and results
of a lowering are ``i<bits>``.
"""

from collections.abc import Callable, Mapping
from typing import Final

from skep.engine.llvm.text import Body
from skep.isa.table import Sem

# b is the body, x the destination's old value, y operand two, n the width in bits
Lowering = Callable[[Body, str, str, int], str]


def _plain(operation: str) -> Lowering:
    return lambda b, x, y, n: b.value(f"{operation} i{n} {x}, {y}")


def _constant(y: str) -> bool:
    return not y.startswith("%")


def _shift(operation: str) -> Lowering:
    def lower(b: Body, x: str, y: str, n: int) -> str:
        count = str(int(y) % n) if _constant(y) else b.value(f"and i{n} {y}, {n - 1}")
        return b.value(f"{operation} i{n} {x}, {count}")

    return lower


def _divide(operation: str, modulo: bool) -> Lowering:
    """Divide by 1 instead of 0, then choose what division by zero gives."""

    def lower(b: Body, x: str, y: str, n: int) -> str:
        by_zero = x if modulo else "0"
        if _constant(y):
            return by_zero if int(y) == 0 else b.value(f"{operation} i{n} {x}, {y}")
        zero = b.value(f"icmp eq i{n} {y}, 0")
        divisor = b.value(f"select i1 {zero}, i{n} 1, i{n} {y}")
        result = b.value(f"{operation} i{n} {x}, {divisor}")
        return b.value(f"select i1 {zero}, i{n} {by_zero}, i{n} {result}")

    return lower


def _signed_divide(operation: str, modulo: bool) -> Lowering:
    """Divide by 1 instead of -1 too: the least number by -1 traps on the machine."""
    unsigned = _divide(operation, modulo)

    def lower(b: Body, x: str, y: str, n: int) -> str:
        if _constant(y) and int(y) != -1:
            return unsigned(b, x, y, n)
        opposite = "0" if modulo else b.value(f"sub i{n} 0, {x}")
        if _constant(y):
            return opposite
        minus_one = b.value(f"icmp eq i{n} {y}, -1")
        divisor = b.value(f"select i1 {minus_one}, i{n} 1, i{n} {y}")
        result = unsigned(b, x, divisor, n)
        return b.value(f"select i1 {minus_one}, i{n} {opposite}, i{n} {result}")

    return lower


def _sign_extend(size: int) -> Lowering:
    def lower(b: Body, _: str, y: str, n: int) -> str:
        return b.value(f"sext i{size} {b.value(f'trunc i{n} {y} to i{size}')} to i{n}")

    return lower


def _keep(size: int) -> Lowering:
    return lambda b, x, _, n: x if size == n else b.value(f"and i{n} {x}, {(1 << size) - 1}")


def _swap(size: int) -> Lowering:
    def lower(b: Body, x: str, _: str, n: int) -> str:
        low = x if size == n else b.value(f"trunc i{n} {x} to i{size}")
        swapped = b.value(f"call i{size} @llvm.bswap.i{size}(i{size} {low})")
        return swapped if size == n else b.value(f"zext i{size} {swapped} to i{n}")

    return lower


LOWER: Final[Mapping[Sem, Lowering]] = {
    Sem.ADD: _plain("add"),
    Sem.SUB: _plain("sub"),
    Sem.MUL: _plain("mul"),
    Sem.UDIV: _divide("udiv", modulo=False),
    Sem.SDIV: _signed_divide("sdiv", modulo=False),
    Sem.UMOD: _divide("urem", modulo=True),
    Sem.SMOD: _signed_divide("srem", modulo=True),
    Sem.OR: _plain("or"),
    Sem.AND: _plain("and"),
    Sem.XOR: _plain("xor"),
    Sem.SHL: _shift("shl"),
    Sem.LSHR: _shift("lshr"),
    Sem.ASHR: _shift("ashr"),
    Sem.MOV: lambda _b, _x, y, _n: y,
    Sem.SEXT8: _sign_extend(8),
    Sem.SEXT16: _sign_extend(16),
    Sem.SEXT32: _sign_extend(32),
    Sem.NEG: lambda b, x, _, n: b.value(f"sub i{n} 0, {x}"),
    Sem.KEEP16: _keep(16),
    Sem.KEEP32: _keep(32),
    Sem.KEEP64: _keep(64),
    Sem.SWAP16: _swap(16),
    Sem.SWAP32: _swap(32),
    Sem.SWAP64: _swap(64),
}

PREDICATE: Final[Mapping[Sem, str]] = {
    Sem.EQ: "eq", Sem.NE: "ne", Sem.UGT: "ugt", Sem.UGE: "uge", Sem.ULT: "ult", Sem.ULE: "ule",
    Sem.SGT: "sgt", Sem.SGE: "sge", Sem.SLT: "slt", Sem.SLE: "sle",
}  # fmt: skip


def arithmetic(b: Body, sem: Sem, x: str, y: str, bits: int) -> str:
    """Apply *sem* to two ``i64`` (or constants); the result is zero-extended to 64 bits."""
    if bits == 64:
        return LOWER[sem](b, x, y, 64)
    result = LOWER[sem](b, _low(b, x), _low(b, y), 32)
    if _constant(result):
        return str(int(result) & 0xFFFF_FFFF)
    return b.value(f"zext i32 {result} to i64")


def condition(b: Body, sem: Sem, x: str, y: str, bits: int) -> str:
    """Compare two ``i64`` (or constants) by *sem*; the result is an ``i1``."""
    if bits == 32:
        x, y = _low(b, x), _low(b, y)
    if sem is Sem.SET:
        return b.value(f"icmp ne i{bits} {b.value(f'and i{bits} {x}, {y}')}, 0")
    return b.value(f"icmp {PREDICATE[sem]} i{bits} {x}, {y}")


def _low(b: Body, value: str) -> str:
    if _constant(value):
        low = int(value) & 0xFFFF_FFFF
        return str(low - (1 << 32) if low >> 31 else low)
    return b.value(f"trunc i64 {value} to i32")
