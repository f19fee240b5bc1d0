"""Stream: text that a program prints, kept until somebody reads it.

It keeps what fits and drops what does not, whole; what is read is gone.

Source: Linux 6.18 kernel/bpf/stream.c.
"""

import threading
from collections.abc import Callable
from typing import Final

CAPACITY: Final = 100_000  # bytes


class Stream:
    """One stream; any thread may write and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = bytearray()

    def write(self, text: bytes) -> bool:
        """Keep *text*; False if there is no room for it."""
        with self._lock:
            if len(self._kept) + len(text) >= CAPACITY:
                return False
            self._kept += text
            return True

    def read(self, room: int, give: Callable[[bytes], object]) -> int:
        """Hand the first *room* bytes to *give*; they are gone if it returns. How many they are."""
        with self._lock:
            data = bytes(self._kept[:room])
            if data:
                give(data)
            del self._kept[: len(data)]
            return len(data)
