"""``skep feature probe``: what skep has of Linux 6.18, by name."""

import argparse
from typing import Final

from skep.cli.output import print_json

EPILOG: Final = """exit status: 0 done

example:
  skep feature probe --json | jq .helper.missing
"""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    verb = verbs.add_parser("feature", help="what is supported", description=__doc__)
    actions = verb.add_subparsers(metavar="ACTION", required=True)
    probe = actions.add_parser(
        "probe",
        help="program types, map types, commands and helpers",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    probe.add_argument("--json", action="store_true", help="one JSON document")
    probe.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Print the features; returns the exit status."""
    from skep.session.features import features

    found = features()
    if arguments.json:
        print_json(found)
        return 0
    for group, names in found.items():
        for name in names["available"]:
            print(f"{group} {name} is available")
        for name in names["missing"]:
            print(f"{group} {name} is NOT available")
    return 0
