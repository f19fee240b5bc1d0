"""Machine code tells which instruction it comes from."""

import pytest

from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.machine import FULL, QUICK, STRAIGHT, Machine, Tier
from skep.isa.table import slot
from skep.verifier.interface import Subprogram
from support.proofs import prove

EXIT = slot("exit")
MACHINE = Machine()


@pytest.mark.parametrize("tier", [QUICK, STRAIGHT, FULL])
def test_code_is_told_in_the_order_of_addresses_and_lies_within_the_program(tier: Tier) -> None:
    body = [slot("ldx_u64", 2, 1, off=8 * n) for n in range(8)]
    add = [slot("stx_u64", 1, 2, off=64 + 8 * n) for n in range(8)]
    mixed = [insn for pair in zip(body, add, strict=True) for insn in pair]
    entry = LlvmEngine(machine=MACHINE, tier=tier).compile(
        prove([*mixed, slot("mov64_imm", 0, imm=1), EXIT], depth=0)
    )
    (part,) = entry.parts
    places = entry.places()

    assert [place.address for place in places] == sorted(place.address for place in places)
    assert all(part.address <= place.address < part.address + part.size for place in places)
    assert len({place.pc for place in places}) >= 2
    assert {place.pc for place in places} <= set(range(len(mixed) + 2))


def test_stores_keep_their_order_in_quick_code() -> None:
    stores = [slot("st_u64", 1, off=8 * n, imm=n) for n in range(6)]
    program = [*stores, slot("mov64_imm", 0), EXIT]
    places = LlvmEngine(machine=MACHINE, tier=QUICK).compile(prove(program, depth=0)).places()
    first = [next(place.address for place in places if place.pc == pc) for pc in range(6)]

    assert first == sorted(set(first))


def test_an_inlined_subprogram_keeps_its_own_instructions() -> None:
    program = [
        slot("call_local", imm=1),
        EXIT,
        slot("st_u64", 1, imm=5),
        slot("mov64_imm", 0),
        EXIT,
    ]
    parts = (Subprogram(0, 2, "main", 0), Subprogram(2, 5, "sub", 0))
    entry = LlvmEngine(machine=MACHINE, tier=FULL).compile(
        prove(program, depth=0, subprograms=parts)
    )

    assert [part.start for part in entry.parts] == [0]
    assert 2 in {place.pc for place in entry.places()}
