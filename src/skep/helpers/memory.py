"""Helpers on memory and strings: reads that may fail, numbers in text, comparison.

Source: Linux kernel/trace/bpf_trace.c, mm/maccess.c, kernel/bpf/helpers.c, lib/kstrtox.c.
"""

import errno
from typing import Final

from skep.base.bits import U32
from skep.base.memory import PAGE_SIZE, Fault, UserMemory
from skep.base.native import load8, load64, native, store64, wrap
from skep.helpers.binding import Binding
from skep.maps.answer import MINUS_EFAULT, MINUS_EINVAL, MINUS_ERANGE
from skep.maps.value import lesser
from skep.runtime.world import World

_BASE_MASK: Final = 0x1F
_MOST_DIGITS: Final = 63  # Linux copies into a buffer of 64
_BASES: Final = 1 << 0 | 1 << 8 | 1 << 10 | 1 << 16
_SIGN: Final = 1 << 63
_KERNEL: Final = 0xFFFF_8000_0000_0000  # where addresses of the kernel begin


# --- reads that may fail ------------------------------------------------------------------------


def probe_read(
    world: World, _run: int, target: int, size: int, source: int, _r4: int, _r5: int
) -> int:
    """Copy *size* bytes from anywhere; zeros and -EFAULT if they cannot be read."""
    size &= U32
    try:
        world.memory.write(target, world.memory.read(source, size))
    except Fault:
        world.memory.write(target, bytes(size))
        return MINUS_EFAULT
    return 0


def kernel_fault(address: int) -> int:
    """Errno of a read of kernel memory that failed: ERANGE where no kernel memory can be."""
    return errno.EFAULT if address >= _KERNEL else errno.ERANGE


def probe_read_kernel(
    world: World, run: int, target: int, size: int, source: int, _r4: int, _r5: int
) -> int:
    """As probe_read, of memory that is not the task's."""
    answer = probe_read(world, run, target, size, source, 0, 0)
    return -kernel_fault(source) if answer == MINUS_EFAULT else answer


def read_string(memory: UserMemory, source: int, size: int) -> bytes:
    """The string at *source*, at most *size* bytes with its final zero; raises Fault.

    Reads page by page: what lies behind the end of the string need not be readable.
    """
    text = bytearray()
    while len(text) < size:
        place = source + len(text)
        part = min(PAGE_SIZE - place % PAGE_SIZE, size - len(text))
        data = memory.read(place, part)
        end = data.find(b"\0")
        if end >= 0:
            return bytes(text + data[: end + 1])
        text += data
    if text:
        text[-1] = 0
    return bytes(text)


def probe_read_str(
    world: World, _run: int, target: int, size: int, source: int, _r4: int, _r5: int
) -> int:
    """Copy a string from anywhere; returns its length with the final zero."""
    size &= U32
    try:
        text = read_string(world.memory, source, size)
    except Fault:
        world.memory.write(target, bytes(size))
        return MINUS_EFAULT
    world.memory.write(target, text)
    return len(text)


def probe_read_kernel_str(
    world: World, run: int, target: int, size: int, source: int, _r4: int, _r5: int
) -> int:
    """As probe_read_str, of memory that is not the task's."""
    answer = probe_read_str(world, run, target, size, source, 0, 0)
    return -kernel_fault(source) if answer == MINUS_EFAULT else answer


# --- numbers in text ----------------------------------------------------------------------------


@native
def is_space(byte: int) -> int:
    """Whether Linux counts *byte* as white space (the no-break space too)."""
    return byte == 0x20 or (byte >= 9 and byte <= 13) or byte == 0xA0


@native
def digit_of(byte: int) -> int:
    """Value of a digit or a letter a to f, else 99."""
    if byte >= 0x30 and byte <= 0x39:
        return byte - 0x30
    lower = byte | 0x20
    if lower >= 0x61 and lower <= 0x66:
        return lower - 0x61 + 10
    return 99


@native
def byte_at(text: int, place: int, size: int) -> int:
    """Byte *place* of the text, 0 behind its end."""
    return load8(text + place) if place < size else 0


@native
def has_hex_prefix(text: int, place: int, size: int) -> int:
    """Whether "0x" stands at *place*."""
    return byte_at(text, place, size) == 0x30 and (byte_at(text, place + 1, size) | 0x20) == 0x78


@native
def base_of(text: int, place: int, size: int, base: int) -> int:
    """The base to read digits in, told by the prefix if *base* is 0."""
    if base != 0:
        return base
    if has_hex_prefix(text, place, size) and digit_of(byte_at(text, place + 2, size)) < 16:
        return 16
    return 8 if byte_at(text, place, size) == 0x30 else 10


@native
def sign_place(text: int, size: int) -> int:
    """Where the number begins, with its sign: behind white space."""
    place = 0
    while place < size and is_space(load8(text + place)):
        place += 1
    return place


@native
def parse_digits(text: int, size: int, flags: int, result: int) -> int:
    """Store the number without its sign; returns how many bytes were read, or a refusal."""
    if size == 0 or (flags & ~_BASE_MASK) != 0 or (_BASES >> flags & 1) == 0:
        return MINUS_EINVAL
    start = sign_place(text, size)
    if byte_at(text, start, size) == 0x2D:
        start += 1
    if start >= size:
        return MINUS_EINVAL
    end = lesser(size, start + _MOST_DIGITS)
    base = base_of(text, start, end, flags)
    if base == 16 and has_hex_prefix(text, start, end):
        start += 2
    value = 0
    place = start
    overflow = 0
    digit = digit_of(byte_at(text, place, end))
    while place < end and digit < base:
        if value > (0xFFFF_FFFF_FFFF_FFFF - digit) // base:
            overflow = 1
        value = wrap(value * base + digit)
        place += 1
        digit = digit_of(byte_at(text, place, end))
    if overflow:
        return MINUS_ERANGE
    if place == start:
        return MINUS_EINVAL
    store64(result, value)
    return place


@native
def strtol(run: int, text: int, size: int, flags: int, result: int) -> int:  # noqa: ARG001
    """Read a signed number; returns how many bytes it took."""
    store64(result, 0)
    answer = parse_digits(text, size, flags, result)
    if (answer & _SIGN) != 0:
        return answer
    return apply_sign(text, size, answer, result)


@native
def apply_sign(text: int, size: int, answer: int, result: int) -> int:
    """Give the number at *result* its sign, if it fits 64 bits so."""
    value = load64(result)
    if byte_at(text, sign_place(text, size), size) == 0x2D:
        if value > _SIGN:
            store64(result, 0)
            return MINUS_ERANGE
        store64(result, wrap(0 - value))
    elif value >= _SIGN:
        store64(result, 0)
        return MINUS_ERANGE
    return answer


@native
def strtoul(run: int, text: int, size: int, flags: int, result: int) -> int:  # noqa: ARG001
    """Read an unsigned number; returns how many bytes it took."""
    store64(result, 0)
    answer = parse_digits(text, size, flags, result)
    negative = size != 0 and byte_at(text, sign_place(text, size), size) == 0x2D
    if negative and (answer & _SIGN) == 0:
        store64(result, 0)
        return MINUS_EINVAL
    return answer


@native
def strncmp(run: int, x: int, size: int, y: int) -> int:  # noqa: ARG001
    """Compare two strings, *size* bytes at most: -1, 0 or 1."""
    for place in range(size & 0xFFFF_FFFF):
        left = load8(x + place)
        right = load8(y + place)
        if left != right:
            return 1 if left > right else 0xFFFF_FFFF_FFFF_FFFF
        if left == 0:
            return 0
    return 0


BINDINGS: Final = (
    Binding("probe_read", upcall=probe_read),
    Binding("probe_read_user", upcall=probe_read),
    Binding("probe_read_kernel", upcall=probe_read_kernel),
    Binding("copy_from_user", upcall=probe_read),
    Binding("probe_read_str", upcall=probe_read_str),
    Binding("probe_read_user_str", upcall=probe_read_str),
    Binding("probe_read_kernel_str", upcall=probe_read_kernel_str),
    Binding("strtol", strtol),
    Binding("strtoul", strtoul),
    Binding("strncmp", strncmp),
)
