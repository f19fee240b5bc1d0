"""Devices: frames through XDP, tcx, cgroups and netkit; what stands where."""

from errno import EBUSY, EEXIST, ENODEV, ENOLINK, EOPNOTSUPP

import pytest

from skep.attach.devices import DRV_MODE, IF_NOEXIST, REPLACE, SKB_MODE
from skep.syscall.objects import Kind
from skep.uapi.flags import AttachType, ProgType
from support.caller import EXIT, insn
from support.hook_caller import IPV4, SAMPLE, HookCaller

LO = 1
INGRESS, EGRESS = AttachType.TCX_INGRESS, AttachType.TCX_EGRESS
REDIRECT = 23


@pytest.fixture
def caller() -> HookCaller:
    return HookCaller()


def xdp(caller: HookCaller, value: int) -> int:
    return caller.returning(value, ProgType.XDP, AttachType.XDP)


def test_a_frame_that_meets_no_program_passes(caller: HookCaller) -> None:
    delivery = caller.subsystem.places.device("lo").receive(SAMPLE)

    assert (delivery.passed, delivery.hook, delivery.frame) == (True, "", SAMPLE)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0, "dropped"), (1, "dropped"), (2, "passed"), (3, "sent back"), (4, "redirected"),
     (5, "dropped")],
)  # fmt: skip
def test_xdp_decides_first(caller: HookCaller, value: int, verdict: str) -> None:
    caller.good_link(LO, xdp(caller, value), AttachType.XDP)
    delivery = caller.subsystem.places.device("lo").receive(SAMPLE)

    assert (delivery.verdict, delivery.result) == (verdict, value if value != 2 else 0)


@pytest.mark.parametrize(
    ("values", "verdict", "result"),
    [((-1, -1), "passed", -1), ((-1, 2), "dropped", 2), ((0, 2), "passed", 0),
     ((-1, 7), "redirected", 7), ((9, 2), "passed", 9)],
)  # fmt: skip
def test_the_first_of_a_chain_that_decides_decides(
    caller: HookCaller, values: tuple[int, ...], verdict: str, result: int
) -> None:
    for value in values:
        caller.attach(LO, caller.classifier(value), INGRESS)
    delivery = caller.subsystem.places.device("lo").receive(SAMPLE)

    assert (delivery.verdict, delivery.result) == (verdict, result)


def test_what_xdp_changes_the_chain_and_the_receiver_see(caller: HookCaller) -> None:
    change = (
        insn(0x61, 2, 1, 0) + insn(0x61, 3, 1, 4) + insn(0xBF, 4, 2) + insn(0x07, 4, imm=14)
        + insn(0x2D, 4, 3, 1) + insn(0x72, 2, off=0, imm=0x42) + insn(0xB7, imm=2) + EXIT
    )  # fmt: skip
    look = (
        insn(0x61, 2, 1, 76) + insn(0x61, 3, 1, 80) + insn(0xBF, 4, 2) + insn(0x07, 4, imm=14)
        + insn(0xB7, imm=2) + insn(0x2D, 4, 3, 3) + insn(0x71, 5, 2, 0)
        + insn(0x55, 5, off=1, imm=0x42) + insn(0xB7, imm=0) + EXIT
    )  # fmt: skip
    first = caller.program(change, ProgType.XDP, expected_attach_type=AttachType.XDP)
    caller.good_link(LO, first, AttachType.XDP)
    caller.attach(LO, caller.program(look, ProgType.SCHED_CLS), INGRESS)
    delivery = caller.subsystem.places.device("lo").receive(SAMPLE)

    assert (delivery.verdict, delivery.frame) == ("passed", b"\x42" + SAMPLE[1:])


def test_a_redirect_names_its_target(caller: HookCaller) -> None:
    code = insn(0xB7, 1, imm=5) + insn(0xB7, 2) + insn(0x85, imm=REDIRECT) + EXIT
    caller.attach(LO, caller.program(code, ProgType.SCHED_CLS), INGRESS)
    delivery = caller.subsystem.places.device("lo").receive(SAMPLE)

    assert (delivery.verdict, delivery.hook, delivery.target) == ("redirected", "tcx_ingress", 5)


@pytest.mark.parametrize(("value", "passed"), [(0, False), (1, True)])
def test_the_receivers_cgroup_sees_packets_of_the_internet(
    caller: HookCaller, value: int, passed: bool
) -> None:
    hook = AttachType.CGROUP_INET_INGRESS
    fd = caller.returning(value, ProgType.CGROUP_SKB, hook)
    caller.attach(caller.subsystem.open_cgroup("/a"), fd, hook)
    places = caller.subsystem.places
    device, cgroup = places.device("lo"), places.cgroup("/a/b")

    assert device.receive(IPV4, cgroup).passed == passed
    assert device.receive(SAMPLE, cgroup).passed
    assert device.receive(IPV4).passed


@pytest.mark.parametrize(
    ("value", "verdict", "result"),
    [(0, "dropped", -1), (1, "passed", 0), (2, "dropped", 1), (3, "passed", 2)],
)
def test_the_senders_cgroup_may_tell_of_congestion(
    caller: HookCaller, value: int, verdict: str, result: int
) -> None:
    hook = AttachType.CGROUP_INET_EGRESS
    fd = caller.returning(value, ProgType.CGROUP_SKB, hook)
    caller.attach(caller.subsystem.open_cgroup("/a"), fd, hook)
    places = caller.subsystem.places
    delivery = places.device("lo").transmit(IPV4, places.cgroup("/a"))

    assert (delivery.verdict, delivery.result) == (verdict, result)


def test_what_is_sent_runs_through_the_egress_chain_only(caller: HookCaller) -> None:
    caller.attach(LO, caller.classifier(2), EGRESS)
    device = caller.subsystem.places.device("lo")

    assert (device.transmit(SAMPLE).hook, device.receive(SAMPLE).hook) == ("tcx_egress", "")


@pytest.mark.parametrize(
    ("value", "verdict"), [(-1, "passed"), (0, "passed"), (2, "dropped"), (5, "dropped")]
)
def test_a_netkit_end_runs_its_programs_when_it_sends(
    caller: HookCaller, value: int, verdict: str
) -> None:
    primary, peer = caller.subsystem.places.netkit("nk0", "nk1")
    caller.attach(primary.index, caller.classifier(value), AttachType.NETKIT_PEER)

    assert peer.transmit(SAMPLE).verdict == verdict
    assert primary.transmit(SAMPLE).verdict == "passed"


def test_a_link_on_a_netkit_peer_is_told_by_the_peers_index(caller: HookCaller) -> None:
    primary, peer = caller.subsystem.places.netkit("nk0", "nk1")
    link = caller.good_link(primary.index, caller.classifier(), AttachType.NETKIT_PEER)

    assert caller.words(link)[4:6] == (peer.index, AttachType.NETKIT_PEER)


def test_native_and_generic_xdp_exclude_each_other(caller: HookCaller) -> None:
    device = caller.subsystem.places.device("eth0", native=True)
    put = caller.subsystem.set_xdp
    one, two = xdp(caller, 1), xdp(caller, 2)

    assert put(device.index, one) == 0
    assert put(device.index, two, SKB_MODE) == -EEXIST
    assert put(device.index, two, DRV_MODE | IF_NOEXIST) == -EBUSY
    assert put(device.index, two, DRV_MODE | REPLACE, two) == -EEXIST
    assert put(device.index, two, DRV_MODE | REPLACE, one) == 0
    assert device.receive(SAMPLE).passed
    assert put(device.index, -1) == 0
    assert put(device.index, two, SKB_MODE) == 0


def test_a_device_without_native_xdp_says_so(caller: HookCaller) -> None:
    assert caller.subsystem.set_xdp(LO, xdp(caller, 2), DRV_MODE) == -EOPNOTSUPP
    assert caller.subsystem.set_xdp(99, xdp(caller, 2)) == -ENODEV


def test_attaching_what_is_there_holds_it_once(caller: HookCaller) -> None:
    fd = xdp(caller, 1)
    number = caller.id_of(fd)
    for _ in range(2):
        assert caller.subsystem.set_xdp(LO, fd) == 0
    caller.subsystem.close(fd)
    still = caller.subsystem.places.device("lo").receive(SAMPLE).verdict
    caller.subsystem.set_xdp(LO, -1)

    assert still == "dropped"
    assert number not in caller.subsystem.state.objects._ids[Kind.PROG]


def test_a_device_that_goes_takes_programs_and_links_off(caller: HookCaller) -> None:
    device = caller.subsystem.places.device("eth0")
    links = [
        caller.good_link(device.index, xdp(caller, 1), AttachType.XDP),
        caller.good_link(device.index, caller.classifier(), INGRESS),
    ]
    caller.subsystem.places.remove_device("eth0")

    assert [caller.words(link)[4] for link in links] == [0, 0]
    assert caller.update(links[0], xdp(caller, 2)) == -ENOLINK
    assert caller.update(links[1], caller.classifier()) == -ENOLINK
    assert caller.attach(device.index, caller.classifier(), INGRESS) == -ENODEV
