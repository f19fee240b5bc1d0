"""A short run of the fuzzer of owned things; see ``fuzz_owned`` for long ones."""

import pytest

from conformance.fuzz_owned import run
from support import kernel


@pytest.mark.skipif(bool(kernel.refusal()), reason=kernel.refusal())
def test_what_is_owned_gets_the_verdict_of_the_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    tally = run(1, 60, 3)

    assert sum(tally.get(outcome, 0) for outcome in ("both accept", "both refuse")) > 50
    differing = {"HOLE", "CRASH", "false refusal"} & set(tally)
    assert differing == set(), capsys.readouterr().out
