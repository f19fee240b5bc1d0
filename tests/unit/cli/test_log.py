"""`skep log`: what it prints of a log, and how it ends."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import skep
from skep.cli.main import main
from skep.syscall.log_tlv import fit, messages
from skep.uapi.record import LogRecord

REFUSED = Path(__file__).parents[2] / "objects" / "refused.bpf.o"
TEXT = "3: (95) exit\nR0 !read_ok\nprocessed 4 insns (limit 1000000)\n"
RECORD = LogRecord("only RDONLY", "MAP_FREEZE", 22, "a/b", "Argument", "map_fd", 0, 4, "9", "an fd")


def test_text_of_a_kernel_is_one_line_a_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text(TEXT)

    assert main(["log", str(tmp_path / "log")]) == 1
    assert capsys.readouterr().out == "insn 3: R0 !read_ok\n"


def test_messages_are_read_from_standard_input_and_missing_ones_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = fit([*messages([RECORD], ""), b"#" * 5000], 1000)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    assert main(["log", "--json", "-"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["rule"] == "a/b"
    assert printed.err == "skep: 1 messages of the log were dropped\n"


@pytest.mark.parametrize("form", ["text", "jsonl", "sarif", "report"])
def test_each_form_says_the_rule(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_bytes(fit(list(messages([RECORD], "")), 1000))

    assert main(["log", "--format", form, str(tmp_path / "log")]) == 1
    assert "a/b" in capsys.readouterr().out


def test_a_log_without_refusals_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text("processed 4 insns (limit 1000000)\n")

    assert main(["log", str(tmp_path / "log")]) == 0
    assert capsys.readouterr().out == ""


def test_a_log_that_was_cut_off_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_bytes(fit(list(messages([RECORD], "")), 1000)[:20])

    assert main(["log", str(tmp_path / "log")]) == 2
    assert "expected" in capsys.readouterr().err


def test_what_skep_reports_can_be_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with skep.log() as log, pytest.raises(skep.Rejected):
        skep.load(REFUSED)
    (tmp_path / "log").write_text(log.render("report"))

    assert main(["log", "--format", "report", str(tmp_path / "log")]) == 1
    assert capsys.readouterr().out == log.render("report")
