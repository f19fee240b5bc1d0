"""What a page about a verification shows: source lines, instructions, what is known around each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skep.isa.flow import subprogram_starts, width
from skep.session.branches import dead_branch, text_at
from skep.session.observation import Known, Watcher, watch
from skep.session.profile import line_of, place_of
from skep.session.reasons_source import find_source, read_lines
from skep.session.verdicts import Examined, Verdict
from skep.verifier.interface import LineInfo, Request

NEARBY: Final = 3  # lines shown around those that have instructions


@dataclass(frozen=True, slots=True)
class Way:
    """What an instruction leaves on the way to slot *target*: what is new, and what is lost."""

    target: int
    changed: Known
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One instruction.

    Args:
        insn: its slot. *text*: the instruction. *place*: ``file:line``, "" without line info.
        visits: how often a path reached it. *before*: what was known on all of them.
        after: what it leaves, for each slot that follows.
        effect: its part in the refusal, "" if it has none. *refused*: it is the refused one.
        dead: why one of its ways is dead; "" if none is.
    """

    insn: int
    text: str
    place: str
    visits: int
    before: Known
    after: tuple[Way, ...]
    effect: str
    refused: bool
    dead: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """One program.

    Args:
        verdict: what became of it.
        functions: names by slot. *rows*: the instructions.
        source: lines by file, then number; those in between that are left out are missing.
        blamed: places with a part in the refusal.
    """

    verdict: Verdict
    functions: dict[int, str]
    rows: tuple[Row, ...]
    source: dict[str, dict[int, str]]
    blamed: frozenset[str]


def chapter(examined: Examined) -> Chapter:
    """Verify once more, and gather all there is to show."""
    verdict, request = examined.verdict, examined.request
    if request is None:
        return Chapter(verdict, {}, (), {}, frozenset())
    watcher = watch(request)
    effects = _effects(verdict)
    rows, pc = [], 0
    while pc < len(request.insns):
        rows.append(_row(request, watcher, verdict, effects, pc))
        pc += width(request.insns[pc])
    blamed = frozenset(row.place for row in rows if row.place and (row.effect or row.refused))
    return Chapter(
        verdict, _functions(request), tuple(rows), _source(request, verdict.file), blamed
    )


def _effects(verdict: Verdict) -> dict[int, str]:
    if verdict.reason is None:
        return {}
    return {step.insn: step.effect or "on the path" for step in verdict.reason.steps}


def _row(
    request: Request, watcher: Watcher, verdict: Verdict, effects: dict[int, str], pc: int
) -> Row:
    point = watcher.points.get(pc)
    before = point.merged if point is not None else {}
    line = line_of(request.line_infos, pc)
    branch = dead_branch(request, watcher, pc)
    dead = ""
    if branch is not None:
        because = f" because {branch.found}" if branch.found else ""
        dead = f"{branch.way}{because}"
    return Row(
        pc,
        text_at(request, pc),
        place_of(line) if line is not None else "",
        point.visits if point is not None else 0,
        before,
        tuple(_ways(watcher, pc, before)),
        effects.get(pc, ""),
        verdict.insn == pc,
        dead,
    )


def _ways(watcher: Watcher, pc: int, before: Known) -> Iterable[Way]:
    for (start, target), merged in watcher.ways.items():
        if start == pc:
            after = merged.known
            changed = {name: text for name, text in after.items() if before.get(name) != text}
            yield Way(target, changed, tuple(name for name in before if name not in after))


def _functions(request: Request) -> dict[int, str]:
    names = {start: f"func{number}" for number, start in
             enumerate(subprogram_starts(request.insns))}  # fmt: skip
    names[0] = request.name or names.get(0, "func0")
    if request.btf is not None:
        for info in request.function_infos:
            names[info.pc] = request.btf.type(info.type_id).name or names.get(info.pc, "")
    return names


def _source(request: Request, object_file: str) -> dict[str, dict[int, str]]:
    files: dict[str, list[LineInfo]] = {}
    for info in request.line_infos:
        if info.line > 0:
            files.setdefault(place_of(info).rpartition(":")[0], []).append(info)
    return {name: _lines(infos, object_file) for name, infos in files.items()}


def _lines(infos: list[LineInfo], object_file: str) -> dict[int, str]:
    """The lines that the object recorded, with those around them where the source is here."""
    found = {info.line: info.text for info in infos}
    path: Path | None = None
    for info in infos:
        path = find_source(info, object_file)
        if path is not None:
            break
    if path is not None:
        text = read_lines(path)
        near = {n + by for n in found for by in range(-NEARBY, NEARBY + 1)}
        if all(n <= len(text) and text[n - 1].strip() == found[n].strip() for n in found):
            found = {n: text[n - 1] for n in near if 1 <= n <= len(text)}
    return dict(sorted(found.items()))
