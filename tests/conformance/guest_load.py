"""Loads the programs of a job file through bpf(2) and notes the answers; runs inside of a guest.

usage: python guest_load.py JOBS ANSWERS

It needs nothing but the standard library. Each line of JOBS is a JSON object: types or a map to
make first, or a program; each line of ANSWERS is the number of a program, errno, and last message.
"""

import ctypes
import json
import os
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

MAP_CREATE, PROG_LOAD, BTF_LOAD = 0, 5, 18
ATTR_SIZE = 168
LOG_SIZE = 1 << 18
ATTR = "<IIQQIIQII16sIIIIQIIQIIIIQI"
Door = Callable[[int, bytearray], int]

_libc = ctypes.CDLL(None, use_errno=True)


def system(command: int, attr: bytearray) -> int:
    """This kernel's bpf(2); the result or ``-errno``."""
    buffer = (ctypes.c_char * len(attr)).from_buffer(attr)
    result = int(_libc.syscall(321, command, buffer, len(attr)))
    return -ctypes.get_errno() if result < 0 else result


class Loader:
    """Makes what jobs ask for, one after the other."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.fds: dict[str, int] = {}
        self.license = ctypes.create_string_buffer(b"GPL")
        self.log = ctypes.create_string_buffer(LOG_SIZE)

    def call(self, command: int, attr: bytes) -> int:
        """One command."""
        return self.door(command, bytearray(attr.ljust(ATTR_SIZE, b"\0")))

    def answers(self, jobs: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Do the jobs; programs have answers."""
        for job in jobs:
            if "types" in job:
                self.fds[job["name"]] = self._types(bytes.fromhex(job["types"]))
            elif "map" in job:
                self.fds[job["name"]] = self.call(MAP_CREATE, struct.pack("<IIIII", *job["map"]))
            else:
                result = self._program(job)
                if result >= 0 and "name" in job:
                    self.fds[job["name"]] = result
                elif result >= 0:
                    self.close(result)
                yield {"number": job["number"], "errno": max(0, -result), "log": self._tail()}

    def close(self, fd: int) -> None:
        """Forget a program."""
        os.close(fd)

    def _types(self, data: bytes) -> int:
        buffer = ctypes.create_string_buffer(data, len(data))
        attr = struct.pack("<QQII", ctypes.addressof(buffer), 0, len(data), 0)
        return self.call(BTF_LOAD, attr)

    def _program(self, job: dict[str, Any]) -> int:
        code = bytearray.fromhex(job["insns"])
        for slot, name in job.get("maps", ()):
            struct.pack_into("<i", code, 8 * slot + 4, self.fds[name])
        insns = ctypes.create_string_buffer(bytes(code), len(code))
        records = bytes.fromhex(job.get("functions", ""))
        functions = ctypes.create_string_buffer(records, len(records) or 1)
        self.log[0] = b"\0"
        attr = struct.pack(
            ATTR, job["type"], len(code) // 8, ctypes.addressof(insns),
            ctypes.addressof(self.license), 1, LOG_SIZE, ctypes.addressof(self.log), 0,
            job.get("flags", 0), b"job", 0, job.get("attach", 0),
            self.fds.get(job.get("btf", ""), 0), 8 if records else 0,
            ctypes.addressof(functions) if records else 0, len(records) // 8, 0, 0, 0,
            job.get("btf_id", 0), self.fds.get(job.get("target", ""), 0), 0, 0, 0,
        )  # fmt: skip
        return self.call(PROG_LOAD, attr)

    def _tail(self) -> str:
        lines = self.log.value.decode(errors="replace").splitlines()
        kept = [line for line in lines if line and not line.startswith(("processed", "func#"))]
        return kept[-1] if kept else ""


def read_jobs(path: str) -> Iterator[dict[str, Any]]:
    """The jobs of a file."""
    with open(path) as file:  # noqa: PTH123 - as plain as can be
        for line in file:
            yield json.loads(line)


def main(jobs: str, answers: str) -> None:
    """Do the jobs of one file, and write the answers into another."""
    loader = Loader(system)
    with open(answers, "w") as out:  # noqa: PTH123
        out.writelines(json.dumps(row) + "\n" for row in loader.answers(read_jobs(jobs)))


if __name__ == "__main__":
    main(*sys.argv[1:])
