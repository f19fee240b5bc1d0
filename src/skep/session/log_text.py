"""A log of text as records: what Linux wrote since 5.x, reports of 7.3, and what skep writes.

Text has no fields: what it does not say in a known form, a record does not have. Why a program was
refused stands behind the last instruction, as lines of no known form.

Source: Linux 6.18 kernel/bpf/verifier.c, kernel/bpf/log.c, kernel/bpf/btf.c (what they print).
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from skep.session.log_contents import LogContents
from skep.session.log_report import HEADER, read_report
from skep.uapi.record import LogRecord

INSN: Final = re.compile(
    r"(\d+): \([0-9a-f]{2}\) (.*?)(?:\s*; (?:frame\d+: ?)?(?:R\d|fp-|refs=|cb\b).*)?$"
)
SOURCE: Final = re.compile(r"; (.*?)(?: @ (\S+):(\d+))?$")
STATE: Final = re.compile(r"\d+: |from \d+ to \d+|\s|\([\d,]+\) (?:frame|live) |frame \d+: ")
FIELD: Final = re.compile(r"(\w+) = (b?'.*?'|\S+): (.+)$")
BTF_TYPE: Final = re.compile(
    r"\[(\d+)\] [A-Z0-9_]+ \S+(?: (?:[a-z_]+=(?:\(.*\)|\S*)|\([^)]*\)|struct|union))*(?: (.+))?$"
)
BTF_HEAD: Final = "magic: "
NOISE: Final = (
    "func#", "Func#", "Live regs before insn", "mark_precise:", "verification time ",
    "stack depth ", "processed ", "caller:", "callee:", "SCC ", "returning from callee",
    "to caller at", "Validating ", "last_idx ", "regs=", "parent ", "propagating ", "arg#",
    "max_states_per_insn", "BPF program load failed", "libbpf:",
)  # fmt: skip
BTF_NOISE: Final = re.compile(
    r"(?:magic|version|flags|hdr_len|type_off|type_len|str_off|str_len|btf_total_size): |\t|\["
)


@dataclass(slots=True)
class _Place:
    """Where the reading of a verifier's log is, and what was said since the last instruction."""

    pc: int = -1
    insn: str = ""
    source: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def read_text(text: str) -> LogContents:
    """What a log of text says."""
    classic, reports = _divide(text)
    is_btf = classic.startswith(BTF_HEAD)
    records = _btf_records(classic) if is_btf else _program_records(classic)
    if reports:
        place = records[-1] if records else None
        records = [_merged(read_report(report), place) for report in reports]
    return LogContents(text, tuple(records))


def _divide(text: str) -> tuple[str, list[str]]:
    """The lines that 6.x writes too, and the reports of 7.3 among them."""
    starts = [match.start() for match in HEADER.finditer(text)]
    if not starts:
        return text, []
    tail = text.rfind("\nprocessed ")
    end = tail if tail > starts[-1] else len(text)
    borders = [*starts, end]
    reports = [text[a:b] for a, b in pairwise(borders)]
    return text[: starts[0]] + text[end:], reports


def _merged(report: LogRecord, place: LogRecord | None) -> LogRecord:
    """A report, with what only the lines before it say."""
    if place is None:
        return report
    known = {
        key: value for key, value in place._asdict().items() if key in ("file", "line", "text")
    }
    if not report.file and report.pc in (-1, place.pc):
        report = report._replace(**known)
    if report.pc < 0:
        report = report._replace(pc=place.pc, insn=place.insn)
    return report


def _program_records(text: str) -> list[LogRecord]:
    place = _Place()
    for line in text.splitlines():
        _read_line(place, line)
    message = "\n".join(place.said).strip("\n")
    if not message:
        return []
    known = FIELD.match(message)
    if known is not None and place.pc < 0:
        name, found, why = known.groups()
        return [LogRecord(why, field=name, found=found)]
    return [LogRecord(message, pc=place.pc, insn=place.insn, **place.source)]


def _read_line(place: _Place, line: str) -> None:
    insn = INSN.match(line)
    if insn is not None:
        place.pc, place.insn = int(insn[1]), insn[2]
        place.said.clear()
    elif source := SOURCE.match(line):
        known = {"text": source[1], "file": source[2] or "", "line": int(source[3] or 0)}
        place.source = known
    elif STATE.match(line):
        place.said.clear()
    elif line and not line.startswith(NOISE):
        place.said.append(line)


def _btf_records(text: str) -> list[LogRecord]:
    """The last line tells what is wrong, if it is more than a type."""
    lines = text.splitlines()
    last = lines[-1]
    found = BTF_TYPE.match(last)
    if found is not None:
        return [LogRecord(found[2], type_id=int(found[1]))] if found[2] else []
    if BTF_NOISE.match(last):
        return []
    ids = [int(each[1]) for line in lines if (each := BTF_TYPE.match(line))]
    return [LogRecord(last, type_id=ids[-1] if ids else -1)]
