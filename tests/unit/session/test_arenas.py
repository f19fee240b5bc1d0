"""Arenas from Python: what programs put in is there, without copying."""

import struct
from errno import EACCES
from pathlib import Path

import numpy as np
import pytest

import skep
from skep.engine.interface import Engine
from skep.engine.interpreter import Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.errors import LoadError
from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.loader.elf import read_elf
from skep.loader.reader import read_object
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes, kfunc_codes
from skep.syscall.subsystem import Subsystem
from skep.uapi.flags import ProgType
from support.caller import Caller

OBJECT = Path(__file__).parents[2] / "objects" / "arena.bpf.o"
REQUEST = struct.Struct("=QQqQQ")


@pytest.fixture(params=["compiled", "interpreted"])
def loaded(request: pytest.FixtureRequest) -> skep.Object:
    world = World(cpus=2)
    helpers, kfuncs = tuple(helper_codes(world)), tuple(kfunc_codes(world))
    engine: Engine = Interpreter(helpers, kfuncs=kfuncs)
    if request.param == "compiled":
        engine = LlvmEngine(helpers, kfuncs=kfuncs)
    return skep.load(OBJECT, subsystem=Subsystem(world, engine))


def run(loaded: skep.Object, program: str, address: int = 0, count: int = 0) -> tuple[int, ...]:
    """Address, count and answer as the program leaves them."""
    result = loaded.programs[program].run(ctx=REQUEST.pack(address, count, -1, 0, 0))
    address, count, _, _, answer = REQUEST.unpack(result.ctx_out)
    return address, count, answer


def test_a_list_that_a_program_built_is_walked_from_python(loaded: skep.Object) -> None:
    run(loaded, "build")
    arena = loaded.maps["arena"]
    nodes = arena.view().view([("next", "u8"), ("value", "u8")])
    place, values = loaded.bss.head, []
    while place:
        node = nodes[arena.offset_of(place) // 16]
        values.append(int(node["value"]))
        place = int(node["next"])

    assert values == [3 * number for number in reversed(range(100))]
    assert run(loaded, "walk")[1:] == (100, sum(values))


def test_variables_in_the_arena_are_attributes(loaded: skep.Object) -> None:
    loaded.arena.counted = 40

    address, _, answer = run(loaded, "globals")

    assert (answer, loaded.arena.counted) == (42, 42)
    assert list(loaded.arena.table) == [1, 2, 4, 4]
    assert loaded.maps["arena"].view()[:8].view("u8")[0] == 42
    assert address == loaded.maps["arena"].target.value_address(0)


def test_what_the_host_writes_programs_read(loaded: skep.Object) -> None:
    _, _, place = run(loaded, "allocate", count=1)
    arena = loaded.maps["arena"]
    words = arena.view().view("u8")
    words[arena.offset_of(place) // 8 :][:16] = np.arange(100, 116, dtype="u8")

    assert [run(loaded, "stray", place, count)[2] for count in (0, 3, 15)] == [100, 103, 115]


def test_an_arena_has_no_elements(loaded: skep.Object) -> None:
    arena = loaded.maps["arena"]

    assert arena.dump() == []
    with pytest.raises(TypeError, match="no keys"):
        list(arena)
    with pytest.raises(TypeError, match="no pointers"):
        loaded.maps["arena.bss"].offset_of(0)


def test_variables_need_an_arena_with_room() -> None:
    data = OBJECT.read_bytes()
    spec = read_object(data, "arena")
    arena = next(each for each in spec.maps if each.name == "arena")

    assert len(arena.data) == read_elf(data, "arena").named(".addr_space.1").size  # type: ignore[union-attr]
    with pytest.raises(LoadError, match="0 arenas"):
        read_object(data.replace(b"arena\0", b"brena\0").replace(b".maps\0", b".naps\0"), "x")


@pytest.mark.parametrize(
    ("operation", "accepted"),
    [
        ("lock *(u64 *)(r1 + 0) |= r3", True),
        ("r3 = atomic_fetch_add((u64 *)(r1 + 0), r3)", True),
        ("r3 = atomic_fetch_or((u64 *)(r1 + 0), r3)", False),
        ("r3 = atomic_fetch_and((u64 *)(r1 + 0), r3)", False),
        ("r3 = atomic_fetch_xor((u64 *)(r1 + 0), r3)", False),
    ],
)
def test_atomics_in_an_arena_are_those_of_linux(operation: str, accepted: bool) -> None:
    caller = Caller()
    arena = caller.map(33, key=0, value=0, entries=1, flags=1 << 10)
    code = encode(
        assemble(
            f"r2 = map[fd {arena}]\nr1 = *(u64 *)(r1 + 0)\nr1 = addr_space_cast(r1, 0, 1)\n"
            f"r3 = 1\n{operation}\nr0 = 0\nexit"
        )
    )

    answer = caller.program(code, ProgType.SYSCALL, prog_flags=1 << 4)

    assert (answer > 0) == accepted
    assert answer > 0 or answer == -EACCES
