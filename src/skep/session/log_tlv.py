"""A log of messages as records and text: what the subsystem wrote, read again.

Types that are not known are skipped, and so are bytes beyond the known ones of a payload. What
stands behind END is not looked at.
"""

import struct
from collections.abc import Iterable
from typing import Any, Final

from skep.errors import LogError
from skep.session.log_contents import LogContents
from skep.uapi import log_messages as types
from skep.uapi.log_messages import HEADER, MessageType
from skep.uapi.record import LogCause, LogRecord

NOWHERE: Final = 0xFFFF_FFFF
# types of one string, and types of several: the fields of a record that they are
STRINGS: Final = {
    types.RULE.number: "rule",
    types.COMMAND.number: "command",
    types.TEXT.number: "insn",
}
LISTS: Final = {
    types.DIAG.number: ("category", "message", "hint"),
    types.FIELD.number: ("field", "found", "allowed"),
}


def read_messages(data: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Type and payload of every message before END, and how many were dropped.

    Raises:
        LogError: the data ends in the midst of a message, or before END.
    """
    found: list[tuple[int, bytes]] = []
    at = 0
    while True:
        if len(data) - at < HEADER.size:
            raise _error("header", at, f"{len(data) - at} bytes", f"{HEADER.size}, or END before")
        number, length = HEADER.unpack_from(data, at)
        payload = data[at + HEADER.size : at + HEADER.size + length]
        if len(payload) < length:
            raise _error("payload", at, f"{len(payload)} bytes", f"{length}")
        if number == types.END.number:
            (dropped,) = _fixed(types.END, payload, at)
            return found, int(dropped)
        found.append((number, payload))
        at += HEADER.size + length


def read_tlv(data: bytes) -> LogContents:
    """What a log of messages says.

    Raises:
        LogError: the data is cut, or a payload is too short for its type.
    """
    found, dropped = read_messages(data)
    text = b"".join(payload for number, payload in found if number == types.STRING.number)
    return LogContents(_decode(text), tuple(_records(found)), dropped)


def _records(found: Iterable[tuple[int, bytes]]) -> list[LogRecord]:
    """Each ERRNO begins a record; what belongs to none makes one of its own."""
    records: list[dict[str, Any]] = []
    for number, payload in found:
        if number == types.ERRNO.number or (number in KNOWN and not records):
            records.append({"message": "", "causes": ()})
        if number in KNOWN:
            _add(records[-1], number, payload)
    return [LogRecord(**record) for record in records]


def _add(record: dict[str, Any], number: int, payload: bytes) -> None:
    if number in STRINGS:
        record[STRINGS[number]] = _decode(payload)
    elif number in LISTS:
        record.update(zip(LISTS[number], _strings(payload, 3), strict=True))
    elif number == types.CAUSE.number:
        (pc,) = _fixed(types.CAUSE, payload)
        record["causes"] += (LogCause(pc, *_strings(payload[4:], 3)),)
    elif number == types.SOURCE.number:
        record["line"], record["column"] = _fixed(types.SOURCE, payload)
        record["file"], record["text"] = _strings(payload[8:], 2)
    else:
        record.update(_numbers(number, payload))


def _numbers(number: int, payload: bytes) -> dict[str, int]:
    if number == types.ERRNO.number:
        errno, _ = _fixed(types.ERRNO, payload)
        return {"errno": abs(errno)}
    if number == types.ATTR_OFF.number:
        offset, size = _fixed(types.ATTR_OFF, payload)
        return {"offset": offset, "size": size}
    if number == types.INSN.number:
        (pc,) = _fixed(types.INSN, payload)
        return {"pc": pc}
    btf_id, type_id, offset = _fixed(types.BTF_OFF, payload)
    return {"btf_id": btf_id, "type_id": _or_none(type_id), "btf_offset": _or_none(offset)}


KNOWN: Final = frozenset(row.number for row in types.MESSAGE_TYPES) - {
    types.STRING.number, types.END.number,
}  # fmt: skip


def _or_none(value: int) -> int:
    return -1 if value == NOWHERE else value


def _fixed(kind: MessageType, payload: bytes, at: int = -1) -> tuple[int, ...]:
    size = struct.calcsize(kind.code)
    if len(payload) < size:
        raise _error(kind.name, at, f"{len(payload)} bytes", f"{size}")
    return struct.unpack_from(kind.code, payload)


def _strings(payload: bytes, count: int) -> list[str]:
    """The first *count* strings of *payload*; those that it lacks are empty."""
    found = [_decode(each) for each in payload.split(b"\0")[:count]]
    return found + [""] * (count - len(found))


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _error(where: str, at: int, found: str, expected: str) -> LogError:
    return LogError(source="log", where=where, offset=at, found=found, expected=expected)
