"""A caller of bpf(2): builds attrs, keeps what they point to alive."""

import ctypes
import struct

from skep.base.layout import Layout
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.commands import Command


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One instruction as bytes."""
    return struct.pack("<BBhi", code, dst | src << 4, off, imm)


RETURN_ONE = insn(0xB7, imm=1)
EXIT = insn(0x95)


class Caller:
    """Calls one subsystem; ``attr`` holds what the last call left in its attr."""

    def __init__(self, subsystem: Subsystem | None = None) -> None:
        self.subsystem = subsystem or Subsystem()
        self.attr: Layout = commands.MapFreeze()
        self._alive: list[object] = []

    def keep(self, data: bytes, size: int = 0) -> int:
        """Address of *data*, or of *size* bytes that begin with it."""
        buffer = ctypes.create_string_buffer(data, max(size, len(data), 1))
        self._alive.append(buffer)
        return ctypes.addressof(buffer)

    def text_at(self, address: int) -> str:
        """What is written at *address*, to its final zero."""
        return ctypes.string_at(address).decode("latin-1")

    def call(self, command: Command, **members: int | bytes) -> int:
        """The result of *command* with the given members."""
        buffer = bytearray(command.layout(**members).encode().ljust(commands.ATTR_SIZE, b"\0"))
        result = self.subsystem.bpf(command.number, buffer)
        self.attr = command.layout.decode(bytes(buffer))
        return result

    def map(self, kind: int, key: int = 4, value: int = 8, entries: int = 4, flags: int = 0) -> int:
        """A new map."""
        return self.call(
            commands.MAP_CREATE,
            map_type=kind,
            key_size=key,
            value_size=value,
            max_entries=entries,
            map_flags=flags,
        )

    def program(self, code: bytes, kind: int = 1, **members: int | bytes) -> int:
        """A new program."""
        return self.call(
            commands.PROG_LOAD,
            prog_type=kind,
            insn_cnt=len(code) // 8,
            insns=self.keep(code),
            license=self.keep(b"GPL\0"),
            **members,
        )

    def store(self, fd: int, key: bytes, value: bytes, flags: int = 0) -> int:
        """Update an element."""
        return self.call(
            commands.MAP_UPDATE_ELEM,
            map_fd=fd,
            key=self.keep(key) if key else 0,
            value=self.keep(value),
            flags=flags,
        )

    def fetch(self, fd: int, key: bytes, size: int = 8) -> bytes | int:
        """The value of an element, or -errno."""
        place = self.keep(b"", size)
        found = self.call(
            commands.MAP_LOOKUP_ELEM, map_fd=fd, key=self.keep(key) if key else 0, value=place
        )
        return ctypes.string_at(place, size) if found == 0 else found

    def info(self, fd: int, layout: type[Layout], filled: Layout | None = None) -> Layout:
        """The info struct of *fd*."""
        data = filled.encode() if filled is not None else b""
        place = self.keep(data, 256)
        result = self.call(
            commands.OBJ_GET_INFO_BY_FD, bpf_fd=fd, info_len=layout.wire_size(), info=place
        )
        assert result == 0, self.subsystem.last_error
        return layout.decode(ctypes.string_at(place, layout.wire_size()))
