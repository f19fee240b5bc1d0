"""`skep reduce`: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest

from skep.cli.main import main

OBJECTS = Path(__file__).parents[2] / "objects"
REFUSED = str(OBJECTS / "refused.bpf.o")


def test_the_result_is_refused_by_the_same_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = str(tmp_path / "small.s")

    assert main(["reduce", REFUSED, "-p", "no_null_check", "-o", small]) == 0
    assert capsys.readouterr().out == ""
    assert main(["verify", "--json", small]) == 1
    row = json.loads(capsys.readouterr().out)
    assert (row["rule"], row["type"]) == ("access-through-pointer", "xdp")


def test_the_text_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reduce", REFUSED, "-p", "no_bounds_check"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert lines[0] == "# packet-in-range: a packet access lies in bytes compared with data_end"
    assert ".type xdp" in lines
    assert lines[-2:] == ["    w0 = *(u8 *)(r1 + 0x0)", "    exit"]


def test_json_says_how_far_it_went(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reduce", REFUSED, "-p", "no_null_check", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    assert (document["rule"], document["finished"], document["reproduces"]) == (
        "access-through-pointer", True, True,
    )  # fmt: skip
    assert document["slots_after"] < document["slots_before"]
    assert document["message"] == document["original_message"]


@pytest.mark.parametrize("arguments", [
    [str(OBJECTS / "session.bpf.o")], [REFUSED, "-p", "accepted"],
])  # fmt: skip
def test_nothing_to_reduce_ends_with_1(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reduce", *arguments]) == 1
    assert "no program is rejected" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [
    [REFUSED], [REFUSED, "-p", "nosuch"], [__file__], ["/nonexistent.o"],
    [REFUSED, "-p", "no_null_check", "-o", "/proc/x.s"],
])  # fmt: skip
def test_bad_input_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reduce", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("time", ["soon", "-1", "inf", "nan"])
def test_a_timeout_is_a_time(time: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["reduce", REFUSED, "--timeout", time])

    assert stop.value.code == 2
