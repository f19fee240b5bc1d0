"""OBJ_PIN and OBJ_GET: names for objects, in the mounts of bpffs that a subsystem has.

Source: Linux 6.18 kernel/bpf/inode.c, kernel/bpf/syscall.c (bpf_obj_pin, bpf_obj_get).
"""

from typing import Final

from skep.syscall.call import MAX_STRING, Call
from skep.syscall.objects import Kind
from skep.syscall.state import State
from skep.syscall.tree import READ, WRITE, Folder, OpenFolder, PathRefused, Pin, permits
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import ObjPin
from skep.uapi.flags import MapFlag

ACCESS: Final = int(MapFlag.RDONLY | MapFlag.WRONLY)
WANTED: Final = {0: READ | WRITE, int(MapFlag.RDONLY): READ, int(MapFlag.WRONLY): WRITE}
PATH_FD: Final = int(MapFlag.PATH_FD)
CURRENT: Final = -100  # AT_FDCWD
PINNABLE: Final = frozenset({Kind.MAP, Kind.PROG, Kind.LINK})


def pin(state: State, call: Call[ObjPin]) -> int:
    """OBJ_PIN: name the object; it lives as long as the name does."""
    attr = call.attr
    call.check(not attr.file_flags & ~PATH_FD, reasons.PIN_FLAGS)
    call.check(attr.file_flags & PATH_FD or not attr.path_fd, reasons.PATH_FD)
    with state.objects.lock:
        holding = state.objects.find(attr.bpf_fd)
        if holding is None or holding.kind not in PINNABLE:  # Linux tells no EBADF here
            raise call.refusal(reasons.PIN_OBJECT)
        path = _path(call)
        try:
            state.tree.pin(path, call.credentials, holding, _start(state, call, path))
        except PathRefused as refused:
            raise call.refusal(refused.reason, str(refused)) from None
        state.objects.use(holding)
    return 0


def get(state: State, call: Call[ObjPin]) -> int:
    """OBJ_GET: a descriptor of the object with the name."""
    attr = call.attr
    call.check(not attr.bpf_fd, reasons.GET_FD)
    flags = attr.file_flags & ~PATH_FD
    call.check(not flags & ~ACCESS, reasons.GET_FLAGS)
    call.check(attr.file_flags & PATH_FD or not attr.path_fd, reasons.PATH_FD)
    call.check(flags != ACCESS, reasons.GET_FLAGS)
    with state.objects.lock:
        path = _path(call)
        try:
            node = state.tree.find(path, call.credentials, _start(state, call, path))
        except PathRefused as refused:
            raise call.refusal(refused.reason, str(refused)) from None
        call.check(permits(call.credentials, node, WANTED[flags]), reasons.PATH_OPEN)
        if not isinstance(node, Pin):
            raise call.refusal(reasons.PATH_NO_OBJECT)
        holding = node.holding
        call.check(not flags or holding.kind is not Kind.LINK, reasons.GET_LINK_FLAGS)
        return state.objects.open(holding, flags if holding.kind is Kind.MAP else 0)


def _path(call: Call[ObjPin]) -> str:
    raw = call.text("pathname")
    call.check(len(raw) < MAX_STRING, reasons.PATH_LONG)
    call.check(raw, reasons.PATH_EMPTY)
    return raw.decode("utf-8", "surrogateescape")


def _start(state: State, call: Call[ObjPin], path: str) -> Folder | None:
    """The folder that a relative path begins at; None for the root."""
    fd = call.attr.path_fd
    if path.startswith("/") or not call.attr.file_flags & PATH_FD or fd == CURRENT:
        return None
    holding = state.objects.find(fd)
    if holding is None:
        known = state.objects.is_file(fd)
        raise call.refusal(reasons.PATH_FD_FILE if known else reasons.PATH_FD_CLOSED)
    opened = holding.target
    if not isinstance(opened, OpenFolder):
        raise call.refusal(reasons.PATH_FD_FILE)
    return opened.folder
