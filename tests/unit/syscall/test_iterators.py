"""Iterators: links, sessions, reads; what programs see and what readers get."""

import ctypes
import os
import struct
from errno import E2BIG, EACCES, EAGAIN, EBADF, EINVAL, ENOSPC, EOPNOTSUPP, EPERM

import pytest

from skep.attach import iterators
from skep.btf.graph import Btf
from skep.errors import CommandError
from skep.runtime.world import Task, World
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands, infos
from support.caller import Caller
from support.iterated import TRACE_ITER, TRACING, elements, numbers, target_id, write
from support.traced import code, good

HASH, ARRAY, PERCPU_ARRAY, LPM_TRIE = 1, 2, 6, 11
NOT_OPEN = 1 << 30  # no process has so many files
END = b"\xff" * 8
U64_MAX = (1 << 64) - 1


@pytest.fixture
def caller() -> Caller:
    return Caller(Subsystem(World(cpus=2, task=Task(7, 6, comm="worker"))))


@pytest.fixture
def btf(caller: Caller) -> Btf:
    found = caller.subsystem.kernel_types
    if found is None:
        pytest.skip("there is no kernel BTF")
    return found


def program(caller: Caller, btf: Btf, target: str, text: str) -> int:
    return caller.program(
        code(text), TRACING, expected_attach_type=TRACE_ITER, attach_btf_id=target_id(btf, target)
    )


def link(caller: Caller, fd: int, info: bytes = b"", **members: int) -> int:
    if info:
        members |= {"word16": caller.keep(info), "word24": len(info)}
    return caller.call(commands.LINK_CREATE, prog_fd=fd, attach_type=TRACE_ITER, **members)


def opened(caller: Caller, fd: int, info: bytes = b"") -> int:
    made = good(caller, link(caller, fd, info))
    return good(caller, caller.call(commands.ITER_CREATE, link_fd=made))


def iterate(caller: Caller, btf: Btf, target: str, text: str, info: bytes = b"") -> int:
    return opened(caller, good(caller, program(caller, btf, target, text)), info)


def everything(caller: Caller, fd: int, size: int = 4096) -> bytes:
    parts = []
    while part := caller.subsystem.read(fd, size):
        parts.append(part)
    return b"".join(parts)


def of_map(fd: int) -> bytes:
    return struct.pack("=I", fd)


def test_maps_are_visited_in_order_of_their_ids(caller: Caller, btf: Btf) -> None:
    for entries in (3, 5, 9):
        good(caller, caller.map(ARRAY, entries=entries))
    fd = iterate(caller, btf, "bpf_map", numbers(btf, "bpf_map", "id", "max_entries"))
    rows = [struct.pack("=QII", seq, seq + 1, entries) for seq, entries in enumerate((3, 5, 9))]

    assert everything(caller, fd) == b"".join(rows) + END
    assert caller.subsystem.read(fd, 10) == b""  # the end is told once


@pytest.mark.parametrize("size", [1, 7, 16, 17, 4096])
def test_readers_of_any_size_get_the_same_bytes(caller: Caller, btf: Btf, size: int) -> None:
    for _ in range(5):
        good(caller, caller.map(ARRAY))
    fd = iterate(caller, btf, "bpf_map", numbers(btf, "bpf_map", "id"))

    expected = b"".join(struct.pack("=QI", seq, seq + 1) for seq in range(5)) + END
    assert everything(caller, fd, size) == expected


def test_every_opening_is_a_session_of_its_own(caller: Caller, btf: Btf) -> None:
    good(caller, caller.map(ARRAY))
    made = good(caller, link(caller, good(caller, program(
        caller, btf, "bpf_map", numbers(btf, "bpf_map", "id")))))  # fmt: skip
    first, second = (
        good(caller, caller.call(commands.ITER_CREATE, link_fd=made)) for _ in range(2)
    )
    caller.subsystem.close(made)

    assert everything(caller, first) == everything(caller, second)


def test_programs_and_links_are_visited(caller: Caller, btf: Btf) -> None:
    on_programs = iterate(caller, btf, "bpf_prog", numbers(btf, "bpf_prog", "type"))
    on_links = iterate(caller, btf, "bpf_link", numbers(btf, "bpf_link", "id", "type"))

    kinds = [struct.pack("=QI", seq, TRACING) for seq in range(2)]
    assert everything(caller, on_programs) == b"".join(kinds) + END
    links = [struct.pack("=QII", seq, seq + 1, 4) for seq in range(2)]
    assert everything(caller, on_links) == b"".join(links) + END


@pytest.mark.parametrize(
    ("info", "count"),
    [(b"", 1), (struct.pack("=I", 7), 1), (struct.pack("=I", 8), 0), (struct.pack("=II", 0, 6), 1)],
)
def test_tasks_of_the_world_are_visited(caller: Caller, btf: Btf, info: bytes, count: int) -> None:
    fd = iterate(caller, btf, "task", numbers(btf, "task_struct", "pid", "tgid"), info)

    assert everything(caller, fd) == struct.pack("=QII", 0, 7, 6) * count + END


def test_a_pidfd_names_a_process(btf: Btf) -> None:
    caller = Caller(Subsystem(World(task=Task(os.getpid(), os.getpid()))))
    pidfd = os.pidfd_open(os.getpid())
    info = struct.pack("=III", 0, 0, pidfd)
    fd = iterate(caller, btf, "task", numbers(btf, "task_struct", "pid"), info)
    os.close(pidfd)
    seen = everything(caller, fd)

    assert struct.unpack("=QI", seen[:12]) == (0, os.getpid())


@pytest.mark.parametrize("kind", [HASH, ARRAY])
def test_elements_are_visited_with_key_and_value(caller: Caller, btf: Btf, kind: int) -> None:
    fd = good(caller, caller.map(kind, entries=3))
    for key in range(3):
        caller.store(fd, struct.pack("=I", key), struct.pack("=Q", 100 + key))
    reader = iterate(caller, btf, "bpf_map_elem", elements(4, 8), of_map(fd))
    seen = everything(caller, reader)

    assert seen.endswith(END)
    pairs = list(struct.iter_unpack("=QQ", seen[:-8]))
    assert sorted(pairs) == [(key, 100 + key) for key in range(3)]


def test_per_cpu_values_are_seen_for_every_cpu(caller: Caller, btf: Btf) -> None:
    fd = good(caller, caller.map(PERCPU_ARRAY, entries=1))
    caller.store(fd, bytes(4), struct.pack("=QQ", 5, 6))
    text = elements(4, 8).replace("(r8 + 0)", "(r8 + 8)")
    reader = iterate(caller, btf, "bpf_map_elem", text, of_map(fd))

    assert everything(caller, reader) == struct.pack("=QQ", 0, 6) + END


def test_programs_may_write_values(caller: Caller, btf: Btf) -> None:
    fd = good(caller, caller.map(HASH))
    caller.store(fd, bytes(4), bytes(8))
    text = """
        r8 = *(u64 *)(r1 + 24)
        if r8 == 0 goto out
        r1 = 99
        *(u64 *)(r8 + 0) = r1
        out: r0 = 0
        exit"""
    assert everything(caller, iterate(caller, btf, "bpf_map_elem", text, of_map(fd))) == b""

    assert caller.fetch(fd, bytes(4)) == struct.pack("=Q", 99)


def test_an_element_that_is_deleted_meanwhile_is_left_out(caller: Caller, btf: Btf) -> None:
    fd = good(caller, caller.map(HASH, entries=4))
    for key in range(4):
        caller.store(fd, struct.pack("=I", key), struct.pack("=Q", key))
    reader = iterate(caller, btf, "bpf_map_elem", elements(4, 8), of_map(fd))
    first = struct.unpack("=QQ", caller.subsystem.read(reader, 16))[0]
    left = [key for key in range(4) if key != first]
    for key in left[:2]:
        place = caller.keep(struct.pack("=I", key))
        caller.call(commands.MAP_DELETE_ELEM, map_fd=fd, key=place)
    rest = everything(caller, reader)

    seen = [key for key, _ in struct.iter_unpack("=QQ", rest[:-8])]
    assert set(seen) <= {left[2]}


@pytest.mark.parametrize(
    ("info", "errno"),
    [
        (b"", EBADF),
        (bytes(4), EBADF),
        (of_map(NOT_OPEN), EBADF),
        (of_map(4) + bytes(12) + b"\1", E2BIG),
    ],
)
def test_a_map_iterator_needs_a_map(caller: Caller, btf: Btf, info: bytes, errno: int) -> None:
    fd = good(caller, program(caller, btf, "bpf_map_elem", elements(4, 8)))

    assert link(caller, fd, info) == -errno


def test_maps_that_do_not_fit_the_program_are_refused(caller: Caller, btf: Btf) -> None:
    fd = good(caller, program(caller, btf, "bpf_map_elem", elements(8, 8)))
    small, other = (good(caller, caller.map(HASH, key=4)),
                    good(caller, caller.map(LPM_TRIE, key=8, flags=1)))  # fmt: skip

    assert link(caller, fd, of_map(small)) == -EACCES
    assert link(caller, fd, of_map(other)) == -EINVAL
    assert link(caller, fd, of_map(fd)) == -EINVAL


def test_reserved_members_are_einval(caller: Caller, btf: Btf) -> None:
    fd = good(caller, program(caller, btf, "bpf_map", numbers(btf, "bpf_map", "id")))
    made = good(caller, link(caller, fd))

    assert link(caller, fd, flags=1) == -EINVAL
    assert link(caller, fd, target_fd=1) == -EINVAL
    assert link(caller, fd, word16=caller.keep(bytes(4))) == -EINVAL
    assert caller.call(commands.ITER_CREATE, link_fd=made, flags=1) == -EINVAL
    assert caller.call(commands.ITER_CREATE, link_fd=fd) == -EINVAL
    assert caller.call(commands.ITER_CREATE, link_fd=NOT_OPEN) == -EBADF


def test_what_a_world_does_not_have_is_refused_by_name(caller: Caller, btf: Btf) -> None:
    fd = good(caller, program(caller, btf, "netlink", "r0 = 0\nexit"))

    assert link(caller, fd) == -EOPNOTSUPP
    assert "netlink" in str(caller.subsystem.last_error)


def test_output_that_never_fits_is_e2big(caller: Caller, btf: Btf) -> None:
    good(caller, caller.map(ARRAY))
    fits = "r6 = r1\n" + "\n".join(write(511, "r10 - 512") for _ in range(65)) + "\nr0 = 0\nexit"
    fill = "\n".join(f"*(u64 *)(r10 - {at}) = 0" for at in range(8, 520, 8))
    reader = iterate(caller, btf, "bpf_map", f"{fill}\n{fits}")

    with pytest.raises(CommandError) as refusal:
        caller.subsystem.read(reader, 1 << 20)
    assert refusal.value.errno == E2BIG


def test_output_that_does_not_fit_any_more_comes_with_the_next_read(
    caller: Caller, btf: Btf
) -> None:
    for _ in range(3):
        good(caller, caller.map(ARRAY))
    fill = "\n".join(f"*(u64 *)(r10 - {at}) = 0" for at in range(8, 520, 8))
    body = "\n".join(write(500, "r10 - 512") for _ in range(30))
    reader = iterate(caller, btf, "bpf_map", f"{fill}\nr6 = r1\n{body}\nr0 = 0\nexit")
    sizes = [len(caller.subsystem.read(reader, 1 << 20)) for _ in range(3)]

    assert sizes == [30_000, 30_000, 0]  # two objects; the third and the end; nothing


def test_a_program_that_returns_1_is_eagain(caller: Caller, btf: Btf) -> None:
    good(caller, caller.map(ARRAY))
    reader = iterate(caller, btf, "bpf_map", "r0 = 1\nexit")

    with pytest.raises(CommandError) as refusal:
        caller.subsystem.read(reader, 100)
    assert refusal.value.errno == EAGAIN


def test_a_million_objects_without_output_are_eagain_and_reading_goes_on(
    caller: Caller, btf: Btf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iterators, "MOST_OBJECTS", 10)  # the real one takes seconds
    fd = good(caller, caller.map(ARRAY, entries=25))
    reader = iterate(caller, btf, "bpf_map_elem", "r0 = 0\nexit", of_map(fd))
    answers = []
    for _ in range(3):
        try:
            answers.append(len(caller.subsystem.read(reader, 100)))
        except CommandError as refusal:
            answers.append(-refusal.errno)

    assert answers == [-EAGAIN, -EAGAIN, 0]


def test_the_program_of_a_link_can_be_replaced_for_later_sessions(caller: Caller, btf: Btf) -> None:
    good(caller, caller.map(ARRAY))
    old = good(caller, program(caller, btf, "bpf_map", numbers(btf, "bpf_map", "id")))
    new = good(caller, program(caller, btf, "bpf_map", "r0 = 0\nexit"))
    other = good(caller, program(caller, btf, "bpf_prog", "r0 = 0\nexit"))
    made = good(caller, link(caller, old))
    before = good(caller, caller.call(commands.ITER_CREATE, link_fd=made))
    replace = {"link_fd": made, "flags": 4}

    assert caller.call(commands.LINK_UPDATE, link_fd=made, new_prog_fd=other) == -EINVAL
    answer = caller.call(commands.LINK_UPDATE, new_prog_fd=new, old_prog_fd=new, **replace)
    assert answer == -EPERM
    assert caller.call(commands.LINK_UPDATE, new_prog_fd=new, old_prog_fd=old, **replace) == 0
    after = good(caller, caller.call(commands.ITER_CREATE, link_fd=made))
    assert (len(everything(caller, before)), everything(caller, after)) == (20, b"")
    assert caller.call(commands.LINK_DETACH, link_fd=made) == -EOPNOTSUPP


def test_link_info_tells_target_and_map(caller: Caller, btf: Btf) -> None:
    fd = good(caller, caller.map(ARRAY))
    made = good(caller, link(caller, good(caller, program(
        caller, btf, "bpf_map_elem", elements(4, 8))), of_map(fd)))  # fmt: skip
    place = caller.keep(b"", 32)
    filled = infos.IterLinkInfo(target_name=place, target_name_len=32)
    info = caller.info(made, infos.IterLinkInfo, filled)

    assert isinstance(info, infos.IterLinkInfo)
    assert (info.type, info.target_name_len, info.map_id) == (4, 13, 1)
    assert ctypes.string_at(place) == b"bpf_map_elem"
    short = infos.IterLinkInfo(target_name=place, target_name_len=4).encode()
    answer = caller.call(
        commands.OBJ_GET_INFO_BY_FD, bpf_fd=made, info_len=len(short), info=caller.keep(short)
    )
    assert (answer, ctypes.string_at(place)) == (-ENOSPC, b"bpf")


def test_an_open_iterator_holds_its_map_and_its_program(caller: Caller, btf: Btf) -> None:
    fd = good(caller, caller.map(ARRAY, entries=1))
    loaded = good(caller, program(caller, btf, "bpf_map_elem", elements(4, 8)))
    made = good(caller, link(caller, loaded, of_map(fd)))
    reader = good(caller, caller.call(commands.ITER_CREATE, link_fd=made))
    for each in (fd, loaded, made):
        caller.subsystem.close(each)
    for command in (commands.MAP_GET_NEXT_ID, commands.PROG_GET_NEXT_ID):
        assert caller.call(command, start_id=0) == 0
    assert everything(caller, reader) == bytes(16) + END
    caller.subsystem.close(reader)

    for command in (commands.MAP_GET_NEXT_ID, commands.PROG_GET_NEXT_ID, commands.LINK_GET_NEXT_ID):
        assert caller.call(command, start_id=0) < 0


def test_only_iterators_can_be_read(caller: Caller) -> None:
    with pytest.raises(CommandError) as refusal:
        caller.subsystem.read(good(caller, caller.map(ARRAY)), 10)
    assert refusal.value.errno == EINVAL
