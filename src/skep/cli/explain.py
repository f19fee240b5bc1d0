"""``skep explain``: why the verifier refuses these programs, at the lines of C that they are from.

Colours only on a terminal, and not if NO_COLOR is set (https://no-color.org).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from skep.cli.output import print_json, shown
from skep.cli.paint import Paint, has_colours
from skep.cli.states import execute_at
from skep.cli.verify import print_sarif, status

if TYPE_CHECKING:
    from skep.session.reasons import Reason, Step
    from skep.session.reasons_source import Excerpt
    from skep.session.verdicts import Verdict
    from skep.verifier.interface import LineInfo

EPILOG: Final = """exit status: 0 all accepted, 1 at least one rejected, 2 a file or option is bad

examples:
  skep explain prog.bpf.o
  skep explain --html out.html prog.bpf.o       one page: source, bytecode, what is known
  skep explain --at prog.bpf.c:41 prog.bpf.o    what is known there, and which branch is dead
  skep explain --sarif prog.bpf.o > findings.sarif
"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    verb = verbs.add_parser(
        "explain",
        help="say why programs of an object file are rejected, and where in the source",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("object", metavar="OBJ", help="compiled BPF object")
    verb.add_argument("--program", "-p", action="append", help="only this program (repeatable)")
    verb.add_argument("--btf", metavar="FILE", help="kernel BTF in force (default: the running's)")
    verb.add_argument("--attach-to", metavar="OBJ[:PROG]",
                      help="program whose functions are replaced or traced")  # fmt: skip
    verb.add_argument("--at", metavar="PLACE",
                      help="what is known at a line (FILE:LINE) or at a slot")  # fmt: skip
    form = verb.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON document")
    form.add_argument("--sarif", action="store_true", help="one SARIF 2.1.0 document")
    form.add_argument("--html", metavar="OUT", help="write one static page (- is standard output)")
    verb.set_defaults(execute=execute, parser=verb)


def execute(arguments: argparse.Namespace) -> int:
    """Verify and explain; returns the exit status."""
    from skep.session.verdicts import verify_file

    if arguments.at is not None:
        if arguments.sarif or arguments.html:
            arguments.parser.error("--sarif and --html do not go with --at")
        return status(execute_at(arguments, Paint(on=has_colours())))
    if arguments.html is not None:
        return status(execute_page(arguments))
    found = list(
        verify_file(
            arguments.object, programs=arguments.program, btf=arguments.btf,
            attach_to=arguments.attach_to,
        )
    )  # fmt: skip
    if arguments.sarif:
        print_sarif(found)
    elif arguments.json:
        from skep.session.reasons_json import document

        print_json(document(arguments.object, found))
    else:
        print_all(found, Paint(on=has_colours()))
    return status([verdict.verdict for verdict in found])


def execute_page(arguments: argparse.Namespace) -> list[str]:
    """Write the page; returns the verdicts."""
    from skep.session.page import page
    from skep.session.page_model import chapter
    from skep.session.verdicts import examine_file

    chapters = [
        chapter(examined)
        for examined in examine_file(
            arguments.object, programs=arguments.program, btf=arguments.btf,
            attach_to=arguments.attach_to,
        )
    ]  # fmt: skip
    text = page(arguments.object, chapters)
    if arguments.html == "-":
        print(text, end="")
    else:
        Path(arguments.html).write_text(text, encoding="utf-8")
    return [each.verdict.verdict for each in chapters]


def print_all(verdicts: "list[Verdict]", paint: Paint) -> None:
    """One line for an accepted program, a paragraph for any other."""
    if not verdicts:
        print("no programs")
    for number, verdict in enumerate(verdicts):
        if number and verdict.verdict != "accepted":
            print()
        for line in explanation(verdict, paint):
            print(line)


def explanation(verdict: "Verdict", paint: Paint) -> Iterator[str]:
    """What became of one program, line by line."""
    who = ": ".join(part for part in (verdict.file, verdict.program) if part)
    if verdict.verdict == "accepted":
        cost = f"{verdict.insns_processed} insns, {verdict.states} states"
        yield f"{paint.strong(shown(who))}: {paint.good('accepted')} ({cost})"
        return
    yield f"{paint.strong(shown(who))}: {paint.bad(verdict.verdict)} ({verdict.errno})"
    if verdict.reason is None:
        yield from (f"  {shown(line)}" for line in verdict.message.splitlines())
        return
    yield from _refusal(verdict.reason, verdict.file, paint)


def _refusal(reason: "Reason", file: str, paint: Paint) -> Iterator[str]:
    from skep.session.reasons_source import excerpt

    yield from (f"  {paint.bad(shown(line))}" for line in reason.message.splitlines())
    yield from _source(reason, excerpt(reason, file), paint)
    if reason.insn >= 0:
        yield f"  insn {reason.insn}: {shown(reason.text)}".rstrip().removesuffix(":")
    if reason.found:
        yield f"  found: {shown(reason.found)}"
    yield f"  rule {paint.strong(reason.rule.id)}: {reason.rule.sentence}"
    yield from _path(reason.steps, paint)
    if reason.hint:
        yield f"  {paint.good('hint')}: {shown(reason.hint)}"


def _source(reason: "Reason", excerpt: "Excerpt", paint: Paint) -> Iterator[str]:
    place = reason.line
    if place is None:
        return
    file = str(excerpt.path) if excerpt.path is not None else place.file
    column = f":{place.column}" if place.column else ""
    yield f"  {paint.dim('-->')} {paint.place(f'{shown(file)}:{place.line}{column}')}"
    width = max((len(str(number)) for number in excerpt.lines), default=0)
    before = 0
    for number, text in excerpt.lines.items():
        if before and number > before + 1:
            yield f"  {paint.dim('...'.rjust(width))}"
        bar = paint.dim(f"{number:>{width}} |")
        yield f"  {bar} {shown(text)}".rstrip()
        before = number
        if number == place.line and place.column:
            bar = paint.dim(" " * width + " |")
            yield f"  {bar} {' ' * indent(place)}{paint.bad('^')}"


def indent(line: "LineInfo") -> int:
    """How far to the right the column of *line* is once tabs are widened."""
    from skep.session.reasons_source import byte_prefix

    return len(shown(byte_prefix(line)))


def _path(steps: "tuple[Step, ...]", paint: Paint) -> Iterator[str]:
    if steps:
        yield "  because:"
    before = None
    for step in steps:
        here = step.line
        if here is not None and (here.file, here.line) != before:
            before = (here.file, here.line)
            place = f"{here.file.rsplit('/', 1)[-1]}:{here.line}"
            yield f"    {paint.place(shown(place))}  {shown(here.text).strip()}"
        yield f"      insn {step.insn}: {shown(step.text):<32} {shown(step.effect)}".rstrip()
