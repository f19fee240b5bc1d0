"""Every way to lose a pointer: does anything still use it? Judged by the kernel and by verify().

usage: python tests/conformance/fuzz_lifetimes.py [--only TEXT] [--show N]

A pointer is made, kept in a register or a slot, something happens (in the program itself, in a
subprogram, in one of that, or in a callback) that may end its life, and it is used. All
combinations are loaded and closed, never run.
"""

import argparse
import itertools
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.fuzz_objects import Tally, outcome_of, stop
from conformance.fuzz_owned import Workbench

# r6: the context, r7: the object, r8: its stack memory (fp-40), r9: a box with lock and members
PROLOGUE: Final = """
r6 = r1
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = map[boxes]
call 1
if r0 == 0 goto out
r9 = r0
r7 = 0
r8 = r10
r8 += -40
*(u64 *)(r10 - 56) = 0
*(u64 *)(r10 - 64) = 0
"""
RESERVE: Final = "r1 = map[ring]\nr2 = 16\nr3 = 0\n"
NEW: Final = "r1 = ENTRY\nr2 = 0\nkfunc bpf_obj_new_impl\nif r0 == 0 goto out\nr7 = r0\n"
LOOK_UP: Final = """*(u64 *)(r10 - 104) = 0
*(u32 *)(r10 - 96) = 0
r1 = r6
r2 = r10
r2 += -104
r3 = 12
r4 = -1
r5 = 0
call 84
if r0 == 0 goto out
r7 = r0
"""
SKB_DYNPTR: Final = "r1 = r6\nr2 = 0\nr3 = r8\nkfunc bpf_dynptr_from_skb\n"
LOCK, UNLOCK = "r1 = r9\ncall 93\n", "r1 = r9\ncall 94\n"
OBJECTS: Final = {  # how it is made; how it is got rid of, as often as needed; what use looks like
    "packet": (("r7 = *(u32 *)(r6 + 76)\nr2 = *(u32 *)(r6 + 80)\nr3 = r7\nr3 += 16\n"
               "if r3 > r2 goto out\n"), ""),
    "value": ("r7 = r9\nr7 += 56\n", ""),
    "record": (RESERVE + "call 131\nif r0 == 0 goto out\nr7 = r0\n", "r1 = r7\nr2 = 0\ncall 132\n"),
    "socket": (LOOK_UP, "r1 = r7\ncall 86\n"),
    "tcp socket": (LOOK_UP + "*(u64 *)(r10 - 56) = r7\nr1 = r7\ncall 96\n"
                   "if r0 != 0 goto +4\nr1 = r7\ncall 86\nr0 = 0\nexit\nr7 = r0\n",
                   "r1 = *(u64 *)(r10 - 56)\ncall 86\n"),
    "context socket": (("r1 = *(u64 *)(r6 + 168)\nif r1 == 0 goto out\ncall 95\n"
                       "if r0 == 0 goto out\nr7 = r0\n"), ""),
    "packet slice": (SKB_DYNPTR + "r1 = r8\nr2 = 0\nr3 = r10\nr3 += -104\nr4 = 8\n"
                     "*(u64 *)(r10 - 104) = 0\nkfunc bpf_dynptr_slice\nif r0 == 0 goto out\n"
                     "r7 = r0\n", ""),
    "writable slice": (SKB_DYNPTR + "r1 = r8\nr2 = 0\nr3 = 0\nr4 = 8\n"
                       "kfunc bpf_dynptr_slice_rdwr\nif r0 == 0 goto out\nr7 = r0\n", ""),
    "local slice": (("r1 = r9\nr1 += 56\nr2 = 8\nr3 = 0\nr4 = r8\ncall 197\nr1 = r8\nr2 = 0\n"
                    "r3 = 8\ncall 203\nif r0 == 0 goto out\nr7 = r0\n"), ""),
    "ring slice": (RESERVE + "r4 = r8\ncall 198\nr1 = r8\nr2 = 0\nr3 = 8\ncall 203\n"
                   "if r0 != 0 goto +5\nr1 = r8\nr2 = 0\ncall 199\nr0 = 0\nexit\nr7 = r0\n",
                   "r1 = r8\nr2 = 0\ncall 199\n"),
    "clone's slice": (RESERVE + "r4 = r8\ncall 198\nr1 = r8\nr2 = r8\nr2 += -48\n"
                      "kfunc bpf_dynptr_clone\nr1 = r8\nr1 += -48\nr2 = 0\nr3 = 8\ncall 203\n"
                      "if r0 != 0 goto +5\nr1 = r8\nr2 = 0\ncall 199\nr0 = 0\nexit\nr7 = r0\n",
                      "r1 = r8\nr2 = 0\ncall 199\n"),
    "protected": (("kfunc bpf_rcu_read_lock\nr7 = *(u64 *)(r9 + 40)\nif r7 != 0 goto +3\n"
                  "kfunc bpf_rcu_read_unlock\nr0 = 0\nexit\n"), "kfunc bpf_rcu_read_unlock\n"),
    "task": ("call 158\nr1 = r0\nkfunc bpf_task_acquire\nif r0 == 0 goto out\nr7 = r0\n",
             "r1 = r7\nkfunc bpf_task_release\n"),
    "node": (NEW, "r1 = r7\nr2 = 0\nkfunc bpf_obj_drop_impl\n"),
    "listed": (NEW + LOCK + "r1 = r9\nr1 += 8\nr2 = r7\nr3 = 0\nr4 = 0\n"
               "kfunc bpf_list_push_front_impl\n", UNLOCK),
    "first": (LOCK + "r1 = r9\nr1 += 8\nkfunc bpf_list_front\nr7 = r0\n"
              "if r7 != 0 goto +4\n" + UNLOCK + "r0 = 0\nexit\n", UNLOCK),
    "number": (("r1 = r8\nr2 = 0\nr3 = 4\nkfunc bpf_iter_num_new\nr1 = r8\n"
               "kfunc bpf_iter_num_next\nr7 = r0\nif r7 != 0 goto +4\nr1 = r8\n"
               "kfunc bpf_iter_num_destroy\nr0 = 0\nexit\n"),
               "r1 = r8\nkfunc bpf_iter_num_destroy\n"),
}  # fmt: skip
SIMPLE: Final = "call 7\n"
EVENTS: Final = {
    "nothing": "", "a call": SIMPLE,
    "pull": "r1 = r6\nr2 = 0\ncall 39\n",
    "read": "r1 = r6\nr2 = 0\nr3 = r10\nr3 += -120\nr4 = 4\ncall 26\n",
    "submit": "r1 = r7\nr2 = 0\ncall 132\n", "discard": "r1 = r7\nr2 = 0\ncall 133\n",
    "sk release": "r1 = r7\ncall 86\n", "task release": "r1 = r7\nkfunc bpf_task_release\n",
    "drop": "r1 = r7\nr2 = 0\nkfunc bpf_obj_drop_impl\n",
    "exchange": "r1 = r9\nr1 += 40\nr2 = r7\ncall 194\nif r0 == 0 goto +3\nr1 = r0\nr2 = 0\n"
                "kfunc bpf_obj_drop_impl\n",
    "rcu unlock": "kfunc bpf_rcu_read_unlock\n",
    "rcu section": "kfunc bpf_rcu_read_lock\nkfunc bpf_rcu_read_unlock\n",
    "unlock": UNLOCK, "lock": LOCK + UNLOCK,
    "dynptr write": "r1 = r8\nr2 = 0\nr3 = r9\nr3 += 56\nr4 = 4\nr5 = 0\ncall 202\n",
    "dynptr submit": "r1 = r8\nr2 = 0\ncall 199\n",
    "dynptr adjust": "r1 = r8\nr2 = 1\nr3 = 2\nkfunc bpf_dynptr_adjust\n",
    "overwrite": "*(u64 *)(r8 + 0) = 0\n", "overwrite half": "*(u8 *)(r8 + 9) = 0\n",
    "new dynptr": "r1 = r9\nr1 += 56\nr2 = 8\nr3 = 0\nr4 = r8\ncall 197\n",
    "other dynptr": SKB_DYNPTR,
    "iterator next": "r1 = r8\nkfunc bpf_iter_num_next\n",
    "iterator end": "r1 = r8\nkfunc bpf_iter_num_destroy\n",
    "pop": "r1 = r9\nr1 += 8\nkfunc bpf_list_pop_front\nif r0 == 0 goto +2\nr1 = r0\nr2 = 0\n",
    "acquire": "r1 = r7\nr2 = 0\nkfunc bpf_refcount_acquire_impl\nif r0 == 0 goto +3\nr1 = r0\n"
               "r2 = 0\nkfunc bpf_obj_drop_impl\n",
}  # fmt: skip
SITES: Final = ("here", "subprogram", "nested", "callback")
PLACES: Final = ("register", "slot", "slot below")
ENDS: Final = ("let go", "keep")
TAKE: Final = "r6 = r1\nr7 = r2\nr8 = r3\nr9 = r4\n"
PASS: Final = "r1 = r6\nr2 = r7\nr3 = r8\nr4 = r9\ncall {}\n"


def event_at(site: str, event: str) -> tuple[str, str]:
    """What the program does for *event* to happen at *site*, and the functions for that."""
    leave = "r0 = 0\nexit\n"
    if site == "here":
        return event, ""
    if site == "subprogram":
        return PASS.format("sub"), f"sub:\n{TAKE}{event}{leave}"
    if site == "nested":
        inner = f"inner:\n{TAKE}{event}{leave}"
        return PASS.format("sub"), f"sub:\n{TAKE}{PASS.format('inner')}{leave}{inner}"
    kept = "".join(f"*(u64 *)(r10 - {160 - 8 * at}) = r{6 + at}\n" for at in range(4))
    taken = "r5 = r2\n" + "".join(f"r{6 + at} = *(u64 *)(r5 + {8 * at})\n" for at in range(4))
    call = "r1 = 1\nr2 = func[sub]\nr3 = r10\nr3 += -160\nr4 = 0\ncall 181\n"
    return kept + call, f"sub:\n{taken}{event}{leave}"


def programs(only: str) -> Iterator[tuple[str, str]]:
    """Names and texts of all programs whose name has *only* in it."""
    for names in itertools.product(OBJECTS, EVENTS, SITES, PLACES, ENDS):
        name = ", ".join(names)
        if only not in name:
            continue
        thing, event, site, place, end = names
        make, rid = OBJECTS[thing]
        happen, functions = event_at(site, EVENTS[event])
        keep, fetch = "", ""
        if place != "register":
            keep = "*(u64 *)(r10 - 64) = r7\n"
            fetch = "r7 = *(u64 *)(r10 - 64)\n"
        if place == "slot below":
            keep += "r1 = r10\nr1 += -64\ncall user\n" if site == "here" else ""
            functions += "user:\nr2 = *(u64 *)(r1 + 0)\nr2 = *(u8 *)(r2 + 0)\nr0 = 0\nexit\n"
            fetch += "r1 = r10\nr1 += -64\ncall user\n"
        text = PROLOGUE + make + keep + happen + fetch + "r1 = *(u8 *)(r7 + 0)\n"
        text += (rid if end == "let go" else "") + "out:\nr0 = 0\nexit\n" + functions
        yield name, text


def run(only: str, show: int) -> dict[str, int]:
    """Judge all programs whose name has *only* in it; returns how often each outcome came."""
    signal.signal(signal.SIGALRM, stop)
    bench, tally = Workbench(), Tally(show)
    for name, text in programs(only):
        theirs, ours = bench.answers(text)
        outcome = outcome_of(theirs, ours)
        key = re.sub(r"\d+", "#", theirs[2].rpartition("\n")[2] + ours[2])[:90]
        tally.add(outcome, f"{name}\n{text}\n  kernel {theirs}\n  skep   {ours}", key)
    return dict(tally.counts)


def main() -> int:
    """Run as a script; exit status 1 if there is a hole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", type=int, default=5)
    args = parser.parse_args()
    tally = run(args.only, args.show)
    print(tally)
    return int(bool({"HOLE", "CRASH"} & set(tally)))


if __name__ == "__main__":
    sys.exit(main())
