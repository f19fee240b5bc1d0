"""The region of kernel objects: memory that typed programs may follow pointers into.

Loads through such pointers are guarded: outside the region they give 0 (``Memory.BTF``), as the
kernel's own do where they would fault. So everything that a world shows as a kernel struct stands
here. Its end is the heap of what programs allocate (``skep.runtime.heap``).
"""

import ctypes
import threading
from typing import Final

from skep.base.memory import Block
from skep.btf import kinds
from skep.btf.graph import Btf
from skep.errors import BtfError
from skep.runtime.heap import Heap

REGION_SIZE: Final = 1 << 24
HEAP_SIZE: Final = 1 << 27
_GRAIN: Final = 64


class KernelObjects:
    """A region of zeroed memory, and the pieces of it that are in use.

    Attributes:
        address, size: where it is, with the heap.
        heap: what programs allocate in it.
    """

    def __init__(self, size: int = REGION_SIZE, cpus: int = 1) -> None:
        self._block = Block(size + HEAP_SIZE, shared=False)
        self.address, self.size, self._limit = self._block.address, size + HEAP_SIZE, size
        self.heap = Heap(self._block, HEAP_SIZE, cpus)
        self._lock = threading.RLock()  # finalizers may come back here
        self._next = _GRAIN
        self._free: dict[int, list[int]] = {}  # by size
        self._sizes: dict[int, int] = {}

    def take(self, size: int) -> int:
        """The address of *size* bytes, all zero; give them back with ``give``.

        Raises:
            MemoryError: the region is full.
        """
        size = -(-max(size, 1) // _GRAIN) * _GRAIN
        with self._lock:
            free = self._free.get(size)
            if free:
                address = free.pop()
                ctypes.memset(address, 0, size)
            else:
                if self._next + size > self._limit:
                    raise MemoryError("the region of kernel objects is full")
                address = self.address + self._next
                self._next += size
            self._sizes[address] = size
        return address

    def give(self, address: int) -> None:
        """Take the bytes at *address* back."""
        with self._lock:
            size = self._sizes.pop(address)
            self._free.setdefault(size, []).append(address)

    def make(self, btf: Btf, name: str, /, **members: int | bytes) -> "KernelStruct":
        """A new struct called *name*, as *btf* lays it out, with *members*; BtfError as ``put``."""
        struct = KernelStruct(self, btf, name)
        for path, value in members.items():
            struct.put(path, value)
        return struct


class KernelStruct:
    """A struct in the region; it goes with its last reference.

    Attributes:
        address: where it stands.
    """

    def __init__(self, objects: KernelObjects, btf: Btf, name: str) -> None:
        """Make it, all zero; BtfError if *btf* has no such struct."""
        self.address = 0
        found = btf.by_name(name, kinds.Kind.STRUCT)
        if not found:
            raise btf.error(0, f"no struct {name}", "the types of a kernel")
        self._objects, self._btf, self._type = objects, btf, found
        self._places: dict[str, tuple[int, int]] = {}
        self.size = btf.size_of(found)
        self.address = objects.take(self.size)

    def put(self, path: str, value: int | bytes) -> None:
        """Store *value* in the member at *path*, as ``refcnt.counter``; BtfError without it."""
        place = self._places.get(path)
        if place is None:
            field = self._btf.member_path(self._type, path)
            place = self._places[path] = field.offset, self._btf.size_of(field.type)
        offset, size = place
        if isinstance(value, int):
            value = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        ctypes.memmove(self.address + offset, value[:size].ljust(size, b"\0"), size)

    def word(self, path: str) -> ctypes.c_uint64:
        """The 64-bit member at *path*, to be read and written often."""
        self.put(path, 0)
        return ctypes.c_uint64.from_address(self.address + self._places[path][0])

    def put_known(self, **members: int | bytes) -> None:
        """Store the members that the struct has in this kernel; ``__`` stands for a dot."""
        for name, value in members.items():
            try:
                self.put(name.replace("__", "."), value)
            except BtfError:
                continue

    def __del__(self) -> None:
        if self.address:
            self._objects.give(self.address)
