"""The text log's delivery; numbers were measured on Linux 6.18."""

import ctypes
from errno import EINVAL, ENOSPC

import pytest

from skep.base.memory import Fault, OwnMemory
from skep.errors import CommandError
from skep.syscall.log import LogRequest, check_request, choose_request, cut, deliver, overflow

TRAILER = (
    "processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 "
    "mark_read 0\n"
)
ADDRESS = 0x1000


@pytest.mark.parametrize(
    "request_",
    [
        LogRequest(0, ADDRESS, 64),
        LogRequest(1, ADDRESS, 0),
        LogRequest(1, 0, 64),
        LogRequest(16, ADDRESS, 64),
        LogRequest(1, ADDRESS, 0x4000_0000),
    ],
)
def test_a_request_that_contradicts_itself_is_einval(request_: LogRequest) -> None:
    with pytest.raises(CommandError) as caught:
        check_request("PROG_LOAD", request_)

    assert caught.value.errno == EINVAL


@pytest.mark.parametrize(
    "request_", [LogRequest(), LogRequest(1), LogRequest(15, ADDRESS, 1), LogRequest(4, 1, 8)]
)
def test_a_request_may_lack_a_buffer(request_: LogRequest) -> None:
    check_request("PROG_LOAD", request_)


def test_a_rolling_log_keeps_its_end() -> None:
    assert cut(TRAILER.encode(), 8, 1) == b"read 0\n\0"


def test_a_fixed_log_keeps_its_beginning() -> None:
    assert cut(TRAILER.encode(), 8, 9) == b"process\0"


def test_a_log_that_fits_is_whole_and_ends_in_nul() -> None:
    assert cut(TRAILER.encode(), 98, 1) == TRAILER.encode() + b"\0"


def test_a_buffer_of_one_byte_holds_the_nul() -> None:
    assert cut(b"abc", 1, 1) == cut(b"abc", 1, 9) == b"\0"


def test_the_true_size_counts_the_nul_and_what_was_cut() -> None:
    buffer = ctypes.create_string_buffer(b"#" * 16, 16)
    request = LogRequest(1, ctypes.addressof(buffer), 8)
    told: list[int] = []

    assert deliver(OwnMemory(), request, TRAILER, told.append) == 98
    assert told == [98]
    assert buffer.raw == b"read 0\n\0########"


def test_the_true_size_counts_what_was_taken_back() -> None:
    told: list[int] = []

    assert deliver(OwnMemory(), LogRequest(1), "short", told.append, peak=200) == 201
    assert told == [201]


def test_level_zero_logs_nothing() -> None:
    told: list[int] = []

    assert deliver(OwnMemory(), LogRequest(), "text", told.append) == 0
    assert told == [0]


def test_a_log_that_was_cut_is_enospc() -> None:
    refusal = overflow("PROG_LOAD", LogRequest(1, ADDRESS, 97), 98)

    assert refusal is not None
    assert refusal.errno == ENOSPC
    assert overflow("PROG_LOAD", LogRequest(1, ADDRESS, 98), 98) is None
    assert overflow("PROG_LOAD", LogRequest(1), 98) is None


def test_a_buffer_that_cannot_be_written_is_a_fault_that_tells_the_size() -> None:
    told: list[int] = []

    with pytest.raises(Fault):
        deliver(OwnMemory(), LogRequest(1, 8, 8), TRAILER, told.append)
    assert told == [98]


def test_the_common_log_serves_where_the_command_names_none() -> None:
    own, common = LogRequest(), LogRequest(1, ADDRESS, 64)

    assert choose_request("MAP_CREATE", own, common) == (common, True)
    assert choose_request("MAP_CREATE", common, own) == (common, False)
    assert choose_request("MAP_CREATE", common, common) == (common, False)


def test_two_different_logs_are_einval() -> None:
    with pytest.raises(CommandError) as caught:
        choose_request("PROG_LOAD", LogRequest(1, ADDRESS, 64), LogRequest(2, ADDRESS, 64))

    assert caught.value.errno == EINVAL
