"""Attach type to what makes a link of it.

A creator gets the program's holding, checks what is particular to its hook, attaches, and installs
the link (``hooked.install_link``). Program and attach type fit each other already; the lock of the
objects is held.
"""

from collections.abc import Callable, Mapping
from typing import Final

from skep.syscall import (
    iterators,
    on_cgroups,
    on_devices,
    on_functions,
    on_netns,
    on_sockmaps,
    perf_events,
    raw_tracepoints,
)
from skep.syscall.call import Call
from skep.syscall.objects import Holding
from skep.syscall.state import State
from skep.uapi import link_types
from skep.uapi.commands import LinkCreate
from skep.uapi.flags import AttachType, LinkType

Creator = Callable[[State, Call[LinkCreate], Holding], int]

_OF_KIND: Final[Mapping[LinkType, Creator]] = {
    LinkType.CGROUP: on_cgroups.create,
    LinkType.NETNS: on_netns.create,
    LinkType.XDP: on_devices.create_xdp,
    LinkType.NETFILTER: on_netns.create_netfilter,
    LinkType.TCX: on_devices.create,
    LinkType.NETKIT: on_devices.create,
    LinkType.SOCKMAP: on_sockmaps.create,
}
CREATORS: Final[Mapping[int, Creator]] = {
    **{
        attach_type: creator
        for kind, creator in _OF_KIND.items()
        for attach_type in link_types.of(kind).attach_types
    },
    AttachType.TRACE_RAW_TP: raw_tracepoints.create_typed,
    AttachType.PERF_EVENT: perf_events.create,
    AttachType.TRACE_ITER: iterators.create,
    AttachType.TRACE_FENTRY: on_functions.create,
    AttachType.TRACE_FEXIT: on_functions.create,
    AttachType.MODIFY_RETURN: on_functions.create,
    AttachType.LSM_MAC: on_functions.create,
}
EXTEND: Final[Creator] = on_functions.create  # of programs that replace functions of others
