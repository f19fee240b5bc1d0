"""Builder: types added one by one, given out as bytes or as a Btf.

Invariant: ids count up from 1, or from the end of the base, in the order of the calls.
"""

from collections.abc import Mapping, Sequence

from skep.btf import kinds
from skep.btf.encode import StringTable, assemble, encode_type
from skep.btf.graph import Btf


class Builder:
    """BTF in the making. Every method that adds a type returns its id.

    Args:
        base: the BTF to extend, for a split BTF.
    """

    def __init__(self, base: Btf | None = None) -> None:
        self.base = base
        self.first_id = len(base) if base is not None else 1
        self._strings = StringTable(base.string_size if base is not None else 0)
        self._types: list[kinds.Type] = []

    def add(self, type_: kinds.Type) -> int:
        """Add any type."""
        self._types.append(type_)
        return self.first_id + len(self._types) - 1

    def replace(self, type_id: int, type_: kinds.Type) -> None:
        """Put another type in place of an added one: how cycles are closed."""
        self._types[type_id - self.first_id] = type_

    def string(self, text: str) -> int:
        """Store a string, as ``.BTF.ext`` refers to them; returns its offset."""
        return self._strings.add(text)

    def integer(self, name: str, size: int, *, signed: bool = False, boolean: bool = False) -> int:
        """Add an integer of *size* bytes."""
        encoding = kinds.INT_SIGNED if signed else kinds.INT_BOOL if boolean else 0
        return self.add(kinds.Int(name, size, size * 8, 0, encoding))

    def pointer(self, target: int) -> int:
        """Add a pointer; to void if *target* is 0."""
        return self.add(kinds.Ptr("", target))

    def array(self, element: int, count: int, index: int) -> int:
        """Add an array; *index* is the integer type of its subscripts."""
        return self.add(kinds.Array("", element, index, count))

    def struct(self, name: str, size: int, members: Sequence[kinds.Member] = ()) -> int:
        """Add a structure of *size* bytes."""
        return self.add(kinds.Struct(name, size, tuple(members), _has_bitfields(members)))

    def union(self, name: str, size: int, members: Sequence[kinds.Member] = ()) -> int:
        """Add a union of *size* bytes."""
        return self.add(kinds.Union(name, size, tuple(members), _has_bitfields(members)))

    def enum(self, name: str, values: Mapping[str, int], size: int = 4) -> int:
        """Add an enumeration; ENUM64 if *size* is 8."""
        items = tuple(kinds.Enumerator(key, value) for key, value in values.items())
        signed = any(item.value < 0 for item in items)
        if size == 8:
            return self.add(kinds.Enum64(name, size, signed, items))
        return self.add(kinds.Enum(name, size, signed, items))

    def forward(self, name: str, *, is_union: bool = False) -> int:
        """Add a declaration of a structure or union."""
        return self.add(kinds.Fwd(name, is_union))

    def typedef(self, name: str, target: int) -> int:
        """Add another name for *target*."""
        return self.add(kinds.Typedef(name, target))

    def const(self, target: int) -> int:
        """Add ``const`` *target*."""
        return self.add(kinds.Const("", target))

    def volatile(self, target: int) -> int:
        """Add ``volatile`` *target*."""
        return self.add(kinds.Volatile("", target))

    def type_tag(self, text: str, target: int) -> int:
        """Add a type tag on *target*."""
        return self.add(kinds.TypeTag(text, target))

    def decl_tag(self, text: str, target: int, component: int = -1) -> int:
        """Add a declaration tag on *target*, or on its member or parameter *component*."""
        return self.add(kinds.DeclTag(text, target, component))

    def prototype(self, returns: int, params: Sequence[tuple[str, int]] = ()) -> int:
        """Add a function type; *params* are names and types."""
        parts = tuple(kinds.Param(name, type_) for name, type_ in params)
        return self.add(kinds.FuncProto("", returns, parts))

    def function(self, name: str, prototype: int, linkage: int = kinds.GLOBAL) -> int:
        """Add a function of the type *prototype*."""
        return self.add(kinds.Func(name, prototype, linkage))

    def variable(self, name: str, type_id: int, linkage: int = kinds.GLOBAL) -> int:
        """Add a variable."""
        return self.add(kinds.Var(name, type_id, linkage))

    def section(self, name: str, size: int, entries: Sequence[tuple[int, int, int]]) -> int:
        """Add a section; *entries* are variable, offset and size."""
        parts = tuple(kinds.SectionEntry(*entry) for entry in entries)
        return self.add(kinds.DataSec(name, size, parts))

    def to_bytes(self) -> bytes:
        """The ``.BTF`` section."""
        section = b"".join([encode_type(type_, self._strings) for type_ in self._types])
        return assemble(section, self._strings.data)

    def build(self, source: str = "built BTF") -> Btf:
        """The types as a Btf."""
        return Btf.parse(self.to_bytes(), self.base, source)


def _has_bitfields(members: Sequence[kinds.Member]) -> bool:
    return any(member.bitfield_size > 0 for member in members)
