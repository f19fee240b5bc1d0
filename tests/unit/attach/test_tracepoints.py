"""Tracepoints of a world: raw programs, perf events, what TASK_FD_QUERY says of them."""

import ctypes
import errno
import os
import time

import pytest

from skep.attach.perf_events import PerfEvent
from skep.runtime.world import World
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands, infos
from support.caller import Caller
from support.iterated import offset
from support.traced import (
    ARRAY,
    EXIT_ZERO,
    PERF_EVENT,
    RAW_TRACEPOINT,
    SOCKET_FILTER,
    TRACEPOINT,
    code,
    count,
    good,
    number,
    open_raw,
    store,
)

SET_BPF = 0x40042408
ON_PERF_EVENT = 41
FIELDS = ("void *skbaddr", "unsigned short protocol", "char name[6]")


@pytest.fixture
def caller() -> Caller:
    caller = Caller(Subsystem())
    caller.subsystem.state.world.tracepoints.declare("skb:kfree_skb", *FIELDS)
    return caller


def array(caller: Caller) -> int:
    return good(caller, caller.map(ARRAY))


def seen(load: str, out: int, kind: int, caller: Caller, result: int = 0) -> int:
    """A program that stores what *load* leaves in r6, and returns *result*."""
    text = f"r9 = r1\n{load}\n{store()}\nr0 = {result}\nexit"
    return good(caller, caller.program(code(text, out=out), kind))


def test_a_raw_program_sees_arguments_and_cookie(caller: Caller) -> None:
    point = caller.subsystem.state.world.tracepoint("skb:kfree_skb")
    first, second = array(caller), array(caller)
    argument = seen("r6 = *(u64 *)(r9 + 8)", first, RAW_TRACEPOINT, caller)
    cookie = seen("r1 = r9\ncall 174\nr6 = r0", second, RAW_TRACEPOINT, caller)
    good(caller, open_raw(caller, argument, "kfree_skb"))
    good(caller, open_raw(caller, cookie, "kfree_skb", cookie=77))

    assert point.fire(0x1000, 0x806, b"eth0")
    assert (number(caller, first), number(caller, second)) == (0x806, 77)


def test_closing_the_link_ends_the_runs(caller: Caller) -> None:
    point = caller.subsystem.state.world.tracepoint("kfree_skb")
    out = array(caller)
    program = good(
        caller, caller.program(code(count() + "\nr0 = 0\nexit", out=out), RAW_TRACEPOINT)
    )
    link = good(caller, open_raw(caller, program, "kfree_skb"))
    point.fire(0, 0, b"")
    caller.subsystem.close(link)
    point.fire(0, 0, b"")

    assert number(caller, out) == 1


def test_a_tracepoint_that_is_not_declared_is_enoent(caller: Caller) -> None:
    program = good(caller, caller.program(EXIT_ZERO, RAW_TRACEPOINT))

    assert open_raw(caller, program, "kfree_sk") == -errno.ENOENT
    assert open_raw(caller, program, "skb:kfree_skb") == -errno.ENOENT


def test_arguments_beyond_the_tracepoint_are_einval(caller: Caller) -> None:
    program = seen("r6 = *(u64 *)(r9 + 24)", array(caller), RAW_TRACEPOINT, caller)

    assert open_raw(caller, program, "kfree_skb") == -errno.EINVAL


def test_a_tracepoint_program_reads_the_record(caller: Caller) -> None:
    subsystem, out = caller.subsystem, array(caller)
    point = subsystem.state.world.tracepoint("kfree_skb")
    program = seen("r6 = *(u16 *)(r9 + 16)", out, TRACEPOINT, caller, result=1)
    event = subsystem.perf_event_open(2, point.id)
    assert subsystem.ioctl(event, SET_BPF, program) == 0

    assert point.fire(0x1000, 0x806, b"eth0")
    assert number(caller, out) == 0x806


def test_a_perf_event_holds_its_program(caller: Caller) -> None:
    subsystem = caller.subsystem
    program = good(caller, caller.program(EXIT_ZERO, TRACEPOINT))
    event = subsystem.perf_event_open(2, subsystem.state.world.tracepoint("kfree_skb").id)
    subsystem.ioctl(event, SET_BPF, program)
    subsystem.close(program)
    assert caller.call(commands.PROG_GET_NEXT_ID, start_id=0) == 0
    subsystem.close(event)

    assert caller.call(commands.PROG_GET_NEXT_ID, start_id=0) == -errno.ENOENT


def test_one_program_that_returns_0_drops_the_record_for_all(caller: Caller) -> None:
    subsystem = caller.subsystem
    point = subsystem.state.world.tracepoint("kfree_skb")
    events = [subsystem.perf_event_open(2, point.id) for _ in range(2)]
    keep, drop = (
        good(caller, caller.program(code(f"r0 = {value}\nexit"), TRACEPOINT)) for value in (1, 0)
    )
    subsystem.ioctl(events[0], SET_BPF, keep)
    kept = point.fire(1, 2, b"")
    subsystem.ioctl(events[1], SET_BPF, drop)

    assert (kept, point.fire(1, 2, b"")) == (True, False)


def test_a_program_may_be_on_a_tracepoint_once(caller: Caller) -> None:
    subsystem = caller.subsystem
    point = subsystem.state.world.tracepoint("kfree_skb")
    program = good(caller, caller.program(EXIT_ZERO, TRACEPOINT))
    for expected in (0, errno.EEXIST):
        event = subsystem.perf_event_open(2, point.id)
        link = caller.call(
            commands.LINK_CREATE, prog_fd=program, target_fd=event, attach_type=ON_PERF_EVENT
        )
        assert (link >= 0) if expected == 0 else (link == -expected)


def test_reading_beyond_the_record_is_eacces(caller: Caller) -> None:
    subsystem = caller.subsystem
    point = subsystem.state.world.tracepoint("kfree_skb")
    program = seen("r6 = *(u64 *)(r9 + 24)", array(caller), TRACEPOINT, caller)
    event = subsystem.perf_event_open(2, point.id)

    assert subsystem.ioctl(event, SET_BPF, program) == -errno.EACCES


def test_a_software_event_shows_its_sample(caller: Caller) -> None:
    subsystem, out = caller.subsystem, array(caller)
    program = seen("r6 = *(u64 *)(r9 + 176)", out, PERF_EVENT, caller)
    fd = subsystem.perf_event_open(1, 0)
    subsystem.ioctl(fd, SET_BPF, program)
    event = subsystem.state.objects.get("TEST", fd).target
    event.overflow(address=0xABCD)  # type: ignore[attr-defined]  # a PerfEvent

    assert number(caller, out) == 0xABCD


def test_a_world_has_no_hardware_counters() -> None:
    assert Subsystem().perf_event_open(0, 0) == -errno.ENOENT


def test_task_fd_query_names_program_and_tracepoint(caller: Caller) -> None:
    program = good(caller, caller.program(EXIT_ZERO, RAW_TRACEPOINT))
    link = good(caller, open_raw(caller, program, "kfree_skb"))
    place = caller.keep(b"", 64)
    asked = {"pid": os.getpid(), "fd": link, "buf": place, "buf_len": 64}

    assert caller.call(commands.TASK_FD_QUERY, **asked) == 0
    answer = caller.attr
    assert isinstance(answer, commands.TaskFdQuery)
    assert (answer.prog_id, answer.fd_type, answer.buf_len) == (1, 0, 9)
    assert ctypes.string_at(place) == b"kfree_skb"
    assert caller.call(commands.TASK_FD_QUERY, **asked | {"buf_len": 5}) == -errno.ENOSPC
    assert ctypes.string_at(place) == b"kfre"
    assert caller.call(commands.TASK_FD_QUERY, **asked | {"fd": program}) == -524


def test_link_info_gives_the_name_and_the_cookie(caller: Caller) -> None:
    program = good(caller, caller.program(EXIT_ZERO, RAW_TRACEPOINT))
    link = good(caller, open_raw(caller, program, "kfree_skb", cookie=5))
    place = caller.keep(b"", 64)
    filled = infos.RawTracepointLinkInfo(tp_name=place, tp_name_len=64)
    info = caller.info(link, infos.RawTracepointLinkInfo, filled)

    assert isinstance(info, infos.RawTracepointLinkInfo)
    assert (info.type, info.prog_id, info.tp_name_len, info.cookie) == (1, 1, 10, 5)
    assert ctypes.string_at(place) == b"kfree_skb"


def test_a_socket_filter_is_not_for_tracepoints(caller: Caller) -> None:
    program = good(caller, caller.program(EXIT_ZERO, SOCKET_FILTER))

    assert open_raw(caller, program, "kfree_skb") == -errno.EINVAL


def test_runs_are_counted_while_statistics_are_on(caller: Caller) -> None:
    point = caller.subsystem.state.world.tracepoint("kfree_skb")
    program = good(caller, caller.program(EXIT_ZERO, RAW_TRACEPOINT))
    good(caller, open_raw(caller, program, "kfree_skb"))
    good(caller, caller.call(commands.ENABLE_STATS, type=0))
    for _ in range(3):
        point.fire(0, 0, b"")
    info = caller.info(program, infos.ProgInfo)

    assert isinstance(info, infos.ProgInfo)
    assert info.run_cnt == 3


def test_the_format_is_that_of_tracefs(caller: Caller) -> None:
    text = caller.subsystem.state.world.tracepoint("kfree_skb").format()

    assert "\tfield:unsigned short protocol;\toffset:16;\tsize:2;\tsigned:0;\n" in text
    assert "\tfield:char name[6];\toffset:18;\tsize:6;\tsigned:1;\n" in text


def test_a_string_of_any_length_stands_behind_the_record() -> None:
    points = Subsystem().state.world.tracepoints
    point = points.declare("sched:note", "int prio", "__data_loc char[] text")
    record = point.record(3, "hello")

    assert record[8:16] == bytes.fromhex("03000000 1000 0600")
    assert record[16:22] == b"hello\0"


def test_a_typed_program_follows_pointers_into_kernel_structs(caller: Caller) -> None:
    subsystem = caller.subsystem
    world, btf = subsystem.state.world, subsystem.kernel_types
    if btf is None:
        pytest.skip("there is no kernel BTF")
    target = btf.by_name("btf_trace_sched_switch")
    assert target
    point = world.tracepoints.declare("sched:sched_switch", arguments=4)
    task = world.objects.make(btf, "task_struct", pid=77, comm=b"worker")
    out = array(caller)
    load = f"r6 = *(u64 *)(r9 + 8)\nr6 = *(u32 *)(r6 + {offset(btf, 'task_struct', 'pid')})"
    text = f"r9 = r1\n{load}\n{store()}\nr0 = 0\nexit"
    program = good(caller, caller.program(
        code(text, out=out), 26, expected_attach_type=23, attach_btf_id=target))  # fmt: skip
    link = caller.call(commands.LINK_CREATE, prog_fd=program, attach_type=23, word24=5)
    good(caller, link)
    point.fire(0, task.address, 0, 0)
    assert number(caller, out) == 77
    point.fire(0, 0x10, 0, 0)  # no kernel struct stands there
    assert number(caller, out) == 0
    caller.subsystem.close(link)

    assert good(caller, open_raw(caller, program, "")) >= 0
    info = caller.info(link, infos.RawTracepointLinkInfo)
    assert isinstance(info, infos.RawTracepointLinkInfo)
    assert (info.type, info.tp_name_len) == (1, len("sched_switch") + 1)


def test_a_writable_program_changes_what_the_first_argument_points_to(caller: Caller) -> None:
    points = caller.subsystem.state.world.tracepoints
    point = points.declare("test:lend", "void *what", writable=8)
    text = "r1 = *(u64 *)(r1 + 0)\n*(u64 *)(r1 + 0) = 99\nr0 = 0\nexit"
    program = good(caller, caller.program(code(text), 24))
    good(caller, open_raw(caller, program, "lend"))
    memory = ctypes.c_uint64(1)
    point.fire(ctypes.addressof(memory))

    assert memory.value == 99


PRINTS = """
    r6 = 0x756c25
    *(u64 *)(r10 - 16) = r6
    r1 = r10
    r1 += -16
    r2 = 4
    r3 = 1
    call 6
"""


def printing(kind: int) -> tuple[Caller, int, int]:
    """A program that counts and prints; every line that is printed is one more event."""

    def fire(_line: str) -> None:
        world.tracepoint("test:again").fire(1)

    world = World(printk=fire)
    world.tracepoints.declare("test:again", "u64 value")
    caller = Caller(Subsystem(world))
    out = array(caller)
    text = f"{PRINTS}\n{count()}\nr0 = 1\nexit"
    return caller, out, good(caller, caller.program(code(text, out=out), kind))


def misses(caller: Caller, program: int) -> int:
    info = caller.info(program, infos.ProgInfo)
    assert isinstance(info, infos.ProgInfo)
    text = caller.subsystem.fdinfo(program)
    assert f"recursion_misses:\t{info.recursion_misses}\n" in text
    return info.recursion_misses


def test_a_raw_program_does_not_run_within_itself() -> None:
    # Each run fired the event again: the first event never ended.
    caller, out, program = printing(RAW_TRACEPOINT)
    good(caller, open_raw(caller, program, "again"))
    point = caller.subsystem.state.world.tracepoint("test:again")

    assert point.fire(1)
    assert point.fire(1)
    assert (number(caller, out), misses(caller, program)) == (2, 2)


def test_another_raw_program_runs_within_it() -> None:
    caller, out, program = printing(RAW_TRACEPOINT)
    point = caller.subsystem.state.world.tracepoint("test:again")
    other = good(caller, caller.program(code(f"{count()}\nr0 = 0\nexit", out=out), RAW_TRACEPOINT))
    for each in (program, other):
        good(caller, open_raw(caller, each, "again"))
    point.fire(1)

    assert (number(caller, out), misses(caller, program), misses(caller, other)) == (3, 1, 0)


def test_programs_on_trace_events_do_not_run_within_one_another() -> None:
    caller, out, program = printing(TRACEPOINT)
    point = caller.subsystem.state.world.tracepoint("test:again")
    event = good(caller, caller.subsystem.perf_event_open(2, point.id))
    assert caller.subsystem.ioctl(event, SET_BPF, program) == 0
    kept = caller.subsystem.state.objects.get("TEST", event).target

    assert point.fire(1)
    assert (number(caller, out), misses(caller, program)) == (1, 1)
    assert isinstance(kept, PerfEvent)
    assert kept.count == 1  # the record of the inner event is dropped


def test_what_a_link_costs_does_not_depend_on_how_many_there_are(caller: Caller) -> None:
    program = good(caller, caller.program(EXIT_ZERO, RAW_TRACEPOINT))

    def cost(count: int) -> float:
        began = time.process_time()
        links = [good(caller, open_raw(caller, program, "kfree_skb")) for _ in range(count)]
        for link in links:
            caller.subsystem.close(link)
        return (time.process_time() - began) / count

    few = min(cost(200) for _ in range(3))
    assert cost(8000) < 4 * few  # each end compared with every other: 10 times and more
