"""Arenas do what the running kernel's do: the same programs, requests and addresses in both."""

import ctypes
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from skep.engine.interface import Engine
from skep.engine.interpreter import Interpreter
from skep.loader.door import Syscall
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes, kfunc_codes
from skep.syscall.subsystem import Subsystem
from skep.uapi.commands import PROG_TEST_RUN
from skep.uapi.commands import TestRun as Trial
from skep.uapi.flags import MapType
from support import running_kernel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(running_kernel.missing()), reason=running_kernel.missing()),
]

OBJECT: Final = Path(__file__).parents[1] / "objects" / "arena.bpf.o"
START: Final = 5 << 44  # where user space has the arena, on both sides
PAGES: Final = 100
PAGE: Final = 4096
ANY_NODE: Final = 2**64 - 1
REQUEST: Final = struct.Struct("=QQQQQ")
STEPS: Final = 150
Answer = tuple[int, ...]


class Side:
    """The programs, in one kernel."""

    def __init__(self, syscall: Syscall, loaded: LoadedObject) -> None:
        self._syscall, self._loaded = syscall, loaded

    def run(
        self, program: str, address: int = 0, count: int = 0, flags: int = 0, node: int = ANY_NODE
    ) -> Answer:
        """What the program returns, and leaves in its context."""
        context = ctypes.create_string_buffer(REQUEST.pack(address, count, node, flags, 0), 40)
        attr = bytearray(
            Trial(
                prog_fd=self._loaded.programs[program].fd,
                ctx_in=ctypes.addressof(context), ctx_size_in=len(context),
            ).encode()
        )  # fmt: skip
        answer = self._syscall.bpf(PROG_TEST_RUN.number, attr)
        assert answer == 0, program
        return Trial.decode(bytes(attr)).retval, *REQUEST.unpack(context.raw)


def compiled() -> Syscall:
    return Subsystem()


def interpreted() -> Syscall:
    world = World()
    kfuncs = tuple(kfunc_codes(world))
    engine: Engine = Interpreter(tuple(helper_codes(world)), kfuncs=kfuncs)
    return Subsystem(world, engine)


@contextmanager
def loaded(make: Callable[[], Syscall]) -> Iterator[Side]:
    """The object with its arena at START, and all its programs."""
    spec = read_object(OBJECT.read_bytes(), str(OBJECT))
    maps = [
        replace(each, map_extra=START, data=b"") if each.map_type == MapType.ARENA else each
        for each in spec.maps
    ]
    syscall = make()
    with LoadedObject(replace(spec, maps=tuple(maps)), syscall) as made:
        for program in spec.programs:
            made.load_program(program)
        yield Side(syscall, made)


def allocations(side: Side, rng: random.Random) -> list[Answer]:
    """Random requests; what is answered, and what is then in the pages."""
    seen: list[Answer] = []
    ours: dict[int, int] = {}
    for _ in range(STEPS):
        what = rng.random()
        if what < 0.45:
            place = rng.choice((0, 0, 0, START + PAGE * rng.randrange(-2, PAGES + 2)))
            place += rng.choice((0, 0, 0, 0, 8))
            count = rng.choice((1, 1, 2, 3, 7, 30, 0, PAGES + 1))
            node = rng.choice((ANY_NODE, ANY_NODE, ANY_NODE, 0, 4000))
            seen.append(side.run("allocate", place, count, rng.choice((0, 0, 0, 0, 1)), node))
            if seen[-1][-1]:
                ours[seen[-1][-1]] = count
        elif what < 0.8 and ours:
            place = rng.choice(list(ours))
            count = rng.choice((ours.pop(place), 1))
            where = rng.choice((place, place + 40, place & 0xFFFF_FFFF))
            seen.append(side.run("release", where, count))
        elif ours:
            place = rng.choice(list(ours))
            seen.append(side.run("touch", place + 8 * rng.randrange(400), flags=rng.getrandbits(9)))
            seen.append(side.run("stray", place, count=rng.randrange(16)))
    return seen


def lists(side: Side, rng: random.Random) -> list[Answer]:
    """Pointers in pages lead from page to page."""
    seen = []
    for _ in range(rng.randrange(1, 9)):
        seen += [side.run("build"), side.run("walk")]
    return seen


def strays(side: Side, rng: random.Random) -> list[Answer]:
    """Pages that nobody allocated read as zeros, wherever the address is."""
    seen = []
    for _ in range(40):
        place = rng.choice((0, START, rng.getrandbits(64), START + rng.getrandbits(33)))
        seen.append(side.run("stray", place, count=rng.randrange(16)))
    return seen


def variables(side: Side, rng: random.Random) -> list[Answer]:
    """Global variables are at the start of the arena."""
    page = side.run("allocate", START, 1)
    return [page, *(side.run("globals") for _ in range(rng.randrange(5)))]


@pytest.mark.parametrize("make", [compiled, interpreted])
@pytest.mark.parametrize("scene", [allocations, lists, strays, variables])
def test_the_same_programs_find_the_same_arena(
    scene: Callable[[Side, random.Random], list[Answer]], make: Callable[[], Syscall]
) -> None:
    for _ in range(2):
        seed = random.SystemRandom().getrandbits(40)
        with loaded(KernelSyscall) as side:
            expected = scene(side, random.Random(seed))
        with loaded(make) as side:
            found = scene(side, random.Random(seed))

        assert found == expected, f"seed {seed}"
