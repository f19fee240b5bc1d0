"""Records and text as messages, and as many of them as a buffer holds.

A record comes before the text: of a small buffer's use is why, not the first lines of how.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from zlib import crc32

from skep.uapi import log_messages as types
from skep.uapi.log_messages import END_SIZE, HEADER, MAX_DROPPED, MessageType
from skep.uapi.record import LogCause, LogRecord

NOWHERE: Final = 0xFFFF_FFFF


def messages(records: Iterable[LogRecord], text: str) -> Iterator[bytes]:
    """All messages but the END of a log that says *records* and *text*."""
    for record in records:
        yield from _of_record(record)
    for line in text.splitlines(keepends=True):
        yield message(types.STRING, _encode(line))


def message(kind: MessageType, payload: bytes) -> bytes:
    """One message."""
    return HEADER.pack(kind.number, len(payload)) + payload


def end(dropped: int) -> bytes:
    """The last message of a log of which *dropped* messages are missing."""
    return message(types.END, struct.pack(types.END.code, min(dropped, MAX_DROPPED)))


def fit(wanted: Sequence[bytes], size: int) -> bytes:
    """The log of at most *size* bytes: whole messages from the first on, and END."""
    room = size - END_SIZE
    for count, each in enumerate(wanted):
        if len(each) > room:
            return b"".join(wanted[:count]) + end(len(wanted) - count)
        room -= len(each)
    return b"".join(wanted) + end(0)


def extended_code(rule: str) -> int:
    """The number that stands for *rule*, 0 for none."""
    return crc32(rule.encode()) if rule else 0


def _of_record(record: LogRecord) -> Iterator[bytes]:
    yield _fixed(types.ERRNO, -record.errno, extended_code(record.rule))
    if record.command:
        yield message(types.COMMAND, _encode(record.command))
    if record.rule:
        yield message(types.RULE, _encode(record.rule))
    yield message(types.DIAG, _strings(record.category, record.message, record.hint))
    if record.offset >= 0:
        yield _fixed(types.ATTR_OFF, record.offset, record.size)
    if record.field or record.found or record.allowed:
        yield message(types.FIELD, _strings(record.field, record.found, record.allowed))
    if record.type_id >= 0 or record.btf_offset >= 0 or record.btf_id:
        yield _fixed(types.BTF_OFF, record.btf_id, record.type_id & NOWHERE,
                     record.btf_offset & NOWHERE)  # fmt: skip
    if record.pc >= 0:
        yield _fixed(types.INSN, record.pc)
    if record.insn:
        yield message(types.TEXT, _encode(record.insn))
    if record.file or record.line or record.column or record.text:
        place = struct.pack(types.SOURCE.code, record.line, record.column)
        yield message(types.SOURCE, place + _strings(record.file, record.text))
    yield from map(_of_cause, record.causes)


def _of_cause(cause: LogCause) -> bytes:
    strings = _strings(cause.insn, cause.effect, cause.source)
    return message(types.CAUSE, struct.pack(types.CAUSE.code, cause.pc) + strings)


def _fixed(kind: MessageType, *values: int) -> bytes:
    return message(kind, struct.pack(kind.code, *values))


def _strings(*texts: str) -> bytes:
    return b"\0".join(_encode(text).replace(b"\0", b"\\0") for text in texts)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
