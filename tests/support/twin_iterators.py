"""Iterators here and in the running kernel, by the same calls."""

import ctypes
import os
import struct
from errno import EBADF
from pathlib import Path
from typing import Any, Final, cast

from skep.errors import CommandError
from skep.runtime.world import World
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from support.caller import Caller
from support.iterated import TRACE_ITER, TRACING, target_id
from support.running_kernel import RunningKernel
from support.traced import code

PERF_EVENT_OPEN: Final = 298
ATTR_SIZE: Final = 136


class KernelSide(RunningKernel):
    """The running kernel, with what iterators and perf events need beyond bpf(2)."""

    last_error = "the kernel does not say"

    def read(self, fd: int, size: int) -> bytes:
        """Read a descriptor."""
        return os.read(fd, size)

    def fdinfo(self, fd: int) -> str:
        """What procfs says of a descriptor."""
        return Path(f"/proc/self/fdinfo/{fd}").read_text()

    def perf_event_open(self, type_: int, config: int) -> int:
        """A counter of this very process."""
        attr = ctypes.create_string_buffer(struct.pack("=IIQ", type_, ATTR_SIZE, config), ATTR_SIZE)
        return int(self._libc.syscall(PERF_EVENT_OPEN, attr, 0, -1, -1, 0))


class Side(Caller):
    """A caller of one side; closes all that it made."""

    def __init__(self, subsystem: object) -> None:
        super().__init__(cast("Any", subsystem))
        self._made: list[int] = []

    def call(self, command: commands.Command, **members: int | bytes) -> int:
        """See ``Caller.call``."""
        result = super().call(command, **members)
        if command.result == "a new descriptor" and result >= 0:
            self._made.append(result)
        return result

    def close_all(self) -> None:
        """Close what was made, the last first."""
        while self._made:
            self.subsystem.close(self._made.pop())

    def iterator_program(self, target: str, text: str, **members: int) -> int:
        """An iterator program."""
        btf = KERNEL_TYPES.kernel_types
        assert btf is not None
        return self.program(code(text), TRACING, expected_attach_type=TRACE_ITER,
                            attach_btf_id=target_id(btf, target), **members)  # fmt: skip

    def iterator_link(self, program: int, info: bytes = b"", **members: int) -> int:
        """A link of it."""
        if info:
            members = {"word16": self.keep(info), "word24": len(info)} | members
        return self.call(
            commands.LINK_CREATE, **{"prog_fd": program, "attach_type": TRACE_ITER} | members
        )

    def chunks(self, link: int, size: int, most: int = 400) -> list[bytes | int]:
        """What reads of *size* bytes give: bytes, or -errno; until the end, or *most* of them."""
        fd = self.call(commands.ITER_CREATE, link_fd=link)
        if fd < 0:
            return [fd]
        found: list[bytes | int] = []
        while len(found) < most:
            try:
                part = self.subsystem.read(fd, size)
            except (CommandError, OSError) as error:
                found.append(-(error.errno or EBADF))
                continue
            found.append(part)
            if not part:
                break
        return found


KERNEL_TYPES: Final = Subsystem()


def sides() -> tuple[Side, Side]:
    """The kernel's and ours, with as many CPUs."""
    possible = os.sysconf("SC_NPROCESSORS_CONF")
    return Side(KernelSide()), Side(Subsystem(World(cpus=possible)))
