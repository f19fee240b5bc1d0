"""Profiles: what is counted, and at which line."""

from pathlib import Path

from skep.session.assembly import request_of
from skep.session.profile import profile
from skep.session.verdicts import examine_file

OBJECTS = Path(__file__).parents[2] / "objects"


def test_every_processed_instruction_is_counted_at_its_line() -> None:
    for examined in examine_file(OBJECTS / "counter.bpf.o"):
        assert examined.request is not None
        found = profile(examined.request)

        assert found.insns == examined.verdict.insns_processed
        assert found.states == examined.verdict.states
        assert found.insns == sum(row.insns for row in found.rows)
        assert all(row.place.startswith("counter.bpf.c:") for row in found.rows)


def test_the_costliest_line_comes_first() -> None:
    text = "r0 = 0\nr0 += 1\nif r0 < 50 goto -2\nr0 = 0\nexit"
    rows = profile(request_of(text, None)).rows

    assert (rows[0].place, rows[0].text, rows[0].insns) == ("insn 1", "r0 += 0x1", 50)
    assert [row.insns for row in rows] == [50, 50, 1, 1, 1]
    assert rows[0].states > 0


def test_a_refused_program_has_a_profile_too() -> None:
    found = profile(request_of("r0 = 0\nr0 = r5\nexit", None))

    assert [row.insns for row in found.rows] == [1, 1]


def test_what_is_refused_before_the_walk_has_an_empty_profile() -> None:
    assert profile(request_of("r0 = 0", None)).as_dict == {"insns": 0, "states": 0, "rows": []}
