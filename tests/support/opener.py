"""A caller of any bpf(2) that closes what it has opened."""

from typing import Any

from skep.uapi import commands
from skep.uapi.commands import Command
from support.caller import Caller

OPENING = (
    commands.BTF_LOAD, commands.PROG_LOAD, commands.LINK_CREATE, commands.MAP_CREATE,
    commands.RAW_TRACEPOINT_OPEN,
)  # fmt: skip


class Opener(Caller):
    """A caller that knows what it has opened."""

    def __init__(self, subsystem: Any) -> None:
        super().__init__(subsystem)
        self.opened: list[int] = []

    def call(self, command: Command, **members: int | bytes) -> int:
        """See ``Caller.call``."""
        result = super().call(command, **members)
        if command in OPENING and result >= 0:
            self.opened.append(result)
        return result

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        self.opened.remove(fd)
        self.subsystem.close(fd)

    def close_all(self) -> None:
        """Close what is open."""
        for fd in self.opened[::-1]:
            self.subsystem.close(fd)
        self.opened, self._alive = [], []
