"""Many elements of a map at a time: numpy arrays or sequences in, numpy arrays out."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from skep.errors import CommandError, NotSupported
from skep.maps import interface
from skep.maps.arena import Arena
from skep.maps.array import Array, PercpuArray
from skep.maps.keyed import KeyedMap, address_in
from skep.session import arrays

if TYPE_CHECKING:
    import numpy as np

    from skep.session.arrays import NumpyArray


class Bulk:
    """Bulk operations on one map.

    Args:
        target: the map.
        per_cpu: whether each CPU has a copy of each value.
        encode_key, encode_value: bytes of a Python value.
    """

    def __init__(
        self,
        target: interface.Map,
        encode_key: Callable[[Any], bytes],
        encode_value: Callable[[Any], bytes],
        *,
        per_cpu: bool,
    ) -> None:
        self._target, self._encode_key, self._encode_value = target, encode_key, encode_value
        self._cpus = target.host_value_size // ((target.value_size + 7) & ~7) if per_cpu else 0

    def _keyed(self) -> KeyedMap:
        """The map, if its elements are bytes that stand for themselves."""
        if isinstance(self._target, KeyedMap) and self._target.in_bulk:
            return self._target
        raise NotSupported(f"many elements of {self._target.name} at a time", "they are no bytes")

    @cached_property
    def key_type(self) -> "np.dtype[Any]":
        """Numpy's type of keys."""
        target = self._target
        return arrays.dtype_of(target.btf, target.btf_key_type_id, target.key_size)

    @cached_property
    def value_type(self) -> "np.dtype[Any]":
        """Numpy's type of values."""
        target = self._target
        return arrays.dtype_of(target.btf, target.btf_value_type_id, target.value_size)

    def read_all(self) -> tuple["NumpyArray", "NumpyArray"]:
        """Keys and values of all elements."""
        target = self._keyed()
        key_type, value_type = self.key_type, self.value_type
        found = [self._portion(*each, key_type, value_type) for each in target.portions()]
        if len(found) == 1:
            return found[0]
        np = arrays.load_numpy()
        if not found:
            found = [self._portion(0, bytearray(), bytearray(), key_type, value_type)]
        keys, values = zip(*found, strict=True)
        return np.concatenate(keys), np.concatenate(values)

    def _portion(
        self, count: int, keys: bytearray, values: bytearray, key_type: Any, value_type: Any
    ) -> tuple["NumpyArray", "NumpyArray"]:
        size = self._target.value_size
        made = arrays.shaped(keys, count, 0, 0, key_type)
        return made, arrays.shaped(values, count, size, self._cpus, value_type)

    def view(self) -> "NumpyArray":
        """The values of an array where they are; the bytes of an arena."""
        target = self._target
        if not isinstance(target, Array | PercpuArray | Arena):
            raise NotSupported(f"a view of {target.name}", "only the values of arrays lie in rows")
        if target.word(interface.SPECIAL):
            raise NotSupported(f"a view of {target.name}", "its values have fields of the kernel")
        return arrays.view(target, self.value_type)

    def _keys(self, keys: Any) -> "tuple[int, int, object]":
        """Address of packed keys, how many, and what holds them."""
        return _buffer(keys, self._encode_key, self._target.key_size, self._key_array)

    def _key_array(self, keys: Any) -> "NumpyArray":
        return arrays.packed(keys, self.key_type, self._target.key_size, 0)

    def _value_array(self, values: Any) -> "NumpyArray":
        return arrays.packed(values, self.value_type, self._target.value_size, self._cpus)

    def store(self, keys: Any, values: Any, flags: int) -> None:
        """Create or replace many elements."""
        target = self._keyed()
        place, count, held = self._keys(keys)
        size = target.host_value_size
        source, given, kept = _buffer(values, self._encode_value, size, self._value_array)
        if given != count:
            raise ValueError(f"{given} values for {count} keys")
        done, answer = target.store_many(place, source, count, flags)
        try:
            target.require_success("MAP_UPDATE_ELEM", answer, flags)
        except CommandError as refusal:
            refusal.add_note(f"{done} of {count} elements were stored")
            raise
        finally:
            del held, kept

    def drop(self, keys: Any) -> int:
        """Remove many elements; how many there were."""
        target = self._keyed()
        place, count, held = self._keys(keys)
        done, _ = target.drop_many(place, count)
        del held
        return done

    def read(self, keys: Any) -> tuple["NumpyArray", "NumpyArray"]:
        """Values at many keys, and which of them are there."""
        np, target = arrays.load_numpy(), self._keyed()
        place, count, held = self._keys(keys)
        data, there = bytearray(count * target.host_value_size), bytearray(count)
        target.read_many(place, address_in(data), address_in(there), count)
        del held
        values = arrays.shaped(data, count, target.value_size, self._cpus, self.value_type)
        return values, np.frombuffer(there, bool)


def _buffer(
    items: Any, encode: Callable[[Any], bytes], size: int, to_array: Callable[[Any], Any]
) -> tuple[int, int, object]:
    """Address of packed *items*, how many there are, and what holds the memory."""
    if hasattr(items, "__array__"):
        array = to_array(items)
        return array.ctypes.data, array.nbytes // size, array
    each: Sequence[Any] = items if isinstance(items, list | tuple) else list(items)
    data = bytearray(b"".join(map(encode, each)))
    return address_in(data), len(each), data
