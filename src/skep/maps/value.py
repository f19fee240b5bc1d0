"""Native code to copy values and to lock them; special fields of a value are left alone.

A value may embed kernel objects (a lock, a timer, …): copies between a program's or the host's
bytes and the map skip those, and the host reads zeros there.
"""

from typing import Final

from skep.base.native import (
    call,
    cmpxchg32,
    copy,
    fill,
    load32,
    load64,
    native,
    relax,
    store_release32,
)
from skep.maps.interface import DISOWN, LOCK, SPECIAL, VALUE_SIZE, VALUE_TYPE

ANY: Final = 0
NOEXIST: Final = 1
EXIST: Final = 2
F_LOCK: Final = 4


@native
def lesser(x: int, y: int) -> int:
    """The smaller of two unsigned numbers."""
    if x < y:
        return x
    return y


@native
def lock(word: int) -> int:
    """Take the spin lock in the four bytes at *word*."""
    while cmpxchg32(word, 0, 1) != 0:
        relax()
    return 0


@native
def unlock(word: int) -> int:
    """Give the spin lock at *word* back."""
    store_release32(word, 0)
    return 0


@native
def copy_value(this: int, target: int, source: int) -> int:
    """Copy one value, all but its special fields."""
    size = load64(this + VALUE_SIZE)
    table = load64(this + SPECIAL)
    if table == 0:
        copy(target, source, size)
        return 0
    position = 0
    length = load32(table + 4)
    while length != 0:
        offset = load32(table)
        copy(target + position, source + position, offset - position)
        position = offset + length
        table += 8
        length = load32(table + 4)
    copy(target + position, source + position, size - position)
    return 0


@native
def clear_value(this: int, target: int) -> int:
    """Zero a new value, special fields too."""
    fill(target, 0, load64(this + VALUE_SIZE))
    return 0


@native
def disown(this: int, value: int) -> int:
    """Let all go that the special fields of a value own; they are empty then."""
    function = load64(this + DISOWN)
    if function != 0:
        call(function, value, load64(this + VALUE_TYPE))
    return 0


@native
def write_value(this: int, target: int, source: int, flags: int) -> int:
    """Copy into the map, under the value's own lock if *flags* has F_LOCK."""
    if flags & F_LOCK:
        word = target + load64(this + LOCK) - 1
        lock(word)
        copy_value(this, target, source)
        unlock(word)
    else:
        copy_value(this, target, source)
    return 0


@native
def read_value(this: int, target: int, source: int, flags: int) -> int:
    """Copy out of the map for the host; special fields read as zero."""
    if load64(this + SPECIAL) != 0:
        clear_value(this, target)
    if flags & F_LOCK:
        word = source + load64(this + LOCK) - 1
        lock(word)
        copy_value(this, target, source)
        unlock(word)
    else:
        copy_value(this, target, source)
    return 0
