"""Iterators, raw tracepoints and perf events: the running kernel answers the same.

Iterators run over maps that the test made; raw tracepoints only where they are refused; perf
events count this process.
"""

import ctypes
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from skep.loader.load import load
from skep.loader.reader import read_object
from skep.uapi import commands, infos
from support.iterated import TRACE_ITER, elements, numbers, write
from support.running_kernel import missing
from support.traced import EXIT_ZERO, PERF_EVENT, RAW_TRACEPOINT, SOCKET_FILTER, code, open_raw
from support.twin_iterators import KERNEL_TYPES, Side, sides

OBJECTS = Path(__file__).parents[1] / "objects"
WHY = missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

HASH, ARRAY, PERCPU_HASH, PERCPU_ARRAY, LRU, LRU_PERCPU, LPM, QUEUE = 1, 2, 5, 6, 9, 10, 11, 22
PERCPU = {PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU}
NOTHING = "r0 = 0\nexit"
NO_FD = 0x7FFF_FFF0
ON_PERF_EVENT, TRACE_RAW_TP = 41, 23
CPUS = os.sysconf("SC_NPROCESSORS_CONF")


@pytest.fixture
def both() -> Iterator[tuple[Side, Side]]:
    pair = sides()
    yield pair
    for side in pair:
        side.close_all()


def same(both: tuple[Side, Side], ask: Callable[[Side], object]) -> object:
    """What both sides answer."""
    kernel, ours = (ask(side) for side in both)
    assert ours == kernel
    return kernel


def filled(side: Side, kind: int, entries: int, value: int = 8, key: int = 4) -> int:
    room = 512 if kind in (LRU, LRU_PERCPU) else entries  # the kernel evicts before it is full
    fd = side.map(kind, key=key, value=value, entries=room)
    assert fd >= 0
    for number in range(entries):
        data = (number + 1).to_bytes(value, "little")
        copies = b"".join(
            (100 * cpu + number).to_bytes(value, "little").ljust(-(-value // 8) * 8, b"\0")
            for cpu in range(CPUS)
        )
        side.store(fd, number.to_bytes(key, "little"), copies if kind in PERCPU else data)
    return fd


def of_map(fd: int) -> bytes:
    return struct.pack("=I", fd)


@pytest.mark.parametrize("kind", [ARRAY, PERCPU_ARRAY, HASH, LRU, PERCPU_HASH, LRU_PERCPU])
@pytest.mark.parametrize("value", [8, 24])
def test_elements_are_the_same(both: tuple[Side, Side], kind: int, value: int) -> None:
    last = 8 * (CPUS - 1) if kind in PERCPU and value == 8 else 0

    def ask(side: Side) -> object:
        text = elements(4, 8).replace("(r8 + 0)", f"(r8 + {last})")
        link = side.iterator_link(
            side.iterator_program("bpf_map_elem", text), of_map(filled(side, kind, 9, value))
        )
        data = b"".join(part for part in side.chunks(link, 4096) if isinstance(part, bytes))
        return sorted(struct.iter_unpack("=QQ", data[:-8])), data[-8:]

    rows, end = same(both, ask)  # type: ignore[misc]  # a pair
    assert (len(rows), end) == (9, b"\xff" * 8)


def noisy(sizes: list[int]) -> str:
    """A program that writes these many bytes for each object, and fewer at the end."""
    fill = "\n".join(f"*(u64 *)(r10 - {at}) = {at}" for at in range(8, 520, 8))
    body = "\n".join(write(size, "r10 - 512") for size in sizes)
    return f"""
        {fill}
        r6 = r1
        r7 = *(u64 *)(r6 + 16)
        if r7 == 0 goto last
        {body}
        r0 = 0
        exit
        last:
        {write(sizes[0] // 2 + 1, "r10 - 512")}
        r0 = 0
        exit"""


@pytest.mark.parametrize("seed", range(40))
def test_reads_are_cut_at_the_same_places(both: tuple[Side, Side], seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.randrange(1, 513) for _ in range(rng.choice((1, 1, 3, 20, 63, 64, 65, 70)))]
    entries = rng.choice((0, 1, 2, 5, 40)) or 1
    room = rng.choice((1, 7, 100, 511, 4096, 32767, 32768, 1 << 20))

    def ask(side: Side) -> object:
        program = side.iterator_program("bpf_map_elem", noisy(sizes))
        link = side.iterator_link(program, of_map(filled(side, ARRAY, entries)))
        return side.chunks(link, room, most=60)

    same(both, ask)


@pytest.mark.parametrize("last", [510, 511, 512])
def test_a_buffer_that_is_just_full_is_an_overflow(both: tuple[Side, Side], last: int) -> None:
    def ask(side: Side) -> object:
        program = side.iterator_program("bpf_map_elem", noisy([512] * 63 + [last]))
        link = side.iterator_link(program, of_map(filled(side, ARRAY, 2)))
        return [len(part) if isinstance(part, bytes) else part
                for part in side.chunks(link, 1 << 20, most=5)]  # fmt: skip

    same(both, ask)


@pytest.mark.parametrize("size", [15, 16, 17])
def test_no_object_is_shown_before_it_is_asked_for(both: tuple[Side, Side], size: int) -> None:
    def ask(side: Side) -> object:
        fd = filled(side, ARRAY, 3)
        program = side.iterator_program("bpf_map_elem", elements(4, 8))
        link = side.iterator_link(program, of_map(fd))
        reader = side.call(commands.ITER_CREATE, link_fd=link)
        seen = []
        for turn in range(6):
            seen.append(side.subsystem.read(reader, size))
            side.store(fd, (1).to_bytes(4, "little"), struct.pack("=Q", 1000 + turn))
        return seen

    same(both, ask)


def test_a_program_that_returns_1_is_asked_again(both: tuple[Side, Side]) -> None:
    def ask(side: Side) -> object:
        program = side.iterator_program("bpf_map_elem", "r0 = 1\nexit")
        link = side.iterator_link(program, of_map(filled(side, ARRAY, 3)))
        return side.chunks(link, 100, most=4)

    same(both, ask)


@pytest.mark.slow
def test_a_million_objects_without_output_are_eagain(both: tuple[Side, Side]) -> None:
    def ask(side: Side) -> object:
        fd = side.map(ARRAY, entries=1_000_050)
        assert fd >= 0
        link = side.iterator_link(side.iterator_program("bpf_map_elem", NOTHING), of_map(fd))
        return side.chunks(link, 100)

    assert same(both, ask) == [-11, b""]


@pytest.mark.parametrize("seed", range(60))
def test_links_of_iterators_are_refused_alike(both: tuple[Side, Side], seed: int) -> None:
    def ask(side: Side) -> object:
        rng = random.Random(seed)
        target = rng.choice(("bpf_map", "bpf_map_elem", "bpf_map_elem", "bpf_prog", "task"))
        program = side.iterator_program(target, NOTHING)
        map_ = filled(side, rng.choice((ARRAY, HASH)), 1)
        word = rng.choice((0, map_, program, NO_FD, 1))
        info = struct.pack("=4I", word, rng.choice((0, 0, 0, 9)), 0, rng.choice((0, 0, 7)))
        info += bytes(rng.choice((0, 0, 4, 40))) + rng.choice((b"", b"", b"\1"))
        members: dict[str, int] = {}
        for name, values in (
            ("flags", (1, 4)),
            ("target_fd", (1, map_)),
            ("attach_type", (0, 23, 41, 77)),
            ("prog_fd", (map_, NO_FD)),
            ("word24", (0, 3, 8, 5000)),
            ("word16", (0, 0x10)),
            ("word56", (1,)),
        ):
            if rng.random() < 0.15:
                members[name] = rng.choice(values)
        link = side.iterator_link(program, info[: rng.choice((4, 8, 16, 99))], **members)
        return min(link, 0)

    same(both, ask)


@pytest.mark.parametrize("kind", [ARRAY, HASH, PERCPU_ARRAY, PERCPU_HASH, LPM, QUEUE])
@pytest.mark.parametrize(("key", "value"), [(4, 4), (4, 8), (8, 8), (8, 4)])
def test_maps_must_be_as_large_as_the_program_thinks(
    both: tuple[Side, Side], kind: int, key: int, value: int
) -> None:
    def ask(side: Side) -> object:
        answers = []
        for size in (4, 8, 16):
            sizes = {QUEUE: (0, size), LPM: (8, size)}.get(kind, (4, size))
            fd = side.map(kind, key=sizes[0], value=sizes[1], flags=1 if kind == LPM else 0)
            assert fd >= 0
            program = side.iterator_program("bpf_map_elem", elements(key, value))
            answers.append(min(side.iterator_link(program, of_map(fd)), 0))
        return answers

    same(both, ask)


def test_the_struct_of_a_map_has_the_same_members(both: tuple[Side, Side]) -> None:
    names = ("id", "map_type", "key_size", "value_size", "max_entries", "map_flags")
    btf = KERNEL_TYPES.kernel_types
    assert btf is not None
    text = numbers(btf, "bpf_map", *names)

    def ask(side: Side) -> object:
        made = {}
        for kind, key, value, entries, flags in (
            (ARRAY, 4, 24, 3, 0), (HASH, 5, 9, 7, 1), (LPM, 8, 4, 2, 1), (QUEUE, 0, 4, 6, 0),
        ):  # fmt: skip
            fd = side.map(kind, key=key, value=value, entries=entries, flags=flags)
            info = side.info(fd, infos.MapInfo)
            assert isinstance(info, infos.MapInfo)
            made[info.id] = kind
        link = side.iterator_link(side.iterator_program("bpf_map", text))
        data = b"".join(part for part in side.chunks(link, 65536) if isinstance(part, bytes))
        rows = struct.iter_unpack("=Q6I", data[:-8])
        return [row[2:] for row in rows if row[1] in made]

    assert len(same(both, ask)) == 4  # type: ignore[arg-type]  # a list


def test_the_program_of_an_iterator_is_replaced_alike(both: tuple[Side, Side]) -> None:
    def ask(side: Side) -> object:
        program, other = (side.iterator_program("bpf_map_elem", NOTHING) for _ in range(2))
        strange = side.iterator_program("bpf_map", NOTHING)
        link = side.iterator_link(program, of_map(filled(side, ARRAY, 1)))
        return [
            side.call(commands.LINK_UPDATE, link_fd=link, new_prog_fd=new, old_prog_fd=old,
                      flags=flags)
            for new, old, flags in (
                (strange, 0, 0), (other, other, 4), (other, program, 4), (program, other, 0),
                (other, 0, 8), (NO_FD, 0, 0), (program, 0, 0),
            )
        ] + [side.call(commands.LINK_DETACH, link_fd=link)]  # fmt: skip

    same(both, ask)


@pytest.mark.parametrize("room", [0, 1, 4, 12, 13, 64])
@pytest.mark.parametrize("placed", [False, True])
def test_link_info_names_the_target(both: tuple[Side, Side], room: int, placed: bool) -> None:
    def ask(side: Side) -> object:
        program = side.iterator_program("bpf_map_elem", NOTHING)
        link = side.iterator_link(program, of_map(filled(side, ARRAY, 1)))
        name = side.keep(b"", 64)
        asked = infos.IterLinkInfo(target_name=name if placed else 0, target_name_len=room)
        place = side.keep(asked.encode(), 64)
        answer = side.call(commands.OBJ_GET_INFO_BY_FD, bpf_fd=link, info_len=40, info=place)
        info = infos.IterLinkInfo.decode(ctypes.string_at(place, 40))
        return answer, info.type, info.target_name_len, ctypes.string_at(name)

    same(both, ask)


def shown(side: Side, fd: int) -> list[str]:
    """fdinfo from link_type on, without what numbers objects."""
    text = side.subsystem.fdinfo(fd)
    lines = text[text.index("link_type") :].splitlines()
    return [line for line in lines if not line.startswith(("link_id", "prog_id", "map_id"))]


def test_fdinfo_of_links_is_the_same(both: tuple[Side, Side]) -> None:
    def ask(side: Side) -> object:
        over_map = side.iterator_link(
            side.iterator_program("bpf_map_elem", NOTHING), of_map(filled(side, ARRAY, 1))
        )
        over_tasks = [
            side.iterator_link(side.iterator_program("task", NOTHING), struct.pack("=II", tid, pid))
            for tid, pid in ((0, 0), (7, 0), (0, 9))
        ]
        event = side.subsystem.perf_event_open(1, 9)
        perf = side.call(commands.LINK_CREATE, prog_fd=side.program(EXIT_ZERO, PERF_EVENT),
                         target_fd=event, attach_type=ON_PERF_EVENT, word16=7)  # fmt: skip
        lines = [shown(side, fd) for fd in (over_map, *over_tasks, perf)]
        side.subsystem.close(event)
        return lines

    same(both, ask)


# --- raw tracepoints: refusals only ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "sched_swatch", "sched:sched_switch", "x" * 200, " "])
@pytest.mark.parametrize("kind", [RAW_TRACEPOINT, SOCKET_FILTER, 5, 24])
def test_raw_tracepoints_are_refused_alike(both: tuple[Side, Side], name: str, kind: int) -> None:
    both[1].subsystem.state.world.tracepoints.declare("sched:sched_switch", arguments=4)

    def ask(side: Side) -> object:
        return open_raw(side, side.program(EXIT_ZERO, kind), name)

    assert isinstance(answer := same(both, ask), int)
    assert answer < 0


@pytest.mark.parametrize("at", [32, 88])
def test_arguments_beyond_a_tracepoint_are_refused_alike(both: tuple[Side, Side], at: int) -> None:
    both[1].subsystem.state.world.tracepoints.declare("sched:sched_switch", arguments=4)
    text = code(f"r0 = *(u64 *)(r1 + {at})\nr0 = 0\nexit")

    assert same(both, lambda side: open_raw(
        side, side.program(text, RAW_TRACEPOINT), "sched_switch")) == -22  # fmt: skip


def test_typed_programs_are_not_given_a_name(both: tuple[Side, Side]) -> None:
    btf = KERNEL_TYPES.kernel_types
    assert btf is not None
    target = btf.by_name("btf_trace_sched_switch")
    assert target

    def ask(side: Side) -> object:
        program = side.program(EXIT_ZERO, 26, expected_attach_type=TRACE_RAW_TP,
                               attach_btf_id=target)  # fmt: skip
        return open_raw(side, program, "sched_switch"), open_raw(side, NO_FD, "sched_switch")

    same(both, ask)


# --- perf events and TASK_FD_QUERY ----------------------------------------------------------------


def test_perf_links_are_refused_alike(both: tuple[Side, Side]) -> None:
    def ask(side: Side) -> object:
        event = side.subsystem.perf_event_open(1, 9)  # a dummy
        assert event >= 0
        programs = [side.program(EXIT_ZERO, kind) for kind in (PERF_EVENT, PERF_EVENT, 5)]
        answers = [
            side.call(commands.LINK_CREATE, prog_fd=program, target_fd=target,
                      attach_type=attach_type, flags=flags)
            for program, target, attach_type, flags in (
                (programs[0], event, ON_PERF_EVENT, 1),
                (programs[0], NO_FD, ON_PERF_EVENT, 0),
                (programs[0], programs[0], ON_PERF_EVENT, 0),
                (programs[0], event, TRACE_ITER, 0),
                (programs[2], event, ON_PERF_EVENT, 0),
                (programs[0], event, ON_PERF_EVENT, 0),
                (programs[1], event, ON_PERF_EVENT, 0),
            )
        ]  # fmt: skip
        side.subsystem.close(event)
        return [min(answer, 0) for answer in answers]

    assert same(both, ask) == [-22, -9, -9, -22, -22, 0, -17]


def test_a_perf_links_info_is_the_same(both: tuple[Side, Side]) -> None:
    def ask(side: Side) -> object:
        event = side.subsystem.perf_event_open(1, 9)
        link = side.call(commands.LINK_CREATE, prog_fd=side.program(EXIT_ZERO, PERF_EVENT),
                         target_fd=event, attach_type=ON_PERF_EVENT, word16=0x1234)  # fmt: skip
        info = side.info(link, infos.EventLinkInfo)
        assert isinstance(info, infos.EventLinkInfo)
        answer = side.call(commands.TASK_FD_QUERY, pid=os.getpid(), fd=event)
        side.subsystem.close(event)
        return info.type, info.event, info.config, info.event_type, info.cookie, answer

    same(both, ask)


def test_task_fd_query_refuses_alike(both: tuple[Side, Side]) -> None:
    def ask(side: Side) -> object:
        program = side.iterator_program("bpf_map", NOTHING)
        link = side.iterator_link(program)
        event = side.subsystem.perf_event_open(1, 9)
        return [
            side.call(commands.TASK_FD_QUERY, pid=pid, fd=fd, flags=flags)
            for pid, fd, flags in (
                (os.getpid(), link, 1), (0x7FFF_FFF0, link, 0), (os.getpid(), NO_FD, 0),
                (os.getpid(), link, 0), (os.getpid(), program, 0), (os.getpid(), event, 0),
            )
        ]  # fmt: skip

    assert same(both, ask) == [-22, -2, -9, -524, -524, -2]


# --- an object file on both sides -----------------------------------------------------------------


def test_the_iterators_of_an_object_write_the_same() -> None:
    spec = read_object((OBJECTS / "tracing.bpf.o").read_bytes())
    wanted = ("list_maps", "list_dropped")

    def lines(syscall: object, side: Side) -> tuple[list[str], list[list[str]]]:
        with load(spec, cast("Any", syscall), programs=wanted) as loaded:
            fd = loaded.maps["dropped"]
            for key in (0x0806, 0x86DD):
                side.store(fd, struct.pack("=I", key), struct.pack("=Q", 3 * key))
            info = of_map(fd)
            elements_ = side.iterator_link(loaded.programs["list_dropped"].fd, info)
            maps = side.iterator_link(loaded.programs["list_maps"].fd)
            texts = [
                b"".join(part for part in side.chunks(link, 65536) if isinstance(part, bytes))
                for link in (elements_, maps)
            ]
            side.close_all()
        rows = [line.split() for line in texts[1].decode().splitlines()]
        shown = [row for row in rows if row[0] in ("name", "dropped", "tracing.bss")]
        return sorted(texts[0].decode().splitlines()), shown

    kernel, ours = sides()
    theirs = lines(kernel.subsystem, kernel)
    assert lines(ours.subsystem, ours) == theirs
    assert theirs[0] == ["0806: 6162", "86dd: 103575"]
