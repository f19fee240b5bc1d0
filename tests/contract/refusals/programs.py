"""Drivers: PROG_LOAD, PROG_BIND_MAP, BTF_LOAD and ENABLE_STATS."""

import struct
from collections.abc import Sequence

from contract.refusals.bench import NO_FD, Bench, Driver, Drivers, btf_bytes, words
from contract.refusals.tables import make as table
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi import reasons_programs as reasons
from support.caller import EXIT, RETURN_ONE, insn
from support.special_types import types_of

CODE = RETURN_ONE + EXIT
XDP, TRACING = 6, 26
TOO_MANY = 1_000_001


def load(**members: int | bytes) -> Driver:
    """A driver: PROG_LOAD of a good socket filter, but for *members*."""

    def drive(bench: Bench) -> None:
        good = {"prog_type": 1, "insn_cnt": 2, "insns": bench.keep(CODE),
                "license": bench.keep(b"GPL")}  # fmt: skip
        bench.call(commands.PROG_LOAD, **{**good, **members})

    return drive


def with_records(**members: int) -> Driver:
    """The same, with BTF and one record of 16 bytes."""

    def drive(bench: Bench) -> None:
        place = bench.keep(words(0, 9999, 9999, 0) + bytes(1000))
        pointers = {
            name: place for name in ("func_info", "line_info") if members.get(f"{name}_cnt")
        }
        load(prog_btf_fd=bench.btf(), **pointers, **members)(bench)

    return drive


def long_record(name: str) -> Driver:
    """Records of 20 bytes that end in ones."""

    def drive(bench: Bench) -> None:
        place = bench.keep(bytes(16) + b"\1" * 4)
        load(**{"prog_btf_fd": bench.btf(), name: place, f"{name}_cnt": 1,
                f"{name}_rec_size": 20})(bench)  # fmt: skip

    return drive


def kernel_fd(bench: Bench) -> int:
    assert bench.subsystem.state.kernel_btf is not None
    number = bench.subsystem.state.kernel_btf_id
    return bench.good(bench.call(commands.BTF_GET_FD_BY_ID, start_id=number))


def no_kernel(bench: Bench) -> None:
    bench.subsystem = Subsystem()
    bench.subsystem.state._find_kernel_btf = None  # as where neither kernel nor file has types
    load(prog_type=TRACING, attach_btf_id=1)(bench)


def other_owner(bench: Bench) -> None:
    """A program array that belongs to socket filters, in an XDP program."""
    fd = bench.good(bench.map(3, 4, 4))
    bench.good(bench.store(fd, bytes(4), struct.pack("<I", bench.socket_filter())))
    code = insn(0x18, 2, 1, imm=fd) + insn(0) + insn(0xB7, 3) + insn(0x85, imm=12) + CODE
    bench.program(code, XDP)


def bind(bench: Bench) -> None:
    bench.call(commands.PROG_BIND_MAP, prog_fd=bench.socket_filter(), map_fd=bench.array(), flags=1)


def associate(bench: Bench) -> None:
    maps = bench.good(table(bench))
    bench.call(commands.PROG_ASSOC_STRUCT_OPS, prog_fd=bench.socket_filter(), map_fd=maps)


def loop() -> bytes:
    """32 const in a row, then one that was looked at before: one more than may be."""
    forward = [(0, 10 << 24, number + 1) for number in range(3, 34)]
    chain = [(1, 1 << 24, 4, 32), (0, 10 << 24, 1), *forward, (0, 10 << 24, 2)]
    return btf_bytes(b"".join(words(*row) for row in chain), b"\0int\0")


def cycle() -> bytes:
    """struct a { struct a a; }."""
    return btf_bytes(words(1, 4 << 24 | 1, 4, 1, 1, 0), b"\0a\0")


def fields(*structs: Sequence[str]) -> Driver:
    """A driver: BTF_LOAD of structs with these members."""
    return lambda bench: bench.load_btf(types_of(*structs))


RING = ["bpf_spin_lock", "bpf_list_head contains:s0:m2", "bpf_list_node"]


DRIVERS: Drivers = {
    reasons.FLAGS: load(prog_flags=1 << 30),
    reasons.INSN_COUNT: load(insn_cnt=TOO_MANY),
    reasons.TARGET_FD: load(attach_prog_fd=NO_FD),
    reasons.TARGET_BTF: lambda bench: load(attach_prog_fd=bench.btf())(bench),
    reasons.TARGET_NO_TYPES: no_kernel,
    reasons.TARGET_RANGE: load(prog_type=TRACING, attach_btf_id=1 << 20),
    reasons.TARGET_TYPED: load(attach_btf_id=1),
    reasons.TARGET_WITHOUT_ID: lambda bench: load(
        prog_type=TRACING, attach_prog_fd=kernel_fd(bench)
    )(bench),
    reasons.TARGET_PROGRAM: lambda bench: load(attach_prog_fd=bench.socket_filter())(bench),
    reasons.ATTACH_TYPE: load(prog_type=9, expected_attach_type=99),
    reasons.IFINDEX: load(prog_ifindex=1),
    reasons.DEVICE_FLAGS: load(prog_type=XDP, prog_ifindex=1, prog_flags=1),
    reasons.OFFLOAD: load(prog_type=XDP, prog_ifindex=1),
    reasons.PROG_TYPE: load(prog_type=99),
    reasons.PROG_NAME: load(prog_name=b"a b"),
    reasons.FD_COUNT: load(fd_array_cnt=0xFFFF_FFFF),
    reasons.FD_ARRAY: load(fd_array_cnt=1),
    reasons.PROG_BTF: lambda bench: load(prog_btf_fd=kernel_fd(bench), func_info_cnt=1)(bench),
    reasons.CORE: with_records(func_info_cnt=1, func_info_rec_size=8, core_relo_cnt=1),
    reasons.FUNC_SIZE: with_records(func_info_cnt=1, func_info_rec_size=7),
    reasons.LINE_SIZE: with_records(line_info_cnt=1, line_info_rec_size=8),
    reasons.FUNC_TAIL: long_record("func_info"),
    reasons.LINE_TAIL: long_record("line_info"),
    reasons.FUNC_COUNT: with_records(func_info_cnt=3, func_info_rec_size=8),
    reasons.LINE_COUNT: with_records(line_info_cnt=3, line_info_rec_size=16),
    reasons.LINE_NAMES: with_records(line_info_cnt=1, line_info_rec_size=16),
    reasons.OWNER: other_owner,
    reasons.BIND_FLAGS: bind,
    reasons.ASSOC_FLAGS: lambda bench: bench.call(commands.PROG_ASSOC_STRUCT_OPS, flags=1),
    reasons.ASSOC_MAP: lambda bench: bench.call(
        commands.PROG_ASSOC_STRUCT_OPS, prog_fd=bench.socket_filter(), map_fd=bench.array()
    ),
    reasons.ASSOC: associate,
    reasons.BTF_FLAGS: lambda bench: bench.load_btf(b"", btf_flags=1),
    reasons.BTF_SIZE: lambda bench: bench.call(commands.BTF_LOAD, btf_size=(16 << 20) + 1),
    reasons.BTF_FORM: lambda bench: bench.load_btf(bytes(64)),
    reasons.BTF_UNKNOWN: lambda bench: bench.load_btf(
        struct.pack("<HBBIIIII", 0xEB9F, 2, 0, 24, 0, 0, 0, 0)
    ),
    reasons.BTF_LARGE: lambda bench: bench.load_btf(
        struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 32, 0, 0, 0, 0) + b"\1" * 8
    ),
    reasons.BTF_LOOP: lambda bench: bench.load_btf(loop()),
    reasons.BTF_CYCLE: lambda bench: bench.load_btf(cycle()),
    reasons.FIELDS_FORM: fields(["bpf_list_head contains:s0:m1", "bpf_list_node"]),
    reasons.FIELDS_MANY: fields(["bpf_spin_lock", "bpf_spin_lock"]),
    reasons.FIELDS_OVERLAP: fields(["bpf_list_node", "bpf_rb_node@8", "bpf_refcount"]),
    reasons.FIELDS_TARGET: fields(["bpf_spin_lock", "bpf_list_head contains:nobody:n"]),
    reasons.FIELDS_MISPLACED: fields(["bpf_list_node@4"]),
    reasons.FIELDS_OWNERS: fields(RING),
    reasons.STATS_TYPE: lambda bench: bench.call(commands.ENABLE_STATS, type=7),
}
