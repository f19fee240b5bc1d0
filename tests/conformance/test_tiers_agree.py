"""Random programs that the verifier accepts do the same in every tier; ``tiers.py`` runs longer."""

from conformance.tiers import run


def test_accepted_programs_do_the_same_in_every_tier() -> None:
    tally = run(seed=5_000_000, programs=40)

    assert tally["same"] == 40, tally
