"""Drivers: PROG_TEST_RUN."""

from contract.refusals.bench import Bench, Driver, Drivers, words
from skep.uapi import commands
from skep.uapi import reasons_runs as reasons
from support.caller import EXIT, RETURN_ONE, insn

CODE = RETURN_ONE + EXIT
SOCKET, KPROBE, SCHED, TRACEPOINT, XDP, CGROUP_SOCK, RAW, SK_LOOKUP = 1, 2, 3, 5, 6, 9, 17, 30
ARP = bytes(12) + b"\x08\x06" + bytes(46)
SHORT_IP = bytes(12) + b"\x08\x00" + bytes(4)
PAGE = 4096


def run(kind: int, code: bytes = CODE, *, attach: int = 0, **members: int) -> Driver:
    """A driver: PROG_TEST_RUN of a program of type *kind*."""

    def drive(bench: Bench) -> None:
        fd = bench.good(bench.program(code, kind, expected_attach_type=attach))
        bench.call(commands.PROG_TEST_RUN, prog_fd=fd, **members)

    return drive


def packet(kind: int, data: bytes = ARP, context: bytes = b"", code: bytes = CODE, **members: int,
           ) -> Driver:  # fmt: skip
    """The same, on *data* and perhaps a *context*."""

    def drive(bench: Bench) -> None:
        given = {"data_in": bench.keep(data), "data_size_in": len(data)}
        if context:
            given |= {"ctx_in": bench.keep(context), "ctx_size_in": len(context)}
        run(kind, code, **{**given, **members})(bench)

    return drive


def context(kind: int, data: bytes, code: bytes = CODE, *, attach: int = 0) -> Driver:
    """The same, on nothing but a context."""
    return lambda bench: run(
        kind, code, attach=attach, ctx_in=bench.keep(data), ctx_size_in=len(data)
    )(bench)


def out(name: str) -> Driver:
    """An output that is too small: data or context."""

    def drive(bench: Bench) -> None:
        sizes = {"data_size_out": 64, "ctx_size_out": 256, f"{name}_size_out": 8}
        packet(SCHED, context=bytes(192), data_out=bench.keep(b"", 64),
               ctx_out=bench.keep(b"", 256), **sizes)(bench)  # fmt: skip

    return drive


def lookup(family: int, port: int) -> bytes:
    return words(0, 0, family) + bytes(48) + words(port) + bytes(8)


def tracing(name: str, attach: int) -> Driver:
    """A tracing program on the kernel function or type *name*."""

    def drive(bench: Bench) -> None:
        code = insn(0xB7) + EXIT
        kind = 12 if attach != 23 else 8  # function, or typedef of a raw tracepoint
        type_id = bench.subsystem.find_kernel_type(name, kind)
        assert type_id > 0
        fd = bench.good(bench.program(code, 26, expected_attach_type=attach, attach_btf_id=type_id))
        bench.call(commands.PROG_TEST_RUN, prog_fd=fd)

    return drive


def changed(bench: Bench) -> None:
    """A program that changes the packet whose sum was asked for."""
    grow = (
        insn(0xB7, 2, imm=0) + insn(0x7B, 10, 2, -8)
        + insn(0xB7, 2, imm=0) + insn(0xBF, 3, 10) + insn(0x07, 3, imm=-8)
        + insn(0xB7, 4, imm=4) + insn(0xB7, 5, imm=0) + insn(0x85, imm=9) + insn(0xB7) + EXIT
    )  # fmt: skip
    data = b"\1" * 12 + ARP[12:]
    packet(SCHED, data=data, code=grow, flags=4)(bench)


DRIVERS: Drivers = {
    reasons.CONTEXT_SIZE_ALONE: run(SOCKET, ctx_size_in=4),
    reasons.PROG_TYPE: run(CGROUP_SOCK, attach=2),
    reasons.UNUSED: run(SOCKET, cpu=1),
    reasons.DATA_SIZE: run(SOCKET, data_size_in=13),
    reasons.DATA_LONG: packet(XDP, data=bytes(20 * PAGE)),
    reasons.PACKET: packet(SOCKET, data=SHORT_IP),
    reasons.CONTEXT_LONG: packet(SCHED, context=bytes(PAGE + 8)),
    reasons.CONTEXT: packet(SCHED, context=words(1) + bytes(188)),
    reasons.CONTEXT_NEEDED: run(SK_LOOKUP, attach=36),
    reasons.CONTEXT_SIZE: context(RAW, bytes(104)),
    reasons.PORT: context(SK_LOOKUP, lookup(2, 1 << 16), attach=36),
    reasons.FAMILY: context(SK_LOOKUP, lookup(99, 80), attach=36),
    reasons.DEVICE: packet(SCHED, context=bytes(40) + words(0x7FFF_0000) + bytes(148)),
    reasons.DATA_OUT: out("data"),
    reasons.CONTEXT_OUT: out("ctx"),
    reasons.FLAGS: packet(SOCKET, flags=8),
    reasons.CPU_FLAG: run(RAW, cpu=1),
    reasons.CPU: run(RAW, cpu=99999, flags=1),
    reasons.XDP_TARGET: run(XDP, attach=35),
    reasons.LIVE_FRAMES: packet(XDP, flags=2),
    reasons.CHECKSUM: changed,
    reasons.NOTHING_TRACED: tracing("btf_trace_sched_switch", 23),
    reasons.KERNEL_OBJECTS: tracing("bpf_fentry_test1", 24),
}
