"""bpf_snprintf_btf prints what the running kernel prints, and answers the same."""

import random
from collections.abc import Callable

import pytest

from skep.btf.graph import Btf
from skep.btf.kernel import kernel_btf
from skep.btf.kinds import Kind
from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.syscall.subsystem import Subsystem
from support.running_kernel import RunningKernel, missing
from support.trial_runs import load, run

REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no kernel to compare with: {REASON}")

SNPRINTF_BTF, STORE = 149, 9
PACKET = b"\2\2\2\2\2\2\4\4\4\4\4\4\x08\6" + bytes(300)
TYPES = (
    ("bpf_insn", Kind.STRUCT), ("iphdr", Kind.STRUCT), ("ethhdr", Kind.STRUCT),
    ("in6_addr", Kind.STRUCT), ("timespec64", Kind.STRUCT), ("bpf_map_type", Kind.ENUM),
    ("int", Kind.INT), ("_Bool", Kind.INT), ("u64", Kind.TYPEDEF), ("atomic_t", Kind.TYPEDEF),
    ("list_head", Kind.STRUCT), ("cpumask", Kind.STRUCT),
)  # fmt: skip
RAW_POINTERS = 4


def program(type_id: int, data: bytes, room: int, flags: int, size: int = 16, off: int = 64) -> str:
    """Print *data* to r10 - 256, store the text in the packet, return the answer."""
    lines = ["r6 = r1", "r0 = 0"]
    lines += [f"*(u64 *)(r10 - {at}) = r0" for at in range(8, 264, 8)]
    for at in range(0, len(data), 8):
        word = int.from_bytes(data[at : at + 8].ljust(8, b"\0"), "little")
        lines += [f"r1 = {word} ll", f"*(u64 *)(r10 - {64 - at}) = r1"]
    lines += [
        "r1 = r10", f"r1 += -{off}" if off else "r1 = 0", "*(u64 *)(r10 - 280) = r1",
        f"r1 = {type_id} ll", "*(u64 *)(r10 - 272) = r1", "r1 = r10", "r1 += -256", f"r2 = {room}",
        "r3 = r10", "r3 += -280", f"r4 = {size}", f"r5 = {flags} ll", f"call {SNPRINTF_BTF}",
        "r7 = r0", "r1 = r6", "r2 = 14", "r3 = r10", "r3 += -256", "r4 = 192", "r5 = 0",
        f"call {STORE}", "r0 = r7", "exit",
    ]  # fmt: skip
    return "\n".join(lines)


@pytest.fixture(scope="module")
def kernel() -> RunningKernel:
    return RunningKernel()


@pytest.fixture(scope="module")
def subsystem() -> Subsystem:
    return Subsystem()


@pytest.fixture(scope="module")
def types() -> Btf:
    found = kernel_btf()
    assert found is not None
    return found


def compare(kernel: RunningKernel, ours: Subsystem, text: str) -> None:
    code = encode(assemble(text))

    def ask(bpf: Callable[..., int], close: Callable[[int], None]) -> object:
        fd, log = load(bpf, 3, code)
        assert fd >= 0, log[-1000:]
        try:
            return run(bpf, fd, PACKET)
        finally:
            close(fd)

    assert ask(ours.bpf, ours.close) == ask(kernel.bpf, kernel.close)


@pytest.mark.parametrize(("name", "kind"), TYPES, ids=[name for name, _ in TYPES])
def test_values_are_printed_alike(
    name: str, kind: Kind, kernel: RunningKernel, subsystem: Subsystem, types: Btf
) -> None:
    type_id = types.by_name(name, kind)
    assert type_id is not None
    choose = random.Random(name)
    for flags in (0, 1, 2, 3, 8, 11):
        for data in (bytes(64), choose.randbytes(64)):
            room = choose.choice([192, 192, 100, 10, 1])
            compare(kernel, subsystem, program(type_id, data, room, flags | RAW_POINTERS))


@pytest.mark.parametrize(
    ("type_id", "flags", "size", "off"),
    [(0, 0, 16, 64), (1 << 30, 0, 16, 64), (1 << 31, 0, 16, 64), (1, 16, 16, 64),
     (1, 1 << 32, 16, 64), (1, 0, 15, 64), (1, 0, 16, 0)],
)  # fmt: skip
def test_refusals_are_alike(
    type_id: int, flags: int, size: int, off: int, kernel: RunningKernel, subsystem: Subsystem
) -> None:
    compare(kernel, subsystem, program(type_id, bytes(64), 192, flags, size, off))
