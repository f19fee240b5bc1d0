"""Subsystem: the kernel side's door, and the only holder of state."""

import copy
import os
import threading
from collections.abc import Callable
from errno import EFAULT, EINVAL, ENOENT
from functools import cache
from typing import Final, Self

from skep.attach.places import Places
from skep.attach.sockets import Socket
from skep.base.bits import U32
from skep.base.memory import Fault, OwnMemory, UserMemory
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.engine.interface import Engine
from skep.errors import CommandError, NotSupported
from skep.runtime.world import World
from skep.syscall import iterators, maps, on_devices, perf_events, sockets
from skep.syscall.call import AttrAddress, AttrBuffer, AttrBytes, Buffer, Common, decode, read_attr
from skep.syscall.catalog import helper_codes, kfunc_codes
from skep.syscall.credentials import Credentials
from skep.syscall.fdinfo import fdinfo
from skep.syscall.files import Files
from skep.syscall.lending import Lending
from skep.syscall.log import finish, tell
from skep.syscall.log_records import records_of
from skep.syscall.log_request import LEVELS, check_logs
from skep.syscall.log_ways import (
    is_long_tracepoint,
    read_common,
    read_extended,
    read_long_tracepoint,
)
from skep.syscall.objects import Kind as ObjectKind
from skep.syscall.objects import Target
from skep.syscall.permissions import check_command
from skep.syscall.routes import HANDLERS
from skep.syscall.state import State
from skep.uapi import reasons_calls as reasons
from skep.uapi import reasons_log
from skep.uapi.commands import (
    BY_NUMBER,
    COMMAND_FLAGS_MASK,
    COMMON_ATTRS,
    LOGGED,
    RAW_TRACEPOINT_OPEN,
    USES_EXTENDED_ATTR,
)
from skep.uapi.log_messages import TLV
from skep.uapi.reason import Refusal
from skep.uapi.record import LogRecord

DEFAULT_SIZE: Final = 168
COMMON_SIZE: Final = 24  # sizeof(struct bpf_common_attr), with its padding
KNOWN_FLAGS: Final = COMMON_ATTRS | LOGGED | USES_EXTENDED_ATTR
NUMBER_MASK: Final = U32 & ~COMMAND_FLAGS_MASK
LONG_COMMAND: Final = RAW_TRACEPOINT_OPEN.number
KINDS: Final = frozenset(Kind) - {Kind.VOID}


class _Last(threading.local):
    """What became of a thread's latest command."""

    error: Exception | None = None
    cmd: int = 0  # of the error


class _Calling(threading.local):
    """Whose call a thread serves: the programs that it runs call bpf(2) in that one's name."""

    credentials: Credentials | None = None


class Subsystem:
    """One instance of the BPF subsystem: its own objects, world and engine.

    Args:
        world: clock, CPUs, tasks; the real ones by default.
        engine: compiles programs; LLVM by default. With a ``ProofEngine`` programs are judged but
            not run, and helpers that skep cannot run are judged too.
        kernel_btf: the BTF in force; the running kernel's by default, else the shipped one.
        memory: the caller's memory; this process's by default.
        credentials: who calls, and what they may do; everything by default. ``as_user`` gives the
            same subsystem to someone else.
        map_memory: bytes that all its maps together may come to hold; as many as there are if None.
    """

    log_levels: Final = LEVELS | TLV  # that the common attributes may ask for

    def __init__(
        self,
        world: World | None = None,
        engine: Engine | None = None,
        kernel_btf: Btf | None = None,
        memory: UserMemory | None = None,
        credentials: Credentials | None = None,
        map_memory: int | None = None,
    ) -> None:
        world = world or World()
        self.state = State(
            world=world,
            engine=engine or _default_engine(world),
            kernel_btf=_default_btf if kernel_btf is None else lambda: kernel_btf,
            memory=memory or OwnMemory(),
            map_memory=map_memory,
        )
        self.credentials = credentials or Credentials(uid=os.getuid(), gid=os.getgid())
        self._last, self._calling = _Last(), _Calling()
        world.door = self
        world.agenda.fields.lender = Lending(self.state)
        heap, library = world.objects.heap, self.state.engine.library
        heap.bind, heap.address_of = library.bind, library.address

    def as_user(self, credentials: Credentials) -> Self:
        """The same objects and world, as somebody else sees them."""
        view = copy.copy(self)
        view.credentials = credentials
        view._last = _Last()  # noqa: SLF001 - its own
        return view

    @property
    def files(self) -> Files:
        """Folders, symbolic links and pins, as the caller of this subsystem may change them."""
        return Files(self.state, self.credentials)

    def fdinfo(self, fd: int) -> str:
        """What Linux shows of a descriptor in ``/proc/self/fdinfo``; raises CommandError EBADF."""
        return fdinfo(self.state, fd)

    @property
    def places(self) -> Places:
        """What programs can be attached to: cgroups, devices, the network namespace."""
        return self.state.places

    def open_cgroup(self, path: str = "/") -> int:
        """A descriptor of the cgroup at *path*, which is made if it is not there."""
        return self._open(ObjectKind.CGROUP, self.places.cgroup(path))

    def open_netns(self) -> int:
        """A descriptor of the network namespace."""
        return self._open(ObjectKind.NETNS, self.places.netns)

    def setsockopt(self, socket: Socket, level: int, option: int, value: int) -> int:
        """Set an option of *socket* that is about programs; 0 or ``-errno``, as ``bpf``."""
        return self._done(lambda: sockets.set_option(self.state, socket, level, option, value))

    def set_xdp(self, index: int, fd: int, flags: int = 0, expected_fd: int = -1) -> int:
        """Attach program *fd* to device *index* as netlink does, -1 detaches; 0 or ``-errno``."""
        return self._done(lambda: on_devices.set_xdp(self.state, index, fd, flags, expected_fd))

    def _done(self, work: Callable[[], int | None]) -> int:
        self._last.error = None
        try:
            return work() or 0
        except Refusal as refusal:
            self._last.error = refusal
            return -refusal.errno

    def _open(self, kind: ObjectKind, target: Target) -> int:
        with self.state.objects.lock:
            return self.state.objects.install(kind, target)

    @property
    def last_error(self) -> Exception | None:
        """The refusal of the calling thread's latest command, None after success."""
        return self._last.error

    @property
    def last_records(self) -> tuple[LogRecord, ...]:
        """Why the calling thread's latest command was refused, as fields; () after success."""
        error = self._last.error
        return () if error is None else records_of(_name(self._last.cmd), error)

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
            cmd: ``enum bpf_cmd``, and flags.
            attr: ``union bpf_attr`` in wire layout: a writable buffer, or an address.
            size: bytes of it; the buffer's by default.
            common: the common attributes of 7.2, a buffer or an address; read only if *cmd* has
                ``COMMON_ATTRS`` or ``LOGGED``, and no flag that nobody knows.
            common_size: bytes of them; the buffer's by default.
        """
        where = self._where(attr, size, DEFAULT_SIZE)
        place = None
        if cmd & COMMAND_FLAGS_MASK:
            place = self._where(0 if common is None else common, common_size, COMMON_SIZE)
        outer, self._calling.credentials = self._calling.credentials, self.credentials
        try:
            answer, error = self._answer(cmd, where, self.state.memory, place)
        finally:
            self._calling.credentials = outer
        self.note(cmd, error)
        return answer

    def note(self, cmd: int, error: Exception | None) -> None:
        """Let it be known what became of the calling thread's latest command."""
        self._last.error = error
        if error is not None:
            self._last.cmd = cmd

    def bpf_from_program(self, cmd: int, address: int, size: int) -> int:
        """Serve a program, in the name of whoever runs it.

        Its memory is this process's, and ``last_error`` stays the caller's.
        """
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
            return self._serve_flagged(cmd, where, memory, place), None
        except CommandError as error:
            return -error.errno, error
        except Fault as fault:
            return -EFAULT, Refusal("BPF", reasons.NOT_READABLE, str(fault))

    def _where(self, attr: Buffer | int, size: int | None, default: int) -> AttrBytes:
        if size is not None:
            size &= U32  # an unsigned int
        if isinstance(attr, int):
            return AttrAddress(self.state.memory, attr, default if size is None else size)
        return AttrBuffer(attr, size)

    def _serve_flagged(
        self, cmd: int, where: AttrBytes, memory: UserMemory, place: AttrBytes
    ) -> int:
        """Serve a command with flags; the common attributes, if it has them, lie at *place*."""
        number, flags, name = cmd & NUMBER_MASK, cmd & COMMAND_FLAGS_MASK, _name(cmd)
        if flags & ~KNOWN_FLAGS:
            return self._serve(cmd & U32, where, memory)
        if flags == USES_EXTENDED_ATTR:
            inner, common = read_extended(where, name)
            return self._serve_logged(number, inner, memory, common)
        read_attr(where, name)  # Linux looks at the attr first
        common = read_common(place, name)
        if flags & USES_EXTENDED_ATTR:
            raise Refusal(name, reasons_log.TWO_WAYS)
        return self._serve_logged(number, where, memory, common)

    def _serve_logged(
        self, number: int, where: AttrBytes, memory: UserMemory, common: Common
    ) -> int:
        """Serve a call with a log beside its attr, which gets to know why it fails."""
        try:
            result = self._serve(number, where, memory, common)
        except (CommandError, Fault, NotSupported, MemoryError) as error:
            tell(_name(number), memory, common, error)
            raise
        finish(_name(number), memory, common)
        return result

    def _serve(
        self, cmd: int, where: AttrBytes, memory: UserMemory, common: Common | None = None
    ) -> int:
        command = BY_NUMBER.get(cmd)
        if cmd & COMMAND_FLAGS_MASK or command is None:
            read_attr(where, "BPF")
            raise Refusal("BPF", reasons.UNKNOWN_COMMAND, f"there is no command {cmd}")
        if cmd == LONG_COMMAND and common is None and is_long_tracepoint(where):
            return self._serve_long(where, memory)
        call = decode(command, where, memory, common)
        call.credentials = self._calling.credentials or self.credentials
        check_command(call)
        if common is not None:
            check_logs(call, common)
        try:
            return HANDLERS[cmd](self.state, call)
        except Refusal as refusal:  # of a layer below, perhaps, which does not know the attr
            call.place(refusal)
            raise
        except (Fault, NotSupported, MemoryError) as error:
            raise call.explained(error) from error

    def _serve_long(self, where: AttrBytes, memory: UserMemory) -> int:
        """Serve RAW_TRACEPOINT_OPEN with the long attr at *where*."""
        short, common = read_long_tracepoint(where)
        return self._serve_logged(LONG_COMMAND, short, memory, common)

    def perf_event_open(self, type: int, config: int) -> int:  # noqa: A002
        """A descriptor of a perf event, see ``skep.attach.perf_events``; or ``-errno``."""
        return self._done(lambda: perf_events.open_event(self.state, type, config))

    def read(self, fd: int, size: int) -> bytes:
        """Read from an open iterator, see ``skep.attach.iterators``; raises CommandError."""
        self._last.error = None
        try:
            return iterators.read(self.state, fd, size)
        except Refusal as refusal:
            self._last.error = refusal
            raise

    def ioctl(self, fd: int, request: int, argument: int = 0) -> int:
        """PERF_EVENT_IOC_SET_BPF, _ENABLE or _DISABLE on a perf event: 0 or ``-errno``."""
        return self._done(lambda: perf_events.control(self.state, fd, request, argument))

    def map_arena(self, fd: int, address: int, size: int) -> memoryview:
        """The memory of an arena, as mmap(2) of its descriptor gives it; *address* 0: any.

        Raises:
            CommandError: *fd* names no map.
            OSError: EINVAL, it is no arena, or one of another place or size.
        """
        return maps.map_arena(self.state, fd, address, size)

    def close(self, fd: int) -> None:
        """Close a descriptor; raises CommandError EBADF if it is not open."""
        self.state.objects.close(fd)


def _name(cmd: int) -> str:
    command = BY_NUMBER.get(cmd & NUMBER_MASK)
    return command.name if command is not None else "BPF"


@cache
def _default_btf() -> Btf | None:
    from skep.btf.kernel import kernel_btf

    return kernel_btf()


def _default_engine(world: World) -> Engine:
    from skep.engine.llvm.engine import LlvmEngine

    objects = world.objects.address, world.objects.size
    helpers, kfuncs = tuple(helper_codes(world)), tuple(kfunc_codes(world))
    return LlvmEngine(helpers, kfuncs=kfuncs, objects=objects, metered=bool(world.limits))
