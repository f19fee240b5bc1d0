"""A short run of the fuzzer of joining paths; see ``fuzz_joins`` for long ones."""

import pytest

from conformance.fuzz_joins import Joiner
from conformance.fuzz_verdicts import run
from support import kernel

# Differed once: known bits after a sign extension (HOLEs and steps), registers that a loop set, and
# copies that nobody reads any more.
DIFFERED = (14921, 15573, 15836, 16632, 1541, 16233)


@pytest.mark.skipif(bool(kernel.refusal()), reason=kernel.refusal())
@pytest.mark.parametrize(("seed", "count"), [(300_000, 150), *((seed, 1) for seed in DIFFERED)])
def test_what_joins_is_judged_and_counted_as_by_the_kernel(
    seed: int, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = run(seed, count, None, 3, "", Joiner)

    same = tally.get("both accept", 0) + tally.get("both refuse", 0) + tally.get("too long", 0)
    assert same == count, capsys.readouterr().out
