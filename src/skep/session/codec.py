"""Python values of keys, values and globals: typed from BTF where there is any, else by size."""

from collections.abc import Callable
from typing import Any, NamedTuple

from skep.btf.graph import Btf
from skep.btf.values import decode, encode

INTEGER_SIZES = (1, 2, 4, 8)


class Codec(NamedTuple):
    """Both directions between bytes and Python."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


def codec(btf: Btf | None, type_id: int, size: int) -> Codec:
    """The codec of *size* bytes of type *type_id*.

    Without a type, integers of 1, 2, 4 or 8 bytes are unsigned numbers and all else is bytes; bytes
    of the right length are taken everywhere.
    """

    def to_bytes(value: Any) -> bytes:
        if isinstance(value, bytes | bytearray | memoryview):
            return _sized(bytes(value), size)
        if btf is not None and type_id:
            return _sized(encode(btf, type_id, value), size)
        if isinstance(value, int) and size in INTEGER_SIZES:
            return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        kind = type(value).__name__
        raise TypeError(f"{kind} for {size} untyped bytes: give bytes of that length")

    def from_bytes(data: bytes) -> Any:
        if btf is not None and type_id:
            return decode(btf, type_id, data)
        return int.from_bytes(data, "little") if size in INTEGER_SIZES else data

    return Codec(from_bytes, to_bytes)


def _sized(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes where {size} are wanted")
    return data
