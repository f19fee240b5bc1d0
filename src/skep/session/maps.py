"""Map: a map of any type as a MutableMapping, typed from BTF."""

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sized
from contextlib import suppress
from errno import EEXIST, ENOENT
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from skep.errors import CommandError
from skep.maps import interface
from skep.maps.arena import Arena
from skep.maps.hash import Hash
from skep.maps.keyed import KeyedMap, address_in
from skep.session.bulk import Bulk
from skep.session.codec import Codec, codec, codec_of_copies
from skep.session.views import Items, Values
from skep.uapi import map_types
from skep.uapi.flags import MapType, UpdateFlag

if TYPE_CHECKING:
    from skep.session.arrays import NumpyArray

KEYLESS: Final = frozenset({MapType.QUEUE, MapType.STACK, MapType.BLOOM_FILTER, MapType.ARENA})
STREAMS: Final = frozenset({MapType.RINGBUF, MapType.PERF_EVENT_ARRAY, MapType.USER_RINGBUF})
FD_VALUES: Final = frozenset(
    {MapType.PROG_ARRAY, MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS, MapType.PERF_EVENT_ARRAY}
)


class Map(MutableMapping[Any, Any]):
    """A map of a loaded object.

    Keys and values are Python values as BTF types them: ints, dicts of members, lists, strings for
    character arrays; bytes of the right length are taken everywhere. A per-CPU map's value is the
    list of all CPUs' values. Maps of descriptors (program arrays, maps of maps) take a Program, a
    Map or an fd, and give ids.

    Iteration is safe while programs and other threads change the map: elements that stay come
    once, others at most once. Many elements at a time, and numpy: ``to_numpy``, ``update_many``,
    ``lookup_many``, ``delete_many``; ``view`` is an array's memory.
    """

    def __init__(self, target: interface.Map, fd: int, name: str) -> None:
        self.target, self.fd, self.name = target, fd, name
        row = map_types.by_id(target.map_type)
        assert row is not None
        self.type_name = row.name
        self._key = codec(target.btf, target.btf_key_type_id, target.key_size)
        self._value = self._value_codec(per_cpu=row.per_cpu)
        encoders = self._key.encode, self._value.encode
        self._bulk = Bulk(target, *encoders, per_cpu=row.per_cpu)

    def _value_codec(self, *, per_cpu: bool) -> Codec:
        target = self.target
        if target.map_type in FD_VALUES:
            return Codec(lambda data: int.from_bytes(data, "little"), _descriptor)
        typed = target.btf, target.btf_value_type_id, target.value_size
        if not per_cpu:
            return codec(*typed)
        stride = (target.value_size + 7) & ~7
        return codec_of_copies(*typed, target.host_value_size // stride)

    @cached_property
    def _find(self) -> Callable[[bytes], bytes | None]:
        target = self.target
        if isinstance(target, KeyedMap) and target.in_bulk:
            return target.calls.fetch
        return target.find

    @cached_property
    def _store(self) -> Callable[[bytes, bytes, int], int]:
        """0 if an element was stored, anything else if the map has to say why not."""
        target = self.target
        if isinstance(target, KeyedMap) and target.in_bulk:
            return target.calls.store
        return lambda _key, _value, _flags: 1

    def __getitem__(self, key: Any) -> Any:
        data = self._find(self._key.encode(key))
        if data is None:
            raise KeyError(key)
        return self._value.decode(data)

    def __setitem__(self, key: Any, value: Any) -> None:
        place, data = self._key.encode(key), self._value.encode(value)
        if self._store(place, data, 0):
            self.target.update(place, data)

    def __delitem__(self, key: Any) -> None:
        try:
            self.target.delete(self._key.encode(key))
        except CommandError as error:
            raise _missing(error, key) from None

    def _keys(self) -> Iterator[bytes]:
        if self.target.map_type in KEYLESS | STREAMS - {MapType.PERF_EVENT_ARRAY}:
            raise TypeError(f"a {self.type_name} has no keys")
        return self.target.keys()

    def __iter__(self) -> Iterator[Any]:
        return map(self._key.decode, self._keys())

    def __len__(self) -> int:
        if isinstance(self.target, Sized):
            return len(self.target)
        return sum(1 for _ in self._keys())

    def __contains__(self, key: object) -> bool:
        try:
            return self._find(self._key.encode(key)) is not None
        except (CommandError, TypeError, ValueError):
            return False

    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Every key with its value, typed."""
        self._keys()
        decode_key, decode_value = self._key.decode, self._value.decode
        for key, value in self.target.elements():
            yield decode_key(key), decode_value(value)

    def items(self) -> Items:
        """Keys with values; each pair as it was at one moment."""
        return Items(self)

    def values(self) -> Values:
        """The values, in the order of the keys."""
        return Values(self)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value of *key*, after adding *default* if there was none, at once."""
        place = self._key.encode(key)
        while (data := self._find(place)) is None:
            try:
                self.target.update(place, self._value.encode(default), UpdateFlag.NOEXIST)
            except CommandError as refusal:
                if refusal.errno != EEXIST:
                    raise
        return self._value.decode(data)

    def popitem(self) -> tuple[Any, Any]:
        """Remove some element and give it; KeyError if there is none."""
        if not (isinstance(self.target, Hash) and self.target.in_bulk):
            return super().popitem()
        while True:
            try:
                key = self.target.next_key(None)
            except CommandError as error:
                raise _missing(error, "the map is empty") from None
            with suppress(CommandError):  # another one was quicker
                data = self.target.lookup_and_delete(key)
                return self._key.decode(key), self._value.decode(data)

    def clear(self) -> None:
        """Remove every element; those that others add meanwhile may stay."""
        if not (isinstance(self.target, KeyedMap) and self.target.in_bulk):
            return super().clear()
        for count, keys, _ in self.target.portions(values=False):
            self.target.drop_many(address_in(keys), count)
        return None

    def to_numpy(self) -> "tuple[NumpyArray, NumpyArray]":
        """Keys and values of all elements as numpy arrays, typed from BTF.

        A per-CPU map's values have two dimensions: elements and CPUs.

        Raises:
            ImportError: there is no numpy.
            NotSupported: the elements are no bytes: descriptors, queues, streams.
        """
        return self._bulk.read_all()

    def view(self) -> "NumpyArray":
        """The values of an array (with CPUs as second dimension), or the bytes of an arena.

        They are where programs have them: what is written is there at once, nothing is copied or
        locked. The memory lives as long as the view.
        """
        return self._bulk.view()

    def offset_of(self, pointer: int) -> int:
        """Where in ``view`` a pointer into the arena points; IndexError if it is none."""
        if not isinstance(self.target, Arena):
            raise TypeError(f"a {self.type_name} has no pointers")
        return self.target.offset_of(pointer)

    def update_many(
        self,
        keys: "Iterable[Any] | NumpyArray",
        values: "Iterable[Any] | NumpyArray",
        flags: int = 0,
    ) -> None:
        """Create or replace many elements: numpy arrays, or Python values one by one.

        Raises:
            CommandError: one was refused; those before it are stored.
        """
        self._bulk.store(keys, values, flags)

    def lookup_many(self, keys: "Iterable[Any] | NumpyArray") -> "tuple[NumpyArray, NumpyArray]":
        """Values at many keys, and for each key whether it is there; values of others are zero."""
        return self._bulk.read(keys)

    def delete_many(self, keys: "Iterable[Any] | NumpyArray") -> int:
        """Remove many elements; how many of them there were."""
        return self._bulk.drop(keys)

    def push(self, value: Any, *, replace: bool = False) -> None:
        """Append to a queue, stack or bloom filter; *replace* drops the oldest of a full one."""
        self.target.update(b"", self._value.encode(value), 2 if replace else 0)

    def pop(self, *arguments: Any) -> Any:
        """Take from a queue or stack (KeyError if it is empty); with a key as ``dict.pop``."""
        if self.target.map_type not in KEYLESS:
            return self._remove(*arguments)
        try:
            return self._value.decode(self.target.lookup_and_delete(b""))
        except CommandError as error:
            raise _missing(error, self.name) from None

    def _remove(self, key: Any, *default: Any) -> Any:
        """As ``dict.pop``; at once where the map can."""
        if not (isinstance(self.target, Hash) and self.target.in_bulk):
            return super().pop(key, *default)
        try:
            return self._value.decode(self.target.lookup_and_delete(self._key.encode(key)))
        except CommandError as error:
            if error.errno == ENOENT and default:
                return default[0]
            raise _missing(error, key) from None

    def peek(self) -> Any:
        """The next element of a queue or stack, left in place; KeyError if it is empty."""
        try:
            return self._value.decode(self.target.lookup(b""))
        except CommandError as error:
            raise _missing(error, self.name) from None

    def dump(self) -> list[dict[str, Any]]:
        """Every element, as ``{"key": …, "value": …}``; empty for streams and keyless maps."""
        elements: list[dict[str, Any]] = []
        if self.target.map_type in KEYLESS | STREAMS:
            return elements
        elements.extend({"key": key, "value": value} for key, value in self.pairs())
        return elements

    @property
    def info(self) -> dict[str, Any]:
        """What ``skep map show`` says."""
        target = self.target
        return {
            "id": target.id,
            "type": self.type_name,
            "name": self.name,
            "flags": target.map_flags,
            "key_size": target.key_size,
            "value_size": target.value_size,
            "max_entries": target.max_entries,
            "memlock": target.memory_bytes,
            "frozen": target.frozen,
        }

    def __repr__(self) -> str:
        return f"<skep.Map {self.name}: {self.type_name}>"


def _descriptor(value: Any) -> bytes:
    fd = getattr(value, "fd", value)
    if isinstance(fd, bytes):
        return fd
    return int(fd).to_bytes(4, "little", signed=True)


def _missing(error: CommandError, key: Any) -> Exception:
    return KeyError(key) if error.errno == ENOENT else error
