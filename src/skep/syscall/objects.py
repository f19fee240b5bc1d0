"""Objects of a subsystem: descriptors, ids and reference counts.

An object lives while something refers to it: a descriptor, a pin, or another object that holds it
(a program its maps, a map-in-map its inner maps). When the last reference goes, its ``close`` is
called and what it held is dropped in turn. Descriptors and pins are its users as well: when the
last of them goes, an object that could keep itself alive lets go of what it holds.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_map_put, bpf_map_put_with_uref).
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush
from typing import Final, Protocol

from skep.uapi import reasons_calls as reasons
from skep.uapi.reason import Refusal

FIRST_FD: Final = 1024  # above the process's own usual descriptors: a mix-up shows as EBADF


class Kind(IntEnum):
    """What an object is."""

    MAP = 0
    PROG = 1
    BTF = 2
    LINK = 3
    STATS = 4
    TOKEN = 5
    FOLDER = 6
    PERF_EVENT = 7
    ITERATOR = 8
    CGROUP = 9
    NETNS = 10


class Target(Protocol):
    """What an object is the identity of."""

    id: int

    def close(self) -> None:
        """Drop what it holds; called once, when the last reference goes."""
        ...


@dataclass(slots=True, eq=False)
class Holding:
    """One object; *holds* are the objects that live as long as it does.

    Of its *references*, *users* are descriptors and pins.
    """

    kind: Kind
    id: int
    target: Target
    references: int = 0
    holds: "list[Holding]" = field(default_factory=list)
    users: int = 0


def _stranger(command: str, fd: int, field: str) -> Refusal:
    """The refusal of a number that is no descriptor here: as Linux, it tells files from nothing."""
    if not _is_file(fd):
        return Refusal(command, reasons.FD_NOT_OPEN, f"fd {fd} is not open", field)
    return Refusal(command, reasons.FD_NOT_BPF, f"fd {fd} is a file, not a BPF object", field)


def _is_file(fd: int) -> bool:
    try:
        os.fstat(fd)
    except (OSError, OverflowError):
        return False
    return True


class Objects:
    """The tables. Every method is atomic.

    Args:
        gone: told of every object that goes.
        unused: told of every object that loses its last user.
    """

    def __init__(
        self, gone: Callable[[Holding], object], unused: Callable[[Holding], object]
    ) -> None:
        self._gone, self._unused = gone, unused
        self._lock = threading.RLock()
        self._fds: dict[int, Holding] = {}
        self._access: dict[int, int] = {}
        self._closed: list[int] = []  # a heap: free numbers below the first never given
        self._fresh = FIRST_FD  # counted: it must be free, also after a call was interrupted
        self._ids: dict[Kind, dict[int, Holding]] = {kind: {} for kind in Kind}
        self._last_id = dict.fromkeys(Kind, 0)

    def new_id(self, kind: Kind) -> int:
        """An id that no object of *kind* ever had."""
        with self._lock:
            self._last_id[kind] += 1
            return self._last_id[kind]

    def install(
        self, kind: Kind, target: Target, holds: "list[Holding] | None" = None, access: int = 0
    ) -> int:
        """Make an object of *target* and a descriptor for it; *holds* are referred to already."""
        with self._lock:
            return self.open(Holding(kind, target.id, target, 0, holds or []), access)

    def keep(self, kind: Kind, target: Target) -> Holding:
        """Make an object of *target* that stays as long as the tables do."""
        with self._lock:
            holding = Holding(kind, target.id, target, 1)
            self._ids[kind][target.id] = holding
            return holding

    def open(self, holding: Holding, access: int = 0) -> int:
        """A new descriptor: the lowest free number; *access* is RDONLY, WRONLY or 0 for both."""
        with self._lock:
            ids = self._ids[holding.kind]
            if self._closed:
                fd = heappop(self._closed)
            else:
                fd = self._fresh
                self._fresh += 1
            # nothing is called from here on: whoever is interrupted has done all of it, or nothing
            ids[holding.id] = self._fds[fd] = holding
            self._access[fd] = access
            holding.references += 1
            holding.users += 1
            return fd

    def access(self, fd: int) -> int:
        """What the open descriptor is limited to: RDONLY, WRONLY, or 0 for nothing."""
        with self._lock:
            return self._access.get(fd, 0)

    def close(self, fd: int) -> None:
        """Close a descriptor; EBADF if it is not open."""
        with self._lock:
            holding = self._fds.pop(fd, None)
            self._access.pop(fd, None)
            if holding is None:
                raise Refusal("CLOSE", reasons.FD_NOT_OPEN, f"fd {fd} is not open")
            heappush(self._closed, fd)
            self.leave(holding)

    def get(self, command: str, fd: int, kind: Kind | None = None, field: str = "") -> Holding:
        """The object that *fd*, the member *field* of the attr, names.

        Raises:
            Refusal: EBADF, it is not open; EINVAL, it is no BPF object, or of another kind.
        """
        with self._lock:
            holding = self._fds.get(fd)
            if holding is None:
                raise _stranger(command, fd, field)
            if kind is not None and holding.kind is not kind:
                found = holding.kind.name.lower()
                message = f"fd {fd} is a {found}, not a {kind.name.lower()}"
                raise Refusal(command, reasons.FD_OTHER_KIND, message, field)
            return holding

    def is_file(self, fd: int) -> bool:
        """Whether *fd* is open in the process: a file of its own, which names no object."""
        return _is_file(fd)

    def find(self, fd: int) -> Holding | None:
        """The object that *fd* names, of any kind, or None."""
        with self._lock:
            return self._fds.get(fd)

    @contextmanager
    def using(self, command: str, fd: int, kind: Kind, field: str = "") -> Iterator[Holding]:
        """The object that *fd* names, in use for the length of a ``with`` block."""
        with self._lock:
            holding = self.use(self.get(command, fd, kind, field))
        try:
            yield holding
        finally:
            self.leave(holding)

    def take(self, holding: Holding) -> Holding:
        """One reference more."""
        with self._lock:
            holding.references += 1
            return holding

    def use(self, holding: Holding) -> Holding:
        """One reference more, of a user."""
        with self._lock:
            holding.references += 1
            holding.users += 1
            return holding

    def leave(self, holding: Holding) -> None:
        """One user less, and its reference."""
        with self._lock:
            holding.users -= 1
            if not holding.users and holding.references > 1:
                self._unused(holding)
            self.drop(holding)

    def drop(self, holding: Holding) -> None:
        """One reference less; the object goes with the last."""
        with self._lock:
            holding.references -= 1
            if holding.references:
                return
            self._ids[holding.kind].pop(holding.id, None)
            self._gone(holding)
        holding.target.close()
        for held in holding.holds:
            self.drop(held)

    def by_id(self, command: str, kind: Kind, id: int) -> Holding:  # noqa: A002
        """The object with *id*; ENOENT if there is none."""
        with self._lock:
            holding = self._ids[kind].get(id)
            if holding is None:
                raise Refusal(command, reasons.ID_ABSENT, f"no {kind.name.lower()} has id {id}")
            return holding

    def next_id(self, command: str, kind: Kind, start: int) -> int:
        """The least id above *start*; ENOENT after the last."""
        with self._lock:
            ids, above = self._ids[kind], range(start + 1, self._last_id[kind] + 1)
            if len(above) < len(ids):  # then counting on is the shorter way
                after = next((each for each in above if each in ids), None)
            else:
                after = min((each for each in ids if each > start), default=None)
        if after is None:
            name = kind.name.lower()
            raise Refusal(command, reasons.ID_LAST, f"no {name} has an id above {start}")
        return after

    def count(self, kind: Kind) -> int:
        """How many objects of *kind* there are."""
        return len(self._ids[kind])

    @property
    def lock(self) -> "threading.RLock":
        """The lock of all tables."""
        return self._lock
