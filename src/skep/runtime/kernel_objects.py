"""The region of kernel objects: memory that typed programs may follow pointers into.

Loads through such pointers are guarded: outside the region they give 0 (``Memory.BTF``), as the
kernel's own do where they would fault. So everything that a world shows as a kernel struct stands
here.
"""

import ctypes
import threading
from typing import Final

from skep.base.memory import Block
from skep.btf import kinds
from skep.btf.graph import Btf

REGION_SIZE: Final = 1 << 24
_GRAIN: Final = 64


class KernelObjects:
    """A region of zeroed memory, and the pieces of it that are in use."""

    def __init__(self, size: int = REGION_SIZE) -> None:
        self._block = Block(size, shared=False)
        self.address, self.size = self._block.address, size
        self._lock = threading.Lock()
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
                if self._next + size > self.size:
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

    def make(self, btf: Btf, struct: str, **members: int | bytes) -> int:
        """The address of a new struct with *members*.

        Raises:
            BtfError: *btf* has no such struct, or the struct no such member.
        """
        address = self.take(btf.size_of(struct_id(btf, struct)))
        for name, value in members.items():
            self.put(btf, struct, address, name, value)
        return address

    def put(self, btf: Btf, struct: str, address: int, path: str, value: int | bytes) -> None:
        """Store *value* in the member at *path* (as ``map.id``) of the struct at *address*."""
        field = btf.member_path(struct_id(btf, struct), path)
        size = btf.size_of(field.type)
        if isinstance(value, int):
            value = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        ctypes.memmove(address + field.offset, value[:size].ljust(size, b"\0"), size)


def struct_id(btf: Btf, name: str) -> int:
    """The id of struct *name*; raises BtfError."""
    found = btf.by_name(name, kinds.Kind.STRUCT)
    if not found:
        raise btf.error(0, f"no struct {name}", "the types of a kernel")
    return found
