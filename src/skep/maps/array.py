"""ARRAY and PERCPU_ARRAY, and with them global data.

Descriptor words: 64 VALUES, address of value 0; 72 SPAN, bytes from one CPU's copies to the next
CPU's (per-CPU only). Value *i* stands at ``VALUES + i * STRIDE (+ cpu * SPAN)``.

An array with F_MMAPABLE (so global data) keeps its values in a block of their own that can be
mapped a second time: ``values_block``.

Source: Linux kernel/bpf/arraymap.c.
"""

import ctypes
from collections.abc import Iterator
from typing import Final

from skep.base.memory import PAGE_SIZE, Block
from skep.base.native import call, fill, load32, load64, native, store32, store64
from skep.maps.answer import INDEXED, MINUS_E2BIG, MINUS_EEXIST, MINUS_EINVAL, expect_success
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
from skep.maps.interface import FAMILY, LOCK, MAX_ENTRIES, SPECIAL, STRIDE, InlineLookup
from skep.maps.stored import HEAD_SIZE, StoredMap, address_of
from skep.maps.value import EXIST, F_LOCK, NOEXIST, copy_value, read_value, write_value
from skep.runtime.invocation import CPU, FAULT, SCRATCH
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

VALUES: Final = FAMILY
SPAN: Final = FAMILY + 8

_S32_MAX: Final = 0x7FFF_FFFF
_NO_LOCK: Final = ~F_LOCK & 0xFFFF_FFFF_FFFF_FFFF


@native
def array_lookup(this: int, key: int) -> int:
    """Address of the value, or 0 past the end."""
    index = load32(key)
    if index >= load64(this + MAX_ENTRIES):
        return 0
    return load64(this + VALUES) + index * load64(this + STRIDE)


@native
def array_at(run: int, key: int, values: int, count: int, stride: int) -> int:  # noqa: ARG001
    """The inline form of array_lookup."""
    index = load32(key)
    if index >= count:
        return 0
    return values + index * stride


@native
def array_flags_answer(this: int, index: int, flags: int) -> int:
    """0, or why an update of *index* with *flags* fails."""
    if (flags & _NO_LOCK) > EXIST:
        return MINUS_EINVAL
    if index >= load64(this + MAX_ENTRIES):
        return MINUS_E2BIG
    if flags & NOEXIST:
        return MINUS_EEXIST
    if flags & F_LOCK and load64(this + LOCK) == 0:
        return MINUS_EINVAL
    return 0


@native
def array_update(this: int, key: int, value: int, flags: int) -> int:
    """Overwrite an element."""
    index = load32(key)
    answer = array_flags_answer(this, index, flags)
    if answer == 0:
        target = load64(this + VALUES) + index * load64(this + STRIDE)
        write_value(this, target, value, flags)
    return answer


@native
def array_read(this: int, key: int, target: int, flags: int) -> int:
    """Copy the element out for the host, under the element's lock if *flags* say so."""
    value = array_lookup(this, key)
    read_value(this, target, value, flags)
    return 0


@native
def percpu_array_lookup_on(this: int, key: int, cpu: int) -> int:
    """Address of the copy of *cpu*, or 0 past the end or for a CPU that is not there."""
    value = array_lookup(this, key)
    if value == 0:
        return 0
    return value + cpu * load64(this + SPAN)


@native
def percpu_array_lookup(run: int, this: int, key: int) -> int:
    """Address of this CPU's copy, or 0 past the end."""
    return percpu_array_lookup_on(this, key, load64(run + CPU))


@native
def percpu_array_at(run: int, key: int, values: int, count: int, stride: int, span: int) -> int:
    """The inline form of percpu_array_lookup."""
    index = load32(key)
    if index >= count:
        return 0
    return values + index * stride + load64(run + CPU) * span


@native
def percpu_array_update(run: int, this: int, key: int, value: int, flags: int) -> int:
    """Overwrite this CPU's copy."""
    index = load32(key)
    answer = array_flags_answer(this, index, flags)
    if answer == 0:
        copy_value(this, percpu_array_lookup_on(this, key, load64(run + CPU)), value)
    return answer


@native
def percpu_array_copy_out(this: int, key: int, target: int, cpus: int) -> int:
    """Give the host all copies, one behind the other."""
    stride = load64(this + STRIDE)
    fill(target, 0, stride * cpus)
    for cpu in range(cpus):
        copy_value(this, target + cpu * stride, percpu_array_lookup_on(this, key, cpu))
    return 0


@native
def percpu_array_copy_in(this: int, key: int, value: int, cpus: int, flags: int) -> int:
    """Overwrite all copies from the host's bytes."""
    if flags > EXIST:
        return MINUS_EINVAL
    answer = array_flags_answer(this, load32(key), flags)
    if answer == 0:
        stride = load64(this + STRIDE)
        for cpu in range(cpus):
            copy_value(this, percpu_array_lookup_on(this, key, cpu), value + cpu * stride)
    return answer


@native
def array_for_each(run: int, this: int, callback: int, context: int, percpu: int) -> int:
    """Call *callback* on each element until it says 1; returns how many it saw.

    The key is the program's to read: it stands in scratch memory, one place for each nesting.
    """
    key = load64(run + SCRATCH)
    store64(run + SCRATCH, key + 8)
    value = load64(this + VALUES)
    if percpu != 0:
        value += load64(run + CPU) * load64(this + SPAN)
    seen = 0
    going = 1
    while going != 0 and seen < load64(this + MAX_ENTRIES):
        store32(key, seen)
        seen += 1
        if call(callback, run, this, key, value, context, 0) != 0 or load64(run + FAULT) != 0:
            going = 0
        value += load64(this + STRIDE)
    store64(run + SCRATCH, key)
    return seen


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


class Array(IndexedMap):
    """ARRAY: elements of one size, all there from the start, zeroed."""

    def __init__(self, creation: Creation) -> None:
        check_array(creation, NUMA_NODE | MMAPABLE | INNER_MAP | ACCESS_FLAGS)
        stride = round8(creation.value_size)
        size = creation.max_entries * stride
        apart = bool(creation.map_flags & MMAPABLE)
        super().__init__(creation, stride, 0 if apart else size, size)
        self.values_block, self.values = self._place_values(size, apart)
        self.put_word(VALUES, self.values)
        self._read = creation.library.bind(array_read)
        self._update = creation.library.bind(array_update)

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

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Value at *key*."""
        index = self.index_of("MAP_LOOKUP_ELEM", key)
        if flags:
            self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        if index >= self.max_entries:
            raise Refusal("MAP_LOOKUP_ELEM", elements.ABSENT, f"index {index} is past the end")
        if self.lock_offset < 0 and not self.word(SPECIAL):
            return ctypes.string_at(self.values + index * self._stride, self.value_size)
        target = self._buffers.reserve(self.value_size)
        self._read(self.address, address_of(key), target, flags)
        return ctypes.string_at(target, self.value_size)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Overwrite the value at *key*."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        if flags:
            self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        answer = self._update(self.address, address_of(key), address_of(value), flags)
        expect_success("MAP_UPDATE_ELEM", answer, INDEXED)

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

    def inline_lookup(self) -> InlineLookup | None:
        """array_at with the map's constants."""
        return array_at, (self.values, self.max_entries, self._stride)


class PercpuArray(IndexedMap):
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
        self._copy_out = creation.library.bind(percpu_array_copy_out)
        self._copy_in = creation.library.bind(percpu_array_copy_in)

    @property
    def host_value_size(self) -> int:
        """One copy for each CPU."""
        return self._stride * self.cpus

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """All copies of the value at *key*."""
        index = self.index_of("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        if index >= self.max_entries:
            raise Refusal("MAP_LOOKUP_ELEM", elements.ABSENT, f"index {index} is past the end")
        size = self._stride * self.cpus
        target = self._buffers.reserve(size)
        self._copy_out(self.address, address_of(key), target, self.cpus)
        return ctypes.string_at(target, size)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Overwrite all copies at *key*."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        place = address_of(key)
        answer = self._copy_in(self.address, place, address_of(value), self.cpus, flags)
        expect_success("MAP_UPDATE_ELEM", answer, INDEXED)

    def inline_lookup(self) -> InlineLookup | None:
        """percpu_array_at with the map's constants."""
        return percpu_array_at, (self.values, self.max_entries, self._stride, self.span)
