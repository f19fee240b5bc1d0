"""(c) Load latency: from PROG_LOAD to the answer of the first run, by tier and size of the program.

Tiers: *start*, where programs begin, and which needs nothing from disk; *cached*, optimised code
that an earlier process left on disk; *optimised*, as the background makes it of what runs; *quick*
code, LLVM's -O0, which metered programs begin with; the *interpreter*. The kernel's PROG_LOAD and
first run stand beside them. Programs are generated: arithmetic, stack, packet reads and branches;
every round gets a new one, so that no cache knows it, unless it is to. All milliseconds include
verification; *verify* is a PROG_LOAD that ends with it. CPU time of the thread, the least of the
rounds.
"""

import ctypes
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sides import PACKET
from skep.engine.interface import Engine
from skep.engine.interpreter import Interpreter
from skep.engine.llvm.cache import DiskCache
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.machine import FULL, QUICK, Machine
from skep.engine.llvm.start import START
from skep.engine.proof_only import ProofEngine
from skep.isa.assembler import assemble
from skep.isa.codec import encode
from skep.loader.door import Syscall
from skep.runtime.world import World
from skep.session.objects import new_subsystem
from skep.uapi.commands import PROG_LOAD, PROG_TEST_RUN, ProgLoad, TestRun

SIZES: Final = (10, 100, 1000, 4000)
STRAIGHT: Final = 4000  # instructions of a program without branches: each is walked once
XDP: Final = 6
HEAD: Final = """
r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r4 = r2
r4 += 64
if r4 > r3 goto out
r0 = {seed}
"""
TAIL: Final = """
out:
r0 = 2
exit
"""
LIMITS: Final = {100: 3.0, 4000: 10.0}


def program(size: int, seed: int, *, branches: bool = True) -> bytes:
    """A program of *size* instructions that is unlike every other."""
    chance = random.Random(seed)
    lines: list[str] = []
    while len(lines) < size - 9:
        number = len(lines)
        choices = [
            [f"r0 += {chance.randrange(1000)}"],
            [f"w0 ^= {chance.randrange(1 << 30)}"],
            [f"r5 = *(u8 *)(r2 + {chance.randrange(64)})", "r0 += r5"],
            [f"*(u64 *)(r10 - {8 * chance.randrange(1, 9)}) = r0"],
            [f"if w0 > {chance.randrange(1 << 30)} goto j{number}", "r0 *= 3", f"j{number}:"],
        ]
        lines += chance.choice(choices if branches else choices[:-1])
    return encode(assemble(HEAD.format(seed=seed) + "\n".join(lines) + TAIL))


class Way:
    """One place where programs are loaded and run."""

    def __init__(self, name: str, syscall: Syscall) -> None:
        self.name, self._syscall = name, syscall
        self._data = ctypes.create_string_buffer(PACKET, len(PACKET))
        self._license = ctypes.create_string_buffer(b"GPL")

    def load(self, code: bytes) -> tuple[int, float]:
        """Descriptor and milliseconds of PROG_LOAD."""
        room = ctypes.create_string_buffer(code, len(code))
        attr = bytearray(ProgLoad(prog_type=XDP, insn_cnt=len(code) // 8,
                                  insns=ctypes.addressof(room),
                                  license=ctypes.addressof(self._license)).encode())  # fmt: skip
        began = time.thread_time_ns()
        fd = self._syscall.bpf(PROG_LOAD.number, attr)
        spent = time.thread_time_ns() - began
        if fd < 0:
            raise OSError(-fd, f"{self.name}: {os.strerror(-fd)}")
        return fd, spent / 1e6

    def first_answer(self, code: bytes) -> tuple[float, float]:
        """Milliseconds of PROG_LOAD, and of it with the first run."""
        fd, loading = self.load(code)
        if self.name == "verify":
            self._syscall.close(fd)
            return loading, loading
        run = TestRun(prog_fd=fd, repeat=1, data_size_in=len(PACKET),
                      data_in=ctypes.addressof(self._data)).encode()  # fmt: skip
        began = time.thread_time_ns()
        answer = self._syscall.bpf(PROG_TEST_RUN.number, bytearray(run))
        running = (time.thread_time_ns() - began) / 1e6
        self._syscall.close(fd)
        if answer < 0:
            raise OSError(-answer, f"{self.name}: {os.strerror(-answer)}")
        return loading, loading + running


def engines(folder: Path) -> dict[str, Callable[[World], Engine]]:
    """How each tier's engine is made."""
    return {
        "verify": lambda _: ProofEngine(),
        "start": lambda _: LlvmEngine(machine=Machine(), tier=START),
        "cached": lambda _: LlvmEngine(machine=Machine(DiskCache(folder)), tier=FULL),
        "optimised": lambda _: LlvmEngine(machine=Machine(), tier=FULL),
        "quick": lambda _: LlvmEngine(machine=Machine(), tier=QUICK),
        "interpreter": lambda _: Interpreter(),
    }


def measure(kernel: Syscall | None, rounds: int) -> list[dict[str, Any]]:
    """Print the table; its rows for JSON."""
    with tempfile.TemporaryDirectory() as folder:
        ways = [
            Way(name, new_subsystem(engine=make(World())))
            for name, make in engines(Path(folder)).items()
        ]
        if kernel is not None:
            ways.append(Way("kernel", kernel))
        print(f"{'ms to the first answer':24}" + "".join(f"{way.name:>12}" for way in ways)
              + f"{'kernel load':>13}")  # fmt: skip
        rows = [row_of(size, ways, rounds) for size in SIZES]
        return [*rows, row_of(STRAIGHT, ways, rounds, branches=False)]


def row_of(size: int, ways: list[Way], rounds: int, *, branches: bool = True) -> dict[str, Any]:
    """Time programs of *size* instructions in all *ways*; print and return the row."""
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    kernel_load = []
    for turn in range(rounds + 1):
        code = program(size, 1000 * size + turn, branches=branches)
        for way in ways:
            if way.name == "cached":
                way.first_answer(code)  # leaves the code on disk
            load, first = way.first_answer(code)
            if turn:  # the first one warms up
                times[way.name].append(first)
                kernel_load += [load] if way.name == "kernel" else []
    best = {name: min(spent) for name, spent in times.items()}
    name = f"load {size}" if branches else f"load {size} straight"
    text = f"{name:24}" + "".join(f"{best[way.name]:12.2f}" for way in ways)
    text += f"{min(kernel_load):13.2f}" if kernel_load else ""
    limit = LIMITS.get(size)
    print(text + (f"   limit of start {limit:.0f}" if limit else ""), flush=True)
    return {"name": name, "unit": "ms", **best}
