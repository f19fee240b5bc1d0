"""A short while of the stress that ``stress.py`` makes for hours; SKEP_SECONDS makes it longer."""

import os
import random

import pytest

from conformance.stress import play
from conformance.stress_round import Round, Scenario
from conformance.stress_scenarios import SCENARIOS, counts_exact, fill_counted

SECONDS = float(os.environ.get("SKEP_SECONDS", "0.2"))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_counts_are_exact_and_values_whole(scenario: Scenario) -> None:
    steps, complaints = play(scenario, 2, SECONDS, random.SystemRandom().randrange(1 << 40))

    assert complaints == []
    assert steps > 0


def test_a_lost_update_is_told() -> None:
    def lose(round_: Round) -> None:
        round_.maps["counts"][7] = 0

    def check(round_: Round) -> None:
        lose(round_)
        counts_exact("counts")(round_)

    planted = Scenario("planted", ("count_hash",), (), check, fill_counted("counts"))
    _, complaints = play(planted, 1, 0.05, 1)

    assert len(complaints) == 1
    assert "are there" in complaints[0]
