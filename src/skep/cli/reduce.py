"""``skep reduce``: the smallest program that the verifier refuses for the same reason."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skep.cli.output import print_json

if TYPE_CHECKING:
    from skep.session.reduce import Reduced
    from skep.session.verdicts import Verdict

EPILOG: Final = """exit status: 0 reduced, 1 no program is rejected, 2 a file or option is bad

The result is assembly language with directives; `skep verify` and `skep explain` take it.

example:
  skep reduce prog.bpf.o --program count_packets --output small.s
  skep explain small.s
"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    verb = verbs.add_parser(
        "reduce",
        help="shrink a rejected program to the smallest that breaks the same rule",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("object", metavar="OBJ", help="compiled BPF object, or *.s")
    verb.add_argument("--program", "-p", help="which program; by default the only rejected one")
    verb.add_argument("--btf", metavar="FILE", help="kernel BTF in force (default: the running's)")
    verb.add_argument("--output", "-o", metavar="FILE", help="write the program there")
    verb.add_argument("--timeout", type=seconds, default=60.0, metavar="SECONDS",
                      help="stop then, with what there is (default: 60)")  # fmt: skip
    verb.add_argument("--json", action="store_true", help="one JSON document")
    verb.set_defaults(execute=execute)


def seconds(text: str) -> float:
    """A time that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds")
    return value


def execute(arguments: argparse.Namespace) -> int:
    """Reduce and print; returns the exit status."""
    found = find(arguments)
    if found is None:
        print(f"skep: {arguments.object}: no program is rejected", file=sys.stderr)
        return 1
    verdict, reduced = found
    if arguments.output is not None:
        Path(arguments.output).write_text(reduced.text)
    if arguments.json:
        print_json(row(verdict, reduced))
    elif arguments.output is None:
        print(reduced.text, end="")
    if not reduced.finished:
        print("skep: time was up; --timeout gives more", file=sys.stderr)
    return 0


def find(arguments: argparse.Namespace) -> "tuple[Verdict, Reduced] | None":
    """The rejected program, reduced; None if none is.

    Raises:
        LoadError: several are, or it cannot be loaded.
    """
    from skep.errors import LoadError
    from skep.session.reduce import reduce
    from skep.session.verdicts import examine_file

    name = arguments.program or only_rejected(arguments)
    if name is None:
        return None
    for examined in examine_file(arguments.object, programs=[name], btf=arguments.btf):
        verdict = examined.verdict
        if verdict.verdict == "error" or (verdict.verdict == "rejected" and not examined.request):
            raise LoadError(verdict.message, name=verdict.program)
        if verdict.verdict == "rejected" and examined.request is not None:
            reduced = reduce(examined.request, arguments.timeout)
            return None if reduced is None else (verdict, reduced)
    return None


def only_rejected(arguments: argparse.Namespace) -> str | None:
    """Name of the only program that is rejected; None if none is.

    Raises:
        LoadError: several are, or the file cannot be loaded.
    """
    from skep.errors import LoadError
    from skep.session.verdicts import verify_file

    verdicts = list(verify_file(arguments.object, btf=arguments.btf))
    for verdict in verdicts:
        if verdict.verdict == "error" and (len(verdicts) == 1 or not verdict.program):
            raise LoadError(verdict.message, name=verdict.program)
    names = [verdict.program for verdict in verdicts if verdict.verdict == "rejected"]
    if len(names) > 1:
        raise LoadError(f"which program? Rejected are: {', '.join(names)}",
                        source=arguments.object, hint="--program")  # fmt: skip
    return names[0] if names else None


def row(verdict: "Verdict", reduced: "Reduced") -> dict[str, Any]:
    """What came of it, as JSON."""
    from skep.session.reduce import is_same_again

    return {
        "file": verdict.file,
        "program": verdict.program,
        "rule": reduced.rejected.rule.id,
        "message": reduced.rejected.detail,
        "original_message": reduced.original.detail,
        "insn": reduced.rejected.pc,
        "slots_before": reduced.before,
        "slots_after": reduced.after,
        "verifications": reduced.tests,
        "finished": reduced.finished,
        "reproduces": is_same_again(reduced),
        "text": reduced.text,
    }
