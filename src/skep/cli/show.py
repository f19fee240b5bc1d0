"""``skep prog`` and ``skep map``: what an object gives once it is loaded, as bpftool shows it."""

import argparse
from typing import TYPE_CHECKING, Final

from skep.cli.output import print_json

if TYPE_CHECKING:
    from skep.session.maps import Map
    from skep.session.objects import Object
    from skep.session.programs import Program

EPILOG: Final = """exit status: 0 done, 1 rejected by the verifier, 2 a file or name is bad

examples:
  skep prog show prog.bpf.o
  skep prog dump prog.bpf.o --program count_packets --what jited
  skep map dump prog.bpf.o --map counts --json
"""
FORMATS: Final = ("xlated", "jited", "llvm")


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare both verbs."""
    programs = verbs.add_parser("prog", help="loaded programs", description=__doc__)
    actions = programs.add_subparsers(metavar="ACTION", required=True)
    _action(actions, "show", "list programs").set_defaults(execute=show_programs)
    dump = _action(actions, "dump", "print the instructions of a program")
    dump.add_argument("--what", choices=FORMATS, default="xlated", help="which form")
    dump.set_defaults(execute=dump_program)
    maps = verbs.add_parser("map", help="loaded maps", description=__doc__)
    actions = maps.add_subparsers(metavar="ACTION", required=True)
    _action(actions, "show", "list maps").set_defaults(execute=show_maps)
    _action(actions, "dump", "print keys and values").set_defaults(execute=dump_maps)


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    action = actions.add_parser(
        name,
        help=text,
        description=text,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    action.add_argument("object", metavar="OBJ", help="compiled BPF object")
    action.add_argument("--program", "-p", help="only this program")
    action.add_argument("--map", "-m", help="only this map")
    action.add_argument("--btf", metavar="FILE", help="kernel BTF in force")
    action.add_argument("--json", action="store_true", help="one JSON document")
    return action


def _load(arguments: argparse.Namespace) -> "Object":
    import skep

    chosen = [arguments.program] if arguments.program else None
    return skep.load(arguments.object, btf=arguments.btf, programs=chosen)


def show_programs(arguments: argparse.Namespace) -> int:
    """List programs; returns the exit status."""
    with _load(arguments) as loaded:
        rows = [program.info for program in loaded.programs.values()]
    if arguments.json:
        print_json(rows)
        return 0
    for row in rows:
        print(f"{row['id']}: {row['type']}  name {row['name']}  tag {row['tag']}  gpl {row['gpl']}")
        print(f"\txlated {row['xlated_bytes']}B", end="")
        print(f"  verified {row['verified_insns']} insns  map_ids {row['map_ids']}")
    return 0


def dump_program(arguments: argparse.Namespace) -> int:
    """Print one program's instructions; returns the exit status."""
    with _load(arguments) as loaded:
        program: Program = loaded.only_program(arguments.program)
        lines = program.listing(arguments.what)
    if arguments.json:
        print_json({"program": program.name, "form": arguments.what, "lines": lines})
    else:
        print("\n".join(lines))
    return 0


def _maps(loaded: "Object", name: str | None) -> "dict[str, Map]":
    from skep.errors import LoadError

    if name is not None and name not in loaded.maps:
        there = ", ".join(loaded.maps) or "none"
        raise LoadError(f"no such map; there are: {there}", name=name)
    return {key: map_ for key, map_ in loaded.maps.items() if name in (None, key)}


def show_maps(arguments: argparse.Namespace) -> int:
    """List maps; returns the exit status."""
    with _load(arguments) as loaded:
        rows = [map_.info for map_ in _maps(loaded, arguments.map).values()]
    if arguments.json:
        print_json(rows)
        return 0
    for row in rows:
        print(f"{row['id']}: {row['type']}  name {row['name']}  flags {row['flags']:#x}")
        print(f"\tkey {row['key_size']}B  value {row['value_size']}B", end="")
        print(f"  max_entries {row['max_entries']}  memlock {row['memlock']}B")
    return 0


def dump_maps(arguments: argparse.Namespace) -> int:
    """Print keys and values; returns the exit status."""
    with _load(arguments) as loaded:
        found = {name: map_.dump() for name, map_ in _maps(loaded, arguments.map).items()}
    if arguments.json:
        print_json(found)
        return 0
    for name, elements in found.items():
        print(f"{name}: {len(elements)} elements")
        for element in elements:
            print(f"  key {element['key']}  value {element['value']}")
    return 0
