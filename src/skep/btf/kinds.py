"""The kinds of BTF types: one row and one class for each.

A type on the wire is a head of three words, ``name_off``, ``info`` and ``size`` or ``type``, then a
trailer that depends on the kind: ``fixed`` bytes, or ``each`` bytes for every one of its ``vlen``
entries::

    info   31    30..24  23..0
           flag  kind    vlen

Invariant: ``KINDS[k].kind == k``; every class's ``kind`` names its row.

Source: Documentation/bpf/btf.rst; include/uapi/linux/btf.h.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from mypy_extensions import trait


class Kind(IntEnum):
    """``BTF_KIND_*``; the names are those that bpftool prints."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


@dataclass(frozen=True, slots=True)
class KindRow:
    """How one kind is laid out and spelled.

    Args:
        kind: its number.
        fixed: bytes of trailer that every type of the kind has.
        each: bytes of trailer per entry (``vlen`` of them).
        third: what the third word of the head is: ``"size"``, ``"type"`` or ``""`` (must be zero).
        flag: what the flag bit of ``info`` says; ``""`` if it must be clear.
        keyword: the C keyword that spells the kind; ``""`` if none does.
    """

    kind: Kind
    fixed: int
    each: int
    third: str
    flag: str
    keyword: str


KINDS: Final[tuple[KindRow, ...]] = (
    #       kind             fixed each third    flag         keyword
    KindRow(Kind.VOID,       0,    0,  "",      "",          "void"),
    KindRow(Kind.INT,        4,    0,  "size",  "",          ""),
    KindRow(Kind.PTR,        0,    0,  "type",  "",          "*"),
    KindRow(Kind.ARRAY,      12,   0,  "",      "",          "[]"),
    KindRow(Kind.STRUCT,     0,    12, "size",  "bitfields", "struct"),
    KindRow(Kind.UNION,      0,    12, "size",  "bitfields", "union"),
    KindRow(Kind.ENUM,       0,    8,  "size",  "signed",    "enum"),
    KindRow(Kind.FWD,        0,    0,  "",      "union",     ""),
    KindRow(Kind.TYPEDEF,    0,    0,  "type",  "",          "typedef"),
    KindRow(Kind.VOLATILE,   0,    0,  "type",  "",          "volatile"),
    KindRow(Kind.CONST,      0,    0,  "type",  "",          "const"),
    KindRow(Kind.RESTRICT,   0,    0,  "type",  "",          "restrict"),
    KindRow(Kind.FUNC,       0,    0,  "type",  "",          ""),
    KindRow(Kind.FUNC_PROTO, 0,    8,  "type",  "",          "()"),
    KindRow(Kind.VAR,        4,    0,  "type",  "",          ""),
    KindRow(Kind.DATASEC,    0,    12, "size",  "",          ""),
    KindRow(Kind.FLOAT,      0,    0,  "size",  "",          ""),
    KindRow(Kind.DECL_TAG,   4,    0,  "type",  "attribute", ""),
    KindRow(Kind.TYPE_TAG,   0,    0,  "type",  "attribute", ""),
    KindRow(Kind.ENUM64,     0,    12, "size",  "signed",    "enum"),
)  # fmt: skip

COMPOSITES: Final = frozenset((Kind.STRUCT, Kind.UNION))
ENUMS: Final = frozenset((Kind.ENUM, Kind.ENUM64))

INT_SIGNED: Final = 1
INT_CHAR: Final = 2
INT_BOOL: Final = 4

STATIC: Final = 0  # linkage of FUNC and VAR
GLOBAL: Final = 1
EXTERN: Final = 2


@trait
class Type:
    """A type; *name* is empty if it has none.

    Kinds that are alike share a trait; each kind is a frozen dataclass of its own. *kind* is stored
    rather than constant, for a compiled dataclass cannot have class variables.
    """

    name: str
    kind: Kind


@trait
class Composite(Type):
    """What STRUCT and UNION share: *size* in bytes, and members.

    *bitfields* is the flag: member offsets have 24 bits and bring a bit field size. Without it, a
    bit field is one by the ``bits`` of its INT.
    """

    size: int
    members: "tuple[Member, ...]"
    bitfields: bool


@trait
class Enumeration(Type):
    """What ENUM and ENUM64 share; *size* in bytes."""

    size: int
    signed: bool
    values: "tuple[Enumerator, ...]"


@trait
class Reference(Type):
    """A type that stands for another one."""

    type: int


@dataclass(frozen=True, slots=True)
class Void(Type):
    """Type 0, which every BTF has without saying so."""

    name: str
    kind: Kind = field(default=Kind.VOID, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Int(Type):
    """An integer: *bits* wide, *offset* bits into its *size* bytes (0 in modern BTF)."""

    name: str
    size: int
    bits: int
    offset: int
    encoding: int  # 0 or INT_SIGNED, INT_CHAR, INT_BOOL
    kind: Kind = field(default=Kind.INT, init=False, repr=False)

    @property
    def signed(self) -> bool:
        """Whether values are two's complement."""
        return self.encoding & INT_SIGNED != 0


@dataclass(frozen=True, slots=True)
class Ptr(Type):
    """A pointer to *type*."""

    name: str
    type: int
    kind: Kind = field(default=Kind.PTR, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Array(Type):
    """*count* elements of type *element*; *index* is the type of a subscript."""

    name: str
    element: int
    index: int
    count: int
    kind: Kind = field(default=Kind.ARRAY, init=False, repr=False)


@dataclass(init=False, slots=True, unsafe_hash=True)
class Member:
    """A member of a structure: its place in bits, and bits if it is a bit field; never changed."""

    name: str
    type: int
    bit_offset: int
    bitfield_size: int

    def __init__(self, name: str, type: int, bit_offset: int, bitfield_size: int = 0) -> None:  # noqa: A002
        self.name, self.type, self.bit_offset = name, type, bit_offset
        self.bitfield_size = bitfield_size

    @property
    def offset(self) -> int:
        """Offset in bytes, rounded down."""
        return self.bit_offset >> 3


@dataclass(frozen=True, slots=True)
class Struct(Composite):
    """A structure."""

    name: str
    size: int
    members: tuple[Member, ...]
    bitfields: bool = False
    kind: Kind = field(default=Kind.STRUCT, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Union(Composite):
    """A union."""

    name: str
    size: int
    members: tuple[Member, ...]
    bitfields: bool = False
    kind: Kind = field(default=Kind.UNION, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Enumerator:
    """A named value; negative ones only in signed enumerations."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Enum(Enumeration):
    """An enumeration of 32-bit values."""

    name: str
    size: int
    signed: bool
    values: tuple[Enumerator, ...]
    kind: Kind = field(default=Kind.ENUM, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Enum64(Enumeration):
    """An enumeration of 64-bit values."""

    name: str
    size: int
    signed: bool
    values: tuple[Enumerator, ...]
    kind: Kind = field(default=Kind.ENUM64, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Fwd(Type):
    """A structure (or union) that is only declared."""

    name: str
    is_union: bool
    kind: Kind = field(default=Kind.FWD, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Typedef(Reference):
    """Another name for *type*."""

    name: str
    type: int
    kind: Kind = field(default=Kind.TYPEDEF, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Volatile(Reference):
    """``volatile`` *type*."""

    name: str
    type: int
    kind: Kind = field(default=Kind.VOLATILE, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Const(Reference):
    """``const`` *type*."""

    name: str
    type: int
    kind: Kind = field(default=Kind.CONST, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Restrict(Reference):
    """``restrict`` *type*."""

    name: str
    type: int
    kind: Kind = field(default=Kind.RESTRICT, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class TypeTag(Reference):
    """``btf_type_tag(name)`` on *type*; an *attribute* is spelled without that wrapping."""

    name: str
    type: int
    attribute: bool = False
    kind: Kind = field(default=Kind.TYPE_TAG, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Func(Type):
    """A function; *type* is its FUNC_PROTO."""

    name: str
    type: int
    linkage: int  # STATIC, GLOBAL or EXTERN
    kind: Kind = field(default=Kind.FUNC, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter; the last one of a variadic function has neither name nor type."""

    name: str
    type: int


@dataclass(frozen=True, slots=True)
class FuncProto(Type):
    """A function's return type (0 for void) and parameters."""

    name: str
    returns: int
    params: tuple[Param, ...]
    kind: Kind = field(default=Kind.FUNC_PROTO, init=False, repr=False)

    @property
    def variadic(self) -> bool:
        """Whether it ends in ``...``."""
        return len(self.params) > 0 and self.params[-1].type == 0


@dataclass(frozen=True, slots=True)
class Var(Type):
    """A variable."""

    name: str
    type: int
    linkage: int  # STATIC, GLOBAL or EXTERN
    kind: Kind = field(default=Kind.VAR, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class SectionEntry:
    """Where a VAR (or an extern FUNC) lies in its section, in bytes."""

    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class DataSec(Type):
    """A section of variables; *size* is 0 until the object was linked."""

    name: str
    size: int
    entries: tuple[SectionEntry, ...]
    kind: Kind = field(default=Kind.DATASEC, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class Float(Type):
    """A floating-point number of *size* bytes."""

    name: str
    size: int
    kind: Kind = field(default=Kind.FLOAT, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class DeclTag(Type):
    """``btf_decl_tag(name)`` on the declaration *type*, or on its *component* if not negative."""

    name: str
    type: int
    component: int
    attribute: bool = False
    kind: Kind = field(default=Kind.DECL_TAG, init=False, repr=False)


VOID: Final = Void("")
