"""BLOOM_FILTER: a set that answers "surely not" or "perhaps".

Descriptor words: 64 BITS, address of the bit array; 72 BIT_MASK, its size less one; 80 HASHES,
how many bits a value sets; 88 SEED. Source: Linux kernel/bpf/bloom_filter.c (other hash function).
"""

import os
from typing import Final

from skep.base.native import cmpxchg64, load64, load_acquire64, native, wrap
from skep.maps.answer import MINUS_EINVAL, MINUS_ENOENT, expect_success
from skep.maps.creation import (
    ACCESS_FLAGS,
    NUMA_NODE,
    VALUE_LIMIT,
    ZERO_SEED,
    Creation,
    check_flags,
    check_long,
    check_value,
    power_above,
    require,
)
from skep.maps.hash_table import hash_bytes
from skep.maps.interface import FAMILY, VALUE_SIZE
from skep.maps.stored import HEAD_SIZE, StoredMap, address_of
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

BITS: Final = FAMILY
BIT_MASK: Final = FAMILY + 8
HASHES: Final = FAMILY + 16
SEED: Final = FAMILY + 24

_DEFAULT_HASHES: Final = 5
_MOST_BITS: Final = 1 << 32
_STEP: Final = 0x9E37_79B9_7F4A_7C15


@native
def bit_number(this: int, value: int, number: int) -> int:
    """The bit that hash function *number* gives *value*."""
    seed = wrap(load64(this + SEED) + number * _STEP)
    return hash_bytes(value, load64(this + VALUE_SIZE), seed) & load64(this + BIT_MASK)


@native
def bloom_push(this: int, value: int, flags: int) -> int:
    """Add a value."""
    if flags != 0:
        return MINUS_EINVAL
    for number in range(load64(this + HASHES)):
        bit = bit_number(this, value, number)
        word = load64(this + BITS) + (bit >> 6) * 8
        old = load64(word)
        while (old >> (bit & 63) & 1) == 0:
            seen = cmpxchg64(word, old, old | 1 << (bit & 63))
            old = old | 1 << (bit & 63) if seen == old else seen
    return 0


@native
def bloom_peek(this: int, value: int) -> int:
    """0 if the value may be there, -ENOENT if it surely is not."""
    for number in range(load64(this + HASHES)):
        bit = bit_number(this, value, number)
        word = load_acquire64(load64(this + BITS) + (bit >> 6) * 8)
        if (word >> (bit & 63) & 1) == 0:
            return MINUS_ENOENT
    return 0


def bit_count(entries: int, hashes: int) -> int:
    """Size of the bit array: 7/5 of entries x hashes, up to a power of two from 64 to 2^32."""
    product = entries * hashes
    bits = product // 5 * 7
    if product >= _MOST_BITS or bits > 1 << 31:
        return _MOST_BITS
    return max(power_above(bits), 64)


class BloomFilter(StoredMap):
    """A bloom filter; the host's look-up gives the value to ask for in place of a key."""

    no_operation = elements.NO_OPERATION_OPAQUE

    def __init__(self, creation: Creation) -> None:
        check_long(creation, VALUE_LIMIT)
        require(not creation.key_size, reasons.CREATE_KEY_SIZE, "bloom filters have no keys")
        check_value(creation)
        require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
        check_flags(creation, NUMA_NODE | ZERO_SEED | ACCESS_FLAGS)
        require(creation.map_extra <= 15, reasons.CREATE_BLOOM_HASHES)
        hashes = creation.map_extra or _DEFAULT_HASHES
        bits = bit_count(creation.max_entries, hashes)
        super().__init__(creation, creation.value_size, bits // 8)
        self.put_word(BITS, self.address + HEAD_SIZE)
        self.put_word(BIT_MASK, bits - 1)
        self.put_word(HASHES, hashes)
        if not creation.map_flags & ZERO_SEED:
            self.put_word(SEED, int.from_bytes(os.urandom(8), "little"))
        self._push = creation.library.bind(bloom_push)
        self._peek = creation.library.bind(bloom_peek)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Return the value that *key* holds if it may be in the set."""
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        self.check_value("MAP_LOOKUP_ELEM", key)
        if self._peek(self.address, address_of(key)):
            raise Refusal(
                "MAP_LOOKUP_ELEM", elements.ABSENT, "the value is not in the filter", "value"
            )
        return key

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Push."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        answer = self._push(self.address, address_of(value), flags)
        expect_success("MAP_UPDATE_ELEM", answer)
