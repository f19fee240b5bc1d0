"""USER_RINGBUF: a ring that user space writes and programs read; layout for mmap as in Linux.

Records are reserved in order and read in that order: one that is neither submitted nor discarded
holds back those behind it.

Source: Linux kernel/bpf/ringbuf.c, tools/lib/bpf/ringbuf.c.
"""

import ctypes
import threading
import time
from errno import E2BIG, ENOSPC
from typing import Final

from skep.errors import CommandError
from skep.maps import ring_code as words
from skep.maps.creation import Creation
from skep.maps.stream import RingMap
from skep.maps.user_ring_code import user_ring_commit, user_ring_reserve

COMMAND: Final = "user_ringbuf reserve"


class UserRecord:
    """A record that is being written: ``data`` is its memory, until it is submitted or discarded.

    As a context manager it is submitted at the end, and discarded if an exception ends it.
    """

    def __init__(self, ring: "UserRingBuffer", address: int, size: int) -> None:
        self._ring, self._address, self._size = ring, address, size
        self.data = memoryview((ctypes.c_char * size).from_address(address)).cast("B")

    def submit(self) -> None:
        """Give the record to programs; ``data`` is theirs from then on."""
        self._finish(self._size)

    def discard(self) -> None:
        """Let programs skip the record."""
        self._finish(self._size | words.DISCARD)

    def _finish(self, header: int) -> None:
        if self._address:
            self.data.release()
            self._ring.commit(self._address, header)
            self._address = 0

    def __enter__(self) -> memoryview:
        return self.data

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.submit() if kind is None else self.discard()


class UserRingBuffer(RingMap):
    """A USER_RINGBUF; several threads may write at once."""

    def __init__(self, creation: Creation) -> None:
        super().__init__(creation)
        self._writing = threading.Lock()
        self._reserve = creation.library.bind(user_ring_reserve)
        self._commit = creation.library.bind(user_ring_commit)

    def reserve(self, size: int, timeout: float | None = 0) -> UserRecord:
        """Room for a record of *size* bytes.

        Args:
            size: bytes.
            timeout: seconds to wait for programs to make room; None: as long as it takes.

        Raises:
            CommandError: ENOSPC, there is no room; E2BIG, there never is.
        """
        total = (size + words.HEADER + 7) & ~7
        if not 0 <= size < words.DISCARD or total > self.max_entries:
            raise CommandError(COMMAND, E2BIG, f"{size} bytes do not fit into the ring")
        deadline = None if timeout is None else time.monotonic() + timeout
        while (record := self._take_room(size)) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise CommandError(COMMAND, ENOSPC, f"no room for {size} bytes")
            self.wakeup.arm()  # from here on programs wake us
            if self.unread + total > self.max_entries:
                self.wakeup.wait(left)
        return record

    def _take_room(self, size: int) -> UserRecord | None:
        with self._writing:
            place = self._reserve(self.address, size)
        return UserRecord(self, place, size) if place else None

    def commit(self, record: int, header: int) -> None:
        """Finish the record at *record* by the first word of its header."""
        self._commit(record, header)

    def write(self, data: bytes, timeout: float | None = 0) -> None:
        """Reserve, fill and submit one record; arguments and errors as of ``reserve``."""
        record = self.reserve(len(data), timeout)
        record.data[:] = data
        record.submit()
