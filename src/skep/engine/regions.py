"""The memory that one interpreted run may touch, and every access to it.

A region is granted when the run comes to know it: a stack frame when a function begins, a map value
when a look-up returns it. Whatever lies in no region is refused with the address, before it is
touched; so a program that was proved wrongly stops with a report instead of a crash.
"""

import ctypes
from bisect import bisect_right, insort
from typing import Final

from skep.base.memory import Fault, OwnMemory
from skep.base.native import load64
from skep.runtime.invocation import DATA, DATA_END, DATA_META
from skep.verifier.interface import Memory

NO_OBJECTS: Final = (0, 0)


class Outside(Exception):  # noqa: N818 - what happened
    """An access that lies in no region."""

    def __init__(self, address: int, size: int, write: bool) -> None:
        super().__init__(f"{'writes' if write else 'reads'} {size} bytes at {address:#x}")
        self.address = address


class Regions:
    """The regions of one run.

    Args:
        run: address of the run block, which holds the packet's bounds.
        objects: address and end of the region of kernel objects; loads elsewhere give 0.
    """

    def __init__(self, run: int, objects: tuple[int, int] = NO_OBJECTS) -> None:
        self._run, self._objects = run, objects
        self._ends: dict[int, int] = {}
        self._starts: list[int] = []
        self._any = OwnMemory()

    def grant(self, start: int, size: int) -> None:
        """Allow access to *size* bytes at *start*."""
        if start not in self._ends:
            insort(self._starts, start)
        self._ends[start] = max(start + size, self._ends.get(start, 0))

    def revoke(self, start: int) -> None:
        """Take back the region that was granted at *start*."""
        del self._ends[start]
        self._starts.remove(start)

    def holds(self, address: int, size: int) -> bool:
        """Tell whether *size* bytes at *address* lie in one region."""
        position = bisect_right(self._starts, address)
        if position and address + size <= self._ends[self._starts[position - 1]]:
            return True
        if self._in_packet(address, size):
            return True
        return any(start <= address and address + size <= end for start, end in self._ends.items())

    def load(self, address: int, size: int, kind: int) -> int:
        """Read an unsigned number; *kind* is what the verifier says the access touches."""
        if kind == Memory.BTF:
            if not self._is_object(address, size):
                return 0
        elif not self.holds(address, size):
            return int.from_bytes(self._elsewhere(address, size, kind, write=False), "little")
        return int.from_bytes(ctypes.string_at(address, size), "little")

    def store(self, address: int, size: int, value: int, kind: int) -> None:
        """Write the low bytes of *value*."""
        data = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        if self.holds(address, size) or (kind == Memory.BTF and self._is_object(address, size)):
            ctypes.memmove(address, data, size)
        else:
            self._elsewhere(address, size, kind, write=True)
            self._any.write(address, data)

    def _is_object(self, address: int, size: int) -> bool:
        start, end = self._objects
        return start <= address and address + size <= end

    def _in_packet(self, address: int, size: int) -> bool:
        meta, data = load64(self._run + DATA_META), load64(self._run + DATA)
        start = min(meta, data) if meta else data
        return start <= address and address + size <= load64(self._run + DATA_END)

    def _elsewhere(self, address: int, size: int, kind: int, *, write: bool) -> bytes:
        """Buffers and sockets that helpers own have no region; they must at least be there."""
        if kind != Memory.MEMORY:
            raise Outside(address, size, write)
        try:
            return self._any.read(address, size)
        except Fault:
            raise Outside(address, size, write) from None
