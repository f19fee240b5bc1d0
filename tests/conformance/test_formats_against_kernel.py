"""snprintf writes what the running kernel's snprintf writes."""

import ctypes
import struct

import pytest

from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.syscall.subsystem import Subsystem
from support.running_kernel import RunningKernel, missing
from support.trial_runs import Bpf, Outcome, load, run

REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no kernel to compare with: {REASON}")

PACKET = bytes(12) + b"\x08\0E" + bytes(130)
ROOM = 112
FORMATS = (
    b"%5d|%-5d|%05d", b"%+d % d|%x", b"%X %lu %lld", b"%c%3c|%-3c", b"%px %pS %ps",
    b"%-20px|%20ps|%020px", b"%pI4 %pI6 %pi6", b"%08lx %-8x|%u", b"%0+5d|%-+5d|%+05d", b"%pB",
    b"%3s|%-3s|%s", b"%%%c%%", b"%i %u %llX", b"%3px|%-3px|%0px",
)  # fmt: skip
ARGUMENTS = (
    (0x123456789ABCDEF0, 42, 2**64 - 5),
    (0, 0, 0),
    (65, 66, 67),
    (2**31, 2**32 - 1, 2**63),
)


def frozen_text(bpf: Bpf, text: bytes) -> int:
    """A read-only, frozen array that holds *text*."""
    attr = bytearray(80)
    struct.pack_into("<IIIII", attr, 0, 2, 4, 64, 1, 0x80)
    fd = bpf(0, attr)
    key, value = bytes(4), text.ljust(64, b"\0")
    buffers = ctypes.create_string_buffer(key, 4), ctypes.create_string_buffer(value, 64)
    attr = bytearray(32)
    places = [ctypes.addressof(buffer) for buffer in buffers]
    struct.pack_into("<IxxxxQQQ", attr, 0, fd, *places, 0)
    assert bpf(2, attr) == 0
    assert bpf(22, bytearray(struct.pack("<I", fd))) == 0
    return fd


def printed(bpf: Bpf, text: bytes, arguments: tuple[int, ...]) -> Outcome:
    """Format into the packet; the outcome shows length and text."""
    fd = frozen_text(bpf, text)
    before = []
    for number, argument in enumerate(arguments):
        before += [f"r7 = {argument} ll", f"*(u64 *)(r10 - {24 - 8 * number}) = r7"]
    for place in range(32, 160, 8):
        before += ["r7 = 0", f"*(u64 *)(r10 - {place}) = r7"]
    before += ["r6 = r1", "r1 = r10", "r1 += -152", f"r2 = {ROOM}"]
    after = [
        "r4 = r10", "r4 += -24", "r5 = 24", "call 165", "r9 = r0", "r1 = r6", "r2 = 0",
        "r3 = r10", "r3 += -152", f"r4 = {ROOM}", "r5 = 0", "call 9", "r0 = r9", "exit",
    ]  # fmt: skip
    value_of_map = struct.pack("<BBhiBBhi", 0x18, 3 | 2 << 4, 0, fd, 0, 0, 0, 0)
    code = b"".join(
        (encode(assemble("\n".join(before))), value_of_map, encode(assemble("\n".join(after))))
    )
    program, log = load(bpf, 3, code)
    assert program >= 0, log[-2000:]
    return run(bpf, program, PACKET)


@pytest.mark.parametrize("text", FORMATS)
def test_text_is_the_kernel_s(text: bytes) -> None:
    kernel, subsystem = RunningKernel(), Subsystem()
    for arguments in ARGUMENTS:
        expected = printed(kernel.bpf, text, arguments)
        found = printed(subsystem.bpf, text, arguments)
        assert (expected.retval, expected.data[:ROOM]) == (found.retval, found.data[:ROOM])
