"""Hints: each common cause, in a program that clang compiled, is told apart from the others."""

# ruff: noqa: E501 - one row a cause

from pathlib import Path

import pytest

from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED
from skep.loader.reader import read_object
from skep.session.assembly import request_of
from skep.session.reasons import Reason
from skep.session.verdicts import verify_file
from skep.verifier import Rejected, verify

OBJECTS = Path(__file__).parents[2] / "objects"
OBJECT = OBJECTS / "hints.bpf.o"
EXPECTED = [
    ("missing_null_check", "access-through-pointer", "compare it with NULL first"),
    ("unchecked_packet", "packet-in-range", "compare the end of the access with data_end first"),
    ("short_packet_check", "packet-in-range", "only 14 bytes were compared with data_end, the access ends at byte 21"),
    ("check_moved", "packet-in-range", "compares another copy of the pointer"),
    ("moved_packet", "access-through-pointer", "call bpf_skb_pull_data#39) may have moved the packet"),
    ("bound_lost_in_32_bits", "pointer-offset-bounded", "bounds the lower 32 bits only"),
    ("bound_lost_after_spill", "pointer-offset-bounded", "bounds the lower 32 bits only"),
    ("loaded_twice", "pointer-offset-bounded", "loads it again"),
    ("signed_index", "pointer-offset-bounded", "not on both sides"),
    ("bound_missing", "pointer-offset-bounded", "bound the number before adding it"),
    ("endless_loop", "loop-progress", "bound its counter"),
    ("leaked_reference", "reference-released", "call bpf_ringbuf_reserve#131) acquired, on every path; this path leaves where insn"),
    ("stack_too_deep", "stack-depth", "make objects on the stack smaller"),
    ("wrong_helper", "helper-available", "programs of these types may: sched_cls"),
    ("missing_member", "helper-known", "struct task_struct.no_such_member"),
]  # fmt: skip
MISTAKES = [
    ("header_behind_header", "packet-in-range", "only 14 bytes were compared with data_end, the access ends at byte 24"),
    ("options_not_compared", "packet-in-range", "was made before a variable offset was added"),
    ("length_of_the_packet_itself", "packet-in-range", "compares data plus 0 to 65535 bytes with data_end"),
    ("record_not_compared", "argument-type", "compare r1 with NULL before the call"),
    ("argument_followed", "access-through-pointer", "loads is a number: read what it points to with bpf_probe_read_kernel()"),
    ("pointer_kept_in_a_map", "access-through-pointer", "keep it in a field declared __kptr"),
    ("current_task_followed", "access-through-pointer", "bpf_get_current_task_btf() returns a pointer"),
    ("index_not_compared", "access-upper-bound", "it may be up to 4294967295, and no more than 39 stays inside"),
    ("index_compared_with_too_much", "access-in-memory", "bounds the value, but not enough: it may be up to 47"),
    ("value_too_small", "access-in-memory", "the object has 48 bytes, and the access takes bytes 88 to 91"),
    ("size_may_be_zero", "size-not-zero", "the size in r4 may be 0: leave the function if it is"),
    ("half_a_field", "context-field", "data is 4 bytes at offset 0: load it whole"),
    ("behind_the_context", "context-field", "struct xdp_md has 24 bytes, and the access begins at byte 64"),
    ("field_of_another_type", "context-field", "socket_filter programs may not read data; sched_cls"),
    ("field_written", "context-field", "may not write len; what they may write is cb"),
    ("context_indexed", "pointer-unmodified", "the context is accessed at constant offsets"),
    ("argument_too_many", "context-field", "no more arguments than the function has"),
    ("map_expected", "argument-type", "argument 1 is a map"),
    ("number_as_key", "argument-type", "argument 2 is a number, and has to be an address"),
    ("context_as_key", "argument-type", "copy what argument 2 points to to a variable"),
    ("map_value_submitted", "argument-type", "pass what bpf_ringbuf_reserve() returned"),
    ("submitted_twice", "argument-type", "(call bpf_ringbuf_submit#132) released it"),
    ("member_submitted", "released-unmoved", "not a pointer to a member (4 bytes further)"),
    ("used_when_released", "access-through-pointer", "(call bpf_sk_release#86) released it"),
    ("borrowed_and_released", "released-reference", "arguments of the program are only lent to it"),
    ("borrowed_socket", "released-reference", "nothing acquired what r1 points to"),
    ("released_twice", "kfunc-argument", "(call bpf_task_release#"),
    ("acquired_on_a_walk", "kfunc-trust", "which does not keep alive what it points to"),
    ("call_under_lock", "no-call-under-lock", "(call bpf_spin_lock#93) takes the lock, or behind its release"),
    ("left_with_the_lock", "not-in-critical-section", "locked, on every path; this path leaves where insn"),
    ("left_in_a_section", "not-in-critical-section", "call bpf_rcu_read_unlock() on every path before"),
    ("constant_written", "memory-writable", "drop the const"),
    ("object_written", "memory-writable", "changed by kernel functions only"),
    ("asleep_where_none_may", "call-may-sleep", "make the program sleepable"),
    ("stacks_of_two", "stack-depth", "make objects on the stack smaller"),
]  # fmt: skip


@pytest.fixture(name="kernel", scope="module")
def _kernel() -> Btf:
    return Btf.parse(SHIPPED.read_bytes())


def reason_of(program: str, kernel: Btf) -> Reason:
    (verdict,) = verify_file(OBJECT, programs=[program], btf=kernel)
    assert verdict.reason is not None, verdict.message
    return verdict.reason


@pytest.mark.parametrize(("program", "rule", "words"), EXPECTED, ids=[row[0] for row in EXPECTED])
def test_a_common_cause_gets_its_hint(program: str, rule: str, words: str, kernel: Btf) -> None:
    reason = reason_of(program, kernel)

    assert reason.rule.id == rule
    assert words in reason.hint


@pytest.mark.parametrize(("program", "rule", "words"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_told_how_to_mend(program: str, rule: str, words: str, kernel: Btf) -> None:
    (verdict,) = verify_file(OBJECTS / "mistakes.bpf.o", programs=[program], btf=kernel)
    assert verdict.reason is not None, verdict.message

    assert verdict.reason.rule.id == rule
    assert words in verdict.reason.hint


@pytest.mark.parametrize(("name", "rows"), [("hints", EXPECTED), ("mistakes", MISTAKES)])
def test_every_program_of_the_objects_is_expected(
    name: str, rows: list[tuple[str, str, str]]
) -> None:
    spec = read_object((OBJECTS / f"{name}.bpf.o").read_bytes(), f"{name}.bpf.o")

    assert {program.name for program in spec.programs} == {row[0] for row in rows}


def test_a_stack_too_deep_names_the_functions(kernel: Btf) -> None:
    (verdict,) = verify_file(OBJECTS / "mistakes.bpf.o", programs=["stacks_of_two"], btf=kernel)

    assert verdict.reason is not None
    assert verdict.reason.found == "304 bytes of stacks_of_two + 304 bytes of deep"


def test_a_hint_names_source_lines(kernel: Btf) -> None:
    assert "at hints.bpf.c:" in reason_of("leaked_reference", kernel).hint


def test_a_leak_names_what_acquired_and_the_decisions_since(kernel: Btf) -> None:
    reason = reason_of("leaked_reference", kernel)

    assert [step.text.split()[0] for step in reason.steps] == ["call", "if", "if"]
    assert reason.steps[0].effect.startswith("acquires reference")
    assert [step.effect for step in reason.steps[1:]] == ["not taken", "taken"]


def test_operands_are_shown_where_the_message_names_none(kernel: Btf) -> None:
    assert reason_of("bound_missing", kernel).found.startswith("R0=map_value(")
    assert ", R1=scalar()" in reason_of("bound_missing", kernel).found


def hint(text: str) -> str:
    with pytest.raises(Rejected) as caught:
        verify(request_of(text, None))
    str(caught.value)  # the hint is looked for when someone wants to read it
    return caught.value.hint


LOOK_UP = """\
.type xdp
.map 1 hash 4 64 8 values
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = map[fd 1]
call bpf_map_lookup_elem
if r0 == 0 goto out
r1 = *(u64 *)(r0 + 0)
"""
USE = "r0 += r1\nr2 = *(u8 *)(r0 + 0)\nout: r0 = 0\nexit"


def test_a_bound_that_was_lost_on_the_stack_is_told() -> None:
    spilled = "*(u64 *)(r10 - 16) = r1\nr3 = r1\nr3 <<= 1\nr3 >>= 1\n"
    text = LOOK_UP + spilled + "if r1 s> 40 goto out\nr1 = *(u64 *)(r10 - 16)\n" + USE

    assert "another copy: the value went through the stack at fp-16" in hint(text)


def test_a_mask_or_another_value_is_no_lost_bound() -> None:
    other = "r4 = *(u64 *)(r0 + 8)\nif r4 > 40 goto out\n"

    assert hint(LOOK_UP + other + USE) == "bound the number before adding it to a pointer"


def test_shifts_that_cut_the_upper_half_are_followed() -> None:
    cut = "r3 = r1\nr3 <<= 32\nr3 >>= 32\nif r3 > 40 goto out\n"

    assert "bounds the lower 32 bits only" in hint(LOOK_UP + cut + USE)


def test_a_bound_that_is_too_wide_for_a_size_is_told() -> None:
    text = (
        LOOK_UP
        + "if r1 > 4096 goto out\nif r1 == 0 goto out\nr2 = r1\nr1 = r0\nr3 = 0\ncall bpf_trace_printk\n"
        + ("out: r0 = 0\nexit")
    )

    assert "bounds the value, but not enough: it may be up to 4096" in hint(
        text.replace(".type xdp", ".type kprobe")
    )


def test_a_packet_checked_before_a_variable_offset_was_added() -> None:
    text = (
        ".type xdp\nr2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 14\n"
        "if r4 > r3 goto out\nr5 = *(u8 *)(r2 + 0)\nr2 += r5\nr0 = *(u8 *)(r2 + 0)\n"
        "out: r0 = 0\nexit"
    )

    assert "before a variable offset was added: compare the sum" in hint(text)
