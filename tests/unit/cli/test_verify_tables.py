"""`skep verify --stats` and `--profile`: tables, JSON, CSV, and how they end."""

import json
from pathlib import Path

import pytest

from skep.cli.main import main

OBJECTS = Path(__file__).parents[2] / "objects"
SESSION = str(OBJECTS / "session.bpf.o")
REFUSED = str(OBJECTS / "refused.bpf.o")


def test_a_profile_names_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--profile", REFUSED, "-p", "no_null_check", "--rows", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()

    assert "no_null_check: rejected, access-through-pointer: 8 insns" in lines[0]
    assert lines[1].split() == ["INSNS", "SHARE", "STATES", "MOST", "PLACE", "SOURCE"]
    assert lines[2].split()[:5] == ["3", "37.5%", "0", "1", "refused.bpf.c:21"]
    assert lines[4] == "and 2 more (--rows 0 shows all)"


def test_a_profile_as_json_has_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--profile", "--json", SESSION]) == 0
    programs = json.loads(capsys.readouterr().out)

    assert [program["program"] for program in programs] == ["count", "record", "sample"]
    assert all(p["insns"] == sum(row["insns"] for row in p["rows"]) for p in programs)


def test_statistics_are_a_table_or_json_or_csv(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--stats", "--sort", "insns", REFUSED]) == 1
    table = capsys.readouterr().out.splitlines()
    assert main(["verify", "--stats", "--csv", REFUSED]) == 1
    csv = capsys.readouterr().out.splitlines()
    assert main(["verify", "--stats", "--json", REFUSED]) == 1
    rows = json.loads(capsys.readouterr().out)

    assert table[1].split()[:3] == ["refused.bpf.o", "no_null_check", "failure"]
    assert csv[0].startswith("file_name,prog_name,verdict,duration,total_insns,total_states")
    assert [row["rule"] for row in rows] == ["", "access-through-pointer", "packet-in-range"]


@pytest.mark.parametrize("form", ["", "--csv", "--json"])
def test_a_baseline_is_compared_with(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.csv"
    old.write_text("file_name,prog_name,verdict,total_insns\nrefused.bpf.o,accepted,failure,5\n")
    options = [form] if form else []

    assert main(["verify", "--stats", "--baseline", str(old), REFUSED, *options]) == 1
    text = capsys.readouterr().out
    assert "-3 (-60.00%)" in text
    assert "MISMATCH" in text


@pytest.mark.parametrize("options", [
    ["--csv"], ["--sort", "insns"], ["--baseline", "x.csv"], ["--stats", "--sort", "speed"],
    ["--stats", "--sarif"], ["--profile", "--stats"], ["--profile", "--rows", "many"],
])  # fmt: skip
def test_options_that_do_not_go_together_end_with_2(options: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["verify", *options, REFUSED])

    assert stop.value.code == 2


@pytest.mark.parametrize("arguments", [
    ["--profile", __file__], ["--stats", __file__], ["--profile", "/nonexistent.o"],
    ["--stats", "--baseline", "/nonexistent.csv", REFUSED],
    ["--stats", "--baseline", REFUSED, REFUSED],
])  # fmt: skip
def test_bad_input_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err
