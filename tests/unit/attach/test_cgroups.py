"""Cgroups: who may attach where, what is effective, what all results mean together."""

from errno import EBUSY, EINVAL, ENOENT, ENOLINK, EPERM

import pytest

from skep.attach.cgroup_events import Endpoint, address_used, device_opened, socket_made
from skep.uapi import commands
from skep.uapi.flags import AttachType, ProgType
from support.caller import EXIT, insn
from support.hook_caller import HookCaller

ON = AttachType.CGROUP_DEVICE
OVERRIDE, MULTI, REPLACE, BEFORE, PREORDER, EFFECTIVE = 1, 2, 4, 8, 64, 1
LOOPBACK = bytes((127, 0, 0, 1))


@pytest.fixture
def caller() -> HookCaller:
    return HookCaller()


def guard(caller: HookCaller, value: int = 1) -> int:
    return caller.returning(value, ProgType.CGROUP_DEVICE)


@pytest.mark.parametrize(("above", "below"), [(0, -EPERM), (OVERRIDE, 0), (MULTI, 0)])
def test_what_is_above_decides_whether_others_may_attach(
    caller: HookCaller, above: int, below: int
) -> None:
    caller.attach(caller.subsystem.open_cgroup("/a"), guard(caller), ON, attach_flags=above)

    deep = caller.subsystem.open_cgroup("/a/b/c")
    assert caller.attach(deep, guard(caller), ON) == below


def test_an_overridable_program_yields_to_one_below(caller: HookCaller) -> None:
    above, below = guard(caller), guard(caller)
    top, deep = caller.subsystem.open_cgroup("/a"), caller.subsystem.open_cgroup("/a/b")
    caller.attach(top, above, ON, attach_flags=OVERRIDE)
    inherited = caller.ids(deep, ON, EFFECTIVE)
    caller.attach(deep, below, ON)

    assert inherited == [caller.id_of(above)]
    assert caller.ids(deep, ON, EFFECTIVE) == [caller.id_of(below)]


def test_programs_run_from_the_cgroup_upwards_preorder_ones_first_downwards(
    caller: HookCaller,
) -> None:
    names = ["top", "top early", "deep", "deep early"]
    programs = {name: guard(caller) for name in names}
    for name, fd in programs.items():
        target = caller.subsystem.open_cgroup("/a" if "top" in name else "/a/b")
        caller.attach(target, fd, ON, attach_flags=MULTI | (PREORDER if "early" in name else 0))

    order = caller.ids(caller.subsystem.open_cgroup("/a/b"), ON, EFFECTIVE)
    known = {caller.id_of(fd): name for name, fd in programs.items()}
    assert [known[each] for each in order] == ["top early", "deep early", "deep", "top"]


def test_a_second_program_without_multi_takes_the_place_of_the_first(caller: HookCaller) -> None:
    target, second = caller.subsystem.open_cgroup("/a"), guard(caller)
    caller.attach(target, guard(caller), ON)
    caller.attach(target, second, ON)

    assert caller.ids(target, ON) == [caller.id_of(second)]
    assert caller.attach(target, guard(caller), ON, attach_flags=MULTI) == -EPERM


def test_one_of_several_is_replaced_in_its_place(caller: HookCaller) -> None:
    target, fds = caller.subsystem.open_cgroup("/a"), [guard(caller) for _ in range(3)]
    for fd in fds[:2]:
        caller.attach(target, fd, ON, attach_flags=MULTI)
    caller.attach(target, fds[2], ON, attach_flags=MULTI | REPLACE, replace_bpf_fd=fds[0])

    assert caller.ids(target, ON) == [caller.id_of(fds[2]), caller.id_of(fds[1])]
    assert caller.attach(target, fds[2], ON, attach_flags=MULTI) == -EINVAL


def test_detaching(caller: HookCaller) -> None:
    target, one, other = caller.subsystem.open_cgroup("/a"), guard(caller), guard(caller)
    caller.attach(target, one, ON, attach_flags=MULTI)

    assert caller.detach(target, other, ON) == -ENOENT
    assert caller.detach(target, 0, ON) == -EINVAL
    assert caller.detach(target, one, ON) == 0
    assert caller.detach(target, one, ON) == -ENOENT


def test_a_cgroup_that_goes_takes_programs_and_links_off(caller: HookCaller) -> None:
    target, fd = caller.subsystem.open_cgroup("/a"), guard(caller)
    link = caller.good_link(target, fd, ON)
    caller.subsystem.places.remove_cgroup("/a")

    assert caller.update(link, guard(caller)) == -ENOLINK
    assert caller.words(link)[4:6] == (0, 0)


def test_the_root_and_cgroups_with_others_below_stay(caller: HookCaller) -> None:
    caller.subsystem.places.cgroup("/a/b")
    for path in ("/", "/a"):
        with pytest.raises(ValueError, match="others below"):
            caller.subsystem.places.remove_cgroup(path)


@pytest.mark.parametrize(
    ("values", "errno"), [((), 0), ((1,), 0), ((1, 1), 0), ((1, 0), -EPERM), ((0, 1), -EPERM)]
)
def test_all_programs_must_allow_a_device(
    caller: HookCaller, values: tuple[int, ...], errno: int
) -> None:
    target = caller.subsystem.open_cgroup("/a")
    for value in values:
        caller.attach(target, guard(caller, value), ON, attach_flags=MULTI)

    opened = device_opened(caller.subsystem.places.cgroup("/a/b"), "c", 1, 3, "rw")
    assert opened == errno


def test_device_programs_see_kind_access_and_numbers(caller: HookCaller) -> None:
    wanted = insn(0xB7, 0) + insn(0x61, 2, 1, 0) + insn(0x55, 2, off=5, imm=(6 << 16) | 2)
    numbers = insn(0x61, 2, 1, 4) + insn(0x55, 2, off=3, imm=1) + insn(0x61, 2, 1, 8)
    code = wanted + numbers + insn(0x55, 2, off=1, imm=3) + insn(0xB7, imm=1) + EXIT
    fd = caller.program(code, ProgType.CGROUP_DEVICE)
    caller.attach(caller.subsystem.open_cgroup("/a"), fd, ON)
    cgroup = caller.subsystem.places.cgroup("/a")

    assert device_opened(cgroup, "c", 1, 3, "rw") == 0
    assert device_opened(cgroup, "c", 1, 3, "r") == -EPERM
    assert device_opened(cgroup, "b", 1, 3, "rw") == -EPERM


def test_a_program_sets_what_the_caller_gets(caller: HookCaller) -> None:
    hook = AttachType.CGROUP_INET_SOCK_CREATE
    code = insn(0xB7, 1, imm=-EBUSY) + insn(0x85, imm=187) + insn(0xB7, imm=1) + EXIT
    fd = caller.program(code, ProgType.CGROUP_SOCK, expected_attach_type=hook)
    caller.attach(caller.subsystem.open_cgroup("/a"), fd, hook)
    cgroup = caller.subsystem.places.cgroup("/a")

    assert socket_made(cgroup, 2) == -EBUSY
    assert socket_made(cgroup, 1) == 0  # not of the internet


def test_a_program_sends_a_connection_elsewhere(caller: HookCaller) -> None:
    hook = AttachType.CGROUP_INET4_CONNECT
    port = int.from_bytes((8080).to_bytes(2, "big"), "little")
    code = insn(0xB7, 2, imm=port) + insn(0x63, 1, 2, 24) + insn(0xB7, imm=1) + EXIT
    fd = caller.program(code, ProgType.CGROUP_SOCK_ADDR, expected_attach_type=hook)
    caller.attach(caller.subsystem.open_cgroup("/a"), fd, hook)

    found = address_used(caller.subsystem.places.cgroup("/a"), hook, Endpoint(LOOPBACK, 80))
    assert (found.errno, found.endpoint) == (0, Endpoint(LOOPBACK, 8080))


def test_runs_are_counted_while_statistics_are_on(caller: HookCaller) -> None:
    fd = guard(caller)
    caller.attach(caller.subsystem.open_cgroup("/a"), fd, ON)
    cgroup = caller.subsystem.places.cgroup("/a")
    device_opened(cgroup, "c", 1, 3, "r")
    caller.call(commands.ENABLE_STATS)
    device_opened(cgroup, "c", 1, 3, "r")

    program = caller.subsystem.state.objects.get("TEST", fd).target
    assert program.run_count == 1  # type: ignore[attr-defined]
