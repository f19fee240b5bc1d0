"""Single runs: one packet through a program, with all that PROG_TEST_RUN does but its command.

Invariant: a run sees and leaves what it would with the command. What needs more than a plain
packet (a context, a log, a refusal) goes by the command.

Source: skep.syscall.run_packets, skep.syscall.trial.
"""

import ctypes
import time
from typing import Final

from skep.attach import rooms
from skep.attach.contexts import ETHERNET, packet_family
from skep.attach.rooms import Room
from skep.errors import RunError
from skep.runtime.block import Invocation
from skep.runtime.invocation import DATA, DATA_META
from skep.syscall.loaded import LoadedProgram
from skep.syscall.run_packets import LINK_LAYER, run_skb, run_xdp
from skep.syscall.state import State
from skep.syscall.test_run import RUNNERS
from skep.uapi.flags import AttachType

ELSEWHERE: Final = (AttachType.XDP_DEVMAP, AttachType.XDP_CPUMAP)  # XDP, but not for test runs


class SingleRuns:
    """Runs of *program*, which is one of ``takes_packets``, on one packet at a time."""

    def __init__(self, state: State, program: LoadedProgram) -> None:
        self._state, self._program = state, program
        self._is_xdp = RUNNERS[program.type.name] is run_xdp
        self._link_layer = self._is_xdp or program.type.name in LINK_LAYER
        self._longest = rooms.LONGEST_XDP if self._is_xdp else rooms.LONGEST_SKB
        self._rooms: list[Room] = []  # those that no run is in

    def takes(self, packet: bytes) -> bool:
        """Whether *packet* is plain enough."""
        fits = rooms.SHORTEST <= len(packet) <= self._longest
        return fits and (self._is_xdp or packet_family(packet) is not None)

    def run(self, packet: bytes) -> tuple[int, bytes, int]:
        """Run on *packet*; what it returned, the packet afterwards, and nanoseconds."""
        world = self._state.world
        try:
            room = self._rooms.pop()
        except IndexError:
            room = self._make()
        invocation = world.take()
        try:
            stage = room.put(packet)
            stage.enter(invocation)
            began = time.perf_counter_ns()
            result = self._program.entry(invocation.address, stage.address)
            spent = time.perf_counter_ns() - began
            after = self._after(invocation)
        except RunError as error:
            self._program.tell(error)
            raise
        finally:
            world.give(invocation)
            self._rooms.append(room)
        if self._state.statistics:
            self._program.count_runs(1, spent)
        return result & 0xFFFF_FFFF, after, spent

    def _make(self) -> Room:
        return rooms.xdp_room() if self._is_xdp else rooms.skb_room(link_layer=self._link_layer)

    def _after(self, invocation: Invocation) -> bytes:
        """What data_out gets."""
        if not self._link_layer:
            return bytes(ETHERNET) + invocation.packet
        if not self._is_xdp:
            return invocation.packet
        meta, data = invocation.get(DATA_META), invocation.get(DATA)
        if meta >= data:
            return invocation.packet
        return ctypes.string_at(meta, data - meta) + invocation.packet


def takes_packets(program: LoadedProgram) -> bool:
    """Whether test runs of *program* are runs on packets."""
    runner = RUNNERS.get(program.type.name)
    if runner is run_xdp:
        return program.proof.request.expected_attach_type not in ELSEWHERE
    return runner is run_skb
