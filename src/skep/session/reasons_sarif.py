"""Verdicts as SARIF: what code hosts and editors read to show findings at their source lines.

One result a refused program, with the causes as its code flow; one rule for each rule that some
program broke. A program that never reached the verifier is a notification, not a result.

Source: OASIS SARIF 2.1.0, sections 3.13 (log) to 3.58 (notification).
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from skep.errors import errno_name
from skep.session.reasons import Reason, Step
from skep.session.reasons_source import byte_prefix, find_source
from skep.session.verdicts import Verdict
from skep.verifier.interface import LineInfo
from skep.verifier.rules.rule import NOT_SUPPORTED, Rule

VERSION: Final = "2.1.0"
SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"

Json = dict[str, Any]


def sarif(verdicts: Sequence[Verdict], version: str) -> Json:
    """The log of one run of skep *version* over some programs."""
    rules = list(dict.fromkeys(_rule(v) for v in verdicts if v.verdict == "rejected"))
    errors = [v for v in verdicts if v.verdict == "error"]
    run = {
        "tool": {
            "driver": {
                "name": "skep",
                "version": version,
                "rules": [_descriptor(rule) for rule in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": not errors,
                "toolExecutionNotifications": [_notification(v) for v in errors],
            }
        ],
        "results": [_result(v, rules) for v in verdicts if v.verdict == "rejected"],
    }
    return {"$schema": SCHEMA, "version": VERSION, "runs": [run]}


def _rule(verdict: Verdict) -> Rule:
    return NOT_SUPPORTED if verdict.reason is None else verdict.reason.rule


def _descriptor(rule: Rule) -> Json:
    sentence = rule.sentence[:1].upper() + rule.sentence[1:] + "."
    answer = f"Where that may not hold, PROG_LOAD answers {errno_name(rule.errno)}."
    return {
        "id": rule.id,
        "shortDescription": {"text": sentence},
        "help": {"text": f"{sentence} {answer}"},
        "defaultConfiguration": {"level": "error"},
    }


def _notification(verdict: Verdict) -> Json:
    return {
        "level": "error",
        "message": {"text": verdict.message},
        "locations": [_location(verdict, None)],
    }


def _result(verdict: Verdict, rules: list[Rule]) -> Json:
    rule, reason = _rule(verdict), verdict.reason
    result: Json = {
        "ruleId": rule.id,
        "ruleIndex": rules.index(rule),
        "kind": "fail",
        "level": "error",
        "message": {"text": _text(verdict)},
        "locations": [_location(verdict, reason.line if reason is not None else None)],
        "properties": _properties(verdict),
    }
    if reason is not None and reason.steps:
        result["codeFlows"] = [{"threadFlows": [{"locations": _flow(verdict, reason)}]}]
    return result


def _text(verdict: Verdict) -> str:
    reason = verdict.reason
    if reason is None:
        return verdict.message
    parts = [f"{verdict.program}: {reason.message}", f"Rule: {reason.rule.sentence}."]
    parts += [f"Found: {reason.found}."] if reason.found else []
    parts += [f"Hint: {reason.hint}."] if reason.hint else []
    return "\n".join(parts)


def _properties(verdict: Verdict) -> Json:
    about: Json = {
        "object": verdict.file,
        "program": verdict.program,
        "section": verdict.section,
        "programType": verdict.type,
        "errno": verdict.errno,
        "insn": verdict.insn,
    }
    if verdict.reason is not None:
        fields = verdict.reason.fields
        about |= {"text": verdict.reason.text, "registers": fields["registers"]}
    return about


def _flow(verdict: Verdict, reason: Reason) -> list[Json]:
    last = Step(reason.insn, reason.text, reason.message, reason.line)
    return [
        {
            "executionOrder": order,
            "location": {
                **_location(verdict, step.line),
                "message": {"text": f"insn {step.insn}: {step.text}  {step.effect}".rstrip()},
            },
        }
        for order, step in enumerate((*reason.steps, last), start=1)
    ]


def _location(verdict: Verdict, line: LineInfo | None) -> Json:
    location: Json = {"physicalLocation": _physical(verdict, line)}
    if verdict.program:
        location["logicalLocations"] = [{"name": verdict.program, "kind": "function"}]
    return location


def _physical(verdict: Verdict, line: LineInfo | None) -> Json:
    """A place in the source; without line info, the object as a whole."""
    if line is None or line.line < 1:
        return {"artifactLocation": {"uri": uri_of(verdict.file)}}
    region: Json = {"startLine": line.line}
    if line.column > 0:
        region["startColumn"] = len(byte_prefix(line)) + 1
    if line.text:
        region["snippet"] = {"text": line.text}
    path = find_source(line, verdict.file)
    uri = uri_of(str(path) if path is not None else line.file)
    return {"artifactLocation": {"uri": uri}, "region": region}


def uri_of(file: str) -> str:
    """Relative to the working directory where the file is below it, else absolute."""
    path = PurePosixPath(file)
    here = PurePosixPath(Path.cwd())
    if path.is_absolute() and path.is_relative_to(here):
        path = path.relative_to(here)
    text = quote(str(path), errors="replace")
    return f"file://{text}" if path.is_absolute() else text
