"""Lending: programs that what they deferred keeps alive, and maps that somebody uses.

Source: Linux 6.18 kernel/bpf/helpers.c (bpf_async_update_prog_callback), kernel/bpf/syscall.c
(bpf_map_put_uref).
"""

from skep.btf import special_fields as special
from skep.btf.special_fields import Record
from skep.errors import CommandError, RunError
from skep.maps.array import Array
from skep.maps.hash import Hash
from skep.maps.interface import Map
from skep.runtime.deferred import Borrowed
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.verifier.interface import Proof

SET_CALLBACK = (  # kfuncs that leave a function of the program for later
    "bpf_wq_set_callback_impl",
    "bpf_task_work_schedule_signal_impl",
    "bpf_task_work_schedule_resume_impl",
)
TIMER_SET_CALLBACK = 170
KINDS = (special.TIMER, special.WORKQUEUE, special.TASK_WORK)  # in the order of Place.offsets


class BorrowedProgram:
    """A program with one reference more, for a function of it that runs later."""

    def __init__(self, state: State, holding: Holding, program: LoadedProgram) -> None:
        self._state, self._holding, self._program = state, holding, program

    def call_back(self, run: int, callback: int, arguments: tuple[int, int, int], /) -> int:
        """Run its function at *callback* with (map, key, value); returns r0."""
        return self._program.entry.call_back(run, callback, arguments)

    def tell(self, error: Exception, /) -> None:
        """Write to its standard error why a callback was stopped."""
        self._program.tell(error if isinstance(error, RunError) else RunError(str(error)))

    def give_back(self) -> None:
        """Drop the reference."""
        self._state.objects.drop(self._holding)


class Lending:
    """The lender of one subsystem's world."""

    def __init__(self, state: State) -> None:
        self._state = state

    def borrow(self, program: int) -> Borrowed | None:
        """Keep the program alive that *program* finds among the world's printers."""
        found = self._state.world.printers.get(program)
        if not isinstance(found, LoadedProgram):
            return None
        objects = self._state.objects
        with objects.lock:
            try:
                holding = objects.by_id("PROG_LOAD", Kind.PROG, found.id)
            except CommandError:  # its last descriptor is closed, and it still runs
                return None
            return BorrowedProgram(self._state, objects.take(holding), found)

    def is_used(self, map_id: int) -> bool:
        """Whether a descriptor or pin refers to the map."""
        objects = self._state.objects
        with objects.lock:
            try:
                return objects.by_id("MAP_CREATE", Kind.MAP, map_id).users > 0
            except CommandError:
                return False


def register_fields(state: State, map_: Map, record: Record | None) -> None:
    """Let the world know where the values of a new map keep what is deferred."""
    if record is None or not record.kinds & special.DEFERRED:
        return
    if not isinstance(map_, (Array, Hash)):  # the shape of one, for verdicts only
        return
    fields = [record.last(kind) for kind in KINDS]
    first, second, third = (field.offset if field is not None else -1 for field in fields)
    state.world.agenda.fields.register(map_, (first, second, third))


def defers(proof: Proof) -> bool:
    """Whether the program leaves functions of its own for later."""
    return any(
        fact.kfunc in SET_CALLBACK or fact.helper == TIMER_SET_CALLBACK
        for fact in proof.calls.values()
    )
