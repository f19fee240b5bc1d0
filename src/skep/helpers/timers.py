"""Timers of map values: prepared, given a callback, started and stopped.

Source: Linux 6.18 kernel/bpf/helpers.c (bpf_timer_init, bpf_timer_set_callback, bpf_timer_start,
bpf_timer_cancel).
"""

import errno
import time
from typing import Final

from skep.helpers.binding import Binding, Known
from skep.runtime.deferred import TIMER
from skep.runtime.world import World
from skep.uapi.flags import F_TIMER_ABS, F_TIMER_CPU_PIN

CLOCKS: Final = frozenset((time.CLOCK_MONOTONIC, time.CLOCK_REALTIME, time.CLOCK_BOOTTIME))


def timer_init(world: World, _run: int, timer: int, map_: int, flags: int, _4: int, _5: int) -> int:
    """Prepare a timer of one of three clocks."""
    if flags not in CLOCKS:
        return -errno.EINVAL
    return world.agenda.fields.init(TIMER, timer, map_, flags)


def timer_set_callback(
    world: World, _run: int, timer: int, callback: int, _3: int, _4: int, program: int
) -> int:
    """Set what a timer runs: a function of the program that calls."""
    return world.agenda.fields.set_callback(timer, program, callback)


def timer_start(
    world: World, _run: int, timer: int, nanoseconds: int, flags: int, _4: int, _5: int
) -> int:
    """Let a timer fire after so long, or at that time of its clock.

    A world has no CPUs of its own, so a timer that is pinned to one fires like any other.
    """
    if flags & ~(F_TIMER_ABS | F_TIMER_CPU_PIN):
        return -errno.EINVAL
    return world.agenda.start(timer, nanoseconds, absolute=bool(flags & F_TIMER_ABS))


def timer_cancel(world: World, _run: int, timer: int, _2: int, _3: int, _4: int, _5: int) -> int:
    """Stop a timer, and wait for its callback if that runs."""
    return world.agenda.cancel(timer)


BINDINGS: Final = (
    Binding("timer_init", upcall=timer_init),
    Binding("timer_set_callback", upcall=timer_set_callback, known=Known.PROGRAM),
    Binding("timer_start", upcall=timer_start),
    Binding("timer_cancel", upcall=timer_cancel),
)
