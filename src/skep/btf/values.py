"""Values of a type: bytes to Python and back.

====================  ======================================================================
C                     Python
====================  ======================================================================
integer, enumeration  int; ``_Bool`` is bool; an enumerator's name is taken too
pointer               int, the address
float, double         float; other widths are bytes
structure, union      dict by member; members of anonymous ones belong to their parent
array                 list; of ``char``: str if it is text, else bytes
section               dict by variable
====================  ======================================================================

Invariant: ``encode(decode(data)) == data``, save for padding, which becomes zero.
"""

import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Final, cast

from skep.base.bits import signed
from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.layout import place
from skep.errors import BtfError

Value = bool | int | float | str | bytes | list["Value"] | dict[str, "Value"]

MAX_ELEMENTS: Final = 1 << 24
MAX_NESTING: Final = 64

_LITTLE: Final = sys.byteorder == "little"
_FLOATS: Final[Mapping[int, str]] = {2: "=e", 4: "=f", 8: "=d"}


def decode(btf: Btf, type_id: int, data: bytes) -> Value:
    """Read a value.

    Args:
        btf: the types.
        type_id: of the value.
        data: at least as many bytes as the type has.

    Raises:
        BtfError: the type has no values.
        ValueError: *data* is too short.
    """
    size = btf.size_of(type_id)
    if len(data) < size:
        raise ValueError(f"{len(data)} bytes for a type of {size}")
    return _Decoder(btf, data).read(type_id, 0, 0)


def encode(btf: Btf, type_id: int, value: object) -> bytes:
    """Write a value; members that are not given are zero.

    Raises:
        BtfError: the type has no values.
        TypeError: a value is of the wrong Python type; the message names the member.
        ValueError: a value does not fit, or no member is called so.
    """
    out = bytearray(btf.size_of(type_id))
    _Encoder(btf, out).write(type_id, 0, value, "value")
    return bytes(out)


def is_text(btf: Btf, type_id: int) -> bool:
    """Whether *type_id* is the type of characters, so that an array of it may be text."""
    type_ = btf.resolved(type_id)
    if not isinstance(type_, kinds.Int) or type_.size != 1:
        return False
    return type_.encoding == kinds.INT_CHAR or type_.name == "char"


def read_bits(data: "bytes | bytearray", bit: int, count: int) -> int:
    """Read an unsigned bit field of *count* bits that starts at *bit*."""
    start, end = bit // 8, (bit + count + 7) // 8
    word = int.from_bytes(data[start:end], "little" if _LITTLE else "big")
    shift = bit % 8 if _LITTLE else end * 8 - bit - count
    return (word >> shift) & ((1 << count) - 1)


def write_bits(data: bytearray, bit: int, count: int, value: int) -> None:
    """Write the low *count* bits of *value* at *bit*; other bits stay."""
    start, end = bit // 8, (bit + count + 7) // 8
    shift = bit % 8 if _LITTLE else end * 8 - bit - count
    mask = ((1 << count) - 1) << shift
    word = int.from_bytes(data[start:end], "little" if _LITTLE else "big")
    word = word & ~mask | (value << shift) & mask
    data[start:end] = word.to_bytes(end - start, "little" if _LITTLE else "big")


class _Decoder:
    def __init__(self, btf: Btf, data: bytes) -> None:
        self._btf = btf
        self._data = data

    def read(self, type_id: int, at: int, depth: int) -> Value:
        btf = self._btf
        if depth > MAX_NESTING:
            raise btf.error(type_id, "types that nest without end", "nesting that ends")
        resolved = btf.resolve(type_id)
        type_ = btf.type(resolved)
        if isinstance(type_, kinds.Array):
            return self._array(type_, at, depth)
        if isinstance(type_, kinds.Composite):
            members: dict[str, Value] = {}
            self._members(type_, at, members, depth)
            return members
        if isinstance(type_, kinds.DataSec):
            return {
                btf.name(entry.type): self.read(entry.type, at + entry.offset, depth + 1)
                for entry in type_.entries
            }
        if isinstance(type_, kinds.Var):
            return self.read(type_.type, at, depth + 1)
        return self._scalar(resolved, type_, at)

    def _scalar(self, type_id: int, type_: kinds.Type, at: int) -> Value:
        size = self._btf.size_of(type_id)
        raw = self._data[at : at + size]
        if len(raw) < size:
            raise _outside(self._btf, type_id)
        if isinstance(type_, kinds.Float):
            if size not in _FLOATS:
                return raw
            return float(struct.unpack(_FLOATS[size], raw)[0])
        if isinstance(type_, kinds.Int):
            return _integer(type_, read_bits(self._data, at * 8 + type_.offset, type_.bits))
        number = int.from_bytes(raw, "little" if _LITTLE else "big")
        if isinstance(type_, kinds.Enumeration) and type_.signed:
            return signed(number, size * 8)
        return number

    def _array(self, type_: kinds.Array, at: int, depth: int) -> Value:
        if is_text(self._btf, type_.element):
            return text(self._data[at : at + type_.count])
        if type_.count > MAX_ELEMENTS:
            raise ValueError(f"an array of {type_.count} elements")
        size = self._btf.size_of(type_.element)
        return [
            self.read(type_.element, at + position * size, depth + 1)
            for position in range(type_.count)
        ]

    def _members(self, type_: kinds.Composite, at: int, into: dict[str, Value], depth: int) -> None:
        for member in type_.members:
            inner = self._btf.resolved(member.type)
            if not member.name and isinstance(inner, kinds.Composite):
                if depth > MAX_NESTING:
                    raise self._btf.error(member.type, "endless nesting", "nesting that ends")
                self._members(inner, at + member.offset, into, depth + 1)
                continue
            where = place(self._btf, member)
            if where.bits:
                if at * 8 + where.bit_offset + where.bits > len(self._data) * 8:
                    raise _outside(self._btf, member.type)
                number = read_bits(self._data, at * 8 + where.bit_offset, where.bits)
                into[member.name] = _field(inner, number, where.bits)
            else:
                into[member.name] = self.read(member.type, at + member.offset, depth + 1)


def _outside(btf: Btf, type_id: int) -> BtfError:
    return btf.error(type_id, "a member outside its structure", "members inside")


def _integer(type_: kinds.Int, number: int) -> Value:
    if type_.encoding & kinds.INT_BOOL and number < 2:
        return number == 1
    return signed(number, type_.bits) if type_.signed and type_.bits else number


def _field(type_: kinds.Type, number: int, bits: int) -> Value:
    if isinstance(type_, (kinds.Int, kinds.Enumeration)) and type_.signed:
        return signed(number, bits)
    if isinstance(type_, kinds.Int) and type_.encoding & kinds.INT_BOOL and number < 2:
        return number == 1
    return number


def text(raw: bytes) -> Value:
    """The value of an array of characters."""
    found, _, rest = raw.partition(b"\0")
    try:
        return raw if any(rest) else found.decode()
    except UnicodeDecodeError:
        return raw


class _Encoder:
    def __init__(self, btf: Btf, out: bytearray) -> None:
        self._btf = btf
        self._out = out

    def write(self, type_id: int, at: int, value: object, path: str) -> None:
        resolved = self._btf.resolve(type_id)
        type_ = self._btf.type(resolved)
        if at + self._btf.size_of(resolved) > len(self._out):
            raise _outside(self._btf, type_id)
        if isinstance(type_, kinds.Array):
            self._array(type_, at, value, path)
        elif isinstance(type_, kinds.Composite):
            self._composite(resolved, at, value, path)
        elif isinstance(type_, kinds.DataSec):
            self._section(type_, at, value, path)
        elif isinstance(type_, kinds.Var):
            self.write(type_.type, at, value, path)
        elif isinstance(type_, kinds.Float):
            self._float(type_, at, value, path)
        elif isinstance(type_, kinds.Int):
            self._number(type_, at * 8 + type_.offset, type_.bits, value, path)
        else:
            self._number(type_, at * 8, self._btf.size_of(resolved) * 8, value, path)

    def _number(self, type_: kinds.Type, bit: int, bits: int, value: object, path: str) -> None:
        number = self._as_int(type_, value, path)
        if bit + bits > len(self._out) * 8:
            raise self._btf.error(0, f"{path} outside its structure", "members inside")
        is_signed = isinstance(type_, (kinds.Int, kinds.Enumeration)) and type_.signed and bits > 0
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
        if not low <= number <= high:
            raise ValueError(f"{path}: {number} is not in {low} .. {high}")
        write_bits(self._out, bit, bits, number)

    def _as_int(self, type_: kinds.Type, value: object, path: str) -> int:
        if isinstance(value, int):
            return int(value)
        if isinstance(value, str) and isinstance(type_, kinds.Enumeration):
            for item in type_.values:
                if item.name == value:
                    return item.value
            raise ValueError(f"{path}: {type_.name or 'the enumeration'} has no {value!r}")
        if isinstance(value, (str, bytes)) and len(value) == 1 and isinstance(type_, kinds.Int):
            number = ord(value)
            return number - 256 if type_.signed and 127 < number < 256 else number
        raise TypeError(f"{path}: {type(value).__name__} where an int is wanted")

    def _float(self, type_: kinds.Float, at: int, value: object, path: str) -> None:
        if isinstance(value, (bytes, bytearray)) and len(value) == type_.size:
            self._out[at : at + type_.size] = value
        elif isinstance(value, (int, float)) and type_.size in _FLOATS:
            self._out[at : at + type_.size] = struct.pack(_FLOATS[type_.size], value)
        else:
            raise TypeError(f"{path}: {type(value).__name__} where a float is wanted")

    def _array(self, type_: kinds.Array, at: int, value: object, path: str) -> None:
        size = self._btf.size_of(type_.element)
        if isinstance(value, (str, bytes, bytearray, memoryview)):
            raw = value.encode() if isinstance(value, str) else bytes(value)
            if len(raw) > type_.count * size:
                raise ValueError(f"{path}: {len(raw)} bytes for {type_.count * size}")
            self._out[at : at + len(raw)] = raw
            return
        if not isinstance(value, Sequence):
            raise TypeError(f"{path}: {type(value).__name__} where a sequence is wanted")
        if len(value) > type_.count:
            raise ValueError(f"{path}: {len(value)} elements for {type_.count}")
        for position, element in enumerate(value):
            self.write(type_.element, at + position * size, element, f"{path}[{position}]")

    def _composite(self, type_id: int, at: int, value: object, path: str) -> None:
        if isinstance(value, (bytes, bytearray, memoryview)):
            raw = bytes(value)
            if len(raw) != self._btf.size_of(type_id):
                raise ValueError(f"{path}: {len(raw)} bytes for {self._btf.size_of(type_id)}")
            self._out[at : at + len(raw)] = raw
            return
        for name, inner in _items(value, path):
            found = self._btf.find_member(type_id, name)
            if found is None:
                raise ValueError(f"{path}: no member {name!r}")
            member = kinds.Member(name, found.type, found.bit_offset, found.bitfield_size)
            where = place(self._btf, member)
            label = f"{path}.{name}"
            if where.bits:
                target = self._btf.resolved(member.type)
                self._number(target, at * 8 + where.bit_offset, where.bits, inner, label)
            else:
                self.write(member.type, at + member.offset, inner, label)

    def _section(self, type_: kinds.DataSec, at: int, value: object, path: str) -> None:
        places = {self._btf.name(entry.type): entry for entry in type_.entries}
        for name, inner in _items(value, path):
            if name not in places:
                raise ValueError(f"{path}: no variable {name!r}")
            entry = places[name]
            self.write(entry.type, at + entry.offset, inner, f"{path}.{name}")


def _items(value: object, path: str) -> list[tuple[str, object]]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{path}: {type(value).__name__} where a mapping is wanted")
    return [(cast("str", name), inner) for name, inner in value.items()]
