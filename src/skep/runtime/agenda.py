"""Agenda: when what is deferred runs (``skep.runtime.deferred``), and in which thread.

In a world with real clocks one thread fires timers and another does work, each while there is
something to do. In a world with a clock of its own nothing happens until that is advanced: then
timers fire one after another, each at its time, and work is done in between, in the thread that
advances the clock. Task work runs in the thread of its task, when a run of that has ended.

Source: Linux 6.18 kernel/bpf/helpers.c (bpf_timer_cb, bpf_wq_work, bpf_task_work_callback),
kernel/time/hrtimer.c (hrtimer_cancel).
"""

import atexit
import ctypes
import errno
import sys
import threading
import time
from collections import deque
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

from skep.base.bits import S64_MAX, signed
from skep.errors import BpfError, RunError
from skep.runtime.block import Invocation
from skep.runtime.deferred import TASK_WORK, TIMER, WORK, Fields, Later

IDLE: Final = 0.2  # seconds after which a thread with nothing to do ends
_STALE: Final = 64  # timers that were started anew, besides as many as there are
MOST_AT_ONCE: Final = 1 << 20  # callbacks that one step of a world's own clock may take
_NAMES: Final = {TIMER: "skep-timers", WORK: "skep-works"}


class Host(Protocol):
    """A world, as far as callbacks need one."""

    clock_ns: int | None

    def take(self) -> Invocation:
        """A run block."""
        ...

    def give(self, invocation: Invocation, /) -> None:
        """Take it back."""
        ...


class Agenda:
    """What is to run later in one world.

    Attributes:
        fields: what maps hold for later.
        tasks: task work that waits, by the number of its task.
    """

    def __init__(self, host: Host) -> None:
        self.fields = Fields()
        self.tasks: dict[int, deque[Later]] = {}
        self._host = host
        self._changed = threading.Condition(self.fields.lock)
        self._timers: list[tuple[int, int, int, Later]] = []  # when, number, turn
        self._works: deque[Later] = deque()
        self._running: list[Later] = []
        self._threads: dict[int, threading.Thread] = {}
        self._count = 0
        self._ends = False

    # --- timers -----------------------------------------------------------------------------------

    def start(self, field: int, nanoseconds: int, *, absolute: bool) -> int:
        """Start a timer, or start it anew: 0, or a negative errno."""
        with self.fields.alone():
            later = self.fields.at(field)
            if later is None or later.program is None:
                return -errno.EINVAL
            wanted, now = signed(nanoseconds, 64), self._now()
            if absolute:
                wanted -= self._now(later.clock)
            later.turn += 1
            later.due = min(now + max(wanted, 1), S64_MAX)
            self._count += 1
            self._drop_stale()
            heappush(self._timers, (later.due, self._count, later.turn, later))
            self._wake(TIMER)
        return 0

    def cancel(self, field: int) -> int:
        """Stop a timer and wait for its callback: 1 if it was started, 0, or a negative errno."""
        with self.fields.alone():
            later = self.fields.at(field)
            if later is None:
                return -errno.EINVAL
            me = threading.get_ident()
            own = next((running for running in self._running if running.thread == me), None)
            if own is later or (own is not None and own.cancelling):
                return -errno.EDEADLK
            self.fields.forget_program(later)
            later.cancelling += own is not None
            self._changed.wait_for(lambda: not later.thread)
            later.cancelling -= own is not None
            was_started, later.due = later.due >= 0, -1
            later.turn += 1
            return int(was_started)

    def _now(self, clock: int = time.CLOCK_MONOTONIC) -> int:
        own = self._host.clock_ns
        return time.clock_gettime_ns(clock) if own is None else own

    def _due(self, now: int) -> Later | None:
        """Take the first timer that is due; it keeps the time when it was."""
        while self._timers:
            when, _, turn, later = self._timers[0]
            valid = turn == later.turn and not later.let_go
            if valid and when > now:
                return None
            heappop(self._timers)
            if valid:
                return later
        return None

    def _drop_stale(self) -> None:
        """Drop timers that were started anew, stopped, or let go, if they are many."""
        if len(self._timers) > 2 * len(self.fields) + _STALE:
            self._timers = [entry for entry in self._timers if entry[2] == entry[3].turn]
            heapify(self._timers)

    # --- work -------------------------------------------------------------------------------------

    def queue(self, field: int) -> int:
        """Let a work queue's callback run soon: 0, or a negative errno."""
        with self.fields.alone():
            later = self.fields.at(field)
            if later is None or later.program is None:
                return -errno.EINVAL
            if not later.pending:
                later.pending = True
                self._works.append(later)
                self._wake(WORK)
        return 0

    def _work(self) -> Later | None:
        if not self._works:
            return None
        later = self._works.popleft()
        later.pending = False
        return later

    def schedule(self, task: int, field: int, address: int, what: tuple[int, int]) -> int:
        """Let a program's callback, *what*, run in task number *task*: 0, or a negative errno."""
        borrowed = self.fields.borrow(what[0])
        if borrowed is None:
            return -errno.EBADF
        if self.fields.at(field) is None:
            answer = self.fields.init(TASK_WORK, field, address)
            if answer not in (0, -errno.EBUSY):
                borrowed.give_back()
                return -errno.EBUSY
        with self.fields.alone():
            later = self.fields.at(field)
            if later is None or later.pending or later.thread:
                self.fields.drop(borrowed)
                return -errno.EBUSY
            self.fields.forget_program(later)  # it has run, and nobody has come to that yet
            later.program, later.callback, later.pending = borrowed, what[1], True
            self.tasks.setdefault(task, deque()).append(later)
        return 0

    def after_run(self, task: int) -> None:
        """Do what waits for the task, whose thread calls; what cannot go on is told its program."""
        while True:
            with self.fields.alone():
                waiting = self.tasks.get(task)
                if not waiting:
                    self.tasks.pop(task, None)
                    return
                later = waiting.popleft()
                later.pending = False
            self._execute_and_tell(later)
            with self.fields.alone():
                if not later.pending:
                    self.fields.forget_program(later)

    # --- running ----------------------------------------------------------------------------------

    def _execute(self, later: Later) -> None:
        """Run its callback, unless its element is gone."""
        with self.fields.alone():
            map_, program, callback = later.place.map(), later.program, later.callback
            if map_ is None or program is None or later.let_go:
                return
            later.used, later.thread, later.due = program, threading.get_ident(), -1
            self._running.append(later)
        invocation = self._host.take()
        try:
            if not later.let_go:  # then the element stays readable until the block is given back
                key = ctypes.create_string_buffer(map_.key_at(later.value))
                arguments = (map_.address, ctypes.addressof(key), later.value)
                program.call_back(invocation.address, callback, arguments)
        finally:
            self._host.give(invocation)
            with self.fields.alone():
                self._running.remove(later)
                later.used, later.thread = None, 0
                if later.program is not program:
                    self.fields.drop(program)
                self._changed.notify_all()

    def _execute_and_tell(self, later: Later) -> None:
        program = later.program
        try:
            self._execute(later)
        except BpfError as error:
            if program is not None:
                program.tell(error)

    # --- a clock of the world's own ---------------------------------------------------------------

    def advance(self, nanoseconds: int) -> None:
        """Let time pass in a world with a clock of its own: what is due runs, each at its time.

        Raises:
            ValueError: the world's clocks are real.
            RunError: callbacks start each other without end.
        """
        begin = self._host.clock_ns
        if begin is None:
            raise ValueError("the clocks of this world are real")
        end = begin + nanoseconds
        for _ in range(MOST_AT_ONCE):
            with self.fields.alone():
                later = self._work()
                if later is None:
                    later = self._due(end)
                    if later is not None:
                        self._host.clock_ns = max(self._now(), later.due)
            if later is None:
                self._host.clock_ns = end
                return
            self._execute(later)
        raise RunError(f"more than {MOST_AT_ONCE} callbacks in {nanoseconds} nanoseconds")

    # --- threads ----------------------------------------------------------------------------------

    def _wake(self, kind: int) -> None:
        if self._host.clock_ns is not None or sys.is_finalizing():  # no thread would begin
            return
        thread = self._threads.get(kind)
        if thread is None or not thread.is_alive():  # none yet, or the parent's
            if not self._threads:
                atexit.register(self.end)
            made = threading.Thread(target=self._serve, args=(kind,), name=_NAMES[kind])
            made.daemon = True
            self._threads[kind] = made
            made.start()
        self._changed.notify_all()

    def _serve(self, kind: int) -> None:
        while True:
            with self.fields.alone():
                later = self._next(kind)
                if later is None:
                    del self._threads[kind]
                    if not self._threads:
                        atexit.unregister(self.end)
                    return
            self._execute_and_tell(later)
            del later

    def _next(self, kind: int) -> Later | None:
        """What is to run next; None if that is nothing for some time."""
        rested = False
        while not self._ends:
            later = self._work() if kind == WORK else self._due(self._now())
            if later is not None:
                return later
            if kind == TIMER and self._timers:
                self._changed.wait((self._timers[0][0] - self._now()) / 1e9)
                continue
            if rested:
                return None
            rested = not self._changed.wait(IDLE)
        return None

    def settle(self, seconds: float = 10.0) -> bool:
        """Wait until no work waits or runs and no timer is due; whether that came in time."""

        def rests() -> bool:
            due = self._timers and self._timers[0][0] <= self._now()
            return not (self._works or self._running or due)

        with self.fields.alone():
            return self._changed.wait_for(rests, seconds)

    def end(self) -> None:
        """Let the threads end: nothing runs later any more."""
        with self.fields.alone():
            self._ends = True
            threads = list(self._threads.values())
            self._changed.notify_all()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(1)
