"""Where the commands of this thread are logged, if someone wants a log of them.

Invariant: the subsystem knows nothing of it. What is asked for here is only filled into the calls
that the library makes: a call made elsewhere says itself what it wants.
"""

from contextvars import ContextVar
from typing import Any, Final, Protocol


class Sink(Protocol):
    """Makes calls, and keeps what they log."""

    def call(self, syscall: Any, cmd: int, attr: bytearray, /) -> int:
        """Make the call on *syscall*; the result, or ``-errno``."""
        ...


CURRENT: Final[ContextVar[Sink | None]] = ContextVar("skep.log", default=None)


def call(syscall: Any, cmd: int, attr: bytearray) -> int:
    """``syscall.bpf(cmd, attr)``, logged if this thread has a log."""
    sink = CURRENT.get()
    answer: int = syscall.bpf(cmd, attr) if sink is None else sink.call(syscall, cmd, attr)
    return answer
