"""Kernel functions that print to a program's streams.

Source: Linux 6.18 kernel/bpf/stream.c.
"""

import errno
from typing import Final

from skep.base.bits import U32, signed
from skep.helpers.binding import Known
from skep.helpers.formats import FormatRefused
from skep.helpers.kfunc_binding import KfuncBinding
from skep.helpers.output import arguments_at, format_text, string_at
from skep.runtime.world import World

_MOST: Final = 1024


def stream_vprintk(
    world: World, _run: int, number: int, text: int, data: int, size: int, program: int
) -> int:
    """Print text with arguments to stream *number* of the program."""
    printer = world.printers.get(program)
    stream = printer.streams.get(signed(number & U32, 32)) if printer is not None else None
    if stream is None:
        return -errno.ENOENT
    try:
        arguments = arguments_at(world, data, size & U32)
        output = format_text(world, string_at(world, text), arguments)
    except FormatRefused as refusal:
        return -refusal.errno
    return 0 if stream.write(output[:_MOST]) else -errno.ENOSPC


BINDINGS: Final = (
    KfuncBinding("bpf_stream_vprintk_impl", upcall=stream_vprintk, known=Known.PROGRAM),
)
