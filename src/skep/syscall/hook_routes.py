"""Attach type to what makes a link of it.

A creator gets the program's holding, checks what is particular to its hook, attaches, and installs
the link (``hooked.install_link``). Program and attach type fit each other already; the lock of the
objects is held.
"""

from collections.abc import Callable, Mapping
from typing import Final

from skep.syscall import perf_events, raw_tracepoints
from skep.syscall.call import Call
from skep.syscall.objects import Holding
from skep.syscall.state import State
from skep.uapi.commands import LinkCreate
from skep.uapi.flags import AttachType

Creator = Callable[[State, Call[LinkCreate], Holding], int]

CREATORS: Final[Mapping[int, Creator]] = {
    AttachType.TRACE_RAW_TP: raw_tracepoints.create_typed,
    AttachType.PERF_EVENT: perf_events.create,
}
EXTEND: Final[Creator | None] = None  # makes links of programs that replace functions of others
