"""Helpers that steer a run: loops, locks, exchange of pointers. Tail calls are the engine's.

Source: Linux kernel/bpf/bpf_iter.c (bpf_loop), kernel/bpf/helpers.c (spin locks).
"""

from typing import Final

from skep.base.native import atomic_xchg64, call, load64, native
from skep.helpers.binding import Binding
from skep.maps.answer import MINUS_E2BIG, MINUS_EINVAL
from skep.maps.value import lock, unlock
from skep.runtime.invocation import FAULT

_MOST_LOOPS: Final = 8 << 20


@native
def loop(run: int, count: int, callback: int, context: int, flags: int) -> int:
    """Call *callback* with 0, 1, …, *count* - 1 until it says 1; returns how often it ran."""
    if flags != 0:
        return MINUS_EINVAL
    count &= 0xFFFF_FFFF
    if count > _MOST_LOOPS:
        return MINUS_E2BIG
    for number in range(count):
        if call(callback, run, number, context, 0, 0, 0) != 0 or load64(run + FAULT) != 0:
            return number + 1
    return count


@native
def spin_lock(run: int, word: int) -> int:  # noqa: ARG001 - a helper's signature
    """Take a bpf_spin_lock."""
    return lock(word)


@native
def spin_unlock(run: int, word: int) -> int:  # noqa: ARG001
    """Give a bpf_spin_lock back."""
    return unlock(word)


@native
def kptr_xchg(run: int, slot: int, pointer: int) -> int:  # noqa: ARG001
    """Put a kernel pointer into a map's value and take out the one that was there."""
    return atomic_xchg64(slot, pointer)


BINDINGS: Final = (
    Binding("loop", loop),
    Binding("spin_lock", spin_lock),
    Binding("spin_unlock", spin_unlock),
    Binding("kptr_xchg", kptr_xchg),
)
