"""Programs of an object on places of its world: cgroups, devices, the namespace, socket maps.

::

    eth0 = obj.places.device("eth0")
    with obj.attach("drop_udp", on=eth0):
        eth0.receive(frame)
"""

from typing import Final

from skep.attach.cgroups import Cgroup
from skep.attach.devices import Device
from skep.attach.netns import NetworkNamespace
from skep.errors import LoadError
from skep.loader.spec import ProgramSpec
from skep.session.maps import Map
from skep.syscall.subsystem import Subsystem
from skep.uapi import link_types
from skep.uapi.commands import LinkCreate
from skep.uapi.flags import AttachType, LinkType, ProgType

Place = Cgroup | Device | NetworkNamespace | Map
KINDS: Final = {
    Cgroup: frozenset({LinkType.CGROUP}),
    Device: frozenset({LinkType.XDP, LinkType.TCX, LinkType.NETKIT}),
    NetworkNamespace: frozenset({LinkType.NETNS}),
    Map: frozenset({LinkType.SOCKMAP}),
}


def link_attr(
    subsystem: Subsystem, fd: int, spec: ProgramSpec, on: Place
) -> tuple[LinkCreate, int]:
    """What LINK_CREATE gets to put program *fd* on a place; a descriptor to close after it, or -1.

    Raises:
        LoadError: programs of that section do not go on such places.
    """
    attach_type = spec.expected_attach_type
    if spec.program_type == ProgType.SCHED_CLS and not attach_type:
        attach_type = AttachType.TCX_INGRESS  # SEC("tc") does not say which way
    row = link_types.of_attach_type(attach_type)
    kinds = next(kinds for kind, kinds in KINDS.items() if isinstance(on, kind))
    if row is None or row.id not in kinds:
        raise LoadError(f"{spec.section} programs do not go on a {type(on).__name__.lower()}",
                        name=spec.name)  # fmt: skip
    target, opened = _target(subsystem, on)
    attr = LinkCreate(prog_fd=fd, target_fd=target, attach_type=attach_type)
    return attr, target if opened else -1


def _target(subsystem: Subsystem, on: Place) -> tuple[int, bool]:
    """The number that names the place, and whether it is a descriptor opened for it."""
    if isinstance(on, Device):
        return on.index, False
    if isinstance(on, Map):
        return on.fd, False
    if isinstance(on, Cgroup):
        return subsystem.open_cgroup(on.path), True
    return subsystem.open_netns(), True
