"""Laws of the log: messages read back are the records and the text; the end is what is cut."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skep.errors import LogError
from skep.session.log_read import parse
from skep.session.log_tlv import read_messages, read_tlv
from skep.syscall.log import Log
from skep.syscall.log_request import LogRequest
from skep.syscall.log_tlv import END_SIZE, fit, messages
from skep.uapi import log_messages as types
from skep.uapi.log_messages import HEADER, MAX_DROPPED
from skep.uapi.record import LogCause, LogRecord

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
U31 = st.integers(0, 2**31 - 1)
CAUSES = st.builds(LogCause, U31, WORDS, WORDS, WORDS)
RECORDS = st.builds(
    LogRecord, message=WORDS, command=WORDS, errno=st.integers(0, 600), rule=WORDS,
    category=WORDS, field=WORDS, found=WORDS, allowed=WORDS, hint=WORDS,
    pc=st.integers(-1, 2**31), insn=WORDS, file=WORDS, line=U31, column=U31, text=WORDS,
    causes=st.lists(CAUSES, max_size=3).map(tuple), offset=st.integers(0, 167), size=st.just(4),
    btf_id=st.integers(0, 9), type_id=st.integers(-1, 9), btf_offset=st.integers(-1, 99),
)  # fmt: skip
FEW = settings(max_examples=60, deadline=None)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
LARGEST_KNOWN = max(row.number for row in types.MESSAGE_TYPES)


def whole(records: list[LogRecord], text: str) -> bytes:
    return fit(list(messages(records, text)), 1 << 30)


@pytest.mark.acceptance("L17", "L23")
@FEW
@given(st.lists(RECORDS, max_size=3), TEXTS)
def test_records_and_text_are_read_as_they_were_written(
    records: list[LogRecord], text: str
) -> None:
    found = read_tlv(whole(records, text))

    assert found.records == tuple(records)
    assert (found.text, found.dropped) == (text, 0)


@pytest.mark.acceptance("L21", "L24")
@FEW
@given(TEXTS)
def test_the_joined_strings_are_the_text_log_byte_for_byte(text: str) -> None:
    log = Log("PROG_LOAD", text)
    tlv, _ = log.encode(LogRequest(16, 1, 1 << 20))
    plain, size = log.encode(LogRequest(1, 1, 1 << 20))
    found, _ = read_messages(tlv)

    joined = b"".join(payload for number, payload in found if number == types.STRING.number)
    assert joined + b"\0" == plain
    assert size == len(plain)


@pytest.mark.acceptance("L22")
@FEW
@given(st.lists(RECORDS, max_size=2), TEXTS, st.integers(0, 400))
def test_a_small_buffer_holds_the_first_messages_whole_and_counts_the_others(
    records: list[LogRecord], text: str, room: int
) -> None:
    everything = list(messages(records, text))
    data = fit(everything, END_SIZE + room)
    found, dropped = read_messages(data)

    assert len(data) <= END_SIZE + room
    kept = [HEADER.pack(number, len(payload)) + payload for number, payload in found]
    assert kept == everything[: len(kept)]
    assert dropped == len(everything) - len(kept)
    if dropped:
        assert len(everything[len(kept)]) > room - sum(map(len, kept))


@pytest.mark.acceptance("L20")
def test_the_count_of_dropped_messages_stops_at_its_greatest_value() -> None:
    data = fit([b"#" * 9] * (MAX_DROPPED + 5), END_SIZE)

    assert (data, len(data)) == (HEADER.pack(2, 2) + b"\xff\xff", 8)
    assert read_messages(data) == ([], MAX_DROPPED)


@pytest.mark.acceptance("L25")
@FEW
@given(
    st.lists(RECORDS, max_size=2),
    TEXTS,
    st.lists(
        st.tuples(
            st.integers(0, 50), st.integers(LARGEST_KNOWN + 1, 0xFFFF), st.binary(max_size=9)
        ),
        max_size=5,
    ),
)
def test_messages_of_unknown_types_are_skipped(
    records: list[LogRecord], text: str, strange: list[tuple[int, int, bytes]]
) -> None:
    everything = list(messages(records, text))
    for place, number, payload in strange:
        everything.insert(place, HEADER.pack(number, len(payload)) + payload)

    found = read_tlv(fit(everything, 1 << 30))
    assert (found.records, found.text) == (tuple(records), text)


@FEW
@given(st.lists(RECORDS, min_size=1, max_size=2), st.binary(min_size=1, max_size=8))
def test_what_a_later_version_adds_to_a_payload_of_numbers_is_skipped(
    records: list[LogRecord], more: bytes
) -> None:
    fixed = {types.ERRNO.number, types.ATTR_OFF.number, types.INSN.number, types.BTF_OFF.number}
    longer = []
    for each in messages(records, ""):
        number, length = HEADER.unpack_from(each)
        tail = more if number in fixed else b""
        longer.append(HEADER.pack(number, length + len(tail)) + each[HEADER.size :] + tail)

    assert read_tlv(fit(longer, 1 << 30)).records == tuple(records)


@pytest.mark.acceptance("L18")
@FEW
@given(st.lists(RECORDS, max_size=1), TEXTS, st.data())
def test_a_log_that_ends_early_is_a_typed_error(
    records: list[LogRecord], text: str, data: st.DataObject
) -> None:
    log = whole(records, text)
    cut = data.draw(st.integers(0, len(log) - 1))

    with pytest.raises(LogError):
        read_tlv(log[:cut])


@FEW
@given(st.binary(max_size=300))
def test_any_bytes_are_a_log_or_a_typed_error(data: bytes) -> None:
    for read in (read_tlv, parse):
        try:
            found = read(data)
        except LogError:
            continue
        assert isinstance(found.text, str)


@FEW
@given(st.text(max_size=500))
def test_any_text_is_a_log(text: str) -> None:
    assert parse(text).text == text


@pytest.mark.acceptance("L18", "L19", "L20")
def test_headers_are_six_bytes_packed_in_host_order() -> None:
    found = fit(list(messages([], "read 0\n")), 64)

    assert found == struct.pack("=HI", 1, 7) + b"read 0\n" + struct.pack("=HIH", 2, 2, 0)
