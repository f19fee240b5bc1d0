"""Maps under stress: programs on several threads and the host at once, for as long as you like.

usage: python tests/conformance/stress.py [--seconds N] [--threads N] [--round S] [--seed N]
           [--only NAME …]

Each round loads ``tests/objects/stress.bpf.o`` afresh, lets programs run on several threads (none
of which needs the interpreter lock) while host threads read, change, walk and empty the same maps,
and then asks whether the counts are exact: no update lost, none done twice, no value torn, nothing
that stays missed or seen twice, records in order and complete. In between, histories of hash and
LRU maps are looked at as ``tests/property/test_maps_concurrent.py`` does. Exit status 1 if anything
was wrong; a crash ends the process by its signal, and a round that hangs tells where each thread
is.
"""

import argparse
import collections
import faulthandler
import itertools
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.stress_round import WORKERS, Round, Scenario
from conformance.stress_scenarios import SCENARIOS
from property import test_maps_concurrent as histories
from skep.base.memory import PAGE_SIZE

HANG = 180  # seconds of a round after which it is told where it stands


def play(scenario: Scenario, threads: int, seconds: float, seed: int) -> tuple[int, list[str]]:
    """One round: how many steps programs did, and what was wrong."""
    faulthandler.dump_traceback_later(HANG + seconds, exit=True)
    round_ = Round(scenario, threads, random.Random(seed))
    try:
        return round_.play(seconds), round_.complaints
    finally:
        round_.close()
        faulthandler.cancel_dump_traceback_later()


def play_histories(seconds: float) -> list[str]:
    """Histories of hash and LRU maps, each of which some order must explain."""
    histories.SECONDS = seconds / 2
    try:
        for kind, entries, flags, keys in (
            (1, 8, 0, 3),
            (1, 8, 1, 3),
            (9, 64, 0, 4),
            (9, 4, 0, 12),
        ):
            histories.test_histories_are_linearizable(kind, entries, flags, keys)
    except AssertionError as error:
        return [f"histories: {error}"]
    return []


def memory() -> int:
    """Megabytes that the process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * PAGE_SIZE >> 20


def run(
    seconds: float, threads: int, length: float, seed: int, only: Sequence[str] = ()
) -> tuple[dict[str, int], list[str]]:
    """Play rounds until time is up: steps by scenario, and complaints."""
    chosen = [each for each in SCENARIOS if not only or each.name in only]
    steps: dict[str, int] = collections.Counter()
    complaints: list[str] = []
    end, began = time.monotonic() + seconds, time.monotonic()
    for number in itertools.count():
        if number and time.monotonic() >= end:
            break
        scenario = chosen[number % len(chosen)]
        done, wrong = play(scenario, threads, length, seed + number)
        steps[scenario.name] += done
        if not only and number % len(chosen) == len(chosen) - 1:
            wrong += play_histories(length)
            steps["rounds of all"] += 1
            spent = time.monotonic() - began
            print(f"{spent:7.0f} s  {sum(steps.values()):,} steps  {memory()} MB", flush=True)
        for text in wrong[:3]:
            print(f"WRONG (seed {seed + number}) {text}", flush=True)
        complaints += wrong
    return steps, complaints


def main() -> int:
    """Run as a script; exit status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2, help="that run programs")
    parser.add_argument("--round", type=float, default=1.0, help="seconds of one round")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--only", nargs="*", default=(), help="names of scenarios")
    args = parser.parse_args()
    if not 1 <= args.threads < WORKERS:
        parser.error(f"1 to {WORKERS - 1} threads")
    print(f"seed {args.seed}, {args.threads} threads of programs", flush=True)
    steps, wrong = run(args.seconds, args.threads, args.round, args.seed, args.only)
    for name, count in sorted(steps.items()):
        print(f"{count:16,} {name}")
    print(f"{len(wrong)} complaints")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
