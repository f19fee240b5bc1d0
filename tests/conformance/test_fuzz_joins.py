"""A short run of the fuzzer of joining paths; see ``fuzz_joins`` for long ones."""

import pytest

from conformance.fuzz_joins import Joiner, Nester
from conformance.fuzz_verdicts import Maker, run
from support import kernel

# Differed once: known bits after a sign extension (HOLEs and steps), registers that a loop set, and
# copies that nobody reads any more.
DIFFERED = (14921, 15573, 15836, 16632, 1541, 16233)


@pytest.mark.skipif(bool(kernel.refusal()), reason=kernel.refusal())
@pytest.mark.parametrize(
    ("maker", "seed", "count"),
    [
        (Joiner, 300_000, 150), (Nester, 300_000, 100),
        *((Joiner, seed, 1) for seed in DIFFERED),
        (Nester, 523_344, 1),  # links of its own make a number differ from round to round
    ],
)  # fmt: skip
def test_what_joins_is_judged_and_counted_as_by_the_kernel(
    maker: type[Maker], seed: int, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = run(seed, count, None, 3, "", maker)

    same = tally.get("both accept", 0) + tally.get("both refuse", 0) + tally.get("too long", 0)
    assert same == count, capsys.readouterr().out
