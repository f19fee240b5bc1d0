"""validate: all that BTF_LOAD checks before it takes a program's types.

Stricter than ``Btf.parse``, which reads whatever can be read: names are identifiers, members lie
inside their structures, nothing contains itself.

Invariant: what passes is taken by Linux 6.18; what is refused has its errno.

Source: Linux kernel/bpf/btf.c, ``btf_parse``.
"""

import errno
import struct
from collections.abc import Callable
from typing import Final

from skep.base.bits import signed
from skep.btf.codec import HEADER_SIZE, MAGIC, MAX_TYPES
from skep.btf.graph import Btf
from skep.btf.validate_log import ENOTSUPP, MAX_NAME_OFFSET, Raw, Report
from skep.btf.validate_members import TYPEDEFS
from skep.btf.validate_references import ReferenceCheck
from skep.btf.validate_types import check_type

MAX_SIZE: Final = 16 << 20
MAX_CHAIN: Final = 32
_HEAD_SIZE: Final = 12


def validate(data: bytes, source: str = "BTF", log: Callable[[str], None] | None = None) -> Btf:
    """Check and read a program's BTF as BTF_LOAD does.

    Args:
        data: what the command was given.
        source: for messages.
        log: takes the text of the log, piece by piece.

    Returns:
        The types.

    Raises:
        BtfError: it is refused; ``errno`` is what the command answers.
    """
    report = Report([], b"", source, 0, log)
    if len(data) > MAX_SIZE:
        raise report.refusal(f"{len(data)} bytes", code=errno.E2BIG)
    header = _read_header(data, report)
    report = _read_strings(data, header, report, source, log)
    types = _read_types(header, report)
    ReferenceCheck(report, types).check()
    _check_chains(report, types)
    return Btf.parse(data, source=source)


class _Header:
    def __init__(self, size: int, fields: tuple[int, ...]) -> None:
        self.size = size
        self.type_off, self.type_size, self.string_off, self.string_size = fields


def _read_header(data: bytes, report: Report) -> _Header:
    if len(data) < 8:
        raise report.refuse_plain("hdr_len not found")
    size = int(struct.unpack_from("=I", data, 4)[0])
    if len(data) < size:
        raise report.refuse_plain("btf_header not found")
    if size > HEADER_SIZE and any(data[HEADER_SIZE:size]):
        raise report.refuse_plain("Unsupported btf_header", code=errno.E2BIG)
    known = data[: min(size, HEADER_SIZE)].ljust(HEADER_SIZE, b"\0")
    magic, version, flags, hdr_len, *rest = struct.unpack("=HBBIIIII", known)
    names = ("type_off", "type_len", "str_off", "str_len")
    report.write(f"magic: {magic:#x}\nversion: {version}\nflags: {flags:#x}\nhdr_len: {hdr_len}\n")
    for name, value in zip(names, rest, strict=True):
        report.write(f"{name}: {value}\n")
    report.write(f"btf_total_size: {len(data)}\n")
    if magic != MAGIC:
        raise report.refuse_plain("Invalid magic")
    if version != 1:
        raise report.refuse_plain("Unsupported version", code=ENOTSUPP)
    if flags:
        raise report.refuse_plain("Unsupported flags", code=ENOTSUPP)
    if len(data) == hdr_len:
        raise report.refuse_plain("No data")
    header = _Header(hdr_len, tuple(rest))
    _check_sections(header, len(data) - hdr_len, report)
    return header


def _check_sections(header: _Header, room: int, report: Report) -> None:
    """Require that the sections follow each other and fill the data."""
    sections = [(header.type_off, header.type_size), (header.string_off, header.string_size)]
    (off, size), (other, its_size) = sections
    # Linux sorts by the signed difference, so a huge offset comes first.
    if (signed(off - other, 32) or signed(size - its_size, 32)) > 0:
        sections.reverse()
    total = 0
    for off, size in sections:
        if room < off:
            raise report.refuse_plain("Invalid section offset")
        if total < off:
            raise report.refuse_plain("Unsupported section found")
        if total > off:
            raise report.refuse_plain("Section overlap found")
        if room - total < size:
            raise report.refuse_plain("Total section length too long")
        total += size
    if total != room:
        raise report.refuse_plain("Unsupported section found")


def _read_strings(
    data: bytes,
    header: _Header,
    report: Report,
    source: str,
    log: Callable[[str], None] | None,
) -> Report:
    start = header.size + header.string_off
    strings = data[start : start + header.string_size]
    if start + header.string_size != len(data):
        raise report.refuse_plain("String section is not at the end")
    if not strings or len(strings) - 1 > MAX_NAME_OFFSET or strings[-1] or strings[0]:
        raise report.refuse_plain("Invalid string section")
    if header.type_off % 4:
        raise report.refuse_plain("Unaligned type_off")
    if not header.type_size:
        raise report.refuse_plain("No type found")
    offset = header.size + header.type_off
    whole = header.type_size // 4 * 4
    words = list(struct.unpack_from(f"={whole // 4}I", data, offset))
    return Report(words, strings, source, offset, log)


def _read_types(header: _Header, report: Report) -> list[Raw]:
    types = [Raw(0, 0, 0, 0, 0)]
    at = 0
    while at < header.type_size:
        left = header.type_size - at
        type_id = len(types)
        if left < _HEAD_SIZE:
            message = f"[{type_id}] meta_left:{left} meta_needed:{_HEAD_SIZE}"
            raise report.refuse_plain(message, type_id)
        name_off, info, third = report.words[at // 4 : at // 4 + 3]
        raw = Raw(type_id, at // 4, name_off, info, third)
        at += check_type(report, raw, left)
        if type_id > MAX_TYPES - 1:
            raise report.refuse_plain("Exceeded max num of types", type_id, errno.E2BIG)
        types.append(raw)
    return types


def _check_chains(report: Report, types: list[Raw]) -> None:
    """Require that qualifiers in a row are few, so that later walks need no limit."""
    checked = 0
    for start in types:
        at, left = start, MAX_CHAIN
        while at.kind in TYPEDEFS:
            if not left:
                raise report.refuse_plain(
                    "Max chain length or cycle detected", start.type_id, errno.ELOOP
                )
            left -= 1
            if at.type_id <= checked:
                break
            at = types[at.third]
        if start.kind in TYPEDEFS:
            checked = start.type_id
