""".BTF.ext: what BTF says of instructions: functions, source lines, CO-RE relocations.

Each of the three parts is the size of one record, then for every section of the object its name,
the number of records, and these::

    u32 record size | u32 name, u32 count, record … | u32 name, u32 count, record … | …

Invariant: records longer than those known are read by their head, so that newer compilers do no
harm; whatever does not fit is a BtfError with its offset.

Source: Documentation/bpf/btf.rst, ".BTF.ext section".
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from skep.btf.codec import MAGIC, check_magic
from skep.btf.graph import Btf
from skep.errors import BtfError

_MIN_HEADER: Final = 24  # up to line_info; core_relo came later
_INSN_SIZE: Final = 8
_MAX_RECORD: Final = 256


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """``struct bpf_func_info``: the function that starts at byte *offset* of its section."""

    offset: int
    type_id: int  # of a FUNC


@dataclass(frozen=True, slots=True)
class LineRecord:
    """``struct bpf_line_info``: the source of the instruction at byte *offset* of its section."""

    offset: int
    file_off: int  # strings in the BTF
    line_off: int
    line_col: int

    @property
    def line(self) -> int:
        """Line, counted from 1."""
        return self.line_col >> 10

    @property
    def column(self) -> int:
        """Column, counted from 1; 0 if it is not known."""
        return self.line_col & 0x3FF


@dataclass(frozen=True, slots=True)
class CoreRecord:
    """``struct bpf_core_relo``: what the instruction at byte *offset* depends on."""

    offset: int
    type_id: int  # the root type, in the program's BTF
    access: str  # "0:1:2"
    kind: int  # see skep.btf.core_spec


@dataclass(frozen=True, slots=True)
class BtfExt:
    """Records by section name, in the order of the file."""

    functions: Mapping[str, tuple[FunctionRecord, ...]]
    lines: Mapping[str, tuple[LineRecord, ...]]
    relocations: Mapping[str, tuple[CoreRecord, ...]]

    @classmethod
    def parse(cls, data: bytes, btf: Btf, source: str = "") -> "BtfExt":
        """Read a ``.BTF.ext`` section.

        Args:
            data: the section.
            btf: the types and strings that it refers to.
            source: whose it is, for messages; that of *btf* by default.

        Raises:
            BtfError: a record lies outside the section, or refers to what *btf* does not have.
        """
        return _Reader(data, btf, source or btf.source).read()


_Rows = list[tuple[str, int]]  # section and where the record starts
_Record = TypeVar("_Record")


def _by_section(rows: _Rows, read: Callable[[int], _Record]) -> dict[str, tuple[_Record, ...]]:
    found: dict[str, list[_Record]] = {}
    for section, at in rows:
        found.setdefault(section, []).append(read(at))
    return {section: tuple(records) for section, records in found.items()}


class _Reader:
    def __init__(self, data: bytes, btf: Btf, source: str) -> None:
        self._data = data
        self._btf = btf
        self._source = source

    def read(self) -> BtfExt:
        size = self._header()
        parts: list[_Rows] = []
        for field, record_size in ((8, 8), (16, 16), (24, 16)):
            if field + 8 > size:
                parts.append([])
                continue
            off, length = struct.unpack_from("=II", self._data, field)
            if size + off + length > len(self._data):
                raise self._misfit(field, f"a part at {off}, {length} bytes", "an end within it")
            parts.append(self._records(size + off, length, record_size) if length else [])
        return BtfExt(
            _by_section(parts[0], self._function),
            _by_section(parts[1], self._line),
            _by_section(parts[2], self._relocation),
        )

    def _header(self) -> int:
        data = self._data
        if len(data) < _MIN_HEADER:
            raise self._misfit(0, f"{len(data)} bytes", f"at least {_MIN_HEADER}")
        check_magic(data, MAGIC, self._source)
        version, flags, size = struct.unpack_from("=2xBBI", data)
        if version != 1 or flags:
            raise self._misfit(2, f"version {version}, flags {flags}", "version 1, no flags")
        if not _MIN_HEADER <= size <= len(data) or size % 4:
            raise self._misfit(4, f"header length {size}", f"a multiple of 4 up to {len(data)}")
        return int(size)

    def _records(self, start: int, length: int, known: int) -> _Rows:
        end = start + length
        if start % 4 or length < 4:
            raise self._misfit(start, f"a part of {length} bytes", "aligned data, at least 4 bytes")
        record_size = self._word(start)
        if record_size < known or record_size > _MAX_RECORD or record_size % 4:
            raise self._misfit(
                start, f"record size {record_size}", f"a multiple of 4, {known} .. {_MAX_RECORD}"
            )
        rows: _Rows = []
        at = start + 4
        while at < end:
            if at + 8 > end:
                raise self._misfit(at, f"{end - at} bytes", "8 bytes: section name and count")
            section, count = self._string(at), self._word(at + 4)
            at += 8
            if not count or at + count * record_size > end:
                raise self._misfit(
                    at - 4, f"{count} records of {record_size} bytes", f"1 or more in {end - at}"
                )
            rows += [(section, at + record_size * n) for n in range(count)]
            at += count * record_size
        return rows

    def _function(self, at: int) -> FunctionRecord:
        type_id = self._word(at + 4)
        if not self._btf.has(type_id):
            raise self._misfit(at + 4, f"type id {type_id}", f"an id below {len(self._btf)}")
        return FunctionRecord(self._insn(at), type_id)

    def _line(self, at: int) -> LineRecord:
        self._string(at + 4)
        self._string(at + 8)
        words = struct.unpack_from("=III", self._data, at + 4)
        return LineRecord(self._insn(at), words[0], words[1], words[2])

    def _relocation(self, at: int) -> CoreRecord:
        type_id = self._word(at + 4)
        if not self._btf.has(type_id):
            raise self._misfit(at + 4, f"type id {type_id}", f"an id below {len(self._btf)}")
        return CoreRecord(self._insn(at), type_id, self._string(at + 8), self._word(at + 12))

    def _insn(self, at: int) -> int:
        off = self._word(at)
        if off % _INSN_SIZE:
            raise self._misfit(at, f"instruction offset {off}", f"a multiple of {_INSN_SIZE}")
        return off

    def _word(self, at: int) -> int:
        return int(struct.unpack_from("=I", self._data, at)[0])

    def _string(self, at: int) -> str:
        off = self._word(at)
        try:
            return self._btf.string(off)
        except BtfError as error:
            raise self._misfit(at, error.found, error.expected) from None

    def _misfit(self, at: int, found: str, expected: str) -> BtfError:
        return BtfError(
            source=self._source, where=".BTF.ext", offset=at, found=found, expected=expected
        )
