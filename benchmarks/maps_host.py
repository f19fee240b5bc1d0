"""What map operations cost from Python: skep, and the running kernel's bpf(2) through ctypes.

``bytes`` rows are the lowest public level (``map.target``), ``typed`` rows what a program's user
writes (``map[key]``). Many elements go through numpy arrays here, through one batch command there.
Times are of the thread's own clock: what other processes take does not count.
Memory is what a process grows by when a map of a million is filled, and what the kernel accounts.
"""

import ctypes
import os
import re
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

import skep
from maps import row
from skep.engine.llvm.library import CompiledLibrary
from skep.loader.kernel import KernelSyscall
from skep.maps.creation import Creation
from skep.maps.families import create_map

ONCE: Final = 20_000  # single operations in one timing
MANY: Final = 1_000_000
LOOKUP, UPDATE, DELETE, NEXT = 1, 2, 3, 4
LOOKUP_BATCH, UPDATE_BATCH, DELETE_BATCH = 24, 26, 27
KINDS: Final = {
    "hash": (1, 0), "hash_dynamic": (1, 1), "percpu_hash": (5, 0), "lru_hash": (9, 0),
    "array": (2, 0), "percpu_array": (6, 0), "lpm_trie": (11, 1),
}  # fmt: skip
LIBRARY: Final = CompiledLibrary()


def per_call(action: Callable[[], object], count: int = ONCE) -> float:
    """Nanoseconds of one *action*, the loop around it taken off."""
    began = time.thread_time_ns()
    for _ in range(count):
        pass
    loop = time.thread_time_ns() - began
    began = time.thread_time_ns()
    for _ in range(count):
        action()
    return (time.thread_time_ns() - began - loop) / count


def made(kind: str, entries: int, cpus: int = 1) -> skep.Map:
    """A map of skep, of 4-byte keys (8 in tries) and 8-byte values."""
    number, flags = KINDS[kind]
    wanted = Creation(map_type=number, key_size=8 if kind == "lpm_trie" else 4, value_size=8,
                      max_entries=entries, map_flags=flags, cpus=cpus, library=LIBRARY)  # fmt: skip
    return skep.Map(create_map(wanted), -1, kind)


class KernelMap:
    """A map of the running kernel, through attrs that are made once."""

    def __init__(self, kind: str, entries: int) -> None:
        self.syscall = KernelSyscall()
        number, flags = KINDS[kind]
        attr = bytearray(72)
        key_size = 8 if kind == "lpm_trie" else 4
        struct.pack_into("=5I", attr, 0, number, key_size, 8, entries, flags)
        self.fd = self.syscall.bpf(0, attr)
        if self.fd < 0:
            raise OSError(-self.fd, os.strerror(-self.fd))
        self.key, self.value = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8 * 64)
        key, value = ctypes.addressof(self.key), ctypes.addressof(self.value)
        self._attrs = {
            command: struct.pack("=I4xQQQ", self.fd, key, value if command != DELETE else 0, 0)
            for command in (LOOKUP, UPDATE, DELETE, NEXT)
        }

    def ask(self, command: int) -> int:
        """One command on the key in the buffer."""
        return self.syscall.bpf(command, bytearray(self._attrs[command]))

    def batch(self, command: int, keys: Any, values: Any, count: int) -> int:
        """One batch command on *count* elements."""
        place = ctypes.create_string_buffer(8)
        out = ctypes.addressof(place) if command == LOOKUP_BATCH else 0
        attr = struct.pack("=QQQQIIQQ", 0, out, keys.ctypes.data, values.ctypes.data,
                           count, self.fd, 0, 0)  # fmt: skip
        return self.syscall.bpf(command, bytearray(attr))

    @property
    def memory(self) -> int:
        """What the kernel accounts, bytes."""
        text = Path(f"/proc/self/fdinfo/{self.fd}").read_text()
        found = re.search(r"memlock:\s*(\d+)", text)
        return int(found[1]) if found else 0

    def close(self) -> None:
        """Give it back."""
        os.close(self.fd)


def single_operations(rounds: int, *, kernel: bool) -> list[dict[str, Any]]:
    """One element at a time."""
    rows = []
    for kind in ("hash", "lru_hash", "array", "percpu_array", "lpm_trie"):
        table = made(kind, 1024)
        target, theirs = table.target, KernelMap(kind, 1024) if kernel else None
        key = bytes([32, 0, 0, 0] * (kind == "lpm_trie")) + bytes(4)
        typed = int.from_bytes(key, "little")
        value = bytes(target.host_value_size)
        target.update(key, value)
        actions: dict[str, tuple[Callable[[], object], int]] = {
            "lookup, bytes": (partial(target.lookup, key), LOOKUP),
            "lookup, typed": (partial(table.__getitem__, typed), LOOKUP),
            "update, bytes": (partial(target.update, key, value), UPDATE),
            "update, typed": (partial(table.__setitem__, typed, 7), UPDATE),
            "next key": (partial(target.next_key, None), NEXT),
        }
        if theirs is not None:
            ctypes.memmove(theirs.key, key, len(key))
            theirs.ask(UPDATE)
        for name, (action, command) in actions.items():
            action()
            times: dict[str, list[float]] = {"skep": [], "kernel": []}
            for _ in range(rounds):
                times["skep"].append(per_call(action))
                if theirs is not None:
                    times["kernel"].append(per_call(partial(theirs.ask, command), ONCE // 4))
            rows.append(row(f"host: {kind} {name}", times))
        if theirs is not None:
            theirs.close()
    return rows


def walk(table: skep.Map) -> int:
    """Read every element as Python values; how many there are."""
    return sum(1 for _ in table.items())


def timed(action: Callable[[], object], count: int) -> float:
    """Nanoseconds for each of *count* elements."""
    began = time.thread_time_ns()
    action()
    return (time.thread_time_ns() - began) / count


def many_elements(*, kernel: bool) -> list[dict[str, Any]]:
    """A million elements in and out."""
    rows = []
    for kind in ("hash", "hash_dynamic", "lru_hash", "array"):
        keys = np.arange(MANY, dtype="u4")
        if kind != "array":
            keys = np.random.default_rng(1).permutation(keys)
        values = np.arange(MANY, dtype="u8")
        table = made(kind, MANY)
        table.update_many(keys[:1], values[:1])
        theirs = KernelMap(kind, MANY) if kernel else None
        room_keys, room_values = np.zeros(2 * MANY, "u4"), np.zeros(2 * MANY, "u8")
        steps: list[tuple[str, Callable[[], object], int, Any, Any]] = [
            ("load", partial(table.update_many, keys, values), UPDATE_BATCH, keys, values),
            ("dump", table.to_numpy, LOOKUP_BATCH, room_keys, room_values),
            ("items()", partial(walk, table), 0, None, None),
            ("delete", partial(table.delete_many, keys), DELETE_BATCH, keys, values),
        ]
        for name, action, command, batch_keys, batch_values in steps:
            if name == "delete" and kind in {"array", "lru_hash"}:  # LRU maps drop some before
                continue
            times: dict[str, list[float]] = {"skep": [timed(action, MANY)], "kernel": []}
            if theirs is not None and command:
                batch = partial(theirs.batch, command, batch_keys, batch_values, len(batch_keys))
                times["kernel"] = [timed(batch, MANY)]
            rows.append(row(f"host: {kind} {name} of a million, each", times))
        if theirs is not None:
            theirs.close()
    return rows


def resident() -> int:
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(*, kernel: bool) -> list[dict[str, Any]]:
    """Bytes for each of a million elements."""
    rows = []
    cpus = os.cpu_count() or 1
    for kind in KINDS:
        keys: Any = np.arange(MANY, dtype="u4")
        if kind == "lpm_trie":
            keys = np.zeros(MANY, [("bits", "<u4"), ("address", ">u4")])
            keys["bits"], keys["address"] = 32, np.arange(MANY)
            keys = keys.view("<u8")
        values = np.zeros((MANY, cpus) if kind.startswith("percpu") else MANY, "u8") + 1
        before = resident()
        table = made(kind, MANY, cpus)
        table.update_many(keys, values)
        ours = (resident() - before) / MANY
        theirs = None
        if kernel:
            other = KernelMap(kind, MANY)
            if kind in {"hash_dynamic", "lpm_trie"}:
                other.batch(UPDATE_BATCH, keys, values, MANY)
            theirs = other.memory / MANY
            other.close()
        print(f"memory: {kind:26} skep {ours:8.1f} bytes an element"
              + (f", kernel {theirs:8.1f}" if theirs else ""), flush=True)  # fmt: skip
        rows.append({"name": f"memory {kind}", "unit": "bytes", "skep": ours, "kernel": theirs})
        del table
    return rows


def measure(rounds: int, *, kernel: bool) -> list[dict[str, Any]]:
    """All of it."""
    print(f"map operations from Python: nanoseconds each, median of {rounds} [least .. greatest]")
    rows = single_operations(rounds, kernel=kernel)
    return rows + many_elements(kernel=kernel) + memory(kernel=kernel)


if __name__ == "__main__":
    measure(3, kernel=True)
