"""Real, addressable bytes: blocks that skep owns, and safe access to a caller's memory."""

import ctypes
import mmap
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, Self

PAGE_SIZE: Final = mmap.PAGESIZE
_MAP_NORESERVE: Final = 0x4000  # the mmap module has the name from 3.13 on
_LARGE: Final = 16 << 20  # bytes from which on large pages spare more than they waste
_PRIVATE: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE


class Fault(Exception):  # noqa: N818 - the kernel's word
    """An address of the caller cannot be read or written; the command answers EFAULT."""

    def __init__(self, address: int, size: int) -> None:
        super().__init__(f"{size} bytes at {address:#x} are not accessible")
        self.address, self.size = address, size


class UserMemory(Protocol):
    """The caller's memory: in this process, or of a client process."""

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes at *address*; raises Fault."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Store *data* at *address*; raises Fault with nothing said of a partial store."""
        ...


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class OwnMemory:
    """This process's memory; a bad address is a Fault, never a crash.

    Uses process_vm_readv(2) and process_vm_writev(2) on the own process, which needs no privilege.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        vectors: list[Any] = [ctypes.POINTER(_Vector), ctypes.c_ulong]
        signature: list[Any] = [ctypes.c_int, *vectors, *vectors, ctypes.c_ulong]
        self._readv = libc.process_vm_readv
        self._readv.argtypes, self._readv.restype = signature, ctypes.c_ssize_t
        self._writev = libc.process_vm_writev
        self._writev.argtypes, self._writev.restype = signature, ctypes.c_ssize_t

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes at *address*; raises Fault."""
        if size == 0:
            return b""
        try:
            buffer = ctypes.create_string_buffer(size)
        except (MemoryError, OverflowError, ValueError):
            raise Fault(address, size) from None
        here, there = _Vector(ctypes.addressof(buffer), size), _Vector(address, size)
        if self._readv(os.getpid(), here, 1, there, 1, 0) != size:
            raise Fault(address, size)
        return buffer.raw

    def write(self, address: int, data: bytes) -> None:
        """Store *data* at *address*; raises Fault."""
        size = len(data)
        if size == 0:
            return
        buffer = ctypes.create_string_buffer(data, size)
        here, there = _Vector(ctypes.addressof(buffer), size), _Vector(address, size)
        if self._writev(os.getpid(), here, 1, there, 1, 0) != size:
            raise Fault(address, size)


class Block:
    """Zeroed memory at a fixed address, page-aligned, freed when the last reference goes.

    Nothing unmaps it earlier, not even its finalizer: in a cycle of garbage, other finalizers run
    after it and may still use the memory.

    Backed by an anonymous memfd, so that it can be mapped a second time or handed to a client;
    with *shared* false it has no file (*fd* is -1) and is private to the process, and if it is
    large, it has large pages: what is looked up at random costs fewer walks of page tables.

    Args:
        size: bytes; rounded up to whole pages. Pages cost memory only once touched.
        name: what ``/proc/PID/maps`` shows.
    """

    fd: int = -1  # __del__ may come before __init__ is done

    def __init__(self, size: int, name: str = "skep", *, shared: bool = True) -> None:
        self.size = size
        rounded = max(-(-size // PAGE_SIZE), 1) * PAGE_SIZE
        if not shared:
            self._map = mmap.mmap(-1, rounded, flags=_PRIVATE)
            if rounded >= _LARGE:
                with suppress(OSError):  # a kernel without them
                    self._map.madvise(mmap.MADV_HUGEPAGE)
            self._anchor = ctypes.c_char.from_buffer(self._map)
            self.address = ctypes.addressof(self._anchor)
            return
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC)
        os.ftruncate(self.fd, rounded)
        self._map = mmap.mmap(self.fd, rounded, mmap.MAP_SHARED)
        self._anchor = ctypes.c_char.from_buffer(self._map)
        self.address = ctypes.addressof(self._anchor)

    @property
    def view(self) -> memoryview:
        """The bytes, writable, without copying."""
        return memoryview(self._map)[: self.size]

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)  # the mapping stays: other finalizers may still use the memory


class Anchor(int):
    """Keeps *held* alive, and what its finalizer frees in use, until the anchor itself is freed.

    The garbage collector finalizes a cycle's objects in any order. It does not see through an
    anchor, which counts its reference in secret: the finalizers of all that can reach the anchor
    run before *held* is freed. What is held must not lead back to the anchor.
    """

    __slots__ = ()

    def __new__(cls, held: object) -> Self:
        """Take one reference to *held*."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
        anchor = super().__new__(cls, id(held))
        # else the collector would finalize it as any object of a class made in Python
        ctypes.pythonapi.PyObject_GC_UnTrack(ctypes.py_object(anchor))
        return anchor

    def __del__(
        self,
        ending: Callable[[], bool] = sys.is_finalizing,
        release: Callable[[Any], None] = ctypes.pythonapi.Py_DecRef,
        place: Any = ctypes.c_void_p,
    ) -> None:
        if not ending():  # all bound early: at the very end modules are gone
            release(place(self))
