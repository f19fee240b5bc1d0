"""What a CO-RE specification comes to: a number for each kind of relocation.

Invariant: the value depends on one specification alone; comparing the local one with the target's
is ``skep.btf.relocate``'s work.

Source: Linux tools/lib/bpf/relo_core.c.
"""

import sys
from dataclasses import dataclass
from typing import Final

from skep.base.bits import U32, U64, signed
from skep.btf import kinds
from skep.btf.core_spec import ENUM_KINDS, FIELD_KINDS, RelocationKind, Spec
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import RelocationError

_LITTLE: Final = sys.byteorder == "little"


@dataclass(frozen=True, slots=True)
class Value:
    """A relocation's number.

    Args:
        number: as an unsigned 64-bit integer.
        certain: whether a compiler must have put just this number into the instruction.
        size: of the access in bytes, where it may have to change with the field; else 0.
        type_id: of the field, resolved, where *size* is given.
    """

    number: int
    certain: bool = True
    size: int = 0
    type_id: int = 0


def value_of(spec: Spec) -> Value:
    """Compute the value of *spec*, whatever its kind.

    Raises:
        RelocationError: the field has no such aspect.
    """
    if spec.kind in FIELD_KINDS:
        return _field_value(spec)
    if spec.kind in ENUM_KINDS:
        return _enumerator_value(spec)
    if spec.kind in {RelocationKind.TYPE_ID_LOCAL, RelocationKind.TYPE_ID_TARGET}:
        # Linkers renumber types, so the number in the instruction may be an old one.
        return Value(spec.root, certain=False)
    if spec.kind == RelocationKind.TYPE_SIZE:
        return Value(spec.btf.size_of(spec.root))
    return Value(1)


def value_if_absent(kind: RelocationKind) -> int | None:
    """The value if nothing matches: 0, or None where the instruction must not be reached."""
    if kind in {RelocationKind.FIELD_EXISTS, RelocationKind.ENUMVAL_EXISTS}:
        return 0
    return None if kind in FIELD_KINDS or kind in ENUM_KINDS else 0


def _enumerator_value(spec: Spec) -> Value:
    if spec.kind == RelocationKind.ENUMVAL_EXISTS:
        return Value(1)
    step = spec.accessors[0]
    type_ = spec.btf.type(step.type_id)
    assert isinstance(type_, kinds.Enumeration)
    number = type_.values[step.index].value
    if type_.kind == Kind.ENUM:
        number = signed(number, 32)  # libbpf reads all 32-bit enumerators as signed
    return Value(number & U64)


def _field_value(spec: Spec) -> Value:
    if spec.kind == RelocationKind.FIELD_EXISTS:
        return Value(1)
    step = spec.accessors[-1]
    if not step.name:
        return _element_value(spec, step.type_id)
    member = spec.btf.members(step.type_id)[step.index]
    if member.bitfield_size:
        return _bitfield_value(spec, member)
    return _member_value(spec, member)


def _element_value(spec: Spec, type_id: int) -> Value:
    btf = spec.btf
    if spec.kind == RelocationKind.FIELD_BYTE_OFFSET:
        return Value(spec.bit_offset // 8, size=_element_size(btf, type_id), type_id=type_id)
    if spec.kind == RelocationKind.FIELD_BYTE_SIZE:
        return Value(btf.size_of(type_id))
    raise RelocationError("an array element has no such aspect", local=str(spec))


def _element_size(btf: Btf, type_id: int) -> int:
    element, _ = btf.array_elems(type_id)
    return btf.size_of(element)


def _member_value(spec: Spec, member: kinds.Member) -> Value:
    btf = spec.btf
    type_id = btf.resolve(member.type)
    size = btf.size_of(type_id)
    match spec.kind:
        case RelocationKind.FIELD_BYTE_OFFSET:
            access = _element_size(btf, type_id)
            return Value(spec.bit_offset // 8, size=access, type_id=type_id)
        case RelocationKind.FIELD_BYTE_SIZE:
            return Value(size)
        case RelocationKind.FIELD_SIGNED:
            return Value(_is_signed(btf.type(type_id)))
        case RelocationKind.FIELD_LSHIFT_U64:
            bit = spec.bit_offset % 8
            shift = 64 - (bit + size * 8) if _LITTLE else (8 - size) * 8 + bit
            return Value(shift & U32)
        case _:
            return Value((64 - size * 8) & U32)


def _bitfield_value(spec: Spec, member: kinds.Member) -> Value:
    type_ = spec.btf.resolved(member.type)
    bits = member.bitfield_size
    size, offset = _container(spec, type_, bits)
    match spec.kind:
        # Which unit a bit field is loaded from is up to the compiler; the rest is not.
        case RelocationKind.FIELD_BYTE_OFFSET:
            return Value(offset, certain=False)
        case RelocationKind.FIELD_BYTE_SIZE:
            return Value(size, certain=False)
        case RelocationKind.FIELD_SIGNED:
            return Value(_is_signed(type_))
        case RelocationKind.FIELD_LSHIFT_U64:
            into = spec.bit_offset - offset * 8
            shift = 64 - (into + bits) if _LITTLE else (8 - size) * 8 + into
            return Value(shift & U32, certain=False)
        case _:
            return Value((64 - bits) & U32)


def _container(spec: Spec, type_: kinds.Type, bits: int) -> tuple[int, int]:
    """Size and offset in bytes of the smallest aligned unit that holds the whole bit field."""
    size = type_.size if isinstance(type_, (kinds.Int, kinds.Enumeration)) else 0
    if size not in {1, 2, 4, 8, 16}:
        raise RelocationError("a bit field of a type that has none", local=str(spec))
    bit = spec.bit_offset
    offset = bit // 8 // size * size
    while bit + bits > (offset + size) * 8:
        if size >= 8:
            raise RelocationError("the bit field does not fit one 64-bit load", local=str(spec))
        size *= 2
        offset = bit // 8 // size * size
    return size, offset


def _is_signed(type_: kinds.Type) -> int:
    return int(isinstance(type_, (kinds.Int, kinds.Enumeration)) and type_.signed)
