"""Attach types: their names, and the program types that may have them; read off other tables.

Source: Linux 6.18 kernel/bpf/syscall.c (``attach_type_to_prog_type``), tools/lib/bpf/libbpf.c for
the names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skep.uapi.flags import AttachType
from skep.uapi.program_types import PROGRAM_TYPES, ProgramType

LAST_IN_6_18: Final = AttachType.TRACE_UPROBE_SESSION


@dataclass(frozen=True, slots=True)
class AttachKind:
    """One attach type: number, lower-case name, the program types that may expect it."""

    id: int
    name: str
    program_types: tuple[ProgramType, ...]


ATTACH_KINDS: Final[tuple[AttachKind, ...]] = tuple(
    AttachKind(
        kind.value,
        kind.name.lower(),
        tuple(row for row in PROGRAM_TYPES if kind in row.attach_types),
    )
    for kind in AttachType
)
_BY_NAME: Final[Mapping[str, AttachKind]] = {row.name: row for row in ATTACH_KINDS}


def by_id(attach_type: int) -> AttachKind | None:
    """The row with number *attach_type*, or None."""
    return ATTACH_KINDS[attach_type] if 0 <= attach_type < len(ATTACH_KINDS) else None


def by_name(name: str) -> AttachKind | None:
    """The row called *name* (lower case, as ``xdp_devmap``), or None."""
    return _BY_NAME.get(name)
