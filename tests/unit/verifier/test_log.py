"""The kernel-style log."""

from dataclasses import replace

from skep.verifier import Proof, Rejected, verify
from support.verify_text import request

COUNTDOWN = """
    r6 = 2
again:
    r6 += -1
    if r6 != 0 goto again
    r0 = 0
    exit
"""
TWO_WAYS = """
    r0 = *(u32 *)(r1 + 0)
    *(u32 *)(r10 - 8) = r0
    if r0 > 7 goto out
    r0 = 1
out:
    r0 = *(u32 *)(r10 - 8)
    exit
"""
DEAD = """
    r0 = *(u32 *)(r1 + 0)
    r7 = 5
    if r0 > 7 goto out
    r8 = 1
out:
    r0 = 0
    exit
"""
BAD = "r0 = r3\nexit\n"


def log_of(text: str, level: int) -> list[str]:
    try:
        result: Proof | Rejected = verify(replace(request(text), log_level=level))
    except Rejected as rejected:
        result = rejected
    return result.log.splitlines()


def test_without_a_level_there_is_no_log() -> None:
    assert log_of(COUNTDOWN, 0) == []


def test_an_accepted_program_leaves_only_the_statistics_at_level_1() -> None:
    (line,) = log_of(COUNTDOWN, 1)

    assert line.startswith("processed 7 insns (limit 1000000) max_states_per_insn ")


def test_level_2_lists_functions_and_live_registers() -> None:
    lines = log_of(COUNTDOWN, 2)

    assert lines[:2] == ["func#0 @0", "Live regs before insn:"]
    assert lines[2] == "      0: .......... (b7) r6 = 2"
    assert lines[3] == "  1   1: ......6... (07) r6 += -1"


def test_the_state_stands_behind_the_instruction() -> None:
    lines = log_of(TWO_WAYS, 2)

    assert "0: R1=ctx() R10=fp0" in lines
    assert (
        "1: (63) *(u32 *)(r10 -8) = r0         ; R0=scalar(id=1,smin=0,smax=umax=0xffffffff,"
        "var_off=(0x0; 0xffffffff)) R10=fp0 fp-8=????scalar(id=1,smin=0,smax=umax=0xffffffff,"
        "var_off=(0x0; 0xffffffff))"
    ) in lines


def test_the_other_way_begins_with_all_that_is_known() -> None:
    lines = log_of(TWO_WAYS, 2)

    assert any(line.startswith("from 2 to 4: ") for line in lines)


def test_a_decided_comparison_shows_its_state_on_a_line_of_its_own() -> None:
    lines = log_of(COUNTDOWN, 2)

    assert lines.count("2: (55) if r6 != 0x0 goto pc-2") == 2
    assert "2: R6=1" in lines
    first = lines.index("2: (55) if r6 != 0x0 goto pc-2")
    assert lines[first + 1] == "mark_precise: frame0: last_idx 2 first_idx 0 subseq_idx -1 "
    assert lines[first + 2] == "mark_precise: frame0: regs=r6 stack= before 1: (07) r6 += -1"


def test_at_level_1_the_line_of_a_branch_goes_on_with_what_the_other_way_knows() -> None:
    lines = log_of(DEAD.replace("out:", "exit\nout:\nr0 = r9"), 1)

    assert lines[3].startswith("2: (25) if r0 > 0x7 goto pc+2 5: R0=scalar(smin=umin=umin32=8,")
    assert lines[4:6] == ["5: (bf) r0 = r9", "R9 !read_ok"]


def test_dead_values_stay_in_the_log_until_they_are_overwritten() -> None:
    lines = log_of(DEAD, 2)

    (taken,) = [line for line in lines if line.startswith("from 2 to 4: ")]
    assert " R7=5 " in taken
    assert " R8=" not in taken


def test_an_endless_loop_shows_both_states() -> None:
    lines = log_of("again:\nr6 = 1\ngoto again\n", 1)

    assert lines[-4:-1] == [
        "infinite loop detected at insn 0",
        "cur state: R1=ctx() R6=1 R10=fp0",
        "old state: R1=ctx() R6=1 R10=fp0",
    ]


def test_the_functions_of_a_program_that_ends_badly_are_listed_still() -> None:
    assert log_of("r0 = 0\n", 2)[:2] == ["func#0 @0", "last insn is not an exit or jmp"]


def test_a_refusal_is_the_last_line_before_the_statistics() -> None:
    assert log_of(BAD, 1)[:3] == ["0: R1=ctx() R10=fp0", "0: (bf) r0 = r3", "R3 !read_ok"]


def test_level_4_adds_time_and_stack_depth() -> None:
    lines = log_of(TWO_WAYS, 4)

    assert lines[0].startswith("verification time ")
    assert lines[1] == "stack depth 8"
