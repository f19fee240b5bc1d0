"""Paths, loops, pruning and precision, on whole programs."""

import errno

import pytest

from skep.verifier.events import Pruned
from support.verify_text import accepted, rejected, request


def test_both_ways_of_a_branch_are_walked() -> None:
    verdict = rejected(
        request("r0 = 0\nr1 = *(u32 *)(r1 + 0)\nif r1 == 7 goto +1\nexit\nr0 = r9\nexit")
    )

    assert (verdict.rule.id, verdict.pc) == ("register-initialised", 4)


def test_a_way_that_cannot_be_taken_is_not_walked() -> None:
    proof = accepted(request("r0 = 0\nif r0 == 0 goto +1\nr0 = r9\nexit"))

    assert proof.seen == bytes([1, 1, 0, 1])


def test_a_loop_without_progress_is_refused() -> None:
    verdict = rejected(request("r0 = 0\ngoto -1\nexit"))

    assert verdict.rule.id == "insn-reachable"


def test_a_loop_whose_condition_never_changes_is_refused() -> None:
    text = "r0 = 0\nr6 = *(u32 *)(r1 + 0)\nif r6 == 7 goto -1\nexit"

    assert "infinite loop detected at insn 2" in rejected(request(text)).detail


def test_a_counted_loop_is_walked_round_by_round() -> None:
    proof = accepted(request("r0 = 0\nr1 = 0\nr1 += 1\nif r1 != 100 goto -2\nexit"))

    assert proof.statistics.insns_processed == 203


@pytest.mark.slow
def test_a_loop_beyond_the_budget_is_refused() -> None:
    verdict = rejected(request("r0 = 0\nr1 = 0\nr1 += 1\nif r1 < 2000000 goto -2\nexit"))

    assert (verdict.rule.id, verdict.errno) == ("insn-budget", errno.E2BIG)
    assert verdict.found == "most ways meet at insn 2"


def test_paths_that_join_in_equal_states_are_walked_once() -> None:
    text = "r6 = *(u32 *)(r1 + 0)\n" + "if r6 == 1 goto +1\nr7 = 5\n" * 10 + "r0 = 0\nexit"
    proof = accepted(request(text, journal=True))

    assert proof.statistics.insns_processed < 80
    assert any(isinstance(event, Pruned) for event in proof.journal)


def test_a_value_that_matters_later_is_not_pruned_away() -> None:
    """The second path differs in r7 alone, which only becomes an address much later."""
    text = """
    r6 = *(u32 *)(r1 + 0)
    r7 = -8
    if r6 == 0 goto +1
    r7 = -600
    r0 = 0
    if r6 == 1 goto +0
    if r6 == 2 goto +0
    if r6 == 3 goto +0
    if r6 == 4 goto +0
    if r6 == 5 goto +0
    r8 = r10
    r8 += r7
    *(u64 *)(r8 + 0) = r0
    exit
    """
    verdict = rejected(request(text))

    assert verdict.pc == 12


def test_a_spilled_value_that_matters_later_is_not_pruned_away() -> None:
    text = """
    r6 = *(u32 *)(r1 + 0)
    r7 = -8
    if r6 == 0 goto +1
    r7 = -600
    *(u64 *)(r10 - 16) = r7
    r7 = 0
    r0 = 0
    if r6 == 1 goto +0
    if r6 == 2 goto +0
    if r6 == 3 goto +0
    if r6 == 4 goto +0
    r7 = *(u64 *)(r10 - 16)
    r8 = r10
    r8 += r7
    *(u64 *)(r8 + 0) = r0
    exit
    """

    assert rejected(request(text)).pc == 14


def test_linked_scalars_are_told_apart_when_pruning() -> None:
    """Only where r6 and r7 are the same does bounding one bound the other."""
    text = """
    r8 = r1
    r6 = *(u32 *)(r8 + 0)
    r7 = *(u32 *)(r8 + 4)
    r9 = *(u32 *)(r8 + 8)
    if r9 > 5 goto +1
    r6 = r7
    r0 = 0
    if r9 == 11 goto +0
    if r9 == 12 goto +0
    if r9 == 13 goto +0
    if r6 > 7 goto +4
    r1 = r10
    r1 -= 8
    r1 += r7
    *(u8 *)(r1 + 0) = r0
    exit
    """
    text = text.replace("r1 -= 8", "r1 += -8")

    assert rejected(request(text)).pc == 14


def test_may_goto_bounds_an_endless_loop() -> None:
    proof = accepted(request("r0 = 0\nmay_goto +2\nr0 += 1\ngoto -3\nexit"))

    assert proof.statistics.insns_processed < 40


@pytest.mark.parametrize(("value", "ok"), [(0, True), (1, True), (2, False)])
def test_the_result_lies_in_the_range_of_the_program_type(value: int, ok: bool) -> None:
    wanted = request(f"r0 = {value}\nexit", kind="cgroup_skb")
    if ok:
        accepted(wanted)
    else:
        assert "should have been in [0, 1]" in rejected(wanted).detail


def test_the_journal_is_empty_unless_asked_for() -> None:
    assert accepted(request("r0 = 0\nexit")).journal == ()
