"""The journal as JSON lines: one object an event, its kind under ``event``.

Values are texts in the log's notation, so that a reader needs no knowledge of their structure.
"""

import json
from collections.abc import Iterable, Iterator

from skep.verifier.events import (
    BranchPushed,
    Called,
    Entered,
    FunctionEntered,
    Note,
    PathEnded,
    Pruned,
    Refused,
    Resumed,
)
from skep.verifier.listing import step_text
from skep.verifier.notation import slot_text, value_text
from skep.verifier.program import Program
from skep.verifier.state import Frame

Row = dict[str, object]


def frame_row(frame: Frame) -> Row:
    """Registers and stack slots of *frame*, by name."""
    known: Row = {
        f"r{number}": value_text(value, frame.number)
        for number, value in enumerate(frame.regs)
        if value is not None
    }
    for spi, slot in enumerate(frame.stack):
        text = slot_text(slot, spi, frame.number)
        if text:
            place, _, value = text.partition("=")
            known[place] = value
    return {"frame": frame.number, "subprog": frame.subprog, "known": known}


def _entered(event: Entered, program: Program) -> Row:
    step = program.steps[event.pc]
    text = step_text(step) if step is not None else ""
    return {
        "event": "insn",
        "pc": event.pc,
        "text": text,
        **frame_row(event.frame),
        "refs": [reference.id for reference in event.refs],
    }


def _refused(event: Refused) -> Row:
    row: Row = {
        "event": "refused",
        "pc": event.pc,
        "rule": event.rule,
        "message": event.detail,
        "found": event.found,
        "hint": event.hint,
        "path": list(event.path),
        "source": event.source,
    }
    return row | (frame_row(event.frame) if event.frame is not None else {})


def event_row(event: object, program: Program) -> Row:
    """What *event* says, ready for JSON."""
    if isinstance(event, Entered):
        return _entered(event, program)
    if isinstance(event, BranchPushed):
        return {"event": "branch", "pc": event.pc, "target": event.target}
    if isinstance(event, Resumed):
        row: Row = {"event": "resume", "from": event.previous_pc, "pc": event.pc}
        return row | frame_row(event.frame)
    if isinstance(event, Pruned):
        return {"event": "prune", "from": event.previous_pc, "pc": event.pc}
    return _rare_row(event)


def _rare_row(event: object) -> Row:
    if isinstance(event, PathEnded):
        return {"event": "path_end", "pc": event.pc}
    if isinstance(event, Called):
        kind = "return" if event.returning else "call"
        return {"event": kind, "pc": event.pc, "callee": event.callee.subprog}
    if isinstance(event, FunctionEntered):
        return {"event": "function", "subprog": event.subprog, "name": event.name}
    if isinstance(event, Note):
        return {"event": "note", "text": event.text}
    if isinstance(event, Refused):
        return _refused(event)
    return {"event": type(event).__name__}


def json_lines(journal: Iterable[object], program: Program) -> Iterator[str]:
    """Each event as one line of JSON."""
    for event in journal:
        yield json.dumps(event_row(event, program))
