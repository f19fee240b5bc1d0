"""World: what running programs can find out about their surroundings.

Real by default: the machine's clock, a fresh random seed, the calling thread as the current task.
A test gives its own clock, seed, CPUs and task, and gets the same run every time. A world also
lends out the run blocks: one for each thread and depth of nesting, used again and again.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from weakref import WeakValueDictionary

from skep.base.memory import OwnMemory, UserMemory
from skep.btf.graph import Btf
from skep.runtime.agenda import Agenda
from skep.runtime.block import Invocation, Limits
from skep.runtime.kernel_objects import KernelObjects
from skep.runtime.stream import Stream
from skep.runtime.surroundings import Surroundings
from skep.runtime.task_structs import TaskStructs
from skep.runtime.tracepoints import Tracepoint, Tracepoints

_MOST_CPUS: Final = 8192  # NR_CPUS of the kernels that distributions ship
_COMM_SIZE: Final = 16
NO_LIMITS: Final = Limits()


class Door(Protocol):
    """The subsystem as programs reach it through bpf(2) helpers."""

    def bpf_from_program(self, cmd: int, address: int, size: int) -> int:
        """Serve a command whose attr is the program's own memory: the result, or -errno."""
        ...

    def close(self, fd: int) -> None:
        """Close a descriptor; CommandError EBADF if it is not open."""
        ...

    @property
    def kernel_types(self) -> Btf | None:
        """The BTF in force, or None."""
        ...

    def find_kernel_type(self, name: str, kind: int) -> int:
        """Id of the kernel's type, or -errno."""
        ...


class Printer(Protocol):
    """A program that has streams, by their numbers."""

    streams: Mapping[int, Stream]


@dataclass(frozen=True, slots=True)
class Task:
    """A task as helpers see it: *pid* is the thread's, *tgid* the process's number."""

    pid: int
    tgid: int
    uid: int = 0
    gid: int = 0
    comm: str = ""

    @property
    def comm_bytes(self) -> bytes:
        """The name in 16 bytes, the last one 0."""
        return os.fsencode(self.comm)[: _COMM_SIZE - 1].ljust(_COMM_SIZE, b"\0")


def calling_task() -> Task:
    """The thread that calls."""
    try:
        comm = os.fsdecode(Path("/proc/thread-self/comm").read_bytes().rstrip(b"\n"))
    except OSError:
        comm = "skep"
    return Task(threading.get_native_id(), os.getpid(), os.getuid(), os.getgid(), comm)


class _Seats:
    """Virtual CPUs for threads: each thread keeps one, the least crowded when it first asks."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._taken = [0] * count

    def take(self) -> int:
        with self._lock:
            cpu = self._taken.index(min(self._taken))
            self._taken[cpu] += 1
        return cpu

    def leave(self, cpu: int) -> None:
        with self._lock:
            self._taken[cpu] -= 1


class _Seat:
    """One thread's virtual CPU; given back when the thread ends."""

    def __init__(self, seats: _Seats) -> None:
        self._seats = seats
        self.cpu = seats.take()

    def __del__(self) -> None:
        self._seats.leave(self.cpu)


class _Thread(threading.local):
    """What a world keeps for each thread."""

    def __init__(self, seats: _Seats) -> None:
        self.seat = _Seat(seats)
        self.task: Task | None = None
        self.idle: list[Invocation] = []
        self.made = 0  # run blocks of the thread, idle or not
        self.working = False  # it does task work


class World:
    """Clock, random numbers, CPUs and tasks of the programs that run in it.

    Args:
        cpus: possible CPUs: copies of per-CPU values; the machine's if 0.
        clock_ns: every clock helper's answer; None for the real clocks.
        seed: of the pseudo-random numbers; None for a fresh one.
        task: the current task; None for the thread that runs the program.
        printk: takes each line that trace_printk writes, without its newline.
        memory: what probe reads see; this process's memory if none is given.
        surroundings: devices, cgroups and namespace; this machine's if none are given.
        limits: how long runs may last, as far as metered engines see to it.

    Attributes:
        door: the subsystem that serves its programs, once there is one.
        tracepoints: what can happen in it; none unless they are declared.
        objects: memory of what it shows as kernel structs.
        agenda: what its programs leave for later.
        task_structs: its tasks as kernel structs.
        printers: its programs, by what tells them apart when they are compiled.
    """

    def __init__(
        self,
        *,
        cpus: int = 0,
        clock_ns: int | None = None,
        seed: int | None = None,
        task: Task | None = None,
        printk: Callable[[str], None] | None = None,
        memory: UserMemory | None = None,
        surroundings: Surroundings | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.cpus = min(cpus or os.cpu_count() or 1, _MOST_CPUS)
        self.clock_ns = clock_ns
        self.task = task
        self.printk: Callable[[str], None] = printk or (lambda _line: None)
        self.memory: UserMemory = memory or OwnMemory()
        self.surroundings = surroundings or Surroundings()
        self.limits = limits
        self.door: Door | None = None
        self.tracepoints = Tracepoints()
        self.objects = KernelObjects(cpus=self.cpus)
        self.agenda = Agenda(self)
        self.task_structs = TaskStructs(self.objects, self._kernel_types, self.retire, self._alive)
        self.printers: WeakValueDictionary[int, Printer] = WeakValueDictionary()
        self._seed = seed
        self.secret = os.urandom(16) if seed is None else seed.to_bytes(16, "little")
        self._threads = _Thread(_Seats(self.cpus))
        self._invocations: WeakValueDictionary[int, Invocation] = WeakValueDictionary()
        self._lock = threading.RLock()  # finalizers may come back here
        self._last_handle = 0
        self._age = 0  # how often something was retired
        self._under_way: dict[int, int] = {}  # handle of each run, and the age that it began in
        self._retired: deque[tuple[int, object]] = deque()  # by age

    def tracepoint(self, name: str) -> Tracepoint:
        """The tracepoint called *name*, with or without its system; KeyError if there is none."""
        found = self.tracepoints.find(name)
        if found is None:
            raise KeyError(name)
        return found

    @property
    def cpu(self) -> int:
        """The virtual CPU of the calling thread."""
        return self._threads.seat.cpu

    def current_task(self) -> Task:
        """The task that programs of the calling thread see."""
        if self.task is not None:
            return self.task
        task = self._threads.task
        if task is None or task.tgid != os.getpid():  # none yet, or the parent's
            task = self._threads.task = calling_task()
        return task

    def tasks(self) -> tuple[Task, ...]:
        """Every task of the world: the one that was given, or the threads of this process."""
        if self.task is not None:
            return (self.task,)
        known, found = self.current_task(), []
        for folder in Path("/proc/self/task").iterdir():
            try:
                comm = os.fsdecode((folder / "comm").read_bytes().rstrip(b"\n"))
            except OSError:  # it has ended
                continue
            found.append(Task(int(folder.name), known.tgid, known.uid, known.gid, comm))
        return tuple(sorted(found, key=lambda task: task.pid))

    def invocation(self, handle: int) -> Invocation:
        """The run that the HANDLE word of a run block names."""
        return self._invocations[handle]

    def take(self, cpu: int | None = None) -> Invocation:
        """A run block ready for a run of the calling thread; give it back with ``give``."""
        idle = self._threads.idle
        invocation = idle.pop() if idle else self._make()
        invocation.begin(cpu=self.cpu if cpu is None else cpu, clock_ns=self.clock_ns or 0)
        if self.limits:
            invocation.limit(self.limits)
        task = self.current_task()
        if invocation.task is not task:
            invocation.task = task
            invocation.set_task(task.pid, task.tgid, task.uid, task.gid, task.comm_bytes)
        self._under_way[invocation.handle] = self._age
        return invocation

    def give(self, invocation: Invocation) -> None:
        """Take a run block back for the next run."""
        del self._under_way[invocation.handle]
        self._threads.idle.append(invocation)
        if self.objects.heap.used:
            self._collect()
        if self._retired:
            self._let_go()
        if self.agenda.tasks:
            self._work_for_task()

    def _work_for_task(self) -> None:
        """Do what waits for the calling thread's task, unless another run of it is under way."""
        threads = self._threads
        if threads.working or len(threads.idle) != threads.made:
            return
        threads.working = True
        try:
            self.agenda.after_run(self.current_task().pid)
        finally:
            threads.working = False

    def _alive(self) -> frozenset[int]:
        return frozenset(task.pid for task in self.tasks())

    def _kernel_types(self) -> Btf | None:
        return self.door.kernel_types if self.door is not None else None

    def advance(self, nanoseconds: int) -> None:
        """Let time pass in a world with a clock of its own: timers fire, and work is done.

        Raises:
            ValueError: the world's clocks are real.
        """
        self.agenda.advance(nanoseconds)

    def retire(self, displaced: object) -> None:
        """Keep *displaced*, which no run can find any more, until all runs under way have ended."""
        if not self._under_way:
            return
        with self._lock:
            self._age += 1
            self._retired.append((self._age, displaced))
        self._let_go()

    def between(self, invocation: Invocation) -> None:
        """One run of many in this block has ended and sees nothing any more; the next begins."""
        if self.objects.heap.used:
            self._collect()
        if self._retired:
            self._under_way[invocation.handle] = self._age
            self._let_go()

    def _collect(self) -> None:
        """Free the room of objects that programs dropped, when no run can see them any more."""
        dropped = self.objects.heap.detach()
        if dropped is not None:
            self.retire(dropped)

    def _let_go(self) -> None:
        """Drop what was retired before the oldest run began."""
        dropped = []
        with self._lock:
            oldest = min(list(self._under_way.values()), default=self._age)
            while self._retired:
                entry = self._retired.popleft()
                if entry[0] > oldest:
                    self._retired.appendleft(entry)
                    break
                dropped.append(entry)

    @contextmanager
    def running(self, cpu: int | None = None) -> Iterator[Invocation]:
        """A run block for the length of a ``with`` block."""
        invocation = self.take(cpu)
        try:
            yield invocation
        finally:
            self.give(invocation)

    def _make(self) -> Invocation:
        with self._lock:
            self._last_handle += 1
            handle = self._last_handle
        self._threads.made += 1
        seed = int.from_bytes(os.urandom(8), "little") if self._seed is None else self._seed
        invocation = Invocation(handle, (seed + handle - 1) or 1)
        around = self.surroundings
        invocation.set_place(around.namespace_cookie, around.cgroups[-1])
        self._invocations[handle] = invocation
        return invocation
