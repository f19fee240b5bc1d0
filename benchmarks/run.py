"""Times skep beside the running kernel, in one run: ``make bench``.

usage: run.py [--rounds N] [--json FILE] [--only PART]...

Each part says what it measures and how in its module; docs/explanation/performance.md says how to
read it. A ratio below 1 means that skep is faster. Where the kernel does not answer bpf(2), its
columns are empty; where SKEP_BENCH_UBPF names a libubpf.so, its JIT is timed too.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import event_cost
import load_cost
import log_cost
import maps
import maps_host
import memory_cost
import program_cost
import replay_cost
import skep
import verify_cost
from program_cost import Spread, spread
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.uapi.commands import MAP_CREATE, MapCreate

HERE = Path(__file__).parent
OBJECT = HERE / "programs" / "bench.bpf.o"
PARTS = (
    "programs", "load", "event", "replay", "memory", "maps", "verify", "start", "log", "corpus",
)  # fmt: skip


def answers() -> bool:
    """Whether the running kernel lets us create maps, so that we can compare."""
    kernel, attr = KernelSyscall(), MapCreate(map_type=2, key_size=4, value_size=4, max_entries=1)
    fd = kernel.bpf(MAP_CREATE.number, bytearray(attr.encode()))
    if fd < 0:
        print(f"no kernel to compare with: {os.strerror(-fd)}")
        return False
    kernel.close(fd)
    return True


def show(name: str, ours: Spread, kernel: Spread | None, unit: str) -> dict[str, Any]:
    """Print one row; the row for JSON."""
    text = f"{name:26} {ours[1]:12.1f} [{ours[0]:.1f} .. {ours[2]:.1f}] {unit:5}"
    ratio = None
    if kernel is not None and kernel[1]:
        ratio = ours[1] / kernel[1]
        text += f"   kernel {kernel[1]:12.1f} [{kernel[0]:.1f} .. {kernel[2]:.1f}]"
        text += f"   ratio {ratio:6.2f}"
    print(text, flush=True)
    return {"name": name, "unit": unit, "skep": ours, "kernel": kernel, "ratio": ratio}


def bench_verify(kernel: bool, rounds: int) -> list[dict[str, Any]]:
    """Verification: nanoseconds per processed instruction, our clock and the kernel's own."""
    rows = []
    for name in ("checksum_1k", "fnv_1k", "parse_tcp"):
        ours = []
        for _ in range(rounds):
            (verdict,) = skep.verify_file(OBJECT, programs=[name])
            ours.append(1000 * verdict.verify_us / verdict.insns_processed)
        theirs = [kernel_verification(name) for _ in range(rounds)] if kernel else []
        rows.append(show(f"verify {name}", spread(ours), spread(theirs) if theirs else None,
                         "ns/insn"))  # fmt: skip
    return rows


def kernel_verification(name: str) -> float:
    """The kernel's ``verification time`` per processed instruction, nanoseconds."""
    syscall = KernelSyscall()
    with LoadedObject(read_object(OBJECT.read_bytes()), syscall, log_level=4) as loaded:
        log = loaded.load_program(name).log
    words = log.split()
    microseconds = int(words[words.index("time") + 1])
    return 1000 * microseconds / int(words[words.index("processed") + 1])


def milliseconds(action: Callable[[], None]) -> float:
    """Time of *action*."""
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


def bench_start(rounds: int) -> list[dict[str, Any]]:
    """Start-up of ``skep --help``, whole process, milliseconds."""
    command = [sys.executable, "-m", "skep", "--help"]

    def start() -> None:
        subprocess.run(command, check=True, capture_output=True)

    times = [milliseconds(start) for _ in range(rounds)]
    return [show("skep --help", spread(times), None, "ms")]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="write all rows here")
    parser.add_argument("--only", choices=PARTS, action="append", help="may be given several times")
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
          f"{options.rounds} rounds, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    kernel = answers()
    rounds = options.rounds
    parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "programs": lambda: program_cost.measure(rounds),
        "load": lambda: load_cost.measure(KernelSyscall() if kernel else None, rounds),
        "event": lambda: event_cost.measure(rounds),
        "replay": lambda: replay_cost.measure(kernel, rounds),
        "memory": lambda: memory_cost.measure(kernel),
        "maps": lambda: maps.measure(3) + maps_host.measure(3, kernel=kernel),
        "verify": lambda: bench_verify(kernel, rounds),
        "start": lambda: bench_start(rounds),
        "log": lambda: log_cost.measure(kernel),
        "corpus": lambda: verify_cost.measure(rounds) if kernel else [],
    }
    rows = {name: part() for name, part in parts.items() if name in (options.only or parts)}
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
