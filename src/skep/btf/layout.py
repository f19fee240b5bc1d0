"""Where a C compiler would put members, and what must be said to make it put them elsewhere.

BTF says where members are; C only says their order. For each structure this module finds the
padding and the attributes that make the compiler's layout equal to BTF's.

Invariant: laid out by the rules below, each member comes to lie at its BTF offset, and the whole
has its BTF size. The rules are those of Linux' ABIs and of the BPF target: a member is aligned as
its type; a bit field does not cross a unit of its type, unless packed; unnamed bit fields do not
align anything.
"""

from dataclasses import dataclass, field

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind

MAX_NESTING = 64


@dataclass(slots=True)
class Layout:
    """How to write a structure or union.

    Args:
        align: its alignment in bytes, as written.
        packed: whether it needs the attribute.
        gaps: before each member, and at the end, the widths of unnamed bit fields; each lies
            within 64 bits.
        fill: bytes of a member to add to a union, so that it has its size; 0 for none.
    """

    align: int = 1
    packed: bool = False
    gaps: list[list[int]] = field(default_factory=list)
    fill: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member lies: the same for old and new encodings of bit fields."""

    bit_offset: int
    bits: int  # of a bit field, else 0


def place(btf: Btf, member: kinds.Member) -> Place:
    """Where *member* lies in its structure; an integer of odd width is a bit field."""
    if member.bitfield_size:
        return Place(member.bit_offset, member.bitfield_size)
    type_ = btf.resolved(member.type)
    if isinstance(type_, kinds.Int) and (type_.offset or type_.bits != type_.size * 8):
        return Place(member.bit_offset + type_.offset, type_.bits)
    return Place(member.bit_offset, 0)


class Layouts:
    """Layouts of one BTF's structures, each made once."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._known: dict[int, Layout] = {}
        self._open: set[int] = set()

    def of(self, type_id: int) -> Layout:
        """The layout of the structure or union *type_id*.

        Raises:
            BtfError: it contains itself.
        """
        known = self._known.get(type_id)
        if known is not None:
            return known
        if type_id in self._open or len(self._open) > MAX_NESTING:
            raise self._btf.error(type_id, "a structure inside itself", "nesting that ends")
        type_ = self._btf.type(type_id)
        assert isinstance(type_, kinds.Composite)
        self._open.add(type_id)
        made: Layout | None
        if type_.kind == Kind.UNION:
            made = self._union(type_)
        else:
            made = self._struct(type_, packed=False) or self._struct(type_, packed=True)
        self._open.discard(type_id)
        if made is None:
            raise self._btf.error(
                type_id, "members that overlap or stick out", "a layout that C can express"
            )
        self._known[type_id] = made
        return made

    def align_of(self, type_id: int) -> int:
        """Alignment of a type as it will be written, in bytes."""
        element, _ = self._btf.array_elems(type_id)
        if isinstance(self._btf.type(element), kinds.Composite):
            return self.of(element).align
        return self._btf.align_of(element)

    def _size(self, type_id: int) -> int:
        element, _ = self._btf.array_elems(type_id)
        return 0 if self._btf.kind(element) == Kind.VOID else self._btf.size_of(type_id)

    def _union(self, type_: kinds.Composite) -> Layout:
        layout, size = Layout(), 0
        for member in type_.members:
            bits = place(self._btf, member).bits
            layout.align = max(layout.align, self.align_of(member.type))
            size = max(size, (bits + 7) // 8 if bits else self._size(member.type))
        if type_.size % layout.align:
            layout.align, layout.packed = 1, True
        if -(-size // layout.align) * layout.align < type_.size:
            layout.fill = type_.size
        layout.gaps = [[] for _ in range(len(type_.members) + 1)]
        return layout

    def _struct(self, type_: kinds.Composite, *, packed: bool) -> Layout | None:
        """Lay out a structure; None if it needs to be packed."""
        layout = Layout(packed=packed)
        at = 0
        for member in type_.members:
            where = place(self._btf, member)
            align = 1 if packed else self.align_of(member.type)
            unit = self._size(member.type) * 8
            layout.align = max(layout.align, align)
            start = _natural_start(at, where, align, unit, packed=packed)
            gap: list[int] = []
            if start != where.bit_offset:
                gap = _fill(at, where.bit_offset)
                at = where.bit_offset
                start = _natural_start(at, where, align, unit, packed=packed)
            if start != where.bit_offset:
                return None
            layout.gaps.append(gap)
            at = where.bit_offset + (where.bits or unit)
        if type_.size % layout.align and not packed:
            return None
        end = -(-at // (layout.align * 8)) * layout.align
        if end > type_.size:
            return None
        layout.gaps.append(_fill(at, type_.size * 8) if end < type_.size else [])
        return layout


def _natural_start(at: int, where: Place, align: int, unit: int, *, packed: bool) -> int:
    """Where the compiler puts the next member, in bits; *unit* is the bits of its type."""
    if not where.bits:
        return -(-at // (align * 8)) * align * 8
    if packed or unit == 0 or at // unit == (at + where.bits - 1) // unit:
        return at
    return -(-at // unit) * unit


def _fill(start: int, end: int) -> list[int]:
    """Widths of unnamed bit fields from bit *start* to bit *end*, none across 64 bits."""
    widths: list[int] = []
    while start < end:
        step = min(end, (start // 64 + 1) * 64) - start
        widths.append(step)
        start += step
    return widths
