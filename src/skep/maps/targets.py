"""DEVMAP, DEVMAP_HASH, CPUMAP and XSKMAP: where XDP programs send packets.

Elements are what the host stored: interfaces of this machine, CPUs of the world. The maps say
where a packet shall go; sending it is the event source's business (run block, REDIRECT). Programs
in elements are not supported, and AF_XDP sockets cannot be stored: there are none.

Descriptor word of the arrays: 64 TARGETS, address of ``max_entries`` places of 16 bytes: the
value, then 1 if it is there.

Source: Linux kernel/bpf/devmap.c, cpumap.c, net/xdp/xskmap.c.
"""

import ctypes
import socket
from dataclasses import replace
from typing import Final

from skep.base.native import load32, load64, load_acquire64, native, store32, store64
from skep.maps.array import IndexedMap
from skep.maps.creation import (
    NUMA_NODE,
    RDONLY,
    RDONLY_PROG,
    WRONLY,
    Creation,
    check_flags,
    check_key,
    check_value,
    require,
)
from skep.maps.hash import Hash
from skep.maps.hash_code import hash_lookup
from skep.maps.interface import FAMILY, MAX_ENTRIES, TYPE
from skep.maps.nested import FdArray
from skep.maps.stored import HEAD_SIZE
from skep.maps.value import EXIST, NOEXIST
from skep.runtime.invocation import REDIRECT, REDIRECT_FLAGS, REDIRECT_KEY, SCRATCH
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

DEVMAP: Final = 14
CPUMAP: Final = 16
XSKMAP: Final = 17
DEVMAP_HASH: Final = 25

TARGETS: Final = FAMILY

_PLACE: Final = 16
_MOST_CPUS: Final = 8192
_MOST_QUEUE: Final = 16384
_MOST_BUCKETS: Final = 1 << 31
_ACTIONS: Final = 3
_BROADCAST: Final = 1 << 3
_EXCLUDE_INGRESS: Final = 1 << 4
_DEVICE_FLAGS: Final = _ACTIONS | _BROADCAST | _EXCLUDE_INGRESS
_XDP_ABORTED: Final = 0
_XDP_REDIRECT: Final = 4


@native
def target_lookup(this: int, key: int) -> int:
    """Address of the value at the index, or 0 if the place is empty."""
    index = load32(key)
    if index >= load64(this + MAX_ENTRIES):
        return 0
    place = load64(this + TARGETS) + index * _PLACE
    return place if load_acquire64(place + 8) != 0 else 0


@native
def find_target(run: int, this: int, key: int) -> int:
    """Address of the value at the 32-bit *key* of any of the four types, or 0."""
    kind = load64(this + TYPE)
    room = load64(run + SCRATCH)
    store32(room, key & 0xFFFF_FFFF)
    if kind == DEVMAP_HASH:
        return hash_lookup(this, room)
    return target_lookup(this, room) if kind != XSKMAP else 0


@native
def redirect_map(run: int, this: int, key: int, flags: int) -> int:
    """Helper: send the packet where the map says; *flags* hold the action if it says nothing."""
    kind = load64(this + TYPE)
    allowed = _DEVICE_FLAGS if kind == DEVMAP or kind == DEVMAP_HASH else _ACTIONS  # noqa: PLR1714, SIM109
    if (flags & ~allowed) != 0:
        return _XDP_ABORTED
    if find_target(run, this, key) == 0 and (flags & _BROADCAST) == 0:
        store64(run + REDIRECT, 0)
        return flags & _ACTIONS
    store64(run + REDIRECT, this)
    store64(run + REDIRECT_KEY, key)
    store64(run + REDIRECT_FLAGS, flags if (flags & _BROADCAST) != 0 else 0)
    return _XDP_REDIRECT


def require_device(ifindex: int) -> None:
    """Refuse an interface that this machine has not, with EINVAL."""
    try:
        socket.if_indextoname(ifindex)
    except (OSError, OverflowError):
        text = f"there is no interface {ifindex}"
        raise Refusal("MAP_UPDATE_ELEM", elements.DEVICE, text) from None


def check_no_program(value: bytes) -> None:
    """Refuse a value whose second half names a program."""
    fd = int.from_bytes(value[4:8], "little", signed=True)
    if fd > 0:
        raise Refusal("MAP_UPDATE_ELEM", elements.DEVICE_PROGRAM)


class TargetArray(IndexedMap):
    """DEVMAP and CPUMAP: destinations by index."""

    def __init__(self, creation: Creation) -> None:
        devices = creation.map_type == DEVMAP
        require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
        check_key(creation, 4)
        check_value(creation, 4, 8)
        check_flags(creation, NUMA_NODE | RDONLY | WRONLY if devices else NUMA_NODE)
        fits = devices or creation.max_entries <= _MOST_CPUS
        require(fits, reasons.CREATE_ENTRIES_MANY, f"at most {_MOST_CPUS} CPUs")
        if devices:
            creation = replace(creation, map_flags=creation.map_flags | RDONLY_PROG)
        super().__init__(creation, _PLACE, _PLACE * creation.max_entries)
        self._places = self.address + HEAD_SIZE
        self.put_word(TARGETS, self._places)

    def _place(self, index: int) -> int:
        return self._places + _PLACE * index

    def _store(self, index: int, value: bytes) -> None:
        present = ctypes.c_uint64.from_address(self._place(index) + 8)
        present.value = 0
        if any(value):
            ctypes.memmove(self._place(index), value.ljust(8, b"\0"), 8)
            present.value = 1

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """The destination at *key*."""
        index = self.index_of("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        there = index < self.max_entries
        if not there or not ctypes.c_uint64.from_address(self._place(index) + 8).value:
            raise Refusal("MAP_LOOKUP_ELEM", elements.ABSENT, f"nothing stands at index {index}")
        return ctypes.string_at(self._place(index), self.value_size)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Store a destination; one of zero empties the place."""
        command = "MAP_UPDATE_ELEM"
        index = self.index_of(command, key)
        self.check_value(command, value)
        self.check_lock_flag(command, flags)
        if flags > EXIST:
            raise Refusal(command, elements.FLAGS)
        if index >= self.max_entries:
            raise Refusal(command, elements.PAST_END, f"index {index} is past the end")
        if flags == NOEXIST:
            raise Refusal(command, elements.PRESENT)
        self.check_destination(index, int.from_bytes(value[:4], "little"))
        check_no_program(value)
        self._store(index, value[:4] if any(value[:4]) else b"")

    def check_destination(self, index: int, number: int) -> None:
        """Refuse a device that is not there, a CPU that is not, or too long a queue for it."""
        command = "MAP_UPDATE_ELEM"
        if self.map_type == DEVMAP:
            if number:
                require_device(number)
        elif number > _MOST_QUEUE:
            raise Refusal(command, elements.QUEUE_LONG)
        elif index >= self.cpus:
            raise Refusal(command, elements.NO_CPU, f"there is no CPU {index}")

    def delete(self, key: bytes) -> None:
        """Empty a place; an empty one is no error."""
        index = self.index_of("MAP_DELETE_ELEM", key)
        if index >= self.max_entries:
            raise Refusal("MAP_DELETE_ELEM", elements.PAST_END_DELETE)
        self._store(index, b"")


class DeviceHash(Hash):
    """DEVMAP_HASH: interfaces by any 32-bit number."""

    in_bulk = False

    def __init__(self, creation: Creation) -> None:
        check_key(creation, 4)
        check_value(creation, 4, 8)
        check_flags(creation, NUMA_NODE | RDONLY | WRONLY)
        require(creation.max_entries <= _MOST_BUCKETS, reasons.CREATE_ENTRIES_RANGE, "at most 2^31")
        super().__init__(replace(creation, map_flags=creation.map_flags | RDONLY_PROG))

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Store an interface."""
        ifindex = int.from_bytes(value[:4], "little")
        if flags > EXIST:
            raise Refusal("MAP_UPDATE_ELEM", elements.FLAGS)
        if not ifindex:
            raise Refusal("MAP_UPDATE_ELEM", elements.DEVICE, "0 is no interface")
        require_device(ifindex)
        check_no_program(value)
        super().update(key, value, flags & NOEXIST)

    def lookup_and_delete(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: Linux has it only for hashes of plain values."""
        self.check_key("MAP_LOOKUP_AND_DELETE_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_AND_DELETE_ELEM", flags)
        raise Refusal("MAP_LOOKUP_AND_DELETE_ELEM", elements.NO_OPERATION)


class SocketArray(FdArray):
    """XSKMAP: places for AF_XDP sockets, all empty."""

    def check(self, creation: Creation) -> None:
        """Refuse flags that the type has not."""
        require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
        check_key(creation, 4)
        check_flags(creation, NUMA_NODE | RDONLY | WRONLY)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse, as Linux does for the host."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        raise Refusal("MAP_LOOKUP_ELEM", elements.NO_OPERATION_OPAQUE)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Refuse: the fd in *value* names no socket."""
        command = "MAP_UPDATE_ELEM"
        index = self.index_of(command, key)
        self.check_value(command, value)
        if flags > EXIST:
            raise Refusal(command, elements.FLAGS)
        if index >= self.max_entries:
            raise Refusal(command, elements.PAST_END, f"index {index} is past the end")
        self._kept.resolve(int.from_bytes(value, "little"))

    def delete(self, key: bytes) -> None:
        """Nothing: the place is empty, and that is no error."""
        if self.index_of("MAP_DELETE_ELEM", key) >= self.max_entries:
            raise Refusal("MAP_DELETE_ELEM", elements.PAST_END_DELETE)
