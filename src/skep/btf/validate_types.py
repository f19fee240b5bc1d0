"""What BTF_LOAD asks of each type by itself, before it looks at what the type refers to.

Invariant: after ``check_type`` returned, all words of the type exist.

Source: Linux kernel/bpf/btf.c, the ``*_check_meta`` family.
"""

from collections.abc import Callable, Mapping
from typing import Final

from skep.base.bits import signed
from skep.btf import kinds
from skep.btf.codec import MAX_TYPES
from skep.btf.kinds import KINDS, Kind
from skep.btf.validate_log import ENOTSUPP, MAX_NAME_OFFSET, Raw, Report

_RESERVED: Final = 0x60FF_0000  # of info: bits 16 to 23, 29 and 30
_HEAD_SIZE: Final = 12
_MAX_NAME: Final = 512
_INT_BITS: Final = 128


def check_type(report: Report, raw: Raw, left: int) -> int:
    """Check one type.

    Args:
        report: the log.
        raw: the type; its head exists.
        left: bytes from its head to the end of the section.

    Returns:
        Its size in bytes.

    Raises:
        BtfError: BTF_LOAD refuses it.
    """
    label = f"[{raw.type_id}]"
    if raw.info & _RESERVED:
        raise report.refuse_plain(f"{label} Invalid btf_info:{raw.info:x}", raw.type_id)
    if not 0 < raw.kind < len(KINDS):
        raise report.refuse_plain(f"{label} Invalid kind:{raw.kind}", raw.type_id)
    if not _is_string(report, raw.name_off):
        raise report.refuse_plain(f"{label} Invalid name_offset:{raw.name_off}", raw.type_id)
    row = KINDS[raw.kind]
    trailer = row.fixed + row.each * raw.vlen if row.each else row.fixed
    if left - _HEAD_SIZE < trailer:
        raise report.refuse_basic(raw, f"meta_left:{left - _HEAD_SIZE} meta_needed:{trailer}")
    _CHECKS[raw.kind](report, raw)
    return _HEAD_SIZE + trailer


def _is_string(report: Report, off: int) -> bool:
    return off <= MAX_NAME_OFFSET and off < len(report.strings)


def is_identifier(report: Report, off: int) -> bool:
    """Whether the string at *off* can name something in C; dots are allowed, as compilers do."""
    if not _is_string(report, off):
        return False
    name = report.strings[off : report.strings.find(b"\0", off)]
    if not name or len(name) > _MAX_NAME or name[0:1].isdigit():
        return False
    return all(char in _IDENTIFIER for char in name)


_LATIN_LETTERS: Final = frozenset(range(0xC0, 0x100)) - {0xD7, 0xF7}  # letters to Linux
_IDENTIFIER: Final = _LATIN_LETTERS | frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_."
)


def _is_printable(report: Report, off: int) -> bool:
    name = report.strings[off : report.strings.find(b"\0", off)]
    return 0 < len(name) <= _MAX_NAME and all(0x20 <= char < 0x7F or char >= 0xA0 for char in name)


def _require_named(report: Report, raw: Raw) -> None:
    if not raw.name_off or not is_identifier(report, raw.name_off):
        raise report.refuse(raw, "Invalid name")


def _require_proper_name(report: Report, raw: Raw) -> None:
    if raw.name_off and not is_identifier(report, raw.name_off):
        raise report.refuse(raw, "Invalid name")


def _require_anonymous(report: Report, raw: Raw) -> None:
    if raw.name_off:
        raise report.refuse(raw, "Invalid name")


def _require_no_entries(report: Report, raw: Raw) -> None:
    if raw.vlen:
        raise report.refuse(raw, "vlen != 0")


def _require_no_flag(report: Report, raw: Raw) -> None:
    if raw.flag:
        raise report.refuse(raw, "Invalid btf_info kind_flag")


def _require_id(report: Report, raw: Raw) -> None:
    if raw.third > MAX_TYPES:
        raise report.refuse(raw, "Invalid type_id")


def _is_id(type_id: int) -> bool:
    return 0 < type_id <= MAX_TYPES


def _check_int(report: Report, raw: Raw) -> None:
    _require_no_entries(report, raw)
    _require_no_flag(report, raw)
    data = report.words[raw.at + 3]
    if data & 0xF000_0000:
        raise report.refuse_basic(raw, f"Invalid int_data:{data:x}")
    bits = (data & 0xFF) + ((data >> 16) & 0xFF)
    if bits > _INT_BITS:
        raise report.refuse(raw, f"nr_bits exceeds {_INT_BITS}")
    if (bits + 7) // 8 > raw.third:
        raise report.refuse(raw, "nr_bits exceeds type_size")
    encoding = (data >> 24) & 0xF
    if encoding not in {0, kinds.INT_SIGNED, kinds.INT_CHAR, kinds.INT_BOOL}:
        raise report.refuse(raw, "Unsupported encoding", ENOTSUPP)
    report.type_line(raw)


def _check_reference(report: Report, raw: Raw) -> None:
    _require_no_entries(report, raw)
    if raw.kind != Kind.TYPE_TAG:
        _require_no_flag(report, raw)
    _require_id(report, raw)
    if raw.kind == Kind.TYPEDEF:
        _require_named(report, raw)
    elif raw.kind == Kind.TYPE_TAG:
        if report.strings[raw.name_off] == 0:
            raise report.refuse(raw, "Invalid name")
    else:
        _require_anonymous(report, raw)
    report.type_line(raw)


def _check_forward(report: Report, raw: Raw) -> None:
    _require_no_entries(report, raw)
    if raw.third:
        raise report.refuse(raw, "type != 0")
    _require_named(report, raw)
    report.type_line(raw)


def _check_array(report: Report, raw: Raw) -> None:
    _require_anonymous(report, raw)
    _require_no_entries(report, raw)
    _require_no_flag(report, raw)
    if raw.third:
        raise report.refuse(raw, "size != 0")
    if not _is_id(report.words[raw.at + 3]):
        raise report.refuse(raw, "Invalid elem")
    if not _is_id(report.words[raw.at + 4]):
        raise report.refuse(raw, "Invalid index")
    report.type_line(raw)


def _check_composite(report: Report, raw: Raw) -> None:
    _require_proper_name(report, raw)
    report.type_line(raw)
    last = 0
    for entry in range(raw.at + 3, raw.at + 3 + 3 * raw.vlen, 3):
        offset = report.words[entry + 2]
        if raw.flag:
            offset &= 0xFFFFFF
        problem = _member_problem(report, raw, entry, offset, last)
        if problem:
            raise report.refuse_member(raw, entry, problem)
        report.member_line(raw, entry)
        last = offset


def _member_problem(report: Report, raw: Raw, entry: int, offset: int, last: int) -> str:
    name_off, type_id = report.words[entry : entry + 2]
    if not _is_string(report, name_off):
        return f"Invalid member name_offset:{name_off}"
    if name_off and not is_identifier(report, name_off):
        return "Invalid name"
    if not _is_id(type_id):
        return "Invalid type_id"
    if offset < last or (raw.kind == Kind.UNION and offset):
        return "Invalid member bits_offset"
    if (offset + 7) // 8 > raw.third:
        return "Member bits_offset exceeds its struct size"
    return ""


def _check_enum(report: Report, raw: Raw) -> None:
    if raw.third not in {1, 2, 4, 8}:
        raise report.refuse(raw, "Unexpected size")
    _require_proper_name(report, raw)
    report.type_line(raw)
    wide = raw.kind == Kind.ENUM64
    step = 3 if wide else 2
    for entry in range(raw.at + 3, raw.at + 3 + step * raw.vlen, step):
        name_off, value = report.words[entry : entry + 2]
        if not _is_string(report, name_off):
            raise report.refuse_plain(f"\tInvalid name_offset:{name_off}", raw.type_id)
        if not name_off or not is_identifier(report, name_off):
            raise report.refuse(raw, "Invalid name")
        if wide:
            value |= report.words[entry + 2] << 32
        if raw.flag:
            value = signed(value, 64 if wide else 32)
        report.write(f"\t{report.name(name_off)} val={value}\n")


def _check_prototype(report: Report, raw: Raw) -> None:
    _require_anonymous(report, raw)
    _require_no_flag(report, raw)
    report.type_line(raw)


def _check_function(report: Report, raw: Raw) -> None:
    _require_named(report, raw)
    if raw.vlen > kinds.GLOBAL:
        raise report.refuse(raw, "Invalid func linkage")
    _require_no_flag(report, raw)
    report.type_line(raw)


def _check_variable(report: Report, raw: Raw) -> None:
    _require_no_entries(report, raw)
    _require_no_flag(report, raw)
    _require_named(report, raw)
    if not _is_id(raw.third):
        raise report.refuse(raw, "Invalid type_id")
    if report.words[raw.at + 3] not in {kinds.STATIC, kinds.GLOBAL}:
        raise report.refuse(raw, "Linkage not supported")
    report.type_line(raw)


def _check_section(report: Report, raw: Raw) -> None:
    if not raw.third:
        raise report.refuse(raw, "size == 0")
    _require_no_flag(report, raw)
    if not raw.name_off or not _is_printable(report, raw.name_off):
        raise report.refuse(raw, "Invalid name")
    report.type_line(raw)
    end = 0
    for entry in range(raw.at + 3, raw.at + 3 + 3 * raw.vlen, 3):
        type_id, offset, size = report.words[entry : entry + 3]
        problem = ""
        if not _is_id(type_id):
            problem = "Invalid type_id"
        elif offset < end or offset >= raw.third:
            problem = "Invalid offset"
        elif not size or size > raw.third:
            problem = "Invalid size"
        elif offset + size > raw.third:
            problem = "Invalid offset+size"
        if problem:
            raise report.refuse_entry(raw, entry, problem)
        report.entry_line(raw, entry)
        end = offset + size


def _check_float(report: Report, raw: Raw) -> None:
    _require_no_entries(report, raw)
    _require_no_flag(report, raw)
    if raw.third not in {2, 4, 8, 12, 16}:
        raise report.refuse(raw, "Invalid type_size")
    report.type_line(raw)


def _check_declaration_tag(report: Report, raw: Raw) -> None:
    if report.strings[raw.name_off] == 0:
        raise report.refuse(raw, "Invalid value")
    _require_no_entries(report, raw)
    if signed(report.words[raw.at + 3], 32) < -1:
        raise report.refuse(raw, "Invalid component_idx")
    report.type_line(raw)


_CHECKS: Final[Mapping[int, Callable[[Report, Raw], None]]] = {
    Kind.INT: _check_int,
    Kind.PTR: _check_reference,
    Kind.ARRAY: _check_array,
    Kind.STRUCT: _check_composite,
    Kind.UNION: _check_composite,
    Kind.ENUM: _check_enum,
    Kind.FWD: _check_forward,
    Kind.TYPEDEF: _check_reference,
    Kind.VOLATILE: _check_reference,
    Kind.CONST: _check_reference,
    Kind.RESTRICT: _check_reference,
    Kind.FUNC: _check_function,
    Kind.FUNC_PROTO: _check_prototype,
    Kind.VAR: _check_variable,
    Kind.DATASEC: _check_section,
    Kind.FLOAT: _check_float,
    Kind.DECL_TAG: _check_declaration_tag,
    Kind.TYPE_TAG: _check_reference,
    Kind.ENUM64: _check_enum,
}
