"""``skep verify``: would the kernel accept these programs, and if not, why."""

import argparse
from collections.abc import Sequence
from typing import Final

from skep.cli.output import Progress, print_json, print_json_line, print_table

EPILOG: Final = """exit status: 0 all accepted, 1 at least one rejected, 2 a file or option is bad

example:
  skep verify prog.bpf.o
  skep verify --json *.bpf.o | jq 'select(.verdict != "accepted")'
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
    verb.add_argument("objects", nargs="+", metavar="OBJ", help="compiled BPF object")
    verb.add_argument("--program", "-p", action="append", help="only this program (repeatable)")
    verb.add_argument("--btf", metavar="FILE", help="kernel BTF in force (default: the running's)")
    verb.add_argument("--log-level", type=int, default=0, choices=range(16), metavar="N",
                      help="print the kernel-style log: 1 and 2 state, 4 statistics")  # fmt: skip
    form = verb.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a program")
    form.add_argument("--sarif", action="store_true", help="one SARIF 2.1.0 document")
    verb.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Verify and report; returns the exit status."""
    from skep.session.verdicts import Verdict, verify_file

    verdicts: list[Verdict] = []
    progress = Progress(len(arguments.objects), "verifying")
    for path in arguments.objects:
        progress.step(path)
        for verdict in verify_file(
            path, programs=arguments.program, btf=arguments.btf, log_level=arguments.log_level
        ):
            verdicts.append(verdict)
            if arguments.json:
                print_json_line(verdict.row)
    progress.finish()
    if arguments.sarif:
        print_sarif(verdicts)
    elif not arguments.json:
        report(verdicts)
    return status([verdict.verdict for verdict in verdicts])


def status(verdicts: Sequence[str]) -> int:
    """Exit status for some verdicts: bad input outweighs a rejection."""
    if "error" in verdicts or not verdicts:
        return 2
    return 1 if "rejected" in verdicts else 0


def print_sarif(verdicts: Sequence[object]) -> None:
    """All verdicts as one SARIF document."""
    from skep.cli.main import installed_version
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
