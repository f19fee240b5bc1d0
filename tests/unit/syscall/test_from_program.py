"""Syscall programs call bpf(2); the running kernel is asked the same where there is one."""

import ctypes
import os
import struct
from collections.abc import Callable
from errno import ENOENT, EPERM

import pytest

from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.syscall.credentials import Capability, Credentials
from skep.syscall.subsystem import Subsystem
from support.running_kernel import RunningKernel, missing

SYSCALL, SLEEPABLE = 31, 1 << 4
SYS_BPF, FIND_TYPE, CLOSE, FIND_SYMBOL = 166, 167, 168, 179
ZEROS = "\n".join(["r0 = 0", *(f"*(u64 *)(r10 - {at}) = r0" for at in range(8, 88, 8))])
MAKE_ARRAY = f"""
{ZEROS}
r1 = 2
*(u32 *)(r10 - 80) = r1
r1 = 4
*(u32 *)(r10 - 76) = r1
*(u32 *)(r10 - 72) = r1
*(u32 *)(r10 - 68) = r1
r1 = 0
r2 = r10
r2 += -80
r3 = 80
call {SYS_BPF}
"""


def run(bpf: Callable[..., int], close: Callable[[int], None], text: str) -> int:
    """r0 of a syscall program, signed, or -errno of loading or running it."""
    code = encode(assemble(text))
    insns = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(b"GPL")
    attr = bytearray(168)
    struct.pack_into(
        "<IIQQIIQII", attr, 0, SYSCALL, len(code) // 8, ctypes.addressof(insns),
        ctypes.addressof(license_), 0, 0, 0, 0, SLEEPABLE,
    )  # fmt: skip
    fd = bpf(5, attr)
    assert fd >= 0, fd
    attr = bytearray(80)
    struct.pack_into("<I", attr, 0, fd)
    try:
        result = bpf(10, attr)
        return result if result < 0 else int(struct.unpack_from("<i", attr, 4)[0])
    finally:
        close(fd)


@pytest.fixture
def subsystem() -> Subsystem:
    return Subsystem()


def test_a_program_calls_in_the_name_of_whoever_runs_it(subsystem: Subsystem) -> None:
    rights = frozenset({Capability.BPF, Capability.PERFMON})
    user = subsystem.as_user(Credentials(uid=1000, capabilities=rights))
    open_map_0 = f"""
        {ZEROS}
        r1 = 14
        r2 = r10
        r2 += -80
        r3 = 12
        call {SYS_BPF}
    """
    made = run(user.bpf, user.close, f"{MAKE_ARRAY}\nexit")

    assert made > 0
    assert run(user.bpf, user.close, f"{open_map_0}\nexit") == -EPERM  # ids need CAP_SYS_ADMIN
    assert run(subsystem.bpf, subsystem.close, f"{open_map_0}\nexit") == -ENOENT
    subsystem.close(made)


def test_a_program_makes_a_map(subsystem: Subsystem) -> None:
    fd = run(subsystem.bpf, subsystem.close, MAKE_ARRAY + "exit")
    assert fd > 0
    info, attr = ctypes.create_string_buffer(80), bytearray(16)
    struct.pack_into("<IIQ", attr, 0, fd, 80, ctypes.addressof(info))
    assert subsystem.bpf(15, attr) == 0
    assert struct.unpack_from("<I", info, 0) == (2,)
    subsystem.close(fd)


def test_the_caller_does_not_see_the_program_s_refusals(subsystem: Subsystem) -> None:
    text = f"{ZEROS}\nr1 = 0\nr2 = r10\nr2 += -80\nr3 = 80\ncall {SYS_BPF}\nexit"
    assert run(subsystem.bpf, subsystem.close, text) == -22
    assert subsystem.last_error is None


def name_at(place: int, name: bytes) -> str:
    data = name.ljust(16, b"\0")
    lines = []
    for at in (0, 8):
        word = int.from_bytes(data[at : at + 8], "little")
        lines += [f"r1 = {word} ll", f"*(u64 *)(r10 - {place - at}) = r1"]
    return "\n".join(lines)


def find_type(name: bytes, size: int, kind: int, flags: int = 0) -> str:
    return "\n".join(
        [name_at(16, name), "r1 = r10", "r1 += -16", f"r2 = {size}", f"r3 = {kind}",
         f"r4 = {flags}", f"call {FIND_TYPE}", "exit"]
    )  # fmt: skip


def find_symbol(name: bytes, size: int, flags: int = 0) -> str:
    """The answer, and whether the address is 0."""
    return "\n".join(
        [name_at(24, name), "r0 = 7", "*(u64 *)(r10 - 8) = r0", "r1 = r10", "r1 += -24",
         f"r2 = {size}", f"r3 = {flags}", "r4 = r10", "r4 += -8", f"call {FIND_SYMBOL}",
         "r1 = *(u64 *)(r10 - 8)", "if r1 == 0 goto +1", "r0 = 99", "exit"]
    )  # fmt: skip


PROGRAMS = {
    "close what was made": MAKE_ARRAY + f"r6 = r0\nr1 = r0\ncall {CLOSE}\nexit",
    "close nothing": f"r1 = 99999\ncall {CLOSE}\nexit",
    "close nothing, of 64 bits": f"r1 = 0xffffffff00000fff ll\ncall {CLOSE}\nexit",
    **{
        f"command {number}": f"{ZEROS}\nr1 = {number}\nr2 = r10\nr2 += -80\nr3 = 80\n"
        f"call {SYS_BPF}\nexit"
        for number in (0, 1, 2, 4, 8, 10, 14, 22, 28, 99)
    },
    "a struct": find_type(b"task_struct", 12, 4),
    "a struct as union": find_type(b"task_struct", 12, 5),
    "a struct cut short": find_type(b"task_struct", 11, 4),
    "a name alone": find_type(b"", 1, 4),
    "a type that is not there": find_type(b"no_such_type", 13, 4),
    "a kind that is not there": find_type(b"task_struct", 12, 77),
    "flags": find_type(b"task_struct", 12, 4, 1),
    "no such symbol": find_symbol(b"no_such_symbol", 15),
    "a symbol cut short": find_symbol(b"no_such_symbol", 14),
    "a symbol with flags": find_symbol(b"no_such_symbol", 15, 1),
}


@pytest.mark.skipif(bool(missing()), reason=f"no kernel to compare with: {missing()}")
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_get_the_kernel_s_answers(name: str, subsystem: Subsystem) -> None:
    kernel = RunningKernel()
    expected = run(kernel.bpf, os.close, PROGRAMS[name])
    assert run(subsystem.bpf, subsystem.close, PROGRAMS[name]) == expected
