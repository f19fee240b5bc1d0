"""The wire form of BTF: header, type section, string section; bytes to types and back.

Invariant: bytes that break a rule of the format raise BtfError with type and offset; nothing else
is raised, whatever the bytes. Types are decoded one at a time, so a large BTF costs only its scan.

Source: Documentation/bpf/btf.rst, "BTF Type and String Encoding".
"""

import struct
import sys
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from skep.base.bits import signed, swap
from skep.btf import kinds
from skep.btf.kinds import KINDS, Kind
from skep.errors import BtfError

MAGIC: Final = 0xEB9F
HEADER_SIZE: Final = 24
MAX_VLEN: Final = 0xFFFF
MAX_TYPES: Final = 0xFFFFF  # ids are below it
FLAG: Final = 1 << 31

_HEAD_WORDS: Final = 3
_FIXED: Final = tuple(_HEAD_WORDS + row.fixed // 4 for row in KINDS)
_EACH: Final = tuple(row.each // 4 for row in KINDS)


@dataclass(frozen=True, slots=True)
class Header:
    """``struct btf_header``; offsets count from its end."""

    size: int
    version: int
    flags: int
    type_off: int
    type_size: int
    string_off: int
    string_size: int


def read_header(data: bytes, source: str) -> Header:
    """Read the header and require that its sections lie inside *data*.

    Raises:
        BtfError: the header is cut off, foreign-endian, or points outside the data.
    """
    if len(data) < HEADER_SIZE:
        raise BtfError(
            source=source, where="header", offset=0,
            found=f"{len(data)} bytes", expected=f"at least {HEADER_SIZE}",
        )  # fmt: skip
    check_magic(data, MAGIC, source)
    fields = struct.unpack_from("=2xBBIIIII", data)
    header = Header(fields[2], fields[0], fields[1], *fields[3:])
    if header.version != 1:
        raise BtfError(
            source=source, where="header", offset=2,
            found=f"version {header.version}", expected="version 1",
        )  # fmt: skip
    if not HEADER_SIZE <= header.size <= len(data):
        raise BtfError(
            source=source, where="header", offset=4,
            found=f"header length {header.size}", expected=f"{HEADER_SIZE} .. {len(data)}",
        )  # fmt: skip
    _check_sections(header, len(data), source)
    return header


def check_magic(data: bytes, magic: int, source: str) -> None:
    """Require the magic number in this machine's byte order."""
    stored = struct.unpack_from("=H", data)[0]
    if stored == magic:
        return
    other = swap(stored, 16) == magic
    found = "the other byte order" if other else f"magic {data[:2].hex()}"
    raise BtfError(
        source=source, where="header", offset=0,
        found=found, expected=f"magic {magic:#06x}, {sys.byteorder}-endian",
    )  # fmt: skip


def _check_sections(header: Header, total: int, source: str) -> None:
    room = total - header.size
    sections = (
        ("type section", 8, header.type_off, header.type_size),
        ("string section", 16, header.string_off, header.string_size),
    )
    for name, at, off, size in sections:
        if off + size > room:
            raise BtfError(
                source=source, where="header", offset=at,
                found=f"{name} at {off}, {size} bytes", expected=f"an end within {room} bytes",
            )  # fmt: skip
    for at, off in ((8, header.type_off), (12, header.type_size)):
        if off % 4:
            raise BtfError(
                source=source, where="header", offset=at, found=str(off),
                expected="a multiple of 4",
            )  # fmt: skip


def decode_string(data: bytes) -> str:
    """Read a string: UTF-8, or Latin-1, whose letters Linux takes in names too."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_words(data: bytes) -> "array[int]":
    """Read *data* as 32-bit words; its size is a multiple of 4."""
    words: array[int] = array("I")
    words.frombytes(data)
    return words


def scan(words: "array[int]", first: int, offset: int, source: str) -> "array[int]":
    """Find where each type starts.

    Args:
        words: the type section.
        first: id of its first type.
        offset: of the section in the data, for messages.
        source: for messages.

    Returns:
        The start of each type, in words.

    Raises:
        BtfError: a kind is unknown, or the last type is cut off.
    """
    starts: array[int] = array("I")
    append = starts.append
    fixed, each = _FIXED, _EACH
    at, end = 0, len(words)
    last = end - _HEAD_WORDS
    while at <= last:
        append(at)
        info = words[at + 1]
        kind = (info >> 24) & 0x7F
        if not 0 < kind < len(fixed):
            raise _misread(source, offset + at * 4 + 4, first + len(starts) - 1, f"kind {kind}")
        per = each[kind]
        at += fixed[kind] + per * (info & 0xFFFFFF) if per else fixed[kind]
    if at != end:
        lost = first + len(starts) - (1 if at > end else 0)
        raise _misread(source, offset + min(at, end) * 4, lost, "the end of the type section")
    return starts


def _misread(source: str, offset: int, type_id: int, found: str) -> BtfError:
    return BtfError(
        source=source, where="type section", offset=offset, type_id=type_id,
        found=f"{found} at type {type_id}", expected="a whole type of kind 1 .. 19",
    )  # fmt: skip


class Section:
    """The types and strings of one BTF, not those of its base.

    Args:
        words: the type section.
        starts: where each type starts, in words.
        strings: the string section.
        first: id of the first type.
        string: reads a string by offset, the base's too.
        offset: of the type section in the data, for messages.
        source: for messages.
    """

    def __init__(
        self,
        words: "array[int]",
        starts: "array[int]",
        first: int,
        string: Callable[[int], str],
        offset: int,
        source: str,
    ) -> None:
        self.words = words
        self.starts = starts
        self.first = first
        self.limit = first + len(starts)  # ids are below it
        self.string = string
        self.offset = offset
        self.source = source

    def start(self, type_id: int) -> int:
        """Where type *type_id* starts, in words; *type_id* is one of this section's."""
        return self.starts[type_id - self.first]

    def kind(self, type_id: int) -> Kind:
        """The kind of type *type_id*, which is one of this section's."""
        return _KIND[(self.words[self.starts[type_id - self.first] + 1] >> 24) & 0x7F]

    def decode(self, type_id: int) -> kinds.Type:
        """Decode type *type_id*, which is one of this section's; see ``decode_type``."""
        at = self.starts[type_id - self.first]
        return _DECODERS[(self.words[at + 1] >> 24) & 0x7F](self, type_id, at)

    def reference(self, type_id: int, at: int) -> int:
        """The type id in word *at* of type *type_id*."""
        target = self.words[at]
        if target >= self.limit:
            raise self.misfit(type_id, at, f"type id {target}", f"an id below {self.limit}")
        return target

    def name(self, type_id: int, at: int) -> str:
        """The string whose offset stands in word *at* of type *type_id*."""
        off = self.words[at]
        if off == 0:
            return ""
        try:
            return self.string(off)
        except BtfError as error:
            raise self.misfit(type_id, at, error.found, error.expected) from None

    def misfit(self, type_id: int, at: int, found: str, expected: str) -> BtfError:
        """An error about word *at*, in type *type_id*."""
        return BtfError(
            source=self.source, where="type section", offset=self.offset + at * 4, type_id=type_id,
            found=f"{found} in type {type_id}", expected=expected,
        )  # fmt: skip


_KIND: Final = tuple(Kind(row.kind) for row in KINDS)


def _int(section: Section, type_id: int, at: int) -> kinds.Type:
    size, data = section.words[at + 2], section.words[at + 3]
    bits, offset, encoding = data & 0xFF, (data >> 16) & 0xFF, (data >> 24) & 0xF
    if bits > 128 or offset + bits > size * 8:
        raise section.misfit(
            type_id, at + 3, f"{bits} bits at {offset} in {size} bytes", "bits inside the integer"
        )
    return kinds.Int(section.name(type_id, at), size, bits, offset, encoding)


def _ptr(section: Section, type_id: int, at: int) -> kinds.Type:
    return kinds.Ptr(section.name(type_id, at), section.reference(type_id, at + 2))


def _array(section: Section, type_id: int, at: int) -> kinds.Type:
    element, index = section.reference(type_id, at + 3), section.reference(type_id, at + 4)
    return kinds.Array(section.name(type_id, at), element, index, section.words[at + 5])


def _members(section: Section, type_id: int, at: int) -> tuple[kinds.Member, ...]:
    words = section.words
    info = words[at + 1]
    members: list[kinds.Member] = []
    for entry in range(at + 3, at + 3 + 3 * (info & 0xFFFFFF), 3):
        offset, bits = words[entry + 2], 0
        if info & FLAG:
            offset, bits = offset & 0xFFFFFF, offset >> 24
        name, type_ = section.name(type_id, entry), section.reference(type_id, entry + 1)
        members.append(kinds.Member(name, type_, offset, bits))
    return tuple(members)


def _struct(section: Section, type_id: int, at: int) -> kinds.Type:
    size, flag = section.words[at + 2], section.words[at + 1] & FLAG != 0
    return kinds.Struct(section.name(type_id, at), size, _members(section, type_id, at), flag)


def _union(section: Section, type_id: int, at: int) -> kinds.Type:
    size, flag = section.words[at + 2], section.words[at + 1] & FLAG != 0
    return kinds.Union(section.name(type_id, at), size, _members(section, type_id, at), flag)


def _enum(section: Section, type_id: int, at: int) -> kinds.Type:
    words = section.words
    info = words[at + 1]
    is_signed = info & FLAG != 0
    values: list[kinds.Enumerator] = []
    for entry in range(at + 3, at + 3 + 2 * (info & 0xFFFFFF), 2):
        value = signed(words[entry + 1], 32) if is_signed else words[entry + 1]
        values.append(kinds.Enumerator(section.name(type_id, entry), value))
    return kinds.Enum(section.name(type_id, at), words[at + 2], is_signed, tuple(values))


def _enum64(section: Section, type_id: int, at: int) -> kinds.Type:
    words = section.words
    info = words[at + 1]
    is_signed = info & FLAG != 0
    values: list[kinds.Enumerator] = []
    for entry in range(at + 3, at + 3 + 3 * (info & 0xFFFFFF), 3):
        value = words[entry + 1] | words[entry + 2] << 32
        value = signed(value, 64) if is_signed else value
        values.append(kinds.Enumerator(section.name(type_id, entry), value))
    return kinds.Enum64(section.name(type_id, at), words[at + 2], is_signed, tuple(values))


def _fwd(section: Section, type_id: int, at: int) -> kinds.Type:
    return kinds.Fwd(section.name(type_id, at), section.words[at + 1] & FLAG != 0)


def _typedef(section: Section, type_id: int, at: int) -> kinds.Type:
    return kinds.Typedef(section.name(type_id, at), section.reference(type_id, at + 2))


def _volatile(section: Section, type_id: int, at: int) -> kinds.Type:
    return kinds.Volatile(section.name(type_id, at), section.reference(type_id, at + 2))


def _const(section: Section, type_id: int, at: int) -> kinds.Type:
    return kinds.Const(section.name(type_id, at), section.reference(type_id, at + 2))


def _restrict(section: Section, type_id: int, at: int) -> kinds.Type:
    return kinds.Restrict(section.name(type_id, at), section.reference(type_id, at + 2))


def _func(section: Section, type_id: int, at: int) -> kinds.Type:
    linkage = section.words[at + 1] & 0xFFFFFF
    return kinds.Func(section.name(type_id, at), section.reference(type_id, at + 2), linkage)


def _func_proto(section: Section, type_id: int, at: int) -> kinds.Type:
    params = [
        kinds.Param(section.name(type_id, entry), section.reference(type_id, entry + 1))
        for entry in range(at + 3, at + 3 + 2 * (section.words[at + 1] & 0xFFFFFF), 2)
    ]
    return kinds.FuncProto(
        section.name(type_id, at), section.reference(type_id, at + 2), tuple(params)
    )


def _var(section: Section, type_id: int, at: int) -> kinds.Type:
    return kinds.Var(
        section.name(type_id, at), section.reference(type_id, at + 2), section.words[at + 3]
    )


def _datasec(section: Section, type_id: int, at: int) -> kinds.Type:
    words = section.words
    entries = [
        kinds.SectionEntry(section.reference(type_id, entry), words[entry + 1], words[entry + 2])
        for entry in range(at + 3, at + 3 + 3 * (words[at + 1] & 0xFFFFFF), 3)
    ]
    return kinds.DataSec(section.name(type_id, at), words[at + 2], tuple(entries))


def _float(section: Section, type_id: int, at: int) -> kinds.Type:
    return kinds.Float(section.name(type_id, at), section.words[at + 2])


def _decl_tag(section: Section, type_id: int, at: int) -> kinds.Type:
    component = signed(section.words[at + 3], 32)
    attribute = section.words[at + 1] & FLAG != 0
    target = section.reference(type_id, at + 2)
    return kinds.DeclTag(section.name(type_id, at), target, component, attribute)


def _type_tag(section: Section, type_id: int, at: int) -> kinds.Type:
    attribute = section.words[at + 1] & FLAG != 0
    return kinds.TypeTag(section.name(type_id, at), section.reference(type_id, at + 2), attribute)


_Decoder = Callable[[Section, int, int], kinds.Type]

_DECODERS: Final[Mapping[int, _Decoder]] = {
    Kind.INT: _int,
    Kind.PTR: _ptr,
    Kind.ARRAY: _array,
    Kind.STRUCT: _struct,
    Kind.UNION: _union,
    Kind.ENUM: _enum,
    Kind.FWD: _fwd,
    Kind.TYPEDEF: _typedef,
    Kind.VOLATILE: _volatile,
    Kind.CONST: _const,
    Kind.RESTRICT: _restrict,
    Kind.FUNC: _func,
    Kind.FUNC_PROTO: _func_proto,
    Kind.VAR: _var,
    Kind.DATASEC: _datasec,
    Kind.FLOAT: _float,
    Kind.DECL_TAG: _decl_tag,
    Kind.TYPE_TAG: _type_tag,
    Kind.ENUM64: _enum64,
}
