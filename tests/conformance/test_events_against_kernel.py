"""Events here and in the running kernel: the same programs on the same hooks decide the same.

Frames cross a veth pair of a network namespace of its own; a process in cgroups of its own makes
sockets and binds them.
"""

import itertools
import os
import random
import socket
import subprocess
from pathlib import Path
from typing import Self

import pytest

from skep.attach.cgroup_events import Endpoint, address_used, socket_made
from skep.uapi.flags import AttachType as On
from skep.uapi.flags import ProgType as Of
from support.running_kernel import EXIT, insn, missing
from support.twin_hooks import (
    CGROUPS,
    PROG_ATTACH,
    Twins,
    in_own_network,
    own_cgroups,
)

WHY = missing() or ("" if CGROUPS.is_dir() and os.geteuid() == 0 else "no root, or no cgroups")
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

EXPERIMENTAL = 0x88B5  # an EtherType for local experiments
MULTI, PREORDER, SKB_MODE = 2, 64, 2
SET_RETVAL = 187
XDP_RESULTS = (None, 0, 1, 2, 2, 2, 2, 3, 4, 7)
TCX_RESULTS = (-1, -1, -1, 0, 0, 1, 2, 3, 7, 9)


def returning(value: int) -> bytes:
    return insn(0xB7, imm=value) + EXIT


def frame(number: int, target: bytes) -> bytes:
    head = target + b"\2\0\0\0\0\1" + EXPERIMENTAL.to_bytes(2, "big")
    return head + number.to_bytes(4, "big").ljust(60, b"\0")


class Wire:
    """A veth pair: frames sent into v1 come out of v0, where the programs are."""

    def __init__(self) -> None:
        for words in ("add v0 type veth peer name v1", "set v0 up", "set v1 up"):
            subprocess.run(["ip", "link", *words.split()], check=True)
        self.index = socket.if_nametoindex("v0")
        self.out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.out.bind(("v1", 0))
        self.end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EXPERIMENTAL))
        self.end.bind(("v0", EXPERIMENTAL))
        self.end.settimeout(5)
        self.address: bytes = self.end.getsockname()[4]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.out.close()
        self.end.close()

    def send(self, number: int) -> bytes:
        sent = frame(number, self.address)
        self.out.send(sent)
        return sent

    def arrived(self, number: int) -> bool:
        """Whether frame *number* came before frame 0, which is sent now."""
        self.send(0)
        found = False
        while True:
            got = int.from_bytes(self.end.recv(2048)[14:18], "big")
            if got == 0:
                return found
            found = found or got == number


def load_verdicts(twins: Twins) -> None:
    for result in range(8):
        twins.load(f"xdp{result}", Of.XDP, On.XDP, returning(result))
    for result, copy in itertools.product(set(TCX_RESULTS), range(3)):
        twins.load(f"tcx{result}.{copy}", Of.SCHED_CLS, 0, returning(result))


@pytest.mark.parametrize("seed", range(4))
def test_frames_pass_xdp_and_tcx_or_not(seed: int) -> None:
    def work() -> None:
        with Wire() as wire:
            cross(wire)

    def cross(wire: Wire) -> None:
        rng, twins = random.Random(seed), Twins()
        places = twins.skep.places
        devices = itertools.count()
        while (device := places.device(f"d{next(devices)}")).index != wire.index:
            pass
        load_verdicts(twins)
        seen = set()
        for number in range(1, 41):
            xdp = rng.choice(XDP_RESULTS)
            chain = [rng.choice(TCX_RESULTS) for _ in range(rng.randrange(4))]
            if xdp is not None:
                twins.create("link0", prog=f"xdp{xdp}", target=wire.index, type=On.XDP,
                             flags=SKB_MODE)  # fmt: skip
            for copy, result in enumerate(chain):
                twins.create(f"link{copy + 1}", prog=f"tcx{result}.{copy}", target=wire.index,
                             type=On.TCX_INGRESS)  # fmt: skip
            assert not twins.different
            sent = wire.send(number)
            verdict = device.receive(sent)
            for link in twins.links():
                twins.close(link)

            assert wire.arrived(number) == verdict.passed, (xdp, chain, verdict)
            seen.add(verdict.verdict)
        twins.close_all()
        assert {"passed", "dropped", "redirected"} <= seen

    in_own_network(work)


def refusing(errno: int, result: int) -> bytes:
    """Set what the caller gets, then return *result*."""
    return insn(0xB7, 1, imm=-errno) + insn(0x85, imm=SET_RETVAL) + returning(result)


PROGRAMS = {
    "yes": returning(1),
    "yes2": returning(1),
    "no": returning(0),
    "busy": refusing(16, 1),
    "range": refusing(34, 0),
    "forget": refusing(0, 1),
}


def in_cgroup(path: Path, what: str) -> int:
    """The -errno that a new process in the cgroup at *path* gets for *what*, 0 for none."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            (path / "cgroup.procs").write_text(str(os.getpid()))
            code = 0
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            if what == "bind":
                made.bind(("127.0.0.1", 0))
        except OSError as error:
            code = error.errno or 254
        os._exit(code)
    status = os.waitpid(child, 0)[1]
    return -os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("what", ["socket", "bind"])
def test_all_programs_of_a_cgroup_and_those_above_decide(what: str, seed: int) -> None:
    rng, twins = random.Random(seed), Twins()
    hook, kind = {
        "socket": (On.CGROUP_INET_SOCK_CREATE, Of.CGROUP_SOCK),
        "bind": (On.CGROUP_INET4_BIND, Of.CGROUP_SOCK_ADDR),
    }[what]
    results = set()
    with own_cgroups(twins, "/a", "/a/b"):
        top = Path(f"/proc/self/fd/{twins.named['/'].fds[0]}").readlink()
        member = twins.skep.places.cgroup("/top/a/b")
        for name, code in PROGRAMS.items():
            twins.load(name, kind, hook, code)
        for _ in range(12):
            for name in rng.sample(sorted(PROGRAMS), rng.randrange(1, 4)):
                twins.create(
                    f"link{twins.count}", prog=name, target=rng.choice(["/", "/a", "/a/b"]),
                    type=hook, flags=rng.choice([0, 0, PREORDER]),
                )  # fmt: skip
            if what == "socket":
                ours = socket_made(member, socket.AF_INET, socket.SOCK_DGRAM, 17)
            else:
                loopback = Endpoint(bytes([127, 0, 0, 1]), 0)
                ours = address_used(member, hook, loopback, kind=2, protocol=17).errno
            theirs = in_cgroup(top / "a" / "b", what)
            order = [program.id for program in member.effective(hook)]

            assert theirs == ours, (order, twins.journal[-4:])
            results.add(ours)
            for link in twins.links():
                twins.close(link)
        assert not twins.different
    assert len(results) > 1


def test_programs_attached_by_themselves_decide_too() -> None:
    twins = Twins()
    with own_cgroups(twins, "/a"):
        top = Path(f"/proc/self/fd/{twins.named['/'].fds[0]}").readlink()
        twins.load("no", Of.CGROUP_SOCK, On.CGROUP_INET_SOCK_CREATE, returning(0))
        before = in_cgroup(top / "a", "socket")
        twins.call(PROG_ATTACH, target="/a", prog="no", type=On.CGROUP_INET_SOCK_CREATE)
        ours = socket_made(twins.skep.places.cgroup("/top/a"), socket.AF_INET)

        assert (before, in_cgroup(top / "a", "socket")) == (0, ours)
        assert ours == -1
