"""A user and network namespace of one's own: packet sockets without root."""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Final

from skep.errors import NotSupported

CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWNET: Final = 0x4000_0000
SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1


def enter_own_network() -> None:
    """Move this process into a new user and network namespace with ``lo`` up.

    The process must be single-threaded. Raises NotSupported where the system allows no such
    namespace.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        reason = os.strerror(ctypes.get_errno())
        raise NotSupported("a network namespace of your own", reason)
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
        raise_interface("lo")
    except OSError as error:
        raise NotSupported("a network namespace of your own", str(error)) from None


def raise_interface(name: str) -> None:
    """Set *name* up, as ``ip link set NAME up`` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", name.encode(), 0)
        answer = fcntl.ioctl(control, SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("H", answer, 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags | IFF_UP))
