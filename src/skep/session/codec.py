"""Python values of keys, values and globals: typed from BTF where there is any, else by size.

What values of a type look like is said in ``skep.btf.values``. Types that are made of whole
numbers, floats and characters are read by one precompiled ``struct.Struct``; the walk over BTF
serves all others, and whatever needs an explanation.
"""

import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from skep.btf.graph import Btf
from skep.btf.values import decode, encode
from skep.session.packing import UNEXPECTED, Packing, number, packing

INTEGER_FORMATS: Final = {1: "=B", 2: "=H", 4: "=I", 8: "=Q"}


class Codec(NamedTuple):
    """Both directions between bytes and Python."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


def codec(btf: Btf | None, type_id: int, size: int) -> Codec:
    """The codec of *size* bytes of type *type_id*.

    Without a type, integers of 1, 2, 4 or 8 bytes are unsigned numbers and all else is bytes; bytes
    of the right length are taken everywhere.
    """
    if btf is None or not type_id:
        return _untyped(size)

    def to_bytes(value: Any) -> bytes:
        if isinstance(value, bytes | bytearray | memoryview):
            return _sized(bytes(value), size)
        return _sized(encode(btf, type_id, value), size)

    def from_bytes(data: bytes) -> Any:
        return decode(btf, type_id, data)

    packed = packing(btf, type_id)
    if packed is None or struct.calcsize(packed.format) != size:
        return Codec(from_bytes, to_bytes)
    return Codec(_decoder(packed), _encoder(packed, to_bytes))


def codec_of_copies(btf: Btf | None, type_id: int, size: int, count: int) -> Codec:
    """The codec of *count* values of *size* bytes in strides of 8: a list, or one for all."""
    one, stride = codec(btf, type_id, size), (size + 7) & ~7

    def split(data: bytes) -> list[Any]:
        starts = range(0, len(data), stride)
        return [one.decode(data[at : at + size]) for at in starts]

    def join(values: Any) -> bytes:
        if isinstance(values, bytes) and len(values) == stride * count:
            return values
        each = list(values) if isinstance(values, list | tuple) else [values] * count
        if len(each) != count:
            raise ValueError(f"{len(each)} values for {count} CPUs")
        return b"".join(one.encode(value).ljust(stride, b"\0") for value in each)

    packed = packing(btf, type_id) if btf is not None and type_id else _number(size)
    if packed is None or packed.build is not next or struct.calcsize(packed.format) != size:
        return Codec(split, join)
    form = struct.Struct("=" + (packed.format[1:] + f"{stride - size}x") * count)

    def join_numbers(values: Any) -> bytes:
        if not isinstance(values, list | tuple):
            return join(values)
        try:
            return form.pack(*values)
        except UNEXPECTED:
            return join(values)

    return Codec(lambda data: list(form.unpack(data)), join_numbers)


def _number(size: int) -> Packing | None:
    return number(INTEGER_FORMATS[size]) if size in INTEGER_FORMATS else None


def _untyped(size: int) -> Codec:
    def to_bytes(value: Any) -> bytes:
        if isinstance(value, bytes | bytearray | memoryview):
            return _sized(bytes(value), size)
        if isinstance(value, int) and size in INTEGER_FORMATS:
            return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        kind = type(value).__name__
        raise TypeError(f"{kind} for {size} untyped bytes: give bytes of that length")

    packed = _number(size)
    if packed is None:
        return Codec(bytes, to_bytes)
    return Codec(_decoder(packed), _encoder(packed, to_bytes))


def _decoder(packed: Packing) -> Callable[[bytes], Any]:
    unpack, build, names = struct.Struct(packed.format).unpack, packed.build, packed.names
    if names:
        return lambda data: dict(zip(names, unpack(data), strict=False))
    if build is next:
        return lambda data: unpack(data)[0]
    return lambda data: build(iter(unpack(data)))


def _encoder(packed: Packing, to_bytes: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """*to_bytes*, preceded by a quick attempt that fails for all that is not as expected."""
    pack, spread = struct.Struct(packed.format).pack, packed.spread
    names, count = packed.names, len(packed.names)

    def one(value: Any) -> bytes:
        try:
            return pack(value)
        except UNEXPECTED:
            return to_bytes(value)

    def members(value: Any) -> bytes:
        try:
            if len(value) == count:
                return pack(*[value[name] for name in names])
        except UNEXPECTED:
            pass
        return to_bytes(value)

    def whole(value: Any) -> bytes:
        numbers: list[Any] = []
        try:
            spread(value, numbers)
            return pack(*numbers)
        except UNEXPECTED:
            return to_bytes(value)

    if names:
        return members
    return one if packed.build is next else whole


def _sized(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes where {size} are wanted")
    return data
