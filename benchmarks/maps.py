"""What map operations cost from programs: skep and the running kernel in turn, in one process.

Each program of ``programs/maps.bpf.c`` does one operation 2000 times in a run, on keys at random;
times are of one turn of the loop, which ``empty`` has alone (bpf_loop, and a random number). Maps
have 1, 1024 and 1048576 elements, all there, so the greatest do not fit into caches. ``hit`` and
``miss`` are look-ups, ``update`` overwrites, ``fill`` adds elements to an empty map, ``churn``
deletes one and adds it again (or pushes and pops).
"""

import ctypes
import statistics
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from program_cost import cell, spread
from skep.btf.kinds import DataSec
from skep.engine.llvm.background import background
from skep.errors import BpfError
from skep.loader.door import Syscall
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.loader.spec import ObjectSpec
from skep.session.objects import new_subsystem
from skep.uapi.commands import MAP_UPDATE_ELEM, PROG_TEST_RUN, MapElem, TestRun

OBJECT: Final = Path(__file__).parent / "programs" / "maps.bpf.o"
LOOPS: Final = 2000  # operations of a run, as the object has it
SIZES: Final = (1, 1 << 10, 1 << 20)
SLICE: Final = 3_000_000  # nanoseconds that one timing is to take
PACKET: Final = bytes(64)
SHORT: Final = 2  # runs; one alone would not enter the native loop
OPERATIONS: Final = {
    "hash": ("fill", "hit", "miss", "update", "churn"),
    "hash_dynamic": ("fill", "hit", "update", "churn"),
    "percpu_hash": ("fill", "hit", "update"),
    "lru_hash": ("fill", "hit", "miss", "update", "churn"),
    "lru_percpu_hash": ("hit", "update"),
    "array": ("hit", "update"),
    "percpu_array": ("hit", "update"),
    "lpm_trie": ("fill", "hit", "miss", "update", "churn"),
    "queue": ("churn",),
    "stack": ("churn",),
    "bloom_filter": ("fill", "hit", "miss", "update"),
}
TOGETHER: Final = ("hash", "percpu_hash", "lru_hash", "array", "percpu_array", "lpm_trie", "queue")


def places_of(spec: ObjectSpec) -> dict[str, int]:
    """Where each global variable stands: the compiler orders them as it likes."""
    btf = spec.btf
    assert btf is not None
    section = btf.type(btf.by_name(".bss") or 0)
    assert isinstance(section, DataSec)
    return {btf.type(entry.type).name: entry.offset for entry in section.entries}


class MapSide:
    """One map of the object and its programs, in skep or in the running kernel."""

    def __init__(self, name: str, syscall: Syscall, spec: ObjectSpec, kind: str, size: int) -> None:
        self.name, self._syscall, self._size = name, syscall, size
        maps = tuple(replace(each, max_entries=size) if each.name == kind else each
                     for each in spec.maps)  # fmt: skip
        self._loaded = LoadedObject(replace(spec, maps=maps), syscall)
        programs = ["empty", *(f"{kind}_{operation}" for operation in OPERATIONS[kind])]
        if f"{kind}_fill" in (each.name for each in spec.programs):
            programs.append(f"{kind}_fill")
        self._fds = {each: self._loaded.load_program(each).fd for each in dict.fromkeys(programs)}
        self.map_fd = self._loaded.maps[kind]
        self._bss = next(fd for name, fd in self._loaded.maps.items() if name.endswith("bss"))
        self._places = places_of(spec)
        self._data = ctypes.create_string_buffer(PACKET, len(PACKET))
        for program in self._fds:  # the best code, before anything is timed
            if not program.endswith("_fill"):
                self.set_state(1, 0)
                self._command(program, 300)
        background().settle()
        self.set_state(size, 0)

    def set_state(self, size: int, following: int) -> None:
        """How many keys there are, and which one fill stores next."""
        key = ctypes.c_uint32(0)
        globals_ = {"mask": size - 1, "state": 0x1234567, "next": following, "found": 0}
        value = ctypes.create_string_buffer(8 * len(globals_))
        for name, number in globals_.items():
            struct.pack_into("=Q", value, self._places[name], number)
        attr = MapElem(map_fd=self._bss, key=ctypes.addressof(key),
                       value=ctypes.addressof(value))  # fmt: skip
        answer = self._syscall.bpf(MAP_UPDATE_ELEM.number, bytearray(attr.encode()))
        if answer < 0:
            raise OSError(-answer, f"globals in {self.name}")

    def _command(self, program: str, repeat: int) -> float:
        """Nanoseconds of one of *repeat* runs, without what other processes take.

        skep's commands cost some hundred microseconds before their first run: a short one is taken
        off.
        """
        if self.name != "skep":
            return float(TestRun.decode(self._test_run(program, repeat)).duration)
        first = time.thread_time_ns()
        self._test_run("empty", SHORT)
        second = time.thread_time_ns()
        self._test_run(program, repeat)
        spent = time.thread_time_ns() - second - (second - first)
        return max(spent, 0) / repeat

    def _test_run(self, program: str, repeat: int) -> bytes:
        attr = bytearray(TestRun(prog_fd=self._fds[program], repeat=repeat,
                                 data_size_in=len(PACKET), data_in=ctypes.addressof(self._data),
                                 ).encode())  # fmt: skip
        answer = self._syscall.bpf(PROG_TEST_RUN.number, attr)
        if answer < 0:
            raise OSError(-answer, f"{program} in {self.name}")
        return bytes(attr)

    def fill(self, kind: str) -> float:
        """Add all elements; nanoseconds for each. 0 if the map needs none."""
        program, runs = f"{kind}_fill", -(-self._size // LOOPS)
        if program not in self._fds:
            return 0.0
        self.set_state(self._size, 0)
        return self._command(program, runs) / LOOPS

    def measure(self, program: str, repeat: int) -> float:
        """Nanoseconds of one operation."""
        return self._command(program, repeat) / LOOPS

    def close(self) -> None:
        """Give everything back."""
        self._loaded.close()


def sides_of(spec: ObjectSpec, kind: str, size: int, *, kernel: bool) -> list[MapSide]:
    """The map on both sides, filled."""
    made = [MapSide("skep", new_subsystem(), spec, kind, size)]
    if kernel:
        made.append(MapSide("kernel", KernelSyscall(), spec, kind, size))
    return made


def repeats(side: MapSide, program: str) -> int:
    """How many runs take about a slice."""
    once = max(side.measure(program, 10) * LOOPS, 100.0)
    return int(min(max(SLICE / once, 5), 2000))


def in_threads(side: MapSide, program: str, repeat: int, count: int) -> float:
    """Nanoseconds of one operation while *count* threads do it at once."""
    found = [0.0] * count

    def one(number: int) -> None:
        found[number] = side.measure(program, repeat)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(found) / count


def row(name: str, times: dict[str, list[float]]) -> dict[str, Any]:
    """Print one row; the row for JSON."""
    ours = spread(times["skep"])
    theirs = spread(times["kernel"]) if times.get("kernel") else None
    ratio = ours[1] / theirs[1] if theirs and theirs[1] > 0 else None
    text = f"{name:34} skep {cell(ours)}  kernel {cell(theirs)}"
    print(text + (f"  ratio {ratio:6.2f}" if ratio else ""), flush=True)
    return {"name": name, "unit": "ns", "skep": ours, "kernel": theirs, "ratio": ratio}


def measure_kind(
    spec: ObjectSpec, kind: str, size: int, rounds: int, *, kernel: bool
) -> list[dict[str, Any]]:
    """All operations of one map of one size."""
    sides = sides_of(spec, kind, size, kernel=kernel)
    rows = []
    try:
        fills = {side.name: [side.fill(kind)] for side in sides}
        if "fill" in OPERATIONS[kind] and size > LOOPS:
            rows.append(row(f"{kind} {size} fill", fills))
        for operation in OPERATIONS[kind]:
            if operation == "fill":
                continue
            program = f"{kind}_{operation}"
            counts = (1, 2) if kind in TOGETHER and size == 1 << 10 else (1,)
            rows += [time_operation(sides, program, size, rounds, count) for count in counts]
    finally:
        for side in sides:
            side.close()
    return rows


def time_operation(
    sides: list[MapSide], program: str, size: int, rounds: int, threads: int
) -> dict[str, Any]:
    """One operation on all sides in turn."""
    timing: Callable[[MapSide, str, int], float]
    timing = MapSide.measure if threads == 1 else partial(in_threads, count=threads)
    often = {side.name: repeats(side, program) for side in sides}
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            times[side.name].append(timing(side, program, often[side.name]))
    kind, _, operation = program.rpartition("_")
    name = f"{kind} {size} {operation}" if kind else operation
    return row(name + (f", {threads} threads" if threads > 1 else ""), times)


def measure(rounds: int) -> list[dict[str, Any]]:
    """All maps of all sizes."""
    print(f"map operations from programs: nanoseconds each, median of {rounds} [least .. greatest]")
    spec = read_object(OBJECT.read_bytes())
    try:
        MapSide("kernel", KernelSyscall(), spec, "array", 1).close()
        kernel = True
    except (BpfError, OSError) as error:
        print(f"no kernel to compare with: {error}")
        kernel = False
    sides = sides_of(spec, "array", 1, kernel=kernel)
    rows = [time_operation(sides, "empty", 1, rounds, threads) for threads in (1, 2)]
    for side in sides:
        side.close()
    for kind in OPERATIONS:
        for size in SIZES:
            rows += measure_kind(spec, kind, size, rounds, kernel=kernel)
    ratios = [each["ratio"] for each in rows if each["ratio"]]
    if ratios:
        print(f"maps, from programs: geometric mean of {len(ratios)} ratios "
              f"{statistics.geometric_mean(ratios):.2f}")  # fmt: skip
    return rows


if __name__ == "__main__":
    measure(3)
