"""Exceptions, timers and work queues do what the running kernel's do: the same object in both.

Sequences of calls are random: timers are started, now and in an hour, anew, cancelled, deleted, and
some time passes. What helpers answer and what callbacks have counted must be the same.
"""

import ctypes
import errno
import functools
import random
import struct
import threading
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from skep.btf.kinds import DataSec, Kind
from skep.loader.door import Syscall
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.loader.target import Target
from skep.runtime.world import World
from support import running_kernel
from support.engines import ENGINES, OBJECTS, subsystem
from support.trial_runs import Bpf, run
from support.verify_case import kernel_btf

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(running_kernel.missing()) or kernel_btf() is None, reason=running_kernel.missing()
    ),
]

SIZES: Final = (14, 20, 21, 30, 64, 100, 201)
STEPS: Final = 16
PAUSE: Final = 0.02
HOUR: Final = 3_600_000_000_000
ABS: Final = 1


class Step(NamedTuple):
    """One call; no program: time passes."""

    program: str = ""
    key: int = 0
    rounds: int = 0
    after: int = 0
    flags: int = 0


class NoMemory(Exception):  # noqa: N818 - what happened
    """The kernel allocates without waiting, and fails now and then."""


class Side:
    """One object in one of the two subsystems."""

    def __init__(self, name: str, syscall: Syscall, bpf: Bpf, world: World | None) -> None:
        data = (OBJECTS / f"{name}.bpf.o").read_bytes()
        target = Target.running(kernel_btf())
        self.spec = read_object(data, name)
        self.loaded = LoadedObject(self.spec, syscall, target, explain=True)
        self.fds = {p.name: self.loaded.load_program(p).fd for p in self.spec.programs}
        self.bpf, self.world = bpf, world

    def call(self, step: Step) -> int:
        """Run a program on a request: what the helper answered."""
        after = step.after
        if step.flags & ABS:
            own = self.world.clock_ns if self.world is not None else None
            after += time.monotonic_ns() if own is None else own
        request = struct.pack("<iiQQiI", step.key, step.rounds, after, step.flags, 99, 0)
        context = ctypes.create_string_buffer(request, len(request))
        attr = bytearray(80)
        struct.pack_into("<I", attr, 0, self.fds[step.program])
        struct.pack_into("<IIQ", attr, 40, len(request), 0, ctypes.addressof(context))
        assert self.bpf(10, attr) == 0
        retval = struct.unpack_from("<i", attr, 4)[0]
        answer, prepared = struct.unpack_from("<ii", context.raw, 24)
        if -errno.ENOMEM in (answer, prepared):
            raise NoMemory
        return int(retval or answer)

    def rest(self) -> None:
        """Let time pass."""
        if self.world is None:
            time.sleep(PAUSE)
        else:
            self.world.advance(int(PAUSE * 1e9))

    def run(self, program: str, number: int) -> int:
        """Run a program on a number; its result."""
        context = ctypes.create_string_buffer(struct.pack("<ii", number, 0), 8)
        attr = bytearray(80)
        struct.pack_into("<I", attr, 0, self.fds[program])
        struct.pack_into("<IIQ", attr, 40, 8, 0, ctypes.addressof(context))
        assert self.bpf(10, attr) == 0
        return int(struct.unpack_from("<i", attr, 4)[0])

    def counted(self, *wanted: str) -> bytes:
        """Global numbers, one after the other."""
        fd, key = self.loaded.maps[".bss"], ctypes.c_uint32(0)
        value = ctypes.create_string_buffer(64)
        attr = bytearray(32)
        words = (fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
        struct.pack_into("<IIQQQ", attr, 0, *words)
        assert self.bpf(1, attr) == 0
        btf = self.spec.btf
        assert btf is not None
        section = btf.type(btf.by_name(".bss", Kind.DATASEC) or 0)
        assert isinstance(section, DataSec)
        names = {btf.name(entry.type): entry.offset for entry in section.entries}
        return b"".join(value.raw[names[name] : names[name] + 4] for name in wanted)


def theirs(name: str) -> Side:
    kernel = KernelSyscall()
    return Side(name, kernel, kernel.bpf, None)


def ours(name: str, engine: str) -> Side:
    world = World(clock_ns=time.monotonic_ns())
    made = subsystem(engine, world)
    return Side(name, made, made.bpf, world)


@pytest.mark.parametrize("engine", ENGINES)
def test_programs_that_throw_give_what_the_kernels_give(engine: str) -> None:
    kernel, skep = theirs("catches"), ours("catches", engine)
    with kernel.loaded, skep.loaded:
        for name, fd in kernel.fds.items():
            for size in SIZES:
                packet = bytes(size)
                expected = run(kernel.bpf, fd, packet)
                assert run(skep.bpf, skep.fds[name], packet) == expected, (name, size)


def random_steps(seed: int) -> Iterator[Step]:
    rng = random.Random(seed)
    calls = (
        "start_in_table", "start_session", "start_session", "init_session", "restart_session",
        "restart_session", "cancel_session", "stopping_session", "vanishing_session", "end_session",
        "queue_work",
    )  # fmt: skip
    for key in range(2):
        yield Step("start_session", key, rng.randrange(3), rng.choice((1000, HOUR)))
    for _ in range(STEPS):
        if rng.random() < 0.25:
            yield Step()
            continue
        program, key = rng.choice(calls), rng.randrange(2)
        after = rng.choice((0, 1000, 50_000, HOUR, HOUR))
        flags = rng.choice((0, 0, 0, 0, 0, ABS, ABS, 2, 3, 4, 1 << 33))
        if program == "queue_work":
            key, flags = key + 3, flags & 4
        if program == "init_session":
            flags = rng.choice((0, 1, 7, 2, 16))
        yield Step(program, key, rng.choice((0, 0, 3)), after, flags)
    yield Step()


def story(side: Side, seed: int) -> list[object]:
    found: list[object] = []
    for step in random_steps(seed):
        if step.program:
            found.append((step, side.call(step)))
            if step.after != HOUR:  # or it may have fired, or not yet
                side.rest()
        else:
            side.rest()
            found.append(side.counted("fired", "worked", "problems", "cancelled"))
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(12))
def test_timers_and_work_queues_answer_and_count_as_the_kernels(engine: str, seed: int) -> None:
    for number in range(4 * seed, 4 * seed + 4):
        skep = ours("deferred", engine)
        with skep.loaded:
            assert story(skep, number) == theirs_of(number)


@functools.cache
def theirs_of(number: int) -> list[object]:
    while True:
        kernel = theirs("deferred")
        try:
            with kernel.loaded:
                return story(kernel, number)
        except NoMemory:
            continue


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_runs_later_in_maps_without_users(engine: str) -> None:
    found = []
    for side in (theirs("deferred"), ours("deferred", engine)):
        with side.loaded:
            answers = [side.call(Step("start_session", key, after=HOUR)) for key in (1, 2)]
            fd = side.loaded.maps["sessions"]
            side.loaded._map_fds.remove(fd)
            side.loaded.door.close(fd)
            answers += [
                side.call(Step(program, key, after=HOUR, flags=flags))
                for key in (1, 2, 3)
                for program, flags in (
                    ("cancel_session", 0), ("restart_session", 0), ("init_session", 1),
                    ("start_session", 0), ("init_session", 1), ("restart_session", 0),
                )
            ]  # fmt: skip
            found.append(answers)

    assert found[1] == found[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_task_work_runs_where_the_kernel_runs_it(engine: str) -> None:
    found = []
    names = ("pid", "process", "same", "found", "ran", "ran_before", "key_seen", "again", "twice")
    for side in (theirs("tasks"), ours("tasks", engine)):
        with side.loaded:
            story = [
                (side.run(program, number), side.counted(*names))
                for program, number in (
                    ("look", threading.get_native_id()), ("look", 0x7FFF_FFFF), ("schedule", 3),
                    ("schedule", 3), ("schedule_and_delete", 4), ("schedule", 4),
                )
            ]  # fmt: skip
        found.append(story)

    assert found[1] == found[0]
