"""Extensions and tracing of functions: what the verifier says, beyond what links need."""

from errno import EINVAL

import pytest

from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED
from skep.btf.kinds import Kind
from skep.engine.proof_only import ProofEngine
from skep.syscall.subsystem import Subsystem
from support.caller import EXIT, Caller, insn
from support.functions import (
    CGROUP_SKB,
    CONTEXTS,
    FENTRY,
    FEXIT,
    RAW_TRACEPOINT,
    SCHED_CLS,
    STATIC,
    TRACING,
    XDP,
    Fn,
    Loaded,
    Types,
    load_on,
    load_parts,
    load_target,
    number,
    tracer,
)

FSESSION = 58
SYSCALL, SLEEPABLE = 31, 16
ADD = Fn("add", "int, int")


@pytest.fixture(name="caller")
def _caller() -> Caller:
    return Caller(Subsystem(engine=ProofEngine()))


def reads(word: int, then: bytes = b"") -> bytes:
    return insn(0x79, 1, 1, off=8 * word) + then + number(0)


def trace(caller: Caller, on: Loaded, name: str, code: bytes, attach_type: int = FEXIT) -> Loaded:
    return load_on(caller, on, name, tracer(code), TRACING, expected_attach_type=attach_type)


# --- what functions are called with ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "known"),
    [
        (Fn("one", "int", linkage=STATIC), True),
        (Fn("one", "ctx", linkage=STATIC), True),
        (Fn("one", "pair*", linkage=STATIC), False),
        (Fn("one", "int, ctx!ctx", linkage=STATIC), False),
        (Fn("one", "int, pair*"), True),
    ],
    ids=["a number", "the context", "memory", "a tag", "a global function"],
)
def test_the_arguments_of_a_function_are_known_if_its_callers_keep_to_them(
    caller: Caller, fn: Fn, known: bool
) -> None:
    """A tracer sees a result behind what is declared, else behind five words."""
    on = load_target(caller, (fn,))
    assert on.fd >= 0, on.log
    declared = len(fn.takes.split(","))

    assert (trace(caller, on, "one", reads(declared + 1)).fd >= 0) is not known
    assert (trace(caller, on, "one", reads(5)).fd >= 0) is not known


def test_a_static_function_that_gets_a_pointer_for_a_number_is_seen_as_words(
    caller: Caller,
) -> None:
    callee = Fn("one", "int", linkage=STATIC)
    on = load_target(caller, (callee,), main="ctx")
    honest = trace(caller, on, "one", reads(5))
    liar = Fn("one", "int", linkage=STATIC, code=number(1))
    code = insn(0x85, src=1, imm=2) + number(0)  # r1, the context, is passed as it is
    other = load_main(caller, code, liar)

    assert honest.fd == -13
    assert trace(caller, other, "one", reads(5)).fd >= 0


def load_main(caller: Caller, code: bytes, fn: Fn) -> Loaded:
    types = Types(CONTEXTS[XDP])
    names = {"main": types.function(Fn("main", "ctx")), fn.name: types.function(fn)}
    parts = [(names["main"], code), (names[fn.name], fn.code)]
    return load_parts(caller, XDP, types, parts, names)


def test_the_context_of_a_traced_function_is_the_kernels_struct(caller: Caller) -> None:
    on = load_target(caller, (Fn("look", "ctx, int"),))
    first = trace(caller, on, "look", reads(0, insn(0x79, 1, 1)), FENTRY)
    beyond = trace(caller, on, "look", reads(0, insn(0x79, 1, 1, off=1 << 14)), FENTRY)

    assert first.fd >= 0, first.log
    assert beyond.fd == -13
    assert "xdp_buff" in beyond.log


def test_pointers_to_other_memory_are_not_seen_at_all(caller: Caller) -> None:
    on = load_target(caller, (Fn("look", "pair*, int"),))

    assert trace(caller, on, "look", reads(0), FENTRY).fd == -13
    assert trace(caller, on, "look", reads(1), FENTRY).fd >= 0


# --- by whose rules -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "attach_type", "allowed"),
    [(XDP, 0, range(5)), (CGROUP_SKB, 0, (0, 1)), (CGROUP_SKB, 1, (0, 1, 2, 3)),
     (RAW_TRACEPOINT, 0, (0,))],
)  # fmt: skip
def test_an_extension_returns_what_the_target_may(
    caller: Caller, kind: int, attach_type: int, allowed: tuple[int, ...]
) -> None:
    on = load_target(caller, (ADD,), kind, expected_attach_type=attach_type)
    loads = [load_on(caller, on, "add", Fn("other", "int, int", code=number(value))).fd >= 0
             for value in range(5)]  # fmt: skip

    assert loads == [value in allowed for value in range(5)]


def test_an_extension_reads_of_the_context_what_the_attach_type_of_its_target_allows(
    caller: Caller,
) -> None:
    """bound_dev_if is there when a socket is made, and not after it was bound (attach type 12)."""
    code = insn(0x61, 0, 1) + number(1)
    loads = []
    for attach_type in (2, 12):
        on = load_target(caller, (Fn("look", "ctx"),), 9, expected_attach_type=attach_type)
        assert on.fd >= 0, on.log
        patch = load_on(caller, on, "look", Fn("other", "ctx", code=code), context="bpf_sock")
        loads.append(patch.fd >= 0)

    assert loads == [True, False]


def test_an_extension_calls_the_helpers_of_its_target(caller: Caller) -> None:
    adjust = insn(0xB7, 2) + insn(0x85, imm=44) + number(1)  # bpf_xdp_adjust_head
    look = Fn("look", "ctx", code=adjust)
    on = load_target(caller, (look,))
    tc = load_target(caller, (Fn("look", "ctx"),), SCHED_CLS)
    fits = load_on(caller, on, "look", Fn("other", "ctx", code=adjust))
    other = load_on(caller, tc, "look", Fn("other", "ctx", code=adjust), context="__sk_buff")

    assert fits.fd >= 0, fits.log
    assert other.fd == -EINVAL


def test_an_extension_does_not_change_packets_where_the_function_did_not(caller: Caller) -> None:
    adjust = insn(0xB7, 2) + insn(0x85, imm=44) + number(1)
    on = load_target(caller, (Fn("look", "ctx"),))
    tried = load_on(caller, on, "look", Fn("other", "ctx", code=adjust))

    assert tried.fd == -EINVAL
    assert "Extension program changes packet data, while original does not" in tried.log


def test_an_extension_begins_with_nothing_but_its_arguments(caller: Caller) -> None:
    on = load_target(caller, (ADD,))
    third = load_on(caller, on, "add", Fn("other", "int, int", code=insn(0xBF, 0, 3) + EXIT))

    assert (third.fd, "R3 !read_ok" in third.log) == (-13, True)


@pytest.mark.parametrize(
    ("own", "its", "fits"),
    [
        ("pair*", "pair*", True),
        ("pair*!nonnull", "pair*!nonnull", True),
        ("pair*", "pair*!nonnull", True),
        ("pair*!nonnull", "pair*", False),
        ("pair*!untrusted", "pair*", False),
    ],
)
def test_tags_of_an_extension_promise_no_more_than_the_functions(
    caller: Caller, own: str, its: str, fits: bool
) -> None:
    on = load_target(caller, (Fn("take", its),))
    tried = load_on(caller, on, "take", Fn("other", own))

    assert (tried.fd >= 0) is fits, tried.log


# --- what 6.18 does not have ----------------------------------------------------------------------


def test_fsession_programs_are_refused_as_later_than_6_18(caller: Caller) -> None:
    on = load_target(caller, (ADD,))
    tried = trace(caller, on, "add", number(0), FSESSION)

    assert tried.fd == -EINVAL
    assert "it came after Linux 6.18" in tried.log


@pytest.mark.parametrize("kind", [XDP, SCHED_CLS])
def test_metadata_of_devices_is_for_programs_that_are_bound_to_one(
    caller: Caller, kind: int
) -> None:
    kernel = caller.subsystem.kernel_types
    assert kernel is not None
    found = kernel.by_name("bpf_xdp_metadata_rx_timestamp", Kind.FUNC)
    if not found:
        pytest.skip("the kernel's types do not name it")
    room = caller.keep(b"", 1 << 14)
    never = insn(0xB7, 3) + insn(0x15, 3, off=1) + insn(0x85, src=2, imm=found) + number(1)
    fd = caller.program(never, kind, log_level=1, log_size=1 << 14, log_buf=room)

    assert fd == -EINVAL
    assert "metadata kfuncs require device-bound program" in caller.text_at(room)


def test_an_extension_of_what_may_be_asleep_has_no_help_of_rcu() -> None:
    kernel = Btf.parse(SHIPPED.read_bytes())
    caller = Caller(Subsystem(engine=ProofEngine(), kernel_btf=kernel))
    awake = load_target(caller, (ADD,), SCHED_CLS)
    asleep = load_target(caller, (ADD,), SYSCALL, main="int*!ctx", prog_flags=SLEEPABLE)
    relies, plain = Fn("other", "int, int", code=takes_parent(kernel)), Fn("other", "int, int")
    on_awake, on_asleep = (
        load_on(caller, awake, "add", relies),
        load_on(caller, asleep, "add", relies),
    )

    assert on_awake.fd >= 0, on_awake.log
    assert on_asleep.fd == -EINVAL
    assert "must be a rcu pointer" in on_asleep.log
    assert load_on(caller, asleep, "add", plain).fd >= 0


def takes_parent(kernel: Btf) -> bytes:
    """Take hold of the current task's parent, which RCU protects, and give it back."""
    task = kernel.by_name("task_struct", Kind.STRUCT)
    parent = kernel.find_member(task or 0, "real_parent")
    assert parent is not None
    names = ("bpf_task_acquire", "bpf_task_release")
    acquire, release = (kernel.by_name(name, Kind.FUNC) or 0 for name in names)
    load = insn(0x85, imm=158) + insn(0x79, 1, 0, off=parent.offset) + insn(0x15, 1, off=4)
    hold = insn(0x85, src=2, imm=acquire) + insn(0x15, 0, off=2)
    return load + hold + insn(0xBF, 1, 0) + insn(0x85, src=2, imm=release) + number(0)
