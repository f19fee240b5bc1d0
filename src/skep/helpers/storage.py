"""Helpers on storage that hangs on sockets and cgroups; and on tasks, inodes, which no run has.

The socket and the cgroup of a test run are made for it, so what programs store with them lives as
long as the run: in ``Invocation.storage``. A value that is deleted stays readable until then.

Source: Linux net/core/bpf_sk_storage.c, kernel/bpf/bpf_local_storage.c, bpf_task_storage.c,
cgroup.c (bpf_get_local_storage).
"""

import ctypes
import errno
from typing import Final

from skep.base.native import load64
from skep.errors import NotSupported
from skep.helpers.binding import Binding
from skep.helpers.output import invocation_of
from skep.maps.interface import VALUE_SIZE
from skep.maps.value import copy_value
from skep.runtime.block import Invocation
from skep.runtime.world import World

_CREATE: Final = 1
_ALIGNED: Final = 8
_SOCKET: Final = 0
_CGROUP: Final = 1


def _make(invocation: Invocation, this: int, owner: int) -> int:
    """Address of new storage, zeroed."""
    buffer = ctypes.create_string_buffer(load64(this + VALUE_SIZE) + _ALIGNED)
    invocation.storage[this, owner] = buffer
    return _address(buffer)


def _address(buffer: "ctypes.Array[ctypes.c_char]") -> int:
    return ctypes.addressof(buffer) + _ALIGNED - 1 & ~(_ALIGNED - 1)


def sk_storage_get(
    world: World, run: int, this: int, sock: int, value: int, flags: int, _r5: int
) -> int:
    """Address of the socket's value in the map, made from *value* on demand; 0 if there is none."""
    if not sock or flags & ~_CREATE:
        return 0
    invocation = invocation_of(world, run)
    found = invocation.storage.get((this, _SOCKET))
    if found is not None:
        return _address(found)
    if not flags:
        return 0
    place = _make(invocation, this, _SOCKET)
    if value:
        copy_value(this, place, value)
    return place


def sk_storage_delete(
    world: World, run: int, this: int, sock: int, _r3: int, _r4: int, _r5: int
) -> int:
    """Remove the socket's value in the map."""
    if not sock:
        return -errno.EINVAL
    invocation = invocation_of(world, run)
    found = invocation.storage.pop((this, _SOCKET), None)
    if found is None:
        return -errno.ENOENT
    invocation.discarded.append(found)
    return 0


def get_local_storage(
    world: World, run: int, this: int, _flags: int, _r3: int, _r4: int, _r5: int
) -> int:
    """Address of the value that the map keeps for the program's cgroup."""
    invocation = invocation_of(world, run)
    found = invocation.storage.get((this, _CGROUP))
    return _address(found) if found is not None else _make(invocation, this, _CGROUP)


def owned_storage_get(
    _world: World, _run: int, _this: int, owner: int, _value: int, _flags: int, _r5: int
) -> int:
    """The value of a task, inode or cgroup: of NULL, none."""
    if owner:
        raise NotSupported("storage of kernel objects", "a world has none")
    return 0


def owned_storage_delete(
    _world: World, _run: int, _this: int, owner: int, _r3: int, _r4: int, _r5: int
) -> int:
    """Remove the value of a task, inode or cgroup."""
    if owner:
        raise NotSupported("storage of kernel objects", "a world has none")
    return -errno.EINVAL


BINDINGS: Final = (
    Binding("sk_storage_get", upcall=sk_storage_get),
    Binding("sk_storage_delete", upcall=sk_storage_delete),
    Binding("get_local_storage", upcall=get_local_storage),
    Binding("task_storage_get", upcall=owned_storage_get),
    Binding("task_storage_delete", upcall=owned_storage_delete),
    Binding("inode_storage_get", upcall=owned_storage_get),
    Binding("inode_storage_delete", upcall=owned_storage_delete),
    Binding("cgrp_storage_get", upcall=owned_storage_get),
    Binding("cgrp_storage_delete", upcall=owned_storage_delete),
)
