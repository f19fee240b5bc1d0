"""Map: a map of any type as a MutableMapping, typed from BTF."""

from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from errno import ENOENT
from typing import Any, Final

from skep.errors import CommandError
from skep.maps import interface
from skep.session.codec import Codec, codec
from skep.uapi import map_types
from skep.uapi.flags import MapType

KEYLESS: Final = frozenset({MapType.QUEUE, MapType.STACK, MapType.BLOOM_FILTER})
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
    """

    def __init__(self, target: interface.Map, fd: int, name: str) -> None:
        self.target, self.fd, self.name = target, fd, name
        row = map_types.by_id(target.map_type)
        assert row is not None
        self.type_name = row.name
        self._key = codec(target.btf, target.btf_key_type_id, target.key_size)
        self._value = self._value_codec(per_cpu=row.per_cpu)

    def _value_codec(self, *, per_cpu: bool) -> Codec:
        target = self.target
        if target.map_type in FD_VALUES:
            return Codec(lambda data: int.from_bytes(data, "little"), _descriptor)
        one = codec(target.btf, target.btf_value_type_id, target.value_size)
        if not per_cpu:
            return one
        stride = (target.value_size + 7) & ~7

        def split(data: bytes) -> list[Any]:
            starts = range(0, len(data), stride)
            return [one.decode(data[at : at + target.value_size]) for at in starts]

        def join(values: Any) -> bytes:
            if isinstance(values, bytes):
                return values
            copies = target.host_value_size // stride
            each = list(values) if isinstance(values, list | tuple) else [values] * copies
            if len(each) != copies:
                raise ValueError(f"{len(each)} values for {copies} CPUs")
            return b"".join(one.encode(value).ljust(stride, b"\0") for value in each)

        return Codec(split, join)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._value.decode(self.target.lookup(self._key.encode(key)))
        except CommandError as error:
            raise _missing(error, key) from None

    def __setitem__(self, key: Any, value: Any) -> None:
        self.target.update(self._key.encode(key), self._value.encode(value))

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
        return sum(1 for _ in self._keys())

    def __contains__(self, key: object) -> bool:
        try:
            self.target.lookup(self._key.encode(key))
        except (CommandError, TypeError, ValueError):
            return False
        return True

    def push(self, value: Any, *, replace: bool = False) -> None:
        """Append to a queue, stack or bloom filter; *replace* drops the oldest of a full one."""
        self.target.update(b"", self._value.encode(value), 2 if replace else 0)

    def pop(self, *arguments: Any) -> Any:
        """Take from a queue or stack (KeyError if it is empty); with a key as ``dict.pop``."""
        if self.target.map_type not in KEYLESS:
            return super().pop(*arguments)
        try:
            return self._value.decode(self.target.lookup_and_delete(b""))
        except CommandError as error:
            raise _missing(error, self.name) from None

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
        for key in self.target.keys():  # noqa: SIM118 - Map is no dict
            with suppress(CommandError):  # deleted meanwhile, or a slot that holds nothing
                value = self._value.decode(self.target.lookup(key))
                elements.append({"key": self._key.decode(key), "value": value})
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
