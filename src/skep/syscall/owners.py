"""Owners: which programs may use a map.

A program array belongs to the kind of the first program that uses it or is put into it; programs
of another kind may do neither. Without this a tail call could enter a program that was proved for
another context.

An exclusive map is for the one program whose hash it was made with.

Source: Linux 6.18 kernel/bpf/core.c (__bpf_prog_map_compatible, bpf_check_tail_call).
"""

from typing import Final, Protocol

from skep.uapi import program_types
from skep.uapi.flags import MapType
from skep.verifier.interface import Request

HOLDS_PROGRAMS: Final = frozenset(
    {MapType.PROG_ARRAY, MapType.DEVMAP, MapType.DEVMAP_HASH, MapType.CPUMAP}
)
XDP_HAS_FRAGS: Final = 0x20
TRACED: Final = frozenset({"tracing", "lsm", "ext", "struct_ops"})

ProgramKind = tuple[str, int, int, int]


class Identified(Protocol):
    """As much of a map as owners need."""

    id: int
    map_type: int


def program_kind(request: Request) -> ProgramKind:
    """What programs of one map have in common: type, frags, attach type, traced target."""
    name = request.program_type.name
    if name == "ext" and request.attach_program is not None:
        name = request.attach_program.request.program_type.name
    traced = request.attach_btf_id if name in TRACED else 0
    frags = request.prog_flags & XDP_HAS_FRAGS
    return name, frags, request.expected_attach_type, traced


class Owners:
    """The owners of maps. Callers hold the lock of the objects."""

    def __init__(self) -> None:
        self._kinds: dict[int, ProgramKind] = {}
        self._digests: dict[int, bytes] = {}

    def reserve(self, map_: Identified, digest: bytes) -> None:
        """Let *map_* be for the program with *digest* only."""
        self._digests[map_.id] = digest

    def is_exclusive(self, map_id: int) -> bool:
        """Whether the map is for one program only."""
        return map_id in self._digests

    def admits(self, map_id: int, digest: bytes) -> bool:
        """Whether the program with *digest* may use the map, as far as it is for one only."""
        return self._digests.get(map_id, digest) == digest

    def program_type(self, map_id: int) -> int:
        """The number of the program type that the map is for; 0 if no program came yet."""
        kind = self._kinds.get(map_id)
        row = program_types.by_name(kind[0]) if kind is not None else None
        return row.id if row is not None else 0

    def forget(self, map_id: int) -> None:
        """The map has gone."""
        self._kinds.pop(map_id, None)
        self._digests.pop(map_id, None)

    def claim(self, map_: Identified, kind: ProgramKind) -> bool:
        """Whether programs of *kind* may use *map_*, or stand in it; the first decides."""
        if map_.map_type not in HOLDS_PROGRAMS:
            return True
        owner = self._kinds.setdefault(map_.id, kind)
        if map_.map_type == MapType.PROG_ARRAY:
            return owner == kind
        return owner[:2] == kind[:2]
