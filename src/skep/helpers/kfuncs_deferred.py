"""Kernel functions for work that is done later: work queues.

Source: Linux 6.18 kernel/bpf/helpers.c (bpf_wq_init, bpf_wq_set_callback_impl, bpf_wq_start).
"""

import errno
from typing import Final

from skep.base.bits import U32
from skep.helpers.binding import Known
from skep.helpers.kfunc_binding import KfuncBinding
from skep.runtime.deferred import WORK
from skep.runtime.world import World


def wq_init(world: World, _run: int, work: int, map_: int, flags: int, _4: int, _5: int) -> int:
    """Prepare a work queue."""
    if flags & U32:
        return -errno.EINVAL
    return world.agenda.fields.init(WORK, work, map_)


def wq_set_callback(
    world: World, _run: int, work: int, callback: int, flags: int, _4: int, program: int
) -> int:
    """Set what a work queue runs: a function of the program that calls, which may sleep."""
    if flags & U32:
        return -errno.EINVAL
    return world.agenda.fields.set_callback(work, program, callback)


def wq_start(world: World, _run: int, work: int, flags: int, _3: int, _4: int, _5: int) -> int:
    """Let a work queue's callback run soon."""
    if flags & U32:
        return -errno.EINVAL
    return world.agenda.queue(work)


BINDINGS: Final = (
    KfuncBinding("bpf_wq_init", upcall=wq_init),
    KfuncBinding("bpf_wq_set_callback_impl", upcall=wq_set_callback, known=Known.PROGRAM),
    KfuncBinding("bpf_wq_start", upcall=wq_start),
)
