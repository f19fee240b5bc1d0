"""PROG_LOAD and PROG_TEST_RUN through any bpf(2): the running kernel's or a Subsystem's."""

import ctypes
import struct
from collections.abc import Callable
from dataclasses import dataclass

Bpf = Callable[[int, bytearray], int]

_OUTPUT = 1 << 13


@dataclass(frozen=True)
class Outcome:
    """What a test run gave; *errno* is not 0 if loading or running failed, *log* then says why."""

    errno: int = 0
    retval: int = 0
    data: bytes = b""
    log: str = ""


def load(bpf: Bpf, program_type: int, code: bytes) -> tuple[int, str]:
    """PROG_LOAD: fd or -errno, and the log."""
    instructions = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(1 << 20)
    attr = bytearray(168)
    struct.pack_into(
        "<IIQQIIQ",
        attr,
        0,
        program_type,
        len(code) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(license_),
        1,
        len(log),
        ctypes.addressof(log),
    )
    fd = bpf(5, attr)
    return fd, log.value.decode(errors="replace")


def run(bpf: Bpf, fd: int, data: bytes) -> Outcome:
    """PROG_TEST_RUN on a packet."""
    given = ctypes.create_string_buffer(data, len(data))
    output = ctypes.create_string_buffer(_OUTPUT)
    attr = bytearray(80)
    struct.pack_into(
        "<IIIIQQI",
        attr,
        0,
        fd,
        0,
        len(data),
        _OUTPUT,
        ctypes.addressof(given),
        ctypes.addressof(output),
        1,
    )
    result = bpf(10, attr)
    if result < 0:
        return Outcome(errno=-result)
    (retval,) = struct.unpack_from("<I", attr, 4)
    (size,) = struct.unpack_from("<I", attr, 12)
    return Outcome(retval=retval, data=output.raw[:size])


def fold(register: str) -> list[str]:
    """Assembly that mixes *register* into r9."""
    return ["r9 *= 31", f"r9 += {register}"]


def stack_words(first: int, count: int) -> list[str]:
    """Assembly that mixes *count* words of the stack, from r10 - *first* on, into r9."""
    lines: list[str] = []
    for number in range(count):
        lines += [f"r7 = *(u64 *)(r10 - {first - 8 * number})", *fold("r7")]
    return lines
