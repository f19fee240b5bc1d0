"""The running kernel's bpf(2), as an oracle: load a program, give back its verdict and log."""

import ctypes
import functools
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from skep.isa.insn import Insn

BPF_SYSCALL = 321  # x86_64
MAP_CREATE = 0
PROG_LOAD = 5
SOCKET_FILTER = 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Verdict:
    """What the kernel said: *errno* is 0 if it accepted."""

    errno: int
    log: str


def bpf(command: int, attr: bytes) -> int:
    """Call bpf(2); returns the result or ``-errno``."""
    buffer = ctypes.create_string_buffer(attr.ljust(152, b"\0"), max(len(attr), 152))
    result = int(_libc.syscall(BPF_SYSCALL, command, buffer, len(buffer)))
    return -ctypes.get_errno() if result < 0 else result


def encode(insns: Sequence[Insn]) -> bytes:
    """The instructions as bytes."""
    return b"".join(
        struct.pack("<BBhi", insn.code, insn.dst | insn.src << 4, insn.off, insn.imm)
        for insn in insns
    )


def load(
    insns: Sequence[Insn],
    program_type: int = SOCKET_FILTER,
    *,
    log_level: int = 2,
    log_size: int = 1 << 24,
    flags: int = 0,
    expected_attach_type: int = 0,
) -> Verdict:
    """Verify *insns* in the kernel; an accepted program is closed at once."""
    code = ctypes.create_string_buffer(encode(insns), 8 * len(insns))
    license_text = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(log_size) if log_level else None
    attr = struct.pack(
        "<IIQQIIQII16sII",
        program_type,
        len(insns),
        ctypes.addressof(code),
        ctypes.addressof(license_text),
        log_level,
        log_size if log else 0,
        ctypes.addressof(log) if log else 0,
        0,
        flags,
        b"skep_oracle",
        0,
        expected_attach_type,
    )
    result = bpf(PROG_LOAD, attr)
    if result >= 0:
        os.close(result)
    return Verdict(max(0, -result), log.value.decode(errors="replace") if log else "")


def create_map(map_type: int, key_size: int, value_size: int, max_entries: int) -> int:
    """Create a map; returns its file descriptor or ``-errno``."""
    return bpf(MAP_CREATE, struct.pack("<IIIII", map_type, key_size, value_size, max_entries, 0))


@functools.cache
def refusal() -> str:
    """Why the kernel cannot be asked, or "" if it can."""
    if os.uname().machine != "x86_64":
        return "the oracle knows only x86_64"
    if not os.uname().release.startswith("6.18."):
        return f"the kernel is {os.uname().release}, not 6.18"
    trivial = [Insn(0xB7), Insn(0x95)]
    errno = load(trivial, log_level=0).errno
    return f"PROG_LOAD answers {os.strerror(errno)}" if errno else ""
