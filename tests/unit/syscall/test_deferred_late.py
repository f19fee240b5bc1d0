"""Timers whose program has changed meanwhile, or whose process ends."""

import gc
import struct
import subprocess
import sys
import weakref

import pytest

import skep
from skep.base.native import store64
from skep.runtime.heap import LET_GO
from skep.runtime.world import World
from skep.syscall.loaded import LoadedProgram
from support.caller import Caller
from support.engines import ENGINES, OBJECTS, subsystem
from support.functions import FENTRY, TRACING, Fn, Loaded, link, load_on, load_target, tracer


@pytest.mark.parametrize("engine", ENGINES)
def test_a_callback_that_was_set_while_something_traced_its_program_runs_afterwards(
    engine: str,
) -> None:
    world = World(clock_ns=1_000_000)
    place = subsystem(engine, world)
    caller = Caller(place)
    with skep.load(OBJECTS / "deferred.bpf.o", subsystem=place) as loaded:
        program = loaded.programs["start_in_table"]
        whole = next(
            each.proof.subprograms[0]
            for each in world.printers.values()
            if isinstance(each, LoadedProgram) and each.name == "start_in_table"
        )
        on = Loaded(program.fd, {"main": whole.type_id}, 0)
        traced = load_on(
            caller, on, "main", tracer(), TRACING, expected_attach_type=FENTRY, quiet=True
        )
        stands = link(caller, traced.fd, attach_type=FENTRY)
        assert stands >= 0
        assert program.run(ctx=struct.pack("<iiQQiI", 5, 3, 500, 0, 99, 0)).retval == 0

        place.close(stands)
        gc.collect()
        load_target(caller, (Fn("other", "int, int"),))  # code that has gone makes room for others
        world.advance(10_000)

        assert loaded.bss.fired == 4


LAST = """
import os, struct, sys
import skep

class Last:
    def __init__(self):
        self.loaded = skep.load(sys.argv[1])
        self.run, self.write = self.loaded.programs["start_in_table"].run, os.write
        self.request = struct.pack("<iiQQiI", 5, 0, 1000, 0, 99, 0)

    def __del__(self):
        self.write(1, b"ran" if self.run(ctx=self.request).retval == 0 else b"")

last = Last()
"""


def test_a_timer_that_the_last_finalizers_start_keeps_no_process_from_ending() -> None:
    command = [sys.executable, "-c", LAST, str(OBJECTS / "deferred.bpf.o")]
    child = subprocess.run(command, capture_output=True, timeout=20, check=False)

    assert (child.returncode, child.stdout) == (0, b"ran"), child.stderr.decode()


def test_a_timer_that_is_let_go_twice_at_once_stays_in_memory_meanwhile() -> None:
    world = World(clock_ns=1_000_000)
    with skep.load(OBJECTS / "deferred.bpf.o", subsystem=subsystem("start", world)) as loaded:
        request = struct.pack("<iiQQiI", 5, 0, 500, 0, 99, 0)
        assert loaded.programs["start_in_table"].run(ctx=request).retval == 0
        world.advance(1000)
        fields = world.agenda.fields
        (later,) = fields._laters.values()
        alive = weakref.ref(later._block)
        block, map_id = later.address, loaded.maps["table"].info["id"]
        del later

        fields.release(map_id)

        assert alive() is not None
        store64(block, LET_GO)  # as who has emptied the field a moment ago
        assert fields.sweep() == 0
        assert alive() is None
