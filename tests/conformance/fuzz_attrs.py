"""Mutated attrs of every command, for the running kernel and for skep: the same errno and answers?

usage: python tests/conformance/fuzz_attrs.py [--seed N] [--count N] [--show N] [COMMAND ...]

Runs in a network namespace of its own. Prints what differs and is in no row of the table of
differences; the last line is a summary. Exit status 1 if there is any.
"""

import argparse
import collections
import os
import random
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.attr_cases import Case, case
from conformance.attr_sides import Answer, Pair, own_network
from conformance.differences import explained
from skep.errors import errno_name
from skep.uapi import commands
from skep.uapi.commands import ATTR_SIZE, Command

REFILL = 50  # cases for one set of objects
# answers that depend on the machine, on time, or on which side is asked
VOLATILE = frozenset({"duration", "next_id", "log_true_size", "btf_log_true_size", "revision"})


def ask(pair: Pair, command: Command, asked: Case) -> list[Answer]:
    members, size, pokes = asked

    def change(attr: bytearray) -> int | None:
        attr.extend(bytes(max((size or 0) - len(attr), 0)))
        for offset, byte in pokes:
            if offset < len(attr):
                attr[offset] = byte
        return size

    return pair.both(command, members, change)


def left(answer: Answer, asked: Case) -> dict[str, object]:
    """What the call left in the attr, apart from what differs by nature."""
    members, size, _ = asked
    if size is not None and size < ATTR_SIZE:
        return {}
    return {
        member.name: getattr(answer.attr, member.name)
        for member in answer.attr.members()
        if member.name not in VOLATILE and isinstance(members.get(member.name, 0), int | bytes)
    }


def run(command: Command, seed: int, count: int, show: int) -> collections.Counter[str]:
    """Ask *count* times; the number of cases by outcome."""
    rng, pair = random.Random(f"{seed} {command.name}"), Pair()
    outcomes: collections.Counter[str] = collections.Counter()
    try:
        for number in range(count):
            if number % REFILL == 0:
                pair.fill()
            asked = case(command, rng)
            outcome = judge(pair, command, asked, show=outcomes["different"] < show)
            outcomes[outcome] += 1
    finally:
        pair.end()
    return outcomes


def judge(pair: Pair, command: Command, asked: Case, *, show: bool) -> str:
    """Ask both once; what came of it, which is printed if it is different and *show* is set."""
    theirs, ours = ask(pair, command, asked)
    error = pair.skep.last_error
    remains = left(theirs, asked), left(ours, asked)
    if theirs.result == ours.result and remains[0] == remains[1]:
        return "same" if theirs.result else "same, success"
    row = explained(command, -theirs.result, error, asked[0])
    if row is not None:
        return f"known: {row.id}"
    if show:
        names = errno_name(-theirs.result), errno_name(-ours.result)
        print(command.name, *names, *asked, *remains, repr(error))
    return "different"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("names", nargs="*", metavar="COMMAND")
    options = parser.parse_args()
    failed = [
        command.name
        for command in commands.COMMANDS
        if not options.names or command.name in options.names
        if apart(command, options.seed, options.count, options.show)
    ]
    print("different:", *failed or ["nothing"])
    return int(bool(failed))


def apart(command: Command, seed: int, count: int, show: int) -> int:
    """Run in a process and a network namespace of its own; 1 if anything differs."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 2
    try:
        own_network()
        outcomes = run(command, seed, count, show)
        print(command.name, *(f"{name}: {n};" for name, n in sorted(outcomes.items())), flush=True)
        status = int(bool(outcomes["different"]))
    except Exception:  # noqa: BLE001 - whatever it is, the parent goes on
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
