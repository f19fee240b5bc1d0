"""Timers and work queues: when they run, how they are stopped, and when they go."""

import errno
import struct
import time
from collections.abc import Iterator

import pytest

import skep
from skep.errors import RunError
from skep.runtime.block import Limits
from skep.runtime.world import World
from skep.session.objects import Object
from support.engines import ENGINES, OBJECTS, subsystem

NOW = 1_000_000
ABS, CPU_PIN = 1, 2


class Bench:
    """The object ``deferred`` in a world with a clock of its own."""

    def __init__(self, loaded: Object) -> None:
        self.loaded, self.world = loaded, loaded.world

    def call(
        self, program: str, key: int = 5, rounds: int = 0, after: int = 0, flags: int = 0
    ) -> int:
        """Run a program on a request; what the helper answered."""
        request = struct.pack("<iiQQiI", key, rounds, after & (1 << 64) - 1, flags, 99, 0)
        result = self.loaded.programs[program].run(ctx=request)
        assert result.retval == 0
        return int.from_bytes(result.ctx_out[24:28], "little", signed=True)

    @property
    def fired(self) -> int:
        return int(self.loaded.bss.fired)


@pytest.fixture(params=ENGINES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    world = World(clock_ns=NOW)
    place = subsystem(request.param, world)
    with skep.load(OBJECTS / "deferred.bpf.o", subsystem=place) as loaded:
        yield Bench(loaded)
    assert world.agenda.fields.sweep() == 0


def test_a_timer_fires_when_it_is_due_and_not_before(bench: Bench) -> None:
    assert bench.call("start_in_table", after=500) == 0
    bench.world.advance(499)
    assert bench.fired == 0

    bench.world.advance(1)

    assert (bench.fired, bench.loaded.bss.last_key) == (1, 5)
    assert bench.loaded.bss.when == NOW + 500


def test_a_callback_may_start_its_timer_anew(bench: Bench) -> None:
    bench.call("start_in_table", rounds=3, after=500)
    bench.world.advance(10_000)

    assert (bench.fired, bench.loaded.bss.when) == (4, NOW + 500 + 300)
    assert bench.loaded.maps["table"][5]["sum"] == 28
    assert bench.world.clock_ns == NOW + 10_000


def test_timers_fire_in_the_order_of_their_times(bench: Bench) -> None:
    bench.call("start_in_table", key=1, after=300)
    bench.call("start_session", key=2, after=200)
    bench.world.advance(250)
    assert bench.loaded.bss.last_key == 2

    bench.world.advance(50)

    assert (bench.fired, bench.loaded.bss.last_key) == (2, 1)


def test_a_timer_that_is_started_again_fires_once(bench: Bench) -> None:
    bench.call("start_session", after=100)
    bench.call("restart_session", after=400)
    bench.world.advance(399)
    assert bench.fired == 0

    bench.world.advance(1000)

    assert bench.fired == 1


def test_an_absolute_time_is_one_of_the_clock(bench: Bench) -> None:
    bench.call("start_session", after=NOW + 70, flags=ABS | CPU_PIN)
    bench.world.advance(70)

    assert bench.fired == 1


def test_unknown_flags_and_clocks_are_refused(bench: Bench) -> None:
    assert bench.call("start_session", after=1, flags=4) == -errno.EINVAL
    bench.call("end_session")
    bench.call("start_session", key=9)
    for clock in (2, 16, 1 << 40):
        assert bench.call("init_session", key=9, flags=clock) == -errno.EINVAL


def test_a_timer_is_prepared_once(bench: Bench) -> None:
    bench.call("start_session", after=1)

    assert bench.call("init_session", flags=1) == -errno.EBUSY


def test_a_cancelled_timer_does_not_fire(bench: Bench) -> None:
    bench.call("start_session", after=100)

    assert bench.call("cancel_session") == 1
    assert bench.call("cancel_session") == 0
    assert bench.call("restart_session", after=1) == -errno.EINVAL  # its callback went with it
    bench.world.advance(1000)
    assert bench.fired == 0


def test_a_callback_cannot_wait_for_itself(bench: Bench) -> None:
    bench.call("start_session", after=1 << 40)
    bench.call("stopping_session", after=10)
    bench.world.advance(10)

    assert (bench.fired, bench.loaded.bss.cancelled) == (1, -errno.EDEADLK)


def test_a_timer_goes_with_its_element(bench: Bench) -> None:
    bench.call("start_session", after=100)
    assert bench.call("end_session") == 0
    bench.world.advance(1000)

    assert bench.fired == 0


def test_an_update_by_the_host_stops_a_timer(bench: Bench) -> None:
    bench.call("start_session", after=100)
    bench.loaded.maps["sessions"][5] = {"rounds": 0, "sum": 3}
    bench.world.advance(1000)

    assert bench.fired == 0


def test_a_callback_may_delete_its_element(bench: Bench) -> None:
    bench.call("start_session", after=1 << 40)
    bench.call("vanishing_session", after=10)
    bench.world.advance(10)

    assert (bench.fired, bench.loaded.bss.problems, len(bench.loaded.maps["sessions"])) == (1, 0, 0)


def test_work_is_done_when_time_passes(bench: Bench) -> None:
    assert bench.call("queue_work", key=2, rounds=2) == 0
    assert bench.loaded.bss.worked == 0

    bench.world.advance(0)

    assert (bench.loaded.bss.worked, bench.loaded.bss.last_key) == (3, 2)
    assert bench.loaded.maps["table"][2]["sum"] == 300
    assert bench.call("queue_work", flags=1) == -errno.EINVAL


def test_a_closed_object_leaves_nothing_behind() -> None:
    world = World(clock_ns=NOW)
    with skep.load(OBJECTS / "deferred.bpf.o", subsystem=subsystem("start", world)) as loaded:
        Bench(loaded).call("start_in_table", after=100)
        Bench(loaded).call("queue_work")

    world.advance(1000)

    assert world.agenda.fields.sweep() == 0
    assert world.clock_ns == NOW + 1000


def test_a_map_without_users_holds_nothing_for_later(bench: Bench) -> None:
    bench.call("start_session", after=100)
    fd = bench.loaded.maps["sessions"].fd
    bench.loaded._loaded._map_fds.remove(fd)
    bench.loaded.subsystem.close(fd)  # its programs keep it alive
    bench.world.advance(1000)

    assert bench.fired == 0
    assert bench.call("init_session", flags=1) == -errno.EPERM


def test_a_callback_that_is_stopped_tells_its_program() -> None:
    world = World(clock_ns=NOW, limits=Limits(fuel=1))
    with skep.load(
        OBJECTS / "deferred.bpf.o", subsystem=subsystem("quick", world, metered=True)
    ) as loaded:
        bench = Bench(loaded)
        bench.call("start_in_table", after=10)
        with pytest.raises(RunError, match="fuel"):
            world.advance(10)


@pytest.mark.parametrize("engine", ENGINES)
def test_in_a_world_with_real_clocks_timers_fire_by_themselves(engine: str) -> None:
    with skep.load(OBJECTS / "deferred.bpf.o", subsystem=subsystem(engine)) as loaded:
        bench = Bench(loaded)
        began = time.monotonic_ns()
        bench.call("start_in_table", rounds=20, after=2_000_000)
        bench.call("start_session", key=6, after=began + 3_000_000, flags=ABS)
        bench.call("queue_work", key=7, rounds=5)
        end = time.monotonic() + 5
        while bench.fired + loaded.bss.worked < 28 and time.monotonic() < end:
            time.sleep(0.001)

        assert (bench.fired, loaded.bss.worked, loaded.bss.problems) == (22, 6, 0)
        assert loaded.bss.when >= began + 2_000_000


def test_a_clock_that_is_real_cannot_be_advanced() -> None:
    with pytest.raises(ValueError, match="real"):
        World().advance(1)
