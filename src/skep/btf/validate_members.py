"""What BTF_LOAD asks of a member: that it lies inside its structure, aligned as its type wants.

Invariant: runs after the member's type was resolved, so that its size is known.

Source: Linux kernel/bpf/btf.c, the ``*_check_member`` and ``*_check_kflag_member`` families.
"""

from collections.abc import Callable
from typing import Final

from skep.base.bits import U32
from skep.btf.kinds import Kind
from skep.btf.validate_log import Raw, Report

_POINTER: Final = 8
_INT_BITS: Final = 128
_ENUM_BITS: Final = 32

Sized = Callable[[int], "tuple[int, int] | None"]  # id to the id and size it comes to
TYPEDEFS: Final = frozenset((Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG))


class MemberCheck:
    """Checks members of structures and unions.

    Args:
        report: the log.
        types: every type, by id.
        sized: the concrete type behind an id and its size; None if it has none.
    """

    def __init__(self, report: Report, types: "list[Raw]", sized: Sized) -> None:
        self._report = report
        self._types = types
        self._sized = sized

    def check(self, raw: Raw, entry: int) -> None:
        """Check the member in word *entry* of the structure *raw*; raises BtfError."""
        type_id = self._report.words[entry + 1]
        member_type = self._types[type_id]
        if member_type.kind in TYPEDEFS:
            found = self._sized(type_id)
            if found is None:
                raise self._report.refuse_member(raw, entry, "Invalid member")
            type_id = found[0]
            member_type = self._types[type_id]
        offset = self._report.words[entry + 2]
        bits = 0
        if raw.flag:
            offset, bits = offset & 0xFFFFFF, offset >> 24
        problem = self._problem(raw, member_type, offset, bits)
        if problem.startswith("Unsupported"):
            raise self._report.refuse_basic(raw, problem)
        if problem:
            raise self._report.refuse_member(raw, entry, problem, type_id)

    def _problem(self, raw: Raw, member_type: Raw, offset: int, bits: int) -> str:
        kind = member_type.kind
        if kind == Kind.INT:
            data = self._report.words[member_type.at + 3]
            return _bit_field(raw, data, offset, bits) if raw.flag else _integer(raw, data, offset)
        if kind in {Kind.ENUM, Kind.ENUM64} and raw.flag:
            return _enum_field(raw, offset, bits)
        if kind not in _PLAIN:
            return f"Unsupported check_{'kflag_' if raw.flag else ''}member"
        if bits:
            return "Invalid member bitfield_size"
        if kind == Kind.FLOAT:
            return _floating(raw, member_type, offset)
        return self._whole(raw, member_type, offset)

    def _whole(self, raw: Raw, member_type: Raw, offset: int) -> str:
        if offset % 8:
            return "Member is not byte aligned"
        found = self._sized(member_type.type_id)
        size = _POINTER if found is None else found[1]
        if (raw.third - offset // 8) & U32 < size:
            return "Member exceeds struct_size"
        return ""


_PLAIN: Final = frozenset(
    (Kind.PTR, Kind.ARRAY, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.FLOAT)
)


def is_regular(data: int) -> bool:
    """Whether an integer is plain: whole bytes of a usual number, from the first bit on."""
    return (data >> 16) & 0xFF == 0 and (data & 0xFF) in {8, 16, 32, 64, 128}


def _integer(raw: Raw, data: int, offset: int) -> str:
    inner = (data >> 16) & 0xFF
    if U32 - offset < inner:
        return "bits_offset exceeds U32_MAX"
    return _span(raw, offset + inner, data & 0xFF)


def _bit_field(raw: Raw, data: int, offset: int, bits: int) -> str:
    if not is_regular(data):
        return "Invalid member base type"
    if not bits and offset % 8:
        return "Invalid member offset"
    if bits > data & 0xFF:
        return "Invalid member bitfield_size"
    return _span(raw, offset, bits or data & 0xFF)


def _span(raw: Raw, offset: int, bits: int) -> str:
    copied = bits + offset % 8
    if copied > _INT_BITS:
        return "nr_copy_bits exceeds 128"
    if offset // 8 + (copied + 7) // 8 > raw.third:
        return "Member exceeds struct_size"
    return ""


def _enum_field(raw: Raw, offset: int, bits: int) -> str:
    if not bits and offset % 8:
        return "Member is not byte aligned"
    if bits > _ENUM_BITS:
        return "Invalid member bitfield_size"
    if raw.third < (offset + (bits or _ENUM_BITS) + 7) // 8:
        return "Member exceeds struct_size"
    return ""


def _floating(raw: Raw, member_type: Raw, offset: int) -> str:
    if offset % (min(_POINTER, member_type.third) * 8):
        return "Member is not properly aligned"
    if offset // 8 + member_type.third > raw.third:
        return "Member exceeds struct_size"
    return ""
