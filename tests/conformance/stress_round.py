"""A round of stress: programs and hosts on their threads, and one object that all of them use."""

import random
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import skep
from skep.errors import BpfError
from skep.loader.reader import read_object
from skep.runtime.world import World
from skep.syscall.subsystem import Subsystem

OBJECT: Final = Path(__file__).parents[1] / "objects" / "stress.bpf.o"
WORKERS: Final = 16  # as the object has them
COUNTED: Final = 64
PASSING: Final = 192
TAG: Final = 0x0101_0101_0101_0101
WORD: Final = 2**64 - 1
RUNS: Final = 2000  # of a program in one call
PATIENCE: Final = 60  # seconds for threads to end


@dataclass(frozen=True)
class Scenario:
    """What is done to which maps.

    Args:
        name: to be told by.
        workers: programs that threads run again and again, the first thread the first one.
        hosts: what host threads do until the round is over.
        check: what must hold in the end.
        prepare: what is done before.
        also: programs that are loaded besides.
    """

    name: str
    workers: tuple[str, ...]
    hosts: tuple[Callable[["Round"], None], ...] = ()
    check: Callable[["Round"], None] = lambda _round: None
    prepare: Callable[["Round"], None] = lambda _round: None
    also: tuple[str, ...] = ()


@dataclass
class Round:
    """One scenario under way.

    Attributes:
        object: the loaded object; its world has a CPU for each thread.
        rng: random numbers for the hosts.
        kept: what hosts leave for the check.
        complaints: what was wrong.
    """

    scenario: Scenario
    threads: int
    rng: random.Random
    kept: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    _steps: list[int] = field(default_factory=lambda: [0] * WORKERS)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        world = World(cpus=self.threads + len(self.scenario.hosts) + 1)
        wanted = (*dict.fromkeys(self.scenario.workers), *self.scenario.also)
        spec = replace(read_object(OBJECT.read_bytes()), source=str(OBJECT))
        self.object = skep.load(spec, subsystem=Subsystem(world), programs=wanted)
        self.maps = self.object.maps
        for number in range(self.threads):
            data = struct.pack("=Q", self.rng.getrandbits(60) | 1).ljust(5 * 8 + 8 * WORKERS, b"\0")
            self.maps["workers"][number] = data

    @property
    def busy(self) -> bool:
        """Whether hosts are to go on."""
        return not self._over.is_set()

    def require(self, holds: object, complaint: str) -> None:
        """Complain unless *holds*."""
        if not holds:
            self.complaints.append(f"{self.scenario.name}: {complaint}")

    def workers(self) -> Iterator[dict[str, Any]]:
        """The counters of each worker."""
        for number in range(self.threads):
            yield self.maps["workers"][number]

    def total(self, member: str) -> int:
        """Sum of one counter, 64 bits of it."""
        return sum(int(each[member]) for each in self.workers()) & WORD

    def step(self, program: str, number: int = 0, repeat: int = 1) -> None:
        """Let a worker do something on the calling thread."""
        frame = struct.pack("=I", number).ljust(64, b"\0")
        self.object.programs[program].run(frame, repeat=repeat)

    def play(self, seconds: float) -> int:
        """Let everything run; returns how many steps programs did."""
        scenario, names = self.scenario, self.scenario.workers
        scenario.prepare(self)
        jobs: list[Callable[[], None]] = [
            lambda number=number: self._work(names[number % len(names)], number)  # type: ignore[misc]
            for number in range(self.threads)
        ]
        jobs += [lambda host=host: host(self) for host in scenario.hosts]  # type: ignore[misc]
        together = threading.Barrier(len(jobs) + 1)
        threads = [
            threading.Thread(target=self._guarded, args=(job, together), daemon=True)
            for job in jobs
        ]
        for thread in threads:
            thread.start()
        together.wait()
        time.sleep(seconds)
        self._over.set()
        for thread in threads:
            thread.join(PATIENCE)
            self.require(not thread.is_alive(), "a thread hangs")
        if not self.complaints:
            scenario.check(self)
        bad = self.total("bad")
        self.require(not bad, f"programs saw {bad} things that cannot be")
        return sum(self._steps)

    def _work(self, program: str, number: int) -> None:
        while self.busy:
            self.step(program, number, RUNS)
            self._steps[number] += RUNS

    def _guarded(self, job: Callable[[], None], together: threading.Barrier) -> None:
        together.wait()
        try:
            job()
        except (BpfError, AssertionError, LookupError, ValueError, OSError) as error:
            self.require(False, f"{type(error).__name__}: {error}")
            self._over.set()

    def close(self) -> None:
        """Give everything back."""
        self.object.close()


def consecutive(round_: Round, words: Sequence[int], *, complete: bool = True) -> None:
    """Words number << 48 | counter: each worker's come in order, and all *complete*ly."""
    following = [0] * WORKERS
    for word in words:
        number, counter = word >> 48, word & 0xFFFF_FFFF_FFFF
        if number >= WORKERS or counter != following[number]:
            expected = following[number] if number < WORKERS else "none"
            round_.require(False, f"worker {number}: {counter} comes, not {expected}")
            return
        following[number] += 1
    if complete:
        sent = [each["done"] for each in round_.workers()]
        round_.require(sent == following[: len(sent)], f"{sent} were sent, {following} came")
