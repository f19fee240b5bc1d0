"""The operations of ring buffers in native code; layout and order of stores are Linux's.

The descriptor stands on the page before the consumer page, so that a record leads back to it: its
header holds the distance in pages. Words: 64 RING_MASK, 72 DATA, 80 spin lock, 88 DROPPED. The
file behind it: page 0 CONSUMER position, page 1 PRODUCER position (and PENDING), then the data.

A record is ``{u32 length | BUSY | DISCARD; u32 pages; bytes}``, padded to 8.

Source: Linux kernel/bpf/ringbuf.c; Documentation/bpf/ringbuf.rst.
"""

from typing import Final

from skep.base.memory import PAGE_SIZE
from skep.base.native import (
    atomic_add64,
    cmpxchg32,
    copy,
    load32,
    load64,
    load_acquire32,
    load_acquire64,
    native,
    store32,
    store64,
    store_release64,
    wrap,
)
from skep.maps.answer import MINUS_EAGAIN, MINUS_EINVAL
from skep.maps.interface import FAMILY
from skep.maps.value import lock, unlock
from skep.maps.wake import wake

RING_MASK: Final = FAMILY
RING_DATA: Final = FAMILY + 8
RING_LOCK: Final = FAMILY + 16
DROPPED: Final = FAMILY + 24
CONSUMER: Final = PAGE_SIZE
PRODUCER: Final = 2 * PAGE_SIZE
PENDING: Final = PRODUCER + 8
PAGE_BITS: Final = PAGE_SIZE.bit_length() - 1

BUSY: Final = 1 << 31
DISCARD: Final = 1 << 30
HEADER: Final = 8

NO_WAKEUP: Final = 1
FORCE_WAKEUP: Final = 2

_LENGTH: Final = DISCARD - 1
_MOST: Final = 0xFFFF_FFFF // 4
_PAGE_START: Final = ~(PAGE_SIZE - 1) & 0xFFFF_FFFF_FFFF_FFFF


@native
def record_size(header: int) -> int:
    """Bytes that a record takes, given the first word of its header."""
    return ((header & _LENGTH) + HEADER + 7) & 0xFFFF_FFFF_FFFF_FFF8


@native
def oldest_busy(this: int, place: int, end: int) -> int:
    """Position of the first record from *place* on that is not committed, or *end*."""
    mask = load64(this + RING_MASK)
    data = load64(this + RING_DATA)
    while place != end:
        header = load32(data + (place & mask))
        if (header & BUSY) != 0:
            return place
        place = wrap(place + record_size(header))
    return place


@native
def ring_reserve(this: int, size: int) -> int:
    """Address of *size* bytes that nobody reads yet, or 0 if there is no room."""
    mask = load64(this + RING_MASK)
    length = record_size(size) if size <= _MOST else _MOST
    if length > mask + 1:
        atomic_add64(this + DROPPED, 1)
        return 0
    consumer = load_acquire64(this + CONSUMER)
    lock(this + RING_LOCK)
    producer = load64(this + PRODUCER)
    pending = oldest_busy(this, load64(this + PENDING), producer)
    store64(this + PENDING, pending)
    end = wrap(producer + length)
    if wrap(end - pending) > mask or wrap(end - consumer) > mask:
        unlock(this + RING_LOCK)
        atomic_add64(this + DROPPED, 1)
        return 0
    header = load64(this + RING_DATA) + (producer & mask)
    store32(header, size | BUSY)
    store32(header + 4, (header - this) >> PAGE_BITS)
    store_release64(this + PRODUCER, end)
    unlock(this + RING_LOCK)
    return header + HEADER


@native
def ring_commit(record: int, flags: int, discard: int) -> int:
    """Give the record to the reader, or let it be skipped."""
    header = record - HEADER
    this = (header & _PAGE_START) - (load32(header + 4) << PAGE_BITS)
    old = load32(header)
    cmpxchg32(header, old, (old & _LENGTH) | discard)
    place = header - load64(this + RING_DATA)
    waiting = load_acquire64(this + CONSUMER) & load64(this + RING_MASK)
    if (flags & FORCE_WAKEUP) != 0 or (waiting == place and (flags & NO_WAKEUP) == 0):
        wake(this)
    return 0


@native
def ring_take(this: int, target: int, room: int) -> int:
    """Take the oldest record out, for the one reader: 1 + its size, or 0 if none is finished.

    A record of more than *room* bytes stays where it is.
    """
    mask = load64(this + RING_MASK)
    place = load64(this + CONSUMER)
    while place != load_acquire64(this + PRODUCER):
        record = load64(this + RING_DATA) + (place & mask)
        header = load_acquire32(record)
        size = header & _LENGTH
        if (header & BUSY) != 0:
            return 0
        if (header & DISCARD) == 0 and size > room:
            return 1 + size
        if (header & DISCARD) == 0:
            copy(target, record + HEADER, size)
        place = wrap(place + record_size(header))
        store_release64(this + CONSUMER, place)
        if (header & DISCARD) == 0:
            return 1 + size
    return 0


@native
def ringbuf_reserve(run: int, this: int, size: int, flags: int) -> int:  # noqa: ARG001
    """Helper: reserve a record."""
    if flags != 0:
        return 0
    return ring_reserve(this, size)


@native
def ringbuf_submit(run: int, record: int, flags: int) -> int:  # noqa: ARG001
    """Helper: commit a record."""
    return ring_commit(record, flags, 0)


@native
def ringbuf_discard(run: int, record: int, flags: int) -> int:  # noqa: ARG001
    """Helper: give a record up."""
    return ring_commit(record, flags, DISCARD)


@native
def ringbuf_output(run: int, this: int, data: int, size: int, flags: int) -> int:  # noqa: ARG001
    """Helper: copy a record in."""
    if flags > (NO_WAKEUP | FORCE_WAKEUP):
        return MINUS_EINVAL
    record = ring_reserve(this, size)
    if record == 0:
        return MINUS_EAGAIN
    copy(record, data, size)
    return ring_commit(record, flags, 0)


@native
def ringbuf_query(run: int, this: int, what: int) -> int:  # noqa: ARG001
    """Helper: unread bytes (0), size (1), consumer (2) or producer (3) position."""
    if what == 0:
        consumer = load_acquire64(this + CONSUMER)
        return wrap(load_acquire64(this + PRODUCER) - consumer)
    if what == 1:
        return load64(this + RING_MASK) + 1
    if what == 2:
        return load_acquire64(this + CONSUMER)
    if what == 3:
        return load_acquire64(this + PRODUCER)
    return 0
