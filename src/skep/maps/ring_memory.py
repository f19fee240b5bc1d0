"""Memory of rings: a private control page, then a file that the reader shares.

::

    address        control page, private      descriptor of the ring
    + 1 page       head pages of the file     positions, as Linux lays them out
    + …            data of the file
    + …            the same data again        so that a record never wraps (``twice`` only)

Whoever maps the file sees what a client of Linux sees when it maps the map or event.
"""

import os

from skep.base.mapping import (
    FIXED,
    PROT_NONE,
    PROT_READ_WRITE,
    RESERVED,
    SHARED,
    anchored,
    map_memory,
)
from skep.base.memory import PAGE_SIZE
from skep.maps.creation import COMMAND
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal


class RingMemory:
    """Control page, *head* pages and *size* bytes of data, mapped *twice* if asked.

    Raises Refusal (ENOMEM) if there is no memory or address space.
    """

    def __init__(self, head: int, size: int, *, twice: bool, name: str) -> None:
        self.fd = -1
        self.address = 0
        self.file_size = head * PAGE_SIZE + size
        total = PAGE_SIZE + self.file_size + (size if twice else 0)
        try:
            self.fd = os.memfd_create(name, os.MFD_CLOEXEC)
            os.ftruncate(self.fd, self.file_size)
            self._lay_out(head * PAGE_SIZE, size, total, twice=twice)
        except OSError:
            self.close()
            why = f"no memory for a ring of {size} bytes"
            raise Refusal(COMMAND, reasons.CREATE_MEMORY, why) from None

    def _lay_out(self, head: int, size: int, total: int, *, twice: bool) -> None:
        self.address = map_memory(0, total, PROT_NONE, RESERVED)
        self._anchor = anchored(self.address, total)
        self.head = self.address + PAGE_SIZE
        self.data = self.head + head
        map_memory(self.address, PAGE_SIZE, PROT_READ_WRITE, RESERVED | FIXED)
        shared = SHARED | FIXED
        map_memory(self.head, self.file_size, PROT_READ_WRITE, shared, self.fd)
        if twice:
            map_memory(self.data + size, size, PROT_READ_WRITE, shared, self.fd, head)

    def close(self) -> None:
        """Close the file; the memory stays mapped as long as this object lives."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()
