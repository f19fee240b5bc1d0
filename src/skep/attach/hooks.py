"""Hooks: seats of programs, and the events that run them.

``event source -> hook.fire(stage) -> program.run -> verdict``. A hook keeps its programs in order,
each in a ``Seat``; what it does with their results is the hook's own (``cgroups``, ``devices``,
``netns``, ``sockets``). Changes are made under the lock of the subsystem's objects; a fire works on
the programs that were there when it began.

Source: Linux 6.18 include/linux/bpf.h (bpf_prog_array), include/linux/bpf_mprog.h.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from skep.attach.contexts import Stage
from skep.attach.links import Attachable, Link
from skep.base.bits import U32
from skep.base.native import store64
from skep.errors import RunError
from skep.runtime.block import Invocation
from skep.runtime.invocation import RETVAL, TAIL_CALLS
from skep.runtime.world import World


class Seat:
    """One place on a hook: a program by itself, or whatever program a link holds.

    Attributes:
        link: the link, None for a program by itself.
        flags: those that it was attached with.
    """

    __slots__ = ("_program", "_release", "flags", "link")

    def __init__(
        self,
        program: Attachable,
        release: Callable[[], object] | None = None,
        link: Link | None = None,
        flags: int = 0,
    ) -> None:
        self._program, self._release = program, release
        self.link, self.flags = link, flags

    @property
    def program(self) -> Attachable:
        """What runs."""
        return self._program if self.link is None else self.link.program

    def leave(self) -> None:
        """Give back the reference to a program that stood here by itself."""
        if self._release is not None:
            self._release()


class Event:
    """Something that happens to one context: programs run on it, one after the other."""

    def __init__(self, invocation: Invocation, stage: Stage, timed: bool) -> None:
        self.invocation, self.stage = invocation, stage
        self._timed = timed

    def run(self, program: Attachable) -> int:
        """Run *program*; returns the low 32 bits of r0, unsigned."""
        run = self.invocation.address
        store64(run + TAIL_CALLS, 0)
        began = time.perf_counter_ns() if self._timed else 0
        try:
            result: int = program.entry(run, self.stage.address)
        except RunError as error:
            program.tell(error)
            raise
        if self._timed:
            program.count_runs(1, time.perf_counter_ns() - began)
        return result & U32

    @property
    def retval(self) -> int:
        """What programs of cgroups have set to be returned to the caller: 0 or -errno."""
        return signed(self.invocation.get(RETVAL) & U32)

    @retval.setter
    def retval(self, value: int) -> None:
        store64(self.invocation.address + RETVAL, value & U32)

    @property
    def target(self) -> int:
        """The device or map key that a redirect names."""
        return self.invocation.redirect[1]


class Occasion:
    """What events need of the subsystem: its world, and whether runs are timed."""

    def __init__(self, world: World, timed: Callable[[], bool]) -> None:
        self.world, self._timed = world, timed

    @contextmanager
    def event(self, stage: Stage) -> Iterator[Event]:
        """An event on *stage*, for the length of a ``with`` block."""
        with self.world.running() as invocation:
            stage.enter(invocation)
            yield Event(invocation, stage, self._timed())


def signed(value: int) -> int:
    """A 32-bit result as C's int."""
    return (value & U32 ^ 0x8000_0000) - 0x8000_0000
