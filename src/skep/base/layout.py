"""C structs as dataclasses: attributes, wire bytes and reference rows from one declaration.

::

    @dataclass(frozen=True, slots=True, kw_only=True)
    class MapElem(Layout):
        map_fd: U32
        key: Pointer          # 4 bytes of padding stand before it, as in C
        value: Pointer
        flags: U64 = 0

Members follow each other by C alignment. Everything is native (little) endian.
"""

import struct
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, Self, get_type_hints


class _Wire:
    """How an annotation lies on the wire: struct code, size, alignment."""

    def __init__(self, code: str, size: int, alignment: int, c_type: str) -> None:
        self.code, self.size, self.alignment, self.c_type = code, size, alignment, c_type


U16 = Annotated[int, _Wire("H", 2, 2, "__u16")]
U32 = Annotated[int, _Wire("I", 4, 4, "__u32")]
S32 = Annotated[int, _Wire("i", 4, 4, "__s32")]
U64 = Annotated[int, _Wire("Q", 8, 8, "__u64")]
Pointer = Annotated[int, _Wire("Q", 8, 8, "__aligned_u64")]
Name = Annotated[bytes, _Wire("16s", 16, 1, "char [16]")]
Tag = Annotated[bytes, _Wire("8s", 8, 1, "__u8 [8]")]


class Member:
    """One member: *name*, *offset* and *size* in bytes, *c_type* as C spells it."""

    def __init__(self, name: str, offset: int, wire: _Wire) -> None:
        self.name, self.offset, self.wire = name, offset, wire
        self.size, self.c_type = wire.size, wire.c_type

    @property
    def end(self) -> int:
        """One past the last byte (``offsetofend``)."""
        return self.offset + self.size


class Layout:
    """Base of structs that bpf(2) passes. Subclasses are frozen dataclasses."""

    __slots__ = ()

    @classmethod
    def members(cls) -> tuple[Member, ...]:
        """The members in order of declaration."""
        return _members(cls)

    @classmethod
    def member(cls, name: str) -> Member:
        """The member called *name*."""
        return next(member for member in _members(cls) if member.name == name)

    @classmethod
    def wire_size(cls) -> int:
        """Bytes up to the end of the last member."""
        return _wire(cls)[0].size

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read *data*; members beyond its end are zero."""
        wire, names = _wire(cls)
        padded = data if len(data) >= wire.size else data + bytes(wire.size - len(data))
        return cls(**dict(zip(names, wire.unpack_from(padded), strict=True)))

    def encode(self) -> bytes:
        """Give the wire bytes, ``wire_size`` of them."""
        wire, names = _wire(type(self))
        return wire.pack(*[getattr(self, name) for name in names])


def _wire(cls: object) -> tuple[struct.Struct, tuple[str, ...]]:
    return _packing(cls)


@cache
def _packing(cls: Any) -> tuple[struct.Struct, tuple[str, ...]]:
    """The whole struct as one code, and the names of its members in order."""
    code, position = "<", 0
    for member in _members(cls):
        code += f"{member.offset - position}x{member.wire.code}"
        position = member.end
    return struct.Struct(code), tuple(member.name for member in _members(cls))


def _members(cls: object) -> tuple[Member, ...]:
    return _laid_out(cls)


@cache
def _laid_out(cls: Any) -> tuple[Member, ...]:
    hints = get_type_hints(cls, include_extras=True)
    members: list[Member] = []
    position = 0
    for each in fields(cls):  # every subclass is a dataclass
        wire = hints[each.name].__metadata__[0]
        offset = -(-position // wire.alignment) * wire.alignment
        members.append(Member(each.name, offset, wire))
        position = offset + wire.size
    return tuple(members)
