"""Calls between functions of a program, callbacks, global functions, stack depth."""

from pathlib import Path

import pytest

from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED
from skep.btf.kinds import GLOBAL, STATIC
from skep.session.verdicts import verify_file
from skep.verifier.interface import FunctionInfo, Request
from support.verify_maps import ARRAY, all_maps
from support.verify_text import accepted, rejected, request

ASLEEP = Path(__file__).parents[2] / "objects" / "asleep.bpf.o"
MAIN = STATIC  # linkage of the entry does not matter


def _typed(text: str, starts: list[tuple[int, int]], kind: str = "sched_cls") -> Request:
    """A program whose functions, *(pc, linkage)*, are ``int f(int)``."""
    builder = Builder()
    number = builder.integer("int", 4, signed=True)
    prototype = builder.prototype(number, [("x", number)])
    infos = [
        FunctionInfo(pc, builder.function(f"f{index}", prototype, linkage))
        for index, (pc, linkage) in enumerate(starts)
    ]
    return request(text, kind=kind, functions=infos, btf=builder.build(), maps=all_maps())


def test_a_static_function_is_walked_with_the_callers_values() -> None:
    proof = accepted(request("r1 = 5\ncall f\nexit\nf: r0 = r1\nr0 += 1\nexit"))

    assert [(sub.start, sub.end) for sub in proof.subprograms] == [(0, 3), (3, 6)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("r6 = 1\ncall f\nexit\nf: r0 = r6\nexit", "register-initialised"),
        ("call f\nr0 = r1\nexit\nf: r0 = 0\nexit", "register-initialised"),
        ("call f\nexit\nf: r0 = r10\nexit", "no-stack-pointer-returned"),
        ("r0 = 0\ncall +7\nexit", "call-target"),
        ("call f\nexit\nf: call f\nexit", "call-depth"),
        ("r0 = 0\nif r0 == 0 goto f\ncall f\nexit\nf: r0 = 0\nexit", "jump-in-range"),
    ],
)
def test_a_bad_call_is_refused_by_its_rule(text: str, rule: str) -> None:
    assert rejected(request(text)).rule.id == rule


def test_a_callee_writes_into_the_callers_frame() -> None:
    text = """
    r1 = r10
    r1 += -8
    call f
    r0 = *(u64 *)(r10 - 8)
    exit
    f: *(u64 *)(r1 + 0) = 7
    r0 = 0
    exit
    """

    accepted(request(text))


def test_what_a_callee_reads_of_the_callers_frame_is_not_forgotten() -> None:
    """Two paths differ in a spilled pointer that only the callee reads."""
    text = """
    r6 = r1
    r7 = *(u32 *)(r1 + 0)
    *(u64 *)(r10 - 8) = r6
    if r7 == 0 goto +2
    r2 = 0
    *(u64 *)(r10 - 8) = r2
    if r7 == 1 goto +0
    if r7 == 2 goto +0
    if r7 == 3 goto +0
    if r7 == 4 goto +0
    r1 = r10
    r1 += -8
    call f
    exit
    f: r2 = *(u64 *)(r1 + 0)
    r0 = *(u32 *)(r2 + 0)
    exit
    """

    assert rejected(request(text)).pc == 15


@pytest.mark.parametrize(
    ("own", "callee", "ok"), [(256, 256, True), (264, 256, False), (512, 0, True)]
)
def test_stacks_of_nested_calls_share_512_bytes(own: int, callee: int, ok: bool) -> None:
    text = f"*(u8 *)(r10 - {own}) = 1\ncall f\nexit\nf: r0 = 0\n"
    text += f"*(u8 *)(r10 - {callee}) = 1\nexit" if callee else "exit"
    if ok:
        accepted(request(text))
    else:
        assert rejected(request(text)).rule.id == "stack-depth"


def test_a_tracing_program_gets_a_private_stack_for_each_large_frame() -> None:
    text = "*(u8 *)(r10 - 512) = 1\ncall f\nexit\nf: r0 = 0\n*(u8 *)(r10 - 512) = 1\nexit"

    accepted(request(text, kind="kprobe"))
    assert rejected(request(text, kind="xdp")).rule.id == "stack-depth"


def test_calls_nest_eight_deep() -> None:
    deep = "call f1\nexit\n" + "".join(f"f{n}: call f{n + 1}\nexit\n" for n in range(1, 7))

    accepted(request(deep + "f7: r0 = 0\nexit"))
    assert rejected(request(deep + "f7: call f8\nexit\nf8: r0 = 0\nexit")).rule.id == "call-depth"


# --- global functions -------------------------------------------------------------------------

GLOBAL_CALL = "r6 = r1\nr1 = {argument}\ncall f\nr0 = {after}\nexit\nf: r0 = {body}\nexit"


def _global(argument: str, after: str, body: str) -> Request:
    text = GLOBAL_CALL.format(argument=argument, after=after, body=body)
    return _typed(text, [(0, MAIN), (5, GLOBAL)])


def test_a_global_function_is_verified_for_any_argument() -> None:
    proof = accepted(_global("3", "r0", "r1"))

    assert proof.subprograms[1].is_global
    assert proof.seen == b"\1" * 7


@pytest.mark.parametrize(
    ("argument", "after", "body", "rule"),
    [
        ("r10", "0", "0", "global-function-arguments"),
        ("3", "r6", "r2", "register-initialised"),
        ("3", "r1", "0", "register-initialised"),
    ],
)
def test_a_bad_global_call_is_refused(argument: str, after: str, body: str, rule: str) -> None:
    assert rejected(_global(argument, after, body)).rule.id == rule


def test_a_global_function_that_nothing_calls_is_not_verified() -> None:
    text = "r1 = 0\nif r1 == 0 goto +1\ncall f\nr0 = 0\nexit\nf: r0 = r9\nexit"
    proof = accepted(_typed(text, [(0, MAIN), (5, GLOBAL)]))

    assert proof.seen[5] == 0


def test_records_that_do_not_fit_the_program_are_refused() -> None:
    wanted = _typed("r0 = 0\nexit", [(0, MAIN), (1, STATIC)])

    assert rejected(wanted).rule.id == "debug-info-valid"


def _memory_function(size: int) -> tuple[Btf, int, int]:
    builder = Builder()
    number = builder.integer("int", 4, signed=True)
    pair = builder.array(number, size // 4, number)
    outer = builder.function("main", builder.prototype(number), MAIN)
    inner = builder.function("f", builder.prototype(number, [("p", builder.pointer(pair))]), GLOBAL)
    return builder.build(), outer, inner


@pytest.mark.parametrize(("size", "body", "ok"), [(8, 4, True), (8, 8, False), (16, 4, False)])
def test_memory_of_a_global_function_has_the_size_of_its_type(
    size: int, body: int, ok: bool
) -> None:
    """The caller has 8 bytes; the callee reads 4 at *body*."""
    btf, outer, inner = _memory_function(size)
    text = f"""
    *(u64 *)(r10 - 8) = 0
    r1 = r10
    r1 += -8
    call f
    exit
    f: r0 = 0
    if r1 == 0 goto +1
    r0 = *(u32 *)(r1 + {body})
    exit
    """
    infos = [FunctionInfo(0, outer), FunctionInfo(5, inner)]
    wanted = request(text, kind="sched_cls", functions=infos, btf=btf)
    if ok:
        accepted(wanted)
    else:
        rejected(wanted)


# --- callbacks --------------------------------------------------------------------------------

LOOP = """
*(u64 *)(r10 - 8) = 0
r1 = 100
r2 = func[cb]
r3 = r10
r3 += -8
r4 = 0
call 181
r0 = *(u64 *)(r10 - 8)
{after}
r0 = 0
exit
cb: r0 = *(u64 *)(r2 + 0)
r0 += 1
*(u64 *)(r2 + 0) = r0
r0 = {result}
exit
"""


def _loop(after: str = "r0 = 0", result: int = 0) -> Request:
    callback = 11 + len(after.splitlines())
    return _typed(LOOP.format(after=after, result=result), [(0, MAIN), (callback, STATIC)])


def test_a_callback_is_covered_for_any_number_of_rounds() -> None:
    proof = accepted(_loop())

    assert proof.subprograms[1].is_callback
    assert proof.statistics.insns_processed < 100


def test_what_a_callback_changed_is_not_taken_for_constant() -> None:
    """After the loop the counter is not the 0 it was before: r10 - 8 + 8 is out of the frame."""
    verdict = rejected(_loop(after="r1 = r10\nr1 += r0\n*(u8 *)(r1 - 8) = 0"))

    assert verdict.rule.id == "stack-in-frame"


def test_a_callback_returns_zero_or_one() -> None:
    assert rejected(_loop(result=2)).rule.id == "callback-return-range"


def test_a_callback_is_static() -> None:
    wanted = _typed(LOOP.format(after="r0 = 0", result=0), [(0, MAIN), (12, GLOBAL)])

    assert rejected(wanted).rule.id == "function-reference"


def test_a_map_is_walked_by_a_callback() -> None:
    text = f"""
    r1 = map[fd {ARRAY}]
    r2 = func[cb]
    r3 = 0
    r4 = 0
    call 164
    r0 = 0
    exit
    cb: r0 = *(u32 *)(r3 + 0)
    r0 = 0
    exit
    """

    accepted(_typed(text, [(0, MAIN), (9, STATIC)]))


@pytest.mark.parametrize(
    ("program", "rule"), [("awake", ""), ("asleep", "kfunc-trust"), ("asleep_in_section", "")]
)
def test_a_global_function_that_is_called_where_one_may_sleep_has_no_help_of_rcu(
    program: str, rule: str
) -> None:
    """A work queue's callback may sleep, though the program may not."""
    (verdict,) = verify_file(ASLEEP, programs=[program], btf=Btf.parse(SHIPPED.read_bytes()))

    assert verdict.rule == rule
