"""Links: what holds what, ids, infos, updates; the commands' order of refusals."""

from errno import EBADF, EINVAL, ENOENT, EOPNOTSUPP, EPERM

import pytest

from skep.errors import CommandError
from skep.syscall.objects import Kind
from skep.uapi import commands
from skep.uapi.flags import AttachType, LinkType, ProgType
from support.hook_caller import HookCaller

LO, ON, REPLACE = 1, AttachType.TCX_INGRESS, 4
PATH = b"/sys/fs/bpf/link\0"


@pytest.fixture
def caller() -> HookCaller:
    return HookCaller()


def test_a_link_holds_its_program(caller: HookCaller) -> None:
    prog = caller.classifier(2)
    number = caller.id_of(prog)
    link = caller.good_link(LO, prog, ON)
    caller.subsystem.close(prog)

    assert caller.ids(LO, ON) == [number]
    caller.subsystem.close(link)
    assert caller.ids(LO, ON) == []
    assert caller.call(commands.PROG_GET_FD_BY_ID, start_id=number) == -ENOENT


def test_a_pin_and_a_second_descriptor_keep_a_link(caller: HookCaller) -> None:
    link = caller.good_link(LO, caller.classifier(), ON)
    number = caller.id_of(link)
    again = caller.call(commands.LINK_GET_FD_BY_ID, start_id=number)
    pinned = caller.call(commands.OBJ_PIN, pathname=caller.keep(PATH), bpf_fd=link)
    for fd in (link, again):
        caller.subsystem.close(fd)

    assert pinned == 0
    assert len(caller.ids(LO, ON)) == 1
    opened = caller.call(commands.OBJ_GET, pathname=caller.keep(PATH))
    assert caller.id_of(opened) == number


def test_links_are_walked_by_id(caller: HookCaller) -> None:
    links = [caller.good_link(LO, caller.classifier(), ON) for _ in range(3)]
    found, number = [], 0
    while caller.call(commands.LINK_GET_NEXT_ID, start_id=number) == 0:
        number = caller.attr.next_id  # type: ignore[attr-defined]  # a GetId
        found.append(number)

    assert found == [caller.id_of(link) for link in links]


def test_an_update_lets_the_old_program_go(caller: HookCaller) -> None:
    old, new = caller.classifier(), caller.classifier()
    link, gone = caller.good_link(LO, old, ON), caller.id_of(old)
    caller.subsystem.close(old)

    assert caller.update(link, new) == 0
    assert caller.words(link)[2] == caller.id_of(new)
    assert caller.ids(LO, ON) == [caller.id_of(new)]
    assert caller.call(commands.PROG_GET_FD_BY_ID, start_id=gone) == -ENOENT


def test_an_update_expects_what_the_caller_says(caller: HookCaller) -> None:
    old, new, other = (caller.classifier() for _ in range(3))
    link = caller.good_link(LO, old, ON)

    assert caller.update(link, new, flags=REPLACE, old_prog_fd=other) == -EPERM
    assert caller.update(link, new, flags=REPLACE, old_prog_fd=old) == 0
    assert caller.update(link, new, flags=1) == -EINVAL
    assert caller.update(link, new, old_prog_fd=new) == -EINVAL
    assert caller.update(link, caller.returning(2, ProgType.XDP)) == -EINVAL


def test_a_detached_link_keeps_program_and_id(caller: HookCaller) -> None:
    prog = caller.classifier()
    link = caller.good_link(LO, prog, ON)
    number = caller.id_of(link)

    assert [caller.unlink(link), caller.unlink(link)] == [0, 0]
    assert caller.ids(LO, ON) == []
    kind, id_, program, _, ifindex, hook = caller.words(link)[:6]
    assert (kind, id_, program) == (LinkType.TCX, number, caller.id_of(prog))
    assert (ifindex, hook) == (0, ON)


def test_a_failed_link_leaves_nothing(caller: HookCaller) -> None:
    prog = caller.classifier()
    objects = caller.subsystem.state.objects
    caller.link(LO, prog, ON, word24=9)
    caller.link(99, prog, ON)

    assert objects.count(Kind.LINK) == 0
    caller.subsystem.close(prog)
    assert objects.count(Kind.PROG) == 0


def test_the_program_is_looked_at_before_the_target(caller: HookCaller) -> None:
    assert caller.link(99, 12345, ON) == -EBADF
    assert caller.link(99, caller.map(2), ON) == -EINVAL
    assert caller.link(99, caller.returning(2, ProgType.XDP), ON) == -EINVAL


def test_links_of_struct_ops_need_a_map_of_them(caller: HookCaller) -> None:
    assert caller.link(0, 12345, AttachType.STRUCT_OPS) == -EBADF
    assert caller.link(0, caller.map(2), AttachType.STRUCT_OPS) == -EINVAL


def test_what_stands_in_fdinfo(caller: HookCaller) -> None:
    prog = caller.classifier()
    link = caller.good_link(LO, prog, ON)
    lines = dict(line.split(":\t") for line in caller.subsystem.fdinfo(link).splitlines())

    assert lines["link_type"] == "tcx"
    assert lines["prog_id"] == str(caller.id_of(prog))
    assert (lines["ifindex"], lines["attach_type"]) == ("1", "46 (ingress)")


def test_what_an_info_does_not_tell_stays_as_the_caller_left_it(caller: HookCaller) -> None:
    link = caller.good_link(LO, caller.classifier(), ON)
    place = caller.keep(b"\xee" * 64)
    caller.call(commands.OBJ_GET_INFO_BY_FD, bpf_fd=link, info_len=64, info=place)
    data = caller.subsystem.state.memory.read(place, 64)

    assert data[12:16] == b"\xee" * 4
    assert data[24:] == b"\xee" * 40


def test_a_link_whose_kind_cannot_be_detached_says_so(caller: HookCaller) -> None:
    caller.subsystem.state.world.tracepoints.declare("skep:something", "int number")
    prog = caller.returning(0, ProgType.RAW_TRACEPOINT)
    link = caller.call(commands.RAW_TRACEPOINT_OPEN, name=caller.keep(b"something\0"), prog_fd=prog)

    assert caller.unlink(link) == -EOPNOTSUPP
    assert caller.update(link, prog) == -EINVAL
    error = caller.subsystem.last_error
    assert isinstance(error, CommandError)
