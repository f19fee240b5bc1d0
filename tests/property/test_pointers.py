"""Programs that move pointers about give the same in the interpreter and in every tier."""

import random
from collections.abc import Callable

import pytest

from skep.engine.interpreter import Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.machine import FULL, QUICK, STRAIGHT, Machine
from skep.session.assembly import request_of
from skep.uapi.contexts import XDP_MD
from skep.verifier import verify
from skep.verifier.interface import Proof
from support.proofs import Run

MACHINE = Machine()
PACKET = bytes(range(7, 256, 3))[:80]
BEGIN = """
.type xdp
r6 = *(u32 *)(r1 + 0)
r7 = *(u32 *)(r1 + 4)
r9 = 0
r0 = r6
r0 += 64
if r0 > r7 goto out
r8 = *(u8 *)(r6 + 3)
r8 &= 15
r0 = 0x0123456789abcdef ll
*(u64 *)(r10 - 32) = r0
*(u64 *)(r10 - 24) = r0
*(u64 *)(r10 - 16) = r6
"""
END = """
out:
r0 = r9
exit
"""
Piece = Callable[[random.Random, int], str]


def _fold(load: str) -> str:
    return f"{load}\nr9 *= 31\nr9 += r2\n"


def _inside(number: int, register: str, access: str) -> str:
    """*access* behind a comparison: nobody knows how far a packet goes from a variable place."""
    check = f"r5 = {register}\nr5 += 48\nif r5 > r7 goto short{number}\n"
    return f"{check}{access}short{number}:\n"


def _by_offset(chance: random.Random, number: int) -> str:
    access = _fold(f"r2 = *(u8 *)(r1 + {chance.randrange(40)})")
    return f"r1 = r6\nr1 += r8\n{_inside(number, 'r1', access)}"


def _pointer_second(chance: random.Random, number: int) -> str:
    access = _fold(f"r2 = *(u16 *)(r1 + {chance.randrange(40)})")
    return f"r1 = r8\nr1 += r6\n{_inside(number, 'r1', access)}"


def _less(chance: random.Random, _: int) -> str:
    by = chance.choice(("7", "r4"))
    return f"r1 = r6\nr4 = 9\nr1 += 32\nr1 -= {by}\n{_fold('r2 = *(u8 *)(r1 + 1)')}"


def _spilled(_: random.Random, number: int) -> str:
    access = _inside(number, "r3", _fold("r2 = *(u32 *)(r3 + 5)"))
    return f"r3 = *(u64 *)(r10 - 16)\nr3 += r8\n{access}"


def _on_stack(chance: random.Random, _: int) -> str:
    place = chance.choice((-32, -28))
    store = f"*(u8 *)(r1 + {chance.choice((0, 1))}) = r9\n"
    walk = "r1 = r10\nr1 += -32\nr4 = r8\nr4 &= 7\nr1 += r4\n"
    return f"{walk}{store}{_fold(f'r2 = *(u32 *)(r10 + {place})')}"


def _either(_: random.Random, number: int) -> str:
    return (
        f"r1 = r6\nif r8 > 6 goto packet{number}\nr1 = r10\nr1 += -32\npacket{number}:\n"
        f"{_fold('r2 = *(u16 *)(r1 + 2)')}"
    )


def _either_operand(_: random.Random, number: int) -> str:
    """At one sum the pointer is now the first operand, now the second."""
    return (
        f"r1 = r6\nr3 = r8\nif r8 > 6 goto sum{number}\nr1 = r8\nr3 = r6\nsum{number}:\n"
        f"r1 += r3\n{_inside(number, 'r1', _fold('r2 = *(u8 *)(r1 + 2)'))}"
    )


def _counted(chance: random.Random, number: int) -> str:
    times = chance.randrange(2, 40)
    jump = chance.choice(("r4 !=", "w4 !=", "r4 <", "w4 s<"))
    return (
        f"r1 = r6\nr4 = 0\nloop{number}:\n{_fold('r2 = *(u8 *)(r1 + 0)')}r1 += 1\nr4 += 1\n"
        f"if {jump} {times} goto loop{number}\n"
    )


def _until_end(chance: random.Random, number: int) -> str:
    times, size = chance.choice(((200, 1), (50, 2), (10, 8)))
    return (
        f"r4 = 0\nloop{number}:\nr1 = r6\nr1 += r4\nr3 = r1\nr3 += {size}\n"
        f"if r3 > r7 goto done{number}\nr2 = *(u{8 * size} *)(r1 + 0)\nr9 += r2\nr4 += {size}\n"
        f"if w4 != {times * size} goto loop{number}\ndone{number}:\n"
    )


def _searched(chance: random.Random, number: int) -> str:
    wanted, size = chance.choice((7, 40, 100, 193, 255)), chance.choice((16, 48, 64))
    return (
        f"r4 = 0\nloop{number}:\nr1 = r6\nr1 += r4\nr2 = *(u8 *)(r1 + 0)\n"
        f"if r2 == {wanted} goto found{number}\nr4 += 1\nif r4 != {size} goto loop{number}\n"
        f"found{number}:\nr9 *= 31\nr9 += r4\n"
    )


def _copied(chance: random.Random, number: int) -> str:
    target = chance.choice(("r6", "r10"))
    first = 32 if target == "r6" else -32
    return (
        f"r1 = r6\nr3 = {target}\nr3 += {first}\nr4 = 0\nloop{number}:\nr2 = *(u8 *)(r1 + 0)\n"
        f"*(u8 *)(r3 + 0) = r2\nr1 += 1\nr3 += 1\nr4 += 1\nif r4 != 16 goto loop{number}\n"
        f"{_fold(f'r2 = *(u64 *)({target} + {first + 8})')}"
    )


def _distance(_: random.Random, __: int) -> str:
    return "r2 = r6\nr2 += r8\nr2 -= r6\nr9 ^= r2\n"


def _changed(_: random.Random, number: int) -> str:
    return f"r1 = r6\nr1 += r8\n{_inside(number, 'r1', '*(u32 *)(r1 + 9) = r9' + chr(10))}"


PIECES: tuple[Piece, ...] = (
    _by_offset, _pointer_second, _less, _spilled, _on_stack, _either, _either_operand, _counted,
    _until_end, _searched, _copied, _distance, _changed,
)  # fmt: skip


def random_program(seed: int) -> Proof:
    chance = random.Random(seed)
    pieces = [chance.choice(PIECES)(chance, number) for number in range(chance.randrange(1, 9))]
    return verify(request_of(BEGIN + "".join(pieces) + END, None))


def outcome(engine: Interpreter | LlvmEngine, proof: Proof) -> tuple[int, bytes]:
    run = Run(packet=PACKET)
    start = run.packet.address + 256
    for name, address in (("data", start), ("data_end", start + len(PACKET))):
        at = XDP_MD.native_base + 8 * XDP_MD.field(name).slot
        run.context.view[at : at + 8] = address.to_bytes(8, "little")
    result = engine.compile(proof)(run.address, run.context.address)
    return result, bytes(run.packet.view[256 : 256 + len(PACKET)])


@pytest.mark.parametrize("seed", range(40))
def test_moving_pointers_gives_the_same_everywhere(seed: int) -> None:
    proof = random_program(seed)
    expected = outcome(Interpreter(), proof)

    for tier in (QUICK, STRAIGHT, FULL):
        assert outcome(LlvmEngine(machine=MACHINE, tier=tier), proof) == expected


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.__name__)
def test_each_kind_of_move_gives_the_same_everywhere(piece: Piece) -> None:
    for seed in range(3):
        proof = verify(request_of(BEGIN + piece(random.Random(seed), 0) + END, None))
        expected = outcome(Interpreter(), proof)

        for tier in (QUICK, FULL):
            assert outcome(LlvmEngine(machine=MACHINE, tier=tier), proof) == expected
