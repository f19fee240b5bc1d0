"""Operands of assembly text: registers, numbers, addresses.

Each function takes its words from a statement and raises AssemblyError at the first wrong one.
"""

from dataclasses import dataclass
from typing import Final

from skep.base.bits import S32_MIN, U32, signed
from skep.isa import table
from skep.isa.tokens import Statement

SIZES: Final[dict[str, int]] = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
SIGNED: Final[tuple[str, ...]] = ("s8", "s16", "s32")


@dataclass(frozen=True, slots=True)
class Register:
    """``rN``, 64 bits, or its low half ``wN``."""

    number: int
    bits: int


def register_of(text: str) -> Register | None:
    """Read *text* as a register's name; None if it is none."""
    if text[:1] not in ("r", "w", "R", "W") or not text[1:].isdecimal() or len(text) > 3:
        return None
    number = int(text[1:])
    if number > table.MAX_REGISTER or text[1:] != str(number):
        return None
    return Register(number, 64 if text[0] in "rR" else 32)


def register(at: Statement, bits: int = 0) -> Register:
    """Take a register, of *bits* if given."""
    found = register_of(at.peek().text)
    if found is None or (bits and found.bits != bits):
        prefix = "w" if bits == 32 else "r"
        raise at.error(f"a register {prefix}0 to {prefix}10")
    at.take()
    return found


def data(at: Statement, size: int) -> int:
    """Take a register that is stored or loaded: rN or, up to 4 bytes, wN."""
    return register(at, 64 if size == 8 else 0).number


def integer(at: Statement) -> int:
    """Take a number with any signs."""
    negative = False
    while at.peek().text in ("-", "+"):
        negative ^= at.take().text == "-"
    if at.peek().kind != "number":
        raise at.error("a number")
    value = int(at.take().text, 0)
    return -value if negative else value


def immediate(at: Statement) -> int:
    """Take a number that fits 32 bits, signed or unsigned; returns it signed."""
    value = integer(at)
    if not S32_MIN <= value <= U32:
        raise at.error("a 32-bit number (64 bits are written with ll)", at.peek(-1))
    return signed(value, 32)


def offset(at: Statement) -> int:
    """Take a 16-bit signed number."""
    value = integer(at)
    if not -0x8000 <= value <= 0x7FFF:
        raise at.error("a 16-bit signed number", at.peek(-1))
    return value


def address(at: Statement) -> tuple[int, int]:
    """Take ``r1 + 4`` or ``r1``."""
    base = register(at, 64).number
    return base, offset(at) if at.peek().text in ("+", "-") else 0


def pointer_type(at: Statement) -> str:
    """Take ``(u32 *)``."""
    at.expect("(")
    name = at.peek().text
    if name not in SIZES and name not in SIGNED:
        raise at.error("a type: u8 u16 u32 u64 s8 s16 s32")
    at.take()
    at.expect("*")
    at.expect(")")
    return name


def memory(at: Statement) -> tuple[str, int, int]:
    """Take ``*(u32 *)(r1 + 4)``: type, base, offset."""
    at.expect("*")
    name = pointer_type(at)
    at.expect("(")
    base, off = address(at)
    at.expect(")")
    return name, base, off


def inside(at: Statement) -> tuple[str, int, int]:
    """Take ``((u64 *)(r1 + 8)``, up to, not including, the comma or last parenthesis."""
    at.expect("(")
    token = at.peek(1)
    name = pointer_type(at)
    if name in SIGNED:
        raise at.error("an unsigned type", token)
    at.expect("(")
    base, off = address(at)
    at.expect(")")
    return name, base, off
