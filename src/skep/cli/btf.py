"""``skep btf dump``: types of a kernel or an object, raw or as C."""

import argparse
import sys
from typing import Final

from skep.cli.output import print_json

EPILOG: Final = """exit status: 0 done, 2 a file is bad

examples:
  skep btf dump vmlinux --format c > vmlinux.h
  skep btf dump prog.bpf.o --json | jq '.[] | select(.kind == "STRUCT")'
"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    verb = verbs.add_parser("btf", help="look at BTF", description=__doc__)
    actions = verb.add_subparsers(metavar="ACTION", required=True)
    dump = actions.add_parser(
        "dump",
        help="print the types of an object, a raw BTF file, or `vmlinux`",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    dump.add_argument("file", metavar="FILE", help="object, raw BTF, or `vmlinux`")
    dump.add_argument("--format", choices=("raw", "c"), default="raw")
    dump.add_argument("--base", metavar="FILE", help="base BTF of a split one")
    dump.add_argument("--json", action="store_true", help="a JSON list of types")
    dump.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Print the types; returns the exit status."""
    from skep.btf.raw import format_all
    from skep.btf.render import format_header
    from skep.session.listings import btf_rows, open_btf

    base = open_btf(arguments.base) if arguments.base else None
    types = open_btf(arguments.file, base=base)
    if arguments.json:
        print_json(list(btf_rows(types)))
    elif arguments.format == "c":
        sys.stdout.writelines(format_header(types))
    else:
        for line in format_all(types):
            print(line)
    return 0
