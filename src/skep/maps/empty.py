"""Maps that stay empty: their values would be sockets, cgroups or stack traces.

A world has no other sockets, no kernel stacks, and opens no cgroups: such maps can be made and
looked at, and answer updates as Linux does for file descriptors that name nothing of the kind.

Source: Linux 6.18 net/core/sock_map.c, kernel/bpf/reuseport_array.c, stackmap.c, arraymap.c.
"""

from pathlib import Path
from typing import Final

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
    check_key,
    check_value,
    power_above,
    require,
)
from skep.maps.stored import StoredMap
from skep.maps.value import EXIST
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

STACK_BUILD_ID: Final = 1 << 5
_BUILD_ID_SIZE: Final = 32
_MOST_KEY: Final = 512  # MAX_BPF_STACK
_S32_MAX: Final = 0x7FFF_FFFF
_MOST_BUCKETS: Final = 1 << 31
_BUCKET: Final = 16  # sizeof(struct bpf_shtab_bucket)
_POINTER: Final = 8


def _check_socket_map(creation: Creation) -> None:
    require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
    check_value(creation, 4, 8)
    unknown = creation.map_flags & ~(NUMA_NODE | RDONLY | WRONLY)
    require(not unknown, reasons.CREATE_FLAGS, f"{unknown:#x} is not for this map type")


class _Sockets(StoredMap):
    """What maps of sockets share: values that the host may read only if they have 8 bytes."""

    def __init__(self, creation: Creation, stride: int, size: int, limit: int) -> None:
        super().__init__(creation, stride, size, limit)
        self._resolve = creation.resolve

    def check_socket(self, number: int) -> None:
        """Refuse to store a socket: descriptor *number* names none."""
        if number > _S32_MAX:
            raise Refusal("MAP_UPDATE_ELEM", elements.SOCKET_RANGE)
        self._resolve(number)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: there is no socket."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        if self.value_size != 8:
            raise Refusal("MAP_LOOKUP_ELEM", elements.COOKIE)
        raise Refusal("MAP_LOOKUP_ELEM", elements.ABSENT)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: the fd in *value* names no socket."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        self.check_socket(int.from_bytes(value, "little"))


class SocketMap(_Sockets, IndexedMap):
    """SOCKMAP: sockets by index."""

    def __init__(self, creation: Creation) -> None:
        require(creation.max_entries <= _S32_MAX, reasons.CREATE_ENTRIES_RANGE, "at most 2^31 - 1")
        check_key(creation, 4)
        _check_socket_map(creation)
        super().__init__(creation, _POINTER, 0, _POINTER * creation.max_entries)

    def delete(self, key: bytes) -> None:
        """Refuse: the place is empty, or past the end."""
        self.index_of("MAP_DELETE_ELEM", key)
        raise Refusal("MAP_DELETE_ELEM", elements.NO_SOCKET)


class SocketHash(_Sockets):
    """SOCKHASH: sockets by any key."""

    def __init__(self, creation: Creation) -> None:
        require(creation.key_size, reasons.CREATE_KEY_SIZE, "keys have at least 1 byte")
        _check_socket_map(creation)
        require(creation.key_size <= _MOST_KEY, reasons.CREATE_KEY_LONG)
        buckets = power_above(creation.max_entries)
        fits = buckets <= 0xFFFF_FFFF // _BUCKET
        require(fits, reasons.CREATE_ENTRIES_RANGE, "at most 2^28 entries")
        super().__init__(creation, 0, 0, _BUCKET * buckets)

    def delete(self, key: bytes) -> None:
        """Refuse: there is nothing to remove."""
        self.check_key("MAP_DELETE_ELEM", key)
        raise Refusal("MAP_DELETE_ELEM", elements.ABSENT)

    def next_key(self, key: bytes | None) -> bytes:  # noqa: ARG002
        """Refuse: there are no keys."""
        raise Refusal("MAP_GET_NEXT_KEY", elements.LAST)


class ReuseportArray(_Sockets, IndexedMap):
    """REUSEPORT_SOCKARRAY: the sockets of one port, by index."""

    def __init__(self, creation: Creation) -> None:
        check_value(creation, 4, 8)
        check_array(creation, NUMA_NODE | ACCESS_FLAGS)
        super().__init__(creation, _POINTER, 0, _POINTER * creation.max_entries)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: the fd in *value* names no socket."""
        command = "MAP_UPDATE_ELEM"
        index = self.index_of(command, key)
        self.check_value(command, value)
        self.check_lock_flag(command, flags)
        if flags > EXIST:
            raise Refusal(command, elements.FLAGS)
        if index >= self.max_entries:
            raise Refusal(command, elements.PAST_END, f"index {index} is past the end")
        number = int.from_bytes(value, "little")
        self.check_socket(number if len(value) == 8 else number & _S32_MAX)

    def delete(self, key: bytes) -> None:
        """Refuse: the place is empty, or past the end."""
        if self.index_of("MAP_DELETE_ELEM", key) >= self.max_entries:
            raise Refusal("MAP_DELETE_ELEM", elements.PAST_END)
        raise Refusal("MAP_DELETE_ELEM", elements.ABSENT)


class CgroupArray(IndexedMap):
    """CGROUP_ARRAY: cgroups by index."""

    def __init__(self, creation: Creation) -> None:
        check_value(creation, 4)
        check_array(creation, NUMA_NODE | ACCESS_FLAGS & ~(RDONLY_PROG | WRONLY_PROG))
        super().__init__(creation, _POINTER, 0, _POINTER * creation.max_entries)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: cgroups have no ids to show here."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        raise Refusal("MAP_LOOKUP_ELEM", elements.NO_OPERATION)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: the fd in *value* names no cgroup."""
        command = "MAP_UPDATE_ELEM"
        index = self.index_of(command, key)
        self.check_value(command, value)
        if flags:
            raise Refusal(command, elements.SLOT_FLAGS)
        if index >= self.max_entries:
            raise Refusal(command, elements.PAST_END, f"index {index} is past the end")
        raise Refusal(command, elements.CGROUP)

    def delete(self, key: bytes) -> None:
        """Refuse: the place is empty, or past the end."""
        if self.index_of("MAP_DELETE_ELEM", key) >= self.max_entries:
            raise Refusal("MAP_DELETE_ELEM", elements.PAST_END)
        raise Refusal("MAP_DELETE_ELEM", elements.ABSENT)


class StackTraces(IndexedMap):
    """STACK_TRACE: stacks by id; none is ever taken, see ``skep.helpers.stacks``."""

    def __init__(self, creation: Creation) -> None:
        check_flags(creation, NUMA_NODE | RDONLY | WRONLY | STACK_BUILD_ID)
        size = creation.value_size
        require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
        check_key(creation, 4)
        good = size >= 8 and size % 8 == 0
        require(good, reasons.CREATE_VALUE_SIZE, "values have a multiple of 8 bytes")
        frame = _BUILD_ID_SIZE if creation.map_flags & STACK_BUILD_ID else 8
        fits = size % frame == 0 and size // frame <= most_frames()
        require(fits, reasons.CREATE_VALUE_SIZE, f"values are at most {most_frames()} whole frames")
        require(creation.max_entries <= _MOST_BUCKETS, reasons.CREATE_ENTRIES_MANY, "at most 2^31")
        super().__init__(creation, size, 0, size * creation.max_entries)
        self._buckets = power_above(creation.max_entries)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: no stack has the id."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        raise Refusal("MAP_LOOKUP_ELEM", elements.ABSENT)

    def lookup_and_delete(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: no stack has the id."""
        return self.lookup(key, flags)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: only programs put stacks in."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        raise Refusal("MAP_UPDATE_ELEM", elements.STACK_PUT)

    def delete(self, key: bytes) -> None:
        """Refuse: no stack has the id."""
        if self.index_of("MAP_DELETE_ELEM", key) >= self._buckets:
            raise Refusal("MAP_DELETE_ELEM", elements.PAST_END)
        raise Refusal("MAP_DELETE_ELEM", elements.ABSENT)

    def next_key(self, key: bytes | None) -> bytes:  # noqa: ARG002
        """Refuse: there are no ids."""
        raise Refusal("MAP_GET_NEXT_KEY", elements.LAST)


def most_frames() -> int:
    """How many frames the machine lets a stack trace have."""
    try:
        return int(Path("/proc/sys/kernel/perf_event_max_stack").read_text())
    except (OSError, ValueError):
        return 127
