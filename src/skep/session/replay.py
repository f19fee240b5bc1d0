"""PacketRunner: a program over batches of packets, one native loop a batch; Replay: over a capture.

Of a replay's threads each has a virtual CPU, a run block and buffers of its own, so that per-CPU
maps stay each thread's own, and what they share is what programs on several CPUs share.
"""

import ctypes
import struct
import threading
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from skep.attach.packets import Batch
from skep.base.memory import Block
from skep.base.native import store64
from skep.engine.batch import ADDRESSES
from skep.errors import NotSupported
from skep.runtime.block import Invocation
from skep.runtime.invocation import CHECKSUM, Origin
from skep.syscall.loaded import LoadedProgram
from skep.syscall.state import State
from skep.uapi import contexts
from skep.uapi.program_types import Packet

BINS: Final = 256
HEADROOM: Final = 256
BUFFER_SIZE: Final = HEADROOM + (1 << 18) + 512
LINK_HEADER_SIZE: Final = 14
FROM_NETWORK: Final = frozenset({"cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"})
ORIGINS: Final = {"__sk_buff": Origin.SKB, "xdp_md": Origin.XDP}
TAIL_CALL: Final = 12
WORDS: Final = struct.Struct("<11Q")  # the batch block of skep.engine.batch
PLACES: Final = struct.Struct("<2Q")  # its ADDRESSES and LENGTHS
SLICE: Final = 4096  # packets that a program may allocate objects for: 128 MiB, if large ones
WHOLE: Final = 1 << 20


class PacketRunner:
    """Runs *program* on packets, one batch at a time; keeps context and buffers between batches.

    Not for two runs at a time.

    Attributes:
        values: what the program returned for each packet of the last batch.

    Raises:
        NotSupported: programs of the type do not run on packets.
    """

    def __init__(self, state: State, program: LoadedProgram) -> None:
        origin = ORIGINS.get(program.type.context)
        row = contexts.by_name(program.type.context)
        if origin is None or row is None:
            raise NotSupported(f"running {program.type.name} programs on packets",
                               "their context is no packet")  # fmt: skip
        self._state, self._program, self._origin = state, program, origin
        self._context = Block(2 * row.native_size, "skep-context")
        self._histogram = array("Q", bytes(8 * BINS))
        changes = program.type.packet is Packet.WRITE or any(
            part.changes_packet for part in program.proof.subprograms
        )
        self._buffer = Block(BUFFER_SIZE, "skep-packet") if changes else None
        self._size = row.native_size
        self._block = ctypes.create_string_buffer(WORDS.size)
        self.values = array("Q")
        self._slice = SLICE if _may_allocate(program) else WHOLE
        self._skip = LINK_HEADER_SIZE if program.type.name in FROM_NETWORK else 0

    def run(self, batch: Batch, cpu: int | None = None) -> Counter[int]:
        """Run on every packet of *batch*, which cannot grow meanwhile; return values by count.

        *cpu* is the virtual CPU; by default that of the calling thread.
        """
        count = len(batch)
        self.values = array("Q")
        if not count:
            return Counter()
        if len(batch.lengths) != count:
            raise ValueError(f"{len(batch.lengths)} lengths for {count} packets")
        results, histogram = array("Q", bytes(8 * count)), self._histogram
        ctypes.memset(histogram.buffer_info()[0], 0, 8 * BINS)
        fixed = memoryview(batch.addresses), memoryview(batch.lengths)
        with fixed[0], fixed[1], self._state.world.running(cpu) as invocation:
            invocation.set_context(self._context.address, self._origin)
            WORDS.pack_into(self._block, 0, *self._describe(batch))
            self._run(invocation, batch, results.buffer_info()[0])
            self.values = results
            return self._count(results)

    def _run(self, invocation: Invocation, batch: Batch, results: int) -> None:
        """Run, a slice at a time: in between nothing is seen, so what programs dropped is freed."""
        addresses, lengths = batch.addresses.buffer_info()[0], batch.lengths.buffer_info()[0]
        place, count, checksum = ctypes.addressof(self._block), len(batch), invocation.get(CHECKSUM)
        for first in range(0, count, self._slice):
            if first:
                self._state.world.between(invocation)
                store64(invocation.address + CHECKSUM, checksum)
            PLACES.pack_into(self._block, ADDRESSES, addresses + 8 * first, lengths + 4 * first)
            size = min(self._slice, count - first)
            self._program.entry.batch(invocation.address, place, size, results + 8 * first)

    def _describe(self, batch: Batch) -> tuple[int, ...]:
        context = self._context.address
        # of an xdp_md programs change nothing but the bounds, which each run gets anew
        template = 0 if self._origin is Origin.XDP else context + self._size
        return (
            batch.addresses.buffer_info()[0], batch.lengths.buffer_info()[0],
            context, template, self._size,
            self._histogram.buffer_info()[0], BINS, self._skip,
            self._buffer.address if self._buffer else 0, HEADROOM, BUFFER_SIZE,
        )  # fmt: skip

    def _count(self, results: "array[int]") -> Counter[int]:
        histogram = self._histogram
        counted = Counter({value: times for value, times in enumerate(histogram) if times})
        if counted.pop(BINS - 1, 0):  # and all that is greater
            counted += Counter(value & 0xFFFF_FFFF for value in results if value >= BINS - 1)
        return counted


def _may_allocate(program: LoadedProgram) -> bool:
    """Whether a run may take objects: kernel functions may, and whatever tail calls lead to."""
    return any(fact.kfunc or fact.helper == TAIL_CALL for fact in program.proof.calls.values())


@dataclass(slots=True)
class Outcome:
    """What the runs on one batch gave."""

    packets: int = 0
    returns: Counter[int] = field(default_factory=Counter)
    values: "array[int]" = field(default_factory=lambda: array("Q"))
    nanoseconds: int = 0
    done: bool = False

    def add(self, later: "Outcome") -> None:
        """Add what runs on later packets gave."""
        self.packets += later.packets
        self.returns.update(later.returns)
        self.values.extend(later.values)
        self.nanoseconds += later.nanoseconds


@dataclass(slots=True)
class Replay:
    """The packets of one source, for as many threads as take part; each takes a batch at a time.

    *runner* lends a runner that nobody else uses. *repeat* is how often each packet is run; it ends
    after *count* packets or *duration* seconds, if they are given. *keep*: remember what the
    program returned for each packet. After a thread has failed the others take no more batches.
    """

    batches: Iterator[Batch]
    runner: Callable[[], AbstractContextManager[PacketRunner]]
    repeat: int = 1
    count: int | None = None
    duration: float | None = None
    keep: bool = False
    total: Outcome = field(default_factory=Outcome)
    _pending: deque[Outcome] = field(default_factory=deque)  # not in the total yet; by packet
    _error: BaseException | None = None
    _asked: bool = False
    _taken: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, jobs: int) -> dict[str, Any]:
        """Run on *jobs* threads, the calling one among them; what ``Program.replay`` returns.

        With one, programs run on the virtual CPU of the calling thread; else on CPUs 0 to *jobs*-1.
        """
        began = time.monotonic()
        self.duration = began + self.duration if self.duration else None  # now a point in time
        threads = [
            threading.Thread(target=self._work, args=(cpu,), name=f"skep-replay-{cpu}")
            for cpu in range(1, jobs)
        ]
        for thread in threads:
            thread.start()
        self._work(0 if threads else None)
        try:
            for thread in threads:
                thread.join()
        except BaseException as error:  # noqa: BLE001  # a signal's: the others stop soon
            self._error = error
        if self._error is not None:
            raise self._error
        self._collect()
        return self._summary(jobs, time.monotonic() - began)

    def _summary(self, jobs: int, seconds: float) -> dict[str, Any]:
        total = self.total
        runs = sum(total.returns.values())
        found = {"returns": dict(total.returns), "packets": total.packets, "runs": runs,
                 "jobs": jobs, "ns_per_run": total.nanoseconds / max(runs, 1),
                 "seconds": seconds}  # fmt: skip
        return {**found, "values": total.values} if self.keep else found

    def _collect(self) -> None:
        while self._pending and self._pending[0].done:
            self.total.add(self._pending.popleft())

    def _work(self, cpu: int | None) -> None:
        try:
            with self.runner() as runner:
                while (taken := self._take()) is not None:
                    self._run(runner, cpu, *taken)
        except BaseException as error:  # noqa: BLE001  # run() raises it in its caller's thread
            with self._lock:
                self._error = self._error or error

    def _take(self) -> tuple[Batch, Outcome] | None:
        """The next batch, and where its outcome goes; None at the end."""
        with self._lock:
            self._collect()
            late = self.duration is not None and time.monotonic() >= self.duration
            left = None if self.count is None else self.count - self._taken
            if self._error is not None or (late and self._asked) or left == 0:
                return None
            self._asked = True
            batch = next(self.batches, None)
            if batch is None:
                return None
            if left is not None and len(batch) > left:
                batch = Batch(batch.memory, batch.addresses[:left], batch.lengths[:left])
            self._taken += len(batch)
            outcome = Outcome(len(batch))
            self._pending.append(outcome)
            return batch, outcome

    def _run(self, runner: PacketRunner, cpu: int | None, batch: Batch, outcome: Outcome) -> None:
        if len(batch):
            began = time.perf_counter_ns()
            for _ in range(self.repeat):
                outcome.returns.update(runner.run(batch, cpu))
            outcome.nanoseconds = time.perf_counter_ns() - began
            if self.keep:
                outcome.values = runner.values
        outcome.done = True
