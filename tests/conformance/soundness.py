"""What runs lies inside of what was proved: concrete states against abstract ones.

usage: python tests/conformance/soundness.py [--seed N] [--seconds N] [--show N]

A random program that the verifier accepts runs in the checked interpreter on random packets,
contexts and map values. Before each instruction, registers and stack must lie inside one of the
states that the verifier had there, with nothing pruned: an imprecise number may be anything behind
a pruned state. What pruning may break shows as an access that the interpreter refuses.
"""

import argparse
import collections
import ctypes
import inspect
import random
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from conformance.fuzz_joins import Joiner
from conformance.fuzz_verdicts import ARRAY, HASH, SCHED_CLS, VALUE_SIZE, Maker, listing
from skep.base.native import load64
from skep.engine.hooks import NO_HOOKS, Hooks
from skep.engine.interface import HelperCode
from skep.engine.interpreter import InterpretedEntry, Interpreter
from skep.errors import CommandError, NotSupported, RunError
from skep.isa.insn import Insn
from skep.maps.array_code import VALUES
from skep.maps.interface import STRIDE
from skep.runtime.invocation import DATA, DATA_END
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.verifier import Rejected, verify
from skep.verifier.check import Check
from skep.verifier.checkpoints import Checkpoints
from skep.verifier.interface import Proof, Request
from skep.verifier.program import Step
from skep.verifier.scalar import Scalar
from skep.verifier.state import SPILL, ZERO, Frame, Slot
from skep.verifier.values import (
    CTX,
    MAP_VALUE,
    MAYBE_NULL,
    PACKET,
    PACKET_END,
    STACK,
    Pointer,
    Value,
)
from support import kernel
from support.caller import Caller

ENTRIES = 4
STATES = 2500  # of one program; more are not compared
PATIENCE = 2.0  # seconds for one program's states
STEPS = 5000  # of one run
RUNS = 4
U64 = (1 << 64) - 1


class TooLongError(Exception):
    """The program has too many states without pruning, or runs too long."""


@dataclass(frozen=True)
class Known:
    """A frame as the verifier knew it."""

    number: int
    regs: tuple[Value | None, ...]
    stack: tuple[Slot, ...]


def known(frame: Frame) -> Known:
    """A copy that stays as it is."""
    return Known(frame.number, tuple(frame.regs), tuple(frame.stack))


class Recorder:
    """Keeps every state that the verifier arrives with."""

    def __init__(self) -> None:
        self.states: dict[int, list[tuple[Known, ...]]] = collections.defaultdict(list)
        self.count = 0
        self.end = time.monotonic() + PATIENCE

    def arrive(self, check: Check) -> None:
        """See Observer."""
        self.count += 1
        if self.count > STATES or time.monotonic() > self.end:
            raise TooLongError
        self.states[check.pc].append(tuple(known(frame) for frame in check.state.frames))

    def remember(self, pc: int) -> None:
        """See Observer."""


def _never(_: Checkpoints, __: Step) -> bool:
    return False


@contextmanager
def unpruned() -> Iterator[None]:
    """Every path is walked to its end; possible only with the verifier uncompiled."""
    pruning: Callable[[Checkpoints, Step], bool] = Checkpoints.is_visited
    if not inspect.isfunction(pruning):
        raise NotSupported("states without pruning", "the verifier is compiled: use PYTHONPATH=src")
    Checkpoints.is_visited = _never  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Checkpoints.is_visited = pruning  # type: ignore[method-assign,assignment]


def _stop(_number: int, _frame: object) -> None:
    raise TimeoutError


@contextmanager
def patience() -> Iterator[None]:
    """Raise TimeoutError if it takes too long."""
    before = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def record(request: Request) -> Recorder | None:
    """All states of a program, None if there are too many."""
    recorder = Recorder()
    try:
        with unpruned():
            verify(replace(request, observer=recorder, log_level=0))
    except (TooLongError, Rejected):  # rejected: the budget, or a loop that pruning ends
        return None
    return recorder


@dataclass
class Memory:
    """Where things are in a run."""

    context: int
    run: int
    values: dict[int, tuple[int, int, int]]  # of arrays, by id: start, distance, how many
    frames: list[list[int]] = field(default_factory=list)  # registers, outermost first

    def word(self, at: int) -> int:
        """A member of the run block."""
        return int.from_bytes(ctypes.string_at(self.run + at, 8), "little")

    def why_not(self, states: tuple[Known, ...]) -> str:
        """Why the run is not in these states of its frames; "" if it is."""
        if len(states) != len(self.frames):
            return "depth"
        ids: dict[int, int] = {}
        for frame, registers in zip(states, self.frames, strict=True):
            inner = frame is states[-1]
            for number in range(10) if inner else range(6, 10):
                value = frame.regs[number]
                if value is not None and not self._in(value, registers[number], ids):
                    return f"frame {frame.number} r{number}={registers[number]:#x}: {value}"
            for spi, slot in enumerate(frame.stack):
                at = registers[10] - 8 * (spi + 1)
                if not self._in_slot(slot, ctypes.string_at(at, 8), ids):
                    return f"frame {frame.number} fp-{8 * (spi + 1)}: {slot.types!r} {slot.value}"
        return ""

    def _in_slot(self, slot: Slot, data: bytes, ids: dict[int, int]) -> bool:
        if any(kind == ZERO and byte for kind, byte in zip(slot.types, data, strict=True)):
            return False
        spilled = sum(kind == SPILL for kind in slot.types)
        if not spilled or slot.value is None:
            return True
        number = int.from_bytes(data[:spilled], "little")
        if isinstance(slot.value, Scalar) and slot.value.umax >> 8 * spilled:
            unknown = slot.value.mask  # only the low bytes of the number were stored
            return not (number ^ slot.value.value) & ~unknown & ((1 << 8 * spilled) - 1)
        return self._in(slot.value, number, ids)

    def _in(self, value: Value, number: int, ids: dict[int, int]) -> bool:
        if isinstance(value, Pointer):
            return self._points(value, number)
        if number not in value:
            return False
        if value.id and not value.moved:
            return ids.setdefault(value.id, number) == number
        if value.id and value.moved == 64:
            return (
                ids.setdefault(value.id, (number - value.delta) & U64)
                == (number - value.delta) & U64
            )
        return True

    def _points(self, pointer: Pointer, number: int) -> bool:
        if number == 0 and pointer.flags & MAYBE_NULL:
            return True
        base = (number - pointer.off) & U64
        if pointer.kind == STACK:
            return (base - self.frames[pointer.frame][10]) & U64 in pointer.var
        if pointer.kind == CTX:
            return (base - self.context) & U64 in pointer.var
        if pointer.kind == PACKET_END:
            return number == self.word(DATA_END)
        if pointer.kind == PACKET:
            return self._in_packet(pointer, base)
        if pointer.kind == MAP_VALUE and pointer.map is not None:
            start, stride, count = self.values.get(pointer.map.id, (0, 0, 0))
            return start == 0 or any(
                (base - start - stride * index) & U64 in pointer.var for index in range(count)
            )
        return True

    def _in_packet(self, pointer: Pointer, base: int) -> bool:
        start, end = self.word(DATA), self.word(DATA_END)
        if pointer.range > 0 and base + pointer.range > end:
            return False
        return (base - start) & U64 in pointer.var


class Checker:
    """Compares each step of a run with the states of the proof."""

    def __init__(self, recorder: Recorder | None, memory: Memory) -> None:
        self.recorder, self.memory = recorder, memory
        self.complaint = ""
        self.steps = 0

    def step(self, pc: int, registers: list[int]) -> None:
        """See InterpretedEntry.step; a list of registers is one invocation of a function."""
        frames = self.memory.frames
        while any(one is registers for one in frames) and frames[-1] is not registers:
            frames.pop()
        if not frames or frames[-1] is not registers:
            frames.append(registers)
        self.steps += 1
        if self.steps > STEPS:
            raise TooLongError
        if self.recorder is not None and not self.complaint:
            self._compare(pc, self.recorder.states.get(pc, []))

    def _compare(self, pc: int, states: list[tuple[Known, ...]]) -> None:
        why = "no state"
        for index, state in enumerate(states):
            why = self.memory.why_not(state)
            if not why:
                states.insert(0, states.pop(index))  # the next run likely comes by here, too
                return
        self.complaint = f"insn {pc}, {len(states)} states: {why}"


class CheckedInterpreter(Interpreter):
    """Compares all that it runs; says what it found in *complaints*."""

    def __init__(self, helpers: Iterable[HelperCode]) -> None:
        super().__init__(helpers)
        self.complaints: list[str] = []
        self.recorded = self.steps = 0

    def compile(self, proof: Proof, hooks: Hooks = NO_HOOKS) -> InterpretedEntry:
        """See Interpreter; the program is verified again to see its states."""
        entry = super().compile(proof, hooks)
        recorder = record(proof.request)
        self.recorded += recorder is not None
        begin = entry.begin
        values = {
            shape.id: (
                load64(shape.address + VALUES), load64(shape.address + STRIDE), shape.max_entries
            )
            for shape in proof.maps
            if shape.map_type == ARRAY
        }  # fmt: skip

        def begun(run: int, context: int, step: object) -> int:
            del step
            checker = Checker(recorder, Memory(context, run, values))
            try:
                return begin(run, context, checker.step)
            finally:
                self.steps += checker.steps
                if checker.complaint:
                    self.complaints.append(checker.complaint)

        entry.begin = begun  # type: ignore[method-assign]
        return entry


@dataclass
class Outcome:
    """What became of one program."""

    kind: str  # rejected, too slow, unable, agrees, HOLE
    complaint: str = ""


class Bench:
    """A subsystem with two maps, in which programs are loaded and run."""

    def __init__(self) -> None:
        world = World()
        self.engine = CheckedInterpreter(helper_codes(world))
        self.subsystem = Subsystem(world, self.engine)
        self.caller = Caller(self.subsystem)
        self.fds = [self.caller.map(kind, 4, VALUE_SIZE, ENTRIES) for kind in (ARRAY, HASH)]

    def bind(self, insns: Sequence[Insn]) -> list[Insn]:
        """Put the descriptors of the maps in."""
        return [
            Insn(insn.code, insn.dst, insn.src, insn.off, self.fds[insn.imm & 1])
            if insn.code == 0x18 and insn.src == 1
            else insn
            for insn in insns
        ]

    def fill(self, rng: random.Random) -> None:
        """New contents of the maps."""
        for fd in self.fds:
            for key in range(ENTRIES):
                value = rng.randbytes(VALUE_SIZE) if rng.random() < 0.7 else bytes(VALUE_SIZE)
                self.caller.call(
                    commands.MAP_UPDATE_ELEM, map_fd=fd,
                    key=self.caller.keep(struct.pack("<I", key)), value=self.caller.keep(value),
                )  # fmt: skip

    def judge(self, insns: Sequence[Insn], rng: random.Random) -> Outcome:
        """Load and run one program."""
        with patience():
            try:
                fd = self.caller.program(kernel.encode(self.bind(insns)), SCHED_CLS)
            except TimeoutError:
                return Outcome("too slow")
        if fd < 0:
            return Outcome("rejected")
        try:
            return self._run(fd, rng)
        finally:
            self.subsystem.close(fd)
            self.caller._alive.clear()

    def _run(self, fd: int, rng: random.Random) -> Outcome:
        engine = self.engine
        engine.complaints.clear()
        for _ in range(RUNS):
            self.fill(rng)
            try:
                self._test_run(fd, rng)
            except NotSupported:
                return Outcome("unable")
            except CommandError:  # a random packet announces an IP header that it does not have
                continue
            except RunError as error:
                return Outcome("HOLE", f"it ran, but {error}")
            except TooLongError:
                pass
            if engine.complaints:
                return Outcome("HOLE", engine.complaints[0])
        return Outcome("agrees")

    def _test_run(self, fd: int, rng: random.Random) -> None:
        packet = rng.randbytes(rng.choice((14, 20, 34, 54, 60, 128, 400)))
        context = bytearray(192)
        struct.pack_into("<I", context, 8, rng.choice((0, 1, 31, rng.getrandbits(32))))
        struct.pack_into("<I", context, 32, rng.choice((0, 7, rng.getrandbits(32))))
        context[48:68] = rng.randbytes(20)
        answer = self.caller.call(
            commands.PROG_TEST_RUN, prog_fd=fd, data_in=self.caller.keep(packet),
            data_size_in=len(packet), ctx_in=self.caller.keep(bytes(context)),
            ctx_size_in=len(context),
        )  # fmt: skip
        error = self.subsystem.last_error
        if answer < 0 and error is not None:
            raise error


def run(seed: int, seconds: float, show: int, maker: type[Maker] = Maker) -> dict[str, int]:
    """Judge programs for some time; returns how often each outcome came, and steps compared."""
    bench = Bench()
    tally: dict[str, int] = collections.Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        insns = maker(random.Random(seed)).program()
        outcome = bench.judge(insns, random.Random(seed))
        tally[outcome.kind] += 1
        if outcome.kind == "HOLE" and tally["HOLE"] <= show:
            print(f"--- seed {seed}: {outcome.complaint}\n{listing(insns)}", flush=True)
        seed += 1
    return {**tally, "compared": bench.engine.recorded, "steps": bench.engine.steps}


def main() -> int:
    """Run as a script; exit status 1 if there is a hole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--show", type=int, default=3)
    parser.add_argument("--joins", action="store_true", help="programs of fuzz_joins")
    args = parser.parse_args()
    tally = run(args.seed, args.seconds, args.show, Joiner if args.joins else Maker)
    for outcome, times in sorted(tally.items(), key=lambda row: -row[1]):
        print(f"{times:8d} {outcome}")
    return int("HOLE" in tally)


if __name__ == "__main__":
    sys.exit(main())
