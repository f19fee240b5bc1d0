"""Programs for a device, and kernel functions about it: the running kernel's answer, or its errno.

Devices are loopback, which runs no programs, and one that is not there.
"""

import os

import pytest

from skep.btf.kernel import kernel_btf
from skep.btf.kinds import Kind
from skep.loader.kernel import KernelSyscall
from skep.syscall.subsystem import Subsystem
from skep.uapi.kfuncs import OF_DEVICES
from support.caller import insn
from support.functions import SCHED_CLS, XDP, number
from support.opener import Opener
from support.running_kernel import missing

WHY = missing() or ("" if os.geteuid() == 0 else "no root")
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)
BOUND, FRAGS, ABSENT = 64, 32, 0x7FFF_FFFF


def verdict(caller: Opener, code: bytes, kind: int, **members: int) -> int:
    fd = caller.program(code, kind, **members)
    caller.close_all()
    return min(fd, 0)


@pytest.mark.parametrize("flags", [0, BOUND, FRAGS, BOUND | FRAGS])
@pytest.mark.parametrize("device", [0, 1, ABSENT])
@pytest.mark.parametrize("kind", [XDP, SCHED_CLS, 1])
def test_programs_for_devices_get_the_kernels_answer(kind: int, device: int, flags: int) -> None:
    sides = (Opener(KernelSyscall()), Opener(Subsystem()))
    answers = {
        verdict(side, number(1), kind, prog_ifindex=device, prog_flags=flags) for side in sides
    }

    assert len(answers) == 1


@pytest.mark.parametrize("name", sorted(OF_DEVICES))
@pytest.mark.parametrize("kind", [XDP, SCHED_CLS])
def test_metadata_functions_get_the_kernels_answer(kind: int, name: str) -> None:
    btf = kernel_btf()
    found = btf.by_name(name, Kind.FUNC) if btf is not None else None
    if not found:
        pytest.skip("the kernel does not have it")
    code = insn(0xB7, 2) + insn(0xB7, 3) + insn(0x85, src=2, imm=found) + number(1)
    sides = (Opener(KernelSyscall()), Opener(Subsystem()))
    answers = [{verdict(side, code, kind, prog_ifindex=device) for side in sides}
               for device in (0, 1)]  # fmt: skip

    assert [len(each) for each in answers] == [1, 1]
