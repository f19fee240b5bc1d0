"""StoredMap: what all families share; the descriptor, host buffers, refusals.

A family overrides the operations that it has; the rest answer as Linux does for maps without
them. Memory is one private block, descriptor first; pages are touched only when used.
"""

import ctypes
import threading
from collections.abc import Iterator
from errno import EINVAL, ENOENT
from typing import Final

from skep.base.memory import Block
from skep.errors import CommandError
from skep.maps import interface as words
from skep.maps.creation import COMMAND, RDONLY, WRONLY, Creation, check_memory
from skep.maps.interface import DESCRIPTOR_SIZE, InlineLookup, Map
from skep.maps.value import F_LOCK
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Reason, Refusal

_BYTES_OFFSET: Final = bytes.__basicsize__ - 1
_SPECIAL_AREA: Final = 256  # bytes behind the descriptor: room for 29 special fields, two words
HEAD_SIZE: Final = DESCRIPTOR_SIZE + _SPECIAL_AREA


def address_of(data: bytes) -> int:
    """Address of the bytes of *data*, valid as long as the caller holds it (CPython's layout)."""
    return id(data) + _BYTES_OFFSET


class Buffers(threading.local):
    """One growing scratch buffer for each thread, for what native functions write to the host."""

    def __init__(self) -> None:
        self.size = 4096
        self.buffer = ctypes.create_string_buffer(self.size)
        self.address = ctypes.addressof(self.buffer)

    def reserve(self, size: int) -> int:
        """Address of at least *size* bytes, this thread's until it calls again."""
        if size > self.size:
            self.size = size
            self.buffer = ctypes.create_string_buffer(size)
            self.address = ctypes.addressof(self.buffer)
        return self.address


class StoredMap:
    """A map with a descriptor; see the Map protocol for what the operations mean."""

    no_operation: Reason = elements.NO_OPERATION  # for operations that the family lacks

    def __init__(self, creation: Creation, stride: int, size: int, limit: int = -1) -> None:
        """*size* bytes follow HEAD_SIZE; *limit* is the memory to check (size unless given)."""
        most = size if limit < 0 else limit
        check_memory(most)
        self.most_bytes = HEAD_SIZE + max(size, most)
        self.map_type = creation.map_type
        self.key_size = creation.key_size
        self.value_size = creation.value_size
        self.max_entries = creation.max_entries
        self.map_flags = creation.map_flags & ~(RDONLY | WRONLY)
        self.map_extra = creation.map_extra
        self.name = creation.name
        self.frozen = False
        self.btf = creation.btf
        self.btf_key_type_id = creation.btf_key_type_id
        self.btf_value_type_id = creation.btf_value_type_id
        self.inner: Map | None = creation.inner
        self.cpus = creation.cpus
        self.lock_offset = creation.lock_offset
        self._buffers = Buffers()
        self._stride = stride
        self._id = 0
        self.block, self.address = self._allocate(HEAD_SIZE + size)
        self._describe(creation, stride)

    def _allocate(self, size: int) -> tuple[Block, int]:
        try:
            block = Block(size, shared=False)
        except (OSError, MemoryError, ValueError, OverflowError):
            why = f"no address space for {size} bytes"
            raise Refusal(COMMAND, reasons.CREATE_MEMORY, why) from None
        return block, block.address

    def _describe(self, creation: Creation, stride: int) -> None:
        for word, value in (
            (words.TYPE, self.map_type),
            (words.KEY_SIZE, self.key_size),
            (words.VALUE_SIZE, self.value_size),
            (words.MAX_ENTRIES, self.max_entries),
            (words.FLAGS, self.map_flags),
            (words.CPUS, self.cpus),
            (words.STRIDE, stride),
            (words.LOCK, self.lock_offset + 1),
        ):
            self.put_word(word, value)
        if creation.special:
            table = self.address + DESCRIPTOR_SIZE
            for row, (offset, length) in enumerate(creation.special[: _SPECIAL_AREA // 8 - 3]):
                ctypes.c_uint64.from_address(table + 8 * row).value = length << 32 | offset
            self.put_word(words.SPECIAL, table)
        if creation.owned is not None:
            self.put_word(words.DISOWN, creation.owned[0])
            self.put_word(words.VALUE_TYPE, creation.owned[1])

    def put_word(self, word: int, value: int) -> None:
        """Store *value* in the descriptor at offset *word*."""
        ctypes.c_uint64.from_address(self.address + word).value = value

    def word(self, word: int) -> int:
        """The descriptor's word at offset *word*."""
        return ctypes.c_uint64.from_address(self.address + word).value

    def _number(self) -> int:
        return self._id

    def _set_number(self, value: int) -> None:
        self._id = value
        self.put_word(words.ID, value)

    id = property(_number, _set_number, doc="Number in the subsystem; 0 until it has one.")

    @property
    def host_value_size(self) -> int:
        """Bytes of a value as bpf(2) passes it."""
        return self.value_size

    @property
    def memory_bytes(self) -> int:
        """Memory that the map holds, in bytes."""
        return self.block.size

    def check_key(self, command: str, key: bytes) -> None:
        """Refuse a key of the wrong size."""
        if len(key) != self.key_size:
            text = f"{len(key)} bytes of key, not {self.key_size}"
            raise CommandError(command, EINVAL, text)

    def check_value(self, command: str, value: bytes) -> None:
        """Refuse a value of the wrong size."""
        if len(value) != self.host_value_size:
            size = self.host_value_size
            raise CommandError(command, EINVAL, f"{len(value)} bytes of value, not {size}")

    def check_read_flags(self, command: str, flags: int) -> None:
        """Refuse flags of a look-up other than F_LOCK, and F_LOCK on values without a lock."""
        if flags & ~F_LOCK:
            raise Refusal(command, elements.READ_FLAGS)
        self.check_lock_flag(command, flags)

    def check_lock_flag(self, command: str, flags: int) -> None:
        """Refuse F_LOCK on values without a lock."""
        if flags & F_LOCK and self.lock_offset < 0:
            raise Refusal(command, elements.NO_LOCK)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:  # noqa: ARG002 - no family default
        """Refuse: the family has no look-ups."""
        raise Refusal("MAP_LOOKUP_ELEM", self.no_operation)

    def find(self, key: bytes) -> bytes | None:
        """Value of *key*, None if there is none."""
        try:
            return self.lookup(key)
        except CommandError as refusal:
            if refusal.errno != ENOENT:
                raise
            return None

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:  # noqa: ARG002
        """Refuse: the family has no updates."""
        raise Refusal("MAP_UPDATE_ELEM", self.no_operation)

    def delete(self, key: bytes) -> None:  # noqa: ARG002
        """Refuse: the family has no deletion."""
        raise Refusal("MAP_DELETE_ELEM", self.no_operation)

    def lookup_and_delete(self, key: bytes, flags: int = 0) -> bytes:
        """Refuse: only hashes, queues and stacks can."""
        self.check_key("MAP_LOOKUP_AND_DELETE_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_AND_DELETE_ELEM", flags)
        raise Refusal("MAP_LOOKUP_AND_DELETE_ELEM", elements.NO_OPERATION)

    def next_key(self, key: bytes | None) -> bytes:  # noqa: ARG002
        """Refuse: the family has no keys."""
        raise Refusal("MAP_GET_NEXT_KEY", self.no_operation)

    def keys(self) -> Iterator[bytes]:
        """Walk with next_key."""
        key: bytes | None = None
        while True:
            try:
                key = self.next_key(key)
            except CommandError as refusal:
                if refusal.errno == ENOENT:
                    return
                raise
            yield key

    def elements(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key with its value, as they are when their turn comes."""
        for key in self.keys():
            value = self.find(key)
            if value is not None:
                yield key, value

    def constant(self, offset: int, size: int) -> int | None:  # noqa: ARG002
        """None: only frozen arrays have constants."""
        return None

    def value_address(self, offset: int) -> int | None:  # noqa: ARG002
        """None: only arrays have direct values."""
        return None

    def inline_lookup(self) -> InlineLookup | None:
        """None: look-ups go through the helper."""
        return None

    def close(self) -> None:
        """Nothing else is held."""
