"""What the log of level 2 tells of live stack slots."""

from dataclasses import replace

from skep.verifier import verify
from support.verify_text import request


def told(text: str) -> list[str]:
    """Lines about slots in the log of an accepted program."""
    log = verify(replace(request(text), log_level=2)).log
    return [line for line in log.splitlines() if line.startswith("(") and "call" not in line]


def test_a_slot_is_live_from_its_load_back_to_the_store() -> None:
    text = """
        *(u64 *)(r10 - 8) = r1
        r2 = 1
        r0 = *(u64 *)(r10 - 8)
        r0 = 0
        exit
    """

    assert told(text) == [
        "(0) frame 0 insn 2 +live -8 ",
        "(0) frame 0 insn 0 +written -8 ",
        "(0) live stack update done in 2 iterations",
    ]


def test_a_store_of_less_than_a_slot_overwrites_nothing() -> None:
    text = """
        *(u32 *)(r10 - 8) = 1
        r0 = *(u32 *)(r10 - 8)
        r0 = 0
        exit
    """

    assert told(text) == [
        "(0) frame 0 insn 1 +live -8 ",
        "(0) frame 0 insn 0 +live -8 ",
        "(0) live stack update done in 2 iterations",
    ]


def test_what_a_function_reads_of_its_caller_is_read_by_the_call() -> None:
    text = """
        *(u64 *)(r10 - 8) = 1
        r1 = r10
        r1 += -8
        call sub
        r0 = 0
        exit
    sub:
        r0 = *(u64 *)(r1 + 0)
        exit
    """

    assert told(text) == [
        "(3,6) frame 0 insn 6 +live -8 ",
        "(3,6) live stack update done in 2 iterations",
        "(0) frame 0 insn 3 +live -8 ",
        "(0) frame 0 insn 0 +written -8 ",
        "(0) live stack update done in 2 iterations",
    ]


def test_programs_without_a_stack_are_told_nothing() -> None:
    assert told("r0 = 0\nexit\n") == []
