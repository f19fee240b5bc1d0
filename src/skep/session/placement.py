"""Programs of an object on places of its world: cgroups, devices, socket maps, other programs.

::

    eth0 = obj.places.device("eth0")
    with obj.attach("drop_udp", on=eth0):
        eth0.receive(frame)
"""

from typing import Final

from skep.attach.cgroups import Cgroup
from skep.attach.devices import Device
from skep.attach.netns import NetworkNamespace
from skep.btf.kinds import Kind
from skep.errors import LoadError
from skep.loader.spec import ProgramSpec
from skep.session.maps import Map
from skep.session.programs import Program
from skep.syscall.subsystem import Subsystem
from skep.uapi import link_types
from skep.uapi.commands import LinkCreate
from skep.uapi.flags import AttachType, LinkType, ProgType

Place = Cgroup | Device | NetworkNamespace | Map | Program
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
    if isinstance(on, Program):
        return _at_function(fd, spec, on), -1
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


def _at_function(fd: int, spec: ProgramSpec, on: Program) -> LinkCreate:
    """At the function of a program that the section names; only extensions choose the program."""
    btf = on.loaded.proof.request.btf
    function = btf.by_name(spec.attach_target, Kind.FUNC) if btf is not None else None
    if spec.program_type != ProgType.EXT or not function:
        raise LoadError(f"{spec.section} does not go on program {on.name}", name=spec.name)
    return LinkCreate(prog_fd=fd, target_fd=on.fd, word16=function)


def _target(subsystem: Subsystem, on: Place) -> tuple[int, bool]:
    """The number that names the place, and whether it is a descriptor opened for it."""
    if isinstance(on, Device):
        return on.index, False
    if isinstance(on, Map):
        return on.fd, False
    if isinstance(on, Cgroup):
        return subsystem.open_cgroup(on.path), True
    return subsystem.open_netns(), True
