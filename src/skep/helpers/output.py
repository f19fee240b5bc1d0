"""Helpers that give data out: trace lines, formatted text, ring buffers, perf rings, seq files.

Source: Linux kernel/trace/bpf_trace.c, kernel/bpf/helpers.c, kernel/bpf/ringbuf.c.
"""

import errno
from typing import Final

from skep.base.bits import U32
from skep.base.memory import Fault
from skep.base.native import load64
from skep.helpers.binding import Binding
from skep.helpers.formats import FormatRefused, Formatter
from skep.maps.perf_code import perf_event_output
from skep.maps.ring_code import (
    ringbuf_discard,
    ringbuf_output,
    ringbuf_query,
    ringbuf_reserve,
    ringbuf_submit,
)
from skep.runtime.block import Invocation
from skep.runtime.invocation import HANDLE
from skep.runtime.world import World

_MOST_ARGUMENTS: Final = 12  # MAX_BPRINTF_VARARGS
_LINE: Final = 1024  # MAX_BPRINTF_BUF, final zero included
_MOST_TEXT: Final = 1 << 20


def invocation_of(world: World, run: int) -> Invocation:
    """The Invocation whose run block is at *run*."""
    return world.invocation(load64(run + HANDLE))


def format_text(world: World, text: bytes, arguments: list[int]) -> bytes:
    """*text* with its *arguments*; raises FormatRefused."""
    return Formatter(world.memory, world.secret).format(text, arguments)


def _format_at(world: World, place: int, size: int) -> bytes:
    """The format of *size* bytes at *place*, up to its zero; EINVAL without one."""
    try:
        text = world.memory.read(place, size)
    except Fault:
        raise FormatRefused(errno.EFAULT) from None
    end = text.find(b"\0")
    if end < 0:
        raise FormatRefused(errno.EINVAL)
    return text[:end]


def arguments_at(world: World, place: int, size: int) -> list[int]:
    """The 64-bit arguments in *size* bytes at *place*."""
    if size % 8 or size > _MOST_ARGUMENTS * 8 or (size and not place):
        raise FormatRefused(errno.EINVAL)
    try:
        data = world.memory.read(place, size)
    except Fault:
        raise FormatRefused(errno.EFAULT) from None
    return [int.from_bytes(data[at : at + 8], "little") for at in range(0, size, 8)]


def _print(world: World, text: bytes) -> int:
    line = text[: _LINE - 1].decode(errors="replace")
    world.printk(line.removesuffix("\n"))
    return len(text)


def trace_printk(world: World, _run: int, text: int, size: int, x: int, y: int, z: int) -> int:
    """Print a line with up to three arguments; returns its length."""
    try:
        return _print(world, format_text(world, _format_at(world, text, size & U32), [x, y, z]))
    except FormatRefused as refusal:
        return -refusal.errno


def trace_vprintk(
    world: World, _run: int, text: int, size: int, data: int, length: int, _r5: int
) -> int:
    """Print a line with up to twelve arguments; returns its length."""
    try:
        arguments = arguments_at(world, data, length & U32)
        return _print(world, format_text(world, _format_at(world, text, size & U32), arguments))
    except FormatRefused as refusal:
        return -refusal.errno


def snprintf(
    world: World, _run: int, target: int, size: int, text: int, data: int, length: int
) -> int:
    """Format into memory, cut to *size*; returns the length of the whole with its zero."""
    size &= U32
    try:
        arguments = arguments_at(world, data, length & U32)
        output = format_text(world, string_at(world, text), arguments)
    except FormatRefused as refusal:
        return -refusal.errno
    if size:
        world.memory.write(target, output[: size - 1] + b"\0")
    return len(output) + 1


def string_at(world: World, place: int) -> bytes:
    """The format at *place*, which the verifier has seen to end with a zero."""
    text = bytearray()
    while len(text) < _MOST_TEXT:
        part = 4096 - (place + len(text)) % 4096
        try:
            data = world.memory.read(place + len(text), part)
        except Fault:
            raise FormatRefused(errno.EFAULT) from None
        end = data.find(b"\0")
        if end >= 0:
            return bytes(text + data[:end])
        text += data
    raise FormatRefused(errno.EINVAL)


def append(world: World, run: int, data: bytes) -> int:
    """Add to the seq file of the run; -EOVERFLOW, and full, if it does not fit."""
    invocation = invocation_of(world, run)
    room = invocation.output_limit - len(invocation.output)
    if len(data) > room:
        invocation.output += bytes(max(room, 0))
        invocation.overflowed = True
        return -errno.EOVERFLOW
    invocation.output += data
    return 0


def seq_printf(
    world: World, run: int, _file: int, text: int, size: int, data: int, length: int
) -> int:
    """Print into the file that an iterator fills."""
    try:
        arguments = arguments_at(world, data, length & U32)
        output = format_text(world, _format_at(world, text, size & U32), arguments)
    except FormatRefused as refusal:
        return -refusal.errno
    return append(world, run, output)


def seq_write(world: World, run: int, _file: int, data: int, size: int, _r4: int, _r5: int) -> int:
    """Write bytes into the file that an iterator fills."""
    try:
        return append(world, run, world.memory.read(data, size & U32))
    except Fault:
        return -errno.EFAULT


BINDINGS: Final = (
    Binding("trace_printk", upcall=trace_printk),
    Binding("trace_vprintk", upcall=trace_vprintk),
    Binding("snprintf", upcall=snprintf),
    Binding("seq_printf", upcall=seq_printf),
    Binding("seq_write", upcall=seq_write),
    Binding("ringbuf_output", ringbuf_output),
    Binding("ringbuf_reserve", ringbuf_reserve),
    Binding("ringbuf_submit", ringbuf_submit),
    Binding("ringbuf_discard", ringbuf_discard),
    Binding("ringbuf_query", ringbuf_query),
    Binding("perf_event_output", perf_event_output),
)
