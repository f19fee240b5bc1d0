"""Writing to perf rings in native code, and perf_event_output.

A ring's control page: 0 PERF_HEAD, address of the page with data_head and data_tail; 8 PERF_DATA;
16 PERF_MASK; 24 a spin lock; 32 PERF_CPU, the CPU whose events it takes; 40 PERF_LOST, records
lost since the last one that was stored; 48 PERF_LOST_EVER.

Records: ``{u32 type, u16 misc, u16 size}``, then for SAMPLE ``{u32 size; bytes}`` padded so that
the whole is a multiple of 8 (the padding counts into the inner size), for LOST ``{u64 id, count}``.

Source: Linux kernel/events/ring_buffer.c, kernel/trace/bpf_trace.c; perf_event_open(2).
"""

from typing import Final

from skep.base.native import (
    copy,
    load64,
    load_acquire64,
    native,
    store8,
    store32,
    store64,
    store_release64,
    wrap,
)
from skep.maps.answer import (
    MINUS_E2BIG,
    MINUS_EFAULT,
    MINUS_EINVAL,
    MINUS_ENOENT,
    MINUS_ENOSPC,
    MINUS_EOPNOTSUPP,
)
from skep.maps.interface import MAX_ENTRIES
from skep.maps.nested import SLOTS
from skep.maps.value import lesser, lock, unlock
from skep.maps.wake import wake
from skep.runtime.invocation import CPU, DATA, DATA_END, ORIGIN

PERF_HEAD: Final = 0
PERF_DATA: Final = 8
PERF_MASK: Final = 16
PERF_LOCK: Final = 24
PERF_CPU: Final = 32
PERF_LOST: Final = 40
PERF_LOST_EVER: Final = 48

DATA_HEAD: Final = 1024  # in struct perf_event_mmap_page
DATA_TAIL: Final = 1032

RECORD_LOST: Final = 2
RECORD_SAMPLE: Final = 9
_MISC_KERNEL: Final = 1
_LOST_SIZE: Final = 24
_MOST: Final = 0xFFF8

CURRENT_CPU: Final = 0xFFFF_FFFF
_LOW: Final = 0xFFFF_FFFF
_PACKET_LENGTH: Final = 0xF_FFFF << 32


@native
def ring_write(ring: int, place: int, source: int, size: int) -> int:
    """Copy bytes in at position *place*, around the end; returns the position behind them."""
    mask = load64(ring + PERF_MASK)
    start = place & mask
    first = lesser(size, mask + 1 - start)
    copy(load64(ring + PERF_DATA) + start, source, first)
    copy(load64(ring + PERF_DATA), source + first, size - first)
    return wrap(place + size)


@native
def put_head(ring: int, place: int, kind: int, size: int) -> int:
    """Write a record's header; records start at multiples of 8, so it never wraps."""
    target = load64(ring + PERF_DATA) + (place & load64(ring + PERF_MASK))
    store32(target, kind)
    store32(target + 4, _MISC_KERNEL | size << 16)
    return target


@native
def put_lost(ring: int, place: int) -> int:
    """Say how many records were lost; returns the position behind it."""
    put_head(ring, place, RECORD_LOST, _LOST_SIZE)
    mask = load64(ring + PERF_MASK)
    data = load64(ring + PERF_DATA)
    store64(data + (wrap(place + 8) & mask), 0)
    store64(data + (wrap(place + 16) & mask), load64(ring + PERF_LOST))
    store64(ring + PERF_LOST, 0)
    return wrap(place + _LOST_SIZE)


@native
def ring_sample(ring: int, data: int, size: int, more: int, more_size: int) -> int:
    """Store a sample of two pieces; -ENOSPC, and counted, if there is no room."""
    inner = ((size + more_size + 4 + 7) & 0xFFFF_FFFF_FFFF_FFF8) - 4
    whole = inner + 12
    if whole > _MOST:
        return MINUS_E2BIG
    head = load64(ring + PERF_HEAD)
    lock(ring + PERF_LOCK)
    place = load64(head + DATA_HEAD)
    used = wrap(place - load_acquire64(head + DATA_TAIL))
    needed = whole + _LOST_SIZE if load64(ring + PERF_LOST) != 0 else whole
    if used + needed > load64(ring + PERF_MASK) + 1:
        store64(ring + PERF_LOST, load64(ring + PERF_LOST) + 1)
        store64(ring + PERF_LOST_EVER, load64(ring + PERF_LOST_EVER) + 1)
        unlock(ring + PERF_LOCK)
        return MINUS_ENOSPC
    if load64(ring + PERF_LOST) != 0:
        place = put_lost(ring, place)
    put_head(ring, place, RECORD_SAMPLE, whole)
    mask = load64(ring + PERF_MASK)
    store32(load64(ring + PERF_DATA) + (wrap(place + 8) & mask), inner)
    behind = ring_write(ring, wrap(place + 12), data, size)
    ring_write(ring, behind, more, more_size)
    behind = wrap(behind + more_size)
    while behind != wrap(place + whole):
        store8(load64(ring + PERF_DATA) + (behind & mask), 0)
        behind = wrap(behind + 1)
    store_release64(head + DATA_HEAD, wrap(place + whole))
    unlock(ring + PERF_LOCK)
    wake(ring)
    return 0


@native
def packet_part(run: int, length: int) -> int:
    """Whether the packet of the run has *length* bytes."""
    return load64(run + DATA_END) - load64(run + DATA) >= length


@native
def perf_event_output(
    run: int,
    context: int,  # noqa: ARG001 - a helper's signature
    this: int,
    flags: int,
    data: int,
    size: int,
) -> int:
    """Helper: send *size* bytes, and for packets as many of the packet as *flags* say."""
    length = (flags & _PACKET_LENGTH) >> 32
    if (flags & ~(_LOW | _PACKET_LENGTH)) != 0 or (length != 0 and load64(run + ORIGIN) == 0):
        return MINUS_EINVAL
    if length != 0 and not packet_part(run, length):
        return MINUS_EFAULT
    cpu = load64(run + CPU)
    index = flags & _LOW
    if index == CURRENT_CPU:
        index = cpu
    if index >= load64(this + MAX_ENTRIES):
        return MINUS_E2BIG
    ring = load_acquire64(load64(this + SLOTS) + index * 8)
    if ring == 0:
        return MINUS_ENOENT
    if load64(ring + PERF_CPU) != cpu:
        return MINUS_EOPNOTSUPP
    return ring_sample(ring, data, size, load64(run + DATA), length)
