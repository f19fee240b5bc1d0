"""struct_ops programs: the verdicts of the running kernel on every member, byte and helper."""

from collections.abc import Iterator
from typing import Final

import pytest

from skep.btf.kinds import Kind
from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.uapi.program_types import STRUCT_OPS
from skep.verifier import Rejected, Request, verify
from support import running_kernel
from support.running_kernel import RunningKernel
from support.verify_case import World, kernel_btf

pytestmark = pytest.mark.skipif(
    bool(running_kernel.missing()) or kernel_btf() is None, reason=running_kernel.missing()
)

SOCKET: Final = "r1 = *(u64 *)(r1 + 0)\n"
STRUCTS: Final = ("tcp_congestion_ops", "bpf_dummy_ops")
SIZES: Final = (1, 2, 4, 8)


class Pair:
    """The two judges of a program."""

    def __init__(self) -> None:
        btf = kernel_btf()
        assert btf is not None
        self.btf, self.kernel, self.world = btf, RunningKernel(), World(btf)

    def differ(self, text: str, struct: str, member: int, flags: int = 0) -> str:
        """What the kernel and skep answer, if it is not the same."""
        type_id = self.btf.by_name(struct, Kind.STRUCT) or 0
        insns = assemble(text)
        theirs, log = self.kernel.load(
            27, encode(insns), attach_type=member, flags=flags, attach_btf_id=type_id, log_level=1
        )
        if theirs >= 0:
            self.kernel.close(theirs)
        ours, words = 0, ""
        try:
            verify(
                Request(
                    insns=insns, program_type=STRUCT_OPS, environment=self.world, prog_flags=flags,
                    expected_attach_type=member, attach_btf_id=type_id, license="GPL",
                )
            )  # fmt: skip
        except Rejected as verdict:
            ours, words = -verdict.errno, verdict.detail
        if ours == min(theirs, 0):
            return ""
        return f"{struct}[{member}] {text!r}: {theirs} {log[-200:]!r}, ours {ours} {words!r}"

    def members(self) -> Iterator[tuple[str, int]]:
        """Every member of every structure, and one beyond."""
        for struct in STRUCTS:
            type_id = self.btf.by_name(struct, Kind.STRUCT) or 0
            for number in range(len(self.btf.members(type_id)) + 1):
                yield struct, number


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair()


def test_the_same_members_can_be_filled(pair: Pair) -> None:
    found = [
        pair.differ(text, *place, flags)
        for place in pair.members()
        for text in ("r0 = 0\nexit", "exit", "r0 = r1\nexit")
        for flags in (0, 16)
    ]

    assert [row for row in found if row] == []


def test_the_same_arguments_can_be_read(pair: Pair) -> None:
    found = [
        pair.differ(f"r2 = *(u{bits} *)(r1 + {8 * number})\n{use}r0 = 0\nexit", *place)
        for place in pair.members()
        for number in range(6)
        for bits in (32, 64)
        for use in ("", "r2 = *(u32 *)(r2 + 0)\n", "r2 = *(u32 *)(r2 + 1400)\n")
    ]

    assert [row for row in found if row] == []


def test_the_same_bytes_can_be_written(pair: Pair) -> None:
    size = pair.btf.size_of(pair.btf.by_name("tcp_sock", Kind.STRUCT) or 0)
    found = [
        pair.differ(f"{SOCKET}*(u{8 * width} *)(r1 + {off}) = 0\nr0 = 0\nexit", struct, 1)
        for struct in STRUCTS
        for off in range(size + 2 if struct == STRUCTS[0] else 8)
        for width in SIZES
        if width == 1 or off % 8 == 4
    ]

    assert [row for row in found if row] == []


def test_the_same_helpers_can_be_called(pair: Pair) -> None:
    found = [
        pair.differ(f"{SOCKET}call {helper}\nr0 = 0\nexit", struct, member)
        for helper in range(1, 212)
        for struct, member in (
            ("tcp_congestion_ops", 0),
            ("tcp_congestion_ops", 17),
            (STRUCTS[1], 1),
        )
    ]

    assert [row for row in found if row] == []
