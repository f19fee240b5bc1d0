"""What ``skep explain --at`` prints: what is known at a place, and why a branch is dead."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from skep.cli.output import print_json, shown
from skep.cli.paint import Paint

if TYPE_CHECKING:
    from skep.session.branches import DeadBranch
    from skep.session.observation import Known, Point
    from skep.session.places import Place
    from skep.session.verdicts import Verdict
    from skep.verifier.interface import LineInfo

MAX_NEAR: Final = 5
MAX_SHOWN: Final = 8  # different states; --json has more


def execute_at(arguments: argparse.Namespace, paint: Paint) -> list[str]:
    """Print what is known at a place; returns the verdicts of the programs that have it.

    Raises:
        LoadError: no program has it.
    """
    from skep.errors import LoadError
    from skep.session.places import look, nearest, slots_of
    from skep.session.verdicts import examine_file

    found: list[tuple[Verdict, list[Place]]] = []
    near: list[str] = []
    for examined in examine_file(
        arguments.object, programs=arguments.program, btf=arguments.btf,
        attach_to=arguments.attach_to,
    ):  # fmt: skip
        if examined.request is None:
            found.append((examined.verdict, []))
            continue
        pcs = slots_of(examined.request, arguments.at)
        if pcs:
            found.append((examined.verdict, look(examined.request, pcs)))
        else:
            near += nearest(examined.request, arguments.at)
    if not any(places for _, places in found) and "error" not in [v.verdict for v, _ in found]:
        hint = f"near it: {', '.join(list(dict.fromkeys(near))[:MAX_NEAR])}" if near else ""
        raise LoadError("no instruction is there", source=arguments.object, name=arguments.at,
                        hint=hint)  # fmt: skip
    if arguments.json:
        print_json({"file": arguments.object, "programs": [_row(*each) for each in found]})
    else:
        for verdict, places in found:
            for line in _lines(verdict, places, paint):
                print(line)
    return [verdict.verdict for verdict, _ in found]


def _row(verdict: "Verdict", places: "list[Place]") -> dict[str, Any]:
    return verdict.row | {"places": [place.as_dict for place in places]}


def _lines(verdict: "Verdict", places: "list[Place]", paint: Paint) -> Iterator[str]:
    colour = paint.good if verdict.verdict == "accepted" else paint.bad
    rule = f" ({verdict.rule} at insn {verdict.insn})" if verdict.rule else ""
    name = paint.strong(shown(f"{verdict.file}: {verdict.program}"))
    yield f"{name}: {colour(verdict.verdict)}{rule}"
    if not places:
        yield f"  {shown(verdict.message)}"
    before: LineInfo | None = None
    for place in places:
        if place.line is not None and place.line is not before:
            before = place.line
            where = f"{place.line.file.rsplit('/', 1)[-1]}:{place.line.line}"
            yield f"  {paint.place(shown(where))}  {shown(place.line.text).strip()}"
        yield from _place(place, verdict, paint)


def _place(place: "Place", verdict: "Verdict", paint: Paint) -> Iterator[str]:
    head = f"  insn {place.insn}: {shown(place.text)}"
    if place.point is None:
        yield f"{head}    {paint.bad('no path reaches it')}"
        if not place.dead and verdict.verdict != "accepted":
            yield "    the verification ended before"
    else:
        times = "1 visit" if place.point.visits == 1 else f"{place.point.visits} visits"
        yield f"{head}    {paint.dim(times)}"
        yield from _states(place.point, paint)
    for branch in place.dead:
        yield from _dead(branch, paint)


def _states(point: "Point", paint: Paint) -> Iterator[str]:
    states = point.states
    if len(states) == 1:
        yield from _known(states[0].known, "    ")
        return
    yield f"    {paint.strong('all visits together')}"
    yield from _known(point.merged, "      ")
    for state in states[:MAX_SHOWN]:
        came = ", ".join("the entry" if pc < 0 else f"insn {pc}" for pc in state.came_from)
        again = f", {state.times} times" if state.times > 1 else ""
        yield f"    {paint.strong(f'visit {state.first}')} from {came}{again}"
        changed = {
            name: text for name, text in state.known.items() if point.merged.get(name) != text
        }
        yield from _known(changed, "      ")
    left = len(states) - MAX_SHOWN + point.left_out
    if left > 0:
        yield f"    and {left} more (--json has them)"


def _known(known: "Known", margin: str) -> Iterator[str]:
    for name, text in known.items():
        yield f"{margin}{name}={shown(text)}"


def _dead(branch: "DeadBranch", paint: Paint) -> Iterator[str]:
    yield (
        f"    {paint.bad('dead branch')}: insn {branch.insn} {shown(branch.text)} "
        f"is {branch.way}, so nothing leads to insn {branch.dead}"
    )
    if branch.found:
        yield f"      found: {shown(branch.found)}"
    if branch.steps:
        yield "      because:"
    for step in branch.steps:
        place = ""
        if step.line is not None:
            place = f"    ; {step.line.file.rsplit('/', 1)[-1]}:{step.line.line}"
        yield (
            f"        insn {step.insn}: {shown(step.text):<32} {shown(step.effect)}"
            f"{paint.place(shown(place))}"
        )
