"""Drivers: how a call asks for its log."""

import struct

from contract.refusals.bench import Bench, Drivers
from skep.uapi import commands
from skep.uapi import reasons_log as reasons
from skep.uapi.commands import COMMON_ATTRS, USES_EXTENDED_ATTR, LongRawTracepointOpen
from skep.uapi.log_messages import EXTENDED_SIZE, TLV
from support.caller import EXIT, RETURN_ONE

SIZE = 256


def flagged(bench: Bench, command: int, attr: bytes, common: bytes = b"") -> None:
    bench.result = bench.subsystem.bpf(command, bytearray(attr), None, bytearray(common))


def two_logs(bench: Bench) -> None:
    own, other = bench.keep(b"", SIZE), bench.keep(b"", SIZE)
    attr = commands.ProgLoad(log_level=1, log_size=SIZE, log_buf=own).encode()
    flagged(bench, commands.PROG_LOAD.number | COMMON_ATTRS, attr,
            struct.pack("<QIIII", other, SIZE, 1, 0, 0))  # fmt: skip


def short_messages(bench: Bench) -> None:
    common = struct.pack("<QIIII", bench.keep(b"", SIZE), 7, TLV, 0, 0)
    flagged(bench, commands.PROG_LOAD.number | COMMON_ATTRS, commands.ProgLoad().encode(), common)


def target(bench: Bench) -> None:
    attr = LongRawTracepointOpen(tgt_btf_id=1)
    bench.raw(commands.RAW_TRACEPOINT_OPEN.number, attr.encode())


GOOD = RETURN_ONE + EXIT

DRIVERS: Drivers = {
    reasons.BUFFER: lambda bench: bench.program(GOOD, log_level=1, log_size=SIZE),
    reasons.NO_LEVEL: lambda bench: bench.program(
        GOOD, log_buf=bench.keep(b"", SIZE), log_size=SIZE
    ),
    reasons.LEVEL: lambda bench: bench.program(GOOD, log_level=TLV),
    reasons.SIZE: lambda bench: bench.program(GOOD, log_level=1, log_size=1 << 30, log_buf=1),
    reasons.TLV_SIZE: short_messages,
    reasons.TWO_LOGS: two_logs,
    reasons.CUT: lambda bench: bench.program(
        GOOD, log_level=1, log_size=8, log_buf=bench.keep(b"", 8)
    ),
    reasons.TWO_WAYS: lambda bench: flagged(
        bench, COMMON_ATTRS | USES_EXTENDED_ATTR, bytes(SIZE), bytes(24)
    ),
    reasons.EXTENDED_SIZE: lambda bench: flagged(
        bench, USES_EXTENDED_ATTR, bytes(EXTENDED_SIZE - 1)
    ),
    reasons.EXTENDED_RESERVED: lambda bench: flagged(
        bench, USES_EXTENDED_ATTR, bytes(16) + b"\1" + bytes(47)
    ),
    reasons.TRACEPOINT_TARGET: target,
}
