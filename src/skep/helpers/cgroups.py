"""Helpers on control groups: the process's, which the socket of a test run has too.

A world's hierarchy is what this process sees of it; its network classes are all 0.

Source: Linux kernel/bpf/helpers.c, kernel/bpf/cgroup.c, net/core/filter.c.
"""

from typing import Final

from skep.base.bits import U32, signed
from skep.base.native import load64, native
from skep.helpers.binding import Binding
from skep.helpers.sockets import packet_socket
from skep.maps.answer import MINUS_E2BIG, MINUS_EAGAIN, MINUS_ENOENT
from skep.maps.interface import MAX_ENTRIES
from skep.runtime.invocation import CGROUP
from skep.runtime.world import World

_LOW: Final = 0xFFFF_FFFF


@native
def get_current_cgroup_id(run: int) -> int:
    """Id of the process's cgroup."""
    return load64(run + CGROUP)


@native
def skb_cgroup_id(run: int, context: int) -> int:
    """Id of the cgroup of the packet's socket."""
    return load64(run + CGROUP) if packet_socket(run, context) != 0 else 0


@native
def sk_cgroup_id(run: int, sock: int) -> int:  # noqa: ARG001 - the world has one socket
    """Id of the cgroup of a socket."""
    return load64(run + CGROUP)


def _ancestor(world: World, level: int) -> int:
    ids = world.surroundings.cgroups
    level = signed(level & U32, 32)
    return ids[level] if 0 <= level < len(ids) else 0


def get_current_ancestor_cgroup_id(
    world: World, _run: int, level: int, _r2: int, _r3: int, _r4: int, _r5: int
) -> int:
    """Id of the cgroup above the process's at *level*, the root's being 0; 0 if there is none."""
    return _ancestor(world, level)


def skb_ancestor_cgroup_id(
    world: World, run: int, context: int, level: int, _r3: int, _r4: int, _r5: int
) -> int:
    """As get_current_ancestor_cgroup_id, for the packet's socket."""
    return _ancestor(world, level) if packet_socket(run, context) else 0


def sk_ancestor_cgroup_id(
    world: World, _run: int, _sock: int, level: int, _r3: int, _r4: int, _r5: int
) -> int:
    """As get_current_ancestor_cgroup_id, for a socket."""
    return _ancestor(world, level)


@native
def get_cgroup_classid(run: int) -> int:  # noqa: ARG001
    """Network class of the task."""
    return 0


@native
def skb_cgroup_classid(run: int, context: int) -> int:  # noqa: ARG001
    """Network class of the packet's socket."""
    return 0


@native
def slot_answer(cgroups: int, index: int) -> int:
    """What a look into a CGROUP_ARRAY gives: all its places are empty."""
    return MINUS_E2BIG if (index & _LOW) >= load64(cgroups + MAX_ENTRIES) else MINUS_EAGAIN


@native
def current_task_under_cgroup(run: int, cgroups: int, index: int) -> int:  # noqa: ARG001
    """Whether the task is in or below the cgroup at *index*."""
    return slot_answer(cgroups, index)


@native
def skb_under_cgroup(run: int, context: int, cgroups: int, index: int) -> int:
    """Whether the packet's socket is in or below the cgroup at *index*."""
    return slot_answer(cgroups, index) if packet_socket(run, context) != 0 else MINUS_ENOENT


BINDINGS: Final = (
    Binding("get_current_cgroup_id", get_current_cgroup_id),
    Binding("skb_cgroup_id", skb_cgroup_id),
    Binding("sk_cgroup_id", sk_cgroup_id),
    Binding("get_current_ancestor_cgroup_id", upcall=get_current_ancestor_cgroup_id),
    Binding("skb_ancestor_cgroup_id", upcall=skb_ancestor_cgroup_id),
    Binding("sk_ancestor_cgroup_id", upcall=sk_ancestor_cgroup_id),
    Binding("get_cgroup_classid", get_cgroup_classid),
    Binding("skb_cgroup_classid", skb_cgroup_classid),
    Binding("current_task_under_cgroup", current_task_under_cgroup),
    Binding("skb_under_cgroup", skb_under_cgroup),
)
