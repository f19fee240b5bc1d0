"""Helpers on stacks, on the task behind a program, and on what led to its event.

A program here has no kernel stack, and whose user stack it would be is not known: stacks are empty,
as those of a kernel thread are to Linux when asked for user frames. The task's address is a number
that tells tasks apart and that nothing can be read from.

Source: Linux kernel/bpf/stackmap.c, kernel/trace/bpf_trace.c.
"""

from typing import Final

from skep.base.native import fill, load64, native
from skep.helpers.binding import Binding
from skep.maps.answer import MINUS_EFAULT, MINUS_EINVAL, MINUS_ENOENT
from skep.runtime.invocation import PID_TGID

_LOW: Final = 0xFFFF_FFFF
_SKIP: Final = 0xFF
_USER: Final = 1 << 8
_FAST_COMPARE: Final = 1 << 9
_REUSE: Final = 1 << 10
_BUILD_ID: Final = 1 << 11
_ID_FLAGS: Final = _SKIP | _USER | _FAST_COMPARE | _REUSE
_STACK_FLAGS: Final = _SKIP | _USER | _BUILD_ID
_BUILD_ID_SIZE: Final = 32
_ADDRESS_SIZE: Final = 8
_RECORDS_SIZE: Final = 1
_TASKS: Final = 0xFFFF_8000_0000_0000  # kernel addresses: no process has memory there
_TASK_BITS: Final = 14


@native
def get_stackid(run: int, context: int, this: int, flags: int) -> int:  # noqa: ARG001
    """Store the stack in a map and give its id: there are no frames."""
    return MINUS_EINVAL if (flags & ~_ID_FLAGS) != 0 else MINUS_EFAULT


@native
def get_stack(run: int, context: int, target: int, size: int, flags: int) -> int:  # noqa: ARG001
    """Copy the frames of the stack, a context's or a task's: there are none to skip either."""
    size &= _LOW
    fill(target, 0, size)
    if (flags & ~_STACK_FLAGS) != 0 or (flags & (_USER | _BUILD_ID)) == _BUILD_ID:
        return MINUS_EINVAL
    frame = _BUILD_ID_SIZE if (flags & _BUILD_ID) != 0 else _ADDRESS_SIZE
    if size % frame != 0:
        return MINUS_EINVAL
    return MINUS_EFAULT if (flags & _SKIP) != 0 else 0


@native
def get_current_task(run: int) -> int:
    """Address of the task: opaque, another for each thread."""
    return _TASKS + ((load64(run + PID_TGID) & _LOW) << _TASK_BITS)


@native
def get_func_ip(run: int, context: int) -> int:  # noqa: ARG001
    """Address of the traced function; 0 as ever when no probe on a function's entry fired."""
    return 0


@native
def read_branch_records(run: int, context: int, target: int, size: int, flags: int) -> int:  # noqa: ARG001
    """Copy the last branches: events here are sampled without them."""
    return MINUS_EINVAL if (flags & ~_RECORDS_SIZE) != 0 else MINUS_ENOENT


BINDINGS: Final = (
    Binding("get_stackid", get_stackid),
    Binding("get_stack", get_stack),
    Binding("get_task_stack", get_stack),
    Binding("get_current_task", get_current_task),
    Binding("get_func_ip", get_func_ip),
    Binding("read_branch_records", read_branch_records),
)
