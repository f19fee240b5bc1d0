"""How user ring buffers are written and read, in native code; laid out as ring buffers are.

The descriptor is that of ``skep.maps.ring_code``, with DRAINING, 4 bytes, set while a program
reads. User space may write anything at any time: every word is read once, and what it says is
checked before it is used.

Source: Linux kernel/bpf/ringbuf.c (__bpf_user_ringbuf_peek).
"""

from typing import Final

from skep.base.native import (
    load64,
    load_acquire32,
    load_acquire64,
    native,
    store32,
    store64,
    store_release32,
    store_release64,
    wrap,
)
from skep.maps.answer import MINUS_E2BIG, MINUS_EAGAIN, MINUS_EINVAL, MINUS_ENODATA
from skep.maps.ring_code import (
    BUSY,
    CONSUMER,
    DISCARD,
    HEADER,
    PRODUCER,
    RING_DATA,
    RING_LOCK,
    RING_MASK,
    record_size,
)

DRAINING: Final = RING_LOCK

_LENGTH: Final = DISCARD - 1
_MOST: Final = 0xFF_FFFF  # bytes of a dynptr


@native
def header_answer(this: int, header: int, waiting: int) -> int:
    """0, or why the record with the first word *header* is not read; *waiting* bytes are there."""
    total = record_size(header)
    if total > waiting:
        return MINUS_EINVAL
    if total > load64(this + RING_MASK) + 1 or (header & _LENGTH) > _MOST:
        return MINUS_E2BIG
    if (header & DISCARD) != 0:
        return MINUS_EAGAIN
    if (header & BUSY) != 0:
        return MINUS_ENODATA
    return 0


@native
def user_ring_peek(this: int, room: int) -> int:
    """Store address and size of the oldest record at *room*; a discarded one is taken out.

    Answers 0, EAGAIN for a discarded record, ENODATA, or EINVAL and E2BIG for what is no record.
    """
    producer = load_acquire64(this + PRODUCER)
    if (producer & 7) != 0:
        return MINUS_EINVAL
    consumer = load_acquire64(this + CONSUMER)
    if consumer >= producer:
        return MINUS_ENODATA
    place = load64(this + RING_DATA) + (consumer & load64(this + RING_MASK))
    header = load_acquire32(place)
    answer = header_answer(this, header, wrap(producer - consumer))
    if answer == MINUS_EAGAIN:
        store_release64(this + CONSUMER, wrap(consumer + record_size(header)))
    store64(room, place + HEADER)
    store64(room + 8, header & _LENGTH)
    return answer


@native
def user_ring_release(this: int, size: int) -> int:
    """Take the oldest record out, whose data has *size* bytes."""
    store_release64(this + CONSUMER, wrap(load64(this + CONSUMER) + record_size(size)))
    return 0


# --- user space: one writer at a time -----------------------------------------------------------


@native
def user_ring_reserve(this: int, size: int) -> int:
    """Address of *size* bytes that programs do not read yet, or 0 if there is no room."""
    mask = load64(this + RING_MASK)
    consumer = load_acquire64(this + CONSUMER)
    producer = load64(this + PRODUCER)
    end = wrap(producer + record_size(size))
    if wrap(end - consumer) > mask + 1:
        return 0
    header = load64(this + RING_DATA) + (producer & mask)
    store32(header, size | BUSY)
    store32(header + 4, 0)
    store_release64(this + PRODUCER, end)
    return header + HEADER


@native
def user_ring_commit(record: int, header: int) -> int:
    """Finish a record; *header* is its size, with DISCARD if it is to be skipped."""
    store_release32(record - HEADER, header)
    return 0
