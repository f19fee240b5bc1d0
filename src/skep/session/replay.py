"""PacketRunner: a program over batches of packets, one native loop a batch."""

import ctypes
import struct
from array import array
from collections import Counter
from typing import Final

from skep.attach.packets import Batch
from skep.base.memory import Block
from skep.errors import NotSupported
from skep.runtime.invocation import Origin
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
WORDS: Final = struct.Struct("<11Q")  # the batch block of skep.engine.batch


class PacketRunner:
    """Runs *program* on packets, one batch at a time; keeps context and buffers between batches.

    Not for two runs at a time.

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
        self._skip = LINK_HEADER_SIZE if program.type.name in FROM_NETWORK else 0

    def run(self, batch: Batch) -> Counter[int]:
        """Run on every packet of *batch*, which cannot grow meanwhile; return values by count."""
        count = len(batch)
        if not count:
            return Counter()
        if len(batch.lengths) != count:
            raise ValueError(f"{len(batch.lengths)} lengths for {count} packets")
        results, histogram = array("Q", bytes(8 * count)), self._histogram
        ctypes.memset(histogram.buffer_info()[0], 0, 8 * BINS)
        fixed = memoryview(batch.addresses), memoryview(batch.lengths)
        with fixed[0], fixed[1], self._state.world.running() as invocation:
            invocation.set_context(self._context.address, self._origin)
            WORDS.pack_into(self._block, 0, *self._describe(batch))
            place, answers = ctypes.addressof(self._block), results.buffer_info()[0]
            self._program.entry.batch(invocation.address, place, count, answers)
            return self._count(results)

    def _describe(self, batch: Batch) -> tuple[int, ...]:
        context = self._context.address
        return (
            batch.addresses.buffer_info()[0], batch.lengths.buffer_info()[0],
            context, context + self._size, self._size,
            self._histogram.buffer_info()[0], BINS, self._skip,
            self._buffer.address if self._buffer else 0, HEADROOM, BUFFER_SIZE,
        )  # fmt: skip

    def _count(self, results: "array[int]") -> Counter[int]:
        histogram = self._histogram
        counted = Counter({value: times for value, times in enumerate(histogram) if times})
        if counted.pop(BINS - 1, 0):  # and all that is greater
            counted += Counter(value & 0xFFFF_FFFF for value in results if value >= BINS - 1)
        return counted
