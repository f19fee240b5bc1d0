"""Kernel functions on strings. The strings may be anywhere: reading them may fail.

What has no zero in its first ``LONGEST`` bytes is too long. Characters are unsigned.

Source: Linux 6.18 kernel/bpf/helpers.c.
"""

import errno
from collections.abc import Callable
from typing import Final

from skep.base.bits import U32, U64, signed
from skep.base.memory import PAGE_SIZE, Fault
from skep.helpers.binding import Upcall
from skep.helpers.kfunc_binding import KfuncBinding
from skep.helpers.memory import kernel_fault
from skep.runtime.world import World

LONGEST: Final = 65536
_CASE: Final = 0x20


class _Text:
    """A string in memory, read page by page, as far as it is looked at."""

    def __init__(self, world: World, address: int) -> None:
        self._world, self._address = world, address
        self._known = bytearray()
        try:
            self[0]
        except Fault:
            raise _Refused(-kernel_fault(address)) from None

    def __getitem__(self, place: int) -> int:
        """The byte at *place*; raises Fault."""
        while place >= len(self._known):
            start = self._address + len(self._known) & U64
            self._known += self._world.memory.read(start, PAGE_SIZE - start % PAGE_SIZE)
        return self._known[place]


class _Refused(Exception):  # noqa: N818 - what happened
    """The function answers *errno*, which is negative."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


def _answering(function: Callable[..., int], strings: int) -> Upcall:
    """*function* of that many strings and of numbers, as an upcall."""

    def upcall(world: World, _run: int, *registers: int) -> int:
        try:
            texts = [_Text(world, address) for address in registers[:strings]]
            return function(*texts, *registers[strings:])
        except _Refused as refused:
            return refused.errno
        except Fault:
            return -errno.EFAULT

    return upcall


def _lower(byte: int) -> int:
    upper = 0x41 <= byte <= 0x5A or (0xC0 <= byte <= 0xDE and byte != 0xD7)
    return byte + _CASE if upper else byte


def _same(byte: int) -> int:
    return byte


def _compare(fold: Callable[[int], int]) -> Callable[..., int]:
    def compare(x: _Text, y: _Text, *_: int) -> int:
        for place in range(LONGEST):
            here, there = fold(x[place]), fold(y[place])
            if here != there:
                return -1 if here < there else 1
            if here == 0:
                return 0
        return -errno.E2BIG

    return compare


# --- one character ------------------------------------------------------------------------------


def _find(text: _Text, count: int, wanted: int) -> int:
    for place in range(min(count, LONGEST)):
        byte = text[place]
        if byte == wanted:
            return place
        if byte == 0:
            return -errno.ENOENT
    return -errno.E2BIG if count >= LONGEST else -errno.ENOENT


def strnchr(text: _Text, count: int, wanted: int, *_: int) -> int:
    """Place of the first *wanted* among *count* characters; of the final zero too."""
    return _find(text, count, wanted & 0xFF)


def strchr(text: _Text, wanted: int, *_: int) -> int:
    """Place of the first *wanted*; of the final zero too."""
    return _find(text, LONGEST, wanted & 0xFF)


def strchrnul(text: _Text, wanted: int, *_: int) -> int:
    """Place of the first *wanted*, or of the final zero."""
    for place in range(LONGEST):
        if text[place] in (0, wanted & 0xFF):
            return place
    return -errno.E2BIG


def strrchr(text: _Text, wanted: int, *_: int) -> int:
    """Place of the last *wanted*; of the final zero too."""
    last = -errno.ENOENT
    for place in range(LONGEST):
        byte = text[place]
        if byte == signed(wanted & U32, 32):
            last = place
        if byte == 0:
            return last
    return -errno.E2BIG


# --- lengths ------------------------------------------------------------------------------------


def strnlen(text: _Text, count: int, *_: int) -> int:
    """How many characters stand before the final zero, at most *count*."""
    for place in range(min(count, LONGEST)):
        if text[place] == 0:
            return place
    return -errno.E2BIG if count >= LONGEST else count


def strlen(text: _Text, *_: int) -> int:
    """How many characters stand before the final zero."""
    return strnlen(text, LONGEST)


def _is_among(byte: int, characters: _Text) -> bool:
    for place in range(LONGEST):
        other = characters[place]
        if other == 0:
            return False
        if other == byte:
            return True
    raise _Refused(-errno.E2BIG)


def _span(within: bool) -> Callable[..., int]:
    def span(text: _Text, characters: _Text, *_: int) -> int:
        for place in range(LONGEST):
            byte = text[place]
            if byte == 0 or _is_among(byte, characters) != within:
                return place
        return -errno.E2BIG

    return span


# --- strings in strings -------------------------------------------------------------------------


def strnstr(text: _Text, wanted: _Text, size: int, *_: int) -> int:
    """Place of *wanted* within the first *size* characters."""
    for start in range(LONGEST):
        found = _stands_at(text, start, wanted, size)
        if found:
            return start
    return -errno.E2BIG


def _stands_at(text: _Text, start: int, wanted: _Text, size: int) -> bool:
    """Whether *wanted* begins at *start*; ends the search behind the text."""
    for place in range(LONGEST):
        if start + place > size:
            return False
        other = wanted[place]
        if other == 0:
            return True
        if start + place == size:
            raise _Refused(-errno.ENOENT)
        byte = text[start + place]
        if byte == 0:
            raise _Refused(-errno.ENOENT)
        if byte != other:
            return False
    raise _Refused(-errno.E2BIG)


def strstr(text: _Text, wanted: _Text, *_: int) -> int:
    """Place of *wanted*."""
    return strnstr(text, wanted, LONGEST)


BINDINGS: Final = (
    KfuncBinding("bpf_strcmp", upcall=_answering(_compare(_same), 2)),
    KfuncBinding("bpf_strcasecmp", upcall=_answering(_compare(_lower), 2)),
    KfuncBinding("bpf_strchr", upcall=_answering(strchr, 1)),
    KfuncBinding("bpf_strchrnul", upcall=_answering(strchrnul, 1)),
    KfuncBinding("bpf_strnchr", upcall=_answering(strnchr, 1)),
    KfuncBinding("bpf_strrchr", upcall=_answering(strrchr, 1)),
    KfuncBinding("bpf_strlen", upcall=_answering(strlen, 1)),
    KfuncBinding("bpf_strnlen", upcall=_answering(strnlen, 1)),
    KfuncBinding("bpf_strspn", upcall=_answering(_span(within=True), 2)),
    KfuncBinding("bpf_strcspn", upcall=_answering(_span(within=False), 2)),
    KfuncBinding("bpf_strstr", upcall=_answering(strstr, 2)),
    KfuncBinding("bpf_strnstr", upcall=_answering(strnstr, 2)),
)
