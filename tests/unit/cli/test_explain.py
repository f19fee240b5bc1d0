"""`skep explain`: what it prints, in each of its forms, and how it ends."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from skep.cli.explain import explanation
from skep.cli.main import main
from skep.cli.output import shown
from skep.cli.paint import Paint, has_colours
from skep.session.verdicts import verify_file

OBJECTS = Path(__file__).parents[2] / "objects"
SESSION = str(OBJECTS / "session.bpf.o")
REFUSED = str(OBJECTS / "refused.bpf.o")


def explained(program: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main(["explain", REFUSED, "--program", program, *more]) == 1
    return capsys.readouterr().out


def sarif_run(text: str) -> dict[str, Any]:
    log = json.loads(text)

    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def test_a_refusal_shows_the_lines_around_it_and_a_caret_below_the_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = explained("no_null_check", capsys).splitlines()
    place = lines.index(f"  --> {OBJECTS / 'refused.bpf.c'}:24:8")

    assert lines[place + 1 : place + 7] == [
        "  22 |         __u64 *slot = bpf_map_lookup_elem(&slots, &key);",
        "  23 |",
        "  24 |         *slot = 1;",
        "     |               ^",
        "  25 |         return XDP_PASS;",
        "  26 | }",
    ]


def test_a_refusal_says_rule_finding_cause_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    text = explained("no_null_check", capsys)

    assert "found: R0=map_value_or_null(" in text
    assert "rule access-through-pointer: memory is accessed" in text
    assert (
        "refused.bpf.c:22  __u64 *slot = bpf_map_lookup_elem(&slots, &key);\n      insn 6" in text
    )
    assert text.endswith("hint: compare it with NULL first\n")


def test_without_the_source_the_recorded_lines_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = shutil.copy(REFUSED, tmp_path)

    assert main(["explain", str(alone), "--program", "no_null_check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("  --> ./refused.bpf.c:24:8")
    assert [line[:6] for line in lines[place + 1 : place + 6]] == [
        "  22 |", "  ...", "  24 |", "     |", "  25 |",
    ]  # fmt: skip


def test_an_accepted_program_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", REFUSED, "--program", "accepted"]) == 0
    assert capsys.readouterr().out == f"{REFUSED}: accepted: accepted (2 insns, 0 states)\n"


def test_the_status_is_1_if_one_of_many_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", REFUSED]) == 1
    assert capsys.readouterr().out.count(": rejected (") == 2


@pytest.mark.parametrize("arguments", [
    ["/nonexistent.o"], [__file__], ["--program", "nosuch", SESSION],
    ["--json", __file__], ["--sarif", __file__],
])  # fmt: skip
def test_bad_input_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_json_is_one_document_with_place_lines_and_causes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = json.loads(explained("no_bounds_check", capsys, "--json"))
    (program,) = document["programs"]
    reason = program["reason"]

    assert (document["file"], program["verdict"]) == (REFUSED, "rejected")
    assert (reason["rule"], reason["errno"], reason["insn"]) == ("packet-in-range", "EACCES", 1)
    assert (reason["place"]["line"], reason["place"]["column"]) == (31, 9)
    assert [row["line"] for row in reason["lines"]] == [29, 30, 31, 32, 33]
    assert [cause["place"]["column"] for cause in reason["causes"]] == [29]
    assert reason["source_file"] == str(OBJECTS / "refused.bpf.c")


def test_json_of_an_accepted_program_has_no_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", REFUSED, "--program", "accepted", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["programs"][0]["reason"] is None


def test_sarif_has_a_rule_for_each_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", REFUSED, "--sarif"]) == 1
    run = sarif_run(capsys.readouterr().out)
    driver = run["tool"]["driver"]
    rules = driver["rules"]

    assert driver["name"] == "skep"
    assert [rule["id"] for rule in rules] == ["access-through-pointer", "packet-in-range"]
    assert [rules[r["ruleIndex"]]["id"] for r in run["results"]] == [
        result["ruleId"] for result in run["results"]
    ]
    assert all(rule["help"]["text"].endswith("answers EACCES.") for rule in rules)
    assert {(r["kind"], r["level"]) for r in run["results"]} == {("fail", "error")}
    assert run["invocations"][0]["executionSuccessful"] is True


def test_sarif_results_are_at_source_lines_and_their_flow_ends_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(OBJECTS)
    run = sarif_run(explained("no_null_check", capsys, "--sarif"))
    (result,) = run["results"]
    (location,) = result["locations"]
    flow = result["codeFlows"][0]["threadFlows"][0]["locations"]

    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "refused.bpf.c"},
        "region": {"startLine": 24, "startColumn": 8, "snippet": {"text": "\t*slot = 1;"}},
    }
    assert location["logicalLocations"] == [{"name": "no_null_check", "kind": "function"}]
    assert [step["executionOrder"] for step in flow] == [1, 2]
    assert flow[0]["location"]["physicalLocation"]["region"]["startLine"] == 22
    assert flow[0]["location"]["message"]["text"].startswith("insn 6: call bpf_map_lookup_elem")
    assert flow[-1]["location"]["physicalLocation"] == location["physicalLocation"]


def test_sarif_of_a_bad_file_is_a_notification(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", __file__, "--sarif"]) == 2
    run = sarif_run(capsys.readouterr().out)
    (invocation,) = run["invocations"]
    (notice,) = invocation["toolExecutionNotifications"]
    (location,) = notice["locations"]

    assert (run["results"], invocation["executionSuccessful"]) == ([], False)
    assert notice["message"]["text"]
    assert "region" not in location["physicalLocation"]
    assert location["physicalLocation"]["artifactLocation"]["uri"].endswith("test_explain.py")


def test_verify_writes_one_sarif_document_for_many_objects(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["verify", "--sarif", SESSION, REFUSED, REFUSED]) == 1
    run = sarif_run(capsys.readouterr().out)

    assert len(run["results"]) == 4
    assert len(run["tool"]["driver"]["rules"]) == 2


def test_colours_are_for_terminals_and_no_color_turns_them_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    master, slave = os.openpty()
    with os.fdopen(master), os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        on_terminal = has_colours()
        monkeypatch.setenv("NO_COLOR", "1")
        turned_off = has_colours()
        monkeypatch.setenv("NO_COLOR", "")
        monkeypatch.setenv("TERM", "dumb")
        dumb = has_colours()
        monkeypatch.undo()

    assert (on_terminal, turned_off, dumb) == (True, False, False)


def test_colours_change_nothing_but_escape_sequences() -> None:
    (verdict,) = verify_file(REFUSED, programs=["no_null_check"])
    plain = "\n".join(explanation(verdict, Paint(on=False)))
    coloured = "\n".join(explanation(verdict, Paint(on=True)))

    assert "\x1b" not in plain
    assert "\x1b[1;31m^\x1b[0m" in coloured
    for code in ("1;31", "1", "2", "32", "36", "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == plain


def test_what_an_object_says_cannot_steer_the_terminal() -> None:
    assert shown("\tx\x1b[31m\x07\r") == "        x?[31m??"
