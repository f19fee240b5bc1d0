"""Helpers on time, random numbers, CPUs and the current task.

Source: Linux kernel/bpf/helpers.c, kernel/trace/bpf_trace.c, net/core/filter.c.
"""

import os
import struct
from typing import Final

from skep.base.memory import Fault
from skep.base.native import (
    clock_ns,
    copy,
    fill,
    load32,
    load64,
    native,
    store8,
    store32,
    store64,
    wrap,
)
from skep.helpers.binding import Binding
from skep.maps.answer import MINUS_EFAULT, MINUS_EINVAL
from skep.maps.value import lesser
from skep.runtime.invocation import CLOCK_NS, COMM, COOKIE, CPU, PID_TGID, RANDOM, RETVAL, UID_GID
from skep.runtime.world import World

_MONOTONIC: Final = 1
_MONOTONIC_COARSE: Final = 6
_BOOT: Final = 7
_TAI: Final = 11

_JIFFY_NS: Final = 4_000_000  # 250 a second, as most distributions build their kernels
_FIRST_JIFFY: Final = 0x1_0000_0000 - 300 * 250  # Linux starts five minutes before the wrap
_RANDOM_FACTOR: Final = 0x2545_F491_4F6C_DD1D
_COMM_SIZE: Final = 16
_PIDNS_INFO: Final = struct.Struct("=II")


@native
def read_clock(run: int, clock: int) -> int:
    """The clock that a test set, or the real one."""
    fixed = load64(run + CLOCK_NS)
    return fixed if fixed != 0 else clock_ns(clock)


@native
def ktime_get_ns(run: int) -> int:
    """Nanoseconds since the machine started, sleep not counted."""
    return read_clock(run, _MONOTONIC)


@native
def ktime_get_boot_ns(run: int) -> int:
    """Nanoseconds since the machine started."""
    return read_clock(run, _BOOT)


@native
def ktime_get_coarse_ns(run: int) -> int:
    """As ktime_get_ns, as of the last tick."""
    return read_clock(run, _MONOTONIC_COARSE)


@native
def ktime_get_tai_ns(run: int) -> int:
    """Nanoseconds of international atomic time."""
    return read_clock(run, _TAI)


@native
def jiffies64(run: int) -> int:
    """Ticks since five minutes before the 32-bit count wraps."""
    return _FIRST_JIFFY + read_clock(run, _MONOTONIC) // _JIFFY_NS


@native
def get_prandom_u32(run: int) -> int:
    """Next number of the run block's generator (xorshift64*)."""
    x = load64(run + RANDOM)
    x ^= x >> 12
    x ^= wrap(x << 25)
    x ^= x >> 27
    store64(run + RANDOM, x)
    return wrap(x * _RANDOM_FACTOR) >> 32


@native
def get_smp_processor_id(run: int) -> int:
    """The virtual CPU."""
    return load64(run + CPU)


@native
def get_numa_node_id(run: int) -> int:  # noqa: ARG001 - a helper's signature
    """A world has one memory node."""
    return 0


@native
def get_current_pid_tgid(run: int) -> int:
    """``tgid << 32 | pid``."""
    return load64(run + PID_TGID)


@native
def get_current_uid_gid(run: int) -> int:
    """``gid << 32 | uid``."""
    return load64(run + UID_GID)


@native
def get_current_comm(run: int, target: int, size: int) -> int:
    """Copy the task's name, cut to fit and padded with zeros."""
    length = size & 0xFFFF_FFFF
    if length == 0:
        return MINUS_EINVAL
    part = lesser(length, _COMM_SIZE)
    copy(target, load64(run + COMM), part)
    store8(target + part - 1, 0)
    fill(target + part, 0, length - part)
    return 0


@native
def get_attach_cookie(run: int, context: int) -> int:  # noqa: ARG001
    """What the attachment was given to tell it apart."""
    return load64(run + COOKIE)


@native
def get_retval(run: int) -> int:
    """The return value that the hook has so far, sign-extended."""
    return wrap((load32(run + RETVAL) ^ 0x8000_0000) - 0x8000_0000)


@native
def set_retval(run: int, value: int) -> int:
    """Set the return value of the hook."""
    store32(run + RETVAL, value & 0xFFFF_FFFF)
    return 0


def get_current_task_btf(
    world: World, _run: int, _1: int, _2: int, _3: int, _4: int, _5: int
) -> int:
    """The task_struct of the task that the run is in."""
    return world.task_structs.address(world.current_task())


def get_ns_current_pid_tgid(
    world: World, run: int, device: int, inode: int, target: int, size: int, _r5: int
) -> int:
    """Ids of the task in the pid namespace that *device* and *inode* name."""
    length = size & 0xFFFF_FFFF
    ids = bytes(length)
    answer = MINUS_EINVAL
    try:
        place = os.stat("/proc/self/ns/pid")  # noqa: PTH116 - follows the magic link
    except OSError:
        place = None
    known = place is not None and (place.st_dev, place.st_ino) == (device, inode)
    if length == _PIDNS_INFO.size and known:
        both = load64(run + PID_TGID)
        ids = _PIDNS_INFO.pack(both & 0xFFFF_FFFF, both >> 32)
        answer = 0
    try:
        world.memory.write(target, ids)
    except Fault:
        return MINUS_EFAULT
    return answer


BINDINGS: Final = (
    Binding("ktime_get_ns", ktime_get_ns),
    Binding("ktime_get_boot_ns", ktime_get_boot_ns),
    Binding("ktime_get_coarse_ns", ktime_get_coarse_ns),
    Binding("ktime_get_tai_ns", ktime_get_tai_ns),
    Binding("jiffies64", jiffies64),
    Binding("get_prandom_u32", get_prandom_u32),
    Binding("get_smp_processor_id", get_smp_processor_id),
    Binding("get_numa_node_id", get_numa_node_id),
    Binding("get_current_pid_tgid", get_current_pid_tgid),
    Binding("get_current_uid_gid", get_current_uid_gid),
    Binding("get_current_comm", get_current_comm),
    Binding("get_current_task_btf", upcall=get_current_task_btf),
    Binding("get_attach_cookie", get_attach_cookie),
    Binding("get_retval", get_retval),
    Binding("set_retval", set_retval),
    Binding("get_ns_current_pid_tgid", upcall=get_ns_current_pid_tgid),
)
