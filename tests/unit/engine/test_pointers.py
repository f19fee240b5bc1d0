"""Which registers the compiler keeps as pointers, and what LLVM makes of them."""

from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.pointers import pointer_registers
from skep.isa import flow
from skep.session.assembly import request_of
from skep.verifier import verify
from skep.verifier.interface import Proof

BEGIN = """
.type xdp
r6 = *(u32 *)(r1 + 0)
r7 = *(u32 *)(r1 + 4)
r0 = r6
r0 += 1024
if r0 > r7 goto out
"""
END = """
out:
r0 = 2
exit
"""


def proved(text: str) -> Proof:
    return verify(request_of(BEGIN + text + END, None))


def pointers_at(proof: Proof, pc: int) -> set[int]:
    found = pointer_registers(proof, flow.blocks(proof.insns))[pc]
    return {register for register in range(10) if found >> register & 1}


def test_what_the_context_gives_and_sums_with_it_are_pointers() -> None:
    assert pointers_at(proved("r1 = *(u8 *)(r6 + 0)\nr1 += r6\n"), 5) == {0, 6, 7}


def test_a_register_that_is_a_pointer_on_one_way_only_is_none() -> None:
    text = "r1 = r6\nr2 = r6\nif r0 == 7 goto here\nr2 = 5\nhere:\nr3 = *(u8 *)(r1 + 0)\n"

    assert pointers_at(proved(text), 9) == {0, 1, 6, 7}


def test_a_pointer_that_goes_round_a_loop_stays_one() -> None:
    text = "r1 = r6\nr4 = 0\nloop:\nr2 = *(u8 *)(r1 + 0)\nr1 += 1\nr4 += 1\nif r4 < 9 goto loop\n"

    assert pointers_at(proved(text), 7) == {0, 1, 6, 7}


def test_the_difference_of_two_pointers_is_a_number() -> None:
    sums = "r4 = *(u8 *)(r6 + 3)\nr1 = r6\nr1 += r4\nr1 -= r6\n"
    text = f"{sums}if r4 == 7 goto here\nr4 = 0\nhere:\nr3 = r1\n"

    assert pointers_at(proved(text), 11) == {0, 6, 7}


def test_a_sum_with_either_operand_a_pointer_is_written_as_one_of_numbers() -> None:
    text = """
    r3 = *(u8 *)(r6 + 3)
    r1 = r6
    if r3 > 6 goto sum
    r1 = r3
    r3 = r6
    sum:
    r1 += r3
    if r0 > r7 goto here
    r2 = 0
    here:
    r3 = r1
    """
    proof = proved(text)

    assert list(proof.moved).count(3) == 1
    assert pointers_at(proof, 13) & {0, 1, 6, 7} == {0, 6, 7}


def test_words_of_a_packet_are_summed_by_vectors_without_gathers() -> None:
    text = """
    r9 = 0
    r4 = 0
    loop:
    r1 = r6
    r1 += r4
    r2 = *(u64 *)(r1 + 0)
    r9 += r2
    r4 += 8
    if r4 != 1024 goto loop
    *(u64 *)(r6 + 0) = r9
    """
    assembly = LlvmEngine().assembly(proved(text))

    assert "gather" not in assembly
    assert "padd" in assembly


def test_a_function_that_no_path_reaches_is_compiled_to_nothing() -> None:
    text = ".type xdp\nr3 = 1\nr0 = 2\nif r3 == 1 goto out\ncall never\nout:\nexit\n"
    proof = verify(request_of(text + "never:\nr0 = 1\nexit\n", None))
    start = proof.subprograms[1].start

    assert pointer_registers(proof, flow.blocks(proof.insns, start, start + 2)) == {start: 1 << 10}
    assert LlvmEngine().compile(proof)
