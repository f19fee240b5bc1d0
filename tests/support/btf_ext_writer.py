"""Writes .BTF.ext sections, right and wrong ones, next to the expectations."""

import struct
from collections.abc import Sequence

from skep.btf.build import Builder

Part = Sequence[tuple[str, Sequence[tuple[int, ...]]]]  # section name, records of words


def part(builder: Builder, sections: Part, record_size: int) -> bytes:
    """One part: record size, then the records of each section, padded to that size."""
    if not sections:
        return b""
    out = struct.pack("=I", record_size)
    for name, records in sections:
        out += struct.pack("=II", builder.string(name), len(records))
        for record in records:
            out += struct.pack(f"={len(record)}I", *record).ljust(record_size, b"\0")
    return out


def ext(
    builder: Builder,
    functions: Part = (),
    lines: Part = (),
    relocations: Part = (),
    *,
    longer: int = 0,
) -> bytes:
    """A whole section; *longer* bytes are added to each record."""
    parts = [
        part(builder, functions, 8 + longer),
        part(builder, lines, 16 + longer),
        part(builder, relocations, 16 + longer),
    ]
    header = struct.pack("=HBBI", 0xEB9F, 1, 0, 32)
    off = 0
    for data in parts:
        header += struct.pack("=II", off, len(data))
        off += len(data)
    return header + b"".join(parts)
