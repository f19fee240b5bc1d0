"""Surroundings: what a world knows of this machine: network devices, cgroups, the namespace.

A world is small: it has this machine's devices, but no routes, no neighbours and no other sockets;
its cgroup hierarchy is the part that this process sees; it has one network namespace.

Source: proc(5), cgroups(7), netdevice(7), the numbers of include/uapi/linux/if_arp.h.
"""

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

SO_NETNS_COOKIE: Final = 71
_GET_FLAGS: Final = 0x8913  # SIOCGIFFLAGS
_GET_MTU: Final = 0x8921
_GET_ADDRESS: Final = 0x8927
_UP: Final = 1
_IFREQ: Final = struct.Struct("=16s24s")
_FIRST_COOKIE: Final = 1


@dataclass(frozen=True, slots=True)
class Device:
    """A network device: *kind* is its ARPHRD_* number."""

    index: int
    name: str
    mtu: int
    up: bool
    kind: int


class Surroundings:
    """What programs can find out about the machine; a test overrides what it needs."""

    @cached_property
    def namespace_cookie(self) -> int:
        """The number of the network namespace."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                data = probe.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
        except OSError:
            return _FIRST_COOKIE
        return int.from_bytes(data, "little")

    @cached_property
    def cgroups(self) -> tuple[int, ...]:
        """Ids of the process's cgroup and of all above it, the root first."""
        try:
            found = tuple(_cgroup_ids())
        except (OSError, ValueError):
            found = ()
        return found or (1,)  # a machine without cgroups: a world is its own root

    def device(self, index: int) -> Device | None:
        """The network device number *index*, as it is now."""
        try:
            name = socket.if_indextoname(index)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                flags, mtu, address = (
                    _IFREQ.unpack(fcntl.ioctl(probe, ask, _IFREQ.pack(name.encode(), b"")))[1]
                    for ask in (_GET_FLAGS, _GET_MTU, _GET_ADDRESS)
                )
        except (OSError, OverflowError):
            return None
        return Device(
            index,
            name,
            int.from_bytes(mtu[:4], "little"),
            bool(flags[0] & _UP),
            int.from_bytes(address[:2], "little"),
        )


def _cgroup_ids() -> Iterator[int]:
    """A cgroup's id is the inode number of its directory."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            break
    else:
        return
    place = _unified_mount()
    if place is None:
        return
    yield place.stat().st_ino
    for part in path.strip("/").split("/"):
        if part:
            place /= part
            yield place.stat().st_ino


def _unified_mount() -> Path | None:
    """Where the cgroup2 file system is mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2":
            return Path(os.fsdecode(fields[4].encode()))
    return None
