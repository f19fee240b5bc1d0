"""`skep explain --html`: where it writes, and how it ends."""

from pathlib import Path

import pytest

from skep.cli.main import main

OBJECTS = Path(__file__).parents[2] / "objects"
REFUSED = str(OBJECTS / "refused.bpf.o")


def test_a_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"

    assert main(["explain", REFUSED, "--html", str(out)]) == 1
    assert capsys.readouterr().out == ""
    assert out.read_text().count("<section") == 3


def test_a_page_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", REFUSED, "-p", "accepted", "--html", "-"]) == 0
    assert capsys.readouterr().out.startswith("<!DOCTYPE html>")


def test_a_page_about_what_is_no_object_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", __file__, "--html", "-"]) == 2
    assert 'class="error"' in capsys.readouterr().out


def test_a_place_that_cannot_be_written_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", REFUSED, "--html", str(tmp_path / "no" / "page.html")]) == 2
    assert "Traceback" not in capsys.readouterr().err
