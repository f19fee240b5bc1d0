"""KeyedMap: what maps whose elements have keys of their own share; the host's operations.

One element at a time goes through functions that the library makes of native code, bytes in and
bytes out; they hold the interpreter lock, so what may wait (F_LOCK) goes the longer way, as does
what is to be refused. Many elements at a time take the addresses of packed keys and values, and
let other threads run meanwhile.
"""

import ctypes
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from skep.base.native import NativeFunction
from skep.maps.answer import ANSWERS, expect_success
from skep.maps.creation import Creation, ElementCalls
from skep.maps.host_code import codes_of, host_drop_many, host_read_many, host_store_many
from skep.maps.interface import SPECIAL
from skep.maps.stored import StoredMap, address_of
from skep.maps.value import F_LOCK
from skep.uapi.reason import Reason

AT_ONCE: Final = 1 << 16  # elements of one look at a map


class KeyedMap(StoredMap):
    """A map with keys, whose elements native code reads, stores and drops.

    Attributes:
        in_bulk: many elements may go in and out at a time, as bytes that stand for themselves.
    """

    in_bulk = True

    def __init__(self, creation: Creation, stride: int, size: int, limit: int = -1) -> None:
        """As StoredMap."""
        super().__init__(creation, stride, size, limit)
        self._library = creation.library
        self._codes = codes_of(creation.map_type)

    @functools.cached_property
    def calls(self) -> ElementCalls:
        """The quick way to the elements, where they are bytes that stand for themselves."""
        if self.word(SPECIAL):  # what values own may have to be let go by Python code
            return ElementCalls(self._read_patiently, self._store_patiently, self._drop_patiently)
        shape = self.address, self.key_size, self.host_value_size
        return self._library.element_calls(self._codes, *shape)

    def _read_patiently(self, key: bytes) -> bytes | None:
        if len(key) != self.key_size:
            return None
        target = self._buffers.reserve(self.host_value_size)
        if self._library.bind(self._codes[0])(self.address, address_of(key), target, 0):
            return None
        return ctypes.string_at(target, self.host_value_size)

    def _store_patiently(self, key: bytes, value: bytes, flags: int) -> int:
        if len(key) != self.key_size or len(value) != self.host_value_size:
            return 1
        store = self._library.bind(self._codes[1])
        return store(self.address, address_of(key), address_of(value), flags)

    def _drop_patiently(self, key: bytes) -> int:
        if len(key) != self.key_size:
            return 1
        return self._library.bind(self._codes[2])(self.address, address_of(key))

    @functools.cached_property
    def _fetch(self) -> Callable[[bytes], bytes | None]:
        return self.calls.fetch

    @functools.cached_property
    def _store(self) -> Callable[[bytes, bytes, int], int]:
        return self.calls.store

    @functools.cached_property
    def _drop(self) -> Callable[[bytes], int]:
        return self.calls.drop

    def quick_step(self, after: NativeFunction) -> Callable[[bytes], bytes | None]:
        """The quick way from a key to the next by *after*, ``(this, key, target, flags)``."""
        codes = (after, *self._codes[1:])
        size = self.key_size
        return self._library.element_calls(codes, self.address, size, size).fetch

    def update_rows(self, flags: int) -> Mapping[int, Reason]:  # noqa: ARG002 - tries look at them
        """What the answers to an update with *flags* mean."""
        return ANSWERS

    delete_rows: Mapping[int, Reason] = ANSWERS

    def find(self, key: bytes) -> bytes | None:
        """Value of *key*, None if there is none."""
        value = self._fetch(key)
        if value is None:
            self.check_key("MAP_LOOKUP_ELEM", key)
        return value

    def lookup(self, key: bytes, flags: int = 0) -> bytes:
        """Value of *key*, of a per-CPU map all its copies."""
        if not flags:
            value = self._fetch(key)
            if value is not None:
                return value
        command = "MAP_LOOKUP_ELEM"
        self.check_key(command, key)
        self.check_read_flags(command, flags)
        target = self._buffers.reserve(self.host_value_size)
        answer = self._library.bind(self._codes[0])(self.address, address_of(key), target, flags)
        expect_success(command, answer)
        return ctypes.string_at(target, self.host_value_size)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Create or replace, as *flags* allow."""
        if not flags & F_LOCK and not self._store(key, value, flags):
            return
        command = "MAP_UPDATE_ELEM"
        self.check_key(command, key)
        self.check_value(command, value)
        self.check_lock_flag(command, flags)
        store = self._library.bind(self._codes[1])
        answer = store(self.address, address_of(key), address_of(value), flags)
        expect_success(command, answer, self.update_rows(flags))

    def delete(self, key: bytes) -> None:
        """Remove *key*."""
        if self._drop(key):
            self.check_key("MAP_DELETE_ELEM", key)
            answer = self._library.bind(self._codes[2])(self.address, address_of(key))
            expect_success("MAP_DELETE_ELEM", answer, self.delete_rows)

    def store_many(self, keys: int, values: int, count: int, flags: int = 0) -> tuple[int, int]:
        """Store elements up to the first that is refused.

        Returns:
            How many were stored, and the answer to the next one: 0, or a negative errno as an
            unsigned number.
        """
        why = ctypes.c_uint64(0)
        place = ctypes.addressof(why)
        store = self._library.bind(host_store_many)
        done = store(self.address, keys, values, count, flags, place)
        return done, why.value

    def read_many(self, keys: int, values: int, found: int, count: int) -> int:
        """Copy the values at many keys; ``found[i]`` is 1 where there was one. Tells how many."""
        read = self._library.bind(host_read_many)
        return read(self.address, keys, values, found, count)

    def drop_many(self, keys: int, count: int, *, strict: bool = False) -> tuple[int, int]:
        """Remove elements, if *strict* up to the first that is absent.

        Returns:
            How many were removed, and the answer that ended it, as of ``store_many``.
        """
        why = ctypes.c_uint64(0)
        place = ctypes.addressof(why) if strict else 0
        done = self._library.bind(host_drop_many)(self.address, keys, count, place)
        return done, why.value

    def require_success(self, command: str, answer: int, flags: int = 0) -> None:
        """Raise what the *answer* of ``store_many`` (with *flags*) or ``drop_many`` stands for."""
        rows = self.delete_rows if "DELETE" in command else self.update_rows(flags)
        expect_success(command, answer, rows)

    def portions(self, *, values: bool = True) -> Iterator[tuple[int, bytearray, bytearray]]:
        """The elements, many at a time: how many, their packed keys, their packed values.

        Elements that stay all the time come once; those that come or go meanwhile, at most once.
        """
        raise NotImplementedError

    def elements(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key with its value, as ``portions``."""
        key_size, value_size = self.key_size, self.host_value_size
        for count, keys, data in self.portions():
            all_keys, all_values = bytes(keys), bytes(data)
            for number in range(count):
                key, value = number * key_size, number * value_size
                yield all_keys[key : key + key_size], all_values[value : value + value_size]


def address_in(buffer: bytearray) -> int:
    """Address of the bytes of *buffer*, right as long as it keeps its size."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if buffer else 0
