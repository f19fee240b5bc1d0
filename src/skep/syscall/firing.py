"""One run of a program on an event of the world.

What a program does may make the same event happen again, for a thread without end. Linux skips such
runs, and counts them; so do we: a raw program does not run within itself, and none on a trace event
or perf event within another of these. A thread is what a CPU is there.

Source: Linux 6.18 kernel/trace/bpf_trace.c (__bpf_trace_run, trace_call_bpf).
"""

import ctypes
import time
from collections.abc import Callable
from typing import Final

from skep.attach.links import Attachable
from skep.base.native import store64
from skep.errors import RunError
from skep.runtime.block import Invocation
from skep.runtime.invocation import TAIL_CALLS, Origin
from skep.syscall.loaded import LoadedProgram
from skep.syscall.state import State
from skep.uapi.flags import ProgType

ROOM: Final = 256  # a context is never shorter, whatever the event filled
TOGETHER: Final = frozenset({ProgType.KPROBE, ProgType.TRACEPOINT, ProgType.PERF_EVENT})
ANY_OF_THEM: Final = 0  # stands where the ids of other programs do


def run_on(state: State, program: LoadedProgram, context: bytes, cookie: int = 0) -> int:
    """Run *program* with r1 pointing to a copy of *context*; r0, or 0 if it must be skipped.

    Raises:
        RunError: the run was stopped.
    """
    number = ANY_OF_THEM if program.type.id in TOGETHER else program.id
    active = state.active.ids
    if number in active:
        program.count_miss()
        return 0
    memory = ctypes.create_string_buffer(context, max(len(context), ROOM))
    active.add(number)
    try:
        with state.world.running() as invocation:
            return run_in(state, program, invocation, ctypes.addressof(memory), cookie)
    finally:
        active.discard(number)


def run_in(
    state: State, program: LoadedProgram, invocation: Invocation, address: int, cookie: int = 0
) -> int:
    """Run *program* in a run block that is prepared, with r1 = *address*; returns r0."""
    invocation.set_context(address, Origin.OTHER, cookie)
    store64(invocation.address + TAIL_CALLS, 0)
    began = time.perf_counter_ns() if state.statistics else 0
    try:
        result = program.entry(invocation.address, address)
    except RunError as error:
        program.tell(error)
        raise
    if state.statistics:
        program.count_runs(1, time.perf_counter_ns() - began)
    return result


def runner(state: State) -> Callable[[Attachable, bytes, int], int]:
    """``run_on`` for links, which know programs only as what they hold."""

    def run(program: Attachable, context: bytes, cookie: int) -> int:
        assert isinstance(program, LoadedProgram)
        return run_on(state, program, context, cookie)

    return run
