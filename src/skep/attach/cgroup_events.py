"""What happens to members of cgroups: sockets are made and addressed, devices are opened.

Each function builds the context of one kind of event, lets it happen in a cgroup, and gives back
what the member would see. Events of sysctl, socket options and sock_ops have no function here:
build their context with ``skep.attach.contexts`` and call ``Cgroup.fire``.

Source: Linux 6.18 kernel/bpf/cgroup.c (__cgroup_bpf_run_filter_sock_addr,
__cgroup_bpf_run_filter_sk, __cgroup_bpf_check_dev_permission), include/uapi/linux/bpf.h.
"""

from dataclasses import dataclass
from typing import Final

from skep.attach import contexts
from skep.attach.cgroups import Cgroup
from skep.uapi.contexts import CGROUP_DEVICE, SOCK, SOCK_ADDR
from skep.uapi.flags import AttachType

DEVICE_KINDS: Final = {"b": 1, "c": 2}
ACCESS: Final = {"m": 1, "r": 2, "w": 4}
STREAM: Final = 1  # SOCK_STREAM
TCP: Final = 6


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of 4 or 16 bytes, and a port."""

    address: bytes
    port: int

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return contexts.AF_INET if len(self.address) == 4 else contexts.AF_INET6


@dataclass(frozen=True, slots=True)
class Addressed:
    """How a system call with an address goes on.

    Attributes:
        errno: 0, or the -errno that the caller gets.
        endpoint: where it goes, as the programs left it.
        bits: the bits above the first of all results: for bind, 1 lets everyone bind the port.
    """

    errno: int
    endpoint: Endpoint
    bits: int = 0


def address_used(
    cgroup: Cgroup,
    attach_type: AttachType,
    endpoint: Endpoint,
    *,
    kind: int = STREAM,
    protocol: int = TCP,
) -> Addressed:
    """A member binds, connects or sends to *endpoint*: the hook called *attach_type*."""
    stage = contexts.plain(SOCK_ADDR)
    where = f"user_ip{'4' if len(endpoint.address) == 4 else '6'}"
    offset, port = SOCK_ADDR.field(where).offset, SOCK_ADDR.field("user_port").offset
    stage.put("user_family", endpoint.family)
    stage.put_bytes(offset, endpoint.address)
    stage.put_bytes(port, endpoint.port.to_bytes(2, "big"))
    for name, value in (("family", endpoint.family), ("type", kind), ("protocol", protocol)):
        stage.put(name, value)
    _attach_socket(stage, endpoint.family, kind, protocol)
    errno, bits = cgroup.fire(attach_type, stage)
    left = stage.read(offset, len(endpoint.address))
    return Addressed(errno, Endpoint(left, int.from_bytes(stage.read(port, 2), "big")), bits)


def socket_made(cgroup: Cgroup, family: int, kind: int = STREAM, protocol: int = 0) -> int:
    """A member makes an IPv4 or IPv6 socket: 0, or the -errno that it gets."""
    if family not in (contexts.AF_INET, contexts.AF_INET6):
        return 0
    stage = contexts.plain(SOCK)
    for name, value in (("family", family), ("type", kind), ("protocol", protocol)):
        stage.put(name, value)
    return cgroup.fire(AttachType.CGROUP_INET_SOCK_CREATE, stage)[0]


def device_opened(cgroup: Cgroup, kind: str, major: int, minor: int, access: str) -> int:
    """A member opens or makes a device: 0, or the -errno that it gets.

    *kind* is ``b`` or ``c``; *access* some of ``r``, ``w``, ``m``.
    """
    stage = contexts.plain(CGROUP_DEVICE)
    wanted = sum(ACCESS[each] for each in set(access))
    stage.put("access_type", wanted << 16 | DEVICE_KINDS[kind])
    stage.put("major", major)
    stage.put("minor", minor)
    return cgroup.fire(AttachType.CGROUP_DEVICE, stage)[0]


def _attach_socket(stage: contexts.Stage, family: int, kind: int, protocol: int) -> None:
    data = bytearray(SOCK.size)
    for name, value in (("family", family), ("type", kind), ("protocol", protocol)):
        offset = SOCK.field(name).offset
        data[offset : offset + 4] = value.to_bytes(4, "little")
    stage.put_attachment(bytes(data))
    stage.point("sk", stage.attachment)
