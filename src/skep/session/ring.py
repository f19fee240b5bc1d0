"""RingReader: the records of a ring buffer or of perf rings, for loops sync and async.

RingWriter: records for programs, through a user ring buffer.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from threading import Event
from typing import Any, Final

from skep.errors import LoadError
from skep.maps.perf import PerfEventArray
from skep.maps.stream import RingBuffer
from skep.maps.user_ring import UserRecord, UserRingBuffer
from skep.session.maps import Map

POLL: Final = 0.002  # seconds between looks of an async reader


class RingReader:
    """Reads what programs put out.

    ``for record in reader`` takes what is there now and ends; ``reader.wait(seconds)`` waits for
    more; ``async for record in reader`` goes on until ``close``. Records are bytes, or what
    *decode* makes of them. ``lost`` counts records that found no room.

    Args:
        map_: a map of type ringbuf or perf_event_array.
        decode: makes a Python value of a record.
    """

    def __init__(self, map_: Map, decode: Callable[[bytes], Any] = bytes) -> None:
        target = map_.target
        self._decode, self._closed = decode, Event()
        self._ring = target if isinstance(target, RingBuffer) else None
        self._rings = target.open_rings() if isinstance(target, PerfEventArray) else []
        if self._ring is None and not self._rings:
            raise LoadError(f"a {map_.type_name} map has no records to read", name=map_.name)

    def __iter__(self) -> Iterator[Any]:
        if self._ring is not None:
            yield from map(self._decode, self._ring.records())
        for ring in self._rings:
            yield from (self._decode(each.data) for each in ring.records() if not each.lost)

    @property
    def lost(self) -> int:
        """Records that found no room so far."""
        if self._ring is not None:
            return self._ring.dropped
        return sum(ring.lost for ring in self._rings)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a record, *timeout* seconds at most; False if none came (ring buffers only)."""
        if self._ring is None:
            raise LoadError("only ring buffers can be waited for; read perf rings when it suits")
        return self._ring.wait(timeout)

    async def __aiter__(self) -> AsyncIterator[Any]:
        from asyncio import sleep  # a seventh of the start-up of all who need none

        while not self._closed.is_set():
            for record in self:
                yield record
                if self._closed.is_set():
                    return
            await sleep(POLL)

    def close(self) -> None:
        """End asynchronous iteration."""
        self._closed.set()


class RingWriter:
    """Writes records that programs take out with bpf_user_ringbuf_drain().

    Args:
        map_: a map of type user_ringbuf.
        encode: makes bytes of a Python value.
    """

    def __init__(self, map_: Map, encode: Callable[[Any], bytes] = bytes) -> None:
        if not isinstance(map_.target, UserRingBuffer):
            raise LoadError(f"a {map_.type_name} map takes no records", name=map_.name)
        self._ring, self._encode = map_.target, encode

    def write(self, record: Any, timeout: float | None = 0) -> None:
        """Give programs one record; *timeout* and errors as of ``reserve``."""
        self._ring.write(self._encode(record), timeout)

    def reserve(self, size: int, timeout: float | None = 0) -> UserRecord:
        """Room for a record of *size* bytes: fill its ``data``, then ``submit`` or ``discard``.

        ``with writer.reserve(size) as data:`` submits at the end. *timeout* is how many seconds to
        wait for room, None for as long as it takes.

        Raises:
            CommandError: ENOSPC, there is no room; E2BIG, there never is.
        """
        return self._ring.reserve(size, timeout)

    @property
    def unread(self) -> int:
        """Bytes that programs have not taken out yet, headers included."""
        return self._ring.unread
