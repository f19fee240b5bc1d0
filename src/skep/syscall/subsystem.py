"""Subsystem: the kernel side's door, and the only holder of state."""

import copy
import os
import threading
from errno import EFAULT, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP
from functools import cache
from typing import Final, Self

from skep.base.bits import U32
from skep.base.memory import Fault, OwnMemory, UserMemory
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.engine.interface import Engine
from skep.errors import CommandError, NotSupported
from skep.runtime.world import World
from skep.syscall import perf_events
from skep.syscall.call import (
    AttrAddress,
    AttrBuffer,
    AttrBytes,
    Buffer,
    Common,
    decode,
    read_attr,
)
from skep.syscall.catalog import helper_codes
from skep.syscall.credentials import Credentials
from skep.syscall.fdinfo import fdinfo
from skep.syscall.files import Files
from skep.syscall.log import check_logs, tell
from skep.syscall.permissions import check_command
from skep.syscall.routes import HANDLERS
from skep.syscall.state import State
from skep.uapi.commands import BY_NUMBER, COMMAND_FLAGS_MASK, COMMON_ATTRS

DEFAULT_SIZE: Final = 168
COMMON_SIZE: Final = 24  # sizeof(struct bpf_common_attr), with its padding
KINDS: Final = frozenset(Kind) - {Kind.VOID}


class _Last(threading.local):
    """What became of a thread's latest command."""

    error: Exception | None = None


class Subsystem:
    """One instance of the BPF subsystem: its own objects, world and engine.

    Args:
        world: clock, CPUs, tasks; the real ones by default.
        engine: compiles programs; LLVM by default. With a ``ProofEngine`` programs are judged but
            not run, and helpers and map types that skep cannot run are judged too.
        kernel_btf: the BTF in force; the running kernel's by default, else the shipped one.
        memory: the caller's memory; this process's by default.
        credentials: who calls, and what they may do; everything by default. ``as_user`` gives the
            same subsystem to someone else.
    """

    def __init__(
        self,
        world: World | None = None,
        engine: Engine | None = None,
        kernel_btf: Btf | None = None,
        memory: UserMemory | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        world = world or World()
        self.state = State(
            world=world,
            engine=engine or _default_engine(world),
            kernel_btf=_default_btf if kernel_btf is None else lambda: kernel_btf,
            memory=memory or OwnMemory(),
        )
        self.credentials = credentials or Credentials(uid=os.getuid(), gid=os.getgid())
        self._last = _Last()
        world.door = self

    def as_user(self, credentials: Credentials) -> Self:
        """The same objects and world, as somebody else sees them."""
        view = copy.copy(self)
        view.credentials, view._last = credentials, _Last()
        return view

    @property
    def files(self) -> Files:
        """Folders, symbolic links and pins, as the caller of this subsystem may change them."""
        return Files(self.state, self.credentials)

    def fdinfo(self, fd: int) -> str:
        """What Linux shows of a descriptor in ``/proc/self/fdinfo``; raises CommandError EBADF."""
        return fdinfo(self.state, fd)

    @property
    def last_error(self) -> Exception | None:
        """The refusal of the calling thread's latest command, None after success."""
        return self._last.error

    def bpf(
        self,
        cmd: int,
        attr: Buffer | int,
        size: int | None = None,
        common: Buffer | int | None = None,
        common_size: int | None = None,
    ) -> int:
        """Serve one call; returns the result, or ``-errno``.

        Args:
            cmd: ``enum bpf_cmd``.
            attr: ``union bpf_attr`` in wire layout: a writable buffer, or an address.
            size: bytes of it; the buffer's by default.
            common: the common attributes of 7.2, a buffer or an address; read only if *cmd* has
                ``COMMON_ATTRS``, and no flag that nobody knows.
            common_size: bytes of them; the buffer's by default.
        """
        place = None
        if cmd & COMMAND_FLAGS_MASK == COMMON_ATTRS:
            place = self._where(0 if common is None else common, common_size, COMMON_SIZE)
        where = self._where(attr, size, DEFAULT_SIZE)
        answer, self._last.error = self._answer(cmd, where, self.state.memory, place)
        return answer

    def bpf_from_program(self, cmd: int, address: int, size: int) -> int:
        """Serve a program: its memory is this process's, and ``last_error`` stays the caller's."""
        memory = OwnMemory()
        return self._answer(cmd, AttrAddress(memory, address, size), memory)[0]

    @property
    def kernel_types(self) -> Btf | None:
        """The BTF in force, or None."""
        return self.state.kernel_btf

    def find_kernel_type(self, name: str, kind: int) -> int:
        """Id of the type called *name* in the BTF in force, or -errno."""
        btf = self.state.kernel_btf
        if btf is None:
            return -EINVAL
        return (btf.by_name(name, Kind(kind)) if kind in KINDS else None) or -ENOENT

    def _answer(
        self, cmd: int, where: AttrBytes, memory: UserMemory, place: AttrBytes | None = None
    ) -> tuple[int, Exception | None]:
        try:
            if place is None:
                return self._serve(cmd, where, memory), None
            return self._serve_with_common(cmd & ~COMMON_ATTRS, where, memory, place), None
        except CommandError as error:
            return -error.errno, error
        except Fault as fault:
            return -EFAULT, fault
        except NotSupported as error:
            return -EOPNOTSUPP, error
        except MemoryError as error:
            return -ENOMEM, error

    def _where(self, attr: Buffer | int, size: int | None, default: int) -> AttrBytes:
        if size is not None:
            size &= U32  # an unsigned int
        if isinstance(attr, int):
            return AttrAddress(self.state.memory, attr, default if size is None else size)
        return AttrBuffer(attr, size)

    def _serve_with_common(
        self, cmd: int, where: AttrBytes, memory: UserMemory, place: AttrBytes
    ) -> int:
        """Serve a call whose common attributes lie at *place*; they get to know why it fails."""
        command = BY_NUMBER.get(cmd)
        name = command.name if command is not None else "BPF"
        read_attr(where, name)  # Linux looks at the attr first
        common = Common(place, name)
        try:
            return self._serve(cmd, where, memory, common)
        except (CommandError, Fault, NotSupported) as error:
            tell(name, memory, common, error)
            raise

    def _serve(
        self, cmd: int, where: AttrBytes, memory: UserMemory, common: Common | None = None
    ) -> int:
        command = BY_NUMBER.get(cmd)
        if cmd & COMMAND_FLAGS_MASK or command is None:
            read_attr(where, "BPF")
            raise CommandError("BPF", EINVAL, f"there is no command {cmd}")
        handler = HANDLERS.get(cmd)
        if handler is None:
            raise NotSupported(f"command {command.name}")
        call = decode(command, where, memory, common)
        call.credentials = self.credentials
        check_command(call)
        check_logs(call)
        return handler(self.state, call)

    def perf_event_open(self, type: int, config: int) -> int:  # noqa: A002
        """A descriptor of a perf event, see ``skep.attach.perf_events``; raises CommandError."""
        return perf_events.open_event(self.state, type, config)

    def ioctl(self, fd: int, request: int, argument: int = 0) -> int:
        """PERF_EVENT_IOC_SET_BPF, _ENABLE or _DISABLE on a perf event; raises CommandError."""
        return perf_events.control(self.state, fd, request, argument)

    def close(self, fd: int) -> None:
        """Close a descriptor; raises CommandError EBADF if it is not open."""
        self.state.objects.close(fd)


@cache
def _default_btf() -> Btf | None:
    from skep.btf.kernel import kernel_btf

    return kernel_btf()


def _default_engine(world: World) -> Engine:
    from skep.engine.llvm.engine import LlvmEngine

    objects = world.objects.address, world.objects.size
    return LlvmEngine(tuple(helper_codes(world)), objects=objects)
