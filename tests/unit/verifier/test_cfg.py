"""Static control flow: what is refused before any path is walked."""

import errno

import pytest

from skep.isa.insn import Insn
from skep.verifier.interface import Request
from support.verify_text import accepted, rejected, request


def test_a_program_that_only_returns_is_accepted() -> None:
    proof = accepted(request("r0 = 0\nexit"))

    assert proof.statistics.insns_processed == 2
    assert proof.seen == b"\1\1"


@pytest.mark.parametrize(
    ("text", "rule", "pc"),
    [
        ("r0 = 0\nexit\nr0 = 1\nexit", "insn-reachable", 2),
        ("goto +5\nexit", "jump-in-range", 0),
        ("if r1 == 0 goto -3\nexit", "jump-in-range", 0),
        ("r0 = 0", "subprogram-ends", 0),
        ("r0 = 0\nif r0 == 0 goto -1", "subprogram-ends", 1),
        ("goto +1\nr1 = 0x1122334455667788 ll\nr0 = 0\nexit", "insn-reachable", 1),
        ("r0 = 0\nr0 s/= 0\nexit", "divisor-not-zero", 1),
        ("r0 = 0\nr0 <<= 64\nexit", "shift-count", 1),
        ("r0 = 0\nw0 >>= 32\nexit", "shift-count", 1),
        ("r10 = 0\nr0 = 0\nexit", "frame-pointer-constant", 0),
        ("r0 = r2\nexit", "register-initialised", 0),
        ("exit", "register-initialised", 0),
    ],
)
def test_a_broken_flow_is_refused_by_its_rule(text: str, rule: str, pc: int) -> None:
    verdict = rejected(request(text))

    assert (verdict.rule.id, verdict.pc) == (rule, pc)


def _raw(*insns: Insn) -> Request:
    base = request("r0 = 0\nexit")
    return Request(
        insns=insns,
        program_type=base.program_type,
        environment=base.environment,
        license="GPL",
    )


def test_an_unknown_opcode_is_refused_even_where_no_path_leads() -> None:
    verdict = rejected(_raw(Insn(0xFF), Insn(0x95)))

    assert verdict.detail == "unknown opcode ff"


def test_reserved_fields_count_where_a_path_reaches_them() -> None:
    verdict = rejected(_raw(Insn(0xB7, off=3), Insn(0x95)))

    assert (verdict.rule.id, verdict.detail) == (
        "reserved-fields-zero", "BPF_MOV uses reserved fields",
    )  # fmt: skip


def test_half_of_a_wide_instruction_is_refused() -> None:
    verdict = rejected(_raw(Insn(0x18), Insn(0x95)))

    assert verdict.rule.id == "wide-whole"


def test_a_register_beyond_r10_is_refused() -> None:
    verdict = rejected(_raw(Insn(0xBF, dst=0, src=12), Insn(0x95)))

    assert verdict.detail == "R12 is invalid"


def test_an_empty_program_is_too_small() -> None:
    assert rejected(_raw()).errno == errno.E2BIG


def test_a_closed_fd_is_no_map() -> None:
    verdict = rejected(request("r1 = map[fd 9]\nr0 = 0\nexit"))

    assert (verdict.rule.id, verdict.errno) == ("map-fd", errno.EBADF)


def test_an_unprivileged_loop_is_refused() -> None:
    text = "r0 = 0\nr0 += 1\nif r0 < 5 goto -2\nexit"

    assert rejected(request(text, privileged=False)).rule.id == "back-edge-allowed"
    assert accepted(request(text)).statistics.insns_processed == 12
