"""Btf: types, and how they refer to each other.

Invariant: whatever refers in a cycle, or to what does not exist, is a BtfError; see
``skep.btf.table`` for how types are read.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from skep.base.bits import U32
from skep.btf import kinds
from skep.btf.index import TypeIndex
from skep.btf.kinds import COMPOSITES, Kind
from skep.btf.table import MAX_REMEMBERED, TypeTable
from skep.errors import BtfError

if TYPE_CHECKING:
    from skep.btf.special_fields import Record

POINTER_SIZE: Final = 8
MAX_DEPTH: Final = 128  # of modifiers, typedefs and array dimensions; Linux: 32


@dataclass(frozen=True, slots=True)
class Field:
    """A place inside a type: what a member path leads to.

    Args:
        type: id of the member's declared type.
        bit_offset: from the start of the outermost type.
        bitfield_size: in bits, 0 if it is not a bit field.
    """

    type: int
    bit_offset: int
    bitfield_size: int = 0

    @property
    def offset(self) -> int:
        """Offset in bytes, rounded down."""
        return self.bit_offset // 8


class Btf(TypeTable):
    """The types of a program or a kernel; made by ``parse``."""

    def __init__(
        self, data: bytes, base: "Btf | None", source: str, index: TypeIndex | None = None
    ) -> None:
        super().__init__(data, base, source, index)
        self.base = base
        self._tags: dict[int, list[kinds.DeclTag]] | None = None
        self._aligns: dict[int, int] = {}
        self._paths: dict[tuple[int, str], Field] = {}
        # what ``skep.verifier.records`` found in types of map values, with which kernel's types
        self.value_records: dict[int, tuple[Btf | None, Record | None]] = {}
        self.walks: dict[int, object] = {}  # what ``skep.verifier.walk`` found out of these types

    @classmethod
    def parse(cls, data: bytes, base: "Btf | None" = None, source: str = "BTF") -> "Btf":
        """Read a ``.BTF`` section.

        Args:
            data: the section.
            base: the BTF that it extends.
            source: whose it is, for messages ("BTF of x.bpf.o").

        Raises:
            BtfError: the header, the string section or the outline of the types is wrong.
        """
        return cls(data, base, source)

    # --- following references ---------------------------------------------------------------------

    def resolve(self, type_id: int) -> int:
        """The id behind qualifiers, type tags and typedefs."""
        at = type_id
        for _ in range(MAX_DEPTH):
            type_ = self.type(at)
            if not isinstance(type_, kinds.Reference):
                return at
            at = type_.type
        raise self._endless(type_id)

    def strip_modifiers(self, type_id: int) -> int:
        """The id behind qualifiers and type tags; stops at a typedef."""
        at = type_id
        for _ in range(MAX_DEPTH):
            type_ = self.type(at)
            if isinstance(type_, kinds.Typedef) or not isinstance(type_, kinds.Reference):
                return at
            at = type_.type
        raise self._endless(type_id)

    def _endless(self, type_id: int) -> BtfError:
        return self.error(
            type_id,
            f"a chain of more than {MAX_DEPTH} references",
            "a chain that ends; is it a cycle?",
        )

    def resolved(self, type_id: int) -> kinds.Type:
        """The type behind qualifiers, type tags and typedefs."""
        return self.type(self.resolve(type_id))

    def size_of(self, type_id: int) -> int:
        """``sizeof`` in bytes; raises BtfError for what has no size (void, functions, FWD)."""
        held = self.resolved(type_id)
        if isinstance(held, kinds.Var):
            type_id = held.type
        element, count = self.array_elems(type_id)
        size = self.element_size(element)
        if size * count > U32:
            raise self.error(type_id, f"{count} elements of {size} bytes", "a size below 4 GiB")
        return size * count

    def element_size(self, element: int) -> int:
        """``sizeof`` of what ``array_elems`` gave, a type that is no array."""
        type_ = self.type(element)
        if isinstance(type_, kinds.Ptr):
            return POINTER_SIZE
        if isinstance(
            type_, (kinds.Int, kinds.Composite, kinds.Enumeration, kinds.Float, kinds.DataSec)
        ):
            return type_.size
        raise self.error(element, type_.kind.name, "a type that has a size")

    def array_elems(self, type_id: int) -> tuple[int, int]:
        """Innermost element type, resolved, and number of elements of all dimensions together.

        For what is not an array: the resolved type itself, and 1.
        """
        at, count = self.resolve(type_id), 1
        for _ in range(MAX_DEPTH):
            type_ = self.type(at)
            if not isinstance(type_, kinds.Array):
                return at, count
            count *= type_.count
            at = self.resolve(type_.element)
        raise self._endless(type_id)

    def align_of(self, type_id: int) -> int:
        """Natural alignment in bytes: that of the most demanding member, 1 for what has none."""
        element, _ = self.array_elems(type_id)
        type_ = self.type(element)
        if isinstance(type_, kinds.Ptr):
            return POINTER_SIZE
        if isinstance(type_, (kinds.Int, kinds.Enumeration, kinds.Float)):
            return _natural(type_.size)
        if isinstance(type_, kinds.Composite):
            return self._composite_align(element, type_, 0)
        return 1

    def _composite_align(self, type_id: int, type_: kinds.Composite, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise self._endless(type_id)
        known = self._aligns.get(type_id)
        if known is not None:
            return known
        align = 1
        for member in type_.members:
            element, _ = self.array_elems(member.type)
            inner = self.type(element)
            if isinstance(inner, kinds.Composite):
                wanted = self._composite_align(element, inner, depth + 1)
            else:
                wanted = self.align_of(element)
            if member.bit_offset % (wanted * 8) == 0 and type_.size % wanted == 0:
                align = max(align, wanted)
        self._aligns[type_id] = align
        return align

    # --- parts of types -------------------------------------------------------------------------

    def members(self, type_id: int) -> tuple[kinds.Member, ...]:
        """Members of the structure or union behind *type_id*."""
        type_ = self.resolved(type_id)
        if not isinstance(type_, kinds.Composite):
            raise self.error(type_id, type_.kind.name, "a structure or union")
        return type_.members

    def find_member(self, type_id: int, name: str) -> Field | None:
        """The member called *name*, also in anonymous structures and unions."""
        return self._find_member(type_id, name, set(), 0)

    def _find_member(self, type_id: int, name: str, seen: set[int], depth: int) -> Field | None:
        if depth > MAX_DEPTH:
            raise self._endless(type_id)
        for member in self.members(type_id):
            if member.name == name:
                return Field(member.type, member.bit_offset, member.bitfield_size)
            inner_id = self.resolve(member.type)
            if not member.name and inner_id not in seen and self.kind(inner_id) in COMPOSITES:
                seen.add(inner_id)
                inner = self._find_member(inner_id, name, seen, depth + 1)
                if inner is not None:
                    return Field(
                        inner.type, member.bit_offset + inner.bit_offset, inner.bitfield_size
                    )
        return None

    def member_path(self, type_id: int, path: str) -> Field:
        """Follow a path as C spells it, ``a.b[3].c``, from the structure behind *type_id*.

        Raises:
            BtfError: a step leads nowhere.
        """
        known = self._paths.get((type_id, path))
        if known is None:
            known = self._follow(type_id, path)
            if len(self._paths) < MAX_REMEMBERED:
                self._paths[type_id, path] = known
        return known

    def _follow(self, type_id: int, path: str) -> Field:
        field = Field(type_id, 0)
        for step in path.replace("[", ".[").split("."):
            if not step:
                continue
            inner: Field | None = None
            if step[0] == "[":
                inner = self._element(field, step)
            elif self.kind(self.resolve(field.type)) in COMPOSITES:
                inner = self.find_member(field.type, step)
            if inner is None:
                raise self.error(field.type, f"no {step!r} on the path {path!r}", "a member")
            field = Field(inner.type, field.bit_offset + inner.bit_offset, inner.bitfield_size)
        return field

    def _element(self, field: Field, step: str) -> Field | None:
        type_ = self.resolved(field.type)
        digits = step[1:-1]
        if not isinstance(type_, kinds.Array) or not digits.isdecimal() or step[-1] != "]":
            return None
        return Field(type_.element, int(digits) * self.size_of(type_.element) * 8)

    def func_proto(self, type_id: int) -> kinds.FuncProto:
        """The prototype behind *type_id*: a FUNC_PROTO, a FUNC, or a pointer to one."""
        type_ = self.resolved(type_id)
        if isinstance(type_, (kinds.Ptr, kinds.Func)):
            type_ = self.resolved(type_.type)
        if not isinstance(type_, kinds.FuncProto):
            raise self.error(type_id, type_.kind.name, "a function")
        return type_

    def enum_values(self, type_id: int) -> dict[str, int]:
        """Values by name of the enumeration behind *type_id*."""
        type_ = self.resolved(type_id)
        if not isinstance(type_, kinds.Enumeration):
            raise self.error(type_id, type_.kind.name, "an enumeration")
        return {item.name: item.value for item in type_.values}

    def decl_tags(self, type_id: int, component: int = -1) -> list[str]:
        """Declaration tags of type *type_id*, or of its member or parameter *component*."""
        if self._tags is None:
            self._tags = self._read_tags()
        found = self.base.decl_tags(type_id, component) if self.base is not None else []
        for tag in self._tags.get(type_id, ()):
            if tag.component == component:
                found.append(tag.name)
        return found

    def _read_tags(self) -> dict[int, list[kinds.DeclTag]]:
        tags: dict[int, list[kinds.DeclTag]] = {}
        for type_id in self.ids():
            if self.kind(type_id) == Kind.DECL_TAG:
                tag = self.type(type_id)
                assert isinstance(tag, kinds.DeclTag)
                tags.setdefault(tag.type, []).append(tag)
        return tags

    def type_tags(self, type_id: int) -> list[str]:
        """Type tags among the modifiers at *type_id*; for a pointer, those of what it points to."""
        type_ = self.resolved(type_id)
        at = type_.type if isinstance(type_, kinds.Ptr) else type_id
        tags: list[str] = []
        for _ in range(MAX_DEPTH):
            type_ = self.type(at)
            if not isinstance(type_, kinds.Reference):
                return tags
            if type_.kind == Kind.TYPE_TAG:
                tags.append(type_.name)
            at = type_.type
        raise self._endless(type_id)


def _natural(size: int) -> int:
    """Alignment of a scalar: its size, if that is a power of two up to 16."""
    return size if size in {1, 2, 4, 8, 16} else POINTER_SIZE if size > POINTER_SIZE else 1
