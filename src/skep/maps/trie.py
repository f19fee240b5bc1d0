"""LPM_TRIE: longest-prefix match.

Keys are ``{u32 prefix length in bits; data}``; the data beyond the prefix is kept but not compared.
Source: Linux kernel/bpf/lpm_trie.c.
"""

import ctypes
from errno import EINVAL
from typing import Final

from skep.maps import trie_code as words
from skep.maps.answer import ANSWERS, expect_success
from skep.maps.creation import (
    ACCESS_FLAGS,
    NO_PREALLOC,
    NUMA_NODE,
    PHYSICAL_MEMORY,
    VALUE_LIMIT,
    Creation,
    check_flags,
    require,
    round8,
)
from skep.maps.stored import HEAD_SIZE, StoredMap, address_of
from skep.maps.trie_code import trie_delete, trie_next_key, trie_read, trie_update
from skep.maps.value import EXIST
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

_MOST_DATA: Final = 256
_NODE_HEAD: Final = 40  # sizeof(struct lpm_trie_node): part of the size check
_SPARE: Final = 16
_KEYED: Final = {**ANSWERS, EINVAL: elements.BAD_KEY}


class Trie(StoredMap):
    """A longest-prefix-match trie."""

    def __init__(self, creation: Creation) -> None:
        require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
        require(creation.map_flags & NO_PREALLOC, reasons.CREATE_FLAGS, "tries need NO_PREALLOC")
        check_flags(creation, NO_PREALLOC | NUMA_NODE | ACCESS_FLAGS)
        data = creation.key_size - 4
        require(1 <= data <= _MOST_DATA, reasons.CREATE_KEY_SIZE, "keys have 5 to 260 bytes")
        most = VALUE_LIMIT - _MOST_DATA - _NODE_HEAD
        fits = 1 <= creation.value_size <= most
        require(fits, reasons.CREATE_VALUE_SIZE, f"values have 1 to {most} bytes")
        value_at = words.DATA + round8(data)
        node = value_at + round8(creation.value_size)
        wanted = 2 * creation.max_entries + _SPARE
        count = min(wanted, max(PHYSICAL_MEMORY // 2 // node, 4))
        super().__init__(creation, round8(creation.value_size), (count + 1) * node, 0)
        self._node_size = node
        for word, value in (
            (words.DATA_SIZE, data),
            (words.VALUE_AT, value_at),
            (words.POOL, self.address + HEAD_SIZE),
            (words.NODE_SIZE, node),
            (words.POOL_COUNT, count),
            (words.FRESH, 1),
        ):
            self.put_word(word, value)
        bind = creation.library.bind
        self._read, self._next = bind(trie_read), bind(trie_next_key)
        self._update, self._delete = bind(trie_update), bind(trie_delete)

    def __len__(self) -> int:
        return self.word(words.COUNT)

    @property
    def memory_bytes(self) -> int:
        """The entries in use."""
        return HEAD_SIZE + len(self) * self._node_size

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Value of the longest prefix that covers *key*."""
        self.check_key("MAP_LOOKUP_ELEM", key)
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        target = self._buffers.reserve(self.value_size)
        expect_success("MAP_LOOKUP_ELEM", self._read(self.address, address_of(key), target))
        return ctypes.string_at(target, self.value_size)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Add the prefix *key*, or replace its value."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        answer = self._update(self.address, address_of(key), address_of(value), flags)
        expect_success("MAP_UPDATE_ELEM", answer, ANSWERS if flags > EXIST else _KEYED)

    def delete(self, key: bytes) -> None:
        """Remove exactly the prefix *key*."""
        self.check_key("MAP_DELETE_ELEM", key)
        answer = self._delete(self.address, address_of(key))
        expect_success("MAP_DELETE_ELEM", answer, _KEYED)

    def next_key(self, key: bytes | None) -> bytes:
        """The prefix after *key*, longer ones before those that cover them."""
        if key is not None:
            self.check_key("MAP_GET_NEXT_KEY", key)
        target = self._buffers.reserve(self.key_size)
        place = 0 if key is None else address_of(key)
        if self._next(self.address, place, target):
            raise Refusal("MAP_GET_NEXT_KEY", elements.LAST)
        return ctypes.string_at(target, self.key_size)
