"""Hooks here and in the running kernel: the same sequences of commands, the same answers.

Attaching, detaching, querying, linking with generated flags, anchors and revisions: results, errno,
order of programs, revisions, link infos. The kernel's side has cgroups and a network namespace of
its own, and runs programs that do nothing.
"""

import os
import random
import socket
import struct
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from skep.uapi.flags import AttachType as On
from skep.uapi.flags import ProgType as Of
from support.running_kernel import EXIT, insn, missing
from support.twin_hooks import (
    CGROUPS,
    LINK_DETACH,
    LINK_UPDATE,
    PROG_ATTACH,
    PROG_DETACH,
    SIDES,
    Named,
    Twins,
    in_own_network,
    own_cgroups,
    pick_flags,
)

WHY = missing() or ("" if CGROUPS.is_dir() and os.geteuid() == 0 else "no root, or no cgroups")
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

OVERRIDE, MULTI, REPLACE, BEFORE, AFTER, ID, PREORDER = (1 << bit for bit in range(7))
LINK = 1 << 13
NEVER = 12345678  # no descriptor, no id
LO = 1
STEPS = 150
SEEDS = range(6)
Step = Callable[[random.Random], None]


def compare(twins: Twins, seed: int, step: Step, steps: int = STEPS) -> None:
    """Make random steps; fail where the sides differ."""
    rng = random.Random(seed)
    try:
        for _ in range(steps):
            step(rng)
            assert not twins.different, "\n".join(twins.journal[-10:])
        assert twins.count > steps // 2
    finally:
        twins.close_all()


def rarely(rng: random.Random, usual: Any, *others: Any, share: float = 0.05) -> Any:
    """*usual*, or with a probability of *share* one of *others*."""
    return rng.choice(others) if others and rng.random() < share else usual


def anchor(rng: random.Random, twins: Twins, programs: Sequence[str], flags: int) -> int | str:
    """What a call stands another by."""
    if rng.random() < 0.6 and not flags & (ID | LINK):
        return 0
    links = twins.links()
    found = rng.choice(links if flags & LINK and links and rng.random() < 0.9 else programs)
    known: int | str = rarely(rng, f"id:{found}" if flags & ID else found, 0, NEVER, share=0.1)
    return known


def change_link(rng: random.Random, twins: Twins, programs: Sequence[str], *offsets: int) -> None:
    """Update, detach or close some link."""
    links, what = twins.links(), rng.random()
    if not links:
        return
    link = rng.choice(links)
    if what < 0.7:
        if what < 0.4:
            old: Any = rng.choice([0, 0, *programs])
            flags = rng.choice([0, 0, REPLACE, 1])
            twins.call(LINK_UPDATE, link=link, new=rng.choice(programs), flags=flags, old=old)
        else:
            twins.call(LINK_DETACH, link=link)
        twins.compare_link(link, *offsets)
    else:
        twins.close(link)


@pytest.mark.parametrize("seed", SEEDS)
def test_chains_of_tcx(seed: int) -> None:
    def work() -> None:
        twins = Twins()
        own = [f"program{i}" for i in range(6)]
        for name in own:
            twins.load(name, Of.SCHED_CLS)
        twins.load("other", Of.XDP)

        def step(rng: random.Random) -> None:
            programs = [*own, *(["other"] if rng.random() < 0.2 else [])]
            flags = pick_flags(rng, REPLACE, BEFORE, BEFORE, AFTER, AFTER, ID, LINK)
            flags = rarely(rng, flags, OVERRIDE, MULTI, PREORDER, 128)
            where: dict[str, Any] = {
                "target": rarely(rng, LO, 99),
                "type": rarely(rng, On.TCX_INGRESS, On.TCX_EGRESS, share=0.1),
                "flags": flags,
                "relative": anchor(rng, twins, programs, flags),
                "revision": rarely(rng, 0, *range(1, 9), share=0.2),
                "prog": rng.choice(programs),
            }
            what = rng.random()
            if what < 0.35:
                old: Any = rng.choice([0, *programs]) if flags & REPLACE else 0
                twins.call(PROG_ATTACH, replace=old, **where)
            elif what < 0.55:
                twins.call(PROG_DETACH, **where | {"prog": rng.choice([0, *programs])})
            elif what < 0.75:
                linked = flags & ~REPLACE if rng.random() < 0.9 else flags
                twins.create(f"link{twins.count}", **where | {"flags": linked})
            else:
                change_link(rng, twins, programs, 16, 20)
            for side in (On.TCX_INGRESS, On.TCX_EGRESS):
                twins.query(LO, side, 0, rng.choice([80, 80, 0, 1, 2]))

        compare(twins, seed, step)

    in_own_network(work)


CGROUP_KINDS = (
    (Of.CGROUP_SOCK, On.CGROUP_INET_SOCK_CREATE),
    (Of.CGROUP_DEVICE, On.CGROUP_DEVICE),
    (Of.SOCK_OPS, On.CGROUP_SOCK_OPS),
    (Of.CGROUP_SOCK_ADDR, On.CGROUP_INET4_BIND),
    (Of.CGROUP_SYSCTL, On.CGROUP_SYSCTL),
    (Of.CGROUP_SOCKOPT, On.CGROUP_GETSOCKOPT),
    (Of.CGROUP_SKB, On.CGROUP_INET_INGRESS),
)
WAYS = {
    "multi": [MULTI] * 9 + [0],
    "mixed": [0, OVERRIDE, MULTI],
    "alone": [0, OVERRIDE] * 5 + [MULTI],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_tree_of_cgroups(seed: int, way: str) -> None:
    twins = Twins()
    kind, hook = CGROUP_KINDS[seed % len(CGROUP_KINDS)]
    tree = ["/", "/a", "/a/b", "/a/b/c", "/d"]
    own = [f"program{i}" for i in range(6)]

    def step(rng: random.Random) -> None:
        programs = [*own, *(["other"] if rng.random() < 0.1 else [])]
        flags = rng.choice(WAYS[way]) | pick_flags(
            rng, REPLACE, BEFORE, BEFORE, AFTER, AFTER, ID, LINK, PREORDER, PREORDER
        )
        where: dict[str, Any] = {
            "target": rarely(rng, rng.choice(tree), "program0", NEVER, share=0.02),
            "type": hook,
            "prog": rng.choice(programs),
            "flags": flags | rarely(rng, 0, 1, 2, 64, 128, 1 << 14),
            "relative": anchor(rng, twins, programs, flags),
            "revision": rarely(rng, 0, *range(1, 9), share=0.2),
        }
        what = rng.random()
        if what < 0.35:
            old: Any = rng.choice([0, *programs]) if flags & REPLACE else 0
            twins.call(PROG_ATTACH, replace=old, **where)
        elif what < 0.5:
            unused: dict[str, Any] = {
                "flags": rarely(rng, 0, flags),
                "relative": rarely(rng, 0, where["relative"]),
            }
            twins.call(PROG_DETACH, **where | unused | {"prog": rng.choice([0, *programs])})
        elif what < 0.75:
            linked = flags & (BEFORE | AFTER | ID | LINK | PREORDER)
            twins.create(f"link{twins.count}", **where | {"flags": rarely(rng, linked, flags)})
        else:
            change_link(rng, twins, programs, 24)
        for cgroup in rng.sample(tree, 2):
            for effective in (0, 1):
                twins.query(cgroup, hook, effective, rng.choice([80, 80, 0, 1, 2]))

    with own_cgroups(twins, *tree[1:]):
        for name in own:
            twins.load(name, kind, hook)
        twins.load("other", Of.XDP)
        compare(twins, seed, step)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_network_namespace(seed: int) -> None:
    def work() -> None:
        twins = Twins()
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        twins.named["netns"] = Named((fd, twins.skep.open_netns()))
        kinds = {On.FLOW_DISSECTOR: Of.FLOW_DISSECTOR, On.SK_LOOKUP: Of.SK_LOOKUP}
        own = {hook: [f"{kind.name}{i}" for i in range(3)] for hook, kind in kinds.items()}
        for hook, names in own.items():
            for name in names:
                twins.load(name, kinds[hook], hook)
        twins.load("other", Of.XDP)

        def step(rng: random.Random) -> None:
            hook = rng.choice(list(own))
            programs = [*own[hook], *(["other"] if rng.random() < 0.1 else [])]
            values: dict[str, Any] = {
                "type": rarely(rng, hook, *own, On.XDP),
                "prog": rng.choice(programs),
                "flags": rarely(rng, 0, 1, 2, 4, 8, 32, share=0.1),
            }
            here = rarely(rng, 0, "netns", share=0.1)
            there = rarely(rng, "netns", 0, programs[0], NEVER, share=0.1)
            what = rng.random()
            rest: dict[str, Any] = {"replace": rarely(rng, 0, programs[0])}
            if what < 0.25:
                twins.call(PROG_ATTACH, target=here, revision=rarely(rng, 0, 1), **values, **rest)
            elif what < 0.4:
                twins.call(PROG_DETACH, target=here, revision=rarely(rng, 0, 1), **values, **rest)
            elif what < 0.65:
                twins.create(f"link{twins.count}", target=there, **values)
            else:
                change_link(rng, twins, programs, 20)
            for each in own:
                twins.query(there, each, rarely(rng, 0, 1), rng.choice([80, 80, 0, 1, 2]))

        compare(twins, seed, step)

    in_own_network(work)


@pytest.mark.parametrize("seed", SEEDS)
def test_xdp_links(seed: int) -> None:
    def work() -> None:
        subprocess.run(
            ["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], check=True
        )
        twins = Twins()
        for name in ("v1", "v0"):
            device = twins.skep.places.device(name, native=True)
            assert device.index == socket.if_nametoindex(name)
        own = [f"program{i}" for i in range(4)]
        special = {"old": 0, "devmap": On.XDP_DEVMAP, "cpumap": On.XDP_CPUMAP}
        for name, hook in {**dict.fromkeys(own, On.XDP), **special}.items():
            twins.load(name, Of.XDP, hook)

        def step(rng: random.Random) -> None:
            programs = [*own, *(special if rng.random() < 0.2 else [])]
            if rng.random() < 0.5:
                twins.create(
                    f"link{twins.count}", prog=rng.choice(programs),
                    target=rng.choice([LO, device.index, device.index, 99]),
                    type=rarely(rng, On.XDP, On.XDP_DEVMAP, On.TCX_INGRESS),
                    flags=rng.choice([0, 0, 2, 4, 8, 6, 1, 16, 32]),
                )  # fmt: skip
            else:
                change_link(rng, twins, programs, 16)

        compare(twins, seed, step, 200)

    in_own_network(work)


@pytest.mark.parametrize("seed", SEEDS)
def test_netfilter_links(seed: int) -> None:
    def work() -> None:
        twins = Twins()
        own = [f"program{i}" for i in range(3)]
        for name in own:
            twins.load(name, Of.NETFILTER, On.NETFILTER)

        def step(rng: random.Random) -> None:
            if rng.random() < 0.6:
                priority = rng.choice([0, 1, -400, -401, -399, (1 << 31) - 1, -(1 << 31)])
                options = rng.choice([0, 0, 0, 0, 1, 2])
                twins.create(
                    f"link{twins.count}", prog=rng.choice(own), type=On.NETFILTER,
                    flags=rarely(rng, 0, 1), relative=rng.choice([2, 2, 2, 10, 10, 0, 7]),
                    pad=rng.randrange(7), revision=priority & 0xFFFF_FFFF | options << 32,
                )  # fmt: skip
            else:
                change_link(rng, twins, own, 16, 20, 24, 28)

        compare(twins, seed, step, 250)

    in_own_network(work)


@pytest.mark.parametrize("seed", SEEDS)
def test_programs_of_socket_maps(seed: int) -> None:
    twins = Twins()
    for name, kind in (("map0", 15), ("map1", 18), ("map_array", 2)):
        attr = struct.pack("<IIIII", kind, 4, 4, 4, 0).ljust(64, b"\0")
        kernel, skep = (twins.bpf(side, 0, bytearray(attr)) for side in SIDES)
        twins.name(name, (kernel, skep))
    verdicts = [f"verdict{i}" for i in range(3)]
    streams = ["any0", "any1", *(f"for{hook}" for hook in (4, 5, 38))]
    for name in verdicts:
        twins.load(name, Of.SK_MSG, On.SK_MSG_VERDICT)
    for name in streams:
        twins.load(name, Of.SK_SKB, int(name[3:]) if name.startswith("for") else 0)

    def step(rng: random.Random) -> None:
        hook = rng.choice([On.SK_MSG_VERDICT, 4, 5, 38])
        programs = verdicts if hook == On.SK_MSG_VERDICT else streams
        programs = rarely(rng, programs, ["verdict0", "any0"])
        values: dict[str, Any] = {
            "target": rarely(rng, rng.choice(["map0", "map0", "map1"]), "map_array", "any0", NEVER),
            "type": hook,
            "prog": rng.choice(programs),
            "flags": rarely(rng, 0, 1, 2, 4, 8, 32),
        }
        what = rng.random()
        rest: dict[str, Any] = {"replace": rarely(rng, 0, programs[0])}
        if what < 0.3:
            twins.call(PROG_ATTACH, **values, **rest)
        elif what < 0.45:
            twins.call(PROG_DETACH, **values, **rest)
        elif what < 0.7:
            twins.create(f"link{twins.count}", **values)
        else:
            change_link(rng, twins, programs, 20)
        for each in (4, 5, 7, 38):
            twins.query("map0", each, 0, rng.choice([80, 0, 1]))
        twins.query(values["target"], hook, rarely(rng, 0, 1))

    compare(twins, seed, step)


@pytest.mark.parametrize("linked", [False, True])
def test_egress_programs_that_return_more_than_one_go_nowhere_else(linked: bool) -> None:
    twins = Twins()
    with own_cgroups(twins, "/a"):
        for value in range(4):
            twins.load(f"egress{value}", Of.CGROUP_SKB, 1, insn(0xB7, imm=value) + EXIT)
            for hook in (0, 1):
                values: dict[str, Any] = {"target": "/a", "prog": f"egress{value}", "type": hook}
                if linked:
                    twins.create(f"link{twins.count}", **values)
                else:
                    twins.call(PROG_ATTACH, flags=MULTI, **values)
        for hook in (0, 1):
            twins.query("/a", hook)

        assert not twins.different
