"""Time, random numbers, tasks."""

import ctypes
import os
import threading

import pytest

from skep.helpers import system
from skep.maps.creation import NativeLibrary
from skep.runtime.world import World


def test_a_fixed_clock_answers_every_time_helper(library: NativeLibrary, world: World) -> None:
    helpers = (
        system.ktime_get_ns, system.ktime_get_boot_ns, system.ktime_get_coarse_ns,
        system.ktime_get_tai_ns,
    )  # fmt: skip
    with world.running() as run:
        assert {library.bind(helper)(run.address) for helper in helpers} == {5_000_000_000}
        assert library.bind(system.jiffies64)(run.address) == 2**32 - 75_000 + 1250


def test_the_real_clock_goes_forward(library: NativeLibrary) -> None:
    clock = library.bind(system.ktime_get_ns)
    with World().running() as run:
        first, second = clock(run.address), clock(run.address)

    assert 0 < first <= second


def test_equal_seeds_give_equal_numbers(library: NativeLibrary) -> None:
    def numbers(seed: int | None) -> list[int]:
        with World(seed=seed).running() as run:
            return [library.bind(system.get_prandom_u32)(run.address) for _ in range(8)]

    assert numbers(3) == numbers(3)
    assert numbers(3) != numbers(4)
    assert numbers(None) != numbers(None)
    assert max(numbers(3)) < 2**32


def test_the_task_is_the_world_s(library: NativeLibrary, world: World) -> None:
    with world.running(cpu=3) as run:
        assert library.bind(system.get_current_pid_tgid)(run.address) == 1234 << 32 | 1235
        assert library.bind(system.get_current_uid_gid)(run.address) == 100 << 32 | 1000
        assert library.bind(system.get_smp_processor_id)(run.address) == 3


@pytest.mark.parametrize(
    ("size", "expected"),
    [(16, b"a-task-with-a-l\0"), (5, b"a-ta\0"), (20, b"a-task-with-a-l\0\0\0\0\0")],
)
def test_the_name_is_cut_and_padded(
    size: int, expected: bytes, library: NativeLibrary, world: World
) -> None:
    room = ctypes.create_string_buffer(b"x" * 32)
    with world.running() as run:
        place = ctypes.addressof(room)
        assert library.bind(system.get_current_comm)(run.address, place, size) == 0

    assert room.raw[: size + 1] == expected + b"x"


def test_a_real_world_shows_the_calling_thread(library: NativeLibrary) -> None:
    world = World()
    found: list[int] = []

    def ask() -> None:
        with world.running() as run:
            found.append(library.bind(system.get_current_pid_tgid)(run.address))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    ask()

    assert {value >> 32 for value in found} == {os.getpid()}
    assert found[1] & 0xFFFF_FFFF == threading.get_native_id() != found[0] & 0xFFFF_FFFF


def test_return_values_are_sign_extended(library: NativeLibrary, world: World) -> None:
    with world.running() as run:
        library.bind(system.set_retval)(run.address, 2**64 - 1)
        assert library.bind(system.get_retval)(run.address) == 2**64 - 1


def test_ids_in_the_own_namespace(world: World) -> None:
    place = os.stat("/proc/self/ns/pid")  # noqa: PTH116
    room = ctypes.create_string_buffer(8)
    target = ctypes.addressof(room)
    with world.running() as run:
        ask = system.get_ns_current_pid_tgid
        good = ask(world, run.address, place.st_dev, place.st_ino, target, 8, 0)
        found = room.raw
        bad = ask(world, run.address, place.st_dev, place.st_ino + 1, target, 8, 0)

    assert (good, found) == (0, (1235).to_bytes(4, "little") + (1234).to_bytes(4, "little"))
    assert (bad, room.raw) == (2**64 - 22, bytes(8))
