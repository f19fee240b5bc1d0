"""Helpers on sockets, tunnels, routes, devices and cgroups answer as the running kernel's.

Random sequences of calls in test runs; every result and all memory that calls fill is compared.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.syscall.subsystem import Subsystem
from skep.uapi.helpers import by_name
from support.running_kernel import RunningKernel, missing
from support.trial_runs import fold, load, run, stack_words

REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no kernel to compare with: {REASON}")

SCHED_CLS, XDP, CGROUP_SKB, LWT_XMIT = 3, 6, 8, 12
TCP4 = (
    b"\2\2\2\2\2\2\4\4\4\4\4\4\x08\0"
    b"E\1\0\x34\1\2\x40\0\x40\6\x3d\xf1\n\0\0\1\n\0\0\2\x04\xd2\0\x50" + bytes(range(28))
)
UDP6 = b"\2\2\2\2\2\2\4\4\4\4\4\4\x86\xdd\x60\x20\0\0\0\x10\x11\x40" + bytes(range(48))
ARP = b"\xff" * 6 + b"\4\4\4\4\4\4\x08\6" + bytes(range(28))
PACKETS = (TCP4, UDP6, ARP)
FORWARDING = Path("/proc/sys/net/ipv4/conf/lo/forwarding")
LARGE = 0x123456789ABCDEF0

Choose = random.Random
Step = Callable[[Choose], list[str]]


def call(name: str, *arguments: int | str) -> list[str]:
    """A call; its result goes into r9. "ctx" is the context, "-8" a place on the stack."""
    row = by_name(name)
    assert row is not None
    lines = [f"; {name}{arguments}"]
    for register, argument in enumerate(arguments, 1):
        if isinstance(argument, int):
            lines.append(f"r{register} = {argument} ll")
        elif argument == "ctx":
            lines.append(f"r{register} = r6")
        else:
            lines += [f"r{register} = r10", f"r{register} += {argument}"]
    return [*lines, f"call {row.id}", *fold("r0")]


def put(place: int, data: bytes) -> list[str]:
    """Store *data* at r10 - *place*."""
    lines = [f"; {data.hex()}"]
    for at in range(0, len(data), 8):
        word = int.from_bytes(data[at : at + 8].ljust(8, b"\0"), "little")
        lines += [f"r7 = {word} ll", f"*(u64 *)(r10 - {place - at}) = r7"]
    return lines


def tunnel_key(choose: Choose) -> bytes:
    key = bytearray(choose.randbytes(44))
    if choose.random() < 0.8:
        key[22:24] = bytes(2)
    if choose.random() < 0.7:
        key[24:28] = bytes(4)
    return bytes(key)


KEY_SIZES = (44, 44, 44, 28, 24, 22, 8, 4, 20, 43, 45, 48)


def set_key(choose: Choose) -> list[str]:
    flags = choose.choice([0, 0, 1, 1, 2, 4, 8, 16, 0x1E, 0x1F, 32, 1 << 40])
    data = put(64, tunnel_key(choose) + bytes(4))
    return [*data, *call("skb_set_tunnel_key", "ctx", "-64", choose.choice(KEY_SIZES), flags)]


def get_key(choose: Choose) -> list[str]:
    flags = choose.choice([0, 0, 1, 1, 16, 17, 2, 1 << 33])
    code = call("skb_get_tunnel_key", "ctx", "-128", choose.choice(KEY_SIZES), flags)
    return [*put(128, bytes(48)), *code, *stack_words(128, 6)]


def set_options(choose: Choose) -> list[str]:
    return call("skb_set_tunnel_opt", "ctx", "-64", choose.choice([4, 8, 6, 44, 48]))


def get_options(choose: Choose) -> list[str]:
    code = call("skb_get_tunnel_opt", "ctx", "-128", choose.choice([4, 8, 7, 44, 48]))
    return [*put(128, bytes(48)), *code, *stack_words(128, 6)]


def sums(choose: Choose) -> list[str]:
    return call("csum_level", "ctx", choose.choice([0, 0, 1, 1, 2, 3, 4, 1 << 32]))


def room(choose: Choose) -> list[str]:
    step = choose.choice([4, 8, 0xFFFFFFFC])
    return call("skb_adjust_room", "ctx", step, choose.choice([0, 1]), choose.choice([0, 32]))


def mtu(choose: Choose) -> list[str]:
    length = choose.choice([0, 0, 1, 1500, 65536, 65537])
    step = choose.choice([0, 0, 1, 70000, 0xFFFFFFFF, 65536 - 60, 65536 - 40])
    flags = choose.choice([0, 0, 1, 2, 1 << 32])
    place = put(8, length.to_bytes(8, "little"))
    code = call("check_mtu", "ctx", choose.choice([0, 0, 1, 9999]), "-8", step, flags)
    return [*place, *code, *stack_words(8, 1)]


def route(choose: Choose) -> list[str]:
    query = bytearray(choose.randbytes(64))
    query[0] = choose.choice([2, 10, 10, 1])
    query[8:12] = choose.choice([1, 1, 0, 9999]).to_bytes(4, "little")
    ends = (b"\xfe\x80", b"\xfe\xbf", b"\xfe\xc0", b"\xff\2", b" \1", b" \1", b" \1")
    for place in (16, 32):
        query[place : place + 2] = choose.choice(ends)
    if choose.random() < 0.1:
        query[16:32] = bytes(15) + b"\1"
    flags = choose.choice([0, 0, 1, 2, 3, 8, 9, 16, 32, 63, 64, 1 << 32])
    size = choose.choice([64, 64, 64, 72, 63])
    code = call("fib_lookup", "ctx", "-72", size, flags)
    return [*put(72, bytes(query) + bytes(8)), *code, *stack_words(72, 9)]


def neighbour(choose: Choose) -> list[str]:
    sizes, flags = choose.choice([0, 4, 19, 20, 24]), choose.choice([0, 0, 1, 1 << 32])
    return call("redirect_neigh", choose.choice([0, 1, 9999]), "-64", sizes, flags)


def clone(choose: Choose) -> list[str]:
    index, flags = choose.choice([(9999, 0), (0, 0), (9999, 1), (1, 2), (1, 1 << 32), (0, 1)])
    return call("clone_redirect", "ctx", index, flags)


def stamp(choose: Choose) -> list[str]:
    kind = choose.choice([0, 1, 2, 3, 1 << 32])
    code = call("skb_set_tstamp", "ctx", choose.choice([0, 5, LARGE]), kind)
    return [*code, "r7 = *(u8 *)(r6 + 180)", *fold("r7"), "r7 = *(u64 *)(r6 + 152)", *fold("r7")]


def plain(choose: Choose) -> list[str]:
    names = (
        "get_route_realm", "get_socket_uid", "get_netns_cookie", "skb_cgroup_id",
        "skb_cgroup_classid", "get_cgroup_classid",
    )  # fmt: skip
    if choose.random() < 0.4:
        level = choose.choice([0, 1, 2, 0xFFFFFFFF, 1 << 32])
        if choose.random() < 0.5:
            return call("skb_ancestor_cgroup_id", "ctx", level)
        return call("get_current_ancestor_cgroup_id", level)
    if choose.random() < 0.2:
        return call("get_current_cgroup_id")
    return call(choose.choice(names), "ctx")


def security(choose: Choose) -> list[str]:
    code = call("skb_get_xfrm_state", "ctx", 0, "-64", choose.choice([4, 28, 32]), 0)
    return [*put(64, b"\xff" * 32), *code, *stack_words(64, 4)]


def cookie(_choose: Choose) -> list[str]:
    """The same socket has the same cookie, which is not 0."""
    row = by_name("get_socket_cookie")
    assert row is not None
    return [
        "r1 = r6", f"call {row.id}", "r8 = r0", "r1 = r6", f"call {row.id}", "r8 ^= r0",
        *fold("r8"), "r7 = 0", "if r0 == 0 goto +1", "r7 = 1", *fold("r7"),
    ]  # fmt: skip


def unreadable(choose: Choose) -> list[str]:
    names = ("kernel", "user", "kernel_str", "user_str")
    place = choose.choice([0, 8, 4096, 1 << 60, 0xFFFF800000024000, 0xFFFFFFFFFFFFFF00])
    code = call(f"probe_read_{choose.choice(names)}", "-64", choose.choice([1, 8, 32]), place)
    return [*put(64, b"\xff" * 32), *code, *stack_words(64, 4)]


def find(choose: Choose) -> list[str]:
    name = choose.choice(["sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp"])
    row, release = by_name(name), by_name("sk_release")
    assert row is not None
    assert release is not None
    size, space = choose.choice([12, 36, 8, 40]), choose.choice([0xFFFFFFFF, 0, 5, 1 << 31])
    flags = choose.choice([0, 0, 1])
    return [
        *put(64, bytes([203, 0, 113, 7] * 10)), "r1 = r6", "r2 = r10", "r2 += -64", f"r3 = {size}",
        f"r4 = {space} ll", f"r5 = {flags}", f"call {row.id}", "r7 = 0", "if r0 == 0 goto +3",
        "r1 = r0", f"call {release.id}", "r7 = 1", *fold("r7"),
    ]  # fmt: skip


def own_socket(choose: Choose) -> list[str]:
    """What can be done with the socket of the packet."""
    name = choose.choice(["sk_fullsock", "tcp_sock", "get_listener_sock", "skc_to_tcp_sock"])
    row, full = by_name(name), by_name("sk_fullsock")
    assert row is not None
    assert full is not None
    call_it = ["r1 = *(u64 *)(r6 + 168)", "r7 = 2", "if r1 == 0 goto +7", f"call {full.id}"]
    return [
        *call_it, "r7 = 3", "if r0 == 0 goto +4", "r1 = r0", f"call {row.id}", "r7 = 0",
        "if r0 == 0 goto +0", *fold("r7"),
    ]  # fmt: skip


def stamps_and_sums(choose: Choose) -> list[str]:
    return choose.choice([stamp, sums, room])(choose)


SKB_STEPS: tuple[Step, ...] = (
    set_key, get_key, set_options, get_options, sums, room, mtu, route, neighbour, clone, stamp,
    plain, security, cookie, find, own_socket, unreadable,
)  # fmt: skip
TUNNEL_STEPS: tuple[Step, ...] = (set_key, get_key, set_options, get_options)


def program(seed: int, steps: tuple[Step, ...], most: int = 4) -> str:
    choose = random.Random(seed)
    lines = ["r6 = r1", "r9 = 0"]
    for place in range(8, 136, 8):
        lines += [f"r7 = {choose.getrandbits(64)} ll", f"*(u64 *)(r10 - {place}) = r7"]
    for _ in range(choose.randrange(1, most + 1)):
        lines += choose.choice(steps)(choose)
    return "\n".join([*lines, "r0 = r9", "r0 >>= 32", "r0 ^= r9", "w0 = w0", "exit"])


@pytest.fixture(scope="module")
def kernel() -> RunningKernel:
    return RunningKernel()


@pytest.fixture(scope="module")
def subsystem() -> Subsystem:
    return Subsystem()


def compare(kernel: RunningKernel, ours: Subsystem, kind: int, text: str) -> None:
    code = encode(assemble(text))
    calls = "\n".join(line for line in text.splitlines() if line.startswith(";"))
    theirs, log = load(kernel.bpf, kind, code)
    assert theirs >= 0, log[-2000:]
    fd, log = load(ours.bpf, kind, code)
    assert fd >= 0, log[-2000:]
    try:
        for packet in PACKETS:
            expected, found = run(kernel.bpf, theirs, packet), run(ours.bpf, fd, packet)
            assert expected == found, calls
    finally:
        kernel.close(theirs)
        ours.close(fd)


@pytest.mark.parametrize("step", SKB_STEPS, ids=lambda step: step.__name__)
def test_each_helper(step: Step, kernel: RunningKernel, subsystem: Subsystem) -> None:
    if step is route and FORWARDING.read_text().strip() != "0":
        pytest.skip("this machine forwards, a world does not")
    for seed in range(25):
        compare(kernel, subsystem, SCHED_CLS, program(seed, (step,), 2))


def test_sequences_of_tunnel_calls(kernel: RunningKernel, subsystem: Subsystem) -> None:
    for seed in range(120):
        compare(kernel, subsystem, SCHED_CLS, program(seed, TUNNEL_STEPS, 6))


def test_sequences_of_checksum_calls(kernel: RunningKernel, subsystem: Subsystem) -> None:
    for seed in range(60):
        compare(kernel, subsystem, SCHED_CLS, program(seed, (stamps_and_sums,), 6))


def test_mtu_and_routes_in_xdp(kernel: RunningKernel, subsystem: Subsystem) -> None:
    for seed in range(60):
        compare(kernel, subsystem, XDP, program(seed, (mtu, route, find), 3))
