"""The programs that benchmarks time: quick code, better code, interpreter and kernel agree."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from skep.engine.interpreter import Interpreter
from skep.engine.llvm.background import background
from skep.errors import BpfError
from skep.loader.kernel import KernelSyscall
from skep.loader.reader import read_object
from skep.runtime.world import World
from skep.session.objects import new_subsystem
from skep.syscall.catalog import helper_codes, kfunc_codes

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LONG = {"checksum_64k", "tcp_options"}  # half a minute in the verifier that is not compiled
OBJECTS = ("compute", "branches", "kfuncs")
SPECS = [read_object((BENCHMARKS / "programs" / f"{name}.bpf.o").read_bytes()) for name in OBJECTS]
NAMES = [spec.name for each in SPECS for spec in each.programs if spec.name not in LONG]


@pytest.fixture(scope="module")
def sides() -> Iterator[dict[str, Any]]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        side_of = import_module("sides").Side
    finally:
        sys.path.remove(str(BENCHMARKS))
    world = World()
    interpreter = Interpreter(tuple(helper_codes(world)), kfuncs=tuple(kfunc_codes(world)))
    doors = {"compiled": new_subsystem(), "interpreter": new_subsystem(engine=interpreter)}
    made = {name: side_of(name, door, SPECS, NAMES) for name, door in doors.items()}
    try:
        made["kernel"] = side_of("kernel", KernelSyscall(), SPECS, NAMES)
    except (BpfError, OSError) as error:
        print(f"without the kernel: {error}")
    yield made
    for side in made.values():
        side.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_side_returns_the_same(sides: dict[str, Any], name: str) -> None:
    found = {side: made.run(name, 1)[1] for side, made in sides.items()}
    sides["compiled"].run(name, 2000)
    background().settle()
    found["better code"] = sides["compiled"].run(name, 1)[1]

    assert len(set(found.values())) == 1, found
