"""Memory of rings: a private control page, then a file that the reader shares.

::

    address        control page, private      descriptor of the ring
    + 1 page       head pages of the file     positions, as Linux lays them out
    + …            data of the file
    + …            the same data again        so that a record never wraps (``twice`` only)

Whoever maps the file sees what a client of Linux sees when it maps the map or event.
"""

import ctypes
import os
from typing import Final

from skep.base.memory import PAGE_SIZE, Anchor
from skep.maps.creation import COMMAND
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

_PROT_NONE: Final = 0
_PROT_READ_WRITE: Final = 3
_MAP_SHARED: Final = 1
_MAP_PRIVATE: Final = 2
_MAP_FIXED: Final = 16
_MAP_ANONYMOUS: Final = 32
_MAP_NORESERVE: Final = 0x4000
_FAILED: Final = ctypes.c_void_p(-1).value


class RingMemory:
    """Control page, *head* pages and *size* bytes of data, mapped *twice* if asked.

    Raises Refusal (ENOMEM) if there is no memory or address space.
    """

    def __init__(self, head: int, size: int, *, twice: bool, name: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._mmap = libc.mmap
        word = ctypes.c_size_t
        self._mmap.argtypes = [word, word, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        self._mmap.restype = ctypes.c_void_p
        self.fd = -1
        self.address = 0
        self.file_size = head * PAGE_SIZE + size
        total = PAGE_SIZE + self.file_size + (size if twice else 0)
        try:
            self.fd = os.memfd_create(name, os.MFD_CLOEXEC)
            os.ftruncate(self.fd, self.file_size)
        except OSError:
            self.close()
            why = f"no memory for a ring of {size} bytes"
            raise Refusal(COMMAND, reasons.CREATE_MEMORY, why) from None
        anonymous = _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_NORESERVE
        self.address = self._map(0, total, _PROT_NONE, anonymous, -1, 0)
        self._anchor = Anchor(_Mapping(self.address, total))
        self.head = self.address + PAGE_SIZE
        self.data = self.head + head * PAGE_SIZE
        self._map(self.address, PAGE_SIZE, _PROT_READ_WRITE, anonymous | _MAP_FIXED, -1, 0)
        shared = _MAP_SHARED | _MAP_FIXED
        self._map(self.head, self.file_size, _PROT_READ_WRITE, shared, self.fd, 0)
        if twice:
            again = self.data + size
            self._map(again, size, _PROT_READ_WRITE, shared, self.fd, head * PAGE_SIZE)

    def _map(
        self, address: int, size: int, protection: int, flags: int, fd: int, offset: int
    ) -> int:
        place = self._mmap(address, size, protection, flags, fd, offset)
        if place is None or place == _FAILED:
            self.close()
            raise Refusal(COMMAND, reasons.CREATE_MEMORY, f"no address space for {size} bytes")
        return int(place)

    def close(self) -> None:
        """Close the file; the memory stays mapped as long as this object lives."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()


class _Mapping:
    """Unmaps when it goes: after every finalizer that may still use the ring."""

    def __init__(self, address: int, size: int) -> None:
        self._munmap = ctypes.CDLL(None).munmap
        self._munmap.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
        self._address, self._size = address, size

    def __del__(self) -> None:
        self._munmap(self._address, self._size)
