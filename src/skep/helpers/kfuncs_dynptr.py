"""Kernel functions on dynptrs, and dynptrs of packets.

A packet is in one piece, so a slice of it is the packet itself and never a copy.

Source: Linux 6.18 kernel/bpf/helpers.c, net/core/filter.c (bpf_dynptr_from_skb, _xdp).
"""

from typing import Final

from skep.base.native import copy, fill, load32, load64, move, native, store32
from skep.helpers.binding import Known
from skep.helpers.dynptr import (
    MOST,
    OFFSET,
    RDONLY,
    SIZE,
    SKB,
    XDP,
    dynptr_read,
    dynptr_write,
    is_within,
    is_writable,
    set_dynptr,
    target_of,
    type_of,
)
from skep.helpers.kfunc_binding import KfuncBinding
from skep.helpers.packet import is_inside, packet_size
from skep.maps.answer import MINUS_E2BIG, MINUS_EFAULT, MINUS_EINVAL, MINUS_ERANGE
from skep.runtime.invocation import DATA

_LOW: Final = 0xFFFF_FFFF
_BYTES: Final = 16
_FARTHEST: Final = 0xFFFF


@native
def from_skb(run: int, context: int, flags: int, pointer: int, writable: int) -> int:
    """Make a dynptr to the packet of an __sk_buff."""
    set_dynptr(pointer, 0, 0)
    if flags != 0:
        return MINUS_EINVAL
    return set_dynptr(pointer, context, packet_size(run) | SKB | (0 if writable else RDONLY))


@native
def from_xdp(run: int, context: int, flags: int, pointer: int) -> int:
    """Make a dynptr to the packet of an xdp_md."""
    set_dynptr(pointer, 0, 0)
    if flags != 0:
        return MINUS_EINVAL
    return set_dynptr(pointer, context, packet_size(run) | XDP)


@native
def slice_of(run: int, pointer: int, offset: int, size: int, buffer: int) -> int:
    """Address of *size* bytes at *offset*, 0 if they are not there.

    For what an XDP packet lost since, Linux gives the *buffer*, if there is one.
    """
    if load64(pointer) == 0 or not is_within(pointer, offset, size):
        return 0
    kind = type_of(pointer)
    if kind < SKB:
        return target_of(pointer, offset)
    place = load32(pointer + OFFSET) + offset
    far = kind == XDP and (place > _FARTHEST or size > _FARTHEST)
    if not far and is_inside(run, place, size):
        return load64(run + DATA) + place
    return buffer if kind == XDP else 0


@native
def dynptr_slice(run: int, pointer: int, offset: int, buffer: int, size: int) -> int:
    """Address of bytes to read."""
    return slice_of(run, pointer, offset & _LOW, size & _LOW, buffer)


@native
def dynptr_slice_rdwr(run: int, pointer: int, offset: int, buffer: int, size: int) -> int:
    """Address of bytes to read and write."""
    if not is_writable(pointer):
        return 0
    return dynptr_slice(run, pointer, offset, buffer, size)


@native
def dynptr_adjust(run: int, pointer: int, start: int, end: int) -> int:  # noqa: ARG001
    """Cover the bytes from *start* to *end* of what is covered."""
    start &= _LOW
    end &= _LOW
    if load64(pointer) == 0 or start > end:
        return MINUS_EINVAL
    word = load32(pointer + SIZE)
    if end > (word & MOST):
        return MINUS_ERANGE
    store32(pointer + OFFSET, load32(pointer + OFFSET) + start)
    store32(pointer + SIZE, (word & ~MOST) | (end - start))
    return 0


@native
def dynptr_is_null(run: int, pointer: int) -> int:  # noqa: ARG001
    """Whether it points to nothing."""
    return load64(pointer) == 0


@native
def dynptr_is_rdonly(run: int, pointer: int) -> int:  # noqa: ARG001
    """Whether it points to something that must not be written to."""
    return load64(pointer) != 0 and not is_writable(pointer)


@native
def dynptr_size(run: int, pointer: int) -> int:  # noqa: ARG001
    """How many bytes it covers."""
    return load32(pointer + SIZE) & MOST if load64(pointer) != 0 else MINUS_EINVAL


@native
def dynptr_clone(run: int, pointer: int, clone: int) -> int:  # noqa: ARG001
    """Make another one to the same."""
    if load64(pointer) == 0:
        set_dynptr(clone, 0, 0)
        return MINUS_EINVAL
    copy(clone, pointer, _BYTES)
    return 0


@native
def dynptr_copy(run: int, target: int, to: int, source: int, start: int, size: int) -> int:
    """Copy bytes from one to another."""
    to &= _LOW
    start &= _LOW
    size &= _LOW
    there = slice_of(run, target, to, size, 0) if is_writable(target) else 0
    here = slice_of(run, source, start, size, 0)
    if here != 0 and there != 0:
        move(there, here, size)
        return 0
    if here != 0:
        return dynptr_write(run, target, to, here, size, 0)
    if there != 0:
        return dynptr_read(run, there, size, source, start, 0)
    if not is_within(target, to, size) or not is_within(source, start, size):
        return MINUS_E2BIG
    return missing(source, size)


@native
def missing(pointer: int, size: int) -> int:
    """What reading or writing *size* bytes gives that are covered, and are not there."""
    if size == 0:
        return 0
    return MINUS_EFAULT if type_of(pointer) == SKB else MINUS_EINVAL


@native
def dynptr_memset(run: int, pointer: int, offset: int, size: int, byte: int) -> int:
    """Set bytes to *byte*."""
    offset &= _LOW
    size &= _LOW
    place = slice_of(run, pointer, offset, size, 0) if is_writable(pointer) else 0
    if place != 0:
        fill(place, byte & 0xFF, size)
        return 0
    if (load32(pointer + SIZE) & RDONLY) != 0:
        return MINUS_EINVAL
    if not is_within(pointer, offset, size):
        return MINUS_E2BIG
    return missing(pointer, size)


BINDINGS: Final = (
    KfuncBinding("bpf_dynptr_from_skb", from_skb, known=Known.PACKET_WRITABLE),
    KfuncBinding("bpf_dynptr_from_xdp", from_xdp),
    KfuncBinding("bpf_dynptr_slice", dynptr_slice),
    KfuncBinding("bpf_dynptr_slice_rdwr", dynptr_slice_rdwr),
    KfuncBinding("bpf_dynptr_adjust", dynptr_adjust),
    KfuncBinding("bpf_dynptr_is_null", dynptr_is_null),
    KfuncBinding("bpf_dynptr_is_rdonly", dynptr_is_rdonly),
    KfuncBinding("bpf_dynptr_size", dynptr_size),
    KfuncBinding("bpf_dynptr_clone", dynptr_clone),
    KfuncBinding("bpf_dynptr_copy", dynptr_copy),
    KfuncBinding("bpf_dynptr_memset", dynptr_memset),
)
