"""Tasks as kernel structs, and work that runs in one when its run has ended."""

import errno
import os
import struct
import threading
from collections.abc import Iterator

import pytest

import skep
from skep.runtime.world import Task, World
from skep.session.objects import Object
from support.engines import ENGINES, OBJECTS, subsystem


def run(loaded: Object, program: str, number: int) -> int:
    retval = loaded.programs[program].run(ctx=struct.pack("<ii", number, 0)).retval
    return retval - (1 << 32) if retval >> 31 else retval


@pytest.fixture(params=ENGINES)
def loaded(request: pytest.FixtureRequest) -> Iterator[Object]:
    with skep.load(OBJECTS / "tasks.bpf.o", subsystem=subsystem(request.param)) as made:
        yield made


def test_the_current_task_is_the_calling_thread(loaded: Object) -> None:
    run(loaded, "look", threading.get_native_id())
    data = loaded.bss

    assert (data.pid, data.process) == (threading.get_native_id(), os.getpid())
    assert (data.found, data.same) == (1, 1)


def test_a_number_of_no_task_finds_none(loaded: Object) -> None:
    run(loaded, "look", 0x7FFF_FFFF)

    assert loaded.bss.found == 0


def test_a_task_of_the_world_is_found() -> None:
    world = World(task=Task(77, 70, comm="someone"))
    with skep.load(OBJECTS / "tasks.bpf.o", subsystem=subsystem("start", world)) as loaded:
        run(loaded, "look", 77)

        assert (loaded.bss.pid, loaded.bss.process, loaded.bss.found) == (77, 70, 1)


def test_task_work_runs_when_the_run_has_ended(loaded: Object) -> None:
    assert run(loaded, "schedule", 9) == 0
    data = loaded.bss

    assert (data.ran_before, data.ran, data.key_seen) == (0, 1, 9)
    assert loaded.maps["works"][9]["sum"] == 5


def test_task_work_is_scheduled_once(loaded: Object) -> None:
    run(loaded, "schedule", 9)

    assert (loaded.bss.twice, loaded.bss.again) == (-errno.EBUSY, -errno.EBUSY)
    assert run(loaded, "schedule", 9) == 0
    assert loaded.bss.ran == 2


def test_task_work_goes_with_its_element(loaded: Object) -> None:
    assert run(loaded, "schedule_and_delete", 9) == 0

    assert loaded.bss.ran == 0
    assert loaded.world.agenda.fields.sweep() == 0


def test_a_thread_does_its_own_work_only() -> None:
    world = World(cpus=2)
    with skep.load(OBJECTS / "tasks.bpf.o", subsystem=subsystem("quick", world)) as loaded:
        threads = [threading.Thread(target=run, args=(loaded, "schedule", n)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert loaded.bss.ran == 3
        assert not world.agenda.tasks
