"""Kernel functions on critical sections, numbers and casts.

A run is not preempted and takes no interrupts, so the sections are the verifier's bookkeeping only:
it has proved that they nest, and nothing is left to do.

``struct bpf_iter_num`` is ``{int current; int end;}``.

Source: Linux 6.18 kernel/bpf/helpers.c, kernel/bpf/bpf_iter.c, kernel/bpf/rqspinlock.c.
"""

from typing import Final

from skep.base.native import (
    clock_ns,
    cmpxchg32,
    load32,
    load64,
    native,
    relax,
    sle,
    slt,
    store32,
    store64,
    store_release32,
    wrap,
)
from skep.helpers.kfunc_binding import KfuncBinding
from skep.maps.answer import MINUS_E2BIG, MINUS_EDEADLK, MINUS_EINVAL, MINUS_ETIMEDOUT
from skep.runtime.invocation import HANDLE

_MOST_LOOPS: Final = 8 << 20
_END: Final = 4
_SIGN: Final = 0x8000_0000
_LOW: Final = 0xFFFF_FFFF
_LOCK_TIMEOUT_NS: Final = 250_000_000
_MONOTONIC: Final = 1


@native
def nothing(run: int) -> int:  # noqa: ARG001 - a kernel function's signature
    """Enter or leave a section that needs no work."""
    return 0


@native
def save_interrupts(run: int, flags: int) -> int:  # noqa: ARG001
    """Remember that interrupts were on."""
    store64(flags, 0)
    return 0


@native
def rdonly_cast(run: int, pointer: int) -> int:  # noqa: ARG001
    """The same pointer, as one whose loads may fail."""
    return pointer


# --- numbers ------------------------------------------------------------------------------------


@native
def sign_extended(number: int) -> int:
    """An int as 64 bits."""
    return wrap((number & _LOW ^ _SIGN) - _SIGN)


@native
def iter_num_new(run: int, iterator: int, start: int, end: int) -> int:  # noqa: ARG001
    """Begin to count from *start* up to *end*; what cannot be counted has no elements."""
    first = sign_extended(start)
    last = sign_extended(end)
    store64(iterator, 0)
    if slt(last, first):
        return MINUS_EINVAL
    if wrap(last - first) > _MOST_LOOPS:
        return MINUS_E2BIG
    store32(iterator, wrap(first - 1))
    store32(iterator + _END, last)
    return 0


@native
def iter_num_next(run: int, iterator: int) -> int:  # noqa: ARG001
    """Count on; the address of the number, 0 behind the last one."""
    number = sign_extended(wrap(load32(iterator) + 1))
    if sle(sign_extended(load32(iterator + _END)), number):
        store64(iterator, 0)
        return 0
    store32(iterator, number)
    return iterator


@native
def iter_num_destroy(run: int, iterator: int) -> int:  # noqa: ARG001
    """Forget the numbers."""
    store64(iterator, 0)
    return 0


# --- locks that may fail ------------------------------------------------------------------------


@native
def res_spin_lock(run: int, word: int) -> int:
    """Take a lock, or say why that would last for ever: the word holds the run that has it."""
    mine = load64(run + HANDLE) & _LOW
    owner = cmpxchg32(word, 0, mine)
    if owner == 0:
        return 0
    if owner == mine:
        return MINUS_EDEADLK
    deadline = clock_ns(_MONOTONIC) + _LOCK_TIMEOUT_NS
    while cmpxchg32(word, 0, mine) != 0:
        relax()
        if clock_ns(_MONOTONIC) > deadline:
            return MINUS_ETIMEDOUT
    return 0


@native
def res_spin_lock_irqsave(run: int, word: int, flags: int) -> int:
    """As res_spin_lock; remember that interrupts were on."""
    store64(flags, 0)
    return res_spin_lock(run, word)


@native
def res_spin_unlock(run: int, word: int) -> int:  # noqa: ARG001
    """Give a lock back."""
    store_release32(word, 0)
    return 0


BINDINGS: Final = (
    KfuncBinding("bpf_rcu_read_lock", nothing),
    KfuncBinding("bpf_rcu_read_unlock", nothing),
    KfuncBinding("bpf_preempt_disable", nothing),
    KfuncBinding("bpf_preempt_enable", nothing),
    KfuncBinding("bpf_local_irq_save", save_interrupts),
    KfuncBinding("bpf_local_irq_restore", nothing),
    KfuncBinding("bpf_rdonly_cast", rdonly_cast),
    KfuncBinding("bpf_iter_num_new", iter_num_new),
    KfuncBinding("bpf_iter_num_next", iter_num_next),
    KfuncBinding("bpf_iter_num_destroy", iter_num_destroy),
    KfuncBinding("bpf_res_spin_lock", res_spin_lock),
    KfuncBinding("bpf_res_spin_unlock", res_spin_unlock),
    KfuncBinding("bpf_res_spin_lock_irqsave", res_spin_lock_irqsave),
    KfuncBinding("bpf_res_spin_unlock_irqrestore", res_spin_unlock),
)
