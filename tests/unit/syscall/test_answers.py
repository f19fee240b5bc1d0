"""What a refusal tells, and answers of Linux to calls that are seldom made."""

import os
import struct
from errno import EBADF, EFAULT, EINVAL, ENOENT, EOPNOTSUPP
from pathlib import Path

import pytest

from contract.refusals.bench import BAD, INT, NO_FD
from skep.errors import BtfError
from skep.uapi import commands, reasons_elements, reasons_programs
from skep.uapi.reason import Refusal
from support.caller import EXIT, RETURN_ONE, Caller, insn

ARRAY = {"key_size": 4, "value_size": 8, "max_entries": 4}
LOCAL = 1  # the loop-back interface


@pytest.fixture
def caller() -> Caller:
    return Caller()


def refusal(caller: Caller) -> Refusal:
    error = caller.subsystem.last_error
    assert isinstance(error, Refusal)
    return error


def test_a_refusal_of_a_map_names_member_offset_value_and_row(caller: Caller) -> None:
    fd, key = caller.map(1), caller.keep(bytes(4))
    assert caller.call(commands.MAP_DELETE_ELEM, map_fd=fd, key=key) == -ENOENT
    error = refusal(caller)

    assert (error.rule, error.row) == ("element/absent", reasons_elements.ABSENT)
    assert (error.command, error.field, error.offset, error.found) == (
        "MAP_DELETE_ELEM", "key", 8, key,
    )  # fmt: skip
    assert error.allowed == reasons_elements.ABSENT.allowed


def test_a_refusal_in_a_batch_names_the_members_of_the_batch(caller: Caller) -> None:
    fd, keys = caller.map(1), caller.keep(bytes(4))
    assert caller.call(commands.MAP_DELETE_BATCH, map_fd=fd, keys=keys, count=1) == -ENOENT

    assert (refusal(caller).field, refusal(caller).offset) == ("keys", 16)


def test_a_fault_names_the_pointer(caller: Caller) -> None:
    fd, key = caller.map(2), caller.keep(bytes(4))
    assert caller.call(commands.MAP_LOOKUP_ELEM, map_fd=fd, key=key, value=BAD) == -EFAULT

    assert (refusal(caller).rule, refusal(caller).field) == ("call/not-writable", "value")
    assert refusal(caller).found == BAD


def test_a_refusal_of_btf_is_caused_by_what_is_wrong_with_the_types(caller: Caller) -> None:
    data = INT.replace(struct.pack("<I", 32), struct.pack("<I", 200))  # an int of 200 bits
    place = caller.keep(data)
    assert caller.call(commands.BTF_LOAD, btf=place, btf_size=len(data)) == -EINVAL
    cause = refusal(caller).__cause__

    assert isinstance(cause, BtfError)
    assert cause.type_id == 1


def test_minus_one_is_any_numa_node(caller: Caller) -> None:
    known = {**ARRAY, "map_type": 2, "map_flags": 1 << 2}

    assert caller.call(commands.MAP_CREATE, **known, numa_node=0xFFFF_FFFF) > 0
    assert caller.call(commands.MAP_CREATE, **known, numa_node=7) == -EINVAL


@pytest.mark.parametrize(
    ("map_type", "device", "errno"),
    [(2, LOCAL, EOPNOTSUPP), (2, 0x7FFF_0000, EINVAL), (5, LOCAL, EINVAL)],
)
def test_no_map_is_put_on_a_device(caller: Caller, map_type: int, device: int, errno: int) -> None:
    members = {**ARRAY, "map_type": map_type, "map_ifindex": device}

    assert caller.call(commands.MAP_CREATE, **members) == -errno


def test_a_file_in_place_of_a_map_is_einval_and_nothing_is_ebadf(caller: Caller) -> None:
    with Path(os.devnull).open() as file:
        for fd, errno in ((file.fileno(), EINVAL), (NO_FD, EBADF)):
            code = insn(0x18, 1, 1, imm=fd) + insn(0) + RETURN_ONE + EXIT

            assert caller.program(code) == -errno


def test_names_of_lines_that_are_no_strings_are_logged_as_linux_logs_them(caller: Caller) -> None:
    btf = caller.call(commands.BTF_LOAD, btf=caller.keep(INT), btf_size=len(INT))
    log, lines = caller.keep(b"", 4096), caller.keep(struct.pack("<IIII", 0, 9999, 0, 0))
    result = caller.program(
        RETURN_ONE + EXIT, prog_btf_fd=btf, line_info=lines, line_info_cnt=1,
        line_info_rec_size=16, log_buf=log, log_size=4096, log_level=1,
    )  # fmt: skip

    assert result == -EINVAL
    assert refusal(caller).row is reasons_programs.LINE_NAMES
    text = caller.subsystem.state.memory.read(log, 200)
    assert text.startswith(b"Invalid line_info[0].line_off or .file_name_off\nprocessed 0 insns")


def test_the_first_descriptor_of_an_fd_array_that_is_wrong_decides(caller: Caller) -> None:
    fds = caller.keep(struct.pack("<i", NO_FD))  # behind it, there is no second one
    result = caller.program(RETURN_ONE + EXIT, fd_array=fds, fd_array_cnt=1 << 20)

    assert (result, refusal(caller).field) == (-EBADF, "fd_array")
