"""A small subset of Python that means the same interpreted and compiled to machine code.

Maps and helpers are written in it once. Called from Python, a function marked ``@native`` just
runs: the intrinsics below read and write this process's memory. The engine translates the very
same source to LLVM IR (``skep.engine.llvm.native``), so programs run it without the interpreter
lock, inlined where that pays.

The subset:

* every value is an unsigned 64-bit integer, annotated ``int``; a comparison gives 0 or 1;
* ``+ - * << >> & | ^ ~ // %`` wrap modulo 2**64 when compiled. Plain Python does not wrap, so an
  expression that may leave 0 .. 2**64-1 is written ``wrap(a - b)``; a shift count is below 64 and
  a divisor is not zero;
* ``< <= > >= == !=`` compare unsigned; ``slt`` and ``sle`` compare signed;
* statements: assignment (also augmented) to local names, ``if``/``elif``/``else``, ``while``,
  ``for i in range(...)``, ``break``, ``continue``, ``return``, ``pass``, docstrings, bare calls;
* ``and``/``or``/``not`` and ``a if c else b`` in expressions, short-circuiting;
* calls to other native functions, to the intrinsics below, and ``call(address, ...)`` to a compiled
  function by address (map callbacks); ``min`` and ``max`` of two; names of module-level integer
  constants;
* all parameters are positional, without defaults; a function returns one value (0 if none).
"""

import ctypes
import time
from collections.abc import Callable
from typing import Final

from skep.base.bits import U32, U64, signed

NativeFunction = Callable[..., int]

REGISTRY_ATTRIBUTE: Final = "__skep_native__"


def native(function: NativeFunction) -> NativeFunction:
    """Mark *function* as written in the subset; it is returned unchanged."""
    setattr(function, REGISTRY_ATTRIBUTE, True)
    return function


def is_native(function: object) -> bool:
    """Tell whether *function* was marked with ``@native``."""
    return getattr(function, REGISTRY_ATTRIBUTE, False) is True


# --- intrinsics: the engine replaces calls to these by instructions ---------------------------


def wrap(value: int) -> int:
    """Reduce *value* modulo 2**64."""
    return value & U64


def wrap32(value: int) -> int:
    """Reduce *value* modulo 2**32."""
    return value & U32


def slt(x: int, y: int) -> int:
    """1 if *x* < *y* as signed 64-bit numbers."""
    return int(signed(x, 64) < signed(y, 64))


def sle(x: int, y: int) -> int:
    """1 if *x* <= *y* as signed 64-bit numbers."""
    return int(signed(x, 64) <= signed(y, 64))


def load8(address: int) -> int:
    """Read one byte."""
    return ctypes.c_uint8.from_address(address).value


def load16(address: int) -> int:
    """Read two bytes, native endian, any alignment."""
    return ctypes.c_uint16.from_address(address).value


def load32(address: int) -> int:
    """Read four bytes, native endian, any alignment."""
    return ctypes.c_uint32.from_address(address).value


def load64(address: int) -> int:
    """Read eight bytes, native endian, any alignment."""
    return ctypes.c_uint64.from_address(address).value


def store8(address: int, value: int) -> None:
    """Write the low byte of *value*."""
    ctypes.c_uint8.from_address(address).value = value


def store16(address: int, value: int) -> None:
    """Write the low two bytes of *value*."""
    ctypes.c_uint16.from_address(address).value = value


def store32(address: int, value: int) -> None:
    """Write the low four bytes of *value*."""
    ctypes.c_uint32.from_address(address).value = value


def store64(address: int, value: int) -> None:
    """Write *value*."""
    ctypes.c_uint64.from_address(address).value = value


def load_acquire32(address: int) -> int:
    """Read four aligned bytes; later accesses stay after it."""
    return load32(address)


def load_acquire64(address: int) -> int:
    """Read eight aligned bytes; later accesses stay after it."""
    return load64(address)


def store_release32(address: int, value: int) -> None:
    """Write four aligned bytes; earlier accesses stay before it."""
    store32(address, value)


def store_release64(address: int, value: int) -> None:
    """Write eight aligned bytes; earlier accesses stay before it."""
    store64(address, value)


def atomic_add32(address: int, value: int) -> int:
    """Add to four aligned bytes; returns what stood there before."""
    old = load32(address)
    store32(address, old + value)
    return old


def atomic_add64(address: int, value: int) -> int:
    """Add to eight aligned bytes; returns what stood there before."""
    old = load64(address)
    store64(address, old + value)
    return old


def atomic_xchg64(address: int, value: int) -> int:
    """Replace eight aligned bytes; returns what stood there before."""
    old = load64(address)
    store64(address, value)
    return old


def cmpxchg32(address: int, expected: int, value: int) -> int:
    """Replace four aligned bytes if they equal *expected*; returns what stood there before."""
    old = load32(address)
    if old == expected:
        store32(address, value)
    return old


def cmpxchg64(address: int, expected: int, value: int) -> int:
    """Replace eight aligned bytes if they equal *expected*; returns what stood there before."""
    old = load64(address)
    if old == expected:
        store64(address, value)
    return old


def copy(target: int, source: int, size: int) -> None:
    """Copy *size* bytes; the ranges do not overlap (memcpy)."""
    ctypes.memmove(target, source, size)


def move(target: int, source: int, size: int) -> None:
    """Copy *size* bytes; the ranges may overlap (memmove)."""
    ctypes.memmove(target, source, size)


def fill(target: int, byte: int, size: int) -> None:
    """Set *size* bytes to *byte* (memset)."""
    ctypes.memset(target, byte, size)


def same(x: int, y: int, size: int) -> int:
    """1 if the *size* bytes at *x* and *y* are equal (memcmp)."""
    return int(ctypes.string_at(x, size) == ctypes.string_at(y, size))


def swap16(value: int) -> int:
    """Reverse the low two bytes."""
    return int.from_bytes((value & 0xFFFF).to_bytes(2, "little"), "big")


def swap32(value: int) -> int:
    """Reverse the low four bytes."""
    return int.from_bytes((value & U32).to_bytes(4, "little"), "big")


def swap64(value: int) -> int:
    """Reverse the eight bytes."""
    return int.from_bytes((value & U64).to_bytes(8, "little"), "big")


def leading_zeros64(value: int) -> int:
    """Count of zero bits above the highest one; 64 for zero."""
    return 64 - value.bit_length()


def clock_ns(clock: int) -> int:
    """Nanoseconds of ``clock_gettime(clock)``."""
    return time.clock_gettime_ns(clock)


def relax() -> None:
    """Let another thread run: the body of a spin loop (sched_yield)."""
    time.sleep(0)


def prefetch(address: int) -> None:
    """Tell the processor that memory at *address* is wanted soon; any address will do."""
    del address


def call(address: int, *arguments: int) -> int:
    """Call the compiled function at *address*; up to six integer arguments."""
    prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * len(arguments))
    return int(prototype(address)(*arguments))


INTRINSICS: Final = (
    wrap, wrap32, slt, sle, load8, load16, load32, load64, store8, store16, store32, store64,
    load_acquire32, load_acquire64, store_release32, store_release64, atomic_add32, atomic_add64,
    atomic_xchg64, cmpxchg32, cmpxchg64, copy, move, fill, same, swap16, swap32, swap64,
    leading_zeros64, clock_ns, relax, prefetch, call,
)  # fmt: skip
