"""What a run that is stopped holds is given back; limits stop runs in every engine."""

import ctypes
from collections.abc import Callable

import pytest

from skep.base.native import load32
from skep.engine import held
from skep.engine.interface import Engine, HelperCode
from skep.engine.interpreter import Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.library import CompiledLibrary
from skep.engine.llvm.machine import FULL, QUICK
from skep.errors import RunError
from skep.helpers.control import loop
from skep.isa.insn import Insn
from skep.isa.table import slot
from skep.maps.creation import Creation
from skep.maps.families import create_map
from skep.maps.ring_code import ring_reserve
from skep.maps.stream import RingBuffer
from skep.runtime.block import Limits
from skep.runtime.heap import Description, allocate
from skep.runtime.world import World
from skep.verifier.interface import Proof, Subprogram
from support.proofs import prove

LIBRARY = CompiledLibrary()
HELPERS = (HelperCode(181, native=loop),)
ENGINES: dict[str, Callable[[], Engine]] = {
    "interpreter": lambda: Interpreter(HELPERS, library=LIBRARY),
    "quick": lambda: LlvmEngine(HELPERS, library=LIBRARY, metered=True, tier=QUICK),
    "full": lambda: LlvmEngine(HELPERS, library=LIBRARY, metered=True, tier=FULL),
}
EXIT = slot("exit")


def test_locks_records_and_objects_are_given_back() -> None:
    world, word = World(limits=Limits(fuel=5)), ctypes.c_uint32(1)
    ring = create_map(Creation(map_type=27, max_entries=4096, library=LIBRARY))
    assert isinstance(ring, RingBuffer)
    heap = world.objects.heap
    with world.running() as run:
        take, give = LIBRARY.bind(held.take), LIBRARY.bind(held.give)
        first, second = (
            allocate(heap.describe(Description(8))),
            allocate(heap.describe(Description(8))),
        )
        record = LIBRARY.bind(ring_reserve)(ring.address, 4000)
        take(run.address, held.LOCK, ctypes.addressof(word), 0)
        take(run.address, held.OBJECT, first, 0)
        take(run.address, held.RECORD, record, 0)
        take(run.address, held.OBJECT, second, 0)
        take(run.address, held.LOCK, 1, 2**64 - 35)  # could not be taken
        give(run.address, held.OBJECT, first)
        LIBRARY.bind(held.let_go)(run.address, heap.address)

    assert load32(ctypes.addressof(word)) == 0
    assert heap.live == 1
    assert list(ring.records()) == []
    assert LIBRARY.bind(ring_reserve)(ring.address, 4000) != 0


ENDLESS = [slot("mov64_imm", 0, imm=0), slot("ja", off=-2), EXIT]
# a function that returns a pointer: whoever called it must not go on with its result
CALLER = [
    slot("call_local", imm=1),
    slot("ldx_u64", 0, 0),
    EXIT,
    slot("mov64_reg", 0, 10),
    slot("ja", off=-2),
    EXIT,
]
CALLER[0] = slot("call_local", imm=2)
CALLBACK = [
    slot("mov64_imm", 1, imm=8 << 20),
    slot("ld_imm64_func", 2, imm=6),
    Insn(0),
    slot("mov64_imm", 3, imm=0),
    slot("mov64_imm", 4, imm=0),
    slot("call_helper", imm=181),
    slot("mov64_imm", 0, imm=1),
    EXIT,
    slot("mov64_imm", 0, imm=0),
    EXIT,
]


def programs() -> dict[str, Proof]:
    below = (Subprogram(0, 3, "main", 0), Subprogram(3, 6, "below", 8))
    callback = (Subprogram(0, 8, "main", 0), Subprogram(8, 10, "each", 0, is_callback=True))
    return {
        "a loop": prove(ENDLESS, seen=bytes([1, 1, 0])),
        "a function": prove(CALLER, subprograms=below, seen=bytes([1, 1, 1, 1, 1, 0])),
        "a callback": prove(CALLBACK, subprograms=callback, callback_at={1: 8}),
    }


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("program", programs())
def test_a_run_without_fuel_ends(engine: str, program: str) -> None:
    world = World(limits=Limits(fuel=1000))
    entry = ENGINES[engine]().compile(programs()[program])
    with world.running() as run, pytest.raises(RunError, match="out of fuel"):
        entry(run.address, 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_takes_too_long_ends(engine: str) -> None:
    world = World(limits=Limits(deadline_ns=2_000_000))
    entry = ENGINES[engine]().compile(programs()["a loop"])
    with world.running() as run, pytest.raises(RunError, match="longer than its deadline"):
        entry(run.address, 0)


def test_the_next_run_has_its_own_fuel() -> None:
    world, engine = World(limits=Limits(fuel=10)), ENGINES["quick"]()
    entry = engine.compile(programs()["a loop"])
    for _ in range(3):
        with world.running() as run:
            with pytest.raises(RunError):
                entry(run.address, 0)
            assert run.fault != 0
