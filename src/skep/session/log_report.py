"""Reports: records in the form of Linux 7.3's verifier, for every command, and read again.

::

    Verification failed: Memory Safety: Invalid read from stack off -8+0 size 8

    Reason:
      4 of 8 bytes are unwritten, first fp-4
      rule stack-initialised: a stack byte is written before it is read

    At:
      prog @ prog.bpf.c:41:9
      Source context:
      >>> 41 | sum += stats.total;
             | ^-- error: invalid read from stack off -8+0 size 8
      Instruction context:
      >>> 3 | r0 = *(u64 *)(r10 -8)

    Suggestion:
      zero the object before taking its address

A command that is not PROG_LOAD has its name in place of ``Verification``.

Source: Linux 7.3 kernel/bpf/diagnostics.c (what it prints).
"""

import re
from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import Any, Final

from skep.errors import errno_name, errno_number
from skep.uapi.commands import PROG_LOAD
from skep.uapi.record import LogCause, LogRecord

WIDTH: Final = 100
INDENT: Final = "  "
UNNAMED: Final = "Verifier Error"
HEADER: Final = re.compile(r"^(Verification|[A-Z_]+) failed: ([^:\n]+)(?:: (.*))?$", re.MULTILINE)
SECTION: Final = re.compile(r"^(Reason|At|Causal path|Suggestion):$", re.MULTILINE)
MARKED: Final = re.compile(r"\s*>>> *(\d+) \| (.*)")
ERROR: Final = re.compile(r"\s*\|\s*\^-- ([\w ]+): (.*)")
MORE: Final = re.compile(r"\s*\|\s{4,}(\S.*)")
PLACE: Final = re.compile(r"\s*(?:\S+ @ )?(\S[^:]*):(\d+):(\d+)$")
BARE: Final = re.compile(r"\s*insn (\d+)$")
RULE: Final = re.compile(r"rule (\S+): (.*)")
ANSWER: Final = re.compile(r"([A-Z_]+) answers (E\w+)$")
FIELD: Final = re.compile(r"(\w+) = (.*?) at byte (\d+) of the attr$")


# --- writing ------------------------------------------------------------------------------------


def write_reports(records: Iterable[LogRecord]) -> str:
    """All records as reports."""
    return "".join("\n".join(_lines(record)) + "\n" for record in records)


def _lines(record: LogRecord) -> Iterator[str]:
    what = "Verification" if record.command in ("", PROG_LOAD.name) else record.command
    problem = record.message.partition("\n")[0]
    category = record.category or UNNAMED
    yield ""
    yield f"{what} failed: {category}: {problem[:1].upper()}{problem[1:]}"
    yield from ("", "Reason:")
    for line in _reason(record):
        yield from _wrapped(line)
    if record.pc >= 0 or record.file:
        yield from ("", "At:")
        yield from _at(record, "error", problem)
    if record.causes:
        yield from ("", "Causal path:")
    for number, cause in enumerate(record.causes):
        yield from ([""] if number else [])
        yield from _cause(cause)
    if record.hint:
        yield from ("", "Suggestion:")
        yield from _wrapped(record.hint)
    yield ""


def _reason(record: LogRecord) -> Iterator[str]:
    if record.field and record.offset >= 0:
        yield f"{record.field} = {record.found} at byte {record.offset} of the attr"
    elif record.field and record.found:
        yield f"{record.field} = {record.found}"
    elif record.found:
        yield record.found
    yield from record.message.splitlines()[1:]
    if record.rule:
        yield f"rule {record.rule}: {record.allowed}"
    elif record.allowed:
        yield f"allowed: {record.allowed}"
    if record.errno:
        yield f"{record.command or PROG_LOAD.name} answers {errno_name(record.errno)}"


def _wrapped(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from wrap(line, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT) or [""]


def _at(record: LogRecord, label: str, message: str) -> Iterator[str]:
    place = f"{record.file}:{record.line}:{record.column}" if record.file else f"insn {record.pc}"
    yield f"{INDENT}{place}"
    if record.text:
        yield f"{INDENT}Source context:"
        yield f"{INDENT}>>> {record.line} | {record.text.strip()}"
    width = len(str(record.line)) if record.text else 0
    yield f"{INDENT}    {' ' * width} | ^-- {label}: {message}"
    if record.insn:
        yield f"{INDENT}Instruction context:"
        yield f"{INDENT}>>> {record.pc} | {record.insn}"


def _cause(cause: LogCause) -> Iterator[str]:
    file, _, line = cause.source.rpartition(":")
    place = LogRecord("", pc=cause.pc, insn=cause.insn, file=file, line=int(line or 0))
    yield from _at(place, "update", cause.effect)


# --- reading ------------------------------------------------------------------------------------


def read_report(text: str) -> LogRecord:
    """The record that a report is about; *text* begins with its first line."""
    head = HEADER.search(text)
    if head is None:
        return LogRecord(text.strip())
    parts = SECTION.split(text[head.end() :])
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    command = "" if head[1] == "Verification" else head[1]
    category = "" if head[2] == UNNAMED else head[2]
    record = LogRecord(head[3] or head[2], command, category=category)
    record = record._replace(**_read_reason(sections.get("Reason", "")))
    record = record._replace(hint=_joined(sections.get("Suggestion", "")))
    at = _read_place(sections.get("At", ""))
    label = at.pop("effect")
    if label.lower() == record.message.lower():
        record = record._replace(message=label)  # the first line begins with a capital
    causes = [
        _read_place(block)
        for block in re.split(r"\n\s*\n", sections.get("Causal path", ""))
        if block.strip()
    ]
    return record._replace(**at, causes=tuple(_as_cause(each) for each in causes))


def _joined(section: str) -> str:
    return " ".join(section.split())


def _read_reason(section: str) -> dict[str, Any]:
    """Rule, field and value where the report is one of skep's; else all of it is what was found."""
    known: dict[str, Any] = {}
    rest = []
    for line in _paragraphs(section):
        if rule := RULE.match(line):
            known |= {"rule": rule[1], "allowed": rule[2]}
        elif field := FIELD.match(line):
            known |= {"field": field[1], "found": field[2], "offset": int(field[3])}
        elif answer := ANSWER.match(line):
            known |= {"command": answer[1], "errno": errno_number(answer[2])}
        else:
            rest.append(line)
    return known if known.get("field") else known | {"found": " ".join(rest)}


def _paragraphs(section: str) -> Iterator[str]:
    """The lines of a section; those that were wrapped are one again."""
    whole = ""
    for line in section.strip("\n").splitlines():
        text = line.strip()
        begins = RULE.match(text) or FIELD.match(text) or ANSWER.match(text)
        if whole and begins:
            yield whole
            whole = ""
        whole = f"{whole} {text}".strip()
        if ANSWER.match(text):
            yield whole
            whole = ""
    if whole:
        yield whole


def _read_place(section: str) -> dict[str, Any]:
    """Slot, instruction, source line and label of a place."""
    found: dict[str, Any] = {
        "pc": -1, "insn": "", "file": "", "line": 0, "column": 0, "text": "", "effect": "",
    }  # fmt: skip
    in_code = "Source context:" not in section
    for line in section.splitlines():
        if line.strip() == "Instruction context:":
            in_code = True
        elif bare := BARE.match(line):
            found["pc"] = int(bare[1])
        elif marked := MARKED.match(line):
            keys = ("pc", "insn") if in_code else ("line", "text")
            found |= dict(zip(keys, (int(marked[1]), marked[2].strip()), strict=True))
        elif error := ERROR.match(line):
            found["effect"] = error[2]
        elif more := MORE.match(line):
            found["effect"] += f" {more[1]}" if found["effect"] else ""
        elif place := PLACE.match(line):
            found |= {"file": place[1], "line": int(place[2]), "column": int(place[3])}
    return found


def _as_cause(place: dict[str, Any]) -> LogCause:
    source = f"{place['file']}:{place['line']}" if place["file"] else ""
    return LogCause(place["pc"], place["insn"], place["effect"], source)
