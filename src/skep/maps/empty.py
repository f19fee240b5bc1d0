"""Maps that stay empty: their values would be sockets, cgroups or stack traces.

A world has no other sockets, no kernel stacks, and opens no cgroups: such maps can be made and
looked at, and answer updates as Linux does for file descriptors that name nothing of the kind.

Source: Linux 6.18 net/core/sock_map.c, kernel/bpf/reuseport_array.c, stackmap.c, arraymap.c.
"""

import errno
from pathlib import Path
from typing import Final

from skep.maps.answer import ENOTSUPP, refuse
from skep.maps.array import IndexedMap, check_array
from skep.maps.creation import (
    ACCESS_FLAGS,
    NUMA_NODE,
    RDONLY,
    RDONLY_PROG,
    WRONLY,
    WRONLY_PROG,
    Creation,
    check_flags,
    power_above,
    require,
)
from skep.maps.stored import StoredMap
from skep.maps.value import EXIST

STACK_BUILD_ID: Final = 1 << 5
_BUILD_ID_SIZE: Final = 32
_MOST_KEY: Final = 512  # MAX_BPF_STACK
_S32_MAX: Final = 0x7FFF_FFFF
_MOST_BUCKETS: Final = 1 << 31
_BUCKET: Final = 16  # sizeof(struct bpf_shtab_bucket)
_POINTER: Final = 8


def _check_socket_map(creation: Creation) -> None:
    require(creation.max_entries != 0, errno.EINVAL, "max_entries is 0")
    require(creation.value_size in {4, 8}, errno.EINVAL, "value_size is neither 4 nor 8")
    unknown = creation.map_flags & ~(NUMA_NODE | RDONLY | WRONLY)
    require(not unknown, errno.EINVAL, f"map_flags {unknown:#x} are not for this map type")


def _refuse_socket(number: int) -> None:
    """Refuse to store a socket: the descriptor names none."""
    if number > _S32_MAX:
        raise refuse("MAP_UPDATE_ELEM", errno.EINVAL, "that is no file descriptor")
    raise refuse("MAP_UPDATE_ELEM", errno.EBADF, "the fd names no socket of this world")


class _Sockets(StoredMap):
    """What maps of sockets share: values that the host may read only if they have 8 bytes."""

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: there is no socket."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        if self.value_size != 8:
            raise refuse("MAP_LOOKUP_ELEM", errno.ENOSPC, "cookies of sockets have 8 bytes")
        raise refuse("MAP_LOOKUP_ELEM", errno.ENOENT)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: the fd in *value* names no socket."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        _refuse_socket(int.from_bytes(value, "little"))


class SocketMap(_Sockets, IndexedMap):
    """SOCKMAP: sockets by index."""

    def __init__(self, creation: Creation) -> None:
        require(creation.max_entries <= _S32_MAX, errno.EINVAL, "max_entries is past 2^31 - 1")
        require(creation.key_size == 4, errno.EINVAL, f"key_size is {creation.key_size}, not 4")
        _check_socket_map(creation)
        super().__init__(creation, _POINTER, 0, _POINTER * creation.max_entries)

    def delete(self, key: bytes) -> None:
        """Refuse: the place is empty, or past the end."""
        self.index_of("MAP_DELETE_ELEM", key)
        raise refuse("MAP_DELETE_ELEM", errno.EINVAL, "no socket stands there")


class SocketHash(_Sockets):
    """SOCKHASH: sockets by any key."""

    def __init__(self, creation: Creation) -> None:
        require(creation.key_size != 0, errno.EINVAL, "key_size is 0")
        _check_socket_map(creation)
        require(creation.key_size <= _MOST_KEY, errno.E2BIG, "key_size is past 512")
        buckets = power_above(creation.max_entries)
        fits = buckets <= 0xFFFF_FFFF // _BUCKET
        require(fits, errno.EINVAL, "too many entries")
        super().__init__(creation, 0, 0, _BUCKET * buckets)

    def delete(self, key: bytes) -> None:
        """Refuse: there is nothing to remove."""
        self.check_key("MAP_DELETE_ELEM", key)
        raise refuse("MAP_DELETE_ELEM", errno.ENOENT)

    def next_key(self, key: bytes | None) -> bytes:  # noqa: ARG002
        """Refuse: there are no keys."""
        raise refuse("MAP_GET_NEXT_KEY", errno.ENOENT)


class ReuseportArray(_Sockets, IndexedMap):
    """REUSEPORT_SOCKARRAY: the sockets of one port, by index."""

    def __init__(self, creation: Creation) -> None:
        require(creation.value_size in {4, 8}, errno.EINVAL, "value_size is neither 4 nor 8")
        check_array(creation, NUMA_NODE | ACCESS_FLAGS)
        super().__init__(creation, _POINTER, 0, _POINTER * creation.max_entries)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: the fd in *value* names no socket."""
        command = "MAP_UPDATE_ELEM"
        index = self.index_of(command, key)
        self.check_value(command, value)
        self.check_lock_flag(command, flags)
        if flags > EXIST:
            raise refuse(command, errno.EINVAL)
        if index >= self.max_entries:
            raise refuse(command, errno.E2BIG, f"index {index} is past the end")
        number = int.from_bytes(value, "little")
        _refuse_socket(number if len(value) == 8 else number & _S32_MAX)

    def delete(self, key: bytes) -> None:
        """Refuse: the place is empty, or past the end."""
        if self.index_of("MAP_DELETE_ELEM", key) >= self.max_entries:
            raise refuse("MAP_DELETE_ELEM", errno.E2BIG)
        raise refuse("MAP_DELETE_ELEM", errno.ENOENT)


class CgroupArray(IndexedMap):
    """CGROUP_ARRAY: cgroups by index."""

    def __init__(self, creation: Creation) -> None:
        require(creation.value_size == 4, errno.EINVAL, "value_size is not that of an fd, 4")
        check_array(creation, NUMA_NODE | ACCESS_FLAGS & ~(RDONLY_PROG | WRONLY_PROG))
        super().__init__(creation, _POINTER, 0, _POINTER * creation.max_entries)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: cgroups have no ids to show here."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        raise refuse("MAP_LOOKUP_ELEM", ENOTSUPP)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: the fd in *value* names no cgroup."""
        command = "MAP_UPDATE_ELEM"
        index = self.index_of(command, key)
        self.check_value(command, value)
        if flags:
            raise refuse(command, errno.EINVAL, "maps of file descriptors take no flags")
        if index >= self.max_entries:
            raise refuse(command, errno.E2BIG, f"index {index} is past the end")
        raise refuse(command, errno.EBADF, "the fd names no cgroup of this world")

    def delete(self, key: bytes) -> None:
        """Refuse: the place is empty, or past the end."""
        if self.index_of("MAP_DELETE_ELEM", key) >= self.max_entries:
            raise refuse("MAP_DELETE_ELEM", errno.E2BIG)
        raise refuse("MAP_DELETE_ELEM", errno.ENOENT)


class StackTraces(IndexedMap):
    """STACK_TRACE: stacks by id; none is ever taken, see ``skep.helpers.stacks``."""

    def __init__(self, creation: Creation) -> None:
        check_flags(creation, NUMA_NODE | RDONLY | WRONLY | STACK_BUILD_ID)
        size = creation.value_size
        good = creation.max_entries and creation.key_size == 4 and size >= 8 and size % 8 == 0
        require(bool(good), errno.EINVAL, "4 bytes of key, a multiple of 8 of value")
        frame = _BUILD_ID_SIZE if creation.map_flags & STACK_BUILD_ID else 8
        fits = size % frame == 0 and size // frame <= most_frames()
        require(fits, errno.EINVAL, f"value_size {size} is not that of a stack")
        require(creation.max_entries <= _MOST_BUCKETS, errno.E2BIG, "more than 2^31 entries")
        super().__init__(creation, size, 0, size * creation.max_entries)
        self._buckets = power_above(creation.max_entries)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: no stack has the id."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        raise refuse("MAP_LOOKUP_ELEM", errno.ENOENT)

    def lookup_and_delete(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: no stack has the id."""
        return self.lookup(key, flags)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: only programs put stacks in."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        raise refuse("MAP_UPDATE_ELEM", errno.EINVAL, "only programs put stacks in")

    def delete(self, key: bytes) -> None:
        """Refuse: no stack has the id."""
        if self.index_of("MAP_DELETE_ELEM", key) >= self._buckets:
            raise refuse("MAP_DELETE_ELEM", errno.E2BIG)
        raise refuse("MAP_DELETE_ELEM", errno.ENOENT)

    def next_key(self, key: bytes | None) -> bytes:  # noqa: ARG002
        """Refuse: there are no ids."""
        raise refuse("MAP_GET_NEXT_KEY", errno.ENOENT)


def most_frames() -> int:
    """How many frames the machine lets a stack trace have."""
    try:
        return int(Path("/proc/sys/kernel/perf_event_max_stack").read_text())
    except (OSError, ValueError):
        return 127
