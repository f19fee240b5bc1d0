"""Calls as such: sizes, unknown commands, logs, and reasons."""

import ctypes
import struct
import threading
from errno import E2BIG, EACCES, EFAULT, EINVAL, ENOENT, ENOSPC, EOPNOTSUPP

import pytest

from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.reason import Refusal
from skep.verifier import Rejected
from support.caller import EXIT, RETURN_ONE, Caller, insn


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.mark.parametrize("cmd", [39, 9999, -1, 1 << 17])
def test_an_unknown_command_is_einval(cmd: int) -> None:
    assert Subsystem().bpf(cmd, bytearray(16)) == -EINVAL


def test_attrs_beyond_the_known_must_be_zero() -> None:
    attr = bytearray(200)

    assert Subsystem().bpf(22, attr) == -EINVAL  # fd 0 is no map
    attr[190] = 1
    assert Subsystem().bpf(22, attr) == -E2BIG
    assert Subsystem().bpf(22, bytearray(5000)) == -E2BIG


def test_an_attr_may_be_an_address() -> None:
    buffer = ctypes.create_string_buffer(struct.pack("<IIIII", 1, 4, 4, 1, 0), 20)
    subsystem = Subsystem()

    assert subsystem.bpf(0, ctypes.addressof(buffer), 20) > 0
    assert subsystem.bpf(0, 8, 20) == -EFAULT


def test_a_refusal_names_member_value_and_reason(caller: Caller) -> None:
    fd = caller.map(1)
    assert caller.call(commands.MAP_LOOKUP_ELEM, map_fd=fd, flags=8) == -EINVAL
    error = caller.subsystem.last_error

    assert isinstance(error, Refusal)
    assert (error.command, error.errno_name) == ("MAP_LOOKUP_ELEM", "EINVAL")
    assert (error.field, error.offset, error.found) == ("flags", 24, 8)
    assert "flags = 8" in str(error)


def test_what_is_not_there_yet_is_refused_by_name(caller: Caller) -> None:
    assert caller.map(26) in {-EOPNOTSUPP, -EINVAL}
    folder = caller.subsystem.files.open_folder("/sys/fs/bpf")
    assert caller.call(commands.TOKEN_CREATE, bpffs_fd=folder) == -EOPNOTSUPP
    assert "initial" in str(caller.subsystem.last_error)


def test_a_rejected_program_leaves_its_reason_and_log(caller: Caller) -> None:
    log = caller.keep(b"", 4096)
    result = caller.program(EXIT, log_level=1, log_size=4096, log_buf=log)
    text = ctypes.string_at(log).decode()

    assert result == -EACCES
    assert "R0 !read_ok" in text
    assert "processed 1 insns" in text
    assert caller.attr.log_true_size == len(text) + 1
    assert isinstance(caller.subsystem.last_error, Rejected)


def test_a_log_that_was_cut_is_enospc_even_for_a_good_program(caller: Caller) -> None:
    log = caller.keep(b"", 8)

    assert caller.program(RETURN_ONE + EXIT, log_level=1, log_size=8, log_buf=log) == -ENOSPC
    assert ctypes.string_at(log) == b"read 0\n"
    assert caller.attr.log_true_size == 98


def test_the_size_of_a_log_can_be_asked_without_a_buffer(caller: Caller) -> None:
    assert caller.program(RETURN_ONE + EXIT, log_level=1) > 0
    assert caller.attr.log_true_size == 98


def test_bad_btf_is_refused_with_a_log(caller: Caller) -> None:
    log = caller.keep(b"", 256)
    result = caller.call(
        commands.BTF_LOAD,
        btf=caller.keep(bytes(24)),
        btf_size=24,
        btf_log_buf=log,
        btf_log_size=256,
        btf_log_level=1,
    )

    assert result == -EINVAL
    assert b"magic" in ctypes.string_at(log)


def test_a_program_without_an_end_is_refused(caller: Caller) -> None:
    assert caller.program(insn(0xB7)) == -EINVAL


def test_links_are_looked_up_though_there_are_none(caller: Caller) -> None:
    assert caller.call(commands.LINK_GET_FD_BY_ID, start_id=1) == -ENOENT
    assert caller.call(commands.LINK_GET_NEXT_ID, start_id=0) == -ENOENT


def test_streams_of_a_program_are_empty(caller: Caller) -> None:
    program = caller.program(RETURN_ONE + EXIT)

    def read(stream: int) -> int:
        return caller.call(commands.PROG_STREAM_READ_BY_FD, prog_fd=program, stream_id=stream)

    assert (read(1), read(2), read(3)) == (0, 0, -ENOENT)


def test_each_thread_has_its_own_last_error(caller: Caller) -> None:
    # A success elsewhere took the reason away between a refusal and the look at it.
    def succeed() -> None:
        assert caller.map(1) > 0

    assert caller.map(1, key=0) == -EINVAL
    thread = threading.Thread(target=succeed)
    thread.start()
    thread.join()

    assert caller.subsystem.last_error is not None


@pytest.mark.parametrize("attr", [bytearray(64), 4096])
def test_a_size_below_zero_is_a_very_large_one(attr: bytearray | int) -> None:
    assert Subsystem().bpf(commands.MAP_CREATE.number, attr, -1) == -E2BIG


def test_a_read_only_attr_is_read_but_not_answered() -> None:
    # TypeError came out of bpf(), in the midst of the command.
    caller = Caller()
    asks = commands.MapCreate(map_type=2, key_size=4, value_size=8, max_entries=1).encode()
    code, log = caller.keep(RETURN_ONE + EXIT), caller.keep(b"", 64)
    load = commands.ProgLoad(
        prog_type=1, insn_cnt=2, insns=code, license=code, log_level=1, log_size=64, log_buf=log
    ).encode()

    def call(command: commands.Command, attr: bytes) -> int:
        return caller.subsystem.bpf(command.number, memoryview(attr))

    assert call(commands.MAP_CREATE, asks) > 0
    assert call(commands.MAP_GET_NEXT_ID, bytes(12)) == -EFAULT
    assert call(commands.PROG_LOAD, load) == -EFAULT
    assert caller.subsystem.state.objects.count(Kind.PROG) == 0


@pytest.mark.parametrize(
    "attr",
    [None, "attr", 1.5, [1], memoryview(bytes(64))[::2]],
    ids=["none", "text", "float", "list", "holes"],
)
def test_what_is_no_memory_is_a_type_error_before_anything_is_done(attr: object) -> None:
    subsystem = Subsystem()

    with pytest.raises(TypeError):
        subsystem.bpf(0, attr)  # type: ignore[arg-type]  # that is the point
    assert subsystem.state.objects.count(Kind.MAP) == 0
