"""OBJ_PIN and OBJ_GET: names for objects, in a tree of this subsystem's own.

Every path may be used; folders need not be made. The last part of a path has no dot, as in the
kernel's bpffs. ``unpin`` and ``pinned`` stand for unlink(2) and readdir(3).

Source: Linux 6.18 kernel/bpf/inode.c, kernel/bpf/syscall.c (bpf_obj_pin, bpf_obj_get).
"""

import posixpath
from collections.abc import Iterator
from errno import EEXIST, EINVAL, ENAMETOOLONG, ENOENT, EPERM
from typing import Final

from skep.errors import CommandError, NotSupported
from skep.syscall.call import MAX_STRING, Call
from skep.syscall.objects import Kind
from skep.syscall.state import State
from skep.uapi.commands import ObjPin
from skep.uapi.flags import MapFlag

ACCESS: Final = int(MapFlag.RDONLY | MapFlag.WRONLY)
PATH_FD: Final = int(MapFlag.PATH_FD)
PINNABLE: Final = frozenset({Kind.MAP, Kind.PROG, Kind.LINK})


def _path(call: Call[ObjPin]) -> str:
    attr = call.attr
    relative = attr.file_flags & PATH_FD
    call.require(relative or not attr.path_fd, EINVAL, "without PATH_FD", "path_fd")
    raw = call.string(attr.pathname)
    call.require(len(raw) < MAX_STRING, ENAMETOOLONG, "longer than a path", "pathname")
    call.require(raw, ENOENT, "is empty", "pathname")
    text = raw.decode("utf-8", "surrogateescape")
    if not text.startswith("/"):
        if relative:
            raise NotSupported("pinning relative to path_fd", "pins are in a tree of their own")
        text = f"/{text}"
    return posixpath.normpath(text)


def pin(state: State, call: Call[ObjPin]) -> int:
    """OBJ_PIN: name the object; it lives until ``unpin``."""
    attr = call.attr
    call.require(not attr.file_flags & ~PATH_FD, EINVAL, "only PATH_FD", "file_flags")
    relative = attr.file_flags & PATH_FD
    call.require(relative or not attr.path_fd, EINVAL, "without PATH_FD", "path_fd")
    with state.objects.lock:
        holding = state.objects.get(call.command.name, attr.bpf_fd)
        call.require(holding.kind in PINNABLE, EINVAL, "cannot be pinned", "bpf_fd")
        path = _path(call)
        call.require(path not in state.objects.pins, EEXIST, f"{path} exists", "pathname")
        call.require("." not in posixpath.basename(path), EPERM, "has a dot", "pathname")
        state.objects.pins[path] = state.objects.take(holding)
    return 0


def get(state: State, call: Call[ObjPin]) -> int:
    """OBJ_GET: a descriptor of the object with the name."""
    attr = call.attr
    flags = attr.file_flags & ~PATH_FD
    call.require(not flags & ~ACCESS and flags != ACCESS, EINVAL, "not known", "file_flags")
    call.require(not attr.bpf_fd, EINVAL, "must be 0", "bpf_fd")
    path = _path(call)
    with state.objects.lock:
        holding = state.objects.pins.get(path)
        if holding is None:
            raise call.refuse(ENOENT, f"nothing is pinned at {path}", "pathname")
        call.require(not flags or holding.kind is Kind.MAP, EINVAL, "only for maps", "file_flags")
        return state.objects.open(holding, flags)


def unpin(state: State, path: str) -> None:
    """Take the name away; ENOENT if there is none."""
    with state.objects.lock:
        holding = state.objects.pins.pop(posixpath.normpath(path), None)
    if holding is None:
        raise CommandError("UNPIN", ENOENT, f"nothing is pinned at {path}")
    state.objects.drop(holding)


def pinned(state: State) -> Iterator[tuple[str, Kind, int]]:
    """Path, kind and id of everything that is pinned, in order of paths."""
    with state.objects.lock:
        found = [(path, held.kind, held.id) for path, held in state.objects.pins.items()]
    yield from sorted(found)
