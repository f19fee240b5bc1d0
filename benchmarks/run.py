"""Times skep beside the running kernel: programs, verification, loading, start-up, logs.

usage: run.py [--rounds N] [--json FILE] [--only PART]

Every figure is the median of N rounds with its least and greatest; a ratio below 1 means that skep
is faster. Where the kernel does not answer bpf(2), its columns are empty.
"""

import argparse
import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import log_cost
import skep
import verify_cost
from skep.errors import BpfError
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject, load
from skep.loader.reader import read_object
from skep.loader.spec import ObjectSpec
from skep.uapi.commands import MAP_UPDATE_ELEM, PROG_TEST_RUN, MapElem, TestRun

HERE = Path(__file__).parent
OBJECT = HERE / "programs" / "bench.bpf.o"
PROGRAMS = (
    "nop", "parse_tcp", "checksum_1k", "fnv_1k", "count_array", "count_hash", "count_percpu",
    "update_lru", "ring_output", "tail_call", "loop_1000", "call_subprogram",
)  # fmt: skip
PARTS = ("programs", "verify", "load", "start", "log", "corpus")
ETHERNET_IPV4 = bytes(12) + b"\x08\x00"
TCP_PACKET = (ETHERNET_IPV4 + bytes.fromhex("4500040000004000400600007f0000017f000001")
              + bytes.fromhex("9c4001bb") + bytes(1024))[:1024]  # fmt: skip
REPEAT = {"checksum_1k": 100_000, "fnv_1k": 50_000, "loop_1000": 50_000}
Spread = tuple[float, float, float]


def spread(values: list[float]) -> Spread:
    """Least, median, greatest."""
    return min(values), statistics.median(values), max(values)


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


class KernelSide:
    """The same object in the running kernel."""

    def __init__(self) -> None:
        self.syscall = KernelSyscall()
        self.loaded: LoadedObject = load(read_object(OBJECT.read_bytes()), self.syscall)
        key, value = ctypes.c_uint32(1), ctypes.c_uint32(self.loaded.programs["tail_target"].fd)
        attr = MapElem(map_fd=self.loaded.maps["jumps"], key=ctypes.addressof(key),
                       value=ctypes.addressof(value))  # fmt: skip
        self.syscall.bpf(MAP_UPDATE_ELEM.number, bytearray(attr.encode()))

    def run(self, name: str, repeat: int) -> float:
        """Nanoseconds of one run, as TEST_RUN reports it."""
        data = ctypes.create_string_buffer(TCP_PACKET, len(TCP_PACKET))
        attr = bytearray(TestRun(prog_fd=self.loaded.programs[name].fd, repeat=repeat,
                                 data_size_in=len(TCP_PACKET), data_in=ctypes.addressof(data),
                                 ).encode())  # fmt: skip
        answer = self.syscall.bpf(PROG_TEST_RUN.number, attr)
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return float(TestRun.decode(bytes(attr)).duration)


def kernel_side() -> KernelSide | None:
    """The kernel, or None where it does not let us."""
    try:
        return KernelSide()
    except (BpfError, OSError) as error:
        print(f"no kernel to compare with: {error}")
        return None


def bench_programs(kernel: KernelSide | None, rounds: int) -> list[dict[str, Any]]:
    """Run time of each program: PROG_TEST_RUN's own loop on both sides, in turn."""
    rows = []
    with skep.load(OBJECT) as loaded:
        loaded.maps["jumps"][1] = loaded.programs["tail_target"]
        for name in PROGRAMS:
            repeat = REPEAT.get(name, 1_000_000)
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(timed_run(loaded.programs[name], repeat))
                if kernel is not None:
                    theirs.append(kernel.run(name, repeat))
            rows.append(show(name, spread(ours), spread(theirs) if theirs else None, "ns"))
    return rows


def timed_run(program: skep.Program, repeat: int) -> float:
    """Nanoseconds of one of *repeat* runs; the call's own cost is spread over them."""
    began = time.perf_counter_ns()
    program.run(data=TCP_PACKET, repeat=repeat)
    return (time.perf_counter_ns() - began) / repeat


def bench_verify(kernel: KernelSide | None, rounds: int) -> list[dict[str, Any]]:
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


def bench_load(kernel: KernelSide | None, rounds: int) -> list[dict[str, Any]]:
    """From object file to a program that has run once, milliseconds; kernel beside it."""
    rows = []
    spec = read_object(OBJECT.read_bytes())
    for name in ("parse_tcp", "count_hash", "loop_1000"):
        ours = [milliseconds(partial(first_run, name)) for _ in range(rounds)]
        kernel_load = partial(load_in_kernel, spec, name)
        theirs = [milliseconds(kernel_load) for _ in range(rounds)] if kernel else []
        rows.append(show(f"load {name}", spread(ours), spread(theirs) if theirs else None, "ms"))
    return rows


def load_in_kernel(spec: ObjectSpec, name: str) -> None:
    """Load one program into the running kernel, and drop it."""
    load(spec, KernelSyscall(), programs=[name]).close()


def first_run(name: str) -> None:
    """Load one program and run it once."""
    with skep.load(OBJECT, programs=[name]) as loaded:
        loaded.programs[name].run(data=TCP_PACKET)


def milliseconds(action: Callable[[], None]) -> float:
    """Time of *action*."""
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


def bench_start(rounds: int) -> list[dict[str, Any]]:
    """Start-up of ``skep --help``, whole process, milliseconds."""
    command = [sys.executable, "-m", "skep", "--help"]
    times = [
        milliseconds(lambda: subprocess.run(command, check=True, capture_output=True) and None)
        for _ in range(rounds)
    ]
    return [show("skep --help", spread(times), None, "ms")]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", help="write all rows here")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
          f"{options.rounds} rounds: median [least .. greatest]")  # fmt: skip
    kernel = kernel_side()
    parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "programs": lambda: bench_programs(kernel, options.rounds),
        "verify": lambda: bench_verify(kernel, options.rounds),
        "load": lambda: bench_load(kernel, options.rounds),
        "start": lambda: bench_start(options.rounds),
        "log": lambda: log_cost.measure(kernel is not None),
        "corpus": lambda: verify_cost.measure(3) if kernel is not None else [],
    }
    rows = {name: part() for name, part in parts.items() if options.only in (None, name)}
    ratios = [row["ratio"] for row in rows.get("programs", []) if row["ratio"]]
    if ratios:
        print(f"programs: geometric mean of the ratios {statistics.geometric_mean(ratios):.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
