"""struct_ops programs: members, arguments, stores, helpers and kernel functions.

The kernel here is a small one, made of the structs that matter.
"""

from dataclasses import replace
from errno import EACCES, EINVAL, EOPNOTSUPP
from typing import Final

import pytest

from skep.btf import kinds
from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.verifier.interface import Request
from support.verify_case import World
from support.verify_text import accepted, rejected, request

ENOTSUPP: Final = 524
SLEEPABLE: Final = 16
SSTHRESH, CONG_AVOID, GET_INFO, INVENTED, FLAGS, RELEASE = range(6)  # members in the order below
TEST_1, TEST_2, TEST_SLEEPABLE = range(3)
SOCKET: Final = "r1 = *(u64 *)(r1 + 0)\n"
# offsets: struct sock has 24 bytes, inet_connection_sock 48, tcp_sock 56
PACING_RATE, MARK, CA_PRIV, SND_CWND, SND_UNA = 8, 16, 24, 48, 52


def _members(*rows: tuple[str, int, int]) -> list[kinds.Member]:
    return [kinds.Member(name, type_id, offset * 8, 0) for name, type_id, offset in rows]


def _kernel() -> Btf:
    make = Builder()
    u32, u64 = make.integer("u32", 4), make.integer("u64", 8)
    common = make.struct("sock_common", 8, _members(("skc_hash", u64, 0)))
    sock = make.struct(
        "sock",
        24,
        _members(("__sk_common", common, 0), ("sk_pacing_rate", u64, 8), ("sk_mark", u64, 16)),
    )
    private = make.array(u64, 3, u32)
    connection = make.struct(
        "inet_connection_sock", 48, _members(("icsk_inet", sock, 0), ("icsk_ca_priv", private, 24))
    )
    make.struct(
        "tcp_sock",
        56,
        _members(("inet_conn", connection, 0), ("snd_cwnd", u32, 48), ("snd_una", u32, 52)),
    )
    argument = make.pointer(sock)
    number = make.pointer(make.prototype(u32, [("sk", argument)]))
    nothing = make.pointer(make.prototype(0, [("sk", argument), ("ack", u32)]))
    members = (
        ("ssthresh", number, 0), ("cong_avoid", nothing, 8), ("get_info", number, 16),
        ("invented", number, 24), ("flags", u64, 32), ("release", nothing, 40),
    )  # fmt: skip
    ops = make.struct("tcp_congestion_ops", 48, _members(*members))
    make.struct("bpf_struct_ops_tcp_congestion_ops", 48, _members(("data", ops, 0)))
    state = make.struct("bpf_dummy_ops_state", 4, _members(("val", u32, 0)))
    test = make.pointer(make.prototype(u32, [("cb", make.pointer(state))]))
    tests = _members(("test_1", test, 0), ("test_2", test, 8), ("test_sleepable", test, 16))
    dummy = make.struct("bpf_dummy_ops", 24, tests)
    make.struct("bpf_struct_ops_bpf_dummy_ops", 24, _members(("data", dummy, 0)))
    other = make.struct("qdisc_ops", 8, _members(("enqueue", number, 0)))
    make.struct("bpf_struct_ops_qdisc_ops", 8, _members(("data", other, 0)))
    make.function("tcp_reno_ssthresh", make.prototype(u32, [("sk", argument)]))
    make.function("bpf_unheard_of", make.prototype(u32, [("sk", argument)]))
    return make.build()


KERNEL: Final = _kernel()


def _program(text: str, member: int, struct: str = "tcp_congestion_ops", flags: int = 0) -> Request:
    return replace(
        request(text, kind="struct_ops", flags=flags),
        environment=World(KERNEL),
        attach_btf_id=KERNEL.by_name(struct, Kind.STRUCT) or 0,
        expected_attach_type=member,
    )


def _dummy(text: str, member: int, flags: int = 0) -> Request:
    return _program(text, member, "bpf_dummy_ops", flags)


def _kfunc(name: str) -> str:
    return f"call kfunc[{KERNEL.by_name(name, Kind.FUNC)}]\n"


# --- where a program belongs ------------------------------------------------------------------


@pytest.mark.parametrize("member", [SSTHRESH, CONG_AVOID, RELEASE])
def test_an_offered_member_can_be_filled(member: int) -> None:
    accepted(_program("r0 = 0\nexit", member))
    accepted(_program("r0 = 0\nexit", member, flags=SLEEPABLE))


@pytest.mark.parametrize(
    ("member", "errno", "words"),
    [
        (GET_INFO, ENOTSUPP, "attach to unsupported member get_info of struct tcp_congestion_ops"),
        (FLAGS, EINVAL, "attach to invalid member flags(@idx 4) of struct tcp_congestion_ops"),
        (6, EINVAL, "attach to invalid member idx 6 of struct tcp_congestion_ops"),
        (INVENTED, EOPNOTSUPP, "member invented of struct tcp_congestion_ops is not supported"),
    ],
)
def test_any_other_member_is_refused(member: int, errno: int, words: str) -> None:
    verdict = rejected(_program("r0 = 0\nexit", member))

    assert (verdict.errno, verdict.detail) == (errno, words)


def test_a_struct_that_is_no_table_of_functions_is_refused() -> None:
    verdict = rejected(_program("r0 = 0\nexit", 0, "sock"))

    assert (verdict.errno, verdict.rule.id) == (ENOTSUPP, "attach-target")
    assert "is not a supported struct" in verdict.detail


def test_a_table_of_functions_that_skep_does_not_know_is_refused_as_that() -> None:
    assert rejected(_program("r0 = 0\nexit", 0, "qdisc_ops")).rule.id == "not-supported"


def test_a_program_needs_a_target_and_a_gpl_license() -> None:
    whole = _program("r0 = 0\nexit", SSTHRESH)

    assert rejected(replace(whole, attach_btf_id=0)).errno == ENOTSUPP
    assert "GPL compatible" in rejected(replace(whole, license="Proprietary")).detail


def test_only_one_member_of_the_dummy_may_sleep() -> None:
    accepted(_dummy("r0 = 0\nexit", TEST_SLEEPABLE, SLEEPABLE))
    assert rejected(_dummy("r0 = 0\nexit", TEST_1, SLEEPABLE)).errno == EINVAL


# --- what it gets and returns -----------------------------------------------------------------


def test_a_sock_argument_is_a_tcp_sock() -> None:
    accepted(_program(f"{SOCKET}r0 = *(u32 *)(r1 + {SND_UNA})\nexit", SSTHRESH))


def test_there_are_no_arguments_beyond_the_prototypes() -> None:
    verdict = rejected(_program("r0 = *(u64 *)(r1 + 8)\nexit", SSTHRESH))

    assert "func 'ssthresh' doesn't have 2-th argument" in verdict.detail


def test_an_argument_that_may_be_null_is_checked_first() -> None:
    read = "r0 = *(u32 *)(r1 + 0)\nexit"

    assert rejected(_dummy(SOCKET + read, TEST_1)).rule.id == "access-through-pointer"
    accepted(_dummy(f"{SOCKET}r0 = 0\nif r1 == 0 goto +1\n{read}", TEST_1))
    accepted(_dummy(SOCKET + read, TEST_2))


def test_only_a_member_that_returns_something_needs_a_result() -> None:
    accepted(_program("exit", CONG_AVOID))
    assert rejected(_program("exit", SSTHRESH)).rule.id == "register-initialised"


# --- what it may write to and call ------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "off"),
    [(8, PACING_RATE), (1, PACING_RATE), (8, CA_PRIV + 16), (4, CA_PRIV + 3), (4, SND_CWND)],
)
def test_some_members_of_a_socket_can_be_written(size: int, off: int) -> None:
    accepted(_program(f"{SOCKET}*(u{8 * size} *)(r1 + {off}) = 1\nexit", CONG_AVOID))


@pytest.mark.parametrize(
    ("size", "off", "words"),
    [
        (8, MARK, "no write support to tcp_sock at off 16"),
        (4, PACING_RATE + 4, "no write support to tcp_sock at off 12"),
        (4, SND_UNA, "no write support to tcp_sock at off 52"),
        (8, SND_CWND, "beyond the member of tcp_sock ended at 52"),
        (8, CA_PRIV + 17, "beyond the member of tcp_sock ended at 48"),
    ],
)
def test_the_rest_of_a_socket_cannot_be_written(size: int, off: int, words: str) -> None:
    verdict = rejected(_program(f"{SOCKET}*(u{8 * size} *)(r1 + {off}) = 1\nexit", CONG_AVOID))

    assert (verdict.errno, verdict.rule.id) == (EACCES, "memory-writable")
    assert words in verdict.detail


def test_the_state_of_the_dummy_can_be_written_and_no_more() -> None:
    accepted(_dummy(f"{SOCKET}*(u32 *)(r1 + 0) = 1\nr0 = 0\nexit", TEST_2))
    verdict = rejected(_dummy(f"{SOCKET}*(u64 *)(r1 + 0) = 1\nr0 = 0\nexit", TEST_2))
    assert verdict.detail == "write access at off 0 with size 8"


def test_helpers_belong_to_the_structure_and_some_not_to_release() -> None:
    option = f"{SOCKET}r2 = 0\nr3 = 0\nr4 = r10\nr4 += -8\n*(u64 *)(r4 + 0) = 0\nr5 = 8\ncall 49\n"

    accepted(_program(f"{option}exit", CONG_AVOID))
    assert rejected(_program(f"{option}exit", RELEASE)).rule.id == "helper-available"
    accepted(_program("call 5\nexit", SSTHRESH))
    assert rejected(_dummy("call 5\nexit", TEST_2)).rule.id == "helper-available"


def test_kernel_functions_take_what_btf_declares() -> None:
    call = _kfunc("tcp_reno_ssthresh")

    accepted(_program(f"{SOCKET}{call}exit", SSTHRESH))
    # the struct sock of this BTF is all numbers, so it may be plain memory, but not the context
    assert rejected(_program(f"{call}exit", SSTHRESH)).rule.id == "argument-type"
    assert rejected(_program(f"{SOCKET}r1 += 8\n{call}exit", SSTHRESH)).errno == EINVAL
    assert "pointer to STRUCT sock" in rejected(_dummy(f"{SOCKET}{call}exit", TEST_2)).detail
    assert rejected(_program(f"{SOCKET}{call}r0 = r1\nexit", SSTHRESH)).rule.id == (
        "register-initialised"
    )


def test_kernel_functions_belong_to_program_types() -> None:
    other = replace(
        request(f"r1 = 0\n{_kfunc('tcp_reno_ssthresh')}exit", kind="xdp"), environment=World(KERNEL)
    )

    assert rejected(other).rule.id == "kfunc-available"
    unknown = _program(f"{SOCKET}{_kfunc('bpf_unheard_of')}exit", SSTHRESH)
    assert rejected(unknown).rule.id == "not-supported"
