"""The door to bpf(2): commands as typed functions, errors as exceptions.

Invariant: every buffer that a command points to lives until the command has returned.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from skep.base.layout import Layout
from skep.errors import CommandError, NotSupported
from skep.loader import logged
from skep.uapi import commands, infos
from skep.uapi.commands import Command
from skep.uapi.infos import BtfInfo, ProgInfo

_LOG_SIZE: Final = 1 << 20
_LOG_LIMIT: Final = 1 << 30
_INFO: Final = struct.Struct("<IIIIII")  # type, id, key, value, entries, flags of bpf_map_info
_INFO_SIZE: Final = 88
_INFO_EXTRA: Final = 80
_Info = TypeVar("_Info", bound=Layout)


class Syscall(Protocol):
    """Whatever serves bpf(2): a Subsystem, or the running kernel.

    If it has ``log_levels``, it takes common attributes, which may ask for those levels; its
    ``map_arena``, of a descriptor, an address (or 0) and a size, is mmap(2) of an arena.
    """

    def bpf(self, cmd: int, attr: bytearray, /) -> int:
        """Serve one command: the result, or ``-errno``; *attr* may be written to."""
        ...

    def close(self, fd: int, /) -> None:
        """Close a descriptor that a command gave."""
        ...


class ProgramRefused(CommandError):  # noqa: N818 - what happened, not a fault
    """PROG_LOAD was refused: *program*, and the verifier's *log* (empty if there is none)."""

    def __init__(self, errno_: int, program: str, log: str) -> None:
        lines = [line for line in log.splitlines() if line and not line.startswith("processed ")]
        super().__init__("PROG_LOAD", errno_, f"{program}: {lines[-1] if lines else 'no log'}")
        self.program, self.log = program, log


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What OBJ_GET_INFO_BY_FD says of a map."""

    map_type: int
    id: int
    key_size: int
    value_size: int
    max_entries: int
    map_flags: int
    map_extra: int


class Buffers:
    """Bytes at fixed addresses, as long as this object lives."""

    def __init__(self) -> None:
        self._kept: list[ctypes.Array[ctypes.c_char]] = []

    def add(self, data: bytes) -> int:
        """Address of a copy of *data*; 0 for nothing."""
        return self.room(len(data), data) if data else 0

    def room(self, size: int, data: bytes = b"") -> int:
        """Address of *size* bytes that begin with *data*."""
        buffer = ctypes.create_string_buffer(data, size)
        self._kept.append(buffer)
        return ctypes.addressof(buffer)

    def last(self) -> bytes:
        """What the last buffer holds."""
        return self._kept[-1].raw


class Door:
    """Commands of bpf(2) on one Syscall. A refusal is a CommandError.

    Its ``__cause__`` is the reason as the subsystem knows it, where it tells (``last_error``).
    """

    def __init__(self, syscall: Syscall) -> None:
        self.syscall = syscall

    def _call(self, command: Command, attr: Layout) -> tuple[int, bytearray]:
        data = bytearray(attr.encode())
        return self._logged(command.number, data), data

    def _logged(self, number: int, data: bytearray) -> int:
        return logged.call(self.syscall, number, data)

    def call(self, command: Command, attr: Layout, what: str) -> int:
        """Run *command*; *what* it is about stands in the error."""
        result, _ = self._call(command, attr)
        if result < 0:
            cause = getattr(self.syscall, "last_error", None)
            meaning = command.fails.get(-result) or os.strerror(-result)
            why = cause.message if isinstance(cause, CommandError) else cause or meaning
            raise CommandError(command.name, -result, f"{what}: {why}") from cause
        return result

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        self.syscall.close(fd)

    def load_btf(self, data: bytes) -> int:
        """BTF_LOAD; the error says how the log ends, where nothing else tells why."""
        keep = Buffers()
        attr = commands.BtfLoad(btf=keep.add(data), btf_size=len(data))
        try:
            return self.call(commands.BTF_LOAD, attr, "BTF of the object")
        except CommandError as error:
            if error.__cause__ is not None:
                raise
            log = self._btf_log(data)
            if not log:
                raise
            raise CommandError(
                error.command, error.errno, f"BTF of the object: {log.splitlines()[-1]}"
            ) from None

    def _btf_log(self, data: bytes) -> str:
        """What BTF_LOAD logs of *data*, which it refuses; "" for nothing."""
        keep = Buffers()
        attr = commands.BtfLoad(
            btf=keep.add(data), btf_size=len(data), btf_log_level=1, btf_log_size=_LOG_SIZE,
            btf_log_buf=keep.room(_LOG_SIZE),
        )  # fmt: skip
        result = self.syscall.bpf(commands.BTF_LOAD.number, bytearray(attr.encode()))
        if result >= 0:
            self.close(result)
            return ""
        return keep.last().split(b"\0", 1)[0].decode("utf-8", "replace").strip()

    def create_map(self, attr: commands.MapCreate) -> int:
        """MAP_CREATE."""
        name = attr.map_name.rstrip(b"\0").decode("latin-1")
        return self.call(commands.MAP_CREATE, attr, f"map {name}")

    def update(self, fd: int, key: bytes, value: bytes, what: str, flags: int = 0) -> None:
        """MAP_UPDATE_ELEM."""
        keep = Buffers()
        attr = commands.MapElem(map_fd=fd, key=keep.add(key), value=keep.add(value), flags=flags)
        self.call(commands.MAP_UPDATE_ELEM, attr, what)

    def delete(self, fd: int, key: bytes, what: str) -> None:
        """MAP_DELETE_ELEM."""
        keep = Buffers()
        attr = commands.MapElem(map_fd=fd, key=keep.add(key))
        self.call(commands.MAP_DELETE_ELEM, attr, what)

    def freeze(self, fd: int, what: str) -> None:
        """MAP_FREEZE."""
        self.call(commands.MAP_FREEZE, commands.MapFreeze(map_fd=fd), what)

    def map_arena(self, fd: int, address: int, size: int, what: str) -> memoryview:
        """mmap(2) of an arena, which lies where it is mapped first unless it says where."""
        map_arena = getattr(self.syscall, "map_arena", None)
        if map_arena is None:
            raise NotSupported(what, "what serves bpf(2) cannot map memory")
        try:
            memory: memoryview = map_arena(fd, address, size)
        except OSError as error:
            raise CommandError("MMAP", error.errno or 0, what) from error
        return memory

    def bind_map(self, program: int, map_: int) -> bool:
        """PROG_BIND_MAP; False if it was refused, which does no harm."""
        attr = commands.ProgBindMap(prog_fd=program, map_fd=map_)
        return self._call(commands.PROG_BIND_MAP, attr)[0] >= 0

    def pin(self, fd: int, path: str) -> None:
        """OBJ_PIN."""
        keep = Buffers()
        attr = commands.ObjPin(pathname=keep.add(path.encode() + b"\0"), bpf_fd=fd)
        self.call(commands.OBJ_PIN, attr, path)

    def pinned(self, path: str) -> int | None:
        """OBJ_GET: a descriptor of what is pinned at *path*, None if nothing is."""
        keep = Buffers()
        attr = commands.ObjPin(pathname=keep.add(path.encode() + b"\0"))
        try:
            return self.call(commands.OBJ_GET, attr, path)
        except CommandError as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    def map_info(self, fd: int) -> MapInfo:
        """OBJ_GET_INFO_BY_FD of a map."""
        keep = Buffers()
        attr = commands.GetInfo(bpf_fd=fd, info_len=_INFO_SIZE, info=keep.room(_INFO_SIZE))
        self.call(commands.OBJ_GET_INFO_BY_FD, attr, "map")
        data = keep.last()
        extra = int.from_bytes(data[_INFO_EXTRA:_INFO_SIZE], "little")
        fields: tuple[int, ...] = (*_INFO.unpack_from(data), extra)
        return MapInfo(*fields)

    def program_types(self, fd: int) -> bytes:
        """The BTF that program *fd* was loaded with; empty if it has none."""
        info = self._info(fd, ProgInfo, infos.PROG_INFO_SIZE, "program")
        if not info.btf_id:
            return b""
        attr = commands.GetId(start_id=info.btf_id)
        types = self.call(commands.BTF_GET_FD_BY_ID, attr, "BTF of the program")
        try:
            size = self._info(types, BtfInfo, infos.BTF_INFO_SIZE, "BTF").btf_size
            keep = Buffers()
            known = BtfInfo(btf=keep.room(size), btf_size=size)
            self._info(types, BtfInfo, infos.BTF_INFO_SIZE, "BTF", known.encode())
            return keep.last()
        finally:
            self.close(types)

    def _info(
        self, fd: int, layout: type[_Info], size: int, what: str, asked: bytes = b""
    ) -> _Info:
        """OBJ_GET_INFO_BY_FD: what *layout* tells, asked for with *asked*."""
        keep = Buffers()
        attr = commands.GetInfo(bpf_fd=fd, info_len=size, info=keep.room(size, asked))
        self.call(commands.OBJ_GET_INFO_BY_FD, attr, what)
        return layout.decode(keep.last())

    def load_program(
        self, program: "Program", *, log_level: int = 0, explain: bool = True
    ) -> tuple[int, str]:
        """PROG_LOAD: the descriptor and the log.

        Args:
            program: what to load.
            log_level: of the log to ask for.
            explain: ask again with a log if it is refused without one.

        Raises:
            ProgramRefused: with the log.
        """
        level, size = log_level, _LOG_SIZE
        first = True
        while True:
            keep = Buffers()
            data = bytearray(program.attr(keep, level, size if level else 0).encode())
            bpf = self._logged if first else self.syscall.bpf  # the same load is logged once
            result, first = bpf(commands.PROG_LOAD.number, data), False
            log = keep.last().split(b"\0", 1)[0].decode("utf-8", "replace") if level else ""
            if result >= 0:
                return result, log
            if level == 0 and explain:
                level = 1
            elif level and result == -errno.ENOSPC and size < _LOG_LIMIT:
                size *= 8
            else:
                cause = getattr(self.syscall, "last_error", None)
                raise ProgramRefused(-result, program.name, log) from cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program as PROG_LOAD takes it."""

    name: str
    program_type: int
    insns: bytes
    license: str
    kernel_version: int = 0
    expected_attach_type: int = 0
    prog_flags: int = 0
    btf_fd: int = 0
    functions: Sequence[tuple[int, int]] = ()
    lines: Sequence[tuple[int, int, int, int]] = ()
    attach_btf_id: int = 0
    attach_fd: int = 0
    fd_array: Sequence[int] = ()

    def attr(self, keep: Buffers, log_level: int, log_size: int) -> commands.ProgLoad:
        """The argument of PROG_LOAD; the log's buffer is the last one kept."""
        functions = b"".join(struct.pack("<II", *record) for record in self.functions)
        lines = b"".join(struct.pack("<IIII", *record) for record in self.lines)
        typed = self.btf_fd != 0
        return commands.ProgLoad(
            prog_type=self.program_type,
            insn_cnt=len(self.insns) // 8,
            insns=keep.add(self.insns),
            license=keep.add(self.license.encode("latin-1") + b"\0"),
            kern_version=self.kernel_version,
            prog_flags=self.prog_flags,
            prog_name=short_name(self.name),
            expected_attach_type=self.expected_attach_type,
            prog_btf_fd=self.btf_fd,
            func_info_rec_size=8 if typed and functions else 0,
            func_info=keep.add(functions) if typed else 0,
            func_info_cnt=len(self.functions) if typed else 0,
            line_info_rec_size=16 if typed and lines else 0,
            line_info=keep.add(lines) if typed else 0,
            line_info_cnt=len(self.lines) if typed else 0,
            attach_btf_id=self.attach_btf_id,
            attach_prog_fd=self.attach_fd,
            fd_array=keep.add(struct.pack(f"<{len(self.fd_array)}i", *self.fd_array)),
            log_level=log_level,
            log_size=log_size,
            log_buf=keep.room(log_size) if log_size else 0,
        )


def short_name(name: str) -> bytes:
    """As much of *name* as the kernel keeps: 15 bytes."""
    return name.encode()[:15]
