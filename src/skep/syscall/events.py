"""Commands about events, links and delegation that a user-space world does not have (yet).

They check what Linux checks first (descriptors, flags, ids), so that a wrong call is told what is
wrong with it, and then refuse by name.

Source: Linux 6.18 kernel/bpf/syscall.c, kernel/bpf/stream.c, kernel/bpf/token.c.
"""

from errno import EINVAL, ENOENT

from skep.errors import NotSupported
from skep.syscall.call import Call
from skep.syscall.objects import Kind
from skep.syscall.state import State
from skep.uapi.commands import (
    AssocStructOps,
    StreamRead,
    TokenCreate,
)
from skep.uapi.flags import StreamId


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
