"""Descriptors, ids, references and pins, through bpf(2)."""

import os
from errno import EBADF, EEXIST, EINVAL, ENOENT, EPERM

import pytest

from skep.errors import CommandError
from skep.syscall.objects import FIRST_FD, Kind
from skep.uapi import commands
from skep.uapi.flags import MapFlag
from skep.uapi.infos import MapInfo
from support.caller import EXIT, RETURN_ONE, Caller, insn


@pytest.fixture
def caller() -> Caller:
    return Caller()


def count(caller: Caller, kind: Kind) -> int:
    return caller.subsystem.state.objects.count(kind)


def test_a_descriptor_is_the_lowest_free_number(caller: Caller) -> None:
    first, second = caller.map(1), caller.map(1)
    caller.subsystem.close(first)

    assert (first, second) == (FIRST_FD, FIRST_FD + 1)
    assert caller.map(1) == first


def test_descriptors_closed_in_any_order_are_given_again_from_the_lowest_on(
    caller: Caller,
) -> None:
    fds = [caller.map(1) for _ in range(5)]
    for fd in (fds[3], fds[1], fds[4]):
        caller.subsystem.close(fd)

    assert [caller.map(1) for _ in range(4)] == [fds[1], fds[3], fds[4], FIRST_FD + 5]


def test_a_closed_descriptor_is_ebadf(caller: Caller) -> None:
    fd = caller.map(1)
    caller.subsystem.close(fd)

    assert caller.fetch(fd, bytes(4)) == -EBADF
    with pytest.raises(CommandError) as caught:
        caller.subsystem.close(fd)
    assert caught.value.errno == EBADF


def test_a_file_of_the_process_is_einval(caller: Caller) -> None:
    read, write = os.pipe()
    try:
        assert caller.fetch(read, bytes(4)) == -EINVAL
    finally:
        os.close(read)
        os.close(write)


def test_a_program_is_no_map(caller: Caller) -> None:
    assert caller.fetch(caller.program(RETURN_ONE + EXIT), bytes(4)) == -EINVAL


def test_ids_grow_and_are_not_used_again(caller: Caller) -> None:
    fd = caller.map(1)
    first = caller.info(fd, MapInfo).id
    caller.subsystem.close(fd)

    assert caller.info(caller.map(1), MapInfo).id == first + 1


def test_ids_are_walked_in_order(caller: Caller) -> None:
    fds = [caller.map(1) for _ in range(3)]
    ids = [caller.info(fd, MapInfo).id for fd in fds]
    caller.subsystem.close(fds[1])
    found, at = [], 0
    while caller.call(commands.MAP_GET_NEXT_ID, start_id=at) == 0:
        at = caller.attr.next_id
        found.append(at)

    assert found == [ids[0], ids[2]]


def test_an_object_is_opened_by_its_id(caller: Caller) -> None:
    fd = caller.map(1)
    caller.store(fd, bytes(4), b"contents")
    again = caller.call(commands.MAP_GET_FD_BY_ID, start_id=caller.info(fd, MapInfo).id)
    caller.subsystem.close(fd)

    assert caller.fetch(again, bytes(4)) == b"contents"
    assert caller.call(commands.MAP_GET_FD_BY_ID, start_id=999) == -ENOENT


def test_a_program_keeps_its_maps_alive(caller: Caller) -> None:
    map_ = caller.map(2)
    program = caller.program(insn(0x18, 1, 1, 0, map_) + insn(0) + RETURN_ONE + EXIT)
    caller.subsystem.close(map_)
    assert count(caller, Kind.MAP) == 1

    caller.subsystem.close(program)

    assert count(caller, Kind.MAP) == 0


def test_a_program_array_keeps_programs_alive_until_it_goes(caller: Caller) -> None:
    array = caller.map(3, 4, 4)
    program = caller.program(RETURN_ONE + EXIT)
    assert caller.store(array, bytes(4), program.to_bytes(4, "little")) == 0
    caller.subsystem.close(program)
    assert count(caller, Kind.PROG) == 1

    caller.subsystem.close(array)

    assert count(caller, Kind.PROG) == 0


def test_a_refused_program_lets_its_maps_go(caller: Caller) -> None:
    map_ = caller.map(2)
    assert caller.program(insn(0x18, 1, 1, 0, map_) + insn(0) + EXIT) < 0
    caller.subsystem.close(map_)

    assert count(caller, Kind.MAP) == 0


def test_a_bound_map_lives_as_long_as_the_program(caller: Caller) -> None:
    map_, program = caller.map(2), caller.program(RETURN_ONE + EXIT)
    assert caller.call(commands.PROG_BIND_MAP, prog_fd=program, map_fd=map_) == 0
    caller.subsystem.close(map_)
    assert count(caller, Kind.MAP) == 1

    caller.subsystem.close(program)

    assert count(caller, Kind.MAP) == 0


def test_a_pinned_map_outlives_its_descriptors(caller: Caller) -> None:
    fd, path = caller.map(2), caller.keep(b"/sys/fs/bpf/folder/name\0")
    files = caller.subsystem.files
    files.make_folder("/sys/fs/bpf/folder")
    caller.store(fd, bytes(4), b"contents")
    assert caller.call(commands.OBJ_PIN, pathname=path, bpf_fd=fd) == 0
    assert caller.call(commands.OBJ_PIN, pathname=path, bpf_fd=fd) == -EEXIST
    caller.subsystem.close(fd)
    again = caller.call(commands.OBJ_GET, pathname=path)

    assert caller.fetch(again, bytes(4)) == b"contents"
    assert [pin.path for pin in files.pins()] == ["/sys/fs/bpf/folder/name"]
    files.unlink("/sys/fs/bpf/folder/name")
    assert caller.call(commands.OBJ_GET, pathname=path) == -ENOENT
    caller.subsystem.close(again)
    assert count(caller, Kind.MAP) == 0


def test_a_name_with_a_dot_cannot_be_pinned(caller: Caller) -> None:
    path = caller.keep(b"/sys/fs/bpf/a.b\0")

    assert caller.call(commands.OBJ_PIN, pathname=path, bpf_fd=caller.map(2)) == -EPERM


def test_a_read_only_descriptor_does_not_write(caller: Caller) -> None:
    fd = caller.map(2, flags=int(MapFlag.RDONLY))
    id_ = caller.info(fd, MapInfo).id
    writable = caller.call(commands.MAP_GET_FD_BY_ID, start_id=id_)

    assert caller.store(fd, bytes(4), bytes(8)) == -EPERM
    assert caller.store(writable, bytes(4), bytes(8)) == 0
    assert caller.fetch(fd, bytes(4)) == bytes(8)


def test_statistics_count_while_a_descriptor_is_open(caller: Caller) -> None:
    fd = caller.call(commands.ENABLE_STATS, type=0)
    assert caller.subsystem.state.statistics

    caller.subsystem.close(fd)

    assert not caller.subsystem.state.statistics
    assert caller.call(commands.ENABLE_STATS, type=1) == -EINVAL


def tail_caller(slots: int) -> bytes:
    """A program that goes on in the first program of an array, or returns 1."""
    return (
        insn(0x18, 2, 1, 0, slots) + bytes(8) + insn(0xB7, 3) + insn(0x85, imm=12)
        + RETURN_ONE + EXIT
    )  # fmt: skip


def result(caller: Caller, program: int) -> int:
    """What *program* returns for a packet."""
    answer = caller.call(
        commands.PROG_TEST_RUN, prog_fd=program, data_in=caller.keep(bytes(64)), data_size_in=64
    )
    assert answer == 0, caller.subsystem.last_error
    assert isinstance(caller.attr, commands.TestRun)
    return caller.attr.retval


def test_an_array_of_programs_is_emptied_when_its_last_user_goes(caller: Caller) -> None:
    slots, pinned = caller.map(3, 4, 4), caller.keep(b"/sys/fs/bpf/slots\0")
    program, seven = (
        caller.program(tail_caller(slots)),
        caller.program(insn(0xB7, imm=7) + EXIT),
    )
    assert caller.store(slots, bytes(4), seven.to_bytes(4, "little")) == 0
    caller.call(commands.OBJ_PIN, pathname=pinned, bpf_fd=slots)

    caller.subsystem.close(slots)
    assert result(caller, program) == 7  # the pin is a user
    caller.subsystem.files.unlink("/sys/fs/bpf/slots")
    assert result(caller, program) == 1


def test_an_array_of_programs_that_was_emptied_can_be_used_again_by_its_id(caller: Caller) -> None:
    slots = caller.map(3, 4, 4)
    program = caller.program(tail_caller(slots))
    number = caller.subsystem.state.objects.get("TEST", slots).id
    caller.subsystem.close(slots)

    again = caller.call(commands.MAP_GET_FD_BY_ID, start_id=number)
    seven = caller.program(insn(0xB7, imm=7) + EXIT)

    assert caller.store(again, bytes(4), seven.to_bytes(4, "little")) == 0
    assert result(caller, program) == 7


def test_a_program_that_calls_itself_through_an_array_goes(caller: Caller) -> None:
    # It held the array and the array held it: both stayed for good.
    slots = caller.map(3, 4, 4)
    program = caller.program(tail_caller(slots))
    assert caller.store(slots, bytes(4), program.to_bytes(4, "little")) == 0

    caller.subsystem.close(program)
    caller.subsystem.close(slots)

    assert (count(caller, Kind.MAP), count(caller, Kind.PROG)) == (0, 0)
