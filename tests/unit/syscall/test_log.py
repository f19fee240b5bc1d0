"""The text log's delivery; numbers were measured on Linux 6.18."""

import ctypes
from errno import EINVAL, ENOSPC

import pytest

from skep.base.memory import Fault, OwnMemory
from skep.syscall.log import Log, cut, deliver, overflow
from skep.syscall.log_request import LogRequest, choose, contradiction
from skep.uapi import reasons_log as reasons
from skep.uapi.log_messages import TLV
from skep.uapi.reason import Reason

TRAILER = (
    "processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 "
    "mark_read 0\n"
)
ADDRESS = 0x1000


@pytest.mark.parametrize(
    ("request_", "row"),
    [
        (LogRequest(0, ADDRESS, 64), reasons.NO_LEVEL),
        (LogRequest(1, ADDRESS, 0), reasons.BUFFER),
        (LogRequest(1, 0, 64), reasons.BUFFER),
        (LogRequest(TLV, ADDRESS, 64), reasons.LEVEL),
        (LogRequest(32, ADDRESS, 64, common=True), reasons.LEVEL),
        (LogRequest(1, ADDRESS, 0x4000_0000), reasons.SIZE),
        (LogRequest(TLV, ADDRESS, 7, common=True), reasons.TLV_SIZE),
    ],
)
def test_a_request_that_contradicts_itself_is_einval(request_: LogRequest, row: Reason) -> None:
    found = contradiction(request_)

    assert found is not None
    assert (found[0], row.errno) == (row, EINVAL)


@pytest.mark.parametrize(
    "request_",
    [
        LogRequest(), LogRequest(1), LogRequest(15, ADDRESS, 1), LogRequest(4, 1, 8),
        LogRequest(TLV, common=True), LogRequest(TLV | 15, ADDRESS, 8, common=True),
    ],
)  # fmt: skip
def test_a_request_may_lack_a_buffer(request_: LogRequest) -> None:
    assert contradiction(request_) is None


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

    assert deliver(OwnMemory(), request, Log("", TRAILER), told.append) == 98
    assert told == [98]
    assert buffer.raw == b"read 0\n\0########"


def test_the_true_size_counts_what_was_taken_back() -> None:
    told: list[int] = []

    assert deliver(OwnMemory(), LogRequest(1), Log("", "short", peak=200), told.append) == 201
    assert told == [201]


def test_level_zero_logs_nothing() -> None:
    told: list[int] = []

    assert deliver(OwnMemory(), LogRequest(), Log("", "text"), told.append) == 0
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
        deliver(OwnMemory(), LogRequest(1, 8, 8), Log("", TRAILER), told.append)
    assert told == [98]


@pytest.mark.acceptance("L14")
def test_the_common_log_serves_where_the_command_names_none() -> None:
    own, common = LogRequest(), LogRequest(1, ADDRESS, 64, common=True)
    named = LogRequest(1, ADDRESS, 64)

    assert choose(own, common) == common
    assert choose(named, LogRequest(common=True)) == named
    assert choose(named, common) == named


@pytest.mark.acceptance("L14")
def test_two_different_logs_are_einval() -> None:
    common = LogRequest(2, ADDRESS, 64, common=True)
    found = choose(LogRequest(1, ADDRESS, 64), common)

    assert not isinstance(found, LogRequest)
    assert (found[0], found[0].errno) == (reasons.TWO_LOGS, EINVAL)


def test_messages_may_be_dropped_where_no_true_size_is_told() -> None:
    request = LogRequest(TLV, ADDRESS, 8, common=True)

    assert overflow("PROG_LOAD", request, 9, tells_size=False) is None
    assert overflow("PROG_LOAD", request, 9, tells_size=True) is not None
    assert overflow("PROG_LOAD", LogRequest(1, ADDRESS, 8), 9, tells_size=False) is not None


def test_the_text_of_messages_is_the_shortest_unless_a_level_says_more() -> None:
    assert LogRequest(TLV, common=True).text_level == 8
    assert LogRequest(TLV | 6, common=True).text_level == 6
    assert LogRequest(2).text_level == 2
    assert LogRequest().text_level == 0
