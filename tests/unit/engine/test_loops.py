"""Loops that are tested at both ends get their tests together, and become vectors."""

from collections.abc import Mapping

from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.loops import tests_at_both_ends as both_ends
from skep.isa import flow
from skep.session.assembly import request_of
from skep.verifier import verify
from skep.verifier.interface import Proof

BEGIN = ".type xdp\nr6 = *(u32 *)(r1 + 0)\nr7 = *(u32 *)(r1 + 4)\nr9 = 0\nr4 = 0\n"
END = "out:\nr0 = r9\nr0 &= 65535\nexit\n"
TEST = "loop:\nr1 = r6\nr1 += r4\nr3 = r1\nr3 += 2\nif r3 > r7 goto out\n"
SUM = f"{TEST}r2 = *(u16 *)(r1 + 0)\nw9 += w2\nr4 += 2\nif w4 != 1024 goto loop\n"


def proved(text: str) -> Proof:
    return verify(request_of(BEGIN + text + END, None))


def found(text: str) -> Mapping[int, int]:
    proof = proved(text)
    return both_ends(proof, flow.blocks(proof.insns))


def test_a_loop_that_is_left_at_both_ends_is_found() -> None:
    assert found(SUM) == {4: 8}


def test_a_loop_that_is_left_at_its_beginning_only_is_left_alone() -> None:
    text = "loop:\nif r4 == 9 goto out\nr9 += r4\nr4 += 1\ngoto loop\n"

    assert found(text) == {}


def test_a_loop_that_is_left_at_its_end_only_is_left_alone() -> None:
    text = "loop:\nif r4 == 3 goto over\nr9 += r4\nover:\nr4 += 1\nif r4 != 9 goto loop\n"

    assert found(text) == {}


def test_a_loop_with_two_ways_back_is_left_alone() -> None:
    text = (
        "r8 = *(u32 *)(r1 + 12)\nloop:\nr4 += 1\nif r4 == 20 goto out\nif r8 == r4 goto loop\n"
        "r9 += r4\nif r9 != 77 goto loop\n"
    )

    assert found(text) == {}


def test_a_test_with_effects_is_not_written_twice() -> None:
    store = "*(u64 *)(r10 - 8) = r4\n"

    assert found(SUM.replace("r1 = r6\n", f"r1 = r6\n{store}")) == {}


def test_a_test_of_what_the_packet_holds_is_not_written_twice() -> None:
    load = "r3 = r6\nr3 += 64\nif r3 > r7 goto out\nloop:\nr2 = *(u8 *)(r6 + 1)\n"

    assert found(f"{load}if r2 == 7 goto out\nr4 += 1\nif r4 != 9 goto loop\n") == {}


def test_a_sum_over_a_packet_of_any_length_is_made_of_vectors() -> None:
    assembly = LlvmEngine().assembly(proved(SUM))

    assert "padd" in assembly
    assert "gather" not in assembly
