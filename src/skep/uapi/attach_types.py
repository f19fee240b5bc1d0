"""Attach types: their names, and the program types that may have them; read off other tables.

Source: Linux 6.18 kernel/bpf/syscall.c (``attach_type_to_prog_type``), tools/lib/bpf/libbpf.c for
the names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skep.uapi.flags import AttachType
from skep.uapi.flags import ProgType as Of
from skep.uapi.program_types import PROGRAM_TYPES, ProgramType

LAST_IN_6_18: Final = AttachType.TRACE_UPROBE_SESSION
# programs of these types are attached as what they were loaded for, or not at all
_AS_EXPECTED: Final = frozenset(
    (Of.CGROUP_SOCK, Of.CGROUP_SOCK_ADDR, Of.CGROUP_SOCKOPT, Of.SK_LOOKUP)
)
_MULTI_PROBES: Final = frozenset(
    (
        AttachType.TRACE_KPROBE_MULTI, AttachType.TRACE_KPROBE_SESSION,
        AttachType.TRACE_UPROBE_MULTI, AttachType.TRACE_UPROBE_SESSION,
    )
)  # fmt: skip
_ON_PERF_EVENTS: Final = frozenset((Of.PERF_EVENT, Of.TRACEPOINT))
_ON_LINKS_ONLY: Final = frozenset((Of.KPROBE, Of.PERF_EVENT, Of.NETFILTER, Of.STRUCT_OPS))
_NEVER_ATTACHED: Final = frozenset(
    (
        AttachType.XDP_DEVMAP, AttachType.XDP_CPUMAP, AttachType.SK_REUSEPORT_SELECT,
        AttachType.SK_REUSEPORT_SELECT_OR_MIGRATE,
    )
)  # fmt: skip


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


def program_type_of(attach_type: int) -> ProgramType | None:
    """The program type that goes with *attach_type* alone, or None."""
    row = by_id(attach_type)
    if row is None or attach_type in _NEVER_ATTACHED or not row.program_types:
        return None
    found = row.program_types[0]
    return None if found.id in _ON_LINKS_ONLY else found


def may_attach(
    program_type: ProgramType, expected: int, attach_type: int, *, strictly: bool = False
) -> bool:
    """Whether a program loaded for attach type *expected* may be attached as *attach_type*.

    *strictly*: as nothing else, since its results mean something there only.
    """
    kind = program_type.id
    if strictly or kind in _AS_EXPECTED:
        return attach_type == expected
    if kind == Of.EXT:
        return True
    if kind == Of.NETFILTER:
        return attach_type == AttachType.NETFILTER
    if kind in _ON_PERF_EVENTS:
        return attach_type == AttachType.PERF_EVENT
    if kind == Of.KPROBE:
        if expected in _MULTI_PROBES:
            return attach_type == expected
        return attach_type in _MULTI_PROBES or attach_type == AttachType.PERF_EVENT
    row = program_type_of(attach_type)
    return row is not None and row.id == kind
