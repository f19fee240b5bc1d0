"""PROG_TEST_RUN without a kernel to compare with: what skep adds, and the broad lines."""

import ctypes
import struct
from errno import EFAULT, EINVAL, ENOSPC

import pytest

from skep.runtime.world import World
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.commands import ENOTSUPP
from skep.uapi.infos import ProgInfo
from support.caller import EXIT, RETURN_ONE, Caller, insn

FRAME = (
    bytes(12) + b"\x08\x00" + bytes.fromhex("4500002e00000000401100000102030405060708") + bytes(26)
)
XDP, KPROBE, TRACEPOINT, SYSCALL, SCHED_CLS = 6, 2, 5, 31, 3
STORE = insn(0x73, 2, 0, 0)  # *(u8 *)(r2 + 0) = r0


@pytest.fixture
def caller() -> Caller:
    return Caller()


def test_xdp_sees_and_changes_the_packet(caller: Caller) -> None:
    bounds = insn(0x61, 2, 1, 0) + insn(0x61, 3, 1, 4) + insn(0xBF, 4, 2) + insn(0x07, 4, imm=1)
    program = caller.program(
        RETURN_ONE + bounds + insn(0x2D, 4, 3, 2) + insn(0xB7, 0, imm=2) + STORE + EXIT, XDP
    )
    out = caller.keep(b"", 256)
    result = caller.call(
        commands.PROG_TEST_RUN,
        prog_fd=program,
        data_in=caller.keep(FRAME),
        data_size_in=len(FRAME),
        data_out=out,
        data_size_out=256,
    )

    assert (result, caller.attr.retval, caller.attr.data_size_out) == (0, 2, len(FRAME))
    assert ctypes.string_at(out, len(FRAME)) == b"\x02" + FRAME[1:]


def test_a_short_buffer_is_filled_and_reported(caller: Caller) -> None:
    out = caller.keep(b"#" * 32)
    result = caller.call(
        commands.PROG_TEST_RUN,
        prog_fd=caller.program(RETURN_ONE + EXIT, SCHED_CLS),
        data_in=caller.keep(FRAME),
        data_size_in=len(FRAME),
        data_out=out,
        data_size_out=20,
    )

    assert (result, caller.attr.data_size_out) == (-ENOSPC, len(FRAME))
    assert ctypes.string_at(out, 21) == FRAME[:20] + b"#"


def test_repeats_are_counted_and_timed(caller: Caller) -> None:
    stats = caller.call(commands.ENABLE_STATS, type=0)
    program = caller.program(RETURN_ONE + EXIT, SCHED_CLS)
    arguments = {"prog_fd": program, "data_in": caller.keep(FRAME), "data_size_in": len(FRAME)}
    assert caller.call(commands.PROG_TEST_RUN, **arguments, repeat=1000) == 0
    caller.subsystem.close(stats)
    assert caller.call(commands.PROG_TEST_RUN, **arguments, repeat=5) == 0
    info = caller.info(program, ProgInfo)

    assert info.run_cnt == 1000
    assert info.run_time_ns > 0


@pytest.mark.parametrize(
    ("kind", "size", "offset"), [(KPROBE, 168, 112), (TRACEPOINT, 64, 16), (7, 184, 176)]
)
def test_events_that_linux_does_not_run_are_run_on_a_context(
    caller: Caller, kind: int, size: int, offset: int
) -> None:
    program = caller.program(insn(0x79, 0, 1, offset) + EXIT, kind)
    context = bytearray(size)
    struct.pack_into("<Q", context, offset, 1234)
    arguments = {"prog_fd": program, "ctx_in": caller.keep(bytes(context)), "ctx_size_in": size}

    assert caller.call(commands.PROG_TEST_RUN, **arguments) == 0
    assert caller.attr.retval == 1234
    assert caller.call(commands.PROG_TEST_RUN, prog_fd=program) == -ENOTSUPP


def test_a_context_must_hold_what_the_program_reads(caller: Caller) -> None:
    program = caller.program(insn(0x79, 0, 1, 40) + EXIT, KPROBE)
    context = caller.keep(bytes(168))

    assert (
        caller.call(commands.PROG_TEST_RUN, prog_fd=program, ctx_in=context, ctx_size_in=40)
        == -EINVAL
    )


def test_a_syscall_program_writes_to_its_context(caller: Caller) -> None:
    program = caller.program(insn(0x7A, 1, 0, 8, 7) + RETURN_ONE + EXIT, SYSCALL, prog_flags=1 << 4)
    context = caller.keep(bytes(16))

    assert caller.call(commands.PROG_TEST_RUN, prog_fd=program, ctx_in=context, ctx_size_in=16) == 0
    assert struct.unpack("<QQ", ctypes.string_at(context, 16)) == (0, 7)


def test_a_packet_that_cannot_be_read_is_efault(caller: Caller) -> None:
    program = caller.program(RETURN_ONE + EXIT, XDP)

    assert (
        caller.call(commands.PROG_TEST_RUN, prog_fd=program, data_in=8, data_size_in=64) == -EFAULT
    )


def test_repeats_end_soon_after_a_helper_raised() -> None:
    # 65536 runs went by before anybody looked; of a slow program, that was hours without Ctrl-C.
    lines: list[str] = []

    def refuse(line: str) -> None:
        lines.append(line)
        raise KeyError(line)

    caller = Caller(Subsystem(World(printk=refuse)))
    text = insn(0x62, 10, 0, -8, 0x41) + insn(0xBF, 1, 10) + insn(0x07, 1, imm=-8)
    call = insn(0xB7, 2, imm=2) + insn(0x85, imm=6)
    program = caller.program(text + call + RETURN_ONE + EXIT, SCHED_CLS)
    with pytest.raises(KeyError):
        caller.call(
            commands.PROG_TEST_RUN,
            prog_fd=program,
            data_in=caller.keep(FRAME),
            data_size_in=len(FRAME),
            repeat=1 << 20,
        )

    assert 1 <= len(lines) <= 2
