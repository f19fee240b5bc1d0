"""Exceptions: who may be an exception callback, and what is thrown is the program's result."""

from errno import EEXIST, EINVAL, ENOENT
from typing import Final

import pytest

from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED
from skep.session.assembly import request_of
from skep.verifier import Rejected, verify

KERNEL: Final = Btf.parse(SHIPPED.read_bytes())
CATCH: Final = "catch:\nr0 = r1\nexit"
THROW: Final = "r1 = 9\ncall kfunc[bpf_throw]\nr0 = 0\nexit\n"


def judge(text: str) -> None:
    verify(request_of(text, kernel=KERNEL))


def program(
    tags: str = "tag=exception_callback:catch",
    catch: str = "global catch int u64",
    main: str = THROW,
    body: str = CATCH,
    kind: str = "sched_cls",
) -> str:
    return f".type {kind}\n.func static main int {tags}\n.func {catch}\nmain:\n{main}{body}"


def refusal(text: str) -> tuple[str, int, str]:
    with pytest.raises(Rejected) as caught:
        judge(text)
    return caught.value.rule.id, caught.value.errno, caught.value.detail


def test_a_global_function_of_a_number_may_be_one() -> None:
    judge(program())


def test_it_is_verified_although_nothing_throws() -> None:
    rule, *_ = refusal(program(main="r0 = 0\nexit\n", body="catch:\nr0 = r2\nexit"))

    assert rule == "register-initialised"


@pytest.mark.parametrize(
    ("tags", "catch", "errno", "text"),
    [
        ("tag=exception_callback:nobody", "global catch int u64", ENOENT, "could not be found"),
        ("tag=exception_callback:catch", "static catch int u64", EINVAL, "global linkage"),
        ("tag=exception_callback:main", "global catch int u64", EINVAL, "global linkage"),
        (
            "tag=exception_callback:catch tag=exception_callback:catch",
            "global catch int u64", EEXIST, "multiple",
        ),
        ("tag=exception_callback:catch", "global catch int", EINVAL, "single integer"),
        ("tag=exception_callback:catch", "global catch int u64 u64", EINVAL, "single integer"),
        ("tag=exception_callback:catch", "global catch int ctx", EINVAL, "single integer"),
    ],
)  # fmt: skip
def test_nothing_else_may_be_one(tags: str, catch: str, errno: int, text: str) -> None:
    rule, code, detail = refusal(program(tags, catch))

    assert (rule, code) == ("exception-callback", errno)
    assert text in detail


def test_nobody_calls_it() -> None:
    rule, _, detail = refusal(program(main="r1 = 1\ncall catch\nexit\n"))

    assert (rule, detail) == ("exception-callback", "insn 1 cannot call exception cb directly")


def test_it_throws_nothing_itself() -> None:
    rule, *_ = refusal(program(body="catch:\ncall kfunc[bpf_throw]\nr0 = 0\nexit"))

    assert rule == "no-throw-in-callback"


def test_what_it_returns_is_in_the_programs_range() -> None:
    assert refusal(program(kind="cgroup_sock"))[0] == "return-range"
    judge(program(kind="cgroup_sock", body="catch:\nr0 = r1\nr0 &= 1\nexit"))


def test_without_one_what_is_thrown_is_in_the_programs_range() -> None:
    text = ".type cgroup_sock\n.func static main int\nmain:\n"

    assert refusal(text + THROW)[0] == "return-range"
    judge(text + THROW.replace("9", "1"))


def test_nothing_is_held_when_it_is_called() -> None:
    rule, _, detail = refusal(program(main=f"call kfunc[bpf_rcu_read_lock]\n{THROW}"))

    assert (rule, detail) == (
        "not-in-critical-section",
        "bpf_throw cannot be used inside bpf_rcu_read_lock-ed region",
    )
