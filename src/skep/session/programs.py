"""Program: a loaded program, to run and to look at."""

import ctypes
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from skep.attach.capture import Capture
from skep.attach.packets import Batch, PacketSource
from skep.base.bits import U32
from skep.base.memory import Fault, OwnMemory
from skep.errors import CommandError, NotSupported
from skep.loader import logged
from skep.session.replay import PacketRunner, Replay
from skep.session.single import SingleRuns, takes_packets
from skep.syscall.call import AttrBuffer, Call
from skep.syscall.loaded import LoadedProgram
from skep.syscall.subsystem import Subsystem
from skep.uapi import contexts
from skep.uapi import reasons_runs as reasons
from skep.uapi.commands import PROG_TEST_RUN, TestRun
from skep.uapi.reason import Refusal

PLAIN: Final = frozenset(
    {"raw_tracepoint", "syscall", "kprobe", "tracepoint", "perf_event", "cgroup_device"}
)
ROOM: Final = 512  # bytes by which a program may make its packet longer
DEFAULT_PACKET: Final = bytes(64)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left behind.

    Args:
        retval: R0, 32 bits.
        data_out: the packet afterwards.
        ctx_out: the context afterwards.
        duration_ns: mean time of one run, nanoseconds.
    """

    retval: int
    data_out: bytes
    ctx_out: bytes
    duration_ns: float


class Program:
    """One program of a loaded object."""

    def __init__(self, subsystem: Subsystem, loaded: LoadedProgram, fd: int, name: str) -> None:
        self._subsystem, self.loaded, self.fd, self.name = subsystem, loaded, fd, name
        self.subsystem = subsystem
        self.type_name = loaded.type.name
        self._idle: list[PacketRunner] = []
        state = subsystem.state
        self._single = SingleRuns(state, loaded) if takes_packets(loaded) else None

    def run(
        self, data: bytes = b"", ctx: bytes | None = None, repeat: int = 1, cpu: int = 0
    ) -> RunResult:
        """Run with PROG_TEST_RUN.

        Args:
            data: the packet, for programs that work on packets.
            ctx: the context struct in its uapi layout, or the raw context of a tracing program.
            repeat: how often.
            cpu: for raw tracepoint programs, the virtual CPU.

        Raises:
            CommandError: as PROG_TEST_RUN, with the reason.
        """
        if repeat == 1 and cpu == 0 and ctx is None and self._is_simple(data):
            return self._run_once(data)
        if not 0 <= repeat <= U32:
            raise ValueError(f"repeat {repeat} is not in 0 .. {U32}")
        return self._run_command(data, ctx, repeat, cpu)

    def _is_simple(self, data: bytes) -> bool:
        """Whether a run on *data* does without the command: nobody logs, and nothing is refused."""
        state = self._subsystem.state
        if self._single is None or not state.runs or logged.CURRENT.get() is not None:
            return False
        holding = state.objects.find(self.fd)
        is_open = holding is not None and holding.target is self.loaded
        return is_open and self._single.takes(data)

    def _run_once(self, data: bytes) -> RunResult:
        assert self._single is not None
        try:
            retval, after, spent = self._single.run(data)
        except (Fault, NotSupported, MemoryError) as error:
            attr = TestRun(prog_fd=self.fd)
            call = Call(PROG_TEST_RUN, AttrBuffer(bytearray(), None), attr, OwnMemory())
            raise self._noted(call.explained(error)) from error
        room = len(data) + ROOM
        if len(after) > room:
            offset = TestRun.member("data_size_out").offset
            why = f"{len(after)} bytes do not fit"
            refusal = Refusal(PROG_TEST_RUN.name, reasons.DATA_OUT, why, found=room, offset=offset)
            raise self._noted(refusal)
        self._subsystem.note(PROG_TEST_RUN.number, None)
        return RunResult(retval, after, b"", float(spent))

    def _noted(self, error: CommandError) -> CommandError:
        """*error* as the command would have left it."""
        self._subsystem.note(PROG_TEST_RUN.number, error)
        return error

    def _run_command(self, data: bytes, ctx: bytes | None, repeat: int, cpu: int) -> RunResult:
        plain = self.type_name in PLAIN  # they run once, and their context stays where it is
        row = contexts.by_name(self.loaded.type.context)
        size = row.size if row is not None else 0
        data_in = ctypes.create_string_buffer(data, len(data)) if data else None
        data_out = ctypes.create_string_buffer(len(data) + ROOM) if data else None
        ctx_in = ctypes.create_string_buffer(ctx, len(ctx)) if ctx else None
        ctx_out = ctypes.create_string_buffer(max(size, len(ctx))) if ctx and not plain else None
        attr = bytearray(
            TestRun(
                prog_fd=self.fd, repeat=0 if plain and repeat == 1 else repeat, cpu=cpu,
                data_size_in=len(data), data_in=_address(data_in),
                data_size_out=_size(data_out), data_out=_address(data_out),
                ctx_size_in=_size(ctx_in), ctx_in=_address(ctx_in),
                ctx_size_out=_size(ctx_out), ctx_out=_address(ctx_out),
            ).encode()
        )  # fmt: skip
        began = time.perf_counter_ns()
        answer = logged.call(self._subsystem, PROG_TEST_RUN.number, attr)
        spent = time.perf_counter_ns() - began
        if answer < 0:
            assert self._subsystem.last_error is not None
            raise self._subsystem.last_error
        out = TestRun.decode(bytes(attr))
        return RunResult(
            out.retval,
            data_out.raw[: out.data_size_out] if data_out else b"",
            ctx_out.raw[: out.ctx_size_out] if ctx_out else ctx_in.raw if ctx_in else b"",
            float(out.duration or spent / max(repeat, 1)),
        )

    def run_batch(self, batch: Batch) -> Counter[int]:
        """Run on every packet of *batch*, in one native loop; return values by count."""
        with self._packets() as runner:
            return runner.run(batch)

    @contextmanager
    def _packets(self) -> Iterator[PacketRunner]:
        """A runner that nobody else uses: no other thread, and no helper that a run calls."""
        try:
            runner = self._idle.pop()
        except IndexError:
            runner = PacketRunner(self._subsystem.state, self.loaded)
        try:
            yield runner
        finally:
            self._idle.append(runner)

    def replay(
        self,
        source: PacketSource,
        *,
        repeat: int = 1,
        count: int | None = None,
        duration: float | None = None,
        jobs: int = 1,
        keep: bool = False,
    ) -> dict[str, Any]:
        """Run on the packets of *source* until it ends, *count* packets or *duration* seconds.

        Args:
            source: a capture or an interface.
            repeat: how often each packet is run.
            count: packets after which to stop.
            duration: seconds after which to stop.
            jobs: on how many threads, each with a virtual CPU of its own: at most as many as there
                are; more than one for a ``Capture`` only.
            keep: remember what the program returned for each packet.

        Returns:
            ``returns`` (return values by count), ``runs``, ``packets``, ``jobs``, ``ns_per_run``
            (of one thread, in the native loop), ``seconds`` (all in all); with *keep* ``values``,
            r0 of each packet in the order of the packets, of its last run.

        Raises:
            NotSupported: several jobs on packets that do not stay where they are.
        """
        if jobs < 1:
            raise ValueError(f"{jobs} jobs")
        if jobs > 1 and not isinstance(source, Capture):
            raise NotSupported("several jobs", "only the packets of a capture stay where they are")
        state = self._subsystem.state
        bind = state.engine.library.bind if state.compiles else None
        batches = source.batches(bind) if isinstance(source, Capture) else source.batches()
        replay = Replay(batches, self._packets, repeat, count, duration, keep)
        return replay.run(min(jobs, state.world.cpus))

    @property
    def summary(self) -> str:
        """Type, size and cost of verification, in one line."""
        proof = self.loaded.proof
        cost = proof.statistics
        return (
            f"{self.type_name}, {len(proof.insns)} insns, {cost.insns_processed} processed by the "
            f"verifier in {cost.microseconds / 1000:.2f} ms"
        )

    @property
    def info(self) -> dict[str, Any]:
        """What ``skep prog show`` says."""
        loaded = self.loaded
        return {
            "id": loaded.id,
            "type": self.type_name,
            "name": self.name,
            "tag": loaded.tag.hex(),
            "gpl": "GPL" in loaded.proof.request.license,
            "xlated_bytes": 8 * len(loaded.proof.insns),
            "verified_insns": loaded.proof.statistics.insns_processed,
            "map_ids": [each.id for each in loaded.proof.maps],
            "run_count": loaded.run_count,
        }

    def listing(self, form: str) -> list[str]:
        """The program as text: ``xlated`` instructions, ``llvm`` IR or ``jited`` machine code."""
        from skep.session.listings import proof_lines

        if form == "xlated":
            return proof_lines(self.loaded.proof)
        engine: Any = self._subsystem.state.engine
        if engine.name != "llvm":
            raise NotSupported(f"form {form}", "the program runs in the interpreter")
        text = (
            engine.ir(self.loaded.proof) if form == "llvm" else engine.assembly(self.loaded.proof)
        )
        return str(text).splitlines()

    def __repr__(self) -> str:
        return f"<skep.Program {self.name}: {self.type_name}>"


def _address(buffer: "ctypes.Array[ctypes.c_char] | None") -> int:
    return ctypes.addressof(buffer) if buffer is not None else 0


def _size(buffer: "ctypes.Array[ctypes.c_char] | None") -> int:
    return len(buffer) if buffer is not None else 0
