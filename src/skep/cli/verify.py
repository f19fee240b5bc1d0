"""``skep verify``: would the kernel accept these programs, and if not, why."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from skep.cli.output import (
    Progress,
    installed_version,
    print_json,
    print_json_line,
    print_table,
)

if TYPE_CHECKING:
    from skep.session.profile import Profile
    from skep.session.verdicts import Examined, Verdict

EPILOG: Final = """exit status: 0 all accepted, 1 at least one rejected, 2 a file or option is bad

OBJ is a compiled object, or a program in assembly language (*.s).

examples:
  skep verify prog.bpf.o
  skep verify --json *.bpf.o | jq 'select(.verdict != "accepted")'
  skep verify --attach-to xdp.bpf.o:main patch.bpf.o
  skep verify --profile prog.bpf.o               which source line is too complex
  skep verify --stats --csv *.bpf.o > old.csv    as veristat does
  skep verify --stats --baseline old.csv *.bpf.o
"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    verb = verbs.add_parser(
        "verify",
        help="verify every program of object files",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("objects", nargs="+", metavar="OBJ", help="compiled BPF object, or *.s")
    verb.add_argument("--program", "-p", action="append", help="only this program (repeatable)")
    verb.add_argument("--btf", metavar="FILE", help="kernel BTF in force (default: the running's)")
    verb.add_argument("--attach-to", metavar="OBJ[:PROG]",
                      help="program whose functions are replaced or traced")  # fmt: skip
    verb.add_argument("--log-level", type=int, default=0, choices=range(16), metavar="N",
                      help="print the kernel-style log: 1 and 2 state, 4 statistics")  # fmt: skip
    what = verb.add_mutually_exclusive_group()
    what.add_argument("--profile", action="store_true",
                      help="instructions and states by line, the costliest first")  # fmt: skip
    what.add_argument("--stats", action="store_true", help="a table of costs, as veristat's")
    verb.add_argument("--rows", type=rows, default=20, metavar="N",
                      help="--profile: lines of each program, 0 for all (default: 20)")  # fmt: skip
    verb.add_argument("--baseline", metavar="FILE", help="--stats: compare with this CSV table")
    verb.add_argument("--sort", type=columns, default=[], metavar="COL[,COL]",
                      help="--stats: by file, program, verdict, duration, insns, states, peak or "
                      "rule; numbers from the greatest, ^COL turns that round")  # fmt: skip
    form = verb.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a program")
    form.add_argument("--sarif", action="store_true", help="one SARIF 2.1.0 document")
    form.add_argument("--csv", action="store_true", help="--stats: comma-separated values")
    verb.set_defaults(execute=execute, parser=verb)


def rows(text: str) -> int:
    """A count of lines."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def columns(text: str) -> list[str]:
    """Names of columns to sort by."""
    from skep.session.statistics import SHORT, column

    names = text.split(",")
    for name in names:
        try:
            column(name.removeprefix("^"))
        except KeyError:
            known = " ".join([*SHORT, "verdict", "duration", "rule"])
            raise argparse.ArgumentTypeError(f"no column {name!r}; there are: {known}") from None
    return names


def execute(arguments: argparse.Namespace) -> int:
    """Verify and report; returns the exit status."""
    fits = (
        (arguments.csv or arguments.baseline or arguments.sort, arguments.stats,
         "--csv, --baseline and --sort go with --stats"),
        (arguments.profile or arguments.stats, not arguments.sarif,
         "--sarif does not go with --profile or --stats"),
    )  # fmt: skip
    for given, allowed, complaint in fits:
        if given and not allowed:
            arguments.parser.error(complaint)
    if arguments.profile:
        return execute_profile(arguments)
    if arguments.stats:
        return execute_statistics(arguments)
    return execute_verdicts(arguments)


def execute_verdicts(arguments: argparse.Namespace) -> int:
    """Verify and say what came of it; returns the exit status."""
    verdicts: list[Verdict] = []
    for examined in examinations(arguments):
        verdicts.append(examined.verdict)
        if arguments.json:
            print_json_line(examined.verdict.row)
    if arguments.sarif:
        print_sarif(verdicts)
    elif not arguments.json:
        report(verdicts)
    return status([verdict.verdict for verdict in verdicts])


def execute_profile(arguments: argparse.Namespace) -> int:
    """Verify and show where the effort went; returns the exit status."""
    from skep.cli.tables import print_profiles
    from skep.session.profile import profile

    found: list[tuple[Verdict, Profile]] = []
    verdicts: list[str] = []
    for examined in examinations(arguments):
        verdicts.append(examined.verdict.verdict)
        if examined.request is not None:
            found.append((examined.verdict, profile(examined.request)))
        else:
            print(f"skep: {examined.verdict.message}", file=sys.stderr)
    print_profiles(found, rows=arguments.rows, form="json" if arguments.json else "")
    return status(verdicts)


def execute_statistics(arguments: argparse.Namespace) -> int:
    """Verify and print a table of costs; returns the exit status."""
    from skep.cli.tables import print_statistics

    verdicts = [examined.verdict for examined in examinations(arguments)]
    form = "json" if arguments.json else "csv" if arguments.csv else ""
    print_statistics(verdicts, sort=arguments.sort, baseline=arguments.baseline, form=form)
    return status([verdict.verdict for verdict in verdicts])


def examinations(arguments: argparse.Namespace) -> "Iterator[Examined]":
    """Verify all programs of all files, with a line on the terminal that says how far it is."""
    from skep.session.verdicts import examine_file

    progress = Progress(len(arguments.objects), "verifying")
    for path in arguments.objects:
        progress.step(path)
        yield from examine_file(
            path, programs=arguments.program, btf=arguments.btf, log_level=arguments.log_level,
            attach_to=arguments.attach_to,
        )  # fmt: skip
    progress.finish()


def status(verdicts: Sequence[str]) -> int:
    """Exit status for some verdicts: bad input outweighs a rejection."""
    if "error" in verdicts or not verdicts:
        return 2
    return 1 if "rejected" in verdicts else 0


def print_sarif(verdicts: Sequence[object]) -> None:
    """All verdicts as one SARIF document."""
    from skep.session.reasons_sarif import sarif
    from skep.session.verdicts import Verdict

    rows = [v for v in verdicts if isinstance(v, Verdict)]
    print_json(sarif(rows, installed_version()))


def report(verdicts: Sequence[object]) -> None:
    """A table, then an explanation of each refusal."""
    from skep.session.verdicts import Verdict

    rows = [v for v in verdicts if isinstance(v, Verdict)]
    if not rows:
        print("no programs")
        return
    print_table(
        ("FILE", "PROGRAM", "TYPE", "VERDICT", "INSNS", "STATES", "US"),
        [(v.file, v.program or "-", v.type or "-", v.verdict, v.insns_processed, v.states,
          v.verify_us) for v in rows],
    )  # fmt: skip
    for verdict in rows:
        if verdict.log:
            print(f"\n{verdict.program}: log")
            print(verdict.log.rstrip())
        if verdict.verdict != "accepted":
            print(f"\n{verdict.file}: {verdict.program}: {verdict.verdict} ({verdict.errno})")
            print(verdict.explanation or verdict.message)
