"""Programs of socket maps, and filters of sockets."""

import ctypes
from errno import EBADF, EBUSY, EINVAL, ENOENT, ENOPROTOOPT, EOPNOTSUPP, EPERM

import pytest

from skep.syscall.objects import Kind
from skep.syscall.sockets import SO_ATTACH_BPF, SO_DETACH_BPF, SO_LOCK_FILTER, SOL_SOCKET
from skep.uapi.flags import AttachType, MapType, ProgType
from support.hook_caller import SAMPLE, HookCaller

VERDICT = AttachType.SK_MSG_VERDICT
STREAM, SKB = AttachType.SK_SKB_STREAM_VERDICT, AttachType.SK_SKB_VERDICT


@pytest.fixture
def caller() -> HookCaller:
    return HookCaller()


def verdict(caller: HookCaller) -> int:
    return caller.returning(1, ProgType.SK_MSG, VERDICT)


@pytest.mark.parametrize("kind", [MapType.SOCKMAP, MapType.SOCKHASH])
def test_a_socket_map_has_one_program_of_each_kind(caller: HookCaller, kind: MapType) -> None:
    target, first, second = caller.map(kind, 4, 4), verdict(caller), verdict(caller)
    caller.attach(target, first, VERDICT)
    before = caller.ids(target, VERDICT)
    caller.attach(target, second, VERDICT)

    assert before == [caller.id_of(first)]
    assert caller.ids(target, VERDICT) == [caller.id_of(second)]
    assert caller.detach(target, first, VERDICT) == -ENOENT
    assert caller.detach(target, second, VERDICT) == 0
    assert caller.ids(target, VERDICT) == []


def test_a_stream_verdict_excludes_an_skb_verdict(caller: HookCaller) -> None:
    target, prog = caller.map(MapType.SOCKMAP, 4, 4), caller.returning(1, ProgType.SK_SKB)
    caller.attach(target, prog, STREAM)

    assert caller.attach(target, prog, SKB) == -EBUSY


def test_other_maps_have_no_programs(caller: HookCaller) -> None:
    target = caller.map(MapType.ARRAY)

    assert caller.attach(target, verdict(caller), VERDICT) == -EOPNOTSUPP
    assert caller.link(target, verdict(caller), VERDICT) == -EINVAL


def test_a_link_keeps_others_off_until_it_goes(caller: HookCaller) -> None:
    target, held, other = caller.map(MapType.SOCKMAP, 4, 4), verdict(caller), verdict(caller)
    link = caller.good_link(target, held, VERDICT)
    told = caller.words(link)[4:6]

    assert told == (caller.id_of(target), VERDICT)
    assert caller.attach(target, other, VERDICT) == -EBUSY
    assert caller.update(link, other) == 0
    assert caller.ids(target, VERDICT) == [caller.id_of(other)]
    caller.subsystem.close(link)
    assert caller.ids(target, VERDICT) == []


def test_a_program_lives_as_long_as_the_map_that_it_is_attached_to(caller: HookCaller) -> None:
    target, prog = caller.map(MapType.SOCKMAP, 4, 4), verdict(caller)
    number, programs = caller.id_of(prog), caller.subsystem.state.objects
    caller.attach(target, prog, VERDICT)
    caller.subsystem.close(prog)
    held = programs._ids[Kind.PROG].get(number)
    caller.subsystem.close(target)

    assert held is not None
    assert number not in programs._ids[Kind.PROG]


def test_a_link_that_has_come_off_lets_go_of_the_map(caller: HookCaller) -> None:
    target, programs = caller.map(MapType.SOCKMAP, 4, 4), caller.subsystem.state.objects
    link = caller.good_link(target, verdict(caller), VERDICT)
    caller.subsystem.close(target)
    held = programs.count(Kind.MAP)

    assert caller.unlink(link) == 0
    assert (held, programs.count(Kind.MAP), programs.count(Kind.LINK)) == (1, 0, 1)
    assert caller.unlink(link) == 0
    caller.subsystem.close(link)


# --- sockets ------------------------------------------------------------------------------------


@pytest.mark.acceptance("M34")
def test_a_program_is_put_on_a_socket_by_its_descriptor(caller: HookCaller) -> None:
    socket = caller.subsystem.places.socket()
    program = ctypes.c_int(caller.returning(20, ProgType.SOCKET_FILTER))
    without = socket.deliver(SAMPLE)
    answer = caller.subsystem.setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, program.value)

    assert (answer, without, socket.deliver(SAMPLE)) == (0, SAMPLE, SAMPLE[:20])


@pytest.mark.acceptance("M34")
def test_a_filter_that_returns_0_lets_nothing_through(caller: HookCaller) -> None:
    socket, setsockopt = caller.subsystem.places.socket(), caller.subsystem.setsockopt
    setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, caller.returning(0, ProgType.SOCKET_FILTER))
    filtered = socket.deliver(SAMPLE)
    setsockopt(socket, SOL_SOCKET, SO_DETACH_BPF, 0)

    assert (filtered, socket.deliver(SAMPLE)) == (None, SAMPLE)


@pytest.mark.acceptance("M34")
def test_what_setsockopt_refuses(caller: HookCaller) -> None:
    socket, setsockopt = caller.subsystem.places.socket(), caller.subsystem.setsockopt
    filter_ = caller.returning(1, ProgType.SOCKET_FILTER)

    assert setsockopt(socket, SOL_SOCKET, SO_DETACH_BPF, 0) == -ENOENT
    assert setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, 12345) == -EBADF
    assert setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, caller.classifier()) == -EINVAL
    assert setsockopt(socket, SOL_SOCKET, 2, 1) == -ENOPROTOOPT
    assert setsockopt(socket, SOL_SOCKET, SO_LOCK_FILTER, 1) == 0
    assert setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, filter_) == -EPERM
    assert setsockopt(socket, SOL_SOCKET, SO_LOCK_FILTER, 0) == -EPERM
