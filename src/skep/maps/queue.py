"""QUEUE and STACK: values without keys.

Descriptor words: 64 ELEMENTS, address of the ring; 72 HEAD, place of the next value; 80 TAIL,
place of the oldest; 88 PLACES, ``max_entries + 1``; 96 a spin lock. HEAD = TAIL: empty.

Source: Linux kernel/bpf/queue_stack_maps.c.
"""

import ctypes
from typing import Final

from skep.base.bits import U32
from skep.base.native import copy, fill, load64, native, store64
from skep.maps.answer import MINUS_E2BIG, MINUS_EINVAL, MINUS_ENOENT, expect_success
from skep.maps.creation import (
    ACCESS_FLAGS,
    NUMA_NODE,
    VALUE_LIMIT,
    Creation,
    check_flags,
    check_long,
    check_value,
    require,
)
from skep.maps.interface import FAMILY, TYPE, VALUE_SIZE
from skep.maps.stored import HEAD_SIZE, StoredMap, address_of
from skep.maps.value import EXIST, NOEXIST, lock, unlock
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.reason import Refusal

ELEMENTS: Final = FAMILY
HEAD: Final = FAMILY + 8
TAIL: Final = FAMILY + 16
PLACES: Final = FAMILY + 24
QUEUE_LOCK: Final = FAMILY + 32

QUEUE: Final = 22


@native
def place_after(this: int, place: int) -> int:
    """The place after *place* in the ring."""
    following = place + 1
    return 0 if following >= load64(this + PLACES) else following


@native
def queue_push(this: int, value: int, flags: int) -> int:
    """Add a value; with EXIST the oldest makes room if the map is full."""
    if (flags & NOEXIST) != 0 or flags > EXIST:
        return MINUS_EINVAL
    lock(this + QUEUE_LOCK)
    head = load64(this + HEAD)
    following = place_after(this, head)
    answer = 0
    if following == load64(this + TAIL):
        if (flags & EXIST) != 0:
            store64(this + TAIL, place_after(this, load64(this + TAIL)))
        else:
            answer = MINUS_E2BIG
    if answer == 0:
        size = load64(this + VALUE_SIZE)
        copy(load64(this + ELEMENTS) + head * size, value, size)
        store64(this + HEAD, following)
    unlock(this + QUEUE_LOCK)
    return answer


@native
def queue_take(this: int, value: int, remove: int) -> int:
    """Copy the oldest (queue) or newest (stack) value out, and *remove* it."""
    size = load64(this + VALUE_SIZE)
    lock(this + QUEUE_LOCK)
    head = load64(this + HEAD)
    tail = load64(this + TAIL)
    if head == tail:
        unlock(this + QUEUE_LOCK)
        fill(value, 0, size)
        return MINUS_ENOENT
    if load64(this + TYPE) == QUEUE:
        copy(value, load64(this + ELEMENTS) + tail * size, size)
        if remove != 0:
            store64(this + TAIL, place_after(this, tail))
    else:
        newest = load64(this + PLACES) - 1 if head == 0 else head - 1
        copy(value, load64(this + ELEMENTS) + newest * size, size)
        if remove != 0:
            store64(this + HEAD, newest)
    unlock(this + QUEUE_LOCK)
    return 0


class Queue(StoredMap):
    """A QUEUE or STACK; the host's keys are empty."""

    no_operation = elements.NO_OPERATION_KEYLESS

    def __init__(self, creation: Creation) -> None:
        require(creation.max_entries, reasons.CREATE_ENTRIES_ZERO)
        require(not creation.key_size, reasons.CREATE_KEY_SIZE, "queues and stacks have no keys")
        check_value(creation)
        check_flags(creation, NUMA_NODE | ACCESS_FLAGS)
        check_long(creation, VALUE_LIMIT)
        most = U32 // creation.value_size
        require(creation.max_entries < most, reasons.CREATE_MEMORY, "more than 4 GiB of values")
        size = (creation.max_entries + 1) * creation.value_size
        super().__init__(creation, creation.value_size, size)
        self.put_word(ELEMENTS, self.address + HEAD_SIZE)
        self.put_word(PLACES, self.max_entries + 1)
        self._push = creation.library.bind(queue_push)
        self._take_value = creation.library.bind(queue_take)

    def __len__(self) -> int:
        return (self.word(HEAD) - self.word(TAIL)) % (self.max_entries + 1)

    def _take(self, command: str, key: bytes, remove: int) -> bytes:
        self.check_key(command, key)
        target = self._buffers.reserve(self.value_size)
        answer = self._take_value(self.address, target, remove)
        if answer:
            raise Refusal(command, elements.ABSENT, "the map is empty")
        return ctypes.string_at(target, self.value_size)

    def lookup(self, key: bytes = b"", flags: int = 0) -> bytes:
        """Peek."""
        self.check_read_flags("MAP_LOOKUP_ELEM", flags)
        return self._take("MAP_LOOKUP_ELEM", key, 0)

    def lookup_and_delete(self, key: bytes = b"", flags: int = 0) -> bytes:
        """Pop."""
        if flags:
            raise Refusal("MAP_LOOKUP_AND_DELETE_ELEM", elements.POP_FLAGS)
        return self._take("MAP_LOOKUP_AND_DELETE_ELEM", key, 1)

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Push."""
        self.check_key("MAP_UPDATE_ELEM", key)
        self.check_value("MAP_UPDATE_ELEM", value)
        self.check_lock_flag("MAP_UPDATE_ELEM", flags)
        answer = self._push(self.address, address_of(value), flags)
        expect_success("MAP_UPDATE_ELEM", answer)
