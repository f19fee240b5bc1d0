"""What a program does is the same in every tier, and what the reference says.

usage: python tests/conformance/tiers.py [--seed N] [--programs N] [--seconds N] [--compiled N]

Random programs that the verifier accepts run in the checked interpreter, in the start tier, and
compiled without and with optimisation, each on the same packets, contexts, map values, clock and
random numbers. r0, packet, context and what the maps then hold must be the same.
"""

import argparse
import ctypes
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from conformance.fuzz_verdicts import ARRAY, HASH, SCHED_CLS, VALUE_SIZE, Maker, listing
from skep.base.native import store64
from skep.engine.interface import CodePart, CodePlace, Engine, Entry
from skep.engine.interpreter import InterpretedEntry, Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.machine import FULL, QUICK, Machine, Tier
from skep.engine.llvm.start import START
from skep.isa.insn import Insn
from skep.runtime.invocation import CLOCK_NS, RANDOM
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.verifier.interface import Proof
from support import kernel
from support.caller import Caller

ENTRIES: Final = 4
RUNS: Final = 3
TIERS: Final[Mapping[str, Tier]] = {"start": START, "quick": QUICK, "full": FULL}
ROOM: Final = 1024
STEPS: Final = 5000  # of one run of the reference
NOW: Final = 1_000_000_007
PARTS: Final = ("answer", "r0", "packet", "context", "maps")
LEAKY: Final = "depends on addresses"
Outcome = tuple[int, int, bytes, bytes, tuple[bytes, ...]]


class _TooLongError(Exception):
    """The reference would take too long."""


class _Entry:
    """One program in all tiers; *tier* is the one that runs."""

    parts: Sequence[CodePart] = ()

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = entries
        self.tier = next(iter(entries))
        self.address = entries[self.tier].address
        reference = entries["interpreter"]
        assert isinstance(reference, InterpretedEntry)
        reference.step = self._count
        self._steps = 0

    def _count(self, _pc: int, _registers: list[int]) -> None:
        self._steps += 1
        if self._steps > STEPS:
            raise _TooLongError

    def __call__(self, run: int, context: int, /) -> int:
        store64(run + RANDOM, NOW)
        store64(run + CLOCK_NS, NOW)
        self._steps = 0
        return self.entries[self.tier](run, context)

    def places(self) -> Sequence[CodePlace]:
        return ()

    def hot(self, count: int) -> int:
        return self.entries[self.tier].hot(count)

    def call_back(self, run: int, callback: int, arguments: tuple[int, int, int], /) -> int:
        return self.entries[self.tier].call_back(run, callback, arguments)

    def batch(self, run: int, batch: int, count: int, results: int, /) -> None:
        self.entries[self.tier].batch(run, batch, count, results)


class EveryTier:
    """An engine that makes programs runnable in every tier, or in those that are *wanted*.

    Attributes:
        last: the program that came last.
    """

    name = "every tier"

    def __init__(self, world: World) -> None:
        helpers, machine = tuple(helper_codes(world)), Machine()
        first = LlvmEngine(helpers, machine=machine, tier=START)
        self.library = first.library
        self.engines: dict[str, Engine] = {"interpreter": Interpreter(helpers)}
        for name, tier in TIERS.items():
            self.engines[name] = LlvmEngine(
                helpers, machine=machine, library=self.library, tier=tier
            )
        self.last: _Entry | None = None
        self.wanted: Sequence[str] = tuple(TIERS)

    def compile(self, proof: Proof, *_: object) -> Entry:
        """See Engine."""
        made = {name: self.engines[name].compile(proof) for name in ("interpreter", *self.wanted)}
        self.last = _Entry(made)
        return self.last


class Bench:
    """A subsystem with two maps, in which programs run in every tier."""

    def __init__(self) -> None:
        world = World()
        self.engine = EveryTier(world)
        self.subsystem = Subsystem(world, self.engine)
        self.caller = Caller(self.subsystem)
        self.fds = [self.caller.map(kind, 4, VALUE_SIZE, ENTRIES) for kind in (ARRAY, HASH)]

    def judge(self, insns: Sequence[Insn], seed: int) -> str:
        """Load a program and run it in every tier; what differs, "" if nothing does."""
        bound = [
            Insn(insn.code, insn.dst, insn.src, insn.off, self.fds[insn.imm & 1])
            if insn.code == 0x18 and insn.src == 1
            else insn
            for insn in insns
        ]
        fd = self.caller.program(kernel.encode(bound), SCHED_CLS)
        if fd < 0:
            return "rejected"
        try:
            for turn in range(RUNS):
                said = self._compare(fd, 1000 * seed + turn)
                if said:
                    return said
            return ""
        finally:
            self.subsystem.close(fd)

    def _compare(self, fd: int, seed: int) -> str:
        entry = self.engine.last
        assert entry is not None
        try:
            expected = self._outcome(entry, "interpreter", fd, seed)
        except _TooLongError:
            return ""
        for tier in self.engine.wanted:
            found = self._outcome(entry, tier, fd, seed)
            if found != expected:
                if self._depends_on_addresses(entry, fd, seed, expected):
                    return LEAKY
                return f"{tier}, inputs {seed}: {_told(found, expected)}"
        return ""

    def _depends_on_addresses(self, entry: _Entry, fd: int, seed: int, known: Outcome) -> bool:
        """Whether the reference does something else with its stack and map elements elsewhere."""
        taken = [ctypes.create_string_buffer(size) for size in range(480, 640, 8) for _ in range(9)]
        again = [self._outcome(entry, "interpreter", fd, seed) for _ in range(2)]
        del taken
        return again != [known, known]

    def _outcome(self, entry: _Entry, tier: str, fd: int, seed: int) -> Outcome:
        entry.tier = tier
        chance, caller = random.Random(seed), self.caller
        caller._alive.clear()
        self._fill(chance)
        packet = chance.randbytes(chance.choice((14, 20, 34, 54, 60, 128, 400)))
        context = bytearray(192)
        struct.pack_into("<I", context, 8, chance.choice((0, 1, 31, chance.getrandbits(32))))
        struct.pack_into("<I", context, 32, chance.choice((0, 7, chance.getrandbits(32))))
        context[48:68] = chance.randbytes(20)
        data_out, ctx_out = bytes(ROOM), bytes(192)
        places = caller.keep(data_out), caller.keep(ctx_out)
        answer = caller.call(
            commands.PROG_TEST_RUN, prog_fd=fd, data_in=caller.keep(packet),
            data_size_in=len(packet), ctx_in=caller.keep(bytes(context)), ctx_size_in=len(context),
            data_out=places[0], data_size_out=ROOM, ctx_out=places[1], ctx_size_out=192,
        )  # fmt: skip
        ran = caller.attr
        assert isinstance(ran, commands.TestRun)
        left = (self._read(place, size) for place, size in zip(places, (ROOM, 192), strict=True))
        return answer, ran.retval, next(left), next(left), self._contents()

    def _fill(self, chance: random.Random) -> None:
        for fd in self.fds:
            for key in range(ENTRIES):
                value = chance.randbytes(VALUE_SIZE) if chance.random() < 0.7 else bytes(VALUE_SIZE)
                self.caller.call(
                    commands.MAP_UPDATE_ELEM, map_fd=fd,
                    key=self.caller.keep(struct.pack("<I", key)), value=self.caller.keep(value),
                )  # fmt: skip

    def _contents(self) -> tuple[bytes, ...]:
        found = []
        for fd in self.fds:
            for key in range(ENTRIES):
                place = self.caller.keep(bytes(VALUE_SIZE))
                answer = self.caller.call(
                    commands.MAP_LOOKUP_ELEM, map_fd=fd,
                    key=self.caller.keep(struct.pack("<I", key)), value=place,
                )  # fmt: skip
                found.append(self._read(place, VALUE_SIZE) if answer == 0 else b"")
        return tuple(found)

    def _read(self, address: int, size: int) -> bytes:
        return self.subsystem.state.world.memory.read(address, size)


def _told(found: Outcome, expected: Outcome) -> str:
    """What differs, shortly."""
    for what, x, y in zip(PARTS, found, expected, strict=True):
        if x != y:
            return f"{what} {str(x)[:200]}, not {str(y)[:200]}"
    return ""


def run(seed: int, programs: int, compiled: int = 1, seconds: float = 1e9) -> Counter[str]:
    """Compare so many accepted programs, or for so long; prints those that differ, and counts all.

    Each *compiled*-th one is compiled, too; the others run in the start tier only.
    """
    bench, tally = Bench(), Counter[str]()
    end = time.monotonic() + seconds
    while tally["same"] < programs and time.monotonic() < end:
        insns = Maker(random.Random(seed)).program()
        bench.engine.wanted = tuple(TIERS) if seed % compiled == 0 else ("start",)
        said = bench.judge(insns, seed)
        tally[{"": "same", "rejected": said, LEAKY: LEAKY}.get(said, "DIFFERENT")] += 1
        if said not in ("", "rejected", LEAKY):
            print(f"--- seed {seed}: {said}\n{listing(insns)}", flush=True)
        seed += 1
    return tally


def main() -> int:
    """Run as a script; exit status 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--compiled", type=int, default=1)
    args = parser.parse_args()
    tally = run(args.seed, args.programs, args.compiled, args.seconds)
    for outcome, times in tally.most_common():
        print(f"{times:8d} {outcome}")
    return int("DIFFERENT" in tally)


if __name__ == "__main__":
    sys.exit(main())
