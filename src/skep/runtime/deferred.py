"""Deferred: what programs leave for later, in fields of map values: timers, work queues, task work.

Such a field holds the address of a block of one word, 0 as long as the field is what it belongs to.
Whoever empties the field (``skep.runtime.heap``, when an element goes) sets it to 1: then nothing
of it runs any more. So elements come and go in native code, without a lock of Python's.

What is due runs in threads of this process, or, in a world with a clock of its own, where that is
advanced. A callback is a run like any other, with (map, key, value).

Source: Linux 6.18 kernel/bpf/helpers.c (bpf_async_cb, bpf_timer_start, bpf_timer_cancel,
bpf_wq_start, bpf_task_work_schedule).
"""

import ctypes
import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol
from weakref import ref

from skep.base.native import cmpxchg64, load64
from skep.runtime.heap import LET_GO

TIMER: Final = 0
WORK: Final = 1
TASK_WORK: Final = 2


class Borrowed(Protocol):
    """A program that is kept alive."""

    def call_back(self, run: int, callback: int, arguments: tuple[int, int, int], /) -> int:
        """Run its function at *callback* with (map, key, value); returns r0."""
        ...

    def tell(self, error: Exception, /) -> None:
        """Say to whom it concerns why a callback was stopped."""
        ...

    def give_back(self) -> None:
        """Keep it alive no longer."""
        ...


class Lender(Protocol):
    """Where programs and maps are."""

    def borrow(self, program: int) -> Borrowed | None:
        """Keep the program alive that *program* finds; None if it has gone."""
        ...

    def is_used(self, map_id: int) -> bool:
        """Whether a descriptor or pin refers to the map."""
        ...


class TimedMap(Protocol):
    """A map whose values have such fields."""

    id: int
    address: int

    def key_at(self, value: int) -> bytes:
        """The key of the element whose value is at *value*."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """A map, and where its values have fields of each kind."""

    map: "ref[TimedMap]"
    offsets: tuple[int, int, int]


class Later:
    """One timer, work queue or task work.

    Attributes:
        kind: which of them.
        place, value: the element that it is in.
        clock: of a timer.
        program, callback: what is to run; None and 0 before it is set.
        due: when a timer fires, in nanoseconds of the agenda's clock; -1 if it is not started.
        pending: work waits for its turn.
        turn: counts starts: an entry of an agenda with another number is of no more use.
        thread: the one that it runs in at the moment; 0 if it does not.
        used: the program that runs then; whoever runs it gives it back, if it is another by then.
        cancelling: how many callbacks of other timers wait for its end.
    """

    __slots__ = (
        "_block", "address", "callback", "cancelling", "clock", "due", "kind", "pending", "place",
        "program", "thread", "turn", "used", "value",
    )  # fmt: skip

    def __init__(self, kind: int, place: Place, field: int, clock: int) -> None:
        self._block = ctypes.c_uint64(0)
        self.address = ctypes.addressof(self._block)
        self.kind, self.place, self.clock = kind, place, clock
        self.value = field - place.offsets[kind]
        self.program: Borrowed | None = None
        self.used: Borrowed | None = None
        self.callback = self.turn = self.thread = self.cancelling = 0
        self.due = -1
        self.pending = False

    @property
    def field(self) -> int:
        """Where its address stands, as long as the element is there."""
        return self.value + self.place.offsets[self.kind]

    @property
    def let_go(self) -> bool:
        """Whether its element is gone."""
        return self._block.value == LET_GO

    def give_up(self) -> None:
        """Let nothing of it run any more."""
        self._block.value = LET_GO


class Fields:
    """The fields of all maps of a world that hold something for later.

    Its lock is never held while a lender is asked: those have locks of their own.

    Attributes:
        lender: where programs and maps are, once there is a subsystem.
        lock: held while anything here changes.
    """

    def __init__(self) -> None:
        self.lender: Lender | None = None
        self.lock = threading.RLock()
        self._places: dict[int, Place] = {}
        self._laters: dict[int, Later] = {}
        self._dropped: list[Borrowed] = []

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock; programs that are dropped meanwhile are given back behind it."""
        try:
            with self.lock:
                yield
        finally:
            while self._dropped:
                self._dropped.pop().give_back()

    def register(self, map_: TimedMap, offsets: tuple[int, int, int]) -> None:
        """Take notice of a map whose values have such fields at *offsets*, -1 for none."""
        address = map_.address

        def gone(_: object) -> None:
            self._places.pop(address, None)

        self._places[address] = Place(ref(map_, gone), offsets)

    def init(self, kind: int, field: int, address: int, clock: int = 0) -> int:
        """Prepare the *field* of a value of the map at *address*: 0, or a negative errno."""
        place = self._places.get(address)
        map_ = place.map() if place is not None else None
        if place is None or map_ is None or self.lender is None:
            return -errno.EINVAL
        later = Later(kind, place, field, clock)
        with self.alone():
            self._sweep()
            if cmpxchg64(field, 0, later.address):
                return -errno.EBUSY
            self._laters[later.address] = later
        if self.lender.is_used(map_.id):
            return 0
        with self.alone():
            self._withdraw(later)
        return -errno.EPERM

    def at(self, field: int) -> Later | None:
        """What the *field* holds, if it was prepared."""
        return self._laters.get(load64(field))

    def borrow(self, program: int) -> Borrowed | None:
        """Keep the program alive that *program* finds."""
        return self.lender.borrow(program) if self.lender is not None else None

    def set_callback(self, field: int, program: int, callback: int) -> int:
        """Let the program's function at *callback* be what runs: 0, or a negative errno."""
        borrowed = self.borrow(program)
        if borrowed is None:
            return -errno.ENOENT
        with self.alone():
            later = self.at(field)
            if later is None:
                self._dropped.append(borrowed)
                return -errno.EINVAL
            self.forget_program(later)
            later.program, later.callback = borrowed, callback
        return 0

    def forget_program(self, later: Later) -> None:
        """Let its program go, once the lock is free."""
        if later.program is not None and later.program is not later.used:
            self._dropped.append(later.program)
        later.program, later.callback = None, 0

    def drop(self, borrowed: Borrowed) -> None:
        """Give the program back, once the lock is free."""
        self._dropped.append(borrowed)

    def release(self, map_id: int) -> None:
        """Nothing but programs refers to the map any more: let go what its values hold."""
        with self.alone():
            for later in list(self._laters.values()):
                map_ = later.place.map()
                if map_ is not None and map_.id == map_id:
                    self._withdraw(later)

    def _withdraw(self, later: Later) -> None:
        """Let it go, but not its block yet: who empties the field just now still writes to that."""
        cmpxchg64(later.field, later.address, 0)
        later.give_up()
        self.forget_program(later)

    def _forget(self, later: Later) -> None:
        self.forget_program(later)
        self._laters.pop(later.address, None)

    def _sweep(self) -> None:
        for later in [later for later in self._laters.values() if later.let_go]:
            self._forget(later)

    def __len__(self) -> int:
        return len(self._laters)

    def sweep(self) -> int:
        """Forget what elements that went have let go; how much there is left."""
        with self.alone():
            self._sweep()
            return len(self._laters)
