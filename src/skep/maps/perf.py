"""PERF_EVENT_ARRAY and the rings that stand in it.

In Linux the elements are perf events of kind BPF_OUTPUT that user space opened; here a PerfRing
takes their place, with the same memory for mmap and the same records.
"""

import ctypes
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EINVAL
from typing import Final

from skep.base.memory import PAGE_SIZE
from skep.errors import CommandError
from skep.maps import perf_code as words
from skep.maps.array import check_array
from skep.maps.creation import (
    NUMA_NODE,
    PRESERVE_ELEMS,
    RDONLY,
    WRONLY,
    Creation,
)
from skep.maps.nested import FdArray
from skep.maps.ring_memory import RingMemory
from skep.maps.wake import Wakeup
from skep.uapi import reasons_elements as elements
from skep.uapi.reason import Refusal

_HEADER: Final = struct.Struct("=IHH")
_DATA_OFFSET: Final = 1040
_DATA_SIZE: Final = 1048


@dataclass(frozen=True, slots=True)
class PerfRecord:
    """What a ring gave: a sample's bytes, or how many records were lost before the next one.

    A sample's bytes may end in padding to (a multiple of 8) - 4, as in Linux.
    """

    data: bytes = b""
    lost: int = 0


class PerfRing:
    """The ring of one CPU: *pages* of data, a power of two.

    ``memory.fd`` is the file to map: the page of struct perf_event_mmap_page, then the data.
    """

    def __init__(self, cpu: int, pages: int = 8, number: int = 0) -> None:
        if pages <= 0 or pages & (pages - 1):
            raise CommandError("PERF_EVENT_OPEN", EINVAL, f"{pages} pages are no power of two")
        self.id = number
        self.cpu = cpu
        self.size = pages * PAGE_SIZE
        self.memory = RingMemory(1, self.size, twice=False, name="skep-perf")
        self.address = self.memory.address
        self.wakeup = Wakeup(self.address)
        self._reading = threading.Lock()
        self._put(self.address + words.PERF_HEAD, self.memory.head)
        self._put(self.address + words.PERF_DATA, self.memory.data)
        self._put(self.address + words.PERF_MASK, self.size - 1)
        self._put(self.address + words.PERF_CPU, cpu)
        self._put(self.memory.head + _DATA_OFFSET, PAGE_SIZE)
        self._put(self.memory.head + _DATA_SIZE, self.size)

    @staticmethod
    def _put(address: int, value: int) -> None:
        ctypes.c_uint64.from_address(address).value = value

    @staticmethod
    def _get(address: int) -> int:
        return ctypes.c_uint64.from_address(address).value

    @property
    def lost(self) -> int:
        """Records that ever found no room."""
        return self._get(self.address + words.PERF_LOST_EVER)

    def _bytes(self, place: int, size: int) -> bytes:
        start = place & (self.size - 1)
        first = min(size, self.size - start)
        rest = ctypes.string_at(self.memory.data, size - first)
        return ctypes.string_at(self.memory.data + start, first) + rest

    def records(self) -> Iterator[PerfRecord]:
        """Take the records that are there now, oldest first.

        Several may read at once: each record goes to one of them.
        """
        while (record := self._take()) is not None:
            yield record

    def _take(self) -> PerfRecord | None:
        """The oldest record of a kind that is known, None if there is none."""
        with self._reading:
            tail = self._get(self.memory.head + words.DATA_TAIL)
            while tail != self._get(self.memory.head + words.DATA_HEAD):
                kind, _, size = _HEADER.unpack(self._bytes(tail, _HEADER.size))
                body = self._bytes(tail + _HEADER.size, size - _HEADER.size)
                tail += size
                self._put(self.memory.head + words.DATA_TAIL, tail)
                if kind == words.RECORD_SAMPLE:
                    length = int.from_bytes(body[:4], "little")
                    return PerfRecord(data=body[4 : 4 + length])
                if kind == words.RECORD_LOST:
                    return PerfRecord(lost=int.from_bytes(body[8:16], "little"))
        return None


class PerfEventArray(FdArray):
    """PERF_EVENT_ARRAY: rings by CPU."""

    def check(self, creation: Creation) -> None:
        """Refuse flags that the type has not."""
        check_array(creation, NUMA_NODE | RDONLY | WRONLY | PRESERVE_ELEMS)

    def check_target(self, held: object) -> None:
        """Refuse anything but a ring."""
        if not isinstance(held, PerfRing):
            raise Refusal("MAP_UPDATE_ELEM", elements.SLOT_FD)

    def lookup(self, key: bytes, flags: int = 0) -> bytes:  # noqa: ARG002
        """Refuse: perf events have no ids to show."""
        raise Refusal("MAP_LOOKUP_ELEM", elements.NO_OPERATION)

    def open_rings(self, pages: int = 8) -> list[PerfRing]:
        """Make one ring for each CPU that has a place, and put them in."""
        rings = [PerfRing(cpu, pages) for cpu in range(min(self.cpus, self.max_entries))]
        for ring in rings:
            self._kept.release(self._place(ring.cpu, ring))
        return rings
