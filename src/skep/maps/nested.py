"""PROG_ARRAY, ARRAY_OF_MAPS and HASH_OF_MAPS: maps whose values are other objects.

The host stores file descriptors and reads ids; native code sees addresses. In the two arrays,
descriptor word 64 is SLOTS, the address of ``max_entries`` words of 8 bytes: the machine code of
a program for tail calls (0: none, or a program that only the interpreter runs), or the descriptor
of an inner map. ``targets`` gives the objects themselves by index or key.

What an update displaces may still be in use by a program that runs: ``Creation.release`` keeps it
until such runs have ended. A map that was closed takes nothing more.
Source: Linux kernel/bpf/arraymap.c, map_in_map.c.
"""

import ctypes
import threading
from typing import Final

from skep.base.bits import U64
from skep.base.native import load32, load64, load_acquire64, native
from skep.maps.answer import expect_success
from skep.maps.array import IndexedMap, check_array
from skep.maps.creation import (
    ACCESS_FLAGS,
    COMMAND,
    INNER_MAP,
    NUMA_NODE,
    RDONLY_PROG,
    WRONLY_PROG,
    Creation,
    Held,
    check_value,
    require,
)
from skep.maps.hash import Hash
from skep.maps.hash_code import inner_hash_at, inner_hash_update
from skep.maps.interface import FAMILY, MAX_ENTRIES, InlineLookup, Map
from skep.maps.stored import HEAD_SIZE, StoredMap, address_of
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

SLOTS: Final = FAMILY

ARRAY: Final = 2
PROG_ARRAY: Final = 3
PERCPU_ARRAY: Final = 6

# without map_meta_equal: program arrays, storage of cgroups, struct_ops
_NO_TEMPLATE: Final = frozenset({PROG_ARRAY, 19, 21, 26})


@native
def inner_array_lookup(this: int, key: int) -> int:
    """The inner map that stands at the index, or 0."""
    index = load32(key)
    if index >= load64(this + MAX_ENTRIES):
        return 0
    return load_acquire64(load64(this + SLOTS) + index * 8)


@native
def inner_array_at(run: int, key: int, slots: int, count: int) -> int:  # noqa: ARG001
    """The inline form of inner_array_lookup."""
    index = load32(key)
    if index >= count:
        return 0
    return load_acquire64(slots + index * 8)


def check_inner(template: Map | None) -> Map:
    """Refuse what cannot be the template of inner maps."""
    if template is None:
        raise Refusal(COMMAND, reasons.CREATE_INNER)
    require(template.inner is None, reasons.CREATE_INNER_NESTED)
    require(template.map_type not in _NO_TEMPLATE, reasons.CREATE_INNER_TYPE)
    return template


def same_shape(template: Map, other: Map) -> bool:
    """Whether *other* may stand where *template* was promised."""
    for name in ("map_type", "key_size", "value_size", "map_flags"):
        if getattr(template, name) != getattr(other, name):
            return False
    if template.map_type in {ARRAY, PERCPU_ARRAY} and not template.map_flags & INNER_MAP:
        return template.max_entries == other.max_entries
    return getattr(template, "special", ()) == getattr(other, "special", ())


class _Kept:
    """References to the objects that a map holds."""

    def __init__(self, creation: Creation) -> None:
        self._resolve, self._release = creation.resolve, creation.release
        self.closed = False  # for good, under the map's lock

    def resolve(self, fd: int) -> Held:
        """What *fd* names, with one reference more."""
        return self._resolve(fd)

    def release(self, held: Held | None) -> None:
        """Give the reference to *held* back."""
        if held is not None:
            self._release(held)

    def require_open(self) -> None:
        """Refuse a map that was closed while the descriptor was looked up."""
        if self.closed:
            raise Refusal("MAP_UPDATE_ELEM", elements.SLOT_CLOSED)


class FdArray(IndexedMap):
    """An array whose elements are objects that file descriptors name."""

    def __init__(self, creation: Creation) -> None:
        check_value(creation, 4)
        self.check(creation)
        super().__init__(creation, 8, 8 * creation.max_entries)
        self.slots = self.address + HEAD_SIZE
        self.put_word(SLOTS, self.slots)
        self.targets: dict[int, Held] = {}
        self._kept = _Kept(creation)
        self._lock = threading.Lock()

    def check(self, creation: Creation) -> None:
        """Refuse flags that the type has not."""
        check_array(creation, NUMA_NODE | ACCESS_FLAGS & ~(RDONLY_PROG | WRONLY_PROG))

    def check_target(self, held: Held) -> None:
        """Refuse an object that cannot stand in this map."""

    def _place(self, index: int, held: Held | None) -> Held | None:
        with self._lock:
            if held is not None:
                self._kept.require_open()
            old = self.targets.pop(index, None)
            if held is not None:
                self.targets[index] = held
            word = ctypes.c_uint64.from_address(self.slots + 8 * index)
            word.value = 0 if held is None else held.address
        return old

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Id of the object at *key*."""
        index = self.index_of("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        held = self.targets.get(index)
        if held is None:
            raise Refusal("MAP_LOOKUP_ELEM", elements.ABSENT, f"nothing stands at index {index}")
        return held.id.to_bytes(4, "little")

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Put the object that the fd in *value* names at *key*."""
        command = "MAP_UPDATE_ELEM"
        index = self.index_of(command, key)
        self.check_value(command, value)
        if flags:
            raise Refusal(command, elements.SLOT_FLAGS)
        if index >= self.max_entries:
            raise Refusal(command, elements.PAST_END, f"index {index} is past the end")
        held = self._kept.resolve(int.from_bytes(value, "little"))
        try:
            self.check_target(held)
            old = self._place(index, held)
        except BaseException:
            self._kept.release(held)
            raise
        self._kept.release(old)

    def delete(self, key: bytes) -> None:
        """Empty the slot at *key*."""
        index = self.index_of("MAP_DELETE_ELEM", key)
        if index >= self.max_entries:
            raise Refusal("MAP_DELETE_ELEM", elements.PAST_END, f"index {index} is past the end")
        old = self._place(index, None)
        if old is None:
            raise Refusal("MAP_DELETE_ELEM", elements.ABSENT, f"nothing stands at index {index}")
        self._kept.release(old)

    def close(self) -> None:
        """Empty every slot for good."""
        with self._lock:
            self._kept.closed = True
        self.clear()

    def clear(self) -> None:
        """Empty every slot."""
        for index in tuple(self.targets):
            self._kept.release(self._place(index, None))


class ProgArray(FdArray):
    """PROG_ARRAY: programs that tail calls reach by index."""


class ArrayOfMaps(FdArray):
    """ARRAY_OF_MAPS: inner maps of one shape, by index."""

    def __init__(self, creation: Creation) -> None:
        super().__init__(creation)
        self._template = check_inner(creation.inner)

    def check_target(self, held: Held) -> None:
        """Refuse an inner map of another shape."""
        check_shape(self._template, held)

    def inline_lookup(self) -> InlineLookup | None:
        """inner_array_at with the map's constants."""
        return inner_array_at, (self.slots, self.max_entries)


def check_shape(template: Map, held: Held) -> None:
    """Refuse *held* unless it is a map shaped as *template*."""
    if not isinstance(getattr(held, "map_type", None), int) or not same_shape(template, held):  # type: ignore[arg-type]
        raise Refusal("MAP_UPDATE_ELEM", elements.SLOT_SHAPE)


class HashOfMaps(Hash):
    """HASH_OF_MAPS: inner maps of one shape, by key."""

    in_bulk = False

    def __init__(self, creation: Creation) -> None:
        check_value(creation, 4)
        super().__init__(creation)
        self._template = check_inner(creation.inner)
        self.targets: dict[bytes, Held] = {}
        self._kept = _Kept(creation)
        self._lock = threading.Lock()
        self._set = creation.library.bind(inner_hash_update)

    @staticmethod
    def word_size(creation: Creation) -> int:  # noqa: ARG004 - every value is an address
        """Bytes that a value takes in an element."""
        return 8

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Id of the inner map at *key*."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        held = self.targets.get(key)
        if held is None:
            raise Refusal("MAP_LOOKUP_ELEM", elements.ABSENT)
        return held.id.to_bytes(4, "little")

    find = StoredMap.find
    elements = StoredMap.elements

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Put the inner map that the fd in *value* names at *key*."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        held = self._kept.resolve(int.from_bytes(value, "little"))
        try:
            check_shape(self._template, held)
            with self._lock:
                self._kept.require_open()
                displaced = self._buffers.reserve(8)
                place = address_of(key)
                answer = self._set(self.address, place, held.address, flags & U64, displaced)
                expect_success("MAP_UPDATE_ELEM", answer)
                old = self.targets.get(key)
                self.targets[key] = held
        except BaseException:
            self._kept.release(held)
            raise
        self._kept.release(old)

    def delete(self, key: bytes) -> None:
        """Remove the inner map at *key*."""
        with self._lock:
            super().delete(key)
            old = self.targets.pop(key, None)
        self._kept.release(old)

    def lookup_and_delete(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: Linux has it only for hashes of plain values."""
        self.check_key("MAP_LOOKUP_AND_DELETE_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_AND_DELETE_ELEM", flags)
        raise Refusal("MAP_LOOKUP_AND_DELETE_ELEM", elements.NO_OPERATION)

    def inline_lookup(self) -> InlineLookup | None:
        """inner_hash_at with the map's constants."""
        shape = (self._table, self._buckets - 1, self._seed, self.key_size, self._value_at)
        return inner_hash_at, shape

    def close(self) -> None:
        """Let go of every inner map."""
        with self._lock:
            self._kept.closed = True
        for key in tuple(self.targets):
            self.delete(key)
