"""Records as SARIF 2.1.0: one result a record, one rule for each that some record names.

A record without a source line has no physical location: it is about a call, which is named as a
logical one.

Source: OASIS SARIF 2.1.0, sections 3.13 (log) to 3.58 (notification).
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from skep.errors import errno_name
from skep.session.reasons_sarif import SCHEMA, VERSION, uri_of
from skep.uapi.record import LogCause, LogRecord

UNNAMED: Final = "unnamed"
Json = dict[str, Any]


def write_sarif(records: Iterable[LogRecord]) -> str:
    """One SARIF document of all records."""
    return json.dumps(sarif_of(records), indent=1, ensure_ascii=False) + "\n"


def sarif_of(records: Iterable[LogRecord]) -> Json:
    """The document, ready for JSON."""
    records = tuple(records)
    rules: dict[str, LogRecord] = {}
    for record in records:
        rules.setdefault(record.rule or UNNAMED, record)
    names = list(rules)
    driver = {"name": "skep", "rules": [_descriptor(name, rules[name]) for name in names]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(record, names) for record in records],
    }
    return {"$schema": SCHEMA, "version": VERSION, "runs": [run]}


def _descriptor(name: str, record: LogRecord) -> Json:
    sentence = record.allowed or "the command is not refused"
    return {
        "id": name,
        "shortDescription": {"text": sentence[:1].upper() + sentence[1:] + "."},
        "defaultConfiguration": {"level": "error"},
    }


def _result(record: LogRecord, rules: list[str]) -> Json:
    name = record.rule or UNNAMED
    parts = [record.message]
    parts += [f"Found: {record.found}."] if record.found else []
    parts += [f"Hint: {record.hint}."] if record.hint else []
    result: Json = {
        "ruleId": name,
        "ruleIndex": rules.index(name),
        "kind": "fail",
        "level": "error",
        "message": {"text": "\n".join(parts)},
        "locations": [_location(record.file, record.line, _column(record), record.command)],
        "properties": _properties(record),
    }
    if record.causes:
        flow = [_step(number, cause) for number, cause in enumerate(record.causes, start=1)]
        result["codeFlows"] = [{"threadFlows": [{"locations": flow}]}]
    return result


def _column(record: LogRecord) -> int:
    """The column in characters; records count bytes."""
    before = record.text.encode()[: max(record.column - 1, 0)].decode(errors="replace")
    return len(before) + 1 if record.text and record.column else record.column


def _properties(record: LogRecord) -> Json:
    about: Json = {"category": record.category}
    if record.errno:
        about["errno"] = errno_name(record.errno)
    if record.offset >= 0:
        about |= {"field": record.field, "offset": record.offset, "size": record.size}
    if record.pc >= 0:
        about |= {"insn": record.pc, "text": record.insn}
    if record.type_id >= 0:
        about["typeId"] = record.type_id
    return about


def _step(number: int, cause: LogCause) -> Json:
    file, _, line = cause.source.rpartition(":")
    place = _location(file, int(line or 0), 0, "")
    text = f"insn {cause.pc}: {cause.insn}  {cause.effect}".rstrip()
    return {"executionOrder": number, "location": place | {"message": {"text": text}}}


def _location(file: str, line: int, column: int, command: str) -> Json:
    location: Json = {}
    if file:
        region: Json = {"startLine": line} if line > 0 else {}
        if column > 0:
            region["startColumn"] = column
        location["physicalLocation"] = {"artifactLocation": {"uri": uri_of(file)}}
        if region:
            location["physicalLocation"]["region"] = region
    if command:
        location["logicalLocations"] = [{"name": command, "kind": "function"}]
    return location
