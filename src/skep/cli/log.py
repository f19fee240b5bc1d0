"""``skep log``: what a log says, whoever wrote it: the messages of skep, text of any kernel.

Reads the buffer of a call of bpf(2) as it is, a saved log, or the reports of Linux 7.3.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from skep.cli.output import shown

EPILOG: Final = """exit status: 0 nothing was refused, 1 something was, 2 the file is bad

examples:
  skep log verifier.log                  why the program was refused, in one line
  skep log --format report verifier.log
  veristat -v prog.bpf.o | skep log --format jsonl -
"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    verb = verbs.add_parser(
        "log",
        help="read a log of bpf(2): text of any kernel, or messages",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("file", metavar="FILE", help="the log; - is standard input")
    form = verb.add_mutually_exclusive_group()
    form.add_argument("--format", default="text", choices=("text", "jsonl", "sarif", "report"),
                      help="of the records (default: one line each)")  # fmt: skip
    form.add_argument("--json", action="store_const", const="jsonl", dest="format",
                      help="one JSON object a record")  # fmt: skip
    verb.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Read and print; returns the exit status."""
    from skep.session.log_read import parse
    from skep.session.log_render import render

    data = sys.stdin.buffer.read() if arguments.file == "-" else Path(arguments.file).read_bytes()
    found = parse(data)
    for line in render(found.records, arguments.format).splitlines():
        print(shown(line))
    if found.dropped:
        print(f"skep: {found.dropped} messages of the log were dropped", file=sys.stderr)
    return int(bool(found.records))
