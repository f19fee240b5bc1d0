"""The log in messages, and the three ways to ask for a log."""

import ctypes
import struct
from errno import E2BIG, EACCES, EBADF, EFAULT, EINVAL, ENOENT, ENOSPC

import pytest

from skep.session.log_tlv import read_messages, read_tlv
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi import log_messages as types
from skep.uapi import reasons_log as reasons
from skep.uapi.commands import (
    COMMAND_FLAGS_MASK,
    COMMON_ATTRS,
    LOGGED,
    USES_EXTENDED_ATTR,
    Command,
    LongRawTracepointOpen,
)
from skep.uapi.record import LogRecord
from support.caller import EXIT, RETURN_ONE, Caller

UNTOUCHED = b"#" * 4096
TLV = types.TLV
ABSENT = {"start_id": 999}
BEFORE_CONTEXT = struct.pack("<BBhi", 0x79, 0x10, -4, 0) + EXIT  # r0 = *(u64 *)(r1 -4)


class LoggingCaller(Caller):
    """Calls with a log beside the attr, asked for in one of three ways."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = ctypes.create_string_buffer(UNTOUCHED, len(UNTOUCHED))
        self.address = ctypes.addressof(self.buffer)
        self.level, self.size, self.flags = TLV, len(UNTOUCHED), COMMON_ATTRS
        self.common_size = 24

    def call(self, command: Command, **members: int | bytes) -> int:
        self.buffer.raw = UNTOUCHED
        attr = bytearray(command.layout(**members).encode().ljust(commands.ATTR_SIZE, b"\0"))
        common = bytearray(struct.pack("<QIIII", self.address, self.size, self.level, 7, 0))
        common = common[: self.common_size]
        result = self.subsystem.bpf(command.number | self.flags, attr, None, common)
        self.attr = command.layout.decode(bytes(attr))
        self.true_size = int.from_bytes(common[16:20], "little")
        return result

    def call_extended(self, command: Command, reserved: bytes = bytes(48), **members: int) -> int:
        """The same with ``struct bpf_extended_attr``."""
        self.buffer.raw = UNTOUCHED
        header = struct.pack("<IIQ", self.level, self.size, self.address) + reserved
        attr = bytearray(header + command.layout(**members).encode())
        result = self.subsystem.bpf(command.number | USES_EXTENDED_ATTR, attr)
        self.attr = command.layout.decode(bytes(attr[types.EXTENDED_SIZE :]))
        return result

    @property
    def log(self) -> bytes:
        """What was written."""
        return self.buffer.raw.rstrip(b"#")

    @property
    def record(self) -> LogRecord:
        """The only record of the log."""
        (record,) = read_tlv(self.log).records
        return record


@pytest.fixture
def caller() -> LoggingCaller:
    return LoggingCaller()


# --- what the messages say


@pytest.mark.acceptance("L2", "L3", "L23", "L27")
def test_a_refusal_names_member_offset_value_rule_and_errno(caller: LoggingCaller) -> None:
    assert caller.call(commands.MAP_CREATE, map_type=2, key_size=5, value_size=8,
                       max_entries=1) == -EINVAL  # fmt: skip
    record = caller.record

    assert (record.command, record.errno, record.rule) == (
        "MAP_CREATE", EINVAL, caller.subsystem.last_records[0].rule,
    )  # fmt: skip
    assert (record.field, record.offset, record.size, record.found) == ("key_size", 4, 4, "5")
    assert record.rule
    assert record.allowed
    assert record.message == "keys have 4 bytes"


@pytest.mark.acceptance("L23", "L27")
def test_numbers_are_for_machines(caller: LoggingCaller) -> None:
    caller.call(commands.MAP_GET_FD_BY_ID, **ABSENT)
    found = dict(read_messages(caller.log)[0])
    errno, code = struct.unpack("=iI", found[types.ERRNO.number])

    assert errno == -ENOENT
    assert code != 0
    assert struct.unpack("=II", found[types.ATTR_OFF.number]) == (0, 4)


def test_the_records_of_the_log_are_those_of_the_subsystem(caller: LoggingCaller) -> None:
    assert caller.program(BEFORE_CONTEXT) == -EACCES
    assert read_tlv(caller.log).records == caller.subsystem.last_records


@pytest.mark.acceptance("L23")
def test_a_rejected_program_names_slot_rule_category_and_causes(caller: LoggingCaller) -> None:
    move = struct.pack("<BBhi", 0xBF, 0x16, 0, 0)  # r6 = r1
    load = struct.pack("<BBhi", 0x79, 0x60, -4, 0)  # r0 = *(u64 *)(r6 -4)
    assert caller.program(move + load + EXIT) == -EACCES
    record = caller.record

    assert (record.pc, record.rule, record.command) == (1, "context-field", "PROG_LOAD")
    assert (record.category, record.insn) == ("Memory Safety", "r0 = *(u64 *)(r6 -4)")
    assert [cause.pc for cause in record.causes] == [0]


@pytest.mark.acceptance("L23")
def test_refused_btf_names_the_type(caller: LoggingCaller) -> None:
    kinds = struct.pack("<IIII", 1, 1 << 24, 4, 32) + struct.pack("<III", 0, 2 << 24, 9)
    strings = b"\0int\0"
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(kinds), len(kinds), len(strings))
    data = head + kinds + strings
    result = caller.call(commands.BTF_LOAD, btf=caller.keep(data), btf_size=len(data))

    assert result == -EINVAL
    assert (caller.record.type_id, caller.record.category) == (2, "BTF")


@pytest.mark.acceptance("L21")
@pytest.mark.parametrize("level", [1, 2, 8, 15])
@pytest.mark.parametrize("code", [EXIT, RETURN_ONE + EXIT])
def test_the_joined_strings_are_the_text_of_the_same_level(
    caller: LoggingCaller, level: int, code: bytes
) -> None:
    caller.level = level
    caller.program(code)
    text = caller.log.rstrip(b"\0")
    caller.level = level | TLV
    caller.program(code)

    def timeless(log: str) -> list[str]:
        return [line for line in log.splitlines(keepends=True) if "verification time" not in line]

    assert timeless(read_tlv(caller.log).text) == timeless(text.decode())


def test_messages_without_a_level_of_text_have_the_shortest(caller: LoggingCaller) -> None:
    caller.program(EXIT)
    short = read_tlv(caller.log).text

    assert short.splitlines()[0] == "R0 !read_ok"


# --- what does not fit


@pytest.mark.acceptance("L20", "L22")
def test_eight_bytes_hold_the_end_and_the_count(caller: LoggingCaller) -> None:
    caller.size = 8

    assert caller.call(commands.MAP_GET_FD_BY_ID, **ABSENT) == -ENOENT
    kind, size, dropped = struct.unpack("=HIH", caller.log)
    assert (kind, size) == (2, 2)
    assert dropped > 3


@pytest.mark.acceptance("L22")
def test_less_than_eight_bytes_are_einval_where_linux_looks(caller: LoggingCaller) -> None:
    caller.size = 7

    assert caller.program(RETURN_ONE + EXIT) == -EINVAL
    assert caller.subsystem.last_records[0].rule == reasons.TLV_SIZE.id
    assert caller.log == b""


@pytest.mark.acceptance("L7")
def test_a_log_of_messages_that_was_cut_is_enospc_only_where_its_size_is_told(
    caller: LoggingCaller,
) -> None:
    caller.size = 8
    assert caller.program(RETURN_ONE + EXIT) == -ENOSPC
    assert caller.true_size > 8

    caller.common_size = 16
    assert caller.program(RETURN_ONE + EXIT) > 0
    assert caller.program(EXIT) == -EACCES


def test_a_log_that_was_cut_does_not_hide_why_the_program_was_rejected(
    caller: LoggingCaller,
) -> None:
    caller.size = 8
    assert caller.program(EXIT) == -ENOSPC
    answer, verdict = caller.subsystem.last_records

    assert answer.rule == reasons.CUT.id
    assert (verdict.errno, verdict.rule) == (EACCES, "register-initialised")


def test_the_true_size_of_messages_is_what_they_take(caller: LoggingCaller) -> None:
    caller.program(EXIT)
    assert caller.true_size == len(caller.log)

    caller.size = caller.true_size
    assert caller.program(EXIT) == -EACCES


def test_the_true_size_can_be_asked_without_a_buffer(caller: LoggingCaller) -> None:
    caller.call(commands.MAP_GET_FD_BY_ID, **ABSENT)
    size = caller.true_size
    caller.size = caller.address = 0

    assert caller.call(commands.MAP_GET_FD_BY_ID, **ABSENT) == -ENOENT
    assert (caller.true_size, caller.log) == (size, b"")


@pytest.mark.acceptance("L22")
def test_a_command_that_succeeds_ends_its_log(caller: LoggingCaller) -> None:
    fd = caller.map(2)
    assert fd > 0
    assert caller.log == struct.pack("=HIH", 2, 2, 0)

    assert caller.call(commands.MAP_FREEZE, map_fd=fd) == 0
    assert caller.log == struct.pack("=HIH", 2, 2, 0)


def test_what_fails_after_the_verdict_is_added_to_the_log(caller: LoggingCaller) -> None:
    array = caller.map(3, value=4)
    call = b"".join(
        [
            struct.pack("<BBhi", 0x18, 0x12, 0, array), bytes(8),  # r2 = the program array
            struct.pack("<BBhi", 0xB7, 3, 0, 0), struct.pack("<BBhi", 0x85, 0, 0, 12),
            RETURN_ONE, EXIT,
        ]
    )  # fmt: skip
    assert caller.program(call, kind=1) > 0
    caller.level = 1
    assert caller.program(call, kind=6) == -EINVAL

    lines = caller.log.decode().rstrip("\0").splitlines()
    assert lines[-2].startswith("processed ")
    assert len(lines[-1]) > 10


# --- how it is asked for


@pytest.mark.acceptance("L4", "L26")
@pytest.mark.parametrize("level", [1, 9, TLV, TLV | 2])
@pytest.mark.parametrize("size", [48, 4096])
def test_every_way_to_ask_gives_the_same_log(caller: LoggingCaller, level: int, size: int) -> None:
    code, license_ = caller.keep(EXIT), caller.keep(b"\0")
    calls: list[tuple[Command, dict[str, int]]] = [
        (commands.PROG_LOAD,
         {"prog_type": 1, "insn_cnt": 1, "insns": code, "license": license_}),
        (commands.BTF_LOAD, {"btf": caller.keep(bytes(24)), "btf_size": 24}),
        (commands.MAP_CREATE, {"map_type": 77}),
        (commands.MAP_FREEZE, {"map_fd": 999}),
    ]  # fmt: skip
    caller.level, caller.size, caller.common_size = level, size, 16
    for command, members in calls:
        caller.flags = COMMON_ATTRS
        first = caller.call(command, **members), caller.log
        caller.flags = LOGGED
        second = caller.call(command, **members), caller.log
        third = caller.call_extended(command, **members), caller.log

        assert first == second == third
        assert first[1]


@pytest.mark.acceptance("L8", "L9", "L10", "L26")
def test_flags_of_the_command_are_enough() -> None:
    assert (COMMON_ATTRS, LOGGED, COMMAND_FLAGS_MASK) == (1 << 16, 1 << 31, 0xFFFF_0000)
    assert USES_EXTENDED_ATTR == 1 << 17
    known = COMMON_ATTRS | LOGGED | USES_EXTENDED_ATTR

    assert not hasattr(Subsystem, "bpf2")
    assert known & ~COMMAND_FLAGS_MASK == 0
    assert max(row.number for row in commands.COMMANDS) < COMMAND_FLAGS_MASK & -COMMAND_FLAGS_MASK


@pytest.mark.acceptance("L8", "L10")
@pytest.mark.parametrize("flags", [LOGGED, LOGGED | COMMON_ATTRS, LOGGED - (1 << 32)])
def test_the_highest_bit_is_another_name_of_the_common_attributes(
    caller: LoggingCaller, flags: int
) -> None:
    caller.flags = flags

    assert caller.call(commands.MAP_GET_FD_BY_ID, **ABSENT) == -ENOENT
    assert caller.record.rule == "id/absent"


@pytest.mark.acceptance("L10")
@pytest.mark.parametrize("bit", [18, 19, 24, 30])
def test_other_flags_are_einval(caller: LoggingCaller, bit: int) -> None:
    assert COMMAND_FLAGS_MASK == 0xFFFF_0000
    for flags in (1 << bit, 1 << bit | COMMON_ATTRS, 1 << bit | LOGGED):
        caller.flags = flags

        assert caller.map(2) == -EINVAL
        assert caller.log == b""


@pytest.mark.acceptance("L11")
def test_an_extended_attr_asks_for_a_log_and_gets_its_answers(caller: LoggingCaller) -> None:
    assert caller.call_extended(commands.MAP_GET_FD_BY_ID, **ABSENT) == -ENOENT
    assert caller.record.field == "start_id"

    first = caller.map(2)
    assert caller.call_extended(commands.MAP_GET_NEXT_ID) == 0
    assert getattr(caller.attr, "next_id") > 0  # noqa: B009 - Layout does not know it
    caller.subsystem.close(first)


@pytest.mark.acceptance("L11")
def test_reserved_bytes_of_an_extended_attr_are_zero(caller: LoggingCaller) -> None:
    for at in (0, 47):
        reserved = bytearray(48)
        reserved[at] = 1

        assert caller.call_extended(commands.MAP_CREATE, bytes(reserved)) == -EINVAL
        assert caller.subsystem.last_records[0].rule == reasons.EXTENDED_RESERVED.id
        assert caller.log == b""


def test_an_extended_attr_has_a_header_and_a_tail_of_zeros(caller: LoggingCaller) -> None:
    bpf = caller.subsystem.bpf

    assert bpf(USES_EXTENDED_ATTR, bytearray(63)) == -EINVAL
    assert bpf(USES_EXTENDED_ATTR, bytearray(64 + 168) + b"\1") == -E2BIG
    assert bpf(USES_EXTENDED_ATTR, 8, 232) == -EFAULT
    assert bpf(USES_EXTENDED_ATTR | COMMON_ATTRS, bytearray(232), None, bytearray(24)) == -EINVAL
    assert caller.subsystem.last_records[0].rule == reasons.TWO_WAYS.id


def test_messages_of_an_extended_attr_are_dropped_without_enospc(caller: LoggingCaller) -> None:
    caller.size = 8
    members = {
        "prog_type": 1, "insn_cnt": 1, "insns": caller.keep(EXIT), "license": caller.keep(b"\0"),
    }  # fmt: skip

    assert caller.call_extended(commands.PROG_LOAD, **members) == -EACCES


@pytest.mark.acceptance("L1")
def test_the_long_attr_of_a_raw_tracepoint_asks_for_a_log(caller: LoggingCaller) -> None:
    offsets = {member.name: member.offset for member in LongRawTracepointOpen.members()}
    assert offsets == {
        "name": 0, "prog_fd": 8, "log_level": 12, "log_size": 16, "log_buf": 24,
        "tgt_prog_fd": 32, "tgt_btf_id": 36,
    }  # fmt: skip
    assert LongRawTracepointOpen.wire_size() == 40

    attr = LongRawTracepointOpen(
        prog_fd=999, log_level=1, log_size=caller.size, log_buf=caller.address
    )
    assert caller.subsystem.bpf(17, bytearray(attr.encode())) == -EBADF
    assert b"999" in caller.log


@pytest.mark.acceptance("L1")
def test_the_target_of_the_long_attr_is_refused_with_advice(caller: LoggingCaller) -> None:
    attr = LongRawTracepointOpen(
        tgt_btf_id=1, log_level=TLV, log_size=caller.size, log_buf=caller.address
    )

    assert caller.subsystem.bpf(17, bytearray(attr.encode())) == -EINVAL
    assert caller.record.rule == reasons.TRACEPOINT_TARGET.id
    assert "LINK_CREATE" in caller.record.hint


@pytest.mark.acceptance("L1", "L6")
def test_an_attr_of_forty_bytes_with_a_cookie_is_linuxs(caller: LoggingCaller) -> None:
    attr = commands.RawTracepointOpen(prog_fd=999, cookie=1 << 40).encode().ljust(40, b"\0")

    assert caller.subsystem.bpf(17, bytearray(attr)) == -EBADF
    for size in (39, 41, 48):  # Linux: bytes beyond the cookie are set
        assert (
            caller.subsystem.bpf(17, bytearray(attr.ljust(size - 1, b"\0")[: size - 1] + b"\1"))
            == -EINVAL
        )


@pytest.mark.acceptance("L6")
def test_no_attr_has_moved_for_the_log() -> None:
    assert commands.ATTR_SIZE == 168
    assert commands.MAP_CREATE.layout.member("map_type").offset == 0
    assert commands.PROG_LOAD.layout.member("log_level").offset == 24
    assert commands.PROG_LOAD.layout.member("log_buf").offset == 32
    assert commands.RAW_TRACEPOINT_OPEN.layout.member("cookie").offset == 16


@pytest.mark.acceptance("L2", "L5")
@pytest.mark.parametrize("command", commands.COMMANDS, ids=lambda row: row.name)
def test_every_command_says_why_it_refuses(caller: LoggingCaller, command: Command) -> None:
    attr = bytearray(b"\xff" * commands.ATTR_SIZE)
    common = bytearray(struct.pack("<QIIII", caller.address, caller.size, TLV, 0, 0))
    result = caller.subsystem.bpf(command.number | COMMON_ATTRS, attr, None, common)
    record = caller.record

    assert result == -record.errno != 0
    assert record.command == command.name
    assert record.rule
    assert record.message
