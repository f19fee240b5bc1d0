"""The network namespace: flow dissector, socket look-up, netfilter."""

from errno import E2BIG, EBUSY, EEXIST, EINVAL, ENOENT, EOPNOTSUPP

import pytest

from skep.attach.places import FIRST_NAMESPACE
from skep.uapi.flags import AttachType, ProgType, SkAction
from support.caller import EXIT, insn
from support.hook_caller import IPV4, HookCaller

DISSECT, LOOKUP, FILTER = AttachType.FLOW_DISSECTOR, AttachType.SK_LOOKUP, AttachType.NETFILTER
HERE, THERE = (b"\x7f\0\0\1", 80), (b"\x0a\0\0\1", 4242)


@pytest.fixture
def caller() -> HookCaller:
    return HookCaller()


def dissector(caller: HookCaller, value: int = 0) -> int:
    return caller.returning(value, ProgType.FLOW_DISSECTOR, DISSECT)


def test_a_dissector_fills_the_flow_keys(caller: HookCaller) -> None:
    netns = caller.subsystem.places.netns
    nothing = netns.dissect(IPV4)
    code = insn(0x79, 2, 1, 144) + insn(0x6A, 2, off=2, imm=34) + insn(0xB7) + EXIT
    caller.attach(0, caller.program(code, ProgType.FLOW_DISSECTOR), DISSECT)
    keys = netns.dissect(IPV4)

    assert nothing is None
    assert keys is not None
    assert keys[:4] == bytes((14, 0, 34, 0))


@pytest.mark.parametrize("value", [2, 129])
def test_a_dissector_that_gives_up_finds_nothing(caller: HookCaller, value: int) -> None:
    caller.attach(0, dissector(caller, value), DISSECT)

    assert caller.subsystem.places.netns.dissect(IPV4) is None


def test_one_dissector_by_itself_or_by_a_link(caller: HookCaller) -> None:
    netns, one = caller.subsystem.open_netns(), dissector(caller)
    assert caller.attach(0, one, DISSECT) == 0
    assert caller.attach(0, one, DISSECT) == -EINVAL
    assert caller.link(netns, dissector(caller), DISSECT) == -EEXIST
    assert caller.detach(0, dissector(caller), DISSECT) == -ENOENT
    assert caller.detach(0, one, DISSECT) == 0
    link = caller.good_link(netns, one, DISSECT)
    assert caller.attach(0, one, DISSECT) == -EEXIST
    assert caller.link(netns, one, DISSECT) == -E2BIG
    assert caller.words(link)[4:6] == (FIRST_NAMESPACE, DISSECT)
    caller.unlink(link)
    assert caller.words(link)[4:6] == (0, DISSECT)
    assert caller.ids(netns, DISSECT) == []


def test_links_of_look_ups_run_in_order_of_creation(caller: HookCaller) -> None:
    netns = caller.subsystem.open_netns()
    fds = [caller.returning(1, ProgType.SK_LOOKUP, LOOKUP) for _ in range(3)]
    for fd in fds:
        caller.good_link(netns, fd, LOOKUP)

    assert caller.ids(netns, LOOKUP) == [caller.id_of(fd) for fd in fds]


def test_one_look_up_that_drops_is_enough(caller: HookCaller) -> None:
    only_80 = insn(0xB7, imm=1) + insn(0x61, 2, 1, 60) + insn(0x15, 2, off=1, imm=80)
    code = only_80 + insn(0xB7, imm=0) + EXIT
    fds = [caller.returning(1, ProgType.SK_LOOKUP, LOOKUP),
           caller.program(code, ProgType.SK_LOOKUP, expected_attach_type=LOOKUP)]  # fmt: skip
    for fd in fds:
        caller.good_link(caller.subsystem.open_netns(), fd, LOOKUP)
    netns = caller.subsystem.places.netns

    assert netns.look_up(6, THERE, HERE) is SkAction.PASS
    assert netns.look_up(6, THERE, (HERE[0], 81)) is SkAction.DROP


def filter_link(caller: HookCaller, family: int, hook: int, priority: int, options: int = 0) -> int:
    prog = caller.returning(1, ProgType.NETFILTER, FILTER)
    return caller.link(
        0, prog, FILTER, word16=family | hook << 32,
        word24=priority & 0xFFFF_FFFF | options << 32,
    )  # fmt: skip


def test_netfilter_programs_stand_by_priority(caller: HookCaller) -> None:
    for priority in (5, -5, 0):
        assert filter_link(caller, 2, 1, priority) >= 0

    places = [link.place.priority for link in caller.subsystem.places.netns.filters]
    assert places == [-5, 0, 5]
    assert filter_link(caller, 2, 1, 0) == -EBUSY
    assert filter_link(caller, 10, 1, 0) >= 0


def test_defragmenting_takes_two_places(caller: HookCaller) -> None:
    link = filter_link(caller, 2, 1, 7, options=1)
    assert filter_link(caller, 2, 0, -400) == -EBUSY
    assert filter_link(caller, 2, 2, -400) >= 0
    caller.subsystem.close(link)
    assert filter_link(caller, 2, 0, -400) >= 0


def test_a_netfilter_link_keeps_its_program(caller: HookCaller) -> None:
    link = filter_link(caller, 2, 1, 3)
    new = caller.returning(1, ProgType.NETFILTER, FILTER)

    assert caller.update(link, new) == -EOPNOTSUPP
    assert caller.words(link)[4:8] == (2, 1, 3, 0)
