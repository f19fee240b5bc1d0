"""Packet sockets that run a program: ``open_raw_sock`` and SO_ATTACH_BPF of the 2014 draft."""

import threading
from collections import Counter
from typing import Final

from skep.attach.live import LiveInterface
from skep.compat2014.macros import SO_ATTACH_BPF, SOL_SOCKET
from skep.errors import CommandError, NotSupported
from skep.session.replay import PacketRunner
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem

WAIT: Final = 0.02  # seconds, as long as the kernel keeps a block of packets open
QUIET: Final = 5  # waits without a packet: the last block was closed, however busy the machine is


class RawSocket:
    """A packet socket that runs a program on every packet, on a thread of its own.

    Attributes:
        results: how many packets the program returned which value for.
    """

    def __init__(self, subsystem: Subsystem, name: str) -> None:
        self._subsystem, self._live = subsystem, LiveInterface(name, wait=WAIT)
        self._stop = threading.Event()
        self.results: Counter[int] = Counter()
        self._thread: threading.Thread | None = None

    def setsockopt(self, level: int, option: int, prog_fd: int) -> int:
        """Attach the program (SOL_SOCKET, SO_ATTACH_BPF); 0."""
        if (level, option) != (SOL_SOCKET, SO_ATTACH_BPF):
            raise NotSupported(f"socket option {level}, {option}", "only SO_ATTACH_BPF is served")
        if self._thread is not None:
            raise CommandError("SETSOCKOPT", 22, "a program is attached already")
        state = self._subsystem.state
        target = state.objects.get("SETSOCKOPT", prog_fd, Kind.PROG).target
        assert isinstance(target, LoadedProgram)
        runner = PacketRunner(state, target)
        self._thread = threading.Thread(target=self._run, args=(runner,), daemon=True)
        self._thread.start()
        return 0

    def _run(self, runner: PacketRunner) -> None:
        quiet = 0
        for batch in self._live.batches():
            self.results += runner.run(batch)
            quiet = 0 if len(batch) else quiet + 1
            if self._stop.is_set() and quiet >= QUIET:
                return

    def close(self) -> None:
        """Stop once all that arrived was run, and a moment was quiet; close the socket."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._live.close()
