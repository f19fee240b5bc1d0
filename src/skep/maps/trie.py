"""LPM_TRIE: longest-prefix match.

Keys are ``{u32 prefix length in bits; data}``; the data beyond the prefix is kept but not compared.
Source: Linux kernel/bpf/lpm_trie.c.
"""

import ctypes
import functools
from collections.abc import Callable, Iterator, Mapping
from errno import EINVAL
from typing import Final, NamedTuple

from skep.maps import trie_nodes as words
from skep.maps.answer import ANSWERS
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
from skep.maps.keyed import KeyedMap, address_in
from skep.maps.stored import HEAD_SIZE, address_of
from skep.maps.trie_walk import trie_dump, trie_key_after, trie_next_key
from skep.maps.value import EXIST
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Reason, Refusal

_MOST_DATA: Final = 256
_NODE_HEAD: Final = 40  # sizeof(struct lpm_trie_node): part of the size check
_SPARE: Final = 16
_AT_ONCE: Final = 4096  # entries of one look, which keeps writers waiting
_UNIT: Final = 8  # bytes that references count
_REFERENCES: Final = _UNIT << 32  # bytes that they reach
_KEYED: Final = {**ANSWERS, EINVAL: elements.BAD_KEY}


class _Supply(NamedTuple):
    """Where the nodes of a kind are: bytes of one, their first and last place in the pool."""

    word: int
    node: int
    start: int
    end: int


class Trie(KeyedMap):
    """A longest-prefix-match trie."""

    delete_rows = _KEYED

    def __init__(self, creation: Creation) -> None:
        require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
        require(creation.map_flags & NO_PREALLOC, reasons.CREATE_FLAGS, "tries need NO_PREALLOC")
        check_flags(creation, NO_PREALLOC | NUMA_NODE | ACCESS_FLAGS)
        data = creation.key_size - 4
        require(1 <= data <= _MOST_DATA, reasons.CREATE_KEY_SIZE, "keys have 5 to 260 bytes")
        most = VALUE_LIMIT - _MOST_DATA - _NODE_HEAD
        fits = 1 <= creation.value_size <= most
        require(fits, reasons.CREATE_VALUE_SIZE, f"values have 1 to {most} bytes")
        value_at = round8(words.DATA + data)  # where joints end
        node = value_at + round8(creation.value_size)
        wanted = creation.max_entries + _SPARE
        count = min(wanted, max(PHYSICAL_MEMORY // 2, 2 * node) // (node + value_at))
        count = min(count, (_REFERENCES - _UNIT) // (node + value_at))
        size = _UNIT + count * (node + value_at)
        super().__init__(creation, round8(creation.value_size), size, 0)
        joints = _UNIT + count * node
        self._supplies = (
            _Supply(words.ENTRIES, node, _UNIT, joints),
            _Supply(words.JOINTS, value_at, joints, size),
        )
        for word, value in (
            (words.DATA_SIZE, data),
            (words.VALUE_AT, value_at),
            (words.POOL, self.address + HEAD_SIZE),
        ):
            self.put_word(word, value)
        for supply in self._supplies:
            self.put_word(supply.word + words.STEP, supply.node // _UNIT)
            self.put_word(supply.word + words.FRESH, supply.start // _UNIT)
            last = supply.end - supply.node
            self.put_word(supply.word + words.END, last // _UNIT + 1)

    def __len__(self) -> int:
        return self.word(words.COUNT)

    @property
    def memory_bytes(self) -> int:
        """The nodes that were ever in use."""
        used = (
            self.word(supply.word + words.FRESH) * _UNIT - supply.start for supply in self._supplies
        )
        return HEAD_SIZE + sum(used)

    def update_rows(self, flags: int) -> Mapping[int, Reason]:
        """What the answers to an update with *flags* mean."""
        return ANSWERS if flags > EXIST else _KEYED

    def next_key(self, key: bytes | None) -> bytes:
        """The prefix after *key*, longer ones before those that cover them."""
        if key is not None:
            following = self._step(key)
            if following is not None:
                return following
            self.check_key("MAP_GET_NEXT_KEY", key)
            raise Refusal("MAP_GET_NEXT_KEY", elements.LAST)
        target = self._buffers.reserve(self.key_size)
        if self._library.bind(trie_next_key)(self.address, 0, target):
            raise Refusal("MAP_GET_NEXT_KEY", elements.LAST)
        return ctypes.string_at(target, self.key_size)

    @functools.cached_property
    def _step(self) -> Callable[[bytes], bytes | None]:
        return self.quick_step(trie_key_after)

    def portions(self, *, values: bool = True) -> Iterator[tuple[int, bytearray, bytearray]]:
        """See KeyedMap; the entries of a portion are as they are together at one moment."""
        dump = self._library.bind(trie_dump)
        last, count = b"", _AT_ONCE
        while count == _AT_ONCE:
            keys = bytearray(_AT_ONCE * self.key_size)
            data = bytearray(_AT_ONCE * self.value_size if values else 0)
            start = address_of(last) if last else 0
            count = dump(self.address, start, address_in(keys), address_in(data), _AT_ONCE)
            last = bytes(keys[(count - 1) * self.key_size : count * self.key_size])
            if count:
                yield count, keys, data

    def keys(self) -> Iterator[bytes]:
        """Every prefix, longer ones before those that cover them."""
        size = self.key_size
        for count, packed, _ in self.portions(values=False):
            data = bytes(packed)
            yield from (data[place : place + size] for place in range(0, count * size, size))
