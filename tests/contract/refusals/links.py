"""Drivers: links, PROG_ATTACH, PROG_DETACH and PROG_QUERY before they come to a hook."""

from dataclasses import replace

from contract.refusals.bench import Bench, Drivers
from contract.refusals.hooks import (
    DEVICE_HOOK,
    DISSECT,
    INGRESS,
    LO,
    LOOKUP,
    MULTI,
    attach,
    cgroup,
    classifier,
    detach,
    dissector,
    link,
    program,
    query,
    update,
)
from skep.syscall.credentials import Capability
from skep.uapi import commands
from skep.uapi import reasons_links as reasons
from skep.uapi.flags import AttachType, ProgType


def device_link(bench: Bench) -> int:
    return bench.good(link(bench, cgroup(bench), program(bench), DEVICE_HOOK))


def raw_tracepoint(bench: Bench) -> int:
    bench.subsystem.state.world.tracepoints.declare("skep:something", "int number")
    name = bench.keep(b"something\0")
    prog = program(bench, ProgType.RAW_TRACEPOINT)
    return bench.good(bench.call(commands.RAW_TRACEPOINT_OPEN, name=name, prog_fd=prog))


def whatever_is_there(bench: Bench) -> None:
    who = bench.subsystem.credentials
    bench.subsystem = bench.subsystem.as_user(
        replace(who, capabilities=frozenset({Capability.BPF}))
    )
    detach(bench, LO, 0, INGRESS)


def no_room(bench: Bench) -> None:
    for _ in range(2):
        attach(bench, cgroup(bench), program(bench), DEVICE_HOOK, attach_flags=MULTI)
    query(bench, cgroup(bench), DEVICE_HOOK, prog_cnt=1, prog_ids=bench.keep(b"", 64))


DRIVERS: Drivers = {
    reasons.CREATE_ATTACH_TYPE: lambda bench: link(bench, LO, classifier(bench), DEVICE_HOOK),
    reasons.CREATE_NO_HOOK: lambda bench: link(
        bench, 0, program(bench, ProgType.KPROBE, AttachType.TRACE_KPROBE_MULTI),
        AttachType.TRACE_KPROBE_MULTI,
    ),
    reasons.CREATE_STRUCT_OPS: lambda bench: link(bench, 0, bench.array(), AttachType.STRUCT_OPS),
    reasons.UPDATE_FLAGS: lambda bench: update(bench, 0, 0, flags=1),
    reasons.UPDATE_OLD_PROGRAM: lambda bench: update(
        bench, device_link(bench), program(bench), old_prog_fd=1
    ),
    reasons.LINK_STAYS: lambda bench: bench.call(
        commands.LINK_DETACH, link_fd=raw_tracepoint(bench)
    ),
    reasons.LINK_FIXED: lambda bench: update(
        bench, raw_tracepoint(bench), program(bench, ProgType.RAW_TRACEPOINT)
    ),
    reasons.PROGRAM_TYPE: lambda bench: attach(
        bench, cgroup(bench), classifier(bench), DEVICE_HOOK
    ),
    reasons.ATTACH_TYPE: lambda bench: attach(bench, 0, 0, AttachType.NETFILTER),
    reasons.ATTACH_FLAGS: lambda bench: attach(bench, LO, 0, INGRESS, attach_flags=MULTI),
    reasons.ATTACH_UNPLACED: lambda bench: attach(
        bench, 0, dissector(bench), DISSECT, relative_fd=1
    ),
    reasons.ATTACH_EXPECTED: lambda bench: attach(
        bench, cgroup(bench),
        program(bench, ProgType.CGROUP_SOCK, AttachType.CGROUP_INET_SOCK_CREATE),
        AttachType.CGROUP_INET_SOCK_RELEASE,
    ),
    reasons.ATTACH_BY_LINK: lambda bench: attach(
        bench, 0, program(bench, ProgType.SK_LOOKUP, LOOKUP), LOOKUP
    ),
    reasons.DETACH_UNUSED: lambda bench: detach(
        bench, cgroup(bench), 0, DEVICE_HOOK, attach_flags=MULTI
    ),
    reasons.DETACH_TYPE: lambda bench: detach(bench, 0, 0, AttachType.NETFILTER),
    reasons.DETACH_ANY: whatever_is_there,
    reasons.QUERY_FLAGS: lambda bench: query(bench, LO, INGRESS, query_flags=2),
    reasons.QUERY_TYPE: lambda bench: query(bench, LO, AttachType.XDP),
    reasons.QUERY_ROOM: no_room,
}  # fmt: skip
