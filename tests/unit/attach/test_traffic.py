"""Packets of a capture arrive at a device."""

from array import array
from collections.abc import Iterator
from ctypes import addressof, create_string_buffer

import pytest

from skep.attach.packets import Batch
from skep.attach.traffic import arrive
from skep.uapi.flags import AttachType, ProgType
from support.caller import EXIT, insn
from support.hook_caller import IPV4, SAMPLE, HookCaller


class Frames:
    """A source of frames, two in each batch."""

    def __init__(self, *frames: bytes) -> None:
        self.frames = frames

    def batches(self) -> Iterator[Batch]:
        for at in range(0, len(self.frames), 2):
            kept = [create_string_buffer(each, len(each)) for each in self.frames[at : at + 2]]
            addresses = array("Q", map(addressof, kept))
            yield Batch(kept, addresses, array("I", map(len, kept)))

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("count", "passed", "dropped"), [(None, 3, 2), (3, 2, 1)])
def test_each_frame_takes_its_own_way(count: int | None, passed: int, dropped: int) -> None:
    caller = HookCaller()
    ip_only = (
        insn(0x61, 2, 1, 16) + insn(0xB7, imm=2) + insn(0x15, 2, off=1, imm=8)
        + insn(0xB7, imm=-1) + EXIT
    )  # fmt: skip
    prog = caller.program(ip_only, ProgType.SCHED_CLS)
    caller.good_link(1, prog, AttachType.TCX_INGRESS)
    source = Frames(SAMPLE, IPV4, SAMPLE, IPV4, SAMPLE)

    found = arrive(caller.subsystem.places.device("lo"), source, count=count)
    assert found == {("passed", ""): passed, ("dropped", "tcx_ingress"): dropped}
