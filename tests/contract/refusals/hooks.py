"""Drivers: cgroups, devices, the network namespace, socket maps, sockets."""

from collections.abc import Callable

from contract.refusals.bench import NO_FD, Bench, Drivers
from skep.uapi import commands
from skep.uapi import reasons_hooks as reasons
from skep.uapi.flags import AttachType, ProgType
from support.caller import EXIT, RETURN_ONE, insn

OVERRIDE, MULTI, REPLACE, BEFORE, AFTER, ID = 1, 2, 4, 8, 16, 32
PREORDER, LINK = 64, 1 << 13
DEVICE_HOOK = AttachType.CGROUP_DEVICE
INGRESS, PRIMARY = AttachType.TCX_INGRESS, AttachType.NETKIT_PRIMARY
VERDICT, DISSECT, LOOKUP = (
    AttachType.SK_MSG_VERDICT,
    AttachType.FLOW_DISSECTOR,
    AttachType.SK_LOOKUP,
)
LO, NOWHERE = 1, 99
SKB_MODE, DRV_MODE, HW_MODE, IF_NOEXIST, XDP_REPLACE = 2, 4, 8, 1, 16
RETURN_ZERO = insn(0xB7)


def program(bench: Bench, kind: int = ProgType.CGROUP_DEVICE, expected: int = 0) -> int:
    """A new program that returns 1."""
    return bench.good(bench.program(RETURN_ONE + EXIT, kind, expected_attach_type=expected))


def classifier(bench: Bench) -> int:
    return program(bench, ProgType.SCHED_CLS)


def cgroup(bench: Bench, path: str = "/a") -> int:
    return bench.subsystem.open_cgroup(path)


def attach(bench: Bench, target: int, prog: int, as_: int, **members: int) -> int:
    return bench.call(
        commands.PROG_ATTACH, target_fd=target, attach_bpf_fd=prog, attach_type=as_, **members
    )


def detach(bench: Bench, target: int, prog: int, as_: int, **members: int) -> int:
    return bench.call(
        commands.PROG_DETACH, target_fd=target, attach_bpf_fd=prog, attach_type=as_, **members
    )


def query(bench: Bench, target: int, as_: int, **members: int) -> int:
    return bench.call(commands.PROG_QUERY, target_fd=target, attach_type=as_, **members)


def link(bench: Bench, target: int, prog: int, as_: int, **members: int) -> int:
    return bench.call(
        commands.LINK_CREATE, target_fd=target, prog_fd=prog, attach_type=as_, **members
    )


def update(bench: Bench, link_fd: int, new: int, **members: int) -> int:
    return bench.call(commands.LINK_UPDATE, link_fd=link_fd, new_prog_fd=new, **members)


# --- cgroups --------------------------------------------------------------------------------------


def on_cgroup(flags: int, **members: int) -> Callable[[Bench], object]:
    """Attach one program by itself."""
    return lambda bench: attach(
        bench, cgroup(bench), program(bench), DEVICE_HOOK, attach_flags=flags, **members
    )


def below_a_strict_one(bench: Bench) -> None:
    attach(bench, cgroup(bench, "/a"), program(bench), DEVICE_HOOK)
    attach(bench, cgroup(bench, "/a/b"), program(bench), DEVICE_HOOK)


def with_other_flags(bench: Bench) -> None:
    attach(bench, cgroup(bench), program(bench), DEVICE_HOOK, attach_flags=OVERRIDE)
    attach(bench, cgroup(bench), program(bench), DEVICE_HOOK, attach_flags=MULTI)


def the_65th(bench: Bench) -> None:
    target = cgroup(bench)
    for _ in range(65):
        attach(bench, target, program(bench), DEVICE_HOOK, attach_flags=MULTI)


def twice(bench: Bench) -> None:
    prog = program(bench)
    for _ in range(2):
        attach(bench, cgroup(bench), prog, DEVICE_HOOK, attach_flags=MULTI)


def in_place_of_a_stranger(bench: Bench) -> None:
    attach(
        bench, cgroup(bench), program(bench), DEVICE_HOOK,
        attach_flags=MULTI | REPLACE, replace_bpf_fd=program(bench),
    )  # fmt: skip


def beside(flags: int, standing: int = MULTI, *, attached: bool = True) -> Callable[[Bench], None]:
    """Attach beside a program."""

    def drive(bench: Bench) -> None:
        anchor = program(bench)
        if attached:
            attach(bench, cgroup(bench), anchor, DEVICE_HOOK, attach_flags=standing)
        attach(
            bench, cgroup(bench), program(bench), DEVICE_HOOK,
            attach_flags=MULTI | flags, relative_fd=anchor,
        )  # fmt: skip

    return drive


def of_several(prog: Callable[[Bench], int]) -> Callable[[Bench], None]:
    """Detach where there is one with MULTI."""

    def drive(bench: Bench) -> None:
        attach(bench, cgroup(bench), program(bench), DEVICE_HOOK, attach_flags=MULTI)
        detach(bench, cgroup(bench), prog(bench), DEVICE_HOOK)

    return drive


def stale(bench: Bench) -> None:
    attach(bench, cgroup(bench), program(bench), DEVICE_HOOK, expected_revision=7)


def a_detached_link(bench: Bench) -> None:
    fd = bench.good(link(bench, cgroup(bench), program(bench), DEVICE_HOOK))
    bench.call(commands.LINK_DETACH, link_fd=fd)
    update(bench, fd, program(bench))


def another_in_place(bench: Bench) -> None:
    fd = bench.good(link(bench, cgroup(bench), program(bench), DEVICE_HOOK))
    update(bench, fd, program(bench), old_prog_fd=program(bench), flags=REPLACE)


def another_type(bench: Bench) -> None:
    fd = bench.good(link(bench, cgroup(bench), program(bench), DEVICE_HOOK))
    update(bench, fd, classifier(bench))


CGROUP_DRIVERS: Drivers = {
    reasons.STALE: stale,
    reasons.UNLINKED: a_detached_link,
    reasons.NOT_IN_PLACE: another_in_place,
    reasons.OTHER_TYPE: another_type,
    reasons.ANCHOR_LINK: lambda bench: link(
        bench, cgroup(bench), program(bench), DEVICE_HOOK, flags=LINK | BEFORE
    ),
    reasons.CGROUP_FD: lambda bench: attach(bench, NO_FD, program(bench), DEVICE_HOOK),
    reasons.CGROUP_FLAGS: on_cgroup(OVERRIDE | MULTI),
    reasons.CGROUP_PARENT: below_a_strict_one,
    reasons.CGROUP_MIXED: with_other_flags,
    reasons.CGROUP_FULL: the_65th,
    reasons.CGROUP_TWICE: twice,
    reasons.CGROUP_REPLACED: in_place_of_a_stranger,
    reasons.CGROUP_SIDE: beside(BEFORE | AFTER),
    reasons.CGROUP_ANCHOR_KIND: beside(BEFORE | LINK),
    reasons.CGROUP_ANCHOR_ORDER: beside(BEFORE | PREORDER),
    reasons.CGROUP_ANCHOR: beside(BEFORE, attached=False),
    reasons.CGROUP_DETACH_WHAT: of_several(lambda _: NO_FD),
    reasons.CGROUP_DETACH: of_several(program),
    reasons.CGROUP_LINK_FLAGS: lambda bench: link(
        bench, cgroup(bench), program(bench), DEVICE_HOOK, flags=OVERRIDE
    ),
    reasons.CGROUP_QUERY_FLAGS: lambda bench: query(
        bench, cgroup(bench), DEVICE_HOOK, query_flags=1, prog_attach_flags=bench.keep(b"", 64)
    ),
}

# --- chains ---------------------------------------------------------------------------------------


def tcx(flags: int, relative: Callable[[Bench], int] = lambda _: 0) -> Callable[[Bench], None]:
    """Attach to a chain that has one program."""

    def drive(bench: Bench) -> None:
        attach(bench, LO, classifier(bench), INGRESS)
        attach(
            bench, LO, classifier(bench), INGRESS,
            attach_flags=flags, relative_fd=relative(bench),
        )  # fmt: skip

    return drive


def tcx_twice(bench: Bench) -> None:
    prog = classifier(bench)
    for _ in range(2):
        attach(bench, LO, prog, INGRESS)


def tcx_detach_linked(bench: Bench) -> None:
    prog = classifier(bench)
    link(bench, LO, prog, INGRESS)
    detach(bench, LO, prog, INGRESS)


def tcx_65(bench: Bench) -> None:
    for _ in range(65):
        attach(bench, LO, classifier(bench), INGRESS)


def tcx_detach_replace(bench: Bench) -> None:
    prog = classifier(bench)
    attach(bench, LO, prog, INGRESS)
    detach(bench, LO, prog, INGRESS, attach_flags=REPLACE)


def at_the_peer(bench: Bench) -> None:
    peer = bench.subsystem.places.netkit("nk0", "nk1")[1]
    attach(bench, peer.index, classifier(bench), PRIMARY)


CHAIN_DRIVERS: Drivers = {
    reasons.ANCHOR_TYPE: tcx(BEFORE, program),
    reasons.CHAIN_TWICE: tcx_twice,
    reasons.CHAIN_ABSENT: tcx(BEFORE, classifier),
    reasons.CHAIN_LINKED: tcx_detach_linked,
    reasons.CHAIN_FULL: tcx_65,
    reasons.CHAIN_PLACE: tcx(BEFORE | AFTER),
    reasons.CHAIN_SIDE: tcx(0, classifier),
    reasons.CHAIN_DETACH_REPLACE: tcx_detach_replace,
    reasons.CHAIN_EMPTY: lambda bench: detach(bench, LO, classifier(bench), INGRESS),
    reasons.CHAIN_QUERY: lambda bench: query(bench, LO, INGRESS, attach_flags=1),
    reasons.DEVICE: lambda bench: attach(bench, NOWHERE, classifier(bench), INGRESS),
    reasons.NETKIT: lambda bench: attach(bench, LO, classifier(bench), PRIMARY),
    reasons.NETKIT_PEER: at_the_peer,
}

# --- XDP ------------------------------------------------------------------------------------------


def xdp(bench: Bench, expected: int = AttachType.XDP) -> int:
    return program(bench, ProgType.XDP, expected)


def xdp_link(bench: Bench, target: int = LO, **members: int) -> int:
    return link(bench, target, xdp(bench), AttachType.XDP, **members)


def set_xdp(bench: Bench, index: int, fd: int, flags: int = 0, expected: int = -1) -> None:
    bench.result = bench.subsystem.set_xdp(index, fd, flags, expected)


def two_xdp_links(bench: Bench) -> None:
    for _ in range(2):
        xdp_link(bench)


def link_over_program(bench: Bench) -> None:
    set_xdp(bench, LO, xdp(bench))
    xdp_link(bench)


def generic_over_native(bench: Bench) -> None:
    device = bench.subsystem.places.device("eth0", native=True)
    set_xdp(bench, device.index, xdp(bench), DRV_MODE)
    set_xdp(bench, device.index, xdp(bench), SKB_MODE)


def offloaded(bench: Bench) -> None:
    device = bench.subsystem.places.device("eth0", native=True)
    xdp_link(bench, device.index, flags=HW_MODE)


def for_devmaps(bench: Bench) -> None:
    set_xdp(bench, LO, xdp(bench, AttachType.XDP_DEVMAP))


def xdp_of_another_kind(bench: Bench) -> None:
    update(bench, bench.good(xdp_link(bench)), xdp(bench, AttachType.XDP_DEVMAP))


XDP_DRIVERS: Drivers = {
    reasons.XDP_DEVICE: lambda bench: xdp_link(bench, NOWHERE),
    reasons.XDP_FLAGS: lambda bench: xdp_link(bench, flags=SKB_MODE | DRV_MODE),
    reasons.XDP_LINKED: two_xdp_links,
    reasons.XDP_TAKEN: link_over_program,
    reasons.XDP_OTHER_MODE: generic_over_native,
    reasons.XDP_EXPECTED: lambda bench: set_xdp(bench, LO, xdp(bench), XDP_REPLACE, xdp(bench)),
    reasons.XDP_PROGRAM: for_devmaps,
    reasons.XDP_MODE: lambda bench: xdp_link(bench, flags=DRV_MODE),
    reasons.XDP_HARDWARE: offloaded,
    reasons.XDP_UPDATE: xdp_of_another_kind,
}

# --- network namespace, netfilter -----------------------------------------------------------------


def dissector(bench: Bench) -> int:
    """A new program that finds nothing: it returns 0, which is BPF_OK."""
    return bench.good(
        bench.program(RETURN_ZERO + EXIT, ProgType.FLOW_DISSECTOR, expected_attach_type=DISSECT)
    )


def dissector_link(bench: Bench) -> int:
    return link(bench, bench.subsystem.open_netns(), dissector(bench), DISSECT)


def beside_a_link(bench: Bench) -> None:
    dissector_link(bench)
    attach(bench, 0, dissector(bench), DISSECT)


def same_dissector(bench: Bench) -> None:
    prog = dissector(bench)
    for _ in range(2):
        attach(bench, 0, prog, DISSECT)


def two_dissector_links(bench: Bench) -> None:
    for _ in range(2):
        dissector_link(bench)


def detach_beside_a_link(bench: Bench) -> None:
    dissector_link(bench)
    detach(bench, 0, dissector(bench), DISSECT)


def huge_query(bench: Bench) -> None:
    attach(bench, 0, dissector(bench), DISSECT)
    query(bench, bench.subsystem.open_netns(), DISSECT,
          prog_cnt=(1 << 20) + 1, prog_ids=bench.keep(b"", 64))  # fmt: skip


def netfilter(
    family: int = 2, hook: int = 0, priority: int = 1, options: int = 0, flags: int = 0
) -> Callable[[Bench], int]:
    """A netfilter link."""
    return lambda bench: link(
        bench, 0, program(bench, ProgType.NETFILTER, AttachType.NETFILTER), AttachType.NETFILTER,
        flags=flags, word16=family | hook << 32, word24=priority & 0xFFFF_FFFF | options << 32,
    )  # fmt: skip


def same_priority(bench: Bench) -> None:
    for _ in range(2):
        netfilter()(bench)


NETNS_DRIVERS: Drivers = {
    reasons.NETNS_KIND: lambda bench: query(bench, bench.socket_filter(), DISSECT),
    reasons.NETNS_FLAGS: lambda bench: attach(bench, 3, dissector(bench), DISSECT),
    reasons.NETNS_TAKEN: beside_a_link,
    reasons.NETNS_TWICE: same_dissector,
    reasons.NETNS_FULL: two_dissector_links,
    reasons.NETNS_DETACH: lambda bench: detach(bench, 0, dissector(bench), DISSECT),
    reasons.NETNS_DETACH_LINK: detach_beside_a_link,
    reasons.NETNS_QUERY: huge_query,
    reasons.NETFILTER_FLAGS: netfilter(flags=1),
    reasons.NETFILTER_FAMILY: netfilter(family=7),
    reasons.NETFILTER_HOOK: netfilter(hook=5),
    reasons.NETFILTER_OPTIONS: netfilter(options=2),
    reasons.NETFILTER_PRIORITY: netfilter(priority=(1 << 31) - 1),
    reasons.NETFILTER_TAKEN: same_priority,
    reasons.NETFILTER_UPDATE: lambda bench: update(
        bench, netfilter()(bench), program(bench, ProgType.NETFILTER, AttachType.NETFILTER)
    ),
}

# --- socket maps, sockets -------------------------------------------------------------------------


def sockmap(bench: Bench) -> int:
    return bench.good(bench.map(15, 4, 4))


def message_verdict(bench: Bench) -> int:
    return program(bench, ProgType.SK_MSG, VERDICT)


def both_verdicts(bench: Bench) -> None:
    target = sockmap(bench)
    for as_ in (AttachType.SK_SKB_STREAM_VERDICT, AttachType.SK_SKB_VERDICT):
        attach(bench, target, program(bench, ProgType.SK_SKB), as_)


def over_a_link(bench: Bench) -> None:
    target = sockmap(bench)
    link(bench, target, message_verdict(bench), VERDICT)
    attach(bench, target, message_verdict(bench), VERDICT)


def option(bench: Bench, *options: tuple[int, int, int]) -> None:
    socket = bench.subsystem.places.socket()
    for each in options:
        bench.result = bench.subsystem.setsockopt(socket, *each)


SOCKET_DRIVERS: Drivers = {
    reasons.SOCKMAP_FLAGS: lambda bench: attach(
        bench, sockmap(bench), message_verdict(bench), VERDICT, attach_flags=MULTI
    ),
    reasons.SOCKMAP_KIND: lambda bench: attach(
        bench, bench.array(), message_verdict(bench), VERDICT
    ),
    reasons.SOCKMAP_LINK_KIND: lambda bench: link(
        bench, bench.array(), message_verdict(bench), VERDICT
    ),
    reasons.SOCKMAP_VERDICTS: both_verdicts,
    reasons.SOCKMAP_LINKED: over_a_link,
    reasons.SOCKMAP_DETACH: lambda bench: detach(
        bench, sockmap(bench), message_verdict(bench), VERDICT
    ),
    reasons.FILTER_LOCKED: lambda bench: option(bench, (1, 44, 1), (1, 27, 0)),
    reasons.FILTER_ABSENT: lambda bench: option(bench, (1, 27, 0)),
    reasons.OPTION: lambda bench: option(bench, (1, 2, 1)),
}

DRIVERS: Drivers = {
    **CGROUP_DRIVERS, **CHAIN_DRIVERS, **XDP_DRIVERS, **NETNS_DRIVERS, **SOCKET_DRIVERS,
}  # fmt: skip
