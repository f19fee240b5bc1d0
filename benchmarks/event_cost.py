"""(d) What an event costs beyond its program: one call from Python, or one packet of a batch.

The program is the empty one; what a native loop needs to call it is taken off. ``entry`` is what
tracing hooks and iterators use, ``Program.run`` is a packet in, and result and packet out.
The thread's own clock is read; the least of the rounds counts.
"""

import time
from array import array
from collections.abc import Callable
from typing import Any, Final

import skep
from program_cost import HERE
from sides import PACKET, run_plain
from skep.attach.packets import Batch
from skep.engine.llvm.background import background
from skep.engine.llvm.library import CompiledLibrary

CALLS: Final = 100_000
RUNS: Final = 300
PACKETS: Final = 1 << 16
LIMITS: Final = {"entry(run, context)": 200.0, "batch, a packet": 5.0}


def least(action: Callable[[], object], count: int, rounds: int) -> float:
    """Nanoseconds of one of *count* events that *action* is."""
    found = []
    for _ in range(rounds):
        began = time.thread_time_ns()
        action()
        found.append((time.thread_time_ns() - began) / count)
    return min(found)


def measure(rounds: int) -> list[dict[str, Any]]:
    """Print the table; its rows for JSON."""
    rows: list[dict[str, Any]] = []
    with skep.load(HERE / "bench.bpf.o", programs=["nop"]) as loaded:
        program = loaded.programs["nop"]
        program.run(data=PACKET, repeat=1000)
        background().settle()
        packet = array("B", PACKET[:64])
        batch = Batch(packet, array("Q", [packet.buffer_info()[0]]) * PACKETS,
                      array("I", [64]) * PACKETS)  # fmt: skip
        few = Batch(packet, batch.addresses[:1], batch.lengths[:1])
        entry, block = program.loaded.entry, array("Q", bytes(4096))

        def call() -> None:
            run = block.buffer_info()[0]
            context = run + 2048
            for _ in range(CALLS):
                entry(run, context)

        def runs() -> None:
            for _ in range(RUNS):
                program.run(data=PACKET)

        def batches() -> None:
            for _ in range(RUNS):
                program.run_batch(few)

        def natively() -> None:
            loop(entry.hot(1), block.buffer_info()[0], block.buffer_info()[0] + 2048, CALLS)

        loop = CompiledLibrary().bind(run_plain)
        program.run_batch(batch)
        own = least(natively, CALLS, rounds)
        print(f"event {'the program itself':24} {own:10.1f} ns")
        for name, action, count in (
            ("entry(run, context)", call, CALLS),
            ("batch, a packet", lambda: program.run_batch(batch), PACKETS),
            ("batch of one packet", batches, RUNS),
            ("Program.run", runs, RUNS),
        ):
            spent = max(least(action, count, rounds) - own, 0.0)
            limit = LIMITS.get(name)
            verdict = f"   limit {limit:.0f}" if limit else ""
            print(f"event {name:24} {spent:10.1f} ns{verdict}", flush=True)
            rows.append({"name": f"event {name}", "unit": "ns", "skep": spent, "limit": limit})
    return rows
