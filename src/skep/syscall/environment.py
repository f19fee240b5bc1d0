"""What the verifier may ask of the subsystem while it looks at one program."""

from collections.abc import Callable

from skep.btf.graph import Btf
from skep.errors import CommandError
from skep.syscall.call import Call
from skep.syscall.catalog import IMPLEMENTED
from skep.syscall.objects import Holding, Kind, Target
from skep.syscall.state import BtfObject, State
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import ProgLoad
from skep.uapi.reason import Refusal
from skep.uapi.reasons_programs import TARGET_FD
from skep.verifier.interface import MapShape


class SubsystemEnvironment:
    """An ``Environment`` over the descriptors of one subsystem.

    ``holds`` collects the objects that the program will keep alive, each taken once. What a
    descriptor named stays known after ``release``: a refusal is explained by asking again.

    Args:
        state: the subsystem.
        call: what loads the program; it is refused for a map that is for another program.
        digest: the program's hash.
    """

    def __init__(self, state: State, call: Call[ProgLoad], digest: bytes) -> None:
        self._state, self._call, self._digest = state, call, digest
        self._targets: dict[tuple[int, Kind], Target | None] = {}
        self._refused: dict[tuple[int, Kind], int] = {}
        self.map_errno = 0  # why the last ``map_by_fd`` found none
        self.holds: list[Holding] = []
        self.program_btf_id = 0

    @property
    def kernel_btf(self) -> Btf | None:
        """The BTF in force, or None."""
        return self._state.kernel_btf

    def map_by_fd(self, fd: int) -> MapShape | None:
        """The map that *fd* names, or None if it names none."""
        found = self._target(fd, Kind.MAP)
        self.map_errno = self._refused.get((fd, Kind.MAP), 0)
        return found  # type: ignore[return-value]  # it is a Map

    def btf_by_fd(self, fd: int) -> Btf | None:
        """The BTF object that *fd* names, or None."""
        target = self._target(fd, Kind.BTF)
        return target.btf if isinstance(target, BtfObject) else None

    def helper_implemented(self, helper: int) -> bool:
        """Whether the helper is no reason to refuse: skep can run it, or nothing is to be run."""
        return helper in IMPLEMENTED or not self._state.runs

    def _target(self, fd: int, kind: Kind) -> Target | None:
        if (fd, kind) not in self._targets:
            self._targets[fd, kind] = self._hold(fd, kind)
        return self._targets[fd, kind]

    def _hold(self, fd: int, kind: Kind) -> Target | None:
        objects = self._state.objects
        with objects.lock:
            try:
                holding = objects.get("PROG_LOAD", fd, kind)
            except CommandError as refusal:
                self._refused[fd, kind] = refusal.errno
                return None
            if kind is Kind.MAP:
                mine = self._state.owners.admits(holding.id, self._digest)
                self._call.check(mine, reasons.EXCLUSIVE_MAP, f"map {holding.id} is not for it")
            if holding not in self.holds:
                self.holds.append(objects.take(holding))
            return holding.target

    def hold(self, target: Holding, refusal: Callable[[], Refusal]) -> None:
        """Keep *target*, unless it has gone since it was found."""
        with self._state.objects.lock:
            if not target.references:
                raise refusal()
            self.holds.append(self._state.objects.take(target))

    def release(self) -> None:
        """Give every reference back: the program was refused."""
        for holding in self.holds:
            self._state.objects.drop(holding)
        self.holds = []


def hold_target(call: Call[ProgLoad], environment: SubsystemEnvironment, target: Holding) -> None:
    """Keep the program that a program is attached to alive, until it is attached to another."""
    environment.hold(target, lambda: call.refusal(TARGET_FD))


def hold_map(state: State, fd: int, environment: SubsystemEnvironment) -> None:
    """Keep a map of an fd_array alive too, used or not (6.14: fd_array_cnt)."""
    state.objects.get("PROG_LOAD", fd, field="fd_array")  # EBADF
    if environment.map_by_fd(fd) is None and environment.btf_by_fd(fd) is None:
        state.objects.get("PROG_LOAD", fd, Kind.MAP, "fd_array")
