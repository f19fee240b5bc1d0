"""Reasons: where the source is looked for, and when it is not believed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from skep.session.reasons import CONTEXT, Reason
from skep.session.reasons_sarif import sarif
from skep.session.reasons_source import byte_prefix, excerpt, find_source
from skep.session.verdicts import NOT_SUPPORTED, Verdict, verify_file
from skep.verifier.interface import LineInfo

OBJECTS = Path(__file__).parents[2] / "objects"
LINE = LineInfo(pc=0, file="src/x.bpf.c", line=2, column=3, text="\tx = 1;")
SOURCE = "first\n\tx = 1;\nlast\n"


@pytest.fixture(name="reason", scope="module")
def _reason() -> Reason:
    (verdict,) = verify_file(OBJECTS / "refused.bpf.o", programs=["no_null_check"])
    assert verdict.reason is not None
    return verdict.reason


@pytest.mark.parametrize("place", ["src/x.bpf.c", "x.bpf.c"])
def test_the_source_is_found_at_its_path_or_next_to_the_object(tmp_path: Path, place: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / place).write_text(SOURCE)

    assert find_source(LINE, tmp_path / "x.bpf.o") == tmp_path / place


def test_the_source_is_found_by_an_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.c").write_text(SOURCE)
    line = replace(LINE, file=str(tmp_path / "elsewhere.c"))

    assert find_source(line, "/nowhere/x.bpf.o") == tmp_path / "elsewhere.c"


@pytest.mark.parametrize("line", [
    replace(LINE, text="\tx = 2;"), replace(LINE, text=""), replace(LINE, line=3),
    replace(LINE, line=0), replace(LINE, line=99), replace(LINE, file=""),
    replace(LINE, file="x\0.c"), replace(LINE, file="/"),
])  # fmt: skip
def test_a_file_that_does_not_hold_the_recorded_line_is_not_used(
    tmp_path: Path, line: LineInfo
) -> None:
    (tmp_path / "x.bpf.c").write_text(SOURCE)

    assert find_source(line, tmp_path / "x.bpf.o") is None


def test_an_edited_source_gives_way_to_the_recorded_lines(tmp_path: Path, reason: Reason) -> None:
    source = (OBJECTS / "refused.bpf.c").read_text()
    (tmp_path / "refused.bpf.c").write_text("// a new first line\n" + source)
    found = excerpt(reason, tmp_path / "refused.bpf.o")

    assert found.path is None
    assert list(found.lines) == [22, 24, 25]


def test_an_excerpt_ends_with_the_file(tmp_path: Path, reason: Reason) -> None:
    source = (OBJECTS / "refused.bpf.c").read_text().splitlines()
    (tmp_path / "refused.bpf.c").write_text("\n".join(source[:24]) + "\n")
    found = excerpt(reason, tmp_path / "refused.bpf.o")

    assert list(found.lines) == list(range(24 - CONTEXT, 25))


def test_a_column_counts_bytes() -> None:
    line = replace(LINE, text="ä = y;", column=len("ä = ".encode()) + 1)

    assert byte_prefix(line) == "ä = "
    assert byte_prefix(replace(line, column=0)) == ""


def test_a_found_in_the_rules_words_goes_before_registers(reason: Reason) -> None:
    said = replace(reason, fields=reason.fields | {"found": "4 of 8 bytes"})

    assert said.found == "4 of 8 bytes"
    assert reason.found == f"R0={reason.fields['registers']['R0']}"


def test_a_program_refused_as_a_whole_is_at_the_object_in_sarif(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    file = str(tmp_path / "a b.bpf.o")
    verdict = Verdict(file=file, program="f", verdict="rejected", rule=NOT_SUPPORTED, message="no")
    (run,) = sarif([verdict], "1.0")["runs"]
    (result,) = run["results"]

    assert result["ruleId"] == NOT_SUPPORTED == run["tool"]["driver"]["rules"][0]["id"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b.bpf.o"}
    }
    assert "codeFlows" not in result


def test_a_file_elsewhere_has_an_absolute_uri(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (run,) = sarif([Verdict(file="/elsewhere/x.o", verdict="error")], "1.0")["runs"]
    (notice,) = run["invocations"][0]["toolExecutionNotifications"]
    (location,) = notice["locations"]

    assert location["physicalLocation"]["artifactLocation"]["uri"] == "file:///elsewhere/x.o"


def test_what_led_to_a_stripped_objects_refusal_has_no_source_line(reason: Reason) -> None:
    bare = replace(reason, line=None, steps=tuple(replace(s, line=None) for s in reason.steps))

    assert excerpt(bare, OBJECTS / "refused.bpf.o").lines == {}


def test_an_objects_folder_need_not_hold_its_source(tmp_path: Path) -> None:
    alone = shutil.copy(OBJECTS / "refused.bpf.o", tmp_path)
    (verdict,) = verify_file(alone, programs=["no_null_check"])

    assert verdict.reason is not None
    assert excerpt(verdict.reason, alone).path is None
