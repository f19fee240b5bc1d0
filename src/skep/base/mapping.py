"""Raw mappings: what mmap(2) can do and Python's mmap cannot, a place of one's own choice.

Nothing unmaps them before the last finalizer that may still use the memory: see ``Anchor``.
"""

import ctypes
import os
from typing import Any, Final

from skep.base.memory import Anchor

PROT_NONE: Final = 0
PROT_READ_WRITE: Final = 3
SHARED: Final = 1
PRIVATE: Final = 2
FIXED: Final = 16
ANONYMOUS: Final = 32
NORESERVE: Final = 0x4000
FIXED_NOREPLACE: Final = 0x10_0000
RESERVED: Final = PRIVATE | ANONYMOUS | NORESERVE  # address space that costs memory once touched
_FAILED: Final = ctypes.c_void_p(-1).value


def map_memory(
    address: int, size: int, protection: int, flags: int, fd: int = -1, offset: int = 0
) -> int:
    """mmap(2): where the memory is.

    Raises:
        OSError: there is no such place.
    """
    libc, word = ctypes.CDLL(None, use_errno=True), ctypes.c_size_t
    libc.mmap.argtypes = [word, word, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.mmap.restype = ctypes.c_void_p
    place = libc.mmap(address, size, protection, flags, fd, offset)
    if place is None or place == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: {size} bytes of address space")
    return int(place)


class _Mapping:
    """Unmaps when it goes."""

    def __init__(self, address: int, size: int) -> None:
        self._munmap = ctypes.CDLL(None).munmap
        self._munmap.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
        self._address, self._size = address, size

    def __del__(self) -> None:
        self._munmap(self._address, self._size)


def unmap(address: int, size: int) -> None:
    """munmap(2)."""
    if size:
        _Mapping(address, size)


def anchored(address: int, size: int) -> Anchor:
    """What keeps *size* bytes at *address* mapped: they go after it, and what can reach it."""
    return Anchor(_Mapping(address, size))


def view_of(address: int, size: int, owner: object) -> memoryview:
    """*size* bytes at *address*, writable; *owner*, which keeps them mapped, lives as long."""
    array: Any = (ctypes.c_char * size).from_address(address)
    array.owner = owner
    return memoryview(array).cast("B")
