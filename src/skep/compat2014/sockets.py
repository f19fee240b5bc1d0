"""Packet sockets that run a program: ``open_raw_sock`` and SO_ATTACH_BPF of the 2014 draft."""

import threading
from collections import Counter

from skep.attach.live import LiveInterface
from skep.compat2014.macros import SO_ATTACH_BPF, SOL_SOCKET
from skep.errors import CommandError, NotSupported
from skep.session.replay import PacketRunner
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem


class RawSocket:
    """A packet socket that runs a program on every packet, on a thread of its own.

    Attributes:
        results: how many packets the program returned which value for.
    """

    def __init__(self, subsystem: Subsystem, name: str) -> None:
        self._subsystem, self._live = subsystem, LiveInterface(name, wait=0.02)
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
        for batch in self._live.batches():
            self.results += runner.run(batch)
            if self._stop.is_set() and not len(batch):
                return

    def close(self) -> None:
        """Stop once all that arrived was run; close the socket."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._live.close()
