"""Calls of kernel functions: who may make them, what they take, what they leave behind."""

from errno import EACCES, EINVAL, EPROTO
from typing import Final

import pytest

from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED
from skep.btf.kinds import Kind
from skep.session.assembly import request_of
from skep.uapi import kfuncs
from skep.uapi.flags import AttachType, ProgType
from skep.verifier import Rejected, verify

KERNEL: Final = Btf.parse(SHIPPED.read_bytes())
TASK: Final = "r1 = 1\ncall kfunc[bpf_task_from_pid]\n"
RELEASE: Final = "call kfunc[bpf_task_release]\n"
LOCK, UNLOCK = "call kfunc[bpf_rcu_read_lock]\n", "call kfunc[bpf_rcu_read_unlock]\n"
END: Final = "r0 = 0\nexit"


def fp(register: int, off: int) -> str:
    return f"r{register} = r10\nr{register} += {off}\n"


def numbers(body: str, off: int = -8) -> str:
    """An iterator over numbers, and what is done while it lives."""
    return (
        f"{fp(1, off)}r2 = 0\nr3 = 10\ncall kfunc[bpf_iter_num_new]\n{body}"
        f"{fp(1, off)}call kfunc[bpf_iter_num_destroy]\n"
    )


def next_number(off: int = -8) -> str:
    return f"{fp(1, off)}call kfunc[bpf_iter_num_next]\n"


def dynptr(body: str) -> str:
    return f"r2 = 0\n{fp(3, -16)}call kfunc[bpf_dynptr_from_skb]\n{body}"


def slice_of(size: int, name: str = "bpf_dynptr_slice") -> str:
    return dynptr(f"{fp(1, -16)}r2 = 0\n{fp(3, -32)}r4 = {size}\ncall kfunc[{name}]\n")


def broken_rule(text: str, kind: str = "sched_cls", flags: str = "") -> str:
    """Id of the rule that refuses the program; "" if it is accepted."""
    verdict = verdict_of(text, kind, flags)
    return verdict.rule.id if verdict is not None else ""


def verdict_of(text: str, kind: str = "sched_cls", flags: str = "") -> Rejected | None:
    directives = f".type {kind}\n" + (f".flags {flags}\n" if flags else "")
    try:
        verify(request_of(f"{directives}{text}{END}\n", KERNEL))
    except Rejected as verdict:
        return verdict
    return None


# --- references -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"{TASK}if r0 == 0 goto +2\nr1 = r0\n{RELEASE}", ""),
        (f"{TASK}r1 = r0\n{RELEASE}", "argument-not-null"),
        (TASK, "reference-released"),
        (f"{TASK}if r0 == 0 goto +1\nr6 = r0\n", "reference-released"),
        (f"{TASK}if r0 == 0 goto +3\nr1 = r0\nr1 += 8\n{RELEASE}", "released-unmoved"),
        (
            f"{TASK}if r0 == 0 goto +4\nr6 = r0\nr1 = r0\n{RELEASE}r1 = *(u32 *)(r6 + 0)\n",
            "access-through-pointer",
        ),
        (f"{TASK}if r0 == 0 goto +5\nr6 = r0\nr1 = r0\n{RELEASE}r1 = r6\n{RELEASE}",
         "kfunc-argument"),
        (f"{TASK}if r0 == 0 goto +2\nr1 = r0\ncall kfunc[bpf_cgroup_release]\n", "kfunc-argument"),
        (f"{RELEASE}", "kfunc-argument"),
        (f"r1 = 0\n{RELEASE}", "argument-not-null"),
    ],
)  # fmt: skip
def test_what_is_acquired_is_released_once(text: str, rule: str) -> None:
    assert broken_rule(text) == rule


def test_a_program_of_another_type_may_not_call() -> None:
    assert broken_rule(TASK, "socket_filter") == "kfunc-available"
    assert broken_rule("r1 = 0\ncall kfunc[tcp_slow_start]\n") == "kfunc-available"


def test_a_trap_is_not_reached() -> None:
    assert broken_rule("call kfunc[__bpf_trap]\n") == "trap-unreachable"


# --- sections ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"{LOCK}{UNLOCK}", ""),
        (LOCK, "not-in-critical-section"),
        (UNLOCK, "section-matched"),
        (f"{LOCK}{LOCK}{UNLOCK}{UNLOCK}", "section-matched"),
        ("call kfunc[bpf_preempt_disable]\n" * 2 + "call kfunc[bpf_preempt_enable]\n" * 2, ""),
        ("call kfunc[bpf_preempt_disable]\n", "not-in-critical-section"),
        ("call kfunc[bpf_preempt_enable]\n", "section-matched"),
    ],
)
def test_sections_are_closed_as_often_as_opened(text: str, rule: str) -> None:
    assert broken_rule(text) == rule


def irq(save_at: int, restore_at: int, body: str = "") -> str:
    return (
        f"{fp(1, save_at)}call kfunc[bpf_local_irq_save]\n{body}"
        f"{fp(1, restore_at)}call kfunc[bpf_local_irq_restore]\n"
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (irq(-8, -8), ""),
        (irq(-8, -8, irq(-16, -16)), ""),
        (irq(-8, -16, irq(-16, -8)), "irq-order"),
        (irq(-8, -16), "irq-flag-initialised"),
        (irq(-12, -12), "irq-flag-place"),
        (irq(-8, -8, "*(u64 *)(r10 - 8) = 0\n"), "irq-flag-initialised"),
        (irq(-8, -8, "r1 = *(u64 *)(r10 - 8)\n"), "stack-initialised"),
        (irq(-8, -8, f"{fp(1, -8)}call kfunc[bpf_local_irq_save]\n"), "irq-flag-room"),
    ],
)
def test_interrupts_are_restored_in_reverse_order(text: str, rule: str) -> None:
    assert broken_rule(text) == rule


@pytest.mark.parametrize(
    ("section", "end"),
    [
        (LOCK, UNLOCK),
        ("call kfunc[bpf_preempt_disable]\n", "call kfunc[bpf_preempt_enable]\n"),
        (
            f"{fp(1, -8)}call kfunc[bpf_local_irq_save]\n",
            f"{fp(1, -8)}call kfunc[bpf_local_irq_restore]\n",
        ),
    ],
)
def test_nothing_sleeps_in_a_section(section: str, end: str) -> None:
    sleep = f"{fp(1, -16)}r2 = 8\nr3 = 0\nr4 = 0\ncall kfunc[bpf_copy_from_user_str]\n"
    verdict = verdict_of(f"{section}{sleep}{end}", "syscall", "sleepable")

    assert broken_rule(sleep, "syscall", "sleepable") == ""
    assert broken_rule(sleep) == "call-may-sleep"
    assert verdict is not None
    assert (verdict.rule.id, verdict.errno) == ("call-may-sleep", EACCES)


# --- iterators --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (numbers(""), ""),
        (numbers(f"{next_number()}if r0 == 0 goto +2\nr1 = *(u32 *)(r0 + 0)\ngoto -6\n"), ""),
        (numbers(f"{next_number()}if r0 == 0 goto +1\nr1 = *(u32 *)(r0 + 1)\n"),
         "access-in-memory"),
        (numbers(f"{next_number()}if r0 == 0 goto +1\n*(u32 *)(r0 + 0) = 1\n"), "memory-writable"),
        (f"{numbers(f'{next_number()}r6 = r0')}".replace("r6 = r0", "r6 = r0\n")
         + "r1 = *(u32 *)(r6 + 0)\n", "access-through-pointer"),
        (numbers("") + f"{fp(1, -8)}call kfunc[bpf_iter_num_destroy]\n", "iterator-initialised"),
        (numbers("", -12), "iterator-place"),
        (numbers(numbers("")), "iterator-room"),
        (numbers("*(u64 *)(r10 - 8) = 0\n"), "iterator-initialised"),
        (numbers("").rsplit("r1 = r10", 1)[0], "reference-released"),
        (numbers("").replace("num_destroy", "bits_destroy"), "iterator-place"),
        (next_number(), "iterator-initialised"),
        ("call kfunc[bpf_iter_num_next]\n", "iterator-place"),
    ],
)  # fmt: skip
def test_an_iterator_is_made_used_and_destroyed(text: str, rule: str) -> None:
    assert broken_rule(text) == rule


def test_a_loop_that_changes_a_number_each_round_converges() -> None:
    body = f"{next_number()}if r0 == 0 goto +3\nr6 += 1\nr7 ^= r6\ngoto -7\n"

    assert broken_rule(f"r6 = 0\nr7 = 0\n{numbers(body)}") == ""


def test_what_rcu_protects_is_walked_in_the_section() -> None:
    tasks = f"{fp(1, -24)}r2 = 0\nr3 = 0\ncall kfunc[bpf_iter_task_new]\n"
    step = f"{fp(1, -24)}call kfunc[bpf_iter_task_next]\n"
    end = f"{fp(1, -24)}call kfunc[bpf_iter_task_destroy]\n"
    outside = verdict_of(f"{tasks}{step}{end}", "syscall", "sleepable")
    later = verdict_of(f"{LOCK}{tasks}{UNLOCK}{step}{end}", "syscall", "sleepable")

    assert broken_rule(f"{LOCK}{tasks}{step}{end}{UNLOCK}", "syscall", "sleepable") == ""
    assert outside is not None
    assert (outside.rule.id, outside.errno) == ("rcu-section-needed", EACCES)
    assert later is not None
    assert (later.rule.id, later.errno) == ("iterator-protected", EPROTO)


# --- dynptrs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"{slice_of(8)}if r0 == 0 goto +1\nr1 = *(u64 *)(r0 + 0)\n", ""),
        (f"{slice_of(8)}r1 = *(u64 *)(r0 + 0)\n", "access-through-pointer"),
        (f"{slice_of(8)}if r0 == 0 goto +1\nr1 = *(u64 *)(r0 + 1)\n", "access-in-memory"),
        (f"{slice_of(8)}if r0 == 0 goto +1\n*(u64 *)(r0 + 0) = 1\n", "memory-writable"),
        (f"{slice_of(8, 'bpf_dynptr_slice_rdwr')}if r0 == 0 goto +1\n*(u64 *)(r0 + 0) = 1\n", ""),
        (slice_of(33), "stack-in-frame"),
        (slice_of(17), "stack-initialised"),
        (dynptr(f"{fp(1, -8)}call kfunc[bpf_dynptr_size]\n"), "dynptr-place"),
        (f"{fp(1, -16)}call kfunc[bpf_dynptr_size]\n", "dynptr-initialised"),
        (dynptr(f"{fp(1, -16)}{fp(2, -32)}call kfunc[bpf_dynptr_clone]\n"), ""),
    ],
)
def test_dynptrs_are_made_sliced_and_cloned(text: str, rule: str) -> None:
    assert broken_rule(text) == rule


def test_packets_are_written_only_where_programs_may() -> None:
    text = slice_of(8, "bpf_dynptr_slice_rdwr")

    assert broken_rule(text, "socket_filter") == "kfunc-result"


# --- casts, exceptions ------------------------------------------------------------------------


def test_a_cast_reads_and_does_no_more() -> None:
    struct = KERNEL.by_name("task_struct") or 0
    cast = f"r1 = 0\nr2 = {struct}\ncall kfunc[bpf_rdonly_cast]\n"

    assert broken_rule(f"{cast}r1 = *(u32 *)(r0 + 0)\n") == ""
    assert broken_rule(f"{cast}*(u32 *)(r0 + 0) = 1\n") == "memory-writable"
    assert broken_rule(f"{cast}r1 = r0\ncall kfunc[bpf_task_acquire]\n") == "kfunc-trust"
    assert broken_rule("r1 = 0\nr2 = 2000000000\ncall kfunc[bpf_rdonly_cast]\n") == "kfunc-result"


def test_nothing_is_held_when_an_exception_is_thrown() -> None:
    throw = "r1 = 0\ncall kfunc[bpf_throw]\n"

    assert broken_rule(throw) == ""
    assert broken_rule(f"{TASK}{throw}") == "reference-released"
    assert broken_rule(f"{LOCK}{throw}") == "not-in-critical-section"
    assert broken_rule(numbers(throw)) == "reference-released"
    assert broken_rule("r1 = 9\ncall kfunc[bpf_throw]\n", "cgroup_skb") == "return-range"


# --- the table --------------------------------------------------------------------------------


def test_a_function_stands_in_the_table_once() -> None:
    assert len(kfuncs.ROWS) == len(kfuncs.KFUNCS)
    assert kfuncs.by_name("bpf_unheard_of") is None


def test_some_functions_are_for_one_way_of_attaching() -> None:
    row = kfuncs.KFUNCS["bpf_sock_destroy"]

    assert kfuncs.may_call(row, ProgType.TRACING, AttachType.TRACE_ITER)
    assert not kfuncs.may_call(row, ProgType.TRACING, AttachType.TRACE_FENTRY)
    assert not kfuncs.may_call(row, ProgType.XDP, 0)


def test_iterators_have_all_their_functions() -> None:
    for row in kfuncs.ROWS:
        if row.flags & kfuncs.ITER_NEW:
            stem = row.name.removesuffix("_new")
            following, last = kfuncs.KFUNCS[f"{stem}_next"], kfuncs.KFUNCS[f"{stem}_destroy"]
            assert following.flags & kfuncs.ITER_NEXT
            assert following.flags & kfuncs.RET_NULL
            assert last.flags & kfuncs.ITER_DESTROY
            assert following.types == last.types == row.types


def test_errnos_are_the_kernels() -> None:
    null = verdict_of(f"r1 = 0\n{RELEASE}")
    scalar = verdict_of(f"r1 = 5\n{RELEASE}")

    assert null is not None
    assert scalar is not None
    assert (null.errno, scalar.errno) == (EACCES, EINVAL)


def test_what_a_load_may_read_says_nothing_of_how_much_a_helper_may() -> None:
    """Outcomes of accesses are kept with the types: 8 bytes at n are not 16 * n + 8 bytes at 0."""
    kernel = Btf.parse(SHIPPED.read_bytes())
    task = kernel.by_name("task_struct", Kind.STRUCT)
    member = kernel.find_member(task or 0, "start_time")
    assert member is not None
    load = f"call 158\nr1 = *(u64 *)(r0 + {member.offset})\n"
    whole = f"call 158\nr1 = r0\nr2 = {16 * member.offset + 8}\nr3 = 0\nr4 = 0\nr5 = 0\ncall 28\n"
    verdicts = []
    for text in (load, whole, load):
        try:
            verify(request_of(f".type sched_cls\n{text}{END}\n", kernel))
            verdicts.append("")
        except Rejected as verdict:
            verdicts.append(verdict.rule.id)

    assert verdicts == ["", "struct-member", ""]
