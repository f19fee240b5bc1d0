"""`skep explain --at`: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest

from skep.cli.main import main

OBJECTS = Path(__file__).parents[2] / "objects"
COUNTER = str(OBJECTS / "counter.bpf.o")
REFUSED = str(OBJECTS / "refused.bpf.o")


@pytest.fixture(name="dead")
def _dead(tmp_path: Path) -> str:
    path = tmp_path / "dead.s"
    path.write_text(
        ".type xdp\nr6 = *(u32 *)(r1 + 12)\nr6 &= 7\nif r6 > 9 goto +2\nr0 = 1\nexit\n"
        "r0 = r9\nexit\n"
    )
    return str(path)


def test_an_accepted_program_shows_what_is_known_at_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", COUNTER, "-p", "count", "--at", "counter.bpf.c:30"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].endswith("counter.bpf.o: count: accepted")
    assert lines[1] == "  counter.bpf.c:30  if (!value)"
    assert lines[2] == "  insn 33: if r0 != 0x0 goto +0x9    1 visit"
    assert lines[3] == "    R0=map_value_or_null(id=1,map=counts,ks=4,vs=8)"


def test_a_refused_program_does_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", REFUSED, "-p", "no_null_check", "--at", "8"]) == 1
    text = capsys.readouterr().out

    assert "rejected (access-through-pointer at insn 8)" in text
    assert "    R0=map_value_or_null(id=1,map=slots,ks=4,vs=8)" in text


def test_a_dead_branch_is_explained(dead: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", dead, "--at", "5"]) == 0
    text = capsys.readouterr().out

    assert "insn 5: r0 = r9    no path reaches it" in text
    assert "insn 2 if r6 > 0x9 goto +0x2 is never taken, so nothing leads to insn 5" in text
    assert "insn 1: r6 &= 7" in text


def test_json_has_visits_union_and_dead_branches(
    dead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", dead, "--at", "2", "--json"]) == 0
    ((place,),) = [program["places"] for program in json.loads(capsys.readouterr().out)["programs"]]

    assert (place["insn"], place["visits"], place["source"]) == (2, 1, None)
    assert place["states"][0]["known"] == place["merged"]
    assert place["dead_branches"][0]["way"] == "never taken"
    assert [cause["insn"] for cause in place["dead_branches"][0]["causes"]] == [0, 1]


@pytest.mark.parametrize("place", ["nowhere.c:3", "99999", "counter.bpf.c:400", "main", ""])
def test_a_place_that_is_not_there_ends_with_2(
    place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", COUNTER, "--at", place]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_nearest_lines_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", COUNTER, "--at", "counter.bpf.c:33"]) == 2
    assert "near it: counter.bpf.c:3" in capsys.readouterr().err


def test_a_file_that_is_no_object_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", __file__, "--at", "3"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_sarif_does_not_go_with_a_place() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["explain", COUNTER, "--at", "3", "--sarif"])

    assert stop.value.code == 2
