"""Types to bytes: the other direction of ``skep.btf.codec``.

Invariant: what is encoded here decodes to equal types.
"""

import struct
from typing import Final

from skep.base.bits import U32
from skep.btf import kinds
from skep.btf.codec import FLAG, HEADER_SIZE, MAGIC, MAX_VLEN
from skep.errors import BtfError


class StringTable:
    """A string section in the making; equal strings are stored once.

    Args:
        first: offset of the first byte: the size of the base's strings, 0 without a base.
    """

    def __init__(self, first: int = 0) -> None:
        self._first = first
        self._data = bytearray(b"" if first else b"\0")
        self._offsets: dict[str, int] = {"": 0}

    def add(self, text: str) -> int:
        """Return the offset of *text*, storing it if it is new."""
        known = self._offsets.get(text)
        if known is not None:
            return known
        off = self._first + len(self._data)
        self._data += text.encode() + b"\0"
        self._offsets[text] = off
        return off

    @property
    def data(self) -> bytes:
        """The section."""
        return bytes(self._data)


def assemble(types: bytes, strings: bytes) -> bytes:
    """Put a header before the two sections."""
    header = struct.pack(
        "=HBBIIIII", MAGIC, 1, 0, HEADER_SIZE, 0, len(types), len(types), len(strings)
    )
    return header + types + strings


def encode_type(type_: kinds.Type, strings: StringTable) -> bytes:
    """Encode one type.

    Raises:
        BtfError: it has more entries than the format can hold.
    """
    third, flag, vlen, trailer = _parts(type_, strings)
    if vlen > MAX_VLEN:
        raise BtfError(
            source="types to encode", where=f"{type_.kind.name} {type_.name!r}",
            found=f"{vlen} entries", expected=f"at most {MAX_VLEN}",
        )  # fmt: skip
    info = (FLAG if flag else 0) | type_.kind << 24 | vlen
    return struct.pack("=III", strings.add(type_.name), info, third & U32) + trailer


_Parts = tuple[int, bool, int, bytes]  # third word, flag, vlen, trailer
_NOTHING: Final = b""


def _parts(type_: kinds.Type, strings: StringTable) -> _Parts:
    if isinstance(type_, kinds.Int):
        data = type_.encoding << 24 | type_.offset << 16 | type_.bits
        return type_.size, False, 0, struct.pack("=I", data)
    if isinstance(type_, kinds.Array):
        return 0, False, 0, struct.pack("=III", type_.element, type_.index, type_.count)
    if isinstance(type_, kinds.Fwd):
        return 0, type_.is_union, 0, _NOTHING
    if isinstance(type_, kinds.Float):
        return type_.size, False, 0, _NOTHING
    if isinstance(type_, (kinds.Composite, kinds.Enumeration, kinds.DataSec, kinds.FuncProto)):
        return _entries(type_, strings)
    return _reference(type_)


def _reference(type_: kinds.Type) -> _Parts:
    if isinstance(type_, kinds.Func):
        return type_.type, False, type_.linkage, _NOTHING
    if isinstance(type_, kinds.Var):
        return type_.type, False, 0, struct.pack("=I", type_.linkage)
    if isinstance(type_, kinds.DeclTag):
        return type_.type, type_.attribute, 0, struct.pack("=i", type_.component)
    if isinstance(type_, kinds.TypeTag):
        return type_.type, type_.attribute, 0, _NOTHING
    if isinstance(type_, (kinds.Reference, kinds.Ptr)):
        return type_.type, False, 0, _NOTHING
    raise BtfError(
        source="types to encode", where=repr(type_), found="void", expected="a type with an id"
    )


def _entries(type_: kinds.Type, strings: StringTable) -> _Parts:
    out = bytearray()
    if isinstance(type_, kinds.Composite):
        for member in type_.members:
            offset = member.bit_offset | member.bitfield_size << 24
            out += struct.pack("=III", strings.add(member.name), member.type, offset)
        return type_.size, type_.bitfields, len(type_.members), bytes(out)
    if isinstance(type_, kinds.Enumeration):
        wide = type_.kind == kinds.Kind.ENUM64
        for item in type_.values:
            out += struct.pack("=II", strings.add(item.name), item.value & U32)
            if wide:
                out += struct.pack("=I", item.value >> 32 & U32)
        return type_.size, type_.signed, len(type_.values), bytes(out)
    if isinstance(type_, kinds.DataSec):
        for entry in type_.entries:
            out += struct.pack("=III", entry.type, entry.offset, entry.size)
        return type_.size, False, len(type_.entries), bytes(out)
    assert isinstance(type_, kinds.FuncProto)
    for param in type_.params:
        out += struct.pack("=II", strings.add(param.name), param.type)
    return type_.returns, False, len(type_.params), bytes(out)
