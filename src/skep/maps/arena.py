"""ARENA: memory that programs and user space share, pointers included.

::

    region      64 KiB, 4 GiB, 64 KiB of address space        offsets of instructions reach out
    base        of the 4 GiB: programs add the low 32 bits of a pointer
    file        max_entries pages, at base + (low 32 bits of user_start)

The region lies where *user_start* lies, if nothing else does there: then a pointer of programs is
an address of this process as well. Without map_extra a place is chosen, as the first mmap(2) of a
map does in Linux. Pages that nobody allocated read as zeros; what programs store there stays until
the page is allocated or given back, where Linux drops it. What the host touches counts as
allocated, as in Linux: whether it was touched, the file knows.

Descriptor words: 64 BASE; 72 USER_START; 80 ALLOC, 88 FREE, 96 RESERVE: functions of (pages'
first address, count, node), see ``skep.helpers.kfuncs_arena``.

Source: Linux 6.18 kernel/bpf/arena.c.
"""

import ctypes
import fcntl
import os
import threading
from errno import EBUSY, EINVAL
from typing import Final

from skep.base import mapping
from skep.base.bits import U32, U64
from skep.base.memory import PAGE_SIZE
from skep.maps.creation import COMMAND, MMAPABLE, Creation, check_flags, require
from skep.maps.interface import FAMILY
from skep.maps.page_ranges import PageRanges
from skep.maps.stored import StoredMap
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

BASE: Final = FAMILY
USER_START: Final = FAMILY + 8
ALLOC: Final = FAMILY + 16
FREE: Final = FAMILY + 24
RESERVE: Final = FAMILY + 32

SEGV_ON_FAULT: Final = 1 << 17
NO_USER_CONV: Final = 1 << 18
SPAN: Final = 1 << 32  # what 32 bits of a pointer reach
GUARD: Final = 1 << 16
_CHOSEN: Final = 1 << 20  # offset of the first page in a region of our choice: none is at 0
_ANY_NODE: Final = U32
_PUNCH_HOLE: Final = 3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
# whoever has the file could end this process with it: an access beyond its end is SIGBUS
_SIZE_STAYS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_FUNCTION: Final = ctypes.CFUNCTYPE(
    ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64
)


class ArenaMemory:
    """Address space and file of an arena.

    Args:
        wanted: where user space wants its first page; 0: anywhere.
        size: bytes of its pages.
        name: of the file.

    Attributes:
        base: what programs add the low half of a pointer to.
        start: where user space has the first page.
        fd: the file, for clients to map.
    """

    def __init__(self, wanted: int, size: int, name: str) -> None:
        self.fd = -1
        self.size = size
        try:
            self._lay_out(wanted)
            self.fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self.fd, size)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SIZE_STAYS)
            flags = mapping.SHARED | mapping.FIXED
            mapping.map_memory(self.address, size, mapping.PROT_READ_WRITE, flags, self.fd)
        except OSError as error:
            raise Refusal(COMMAND, reasons.CREATE_MEMORY, f"{error}, for an arena") from None

    def _lay_out(self, wanted: int) -> None:
        whole = SPAN + 2 * GUARD
        region = self._at(wanted, whole) or self._anywhere(whole)
        self._anchor = mapping.anchored(region, whole)
        self.base = region + GUARD
        chosen = _CHOSEN if self.size <= SPAN - _CHOSEN else 0
        self.start = wanted or self.base + chosen

    @property
    def address(self) -> int:
        """Where this process has the first page; *start*, if there was room."""
        return self.base + (self.start & U32)

    @staticmethod
    def _at(wanted: int, whole: int) -> int:
        """The region that makes *wanted* an address of this process, 0 if it is not to be had."""
        place = (wanted & ~U32) - GUARD
        if not 0 < place < 1 << 47:
            return 0
        flags = mapping.RESERVED | mapping.FIXED_NOREPLACE
        try:
            found = mapping.map_memory(place, whole, mapping.PROT_READ_WRITE, flags)
        except OSError:
            return 0
        if found != place:  # kernels before 4.17 take it for a hint
            mapping.unmap(found, whole)
            return 0
        return place

    @staticmethod
    def _anywhere(whole: int) -> int:
        """A region whose 4 GiB begin at a multiple of 4 GiB."""
        room = whole + SPAN
        place = mapping.map_memory(0, room, mapping.PROT_READ_WRITE, mapping.RESERVED)
        region = (place + GUARD + U32 & ~U32) - GUARD
        mapping.unmap(place, region - place)
        mapping.unmap(region + whole, place + room - region - whole)
        return region

    def touched(self, page: int, count: int) -> tuple[int, int] | None:
        """First of *count* pages from *page* on that is in memory, and how many are, in a row."""
        try:
            first = os.lseek(self.fd, page * PAGE_SIZE, os.SEEK_DATA) // PAGE_SIZE
        except OSError:  # none is, from there to the end
            return None
        if first >= page + count:
            return None
        end = os.lseek(self.fd, first * PAGE_SIZE, os.SEEK_HOLE) // PAGE_SIZE
        return first, end - first

    def drop(self, page: int, count: int) -> None:
        """Give *count* pages from *page* on back to the machine: they are zeros again."""
        libc, long = ctypes.CDLL(None), ctypes.c_long
        libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, long, long]
        libc.fallocate(self.fd, _PUNCH_HOLE, page * PAGE_SIZE, count * PAGE_SIZE)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class ArenaPages:
    """Which pages of an arena are allocated; addresses are user space's, as programs have them."""

    def __init__(self, memory: ArenaMemory) -> None:
        self._memory = memory
        self._count = memory.size // PAGE_SIZE
        self._ranges = PageRanges(self._count)
        self._reserved = 0
        self._lock = threading.Lock()

    def _page(self, address: int) -> int:
        return (address - self._memory.start & U32) // PAGE_SIZE

    def _find(self, address: int, count: int) -> int | None:
        """First of *count* free pages, at *address* if it is not 0; None if there are none."""
        if address:
            wanted = self._page(address)
            fits = wanted <= self._count - count and self._ranges.is_free(wanted, count)
            return wanted if fits and self._memory.touched(wanted, count) is None else None
        while (page := self._ranges.find(count)) is not None:
            touched = self._memory.touched(page, count)
            if touched is None:
                return page
            self._ranges.take(*touched)
        return None

    def allocate(self, address: int, count: int, node: int = _ANY_NODE) -> int:
        """Allocate pages, where *address* says if it is not 0; where they are, 0 if nowhere."""
        if address % PAGE_SIZE or count > self._count or node & U32 not in (_ANY_NODE, 0):
            return 0
        with self._lock:
            page = self._find(address, count)
            if page is None:
                return 0
            self._ranges.take(page, count)
        start = self._memory.start
        return start & ~U32 | start + page * PAGE_SIZE & U32

    def free(self, address: int, count: int, _node: int = 0) -> int:
        """Free pages, whether they were allocated or not; those beyond the end are left out."""
        start = self._memory.start
        first = start & ~U32 | address & U32 & -PAGE_SIZE
        last = min(start + self._memory.size, first + count * PAGE_SIZE)
        if start <= first < last:
            page, number = self._page(first), (last - first) // PAGE_SIZE
            with self._lock:
                self._memory.drop(page, number)
                self._ranges.give(page, number)
        return 0

    def reserve(self, address: int, count: int, _node: int = 0) -> int:
        """Keep pages from being allocated: 0, or -errno."""
        if address % PAGE_SIZE or not count:
            return 0
        page = self._page(address)
        if page + count > self._count:
            return -EINVAL & U64
        with self._lock:
            free = self._ranges.is_free(page, count)
            if not free or self._memory.touched(page, count) is not None:
                return -EBUSY & U64
            self._ranges.take(page, count)
        return 0

    @property
    def in_memory(self) -> int:
        """Bytes that the pages take."""
        return os.fstat(self._memory.fd).st_blocks * 512


class Arena(StoredMap):
    """An ARENA."""

    def __init__(self, creation: Creation) -> None:
        require(not creation.key_size, reasons.CREATE_KEY_SIZE, "arenas have no keys")
        require(not creation.value_size, reasons.CREATE_VALUE_SIZE, "arenas have no values")
        require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
        check_flags(creation, SEGV_ON_FAULT | MMAPABLE | NO_USER_CONV)
        require(creation.map_flags & MMAPABLE, reasons.CREATE_FLAGS, "arenas are MMAPABLE")
        start, size = creation.map_extra, creation.max_entries * PAGE_SIZE
        require(not start % PAGE_SIZE, reasons.CREATE_ARENA_PAGE)
        require(size <= SPAN, reasons.CREATE_ENTRIES_MANY, "at most 4 GiB of pages")
        end = start + size - 1 & U64
        require(start >> 32 == end >> 32, reasons.CREATE_ARENA_SPAN)
        self.memory = ArenaMemory(start, size, creation.name or "skep-arena")
        self.pages = ArenaPages(self.memory)
        super().__init__(creation, 0, 0)
        self.most_bytes += size
        self.put_word(BASE, self.memory.base)
        self.put_word(USER_START, self.memory.start)
        self._functions = [
            _FUNCTION(each) for each in (self.pages.allocate, self.pages.free, self.pages.reserve)
        ]
        for word, function in zip((ALLOC, FREE, RESERVE), self._functions, strict=True):
            address = ctypes.cast(function, ctypes.c_void_p).value
            assert address is not None
            self.put_word(word, address)

    @property
    def memory_bytes(self) -> int:
        """What the pages take that were touched."""
        return self.pages.in_memory

    def value_address(self, offset: int) -> int | None:
        """Where user space has byte *offset*."""
        return self.memory.start + offset

    @property
    def view(self) -> memoryview:
        """All pages, where programs have them; what is touched counts as allocated."""
        return mapping.view_of(self.memory.address, self.memory.size, self.memory)

    def offset_of(self, pointer: int) -> int:
        """Where in ``view`` a pointer of programs, or of user space, points."""
        offset = pointer - self.memory.start & U32
        if offset >= self.memory.size:
            raise IndexError(f"{pointer:#x} is not in the arena")
        return offset
