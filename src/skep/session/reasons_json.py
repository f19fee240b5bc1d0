"""Verdicts and reasons as one JSON document: all that ``skep explain`` shows, as fields."""

from collections.abc import Sequence
from typing import Any

from skep.session.reasons import Reason
from skep.session.reasons_source import excerpt
from skep.session.verdicts import Verdict
from skep.verifier.interface import LineInfo


def document(file: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Everything about the programs of *file*, ready for JSON."""
    return {"file": file, "programs": [_program(verdict) for verdict in verdicts]}


def _program(verdict: Verdict) -> dict[str, Any]:
    row = verdict.row
    reason = verdict.reason
    return row | {"reason": None if reason is None else _reason(reason, verdict.file)}


def _reason(reason: Reason, file: str) -> dict[str, Any]:
    causes = [
        row | {"place": _place(step.line)}
        for row, step in zip(reason.fields["causes"], reason.steps, strict=True)
    ]
    shown = excerpt(reason, file)
    return reason.fields | {
        "found": reason.found,
        "causes": causes,
        "place": _place(reason.line),
        "source_file": None if shown.path is None else str(shown.path),
        "lines": [{"line": number, "text": text} for number, text in shown.lines.items()],
    }


def _place(line: LineInfo | None) -> dict[str, Any] | None:
    if line is None:
        return None
    return {"file": line.file, "line": line.line, "column": line.column, "text": line.text}
