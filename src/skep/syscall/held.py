"""What maps of descriptors hold: programs in a program array, maps in a map of maps."""

from typing import Final

from skep.maps.creation import Held
from skep.maps.interface import Map
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Holding, Kind
from skep.syscall.on_functions import MANY, functions_of
from skep.syscall.owners import program_kind
from skep.syscall.state import State
from skep.uapi import reasons_elements as elements
from skep.uapi.flags import MapType, ProgType
from skep.uapi.reason import Refusal
from skep.uapi.reasons_objects import EXCLUSIVE_INNER

COMMAND: Final = "MAP_UPDATE_ELEM"
SOCKETS: Final = frozenset(
    {MapType.XSKMAP, MapType.SOCKMAP, MapType.SOCKHASH, MapType.REUSEPORT_SOCKARRAY}
)


class Holder:
    """Resolves the descriptors that are stored in one map, and keeps what they name alive."""

    def __init__(self, state: State, kind: Kind | None, *, sockets: bool) -> None:
        self._state, self._kind, self._sockets = state, kind, sockets
        self._held: dict[int, list[Holding]] = {}
        self.map: Map | None = None

    def resolve(self, fd: int) -> Held:
        """What *fd* names, with one reference more; EBADF or EINVAL if it cannot be stored."""
        if self._kind is None:
            raise self._stranger(fd)
        with self._state.objects.lock:
            holding = self._state.objects.get(COMMAND, fd, self._kind, "value")
            if self._state.owners.is_exclusive(holding.id) and self._kind is Kind.MAP:
                raise Refusal(COMMAND, EXCLUSIVE_INNER, field="value")
            target: Held = holding.target  # type: ignore[assignment]  # maps and programs fit
            self._check(target)
            if isinstance(target, LoadedProgram):
                self._enter(target)
            self._state.objects.take(holding)
            self._held.setdefault(id(target), []).append(holding)
        return target

    def _stranger(self, fd: int) -> Refusal:
        """The refusal of *fd* for a map that nothing here fits into."""
        if not self._sockets:
            return Refusal(COMMAND, elements.SLOT_FD, f"fd {fd} names nothing for this map")
        known = self._state.objects.find(fd) is not None or self._state.objects.is_file(fd)
        return Refusal(COMMAND, elements.NO_SOCKET_FD if known else elements.SOCKET)

    def _check(self, target: Held) -> None:
        if self.map is None or not isinstance(target, LoadedProgram):
            return
        if target.type.id == ProgType.EXT:
            raise Refusal(COMMAND, elements.SLOT_EXTENSION)
        kind = program_kind(target.proof.request)
        if not self._state.owners.claim(self.map, kind):
            message = f"the map is for another kind of programs than {kind[0]}"
            raise Refusal(COMMAND, elements.SLOT_PROGRAM, message)

    def _enter(self, program: LoadedProgram) -> None:
        """Count one place more in program arrays; who has others at its functions stays out."""
        functions = functions_of(self._state, program)
        if functions.is_extended:
            raise Refusal(COMMAND, elements.SLOT_EXTENDED)
        if functions.is_traced:
            raise Refusal(COMMAND, elements.SLOT_TRACED)
        functions.in_arrays += 1
        if self._state.runs:  # nobody counts its runs, since tail calls go straight to it
            program.entry.hot(MANY)

    def release(self, target: Held) -> None:
        """Give one reference back; runs that found *target* before may still use it."""
        self._state.world.retire(target)
        with self._state.objects.lock:
            holdings = self._held.get(id(target))
            if holdings is None:  # the host put it in directly: a perf ring
                return
            holding = holdings.pop()
            if isinstance(target, LoadedProgram) and target.functions is not None:
                target.functions.in_arrays -= 1
            if not holdings:
                del self._held[id(target)]
        self._state.objects.drop(holding)


def holder_for(state: State, map_type: int) -> Holder:
    """The holder that a map of *map_type* needs."""
    kinds = {
        MapType.PROG_ARRAY: Kind.PROG,
        MapType.ARRAY_OF_MAPS: Kind.MAP,
        MapType.HASH_OF_MAPS: Kind.MAP,
    }
    kind = kinds.get(MapType(map_type)) if map_type in set(MapType) else None
    return Holder(state, kind, sockets=map_type in SOCKETS)
