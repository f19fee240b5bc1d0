"""PROG_ATTACH, PROG_DETACH, PROG_QUERY: what goes where, references, what a query tells."""

from concurrent.futures import ThreadPoolExecutor
from errno import EBADF, EINVAL, ENOENT, ENOSPC

import pytest

from skep.attach.cgroup_events import device_opened
from skep.syscall.objects import Kind
from skep.uapi import commands
from skep.uapi.commands import ProgQuery
from skep.uapi.flags import AttachType, ProgType
from support.caller import EXIT, insn
from support.hook_caller import HookCaller

LO, INGRESS, MULTI, EFFECTIVE = 1, AttachType.TCX_INGRESS, 2, 1
GUARD = AttachType.CGROUP_DEVICE


@pytest.fixture
def caller() -> HookCaller:
    return HookCaller()


def guard(caller: HookCaller) -> int:
    return caller.returning(1, ProgType.CGROUP_DEVICE)


def test_an_attached_program_lives_without_a_descriptor(caller: HookCaller) -> None:
    prog = caller.classifier()
    number = caller.id_of(prog)
    caller.attach(LO, prog, INGRESS)
    caller.subsystem.close(prog)
    again = caller.call(commands.PROG_GET_FD_BY_ID, start_id=number)

    assert caller.ids(LO, INGRESS) == [number]
    assert caller.detach(LO, again, INGRESS) == 0
    caller.subsystem.close(again)
    assert caller.subsystem.state.objects.count(Kind.PROG) == 0


def test_a_refused_program_is_not_held(caller: HookCaller) -> None:
    prog = caller.classifier()
    caller.attach(LO, prog, INGRESS, expected_revision=9)
    caller.subsystem.close(prog)

    assert caller.subsystem.state.objects.count(Kind.PROG) == 0


@pytest.mark.parametrize("way", ["by itself", "by a link"])
def test_programs_that_may_return_more_than_1_on_egress_stay_there(
    caller: HookCaller, way: str
) -> None:
    into, out = AttachType.CGROUP_INET_INGRESS, AttachType.CGROUP_INET_EGRESS
    target, put = (
        caller.subsystem.open_cgroup("/a"),
        caller.link if way == "by a link" else caller.attach,
    )
    plain = caller.returning(1, ProgType.CGROUP_SKB, out)
    telling = caller.returning(3, ProgType.CGROUP_SKB, out)

    assert put(target, telling, into) == -EINVAL
    assert put(caller.subsystem.open_cgroup("/b"), telling, out) >= 0
    assert put(target, plain, into) >= 0


def test_programs_of_some_types_go_only_where_they_were_loaded_for(caller: HookCaller) -> None:
    made, gone = AttachType.CGROUP_INET_SOCK_CREATE, AttachType.CGROUP_INET_SOCK_RELEASE
    target, prog = (
        caller.subsystem.open_cgroup("/a"),
        caller.returning(1, ProgType.CGROUP_SOCK, made),
    )

    assert caller.attach(target, prog, gone) == -EINVAL
    assert caller.attach(target, prog, made) == 0


def test_targets_that_are_no_cgroup_device_or_namespace(caller: HookCaller) -> None:
    prog = guard(caller)

    assert caller.attach(12345, prog, GUARD) == -EBADF
    assert caller.attach(prog, prog, GUARD) == -EBADF
    assert caller.call(commands.PROG_QUERY, target_fd=prog, attach_type=17) == -EINVAL
    assert caller.call(commands.PROG_QUERY, target_fd=12345, attach_type=17) == -EBADF


def test_attach_types_without_that_command(caller: HookCaller) -> None:
    for hook in (AttachType.PERF_EVENT, AttachType.NETFILTER, 999):
        assert caller.attach(0, 0, hook) == -EINVAL  # type: ignore[arg-type]
    xdp = caller.returning(2, ProgType.XDP)
    assert caller.attach(LO, xdp, AttachType.XDP) == -EINVAL
    assert caller.detach(LO, xdp, AttachType.XDP) == -EINVAL
    assert caller.call(commands.PROG_QUERY, target_fd=LO, attach_type=AttachType.XDP) == -EINVAL


def test_detaching_from_what_has_nothing(caller: HookCaller) -> None:
    assert caller.detach(LO, 0, INGRESS) == -ENOENT
    assert caller.detach(caller.subsystem.open_cgroup("/a"), 0, GUARD) == -ENOENT


def test_a_query_tells_how_many_there_are_and_fills_what_fits(caller: HookCaller) -> None:
    target, fds = caller.subsystem.open_cgroup("/a"), [guard(caller) for _ in range(3)]
    for fd in fds:
        caller.attach(target, fd, GUARD, attach_flags=MULTI)
    place = caller.keep(b"\xff" * 16)
    answer = caller.call(
        commands.PROG_QUERY, target_fd=target, attach_type=GUARD, prog_ids=place, prog_cnt=2
    )
    data = caller.subsystem.state.memory.read(place, 16)

    assert answer == -ENOSPC
    assert isinstance(caller.attr, ProgQuery)
    assert (caller.attr.prog_cnt, caller.attr.attach_flags, caller.attr.revision) == (3, MULTI, 4)
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, 16, 4)]
    assert words == [caller.id_of(fds[0]), caller.id_of(fds[1]), 0xFFFF_FFFF, 0xFFFF_FFFF]


def test_a_query_of_what_is_effective_tells_no_flags(caller: HookCaller) -> None:
    fd = guard(caller)
    caller.attach(caller.subsystem.open_cgroup("/a"), fd, GUARD, attach_flags=MULTI)
    deep = caller.subsystem.open_cgroup("/a/b")

    number = caller.id_of(fd)
    assert caller.ids(deep, GUARD) == []
    assert caller.ids(deep, GUARD, EFFECTIVE) == [number]
    assert isinstance(caller.attr, ProgQuery)
    assert (caller.attr.attach_flags, caller.attr.revision) == (0, 0)


def test_a_query_of_a_chain_tells_links(caller: HookCaller) -> None:
    caller.attach(LO, caller.classifier(), INGRESS)
    link = caller.good_link(LO, caller.classifier(), INGRESS)
    ids, links = caller.keep(b"", 16), caller.keep(b"\xff" * 16)
    caller.call(
        commands.PROG_QUERY, target_fd=LO, attach_type=INGRESS, prog_ids=ids, prog_cnt=4,
        link_ids=links,
    )  # fmt: skip
    data = caller.subsystem.state.memory.read(links, 16)

    assert data == bytes(4) + caller.id_of(link).to_bytes(4, "little") + b"\xff" * 8


def test_programs_on_hooks_count_in_their_maps(caller: HookCaller) -> None:
    counts = caller.map(2, 4, 8, 1)
    caller.store(counts, bytes(4), bytes(8))
    code = (
        insn(0x62, 10, off=-4) + insn(0xBF, 2, 10) + insn(0x07, 2, imm=-4)
        + insn(0x18, 1, 1, imm=counts) + insn(0) + insn(0x85, imm=1) + insn(0x15, 0, off=2)
        + insn(0xB7, 1, imm=1) + insn(0xDB, 0, 1) + insn(0xB7, imm=-1) + EXIT
    )  # fmt: skip
    prog = caller.program(code, ProgType.SCHED_CLS)
    caller.good_link(LO, prog, INGRESS)
    device = caller.subsystem.places.device("lo")
    for _ in range(5):
        device.receive(bytes(60))

    assert caller.fetch(counts, bytes(4)) == (5).to_bytes(8, "little")


def test_threads_attach_detach_link_and_fire_at_once(caller: HookCaller) -> None:
    subsystem, target = caller.subsystem, caller.subsystem.open_cgroup("/a")
    cgroup = subsystem.places.cgroup("/a")
    callers = [HookCaller(subsystem) for _ in range(4)]
    programs = [guard(each) for each in callers]

    def work(mine: HookCaller, prog: int) -> list[int]:
        results = []
        for _ in range(50):
            results.append(mine.attach(target, prog, GUARD, attach_flags=MULTI))
            link = mine.good_link(target, prog, GUARD)
            results.append(device_opened(cgroup, "c", 1, 3, "r"))
            subsystem.close(link)
            results.append(mine.detach(target, prog, GUARD))
        return results

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, callers, programs))

    assert {result for each in found for result in each} == {0}
    assert caller.ids(target, GUARD) == []
    for prog in programs:
        subsystem.close(prog)
    assert subsystem.state.objects.count(Kind.PROG) == 0
    assert subsystem.state.objects.count(Kind.LINK) == 0
