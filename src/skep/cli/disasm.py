"""``skep disasm``: instructions with the source lines that made them."""

import argparse
from typing import Final

from skep.cli.output import print_json

EPILOG: Final = """exit status: 0 done, 2 a file or name is bad

example:
  skep disasm prog.bpf.o --program count_packets
"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    verb = verbs.add_parser(
        "disasm",
        help="disassemble the programs of an object file",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("object", metavar="OBJ", help="compiled BPF object")
    verb.add_argument("--program", "-p", action="append", help="only this program (repeatable)")
    verb.add_argument("--no-source", action="store_true", help="leave the source lines out")
    verb.add_argument("--json", action="store_true", help="a JSON list of programs")
    verb.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Print listings; returns the exit status."""
    from skep.session.listings import disassemble_file

    listings = disassemble_file(
        arguments.object, programs=arguments.program, source=not arguments.no_source
    )
    if arguments.json:
        print_json([{"program": name, "lines": lines} for name, lines in listings])
        return 0
    for number, (name, lines) in enumerate(listings):
        print(f"{chr(10) if number else ''}{name}:")
        print("\n".join(lines))
    return 0
