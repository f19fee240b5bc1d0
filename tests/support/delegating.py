"""Tokens: what calls with and without one answer, for skep, and in a child for a kernel.

Run as a program, it delegates rights of the running kernel into a user namespace of its own, and
prints a JSON list of results: 0, or -errno.
"""

import ctypes
import json
import os
import socket
import sys
from collections.abc import Iterator
from typing import Final

from skep.syscall.tree import Delegation
from skep.uapi import commands
from skep.uapi.flags import MapFlag, ProgFlag
from support.caller import EXIT, RETURN_ONE, Caller, insn
from support.rights import INT
from support.running_kernel import RunningKernel

TOKEN_FD: Final = int(MapFlag.TOKEN_FD)
DELEGATION: Final = Delegation(
    cmds=1 << commands.MAP_CREATE.number | 1 << commands.PROG_LOAD.number
    | 1 << commands.BTF_LOAD.number,
    maps=1 << 1 | 1 << 9 | 1 << 2,
    progs=1 << 1 | 1 << 6 | 1 << 13,
    attachs=1 << 0 | 1 << 37,
)  # fmt: skip
FSOPEN, FSCONFIG, FSMOUNT = 430, 431, 432
SET_STRING, CREATE = 1, 6


def answers(caller: Caller, folder: int, closed: int = 0x7FFF_FFF0) -> Iterator[int]:
    """What calls answer, in order; *folder* is a descriptor of the root of the mount."""
    for members in ({"flags": 1}, {"bpffs_fd": closed}, {"bpffs_fd": 0}):
        yield caller.call(commands.TOKEN_CREATE, **members)
    token = caller.call(commands.TOKEN_CREATE, bpffs_fd=folder)
    yield token
    for fd in (0, token, closed, folder):
        flags = TOKEN_FD if fd else 0
        for kind in (1, 2, 9, 11, 5):
            yield caller.call(
                commands.MAP_CREATE, map_type=kind, key_size=8, value_size=4, max_entries=1,
                map_flags=flags | (1 if kind == 11 else 0), map_token_fd=fd,
            ) if kind != 2 else caller.call(
                commands.MAP_CREATE, map_type=2, key_size=4, value_size=4, max_entries=1,
                map_flags=flags, map_token_fd=fd,
            )  # fmt: skip
        for kind in (1, 6, 8, 13):
            for code in (RETURN_ONE + EXIT, insn(0xBF, 0, 10) + EXIT):
                yield caller.program(
                    code, kind, prog_flags=int(ProgFlag.TOKEN_FD) if fd else 0, prog_token_fd=fd
                )
        yield caller.call(
            commands.BTF_LOAD, btf=caller.keep(INT), btf_size=len(INT), btf_flags=flags,
            btf_token_fd=fd,
        )  # fmt: skip
        yield caller.call(
            commands.BTF_GET_FD_BY_ID, start_id=0x7000_0000, open_flags=flags, fd_by_id_token_fd=fd
        )


def plain(results: Iterator[int]) -> list[int]:
    """Results without the numbers of descriptors."""
    return [min(0, result) for result in results]


def main() -> None:
    """Answer for the running kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _inside(libc, theirs)
        os._exit(0)
    theirs.close()
    ours.recv(1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{name}", "w") as file:  # noqa: PTH123 - one write(2)
            file.write("0 0 65536")
    ours.send(b"m")
    _, (filesystem,), *_ = socket.recv_fds(ours, 1, 1)
    for name, value in DELEGATION._asdict().items():
        text = hex(value).encode()
        libc.syscall(FSCONFIG, filesystem, SET_STRING, f"delegate_{name}".encode(), text, 0)
    libc.syscall(FSCONFIG, filesystem, CREATE, None, None, 0)
    ours.send(b"g")
    with ours.makefile("rb") as stream:
        sys.stdout.write(stream.read().decode())
    os.waitpid(child, 0)


def _inside(libc: ctypes.CDLL, door: socket.socket) -> None:
    if libc.unshare(0x1000_0000 | 0x2_0000):  # a user and a mount namespace
        raise OSError(ctypes.get_errno(), "unshare")
    door.send(b"u")
    door.recv(1)
    filesystem = libc.syscall(FSOPEN, b"bpf", 0)
    socket.send_fds(door, [b"f"], [filesystem])
    door.recv(1)
    mounted = libc.syscall(FSMOUNT, filesystem, 0, 0)
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=mounted)
    caller = Caller(RunningKernel())  # type: ignore[arg-type]  # as much of one as it uses
    door.send(json.dumps(plain(answers(caller, folder))).encode())


if __name__ == "__main__":
    main()
