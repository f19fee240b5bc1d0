"""Random programs of owned things: nodes, kernel pointers, locks, records, dynptrs, iterators.

usage: python tests/conformance/fuzz_owned.py [--seed N] [--count N] [--show N]

Programs (``owned_programs``) make, insert, remove, exchange and give back objects under locks, on
branches, in loops, subprograms and callbacks, mostly as they should. They are loaded into the
kernel and into skep, and never run.
"""

import argparse
import collections
import random
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.fuzz_objects import SECONDS, Pair, Tally, outcome_of, programs, stop
from conformance.owned_programs import Owner
from skep.btf.graph import Btf
from skep.btf.kernel import kernel_btf
from skep.btf.kinds import Kind
from skep.engine.proof_only import ProofEngine
from skep.errors import AssemblyError
from skep.isa.assembler import assemble
from skep.isa.codec import decode, encode
from skep.loader.door import Program
from skep.loader.reader import read_object
from skep.session.objects import new_subsystem

OBJECT: Final = Path(__file__).parents[1] / "objects" / "owned.bpf.o"
MAPS: Final = ("boxes", "drawers", "counts", "ring")


class Workbench:
    """The two sides, with the maps made."""

    def __init__(self) -> None:
        kernel = kernel_btf()
        types = read_object(OBJECT.read_bytes()).btf
        assert isinstance(kernel, Btf)
        assert types is not None
        self.kernel = kernel
        self.entry = types.by_name("entry", Kind.STRUCT)
        self.subsystem = new_subsystem(kernel, engine=ProofEngine())
        self.open = programs(OBJECT, [], self.subsystem)  # as long as this lives
        self.pair = next(self.open)

    def side(self, program: Program, text: str) -> Program:
        """*program* with the instructions of *text*."""
        insns = decode(program.insns)
        fds = [insn.imm for insn in insns if (insn.code, insn.src) == (0x18, 1)]
        for name, fd in zip(MAPS, fds, strict=True):
            text = text.replace(f"map[{name}]", f"map[fd {fd}]")
        text = text.replace("ENTRY", str(self.entry))
        insns = assemble(re.sub(r"kfunc (\w+)", self._number, text))
        calls = {(0x85, 1), (0x18, 4)}
        starts = {
            pc + 1 + insn.imm for pc, insn in enumerate(insns) if (insn.code, insn.src) in calls
        }
        (_, main), (_, part) = program.functions
        functions = [(0, main), *((start, part) for start in sorted(starts - {0}))]
        return replace(program, insns=encode(insns), functions=functions, lines=())

    def _number(self, name: "re.Match[str]") -> str:
        return f"call kfunc[{self.kernel.by_name(name[1], Kind.FUNC) or 0}]"

    def answers(self, text: str) -> tuple[tuple[int, int, str], tuple[int, int, str]]:
        """What the kernel and skep say."""
        known = self.pair
        pair = Pair(
            self.side(known.theirs, text), self.side(known.ours, text), known.kernel,
            known.subsystem,
        )  # fmt: skip
        theirs = pair.load(decode(pair.theirs.insns))
        signal.alarm(SECONDS)
        try:
            return theirs, pair.prove(decode(pair.theirs.insns))
        except TimeoutError:
            return theirs, (-1, 0, "takes too long")
        except Exception as error:  # noqa: BLE001 - a crash is a finding
            return theirs, (-2, 0, f"CRASH {error!r}")
        finally:
            signal.alarm(0)

    def shrunk(self, text: str, outcome: str) -> str:
        """*text* with fewer lines that do something, and the same outcome."""
        lines, again = text.splitlines(), True
        while again:
            again = False
            for at, line in enumerate(lines):
                trial = [*lines[:at], "r5 = 0", *lines[at + 1 :]]
                if line == "r5 = 0" or line.endswith(":"):
                    continue
                try:
                    if outcome_of(*self.answers("\n".join(trial))) == outcome:
                        lines, again = trial, True
                except AssemblyError:
                    continue
        return "\n".join(line for line in lines if line != "r5 = 0")


def run(seed: int, count: int, show: int) -> dict[str, int]:
    """Compare *count* programs; returns how often each outcome came."""
    signal.signal(signal.SIGALRM, stop)
    bench, tally = Workbench(), Tally(show)
    for number in range(seed, seed + count):
        text = Owner(random.Random(number)).program()
        try:
            theirs, ours = bench.answers(text)
        except AssemblyError:
            tally.counts["no program"] += 1
            continue
        outcome = outcome_of(theirs, ours)
        key = re.sub(r"\d+", "#", theirs[2].rpartition("\n")[2] + ours[2])[:90]
        if outcome.startswith("both") or tally.knows(outcome, key):
            tally.counts[outcome] += 1
            continue
        small = bench.shrunk(text, outcome)
        tally.add(outcome, f"seed {number}\n{small}\n  kernel {theirs}\n  skep   {ours}", key)
    return dict(collections.Counter(tally.counts))


def main() -> int:
    """Run as a script; exit status 1 if there is a hole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--show", type=int, default=5)
    args = parser.parse_args()
    tally = run(args.seed, args.count, args.show)
    print(tally)
    return int(bool({"HOLE", "CRASH"} & set(tally)))


if __name__ == "__main__":
    sys.exit(main())
