"""Helper calls and accesses: the verdicts of the running kernel."""

import pytest

from conformance.fuzz_calls import Fuzzer
from conformance.fuzz_walks import Walker
from support.running_kernel import RunningKernel, insn

needs_kernel = pytest.mark.skipif(
    RunningKernel().load(1, insn(0xB7) + insn(0x95))[0] < 0,
    reason="the running kernel lets us load no programs",
)


@needs_kernel
def test_random_calls_get_the_kernels_verdicts() -> None:
    outcomes = Fuzzer(20260101).run(400, show=5)

    assert set(outcomes) <= {"both accept", "both refuse"}
    assert outcomes["both accept"] > 20


@needs_kernel
def test_random_walks_through_kernel_objects_get_the_kernels_verdicts() -> None:
    outcomes = Walker(20260102).run(400, show=5)

    assert set(outcomes) <= {"both accept", "both refuse"}
    assert outcomes["both accept"] > 20
