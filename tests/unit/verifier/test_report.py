"""Refusals explain themselves."""

import json
from dataclasses import replace

from skep.verifier import verify
from skep.verifier.decode import decode
from skep.verifier.interface import LineInfo
from skep.verifier.journal import json_lines
from skep.verifier.report import as_dict
from support.verify_text import accepted, rejected, request

WILD = """
    call 5
    r0 &= 63
    if r0 > 50 goto out
    r1 = r10
    r1 += r0
    r0 = *(u8 *)(r1 - 40)
out:
    r0 = 0
    exit
"""
SPILLED = """
    r2 = *(u32 *)(r1 + 0)
    *(u64 *)(r10 - 8) = r2
    r3 = *(u64 *)(r10 - 8)
    r0 = *(u8 *)(r3 + 0)
    exit
"""


def test_the_text_names_instruction_rule_and_hint() -> None:
    text = str(rejected(request("*(u32 *)(r10 - 8) = r1\nexit\n")))

    assert text.startswith("insn 0: *(u32 *)(r10 -8) = r1\n")
    assert "rule spill-whole: " in text


def test_the_causes_are_what_made_the_value_in_the_order_of_the_path() -> None:
    verdict = rejected(request(WILD))

    assert [cause.pc for cause in verdict.causes] == [0, 1, 2, 3, 4]
    assert verdict.causes[2].effect.startswith("not taken: R0=scalar(")


def test_causes_are_followed_through_the_stack() -> None:
    assert [cause.pc for cause in rejected(request(SPILLED)).causes] == [0, 1, 2]


def test_causes_do_not_depend_on_a_journal_being_asked_for() -> None:
    asked = rejected(request(WILD, journal=True))

    assert asked.causes == rejected(request(WILD)).causes


def test_the_source_line_is_shown() -> None:
    lines = (LineInfo(0, "src/x.bpf.c", 7, 1, "  u64 t = now();"),)
    verdict = rejected(replace(request(WILD), line_infos=lines))

    assert "; u64 t = now();   x.bpf.c:7" in str(verdict)
    assert verdict.source_of(3) == "x.bpf.c:7"


def test_everything_is_ready_for_json() -> None:
    row = json.loads(json.dumps(as_dict(rejected(request(WILD)))))

    assert row["insn"] == 5
    assert row["errno"] == "EINVAL" or row["errno"] == "EACCES"
    assert row["registers"]["R10"] == "fp0"
    assert row["causes"][0]["text"] == "(85) call bpf_ktime_get_ns#5"


def test_the_verdict_carries_what_it_cost() -> None:
    cost = rejected(request(WILD)).statistics

    assert cost is not None
    assert cost.insns_processed == 6


def test_a_journal_becomes_lines_of_json() -> None:
    wanted = request("r0 = 0\nexit\n", journal=True)
    proof = accepted(wanted)
    rows = [json.loads(line) for line in json_lines(proof.journal, decode(wanted))]

    assert [row["event"] for row in rows] == ["function", "insn", "insn", "path_end"]
    assert rows[2]["known"]["r0"] == "0"
    assert verify(wanted).log == ""
