"""ARRAY and PERCPU_ARRAY, and with them global data.

An array with F_MMAPABLE (so global data) keeps its values in a block of their own that can be
mapped a second time: ``values_block``.

Source: Linux kernel/bpf/arraymap.c.
"""

import ctypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from skep.base.memory import PAGE_SIZE, Block
from skep.maps.answer import INDEXED
from skep.maps.array_code import SPAN, VALUES, array_at, array_disown, percpu_array_at
from skep.maps.creation import (
    ACCESS_FLAGS,
    COMMAND,
    INNER_MAP,
    MMAPABLE,
    NUMA_NODE,
    PERCPU_VALUE_LIMIT,
    RDONLY_PROG,
    Creation,
    check_flags,
    check_key,
    check_long,
    check_memory,
    check_value,
    require,
    round8,
)
from skep.maps.host_code import host_read_indices
from skep.maps.interface import DISOWN, InlineLookup
from skep.maps.keyed import AT_ONCE, KeyedMap, address_in
from skep.maps.stored import HEAD_SIZE, StoredMap
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Reason, Refusal

_S32_MAX: Final = 0x7FFF_FFFF


def check_array(creation: Creation, flags: int) -> None:
    """Refuse what Linux's array_map_alloc_check refuses; *flags* are the allowed ones."""
    require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
    check_key(creation, 4)
    check_value(creation)
    check_flags(creation, flags)
    check_long(creation, _S32_MAX)


def array_key_after(key: bytes | None, count: int) -> bytes:
    """GET_NEXT_KEY of every map that is indexed by 32 bits."""
    index = 0xFFFF_FFFF if key is None else int.from_bytes(key, "little")
    if index >= count:
        return bytes(4)
    if index == count - 1:
        raise Refusal("MAP_GET_NEXT_KEY", elements.LAST)
    return (index + 1).to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class Memory:
    """Where values are.

    *offset* bytes into *block*; *strides* lead from element to element, and from CPU to CPU.
    """

    block: Block
    offset: int
    strides: tuple[int, int]


class IndexedMap(StoredMap):
    """What maps with a 32-bit index as key share."""

    def index_of(self, command: str, key: bytes) -> int:
        """The index in *key*."""
        self.check_key(command, key)
        return int.from_bytes(key, "little")

    def next_key(self, key: bytes | None) -> bytes:
        """The index after *key*; 0 for None and for an index past the end."""
        if key is not None:
            self.check_key("MAP_GET_NEXT_KEY", key)
        return array_key_after(key, self.max_entries)

    def keys(self) -> Iterator[bytes]:
        """Every index."""
        return (index.to_bytes(4, "little") for index in range(self.max_entries))

    def delete(self, key: bytes) -> None:
        """Refuse: elements of an array are always there."""
        self.check_key("MAP_DELETE_ELEM", key)
        raise Refusal("MAP_DELETE_ELEM", elements.NOT_DELETABLE)


class IndexedValues(IndexedMap, KeyedMap):
    """What arrays of values share: all their elements are there from the start."""

    def update_rows(self, flags: int) -> Mapping[int, Reason]:  # noqa: ARG002 - see KeyedMap
        """What the answers to an update mean."""
        return INDEXED

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Value at *key*, of a per-CPU array all its copies."""
        if not flags:
            value = self._fetch(key)
            if value is not None:
                return value
        index = self.index_of("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        if index >= self.max_entries:
            raise Refusal("MAP_LOOKUP_ELEM", elements.ABSENT, f"index {index} is past the end")
        return super().lookup(key, flags)

    def read_indices(
        self, first: int, count: int, *, values: bool = True
    ) -> tuple[bytearray, bytearray]:
        """Packed keys and values of *count* elements from index *first* on, which are there."""
        keys = bytearray(count * self.key_size)
        data = bytearray(count * self.host_value_size if values else 0)
        read = self._library.bind(host_read_indices)
        read(self.address, first, address_in(keys), address_in(data), count)
        return keys, data

    def close(self) -> None:
        """Let go what the elements own."""
        if self.word(DISOWN):
            copies = self.cpus if self.word(SPAN) else 1
            self._library.bind(array_disown)(self.address, copies)

    def portions(self, *, values: bool = True) -> Iterator[tuple[int, bytearray, bytearray]]:
        """See KeyedMap."""
        for first in range(0, self.max_entries, AT_ONCE):
            count = min(AT_ONCE, self.max_entries - first)
            yield count, *self.read_indices(first, count, values=values)


class Array(IndexedValues):
    """ARRAY: elements of one size, all there from the start, zeroed."""

    def __init__(self, creation: Creation) -> None:
        check_array(creation, NUMA_NODE | MMAPABLE | INNER_MAP | ACCESS_FLAGS)
        stride = round8(creation.value_size)
        size = creation.max_entries * stride
        apart = bool(creation.map_flags & MMAPABLE)
        super().__init__(creation, stride, 0 if apart else size, size)
        self.values_block, self.values = self._place_values(size, apart)
        self.put_word(VALUES, self.values)

    def _place_values(self, size: int, apart: bool) -> tuple[Block, int]:
        if not apart:
            return self.block, self.address + HEAD_SIZE
        try:
            block = Block(size, self.name or "skep-array")
        except (OSError, MemoryError, ValueError, OverflowError):
            why = f"no address space for {size} bytes"
            raise Refusal(COMMAND, reasons.CREATE_MEMORY, why) from None
        return block, block.address

    @property
    def memory_bytes(self) -> int:
        """Descriptor and values."""
        return HEAD_SIZE + self.max_entries * self._stride

    @property
    def mapped_size(self) -> int:
        """Bytes that a client may map of ``values_block`` (F_MMAPABLE only)."""
        return -(-self.max_entries * self._stride // PAGE_SIZE) * PAGE_SIZE

    def constant(self, offset: int, size: int) -> int | None:
        """Bytes of the first value, if neither host nor program can change them."""
        fixed = self.frozen and self.map_flags & RDONLY_PROG
        if not fixed or offset < 0 or offset + size > self.value_size:
            return None
        return int.from_bytes(ctypes.string_at(self.values + offset, size), "little")

    def value_address(self, offset: int) -> int | None:
        """Address of *offset* into the value of a one-element array."""
        if self.max_entries != 1 or not 0 <= offset < self.value_size:
            return None
        return self.values + offset

    def key_at(self, value: int) -> bytes:
        """The key of the element whose value is at *value*."""
        return ((value - self.values) // self._stride).to_bytes(4, "little")

    @property
    def memory(self) -> Memory:
        """Where the values are."""
        strides = (self._stride, self._stride)
        return Memory(self.values_block, self.values - self.values_block.address, strides)

    def inline_lookup(self) -> InlineLookup | None:
        """array_at with the map's constants."""
        return array_at, (self.values, self.max_entries, self._stride)


class PercpuArray(IndexedValues):
    """PERCPU_ARRAY: each CPU has its own copies."""

    def __init__(self, creation: Creation) -> None:
        check_array(creation, NUMA_NODE | ACCESS_FLAGS)
        stride = round8(creation.value_size)
        numa = creation.map_flags & NUMA_NODE
        require(not numa, reasons.CREATE_FLAGS, "per-CPU maps have no NUMA node")
        limit = f"a copy has at most {PERCPU_VALUE_LIMIT} bytes"
        require(stride <= PERCPU_VALUE_LIMIT, reasons.CREATE_VALUE_LONG, limit)
        span = -(-creation.max_entries * stride // 64) * 64
        check_memory(span * creation.cpus)
        super().__init__(creation, stride, 64 + span * creation.cpus)
        self.values = -(-(self.address + HEAD_SIZE) // 64) * 64
        self.span = span
        self.put_word(VALUES, self.values)
        self.put_word(SPAN, span)

    @property
    def host_value_size(self) -> int:
        """One copy for each CPU."""
        return self._stride * self.cpus

    @property
    def memory(self) -> Memory:
        """Where the values are."""
        return Memory(self.block, self.values - self.address, (self._stride, self.span))

    def inline_lookup(self) -> InlineLookup | None:
        """percpu_array_at with the map's constants."""
        return percpu_array_at, (self.values, self.max_entries, self._stride, self.span)
