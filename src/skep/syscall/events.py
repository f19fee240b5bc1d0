"""Commands about events, links and delegation that a user-space world does not have (yet).

They check what Linux checks first (descriptors, flags, ids), so that a wrong call is told what is
wrong with it, and then refuse by name.

Source: Linux 6.18 kernel/bpf/syscall.c, kernel/bpf/stream.c, kernel/bpf/token.c.
"""

from errno import EBADF, EINVAL, ENOENT
from pathlib import Path

from skep.errors import NotSupported
from skep.syscall.call import Call
from skep.syscall.objects import Kind
from skep.syscall.state import State
from skep.uapi.commands import (
    AssocStructOps,
    IterCreate,
    ProgAttach,
    ProgQuery,
    RawTracepointOpen,
    StreamRead,
    TaskFdQuery,
    TokenCreate,
)
from skep.uapi.flags import AttachType, StreamId


def _known_attach_type(call: Call[ProgAttach] | Call[ProgQuery]) -> None:
    known = any(call.attr.attach_type == row for row in AttachType)
    call.require(known, EINVAL, "not known", "attach_type")


def attach(state: State, call: Call[ProgAttach]) -> int:
    """PROG_ATTACH."""
    _known_attach_type(call)
    state.objects.get(call.command.name, call.attr.attach_bpf_fd, Kind.PROG)
    raise NotSupported("PROG_ATTACH", "there are no cgroups, sockets or devices to attach to")


def detach(state: State, call: Call[ProgAttach]) -> int:
    """PROG_DETACH."""
    del state
    _known_attach_type(call)
    raise NotSupported("PROG_DETACH", "nothing is attached")


def query(state: State, call: Call[ProgQuery]) -> int:
    """PROG_QUERY."""
    del state
    _known_attach_type(call)
    raise NotSupported("PROG_QUERY", "there are no cgroups, sockets or devices to ask")


def open_raw_tracepoint(state: State, call: Call[RawTracepointOpen]) -> int:
    """RAW_TRACEPOINT_OPEN."""
    state.objects.get(call.command.name, call.attr.prog_fd, Kind.PROG)
    name = call.string(call.attr.name, 128).decode("latin-1") if call.attr.name else ""
    raise NotSupported(f"raw tracepoint {name!r}", "no event source has it")


def create_iterator(state: State, call: Call[IterCreate]) -> int:
    """ITER_CREATE."""
    call.require(not call.attr.flags, EINVAL, "must be 0", "flags")
    state.objects.get(call.command.name, call.attr.link_fd, Kind.LINK)
    raise NotSupported("ITER_CREATE")


def query_task(state: State, call: Call[TaskFdQuery]) -> int:
    """TASK_FD_QUERY."""
    del state
    call.require(not call.attr.flags, EINVAL, "must be 0", "flags")
    pid, fd = call.attr.pid, call.attr.fd
    call.require(Path(f"/proc/{pid}").exists(), ENOENT, "no such task", "pid")
    call.require(Path(f"/proc/{pid}/fd/{fd}").is_symlink(), EBADF, "not open", "fd")
    raise NotSupported("TASK_FD_QUERY", "no descriptor of a task is one of skep's events")


def create_token(state: State, call: Call[TokenCreate]) -> int:
    """TOKEN_CREATE."""
    del state
    call.require(not call.attr.flags, EINVAL, "must be 0", "flags")
    raise NotSupported("TOKEN_CREATE", "nothing is delegated")


def read_stream(state: State, call: Call[StreamRead]) -> int:
    """PROG_STREAM_READ_BY_FD: what the program printed; nothing, since no kfunc prints yet."""
    state.objects.get(call.command.name, call.attr.prog_fd, Kind.PROG)
    known = any(call.attr.stream_id == row for row in StreamId)
    call.require(known, ENOENT, "1 (stdout) or 2 (stderr)", "stream_id")
    return 0


def associate(state: State, call: Call[AssocStructOps]) -> int:
    """PROG_ASSOC_STRUCT_OPS."""
    call.require(not call.attr.flags, EINVAL, "must be 0", "flags")
    state.objects.get(call.command.name, call.attr.prog_fd, Kind.PROG)
    state.objects.get(call.command.name, call.attr.map_fd, Kind.MAP)
    raise NotSupported("PROG_ASSOC_STRUCT_OPS", "there are no struct_ops maps")
