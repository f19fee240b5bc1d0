"""Invocation: owner of one run block (``skep.runtime.invocation`` has the layout).

Blocks are reused: ``begin`` resets what belongs to one run and keeps the random state.
"""

import ctypes
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from skep.base.bits import U64
from skep.base.memory import Block
from skep.runtime import invocation as words
from skep.runtime.invocation import HELD_SIZE, RUN_SIZE, Origin

SCRATCH_SIZE: Final = 3072  # helpers nest: more than the 512 bytes that one of them may use
_COMM_AT: Final = RUN_SIZE
_SCRATCH_AT: Final = RUN_SIZE + 64
TUNNEL_SIZE: Final = 384
_TUNNEL_AT: Final = _SCRATCH_AT + SCRATCH_SIZE
_BLOCK_SIZE: Final = _TUNNEL_AT + TUNNEL_SIZE
_MOST_CLONES: Final = 1024
ENDLESS: Final = 1 << 62  # back edges: what a run with nothing but a deadline may take


@dataclass(frozen=True, slots=True)
class Limits:
    """How long runs may last, as far as metered engines see to it; 0 is no limit.

    Args:
        fuel: jumps backwards and calls of callbacks that a run may make.
        deadline_ns: nanoseconds from the beginning of a call of a program to its end.
    """

    fuel: int = 0
    deadline_ns: int = 0

    def __bool__(self) -> bool:
        """Whether there is a limit."""
        return self.fuel != 0 or self.deadline_ns != 0


class Invocation:
    """One run: its block, and what upcalls leave for the caller.

    ``error`` is the exception of an upcall, if one failed; ``output`` collects what seq_write and
    seq_printf write; ``task`` is whatever the identity words were last set from; ``clones`` are the
    last packets that clone_redirect sent, with interface and flags; ``storage`` is what programs
    attached to the run's socket or cgroup, by map and kind.
    """

    def __init__(self, handle: int, seed: int) -> None:
        self._block = Block(_BLOCK_SIZE, shared=False)
        self.address = self._block.address
        self._words = (ctypes.c_uint64 * (RUN_SIZE // 8)).from_address(self.address)
        self.handle = handle
        self.error: BaseException | None = None
        self.output = bytearray()
        self.output_limit = 0  # bytes that output may hold; 0: no seq_file
        self.overflowed = False  # something did not fit into output
        self.task: object = None
        self.clones: deque[tuple[int, int, bytes]] = deque(maxlen=_MOST_CLONES)
        self.storage: dict[tuple[int, int], ctypes.Array[ctypes.c_char]] = {}
        self._held: Block | None = None
        self.discarded: list[ctypes.Array[ctypes.c_char]] = []
        self._tunnel = ctypes.c_uint64.from_address(self.address + _TUNNEL_AT)
        self._put(words.HANDLE, handle)
        self._put(words.SOCKET, handle << 40)
        self._put(words.TUNNEL, self.address + _TUNNEL_AT)
        self._put(words.RANDOM, seed & U64 or 1)
        self._put(words.COMM, self.address + _COMM_AT)

    def _put(self, word: int, value: int) -> None:
        self._words[word >> 3] = value

    def get(self, word: int) -> int:
        """The word at offset *word* of the run block."""
        return self._words[word >> 3]

    def begin(self, *, cpu: int = 0, clock_ns: int = 0) -> None:
        """Make the block ready for a new run."""
        block = self._words
        for word in (
            words.TAIL_CALLS, words.REDIRECT, words.REDIRECT_KEY, words.REDIRECT_FLAGS,
            words.FUEL, words.FAULT, words.ORIGIN, words.COOKIE, words.RETVAL, words.CONTEXT,
            words.DATA, words.DATA_END, words.DATA_META, words.HEAD, words.LIMIT,
            words.LINK_HEADER, words.NETWORK_HEADER, words.CHECKSUM, words.DEADLINE,
            words.ALLOWANCE,
        ):  # fmt: skip
            block[word >> 3] = 0
        block[words.CPU >> 3] = cpu
        block[words.CLOCK_NS >> 3] = clock_ns
        block[words.SCRATCH >> 3] = self.address + _SCRATCH_AT
        block[words.SOCKET >> 3] += 1
        self._tunnel.value = 0
        self.error = None
        if self.clones or self.storage or self.discarded:
            self._forget()

    def _forget(self) -> None:
        self.clones.clear()
        self.storage.clear()
        self.discarded.clear()

    def set_place(self, namespace: int, cgroup: int) -> None:
        """Set the network namespace's cookie and the id of the process's cgroup."""
        self._put(words.NAMESPACE, namespace)
        self._put(words.CGROUP, cgroup)

    def set_task(self, pid: int, tgid: int, uid: int, gid: int, comm: bytes) -> None:
        """Set the identity that helpers answer; *comm* is 16 bytes."""
        self._put(words.PID_TGID, (tgid & 0xFFFF_FFFF) << 32 | pid & 0xFFFF_FFFF)
        self._put(words.UID_GID, (gid & 0xFFFF_FFFF) << 32 | uid & 0xFFFF_FFFF)
        ctypes.memmove(self.address + _COMM_AT, comm, 16)

    def set_context(self, context: int, origin: Origin = Origin.OTHER, cookie: int = 0) -> None:
        """Set the context's address and kind, and the attach cookie."""
        self._put(words.CONTEXT, context)
        self._put(words.ORIGIN, origin)
        self._put(words.COOKIE, cookie)

    def set_packet(self, *, head: int, meta: int, data: int, end: int, limit: int) -> None:
        """Set the packet's addresses: *head* <= *meta* <= *data* <= *end* <= *limit*."""
        self._put(words.HEAD, head)
        self._put(words.DATA_META, meta)
        self._put(words.DATA, data)
        self._put(words.DATA_END, end)
        self._put(words.LIMIT, limit)

    def set_headers(self, link: int, network: int) -> None:
        """Set where the packet's link and network headers begin; 0: it has none."""
        self._put(words.LINK_HEADER, link)
        self._put(words.NETWORK_HEADER, network)

    def set_fuel(self, back_edges: int) -> None:
        """Set how many back edges the run may take; 0: any number."""
        self._put(words.FUEL, back_edges)
        self._put(words.ALLOWANCE, back_edges)

    def limit(self, limits: Limits) -> None:
        """Limit the run; what it holds is noted, to be given back if it is stopped."""
        if self._held is None:
            self._held = Block(HELD_SIZE, shared=False)
            self._put(words.HELD, self._held.address)
        ctypes.c_uint64.from_address(self._held.address).value = 0
        self.set_fuel(limits.fuel or ENDLESS)
        if limits.deadline_ns:
            self._put(words.DEADLINE, time.monotonic_ns() + limits.deadline_ns)

    @property
    def cpu(self) -> int:
        """Virtual CPU of the run."""
        return self._words[words.CPU >> 3]

    @property
    def fault(self) -> int:
        """Code of what stopped the run; 0: nothing did."""
        return self._words[words.FAULT >> 3]

    @property
    def redirect(self) -> tuple[int, int, int]:
        """What redirect helpers recorded: map address or 0, key or ifindex, flags."""
        block = self._words
        return (
            block[words.REDIRECT >> 3],
            block[words.REDIRECT_KEY >> 3],
            block[words.REDIRECT_FLAGS >> 3],
        )

    @property
    def packet(self) -> bytes:
        """The packet as it stands, from data to data_end."""
        data, end = self.get(words.DATA), self.get(words.DATA_END)
        return ctypes.string_at(data, end - data) if end > data else b""
