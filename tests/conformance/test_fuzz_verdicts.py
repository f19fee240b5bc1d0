"""A short run of the differential fuzzer; see ``fuzz_verdicts`` for long ones."""

import pytest

from conformance.fuzz_verdicts import run
from support import kernel


@pytest.mark.skipif(bool(kernel.refusal()), reason=kernel.refusal())
@pytest.mark.parametrize("seed", [1, 200_000])
def test_random_programs_get_the_verdict_of_the_kernel(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = run(seed, 120, None, 3, "HOLE|CRASH|nuisance|errno")

    differing = {
        outcome: times
        for outcome, times in tally.items()
        if outcome.startswith(("HOLE", "CRASH", "nuisance", "errno"))
    }
    assert differing == {}, capsys.readouterr().out
