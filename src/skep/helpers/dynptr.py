"""Dynamic pointers to a program's own memory, to ring buffer records and to packets.

Sixteen bytes on the stack, as in Linux: ``{u64 data; u32 size | type << 28; u32 offset}``, the
highest bit of the second word saying read-only. Of a packet's, ``data`` is the context.

Source: Linux kernel/bpf/helpers.c, ringbuf.c.
"""

from typing import Final

from skep.base.native import load32, load64, move, native, store32, store64
from skep.helpers.binding import Binding
from skep.helpers.network import skb_load_bytes, skb_store_bytes, xdp_load_bytes, xdp_store_bytes
from skep.maps.answer import MINUS_E2BIG, MINUS_EINVAL
from skep.maps.ring_code import DISCARD, ring_commit, ring_reserve

SIZE: Final = 8
OFFSET: Final = 12
MOST: Final = 0xFF_FFFF
RDONLY: Final = 1 << 31
LOCAL: Final = 1 << 28
_RINGBUF: Final = 2 << 28
SKB: Final = 3 << 28
XDP: Final = 4 << 28
_TYPE: Final = 7 << 28
_LOW: Final = 0xFFFF_FFFF


@native
def set_dynptr(pointer: int, data: int, size: int) -> int:
    """Fill the dynptr at *pointer*; *size* holds the type too."""
    store64(pointer, data)
    store32(pointer + SIZE, size)
    store32(pointer + OFFSET, 0)
    return 0


@native
def is_within(pointer: int, offset: int, size: int) -> int:
    """Whether *size* bytes at *offset* are in what the dynptr covers."""
    whole = load32(pointer + SIZE) & MOST
    return size <= whole and offset <= whole - size


@native
def type_of(pointer: int) -> int:
    """What the dynptr is a pointer to."""
    return load32(pointer + SIZE) & _TYPE


@native
def is_writable(pointer: int) -> int:
    """Whether there is something, and it may be written to."""
    return load64(pointer) != 0 and (load32(pointer + SIZE) & RDONLY) == 0


@native
def target_of(pointer: int, offset: int) -> int:
    """Address of *offset* into what the dynptr covers."""
    return load64(pointer) + load32(pointer + OFFSET) + offset


@native
def dynptr_from_mem(run: int, data: int, size: int, flags: int, pointer: int) -> int:  # noqa: ARG001
    """Make a dynptr to the program's memory."""
    size &= _LOW
    set_dynptr(pointer, 0, 0)
    if size > MOST:
        return MINUS_E2BIG
    if flags != 0:
        return MINUS_EINVAL
    return set_dynptr(pointer, data, size | LOCAL)


@native
def dynptr_read(
    run: int,
    target: int,
    size: int,
    pointer: int,
    offset: int,
    flags: int,
) -> int:
    """Copy bytes out."""
    offset &= _LOW
    size &= _LOW
    if load64(pointer) == 0 or flags != 0:
        return MINUS_EINVAL
    if not is_within(pointer, offset, size):
        return MINUS_E2BIG
    kind = type_of(pointer)
    place = load32(pointer + OFFSET) + offset
    if kind == SKB:
        return skb_load_bytes(run, load64(pointer), place, target, size)
    if kind == XDP:
        return xdp_load_bytes(run, load64(pointer), place, target, size)
    move(target, load64(pointer) + place, size)
    return 0


@native
def dynptr_write(
    run: int,
    pointer: int,
    offset: int,
    source: int,
    size: int,
    flags: int,
) -> int:
    """Copy bytes in."""
    offset &= _LOW
    size &= _LOW
    if not is_writable(pointer):
        return MINUS_EINVAL
    if not is_within(pointer, offset, size):
        return MINUS_E2BIG
    kind = type_of(pointer)
    place = load32(pointer + OFFSET) + offset
    if kind == SKB:
        return skb_store_bytes(run, load64(pointer), place, source, size, flags)
    if flags != 0:
        return MINUS_EINVAL
    if kind == XDP:
        return xdp_store_bytes(run, load64(pointer), place, source, size)
    move(load64(pointer) + place, source, size)
    return 0


@native
def dynptr_data(run: int, pointer: int, offset: int, size: int) -> int:  # noqa: ARG001
    """Address of *size* writable bytes at *offset*, or 0; packets have none."""
    if not is_writable(pointer) or type_of(pointer) >= SKB:
        return 0
    if not is_within(pointer, offset & _LOW, size & _LOW):
        return 0
    return target_of(pointer, offset & _LOW)


@native
def ringbuf_reserve_dynptr(run: int, this: int, size: int, flags: int, pointer: int) -> int:  # noqa: ARG001
    """Reserve a record of any size; even a null dynptr must be submitted or discarded."""
    size &= _LOW
    set_dynptr(pointer, 0, 0)
    if flags != 0:
        return MINUS_EINVAL
    if size > MOST:
        return MINUS_E2BIG
    record = ring_reserve(this, size)
    if record == 0:
        return MINUS_EINVAL
    return set_dynptr(pointer, record, size | _RINGBUF)


@native
def finish(pointer: int, flags: int, discard: int) -> int:
    """Commit the record of a dynptr and make the dynptr null."""
    if load64(pointer) != 0:
        ring_commit(load64(pointer), flags, discard)
        set_dynptr(pointer, 0, 0)
    return 0


@native
def ringbuf_submit_dynptr(run: int, pointer: int, flags: int) -> int:  # noqa: ARG001
    """Give the record to the reader."""
    return finish(pointer, flags, 0)


@native
def ringbuf_discard_dynptr(run: int, pointer: int, flags: int) -> int:  # noqa: ARG001
    """Let the record be skipped."""
    return finish(pointer, flags, DISCARD)


BINDINGS: Final = (
    Binding("dynptr_from_mem", dynptr_from_mem),
    Binding("dynptr_read", dynptr_read),
    Binding("dynptr_write", dynptr_write),
    Binding("dynptr_data", dynptr_data),
    Binding("ringbuf_reserve_dynptr", ringbuf_reserve_dynptr),
    Binding("ringbuf_submit_dynptr", ringbuf_submit_dynptr),
    Binding("ringbuf_discard_dynptr", ringbuf_discard_dynptr),
)
