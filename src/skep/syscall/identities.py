"""*_GET_NEXT_ID and *_GET_FD_BY_ID: walk objects by number, and get descriptors of them.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_obj_get_next_id, bpf_map_get_fd_by_id, …).
"""

from typing import Final

from skep.syscall.call import Call
from skep.syscall.objects import Kind
from skep.syscall.permissions import check_open_btf, check_walk
from skep.syscall.state import State
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import GetId
from skep.uapi.flags import MapFlag

TOKEN_FD: Final = int(MapFlag.TOKEN_FD)
INT_MAX: Final = 0x7FFF_FFFF
ACCESS: Final = int(MapFlag.RDONLY | MapFlag.WRONLY)


def _next_id(state: State, call: Call[GetId], kind: Kind) -> int:
    call.check(call.attr.start_id < INT_MAX, reasons.START_ID)
    check_walk(call)
    call.put("next_id", state.objects.next_id(call.command.name, kind, call.attr.start_id))
    return 0


def next_program(state: State, call: Call[GetId]) -> int:
    """PROG_GET_NEXT_ID: the id after start_id."""
    return _next_id(state, call, Kind.PROG)


def next_map(state: State, call: Call[GetId]) -> int:
    """MAP_GET_NEXT_ID: the id after start_id."""
    return _next_id(state, call, Kind.MAP)


def next_btf(state: State, call: Call[GetId]) -> int:
    """BTF_GET_NEXT_ID: the id after start_id."""
    _ = state.kernel_btf  # it is an object once it was asked for
    return _next_id(state, call, Kind.BTF)


def next_link(state: State, call: Call[GetId]) -> int:
    """LINK_GET_NEXT_ID: the id after start_id."""
    return _next_id(state, call, Kind.LINK)


def _open(state: State, call: Call[GetId], kind: Kind, access: int = 0) -> int:
    with state.objects.lock:
        holding = state.objects.by_id(call.command.name, kind, call.attr.start_id)
        return state.objects.open(holding, access)


def open_program(state: State, call: Call[GetId]) -> int:
    """PROG_GET_FD_BY_ID: a descriptor of the program with the id."""
    return _open(state, call, Kind.PROG)


def open_map(state: State, call: Call[GetId]) -> int:
    """MAP_GET_FD_BY_ID: a descriptor of the map with the id, read-only or write-only if asked."""
    flags = call.attr.open_flags
    call.check(not flags & ~ACCESS, reasons.OPEN_FLAGS)
    check_walk(call)
    call.check(flags != ACCESS, reasons.OPEN_FLAGS)
    return _open(state, call, Kind.MAP, flags)


def open_btf(state: State, call: Call[GetId]) -> int:
    """BTF_GET_FD_BY_ID: a descriptor of the BTF object with the id."""
    call.check(not call.attr.open_flags & ~TOKEN_FD, reasons.BTF_OPEN_FLAGS)
    check_open_btf(state, call)
    _ = state.kernel_btf  # it is an object once it was asked for
    return _open(state, call, Kind.BTF)


def open_link(state: State, call: Call[GetId]) -> int:
    """LINK_GET_FD_BY_ID: a descriptor of the link with the id."""
    return _open(state, call, Kind.LINK)
