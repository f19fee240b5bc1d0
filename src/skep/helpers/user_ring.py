"""bpf_user_ringbuf_drain: a function of the program for each record that user space wrote.

Source: Linux kernel/bpf/ringbuf.c.
"""

from typing import Final

from skep.base.native import call, cmpxchg32, load64, native, store64, store_release32
from skep.helpers.dynptr import LOCAL, set_dynptr
from skep.maps.answer import MINUS_EAGAIN, MINUS_EBUSY, MINUS_EINVAL, MINUS_ENODATA
from skep.maps.ring_code import FORCE_WAKEUP, NO_WAKEUP
from skep.maps.user_ring_code import DRAINING, user_ring_peek, user_ring_release
from skep.maps.wake import wake
from skep.runtime.invocation import FAULT, SCRATCH

MOST_RECORDS: Final = 128 * 1024  # in one call
_DYNPTR: Final = 16
_ROOM: Final = 32  # a dynptr, and what a look at the ring says


@native
def drain_records(run: int, this: int, callback: int, context: int, room: int) -> int:
    """Give records to *callback* until it says 1; how many, counting only those it saw.

    How many records were taken out, discarded ones too, is stored behind the dynptr at *room*.
    """
    taken = 0
    seen = 0
    stop = 0
    failure = 0
    while stop == 0 and taken < MOST_RECORDS:
        answer = user_ring_peek(this, room + _DYNPTR)
        if answer == MINUS_EAGAIN:
            taken += 1
        elif answer != 0:
            stop = 1
            failure = answer if answer != MINUS_ENODATA else 0
        else:
            size = load64(room + _DYNPTR + 8)
            set_dynptr(room, load64(room + _DYNPTR), size | LOCAL)
            stop = call(callback, run, room, context, 0, 0, 0) != 0 or load64(run + FAULT) != 0
            user_ring_release(this, size)
            taken += 1
            seen += 1
    store64(room + _DYNPTR, taken)
    return failure if failure != 0 else seen


@native
def user_ringbuf_drain(run: int, this: int, callback: int, context: int, flags: int) -> int:
    """Helper: take out what there is; how many records, or a negative errno."""
    if flags > (NO_WAKEUP | FORCE_WAKEUP):
        return MINUS_EINVAL
    if cmpxchg32(this + DRAINING, 0, 1) != 0:
        return MINUS_EBUSY
    room = load64(run + SCRATCH)
    store64(run + SCRATCH, room + _ROOM)
    answer = drain_records(run, this, callback, context, room)
    taken = load64(room + _DYNPTR)
    store64(run + SCRATCH, room)
    store_release32(this + DRAINING, 0)
    if (flags & FORCE_WAKEUP) != 0 or ((flags & NO_WAKEUP) == 0 and taken != 0):
        wake(this)
    return answer
