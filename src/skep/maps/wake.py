"""Waking the reader of a ring: native code adds to an eventfd, the host waits for it.

Three words of the ring's control page: WAKE_FD, the eventfd or 0 as long as nobody ever waited;
WAKE_WRITE, the address of write(2) in libc; WAKE_ONE, the eight bytes that are written.
"""

import ctypes
import os
import select
import threading
from typing import Final

from skep.base.native import call, load64, native

WAKE_FD: Final = 200
WAKE_WRITE: Final = 208
WAKE_ONE: Final = 216
_LONGEST: Final = 86_400  # seconds of one wait: poll(2) takes no more than 24 days


@native
def wake(control: int) -> int:
    """Wake whoever waits for the ring at *control*."""
    fd = load64(control + WAKE_FD)
    if fd != 0:
        call(load64(control + WAKE_WRITE), fd, control + WAKE_ONE, 8)
    return 0


def _put(address: int, value: int) -> None:
    ctypes.c_uint64.from_address(address).value = value


class Wakeup:
    """The eventfd of the ring at *control*, made when somebody first wants it."""

    def __init__(self, control: int) -> None:
        self._control = control
        self._fd = -1
        self._lock = threading.Lock()

    @property
    def fd(self) -> int:
        """A descriptor that polls readable after a wake-up."""
        with self._lock:
            if self._fd < 0:
                self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                libc = ctypes.CDLL(None)
                write = ctypes.cast(libc.write, ctypes.c_void_p).value or 0
                _put(self._control + WAKE_WRITE, write)
                _put(self._control + WAKE_ONE, 1)
                _put(self._control + WAKE_FD, self._fd)
        return self._fd

    def arm(self) -> None:
        """From here on writers wake whoever waits."""
        assert self.fd >= 0

    def wait(self, timeout: float | None) -> bool:
        """Wait for a wake-up, *timeout* seconds (a day) at most; False if none came."""
        fd = self.fd
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(None if timeout is None else min(max(timeout, 0), _LONGEST) * 1000):
            return False
        try:
            os.eventfd_read(fd)
        except BlockingIOError:
            return False
        return True

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
