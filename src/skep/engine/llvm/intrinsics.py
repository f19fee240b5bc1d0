"""Intrinsics of the native subset as LLVM IR: one row for each name in ``base.native``.

A lowering takes the body and the argument values and gives the result, or "" where the intrinsic
has none. Plain loads and stores assume no alignment; atomics assume the natural one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from skep.engine.llvm.text import Body, integers

Lowering = Callable[[Body, Sequence[str]], str]


def _wrap(_: Body, args: Sequence[str]) -> str:
    return args[0]


def _wrap32(body: Body, args: Sequence[str]) -> str:
    return body.value(f"and i64 {args[0]}, 4294967295")


def _compare(predicate: str) -> Lowering:
    def lower(body: Body, args: Sequence[str]) -> str:
        return body.truth(body.value(f"icmp {predicate} i64 {args[0]}, {args[1]}"))

    return lower


def narrow(body: Body, value: str, bits: int) -> str:
    """Cut *value* to *bits*; 64 leaves it alone."""
    return value if bits == 64 else body.value(f"trunc i64 {value} to i{bits}")


def widen(body: Body, value: str, bits: int) -> str:
    """Zero-extend an ``i<bits>`` to 64 bits."""
    return value if bits == 64 else body.value(f"zext i{bits} {value} to i64")


def _load(bits: int, order: str = "") -> Lowering:
    atomic, align = ("atomic ", bits // 8) if order else ("", 1)

    def lower(body: Body, args: Sequence[str]) -> str:
        pointer = body.pointer(args[0])
        loaded = body.value(f"load {atomic}i{bits}, ptr {pointer}{order}, align {align}")
        return widen(body, loaded, bits)

    return lower


def _store(bits: int, order: str = "") -> Lowering:
    atomic, align = ("atomic ", bits // 8) if order else ("", 1)

    def lower(body: Body, args: Sequence[str]) -> str:
        value = narrow(body, args[1], bits)
        pointer = body.pointer(args[0])
        body.emit(f"store {atomic}i{bits} {value}, ptr {pointer}{order}, align {align}")
        return ""

    return lower


def atomic_update(body: Body, operation: str, pointer: str, value: str, bits: int) -> str:
    """``atomicrmw``: returns the old value, zero-extended."""
    value = narrow(body, value, bits)
    old = body.value(f"atomicrmw {operation} ptr {pointer}, i{bits} {value} seq_cst")
    return widen(body, old, bits)


def atomic_exchange(body: Body, pointer: str, expected: str, value: str, bits: int) -> str:
    """``cmpxchg``: returns the old value, zero-extended."""
    expected, value = narrow(body, expected, bits), narrow(body, value, bits)
    orders = "seq_cst seq_cst"
    pair = body.value(f"cmpxchg ptr {pointer}, i{bits} {expected}, i{bits} {value} {orders}")
    return widen(body, body.value(f"extractvalue {{ i{bits}, i1 }} {pair}, 0"), bits)


def _update(operation: str, bits: int) -> Lowering:
    def lower(body: Body, args: Sequence[str]) -> str:
        return atomic_update(body, operation, body.pointer(args[0]), args[1], bits)

    return lower


def _exchange(bits: int) -> Lowering:
    def lower(body: Body, args: Sequence[str]) -> str:
        return atomic_exchange(body, body.pointer(args[0]), args[1], args[2], bits)

    return lower


def _copy(name: str) -> Lowering:
    def lower(body: Body, args: Sequence[str]) -> str:
        target, source = body.pointer(args[0]), body.pointer(args[1])
        body.emit(
            f"call void @llvm.{name}.p0.p0.i64(ptr {target}, ptr {source}, i64 {args[2]}, i1 false)"
        )
        return ""

    return lower


def _fill(body: Body, args: Sequence[str]) -> str:
    target, byte = body.pointer(args[0]), narrow(body, args[1], 8)
    body.emit(f"call void @llvm.memset.p0.i64(ptr {target}, i8 {byte}, i64 {args[2]}, i1 false)")
    return ""


def _same(body: Body, args: Sequence[str]) -> str:
    x, y = body.pointer(args[0]), body.pointer(args[1])
    order = body.value(f"call i32 @memcmp(ptr {x}, ptr {y}, i64 {args[2]})")
    return body.truth(body.value(f"icmp eq i32 {order}, 0"))


def swap(body: Body, value: str, bits: int) -> str:
    """Reverse the low *bits* of *value*; the rest becomes zero."""
    value = narrow(body, value, bits)
    swapped = body.value(f"call i{bits} @llvm.bswap.i{bits}(i{bits} {value})")
    return widen(body, swapped, bits)


def _swap(bits: int) -> Lowering:
    return lambda body, args: swap(body, args[0], bits)


def _leading_zeros(body: Body, args: Sequence[str]) -> str:
    return body.value(f"call i64 @llvm.ctlz.i64(i64 {args[0]}, i1 false)")


def _clock(body: Body, args: Sequence[str]) -> str:
    time = body.local(body.fresh("time"), "[2 x i64]")
    clock = narrow(body, args[0], 32)
    body.value(f"call i32 @clock_gettime(i32 {clock}, ptr {time})")
    seconds = body.value(f"load i64, ptr {time}")
    rest = body.value(f"getelementptr i8, ptr {time}, i64 8")
    nanoseconds = body.value(f"load i64, ptr {rest}")
    whole = body.value(f"mul i64 {seconds}, 1000000000")
    return body.value(f"add i64 {whole}, {nanoseconds}")


def _relax(body: Body, _: Sequence[str]) -> str:
    body.value("call i32 @sched_yield()")
    return ""


def _prefetch(body: Body, args: Sequence[str]) -> str:
    pointer = body.pointer(args[0])
    body.emit(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 3, i32 1)")
    return ""


def _call(body: Body, args: Sequence[str]) -> str:
    pointer = body.pointer(args[0])
    return body.value(f"call i64 {pointer}({integers(args[1:])})")


LOWER: Final[Mapping[str, Lowering]] = {
    "wrap": _wrap,
    "wrap32": _wrap32,
    "slt": _compare("slt"),
    "sle": _compare("sle"),
    "load8": _load(8),
    "load16": _load(16),
    "load32": _load(32),
    "load64": _load(64),
    "store8": _store(8),
    "store16": _store(16),
    "store32": _store(32),
    "store64": _store(64),
    "load_acquire32": _load(32, " acquire"),
    "load_acquire64": _load(64, " acquire"),
    "store_release32": _store(32, " release"),
    "store_release64": _store(64, " release"),
    "atomic_add32": _update("add", 32),
    "atomic_add64": _update("add", 64),
    "atomic_xchg64": _update("xchg", 64),
    "cmpxchg32": _exchange(32),
    "cmpxchg64": _exchange(64),
    "copy": _copy("memcpy"),
    "move": _copy("memmove"),
    "fill": _fill,
    "same": _same,
    "swap16": _swap(16),
    "swap32": _swap(32),
    "swap64": _swap(64),
    "leading_zeros64": _leading_zeros,
    "clock_ns": _clock,
    "relax": _relax,
    "prefetch": _prefetch,
    "call": _call,
}  # fmt: skip

VOID: Final = frozenset(
    {
        "store8", "store16", "store32", "store64", "store_release32", "store_release64",
        "copy", "move", "fill", "relax", "prefetch",
    }
)  # fmt: skip
