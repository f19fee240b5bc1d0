"""What skep has of Linux 6.18: one list of names a kind of thing."""

from collections.abc import Iterable

from skep.maps.families import FAMILIES
from skep.syscall.catalog import IMPLEMENTED, KFUNCS
from skep.syscall.routes import ROUTES
from skep.uapi import helpers, kfuncs, map_types, program_types

Feature = dict[str, list[str]]
NOT_LOADABLE = frozenset({"lirc_mode2"})


def _split(rows: Iterable[tuple[str, bool]]) -> Feature:
    found: Feature = {"available": [], "missing": []}
    for name, present in rows:
        found["available" if present else "missing"].append(name)
    return found


def features() -> dict[str, Feature]:
    """Commands, types of programs and maps, helpers, kernel functions: which run, which do not."""
    return {
        "command": _split((route.command.name, not route.refuses) for route in ROUTES),
        "program_type": _split(
            (row.name, row.name not in NOT_LOADABLE) for row in program_types.PROGRAM_TYPES
        ),
        "map_type": _split((row.name, row.id in FAMILIES) for row in map_types.MAP_TYPES),
        "helper": _split((f"bpf_{row.name}", row.id in IMPLEMENTED) for row in helpers.HELPERS),
        "kfunc": _split((row.name, row.name in KFUNCS) for row in kfuncs.ROWS),
    }
