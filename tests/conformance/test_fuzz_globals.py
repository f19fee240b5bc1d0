"""A short run of the fuzzer of global functions; see ``fuzz_globals`` for long ones."""

import pytest

from conformance.fuzz_globals import run
from support import kernel


@pytest.mark.skipif(bool(kernel.refusal()), reason=kernel.refusal())
def test_calls_of_global_functions_get_the_verdict_of_the_kernel(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = run(1, 800, 3)

    assert tally["both accept"] > 10
    assert not {"HOLE", "nuisance", "errno"} & set(tally), capsys.readouterr().out
