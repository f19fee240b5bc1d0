"""PROG_ATTACH, PROG_DETACH, PROG_QUERY: programs on hooks by themselves, without a link.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_attach, bpf_prog_detach, bpf_prog_query).
"""

from collections.abc import Callable, Mapping
from typing import Final

from skep.syscall import on_cgroups, on_devices, on_netns, on_sockmaps
from skep.syscall.call import Call
from skep.syscall.credentials import Capability
from skep.syscall.hooked import goes_with, loaded, program_at
from skep.syscall.objects import Holding
from skep.syscall.permissions import has_right_to_attach
from skep.syscall.state import State
from skep.uapi import attach_types, link_types
from skep.uapi import reasons_links as reasons
from skep.uapi.commands import ProgAttach, ProgQuery
from skep.uapi.flags import AttachFlag, LinkType, ProgType, QueryFlag
from skep.uapi.program_types import ProgramType

Attach = Callable[[State, Call[ProgAttach], Holding], None]
Detach = Callable[[State, Call[ProgAttach], ProgramType], None]
Query = Callable[[State, Call[ProgQuery]], None]

ANY: Final = int(
    AttachFlag.ALLOW_OVERRIDE | AttachFlag.ALLOW_MULTI | AttachFlag.REPLACE | AttachFlag.PREORDER
)
EFFECTIVE: Final = int(QueryFlag.EFFECTIVE)
PLACED: Final = int(
    AttachFlag.REPLACE | AttachFlag.BEFORE | AttachFlag.AFTER | AttachFlag.ID | AttachFlag.LINK
)
ON_CGROUPS: Final = frozenset(
    (
        ProgType.CGROUP_DEVICE, ProgType.CGROUP_SKB, ProgType.CGROUP_SOCK,
        ProgType.CGROUP_SOCK_ADDR, ProgType.CGROUP_SOCKOPT, ProgType.CGROUP_SYSCTL,
        ProgType.SOCK_OPS, ProgType.LSM,
    )
)  # fmt: skip
ATTACH: Final[Mapping[int, Attach]] = {
    **dict.fromkeys(ON_CGROUPS, on_cgroups.attach),
    ProgType.SK_SKB: on_sockmaps.attach,
    ProgType.SK_MSG: on_sockmaps.attach,
    ProgType.FLOW_DISSECTOR: on_netns.attach,
    ProgType.SCHED_CLS: on_devices.attach,
}
DETACH: Final[Mapping[int, Detach]] = {
    **dict.fromkeys(ON_CGROUPS, on_cgroups.detach),
    ProgType.SK_SKB: on_sockmaps.detach,
    ProgType.SK_MSG: on_sockmaps.detach,
    ProgType.FLOW_DISSECTOR: on_netns.detach,
}
_QUERIES: Final[Mapping[LinkType, Query]] = {
    LinkType.CGROUP: on_cgroups.query,
    LinkType.NETNS: on_netns.query,
    LinkType.SOCKMAP: on_sockmaps.query,
    LinkType.TCX: on_devices.query,
    LinkType.NETKIT: on_devices.query,
}
QUERY: Final[Mapping[int, Query]] = {
    attach_type: query
    for link_type, query in _QUERIES.items()
    for attach_type in link_types.of(link_type).attach_types
}


def attach(state: State, call: Call[ProgAttach]) -> int:
    """PROG_ATTACH: put a program on a hook; it stays there until it is detached."""
    attr, flags = call.attr, call.attr.attach_flags
    kind = attach_types.program_type_of(attr.attach_type)
    if kind is None:
        raise call.refusal(reasons.ATTACH_TYPE)
    if kind.id == ProgType.SCHED_CLS:
        call.check(not flags & ~PLACED, reasons.ATTACH_FLAGS)
    elif kind.id in ON_CGROUPS:
        call.check(not flags & ~(ANY | PLACED), reasons.ATTACH_FLAGS)
    else:
        call.check(not flags & ~ANY, reasons.ATTACH_FLAGS)
        _check_unplaced(call)
    with state.objects.lock:
        holding = program_at(state, call, attr.attach_bpf_fd, "attach_bpf_fd", kind)
        expected = loaded(holding).proof.request.expected_attach_type
        fits = goes_with(loaded(holding), attr.attach_type)
        fits = fits and has_right_to_attach(call.credentials, loaded(holding))  # EINVAL in Linux
        if kind.id == ProgType.LSM:
            fits = fits and attr.attach_type == expected
        call.check(fits, reasons.ATTACH_EXPECTED)
        handler = ATTACH.get(kind.id)
        if handler is None:
            raise call.refusal(reasons.ATTACH_BY_LINK, f"{kind.name} programs need a link")
        handler(state, call, holding)
    return 0


def _check_unplaced(call: Call[ProgAttach]) -> None:
    for field in ("relative_fd", "expected_revision"):
        call.check(not getattr(call.attr, field), reasons.ATTACH_UNPLACED, field=field)


def detach(state: State, call: Call[ProgAttach]) -> int:
    """PROG_DETACH: take a program off that was attached by itself."""
    attr = call.attr
    kind = attach_types.program_type_of(attr.attach_type)
    with state.objects.lock:
        if kind is not None and kind.id == ProgType.SCHED_CLS:
            _detach_from_device(state, call, kind)
            return 0
        call.check(not attr.attach_flags, reasons.DETACH_UNUSED, field="attach_flags")
        call.check(not attr.relative_fd, reasons.DETACH_UNUSED, field="relative_fd")
        if kind is None or kind.id not in ON_CGROUPS:
            unused = not attr.expected_revision
            call.check(unused, reasons.DETACH_UNUSED, field="expected_revision")
        handler = DETACH.get(kind.id) if kind is not None else None
        if handler is None or kind is None:
            raise call.refusal(reasons.DETACH_TYPE)
        handler(state, call, kind)
    return 0


def _detach_from_device(state: State, call: Call[ProgAttach], kind: ProgramType) -> None:
    attr = call.attr
    call.check(not attr.attach_flags & ~PLACED, reasons.ATTACH_FLAGS)
    program = None
    if attr.attach_bpf_fd:
        holding = program_at(state, call, attr.attach_bpf_fd, "attach_bpf_fd", kind)
        program = loaded(holding)
    else:
        call.check(call.credentials.may(Capability.NET_ADMIN), reasons.DETACH_ANY)
    on_devices.detach(state, call, program)


def query(state: State, call: Call[ProgQuery]) -> int:
    """PROG_QUERY: which programs are on a hook."""
    attr = call.attr
    call.check(not attr.query_flags & ~EFFECTIVE, reasons.QUERY_FLAGS)
    handler = QUERY.get(attr.attach_type)
    if handler is None:
        raise call.refusal(reasons.QUERY_TYPE)
    with state.objects.lock:
        handler(state, call)
    return 0
