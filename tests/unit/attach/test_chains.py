"""The order of programs in a chain, and who may change it."""

from errno import EBUSY, EEXIST, EINVAL, ENOENT, ERANGE, ESTALE

import pytest

from skep.uapi.flags import AttachType
from support.hook_caller import HookCaller

LO, ON = 1, AttachType.TCX_INGRESS
REPLACE, BEFORE, AFTER, ID, LINK = 4, 8, 16, 32, 1 << 13


@pytest.fixture
def caller() -> HookCaller:
    return HookCaller()


def programs(caller: HookCaller, count: int) -> tuple[list[int], list[int]]:
    fds = [caller.classifier() for _ in range(count)]
    return fds, [caller.id_of(fd) for fd in fds]


def test_programs_stand_in_the_order_of_attachment(caller: HookCaller) -> None:
    fds, ids = programs(caller, 3)
    for fd in fds:
        caller.attach(LO, fd, ON)

    assert caller.ids(LO, ON) == ids


def test_first_last_and_beside_another(caller: HookCaller) -> None:
    fds, (one, two, three, four) = programs(caller, 4)
    caller.attach(LO, fds[0], ON)
    caller.attach(LO, fds[1], ON, attach_flags=BEFORE)
    caller.attach(LO, fds[2], ON, attach_flags=BEFORE, relative_fd=fds[0])
    caller.attach(LO, fds[3], ON, attach_flags=AFTER | ID, relative_fd=two)

    assert caller.ids(LO, ON) == [two, four, three, one]


def test_a_link_is_an_anchor_too(caller: HookCaller) -> None:
    fds, (one, two) = programs(caller, 2)
    link = caller.good_link(LO, fds[0], ON)
    caller.attach(LO, fds[1], ON, attach_flags=BEFORE | LINK, relative_fd=link)

    assert caller.ids(LO, ON) == [two, one]


def test_one_takes_the_place_of_another(caller: HookCaller) -> None:
    fds, (one, two, three) = programs(caller, 3)
    for fd in fds[:2]:
        caller.attach(LO, fd, ON)
    caller.attach(LO, fds[2], ON, attach_flags=REPLACE, replace_bpf_fd=fds[0])

    assert caller.ids(LO, ON) == [three, two]
    assert one not in caller.ids(LO, ON)


def test_a_program_stands_there_once(caller: HookCaller) -> None:
    (fd,), _ = programs(caller, 1)
    caller.attach(LO, fd, ON)

    assert caller.attach(LO, fd, ON) == -EEXIST


def test_what_a_link_holds_is_not_replaced_or_detached_by_others(caller: HookCaller) -> None:
    (held, other), _ = programs(caller, 2)
    caller.good_link(LO, held, ON)

    replaced = caller.attach(LO, other, ON, attach_flags=REPLACE, replace_bpf_fd=held)

    assert (replaced, caller.detach(LO, held, ON)) == (-EBUSY, -EBUSY)


def test_each_change_is_a_revision_that_others_can_expect(caller: HookCaller) -> None:
    (one, two), _ = programs(caller, 2)
    caller.attach(LO, one, ON, expected_revision=1)

    assert caller.attach(LO, two, ON, expected_revision=1) == -ESTALE
    assert caller.attach(LO, two, ON, expected_revision=2) == 0


def test_wishes_that_disagree_and_anchors_that_are_absent(caller: HookCaller) -> None:
    (one, two, three), _ = programs(caller, 3)
    caller.attach(LO, one, ON)

    assert caller.attach(LO, two, ON, attach_flags=BEFORE | AFTER) == -ERANGE
    assert caller.attach(LO, two, ON, attach_flags=BEFORE, relative_fd=three) == -ENOENT
    assert caller.attach(LO, two, ON, relative_fd=one) == -EINVAL


def test_detach_takes_the_last_unless_told_otherwise(caller: HookCaller) -> None:
    fds, (one, two, three) = programs(caller, 3)
    for fd in fds:
        caller.attach(LO, fd, ON)
    caller.detach(LO, 0, ON)
    after_last = caller.ids(LO, ON)
    caller.detach(LO, 0, ON, attach_flags=BEFORE)

    assert after_last == [one, two]
    assert caller.ids(LO, ON) == [two]
    assert three not in after_last


def test_an_empty_chain_begins_again(caller: HookCaller) -> None:
    (one,), _ = programs(caller, 1)
    caller.attach(LO, one, ON)
    caller.detach(LO, one, ON)

    assert caller.ids(LO, ON) == []
    assert caller.attach(LO, one, ON, expected_revision=1) == 0


def test_64_programs_fit(caller: HookCaller) -> None:
    fds, ids = programs(caller, 65)
    results = [caller.attach(LO, fd, ON) for fd in fds]

    assert results == [0] * 64 + [-ERANGE]
    assert caller.ids(LO, ON) == ids[:64]
