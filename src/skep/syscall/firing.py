"""One run of a program on an event of the world."""

import ctypes
import time
from collections.abc import Callable
from typing import Final

from skep.attach.links import Attachable
from skep.base.native import store64
from skep.runtime.block import Invocation
from skep.runtime.invocation import TAIL_CALLS, Origin
from skep.syscall.loaded import LoadedProgram
from skep.syscall.state import State

ROOM: Final = 256  # a context is never shorter, whatever the event filled


def run_on(state: State, program: LoadedProgram, context: bytes, cookie: int = 0) -> int:
    """Run *program* with r1 pointing to a copy of *context*; returns r0.

    Raises:
        RunError: the run was stopped.
    """
    memory = ctypes.create_string_buffer(context, max(len(context), ROOM))
    with state.world.running() as invocation:
        return run_in(state, program, invocation, ctypes.addressof(memory), cookie)


def run_in(
    state: State, program: LoadedProgram, invocation: Invocation, address: int, cookie: int = 0
) -> int:
    """Run *program* in a run block that is prepared, with r1 = *address*; returns r0."""
    invocation.set_context(address, Origin.OTHER, cookie)
    store64(invocation.address + TAIL_CALLS, 0)
    began = time.perf_counter_ns() if state.statistics else 0
    result = program.entry(invocation.address, address)
    if state.statistics:
        program.count_runs(1, time.perf_counter_ns() - began)
    return result


def runner(state: State) -> Callable[[Attachable, bytes, int], int]:
    """``run_on`` for links, which know programs only as what they hold."""

    def run(program: Attachable, context: bytes, cookie: int) -> int:
        assert isinstance(program, LoadedProgram)
        return run_on(state, program, context, cookie)

    return run
