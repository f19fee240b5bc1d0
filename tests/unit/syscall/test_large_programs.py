"""Programs as large as Linux takes them."""

from skep.uapi import commands
from skep.uapi.flags import MapType
from support.caller import EXIT, Caller, insn

SCHED_CLS = 3
LOOKUPS = 2500


def test_thousands_of_look_ups_are_compiled_in_seconds_and_run() -> None:
    # LLVM's better passes take time in the square of such a function: 5000 look-ups, half a minute.
    caller = Caller()
    fd = caller.map(MapType.ARRAY)
    key = insn(0x62, 10, 0, -4, 0) + insn(0xBF, 2, 10) + insn(0x07, 2, imm=-4)
    look = insn(0x18, 1, 1, 0, fd) + insn(0) + insn(0x85, imm=1) + insn(0x15, 0, off=3)
    count = insn(0x79, 6, 0, 0) + insn(0x07, 6, imm=1) + insn(0x7B, 0, 6, 0)
    result = insn(0xBF, 0, 6) + EXIT
    start = insn(0xB7, 6)
    program = caller.program(start + (key + look + count) * LOOKUPS + result, SCHED_CLS)
    packet = caller.keep(bytes(64))

    arguments = {"prog_fd": program, "data_in": packet, "data_size_in": 64}
    assert caller.call(commands.PROG_TEST_RUN, **arguments) == 0
    assert caller.fetch(fd, bytes(4)) == LOOKUPS.to_bytes(8, "little")
