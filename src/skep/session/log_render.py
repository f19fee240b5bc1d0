"""Records as text, as JSON lines, as SARIF and as reports in the form of Linux 7.3."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from skep.errors import errno_name
from skep.session.log_report import write_reports
from skep.session.log_sarif import write_sarif
from skep.uapi.record import LogRecord

DEFAULTS: Final = LogRecord("")._asdict()


def write_text(records: Iterable[LogRecord]) -> str:
    """One line a record: command, errno, message, rule, and what helps."""
    return "".join(f"{_line(record)}\n" for record in records)


def write_json_lines(records: Iterable[LogRecord]) -> str:
    """One JSON object a record; fields that say nothing are left out."""
    return "".join(json.dumps(as_row(record), ensure_ascii=False) + "\n" for record in records)


def as_row(record: LogRecord) -> dict[str, Any]:
    """The fields of *record* that say something, ready for JSON."""
    row = {key: value for key, value in record._asdict().items() if value != DEFAULTS[key]}
    if record.errno:
        row["errno"] = errno_name(record.errno)
    if record.causes:
        row["causes"] = [cause._asdict() for cause in record.causes]
    return {"message": record.message} | row


FORMS: Final[Mapping[str, Callable[[Iterable[LogRecord]], str]]] = {
    "text": write_text,
    "jsonl": write_json_lines,
    "sarif": write_sarif,
    "report": write_reports,
}


def render(records: Iterable[LogRecord], form: str) -> str:
    """The records in *form*, one of ``FORMS``; raises ValueError for another."""
    if form not in FORMS:
        raise ValueError(f"form {form!r} is none of {', '.join(FORMS)}")
    return FORMS[form](records)


def _line(record: LogRecord) -> str:
    errno = errno_name(record.errno) if record.errno else ""
    place = f"insn {record.pc}" if record.pc >= 0 else ""
    if record.file:
        place = ": ".join(part for part in (place, f"{record.file}:{record.line}") if part)
    field = f"{record.field} = {record.found}" if record.field else ""
    parts = (record.command, errno, place, field, " ".join(record.message.split()))
    ends = (f"rule {record.rule}" if record.rule else "", record.hint)
    end = "; ".join(part for part in ends if part)
    return ": ".join(part for part in parts if part) + (f" ({end})" if end else "")
