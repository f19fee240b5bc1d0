"""Numbers and instruction macros of the 2014 draft of bpf(2).

A macro gives a list of instructions, since some take two slots. The draft names its functions and
program types without giving numbers; those that live on have today's, the others numbers of ours.

Source: the draft of 12 September 2014 (seed 003).
"""

from typing import Final

from skep.isa.insn import Insn

BPF_MAP_TYPE_UNSPEC: Final = 0
BPF_MAP_TYPE_HASH: Final = 1
BPF_PROG_TYPE_UNSPEC: Final = 0
BPF_PROG_TYPE_SOCKET: Final = 1  # SOCKET_FILTER today
BPF_PROG_TYPE_TRACING_2014: Final = 0x2014  # TRACING in the draft, where today's kprobe would be
BPF_PROG_TYPE_USER_TRACING: Final = 0x2015
BPF_FUNC_map_lookup_elem: Final = 1
BPF_FUNC_map_update_elem: Final = 2  # of three arguments
BPF_FUNC_map_delete_elem: Final = 3
BPF_FUNC_ktime_get_ns: Final = 5
BPF_FUNC_printk: Final = 6
BPF_FUNC_get_current: Final = 0x2014_0001
BPF_FUNC_memcmp: Final = 0x2014_0002
BPF_FUNC_fetch_ptr: Final = 0x2014_0003
BPF_FUNC_fetch_u8: Final = 0x2014_0004
BPF_FUNC_fetch_u16: Final = 0x2014_0005
BPF_FUNC_fetch_u32: Final = 0x2014_0006
BPF_FUNC_fetch_u64: Final = 0x2014_0007
SOL_SOCKET: Final = 1
SO_ATTACH_BPF: Final = 50
PERF_EVENT_IOC_SET_BPF: Final = 0x4004_2408
LOG_BUF_SIZE: Final = 65536

BPF_B: Final = 0x10
BPF_H: Final = 0x08
BPF_W: Final = 0x00
BPF_DW: Final = 0x18
BPF_ADD: Final = 0x00
BPF_JEQ: Final = 0x10
BPF_JNE: Final = 0x50
BPF_REG_0, BPF_REG_1, BPF_REG_2, BPF_REG_3, BPF_REG_4, BPF_REG_5 = range(6)
BPF_REG_6, BPF_REG_7, BPF_REG_8, BPF_REG_9, BPF_REG_10 = range(6, 11)


def BPF_MOV64_REG(dst: int, src: int) -> list[Insn]:  # noqa: N802 - the draft's names
    """``dst = src``."""
    return [Insn(0xBF, dst, src)]


def BPF_MOV64_IMM(dst: int, imm: int) -> list[Insn]:  # noqa: N802
    """``dst = imm``."""
    return [Insn(0xB7, dst, 0, 0, imm)]


def BPF_ALU64_IMM(op: int, dst: int, imm: int) -> list[Insn]:  # noqa: N802
    """``dst op= imm``."""
    return [Insn(0x07 | op, dst, 0, 0, imm)]


def BPF_LD_ABS(size: int, imm: int) -> list[Insn]:  # noqa: N802
    """``r0 = packet[imm]``; the packet is in r6."""
    return [Insn(0x20 | size, 0, 0, 0, imm)]


def BPF_LDX_MEM(size: int, dst: int, src: int, off: int) -> list[Insn]:  # noqa: N802
    """``dst = *(size *)(src + off)``."""
    return [Insn(0x61 | size, dst, src, off)]


def BPF_ALU64_REG(op: int, dst: int, src: int) -> list[Insn]:  # noqa: N802
    """``dst op= src``."""
    return [Insn(0x0F | op, dst, src)]


def BPF_ST_MEM(size: int, dst: int, off: int, imm: int) -> list[Insn]:  # noqa: N802
    """``*(size *)(dst + off) = imm``."""
    return [Insn(0x62 | size, dst, 0, off, imm)]


def BPF_STX_MEM(size: int, dst: int, src: int, off: int) -> list[Insn]:  # noqa: N802
    """``*(size *)(dst + off) = src``."""
    return [Insn(0x63 | size, dst, src, off)]


def BPF_LD_MAP_FD(dst: int, map_fd: int) -> list[Insn]:  # noqa: N802
    """``dst = the map of map_fd``: two slots."""
    return [Insn(0x18, dst, 1, 0, map_fd), Insn(0)]


def BPF_CALL_FUNC(function: int) -> list[Insn]:  # noqa: N802
    """``r0 = function(r1, …, r5)``."""
    return [Insn(0x85, 0, 0, 0, function)]


def BPF_JMP_IMM(op: int, dst: int, imm: int, off: int) -> list[Insn]:  # noqa: N802
    """``if dst op imm goto pc + off``."""
    return [Insn(0x05 | op, dst, 0, off, imm)]


def BPF_XADD(size: int, dst: int, src: int, off: int, _imm: int = 0) -> list[Insn]:  # noqa: N802
    """``lock *(size *)(dst + off) += src``; the draft passes a fifth argument."""
    return [Insn(0xC3 | size, dst, src, off)]


def BPF_EXIT_INSN() -> list[Insn]:  # noqa: N802
    """``return r0``."""
    return [Insn(0x95)]
