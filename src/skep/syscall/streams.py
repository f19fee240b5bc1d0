"""PROG_STREAM_READ_BY_FD: what a program printed, for whoever holds a descriptor of it.

Source: Linux 6.18 kernel/bpf/stream.c, kernel/bpf/syscall.c (prog_stream_read).
"""

from skep.syscall.call import Call
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind
from skep.syscall.state import State
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import StreamRead


def read_stream(state: State, call: Call[StreamRead]) -> int:
    """PROG_STREAM_READ_BY_FD: as much of a program's stream as there is, and room for."""
    attr = call.attr
    with state.objects.using(call.command.name, attr.prog_fd, Kind.PROG, "prog_fd") as holding:
        program = holding.target
        assert isinstance(program, LoadedProgram)
        stream = program.streams.get(attr.stream_id)
        if stream is None:
            raise call.refusal(reasons.STREAM_ID)
        return stream.read(attr.stream_buf_len, lambda data: call.write("stream_buf", data))
