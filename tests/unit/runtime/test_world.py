"""Worlds and run blocks."""

import os
import threading
import weakref

import pytest

from skep.runtime import invocation as words
from skep.runtime.invocation import Origin
from skep.runtime.world import Task, World


def test_run_blocks_are_used_again_and_start_clean() -> None:
    world = World(cpus=2, seed=1)
    with world.running(cpu=1) as run:
        address = run.address
        run.set_context(0x1000, Origin.XDP, cookie=9)
        run.set_packet(head=1, meta=2, data=3, end=4, limit=5)
        run.set_fuel(7)
    with world.running() as again:
        assert again.address == address
        for word in (words.CONTEXT, words.ORIGIN, words.COOKIE, words.DATA, words.FUEL):
            assert again.get(word) == 0
        assert again.get(words.SCRATCH) != 0


def test_nested_runs_have_blocks_of_their_own() -> None:
    world = World()
    with world.running() as outer, world.running() as inner:
        assert outer.address != inner.address
        assert world.invocation(inner.handle) is inner
        assert world.invocation(outer.handle) is outer


def test_threads_sit_on_different_cpus_while_there_are_enough() -> None:
    world = World(cpus=3)
    barrier = threading.Barrier(3)
    cpus: list[int] = []

    def sit() -> None:
        cpus.append(world.cpu)
        barrier.wait()

    threads = [threading.Thread(target=sit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    later = threading.Thread(target=lambda: cpus.append(world.cpu))
    later.start()
    later.join()

    assert sorted(cpus[:3]) == [0, 1, 2]
    assert 0 <= cpus[3] < 3


def test_changing_the_task_shows_in_the_next_run() -> None:
    world = World(task=Task(1, 1, comm="one"))
    with world.running() as run:
        assert run.get(words.PID_TGID) == 1 << 32 | 1
    world.task = Task(3, 2, 5, 4)
    with world.running() as run:
        assert run.get(words.PID_TGID) == 2 << 32 | 3
        assert run.get(words.UID_GID) == 4 << 32 | 5


def test_random_states_of_a_seeded_world_differ_by_block_only() -> None:
    first, second = World(seed=5), World(seed=5)
    with first.running() as a, first.running() as b, second.running() as c:
        assert a.get(words.RANDOM) == c.get(words.RANDOM) != b.get(words.RANDOM)


class Thing:
    """Something that a run may have found."""


def test_what_is_displaced_lives_until_the_runs_that_may_have_found_it_have_ended() -> None:
    # The last 1024 inner maps that updates displaced were kept; a run that was longer than 1024
    # updates went on writing to memory that was gone.
    world = World()
    with world.running():
        thing = Thing()
        found = weakref.ref(thing)
        world.retire(thing)
        del thing
        with world.running():
            pass
        assert found() is not None

    assert found() is None


def test_a_younger_run_keeps_nothing_that_was_displaced_before_it() -> None:
    world = World()
    older, thing = world.take(), Thing()
    found = weakref.ref(thing)
    world.retire(thing)
    del thing
    younger = world.take()
    world.give(older)

    assert found() is None
    world.give(younger)


def test_run_blocks_go_with_their_threads() -> None:
    # One block stayed for every thread that ever ran a program.
    world, handles = World(), []

    def run() -> None:
        with world.running() as invocation:
            handles.append(invocation.handle)

    for _ in range(3):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    assert len(set(handles)) == 3
    for handle in handles:
        with pytest.raises(KeyError):
            world.invocation(handle)


def test_after_a_fork_the_task_is_the_child() -> None:
    world = World()
    before = world.current_task()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(world.current_task().tgid != os.getpid())
        finally:
            os._exit(status)

    assert os.waitpid(child, 0)[1] == 0
    assert world.current_task() is before
