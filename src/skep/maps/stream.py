"""RINGBUF: a ring that all CPUs write and one reader reads; layout for mmap as in Linux.

Source: Linux kernel/bpf/ringbuf.c.
"""

import ctypes
import threading
import time
from collections.abc import Iterator
from typing import Final

from skep.base.memory import PAGE_SIZE, Block
from skep.maps import ring_code as words
from skep.maps.creation import NUMA_NODE, Creation, check_flags, check_memory, require
from skep.maps.ring_memory import RingMemory
from skep.maps.stored import StoredMap
from skep.maps.wake import Wakeup
from skep.uapi import reasons_maps as reasons

_HEAD_PAGES: Final = 2


class RingMap(StoredMap):
    """What both kinds of ring buffer share: their memory, positions and wake-ups.

    ``memory.fd`` is the file to map: consumer page, producer page, ``max_entries`` bytes of data.
    """

    def __init__(self, creation: Creation) -> None:
        check_flags(creation, NUMA_NODE)
        size = creation.max_entries
        require(not creation.key_size, reasons.CREATE_KEY_SIZE, "ring buffers have no keys")
        require(not creation.value_size, reasons.CREATE_VALUE_SIZE, "ring buffers have no values")
        power = size > 0 and size & (size - 1) == 0 and size % PAGE_SIZE == 0
        require(power, reasons.CREATE_ENTRIES_RING)
        check_memory(size)
        self.memory = RingMemory(_HEAD_PAGES, size, twice=True, name=creation.name or "skep-ring")
        super().__init__(creation, 0, 0)
        self.most_bytes = self.memory_bytes
        self.put_word(words.RING_MASK, size - 1)
        self.put_word(words.RING_DATA, self.memory.data)
        self.wakeup = Wakeup(self.address)

    def _allocate(self, size: int) -> tuple[Block, int]:
        block, _ = super()._allocate(size)
        return block, self.memory.address

    @property
    def memory_bytes(self) -> int:
        """Control, positions and data."""
        return PAGE_SIZE + self.memory.file_size

    @property
    def unread(self) -> int:
        """Bytes between reader and writer, headers included."""
        return self.word(words.PRODUCER) - self.word(words.CONSUMER)


class RingBuffer(RingMap):
    """A RINGBUF."""

    def __init__(self, creation: Creation) -> None:
        super().__init__(creation)
        self._reading = threading.Lock()
        self._take_record = creation.library.bind(words.ring_take)
        self._room = PAGE_SIZE  # bytes that the longest record so far needs

    @property
    def dropped(self) -> int:
        """Records that found no room."""
        return self.word(words.DROPPED)

    def records(self) -> Iterator[bytes]:
        """Take the records that are there now, oldest first, up to the first unfinished one.

        Several may read at once: each record goes to one of them, and counts as read from then on.
        """
        while (record := self._take()) is not None:
            yield record

    def _take(self) -> bytes | None:
        """The oldest record, None if there is none that is finished."""
        room = self._room
        with self._reading:
            target = self._buffers.reserve(room)
            size = self._take_record(self.address, target, room) - 1
            while size > room:
                room = self._room = size
                target = self._buffers.reserve(room)
                size = self._take_record(self.address, target, room) - 1
        return ctypes.string_at(target, size) if size >= 0 else None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is something to read, *timeout* seconds at most; False if not."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self.wakeup.arm()  # from here on writers wake us
        while not self.unread:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left < 0:
                return False
            self.wakeup.wait(left)  # in vain if what woke us was read meanwhile
        return True
