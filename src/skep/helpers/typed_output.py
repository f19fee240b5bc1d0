"""Helpers that print values by their types in the kernel's BTF.

The memory shown is the program's own, or whatever probe reads may see.

Source: Linux kernel/trace/bpf_trace.c (bpf_btf_printf_prepare), kernel/bpf/btf.c.
"""

import errno
import struct
from functools import partial
from typing import Final

from skep.base.bits import U32, U64
from skep.base.memory import Fault
from skep.btf import show
from skep.errors import BtfError, NotSupported
from skep.helpers.binding import Binding
from skep.helpers.formats import hashed_pointer
from skep.helpers.memory import kernel_fault
from skep.helpers.output import append
from skep.runtime.world import World

_POINTER: Final = struct.Struct("=QII")  # struct btf_ptr: address, type, flags
_FLAGS: Final = show.COMPACT | show.NONAME | show.PTR_RAW | show.ZERO
_S32_MAX: Final = 0x7FFF_FFFF


class _Refused(Exception):  # noqa: N818 - an errno for the program
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.errno = number


def _shown(world: World, place: int, size: int, flags: int) -> bytes:
    """The value that the btf_ptr at *place* points to, as text."""
    if flags & U64 & ~_FLAGS or size & U32 != _POINTER.size:
        raise _Refused(errno.EINVAL)
    if world.door is None:
        raise NotSupported("values by kernel types", "no subsystem serves this world")
    btf = world.door.kernel_types
    address, type_id, _ = _POINTER.unpack(world.memory.read(place, _POINTER.size))
    if btf is None or not type_id:
        raise _Refused(errno.EINVAL)
    if type_id > _S32_MAX or type_id >= len(btf):
        raise _Refused(errno.ENOENT)
    try:
        data = world.memory.read(address, btf.size_of(type_id))
    except BtfError:
        raise _Refused(errno.EINVAL) from None
    except Fault:
        raise _Refused(kernel_fault(address)) from None
    hashed = partial(hashed_pointer, world.secret)
    return show.show(btf, type_id, data, flags, hashed).encode("latin-1", errors="replace")


def snprintf_btf(
    world: World, _run: int, target: int, room: int, place: int, size: int, flags: int
) -> int:
    """Print a value into memory, cut to fit; returns the length of the whole."""
    try:
        text = _shown(world, place, size, flags)
    except _Refused as refusal:
        return -refusal.errno
    world.memory.write(target, text[: (room & U32) - 1] + b"\0")
    return len(text)


def seq_printf_btf(
    world: World, run: int, _file: int, place: int, size: int, flags: int, _r5: int
) -> int:
    """Print a value into the file that an iterator fills."""
    try:
        return append(world, run, _shown(world, place, size, flags))
    except _Refused as refusal:
        return -refusal.errno


BINDINGS: Final = (
    Binding("snprintf_btf", upcall=snprintf_btf),
    Binding("seq_printf_btf", upcall=seq_printf_btf),
)
