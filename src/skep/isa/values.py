"""Right-hand sides of assignments: everything that gives a register a value.

Each function takes the words after ``r1 =`` and returns the slots.
"""

from collections.abc import Callable
from typing import Final

from skep.base.bits import S32_MIN, S64_MIN, U32, U64, signed
from skep.isa import table
from skep.isa.insn import Insn
from skep.isa.operands import (
    SIGNED,
    Register,
    address,
    data,
    immediate,
    inside,
    integer,
    pointer_type,
    register,
    register_of,
)  # fmt: skip
from skep.isa.table import BY_NAME, Sem, make, slot
from skep.isa.tokens import Statement, Token

_EXCHANGES: Final[dict[str, str]] = {
    "xchg_64": "xchg_u64",
    "xchg32_32": "xchg_u32",
    "cmpxchg_64": "cmpxchg_u64",
    "cmpxchg32_32": "cmpxchg_u32",
}
_PSEUDO_MAP: Final[dict[tuple[str, bool], str]] = {
    ("fd", False): "ld_imm64_map_fd",
    ("fd", True): "ld_imm64_map_value",
    ("idx", False): "ld_imm64_map_idx",
    ("idx", True): "ld_imm64_map_idx_value",
}


def value(at: Statement, target: Register) -> list[Insn]:
    """Read what stands behind ``target =``."""
    token = at.peek()
    if token.text in _VALUES:
        at.take()
        return _VALUES[token.text](at, target)
    if token.kind == "word" and token.text.startswith(("atomic_fetch_", "xchg", "cmpxchg")):
        return _exchange(at, target)
    if token.kind == "word" and token.text in BY_NAME:
        return _swap(at, target)
    if token.text == "-" and register_of(at.peek(1).text) is not None:
        at.take()
        _same(at, target)
        return [slot(f"neg{target.bits}", target.number)]
    if register_of(token.text) is not None:
        return arithmetic(at, target, f"mov{target.bits}")
    return _constant(at, target)


def arithmetic(at: Statement, target: Register, name: str) -> list[Insn]:
    """A register or an immediate behind an operator; *name* is the row's without its ending."""
    if register_of(at.peek().text) is None:
        return [slot(f"{name}_imm", target.number, imm=immediate(at))]
    return [slot(f"{name}_reg", target.number, register(at, target.bits).number)]


def wide(at: Statement, target: Register, name: str, low: int, high: int) -> list[Insn]:
    """Build both slots of the wide instruction called *name*."""
    if target.bits != 64:
        raise at.error("a 64-bit register on the left")
    return [slot(name, target.number, imm=signed(low, 32)), Insn(0, imm=signed(high, 32))]


def atomic_type(at: Statement, name: str, token: Token) -> None:
    """Require a type that atomics take."""
    if name not in ("u32", "u64"):
        raise at.error("u32 or u64", token)


def _same(at: Statement, target: Register) -> None:
    token = at.peek()
    if register(at, target.bits).number != target.number:
        raise at.error("the same register as on the left", token)


def _constant(at: Statement, target: Register) -> list[Insn]:
    token = at.peek()
    number = integer(at)
    if not at.accept("ll"):
        if not S32_MIN <= number <= U32:
            raise at.error("a 32-bit number (64 bits are written with ll)", token)
        return [slot(f"mov{target.bits}_imm", target.number, imm=signed(number, 32))]
    if not S64_MIN <= number <= U64:
        raise at.error("a 64-bit number", token)
    return wide(at, target, "ld_imm64_const", number & U32, number >> 32 & U32)


def _dereference(at: Statement, target: Register) -> list[Insn]:
    name = pointer_type(at)
    if at.accept("skb"):
        return _packet(at, target, name)
    at.expect("(")
    base, off = address(at)
    at.expect(")")
    if target.bits == 32 and (name == "u64" or name in SIGNED):
        raise at.error("a 64-bit register on the left")
    return [slot(f"ldx_{name}", target.number, base, off)]


def _packet(at: Statement, target: Register, name: str) -> list[Insn]:
    if target.number or name not in ("u8", "u16", "u32"):
        raise at.error("r0 = *(u8, u16 or u32 *)skb[…]", at.peek(-1))
    at.expect("[")
    if register_of(at.peek().text) is None:
        found = slot(f"ld_abs_{name}", imm=immediate(at))
    else:
        source = register(at, 64).number
        imm = immediate(at) if at.peek().text in ("+", "-") else 0
        found = slot(f"ld_ind_{name}", src=source, imm=imm)
    at.expect("]")
    return [found]


def _extend(at: Statement, target: Register) -> list[Insn]:
    """``(s8)r1``."""
    name = f"movsx{target.bits}_{at.peek().text}"
    if name not in BY_NAME:
        raise at.error("s8, s16 or (into a 64-bit register) s32")
    at.take()
    at.expect(")")
    return [slot(name, target.number, register(at, target.bits).number)]


def _swap(at: Statement, target: Register) -> list[Insn]:
    """``be16 r1``."""
    op = BY_NAME[at.peek().text]
    if op.group != "BPF_END" or target.bits != 64:
        raise at.error("le, be or bswap of a 64-bit register")
    at.take()
    _same(at, target)
    return [make(op, target.number)]


def _exchange(at: Statement, target: Register) -> list[Insn]:
    """``atomic_fetch_add((u64 *)(r1 + 0), r2)``, ``xchg_64(r1 + 0, r2)``, ``cmpxchg_64(…)``."""
    token = at.take()
    if token.text.startswith("atomic_fetch_"):
        start = at.peek(1)
        name, base, off = inside(at)
        atomic_type(at, name, start)
        row = f"{token.text}_{name}"
    else:
        at.expect("(")
        base, off = address(at)
        row = _EXCHANGES.get(token.text, "")
    if row not in BY_NAME:
        raise at.error("an atomic operation", token)
    op = BY_NAME[row]
    at.expect(",")
    if op.sem is Sem.CMPXCHG:
        if target.number or data(at, op.size):
            raise at.error("r0 on the left and as the expected value", token)
        at.expect(",")
    start = at.peek()
    source = data(at, op.size)
    if op.sem is not Sem.CMPXCHG and source != target.number:
        raise at.error("the same register as on the left", start)
    at.expect(")")
    return [make(op, base, source, off)]


def _load_acquire(at: Statement, target: Register) -> list[Insn]:
    name, base, off = inside(at)
    at.expect(")")
    if name == "u64" and target.bits == 32:
        raise at.error("a 64-bit register on the left")
    return [slot(f"load_acquire_{name}", target.number, base, off)]


def _cast(at: Statement, target: Register) -> list[Insn]:
    """``addr_space_cast(r2, 0x0, 0x1)``: into space 0, out of space 1."""
    at.expect("(")
    source = register(at, 64).number
    at.expect(",")
    into = integer(at)
    at.expect(",")
    out_of = integer(at)
    at.expect(")")
    imm = signed((into & 0xFFFF) << 16 | (out_of & 0xFFFF), 32)
    return [make(table.ADDR_SPACE_CAST, target.number, source, imm=imm)]


def _percpu(at: Statement, target: Register) -> list[Insn]:
    for word in ("(", "void", "__percpu", "*", ")", "("):
        at.expect(word)
    source = register(at, 64).number
    at.expect(")")
    return [make(table.PERCPU_ADDRESS, target.number, source)]


def _map(at: Statement, target: Register) -> list[Insn]:
    at.expect("[")
    by = at.peek().text
    if by not in ("fd", "idx"):
        raise at.error("fd or idx")
    at.take()
    low = immediate(at)
    at.expect("]")
    inner = at.accept("[")
    high = 0
    if inner:
        at.expect("0")
        at.expect("]")
        high = immediate(at) if at.peek().text in ("+", "-") else 0
    return wide(at, target, _PSEUDO_MAP[by, inner], low, high)


def _btf(at: Statement, target: Register) -> list[Insn]:
    at.expect("[")
    at.expect("id")
    low = immediate(at)
    high = 0
    if at.accept(","):
        at.expect("fd")
        high = immediate(at)
    at.expect("]")
    return wide(at, target, "ld_imm64_btf_id", low, high)


_VALUES: Final[dict[str, Callable[[Statement, Register], list[Insn]]]] = {
    "*": _dereference,
    "(": _extend,
    "&": _percpu,
    "load_acquire": _load_acquire,
    "addr_space_cast": _cast,
    "map": _map,
    "btf": _btf,
}
