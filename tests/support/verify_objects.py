"""Loads the objects of a corpus into a bpf(2) that only verifies, and compares with the kernel.

usage: python tests/support/verify_objects.py OBJECTS.jsonl [--only SUBSTRING] [--show N]

Maps are descriptions without storage, every helper counts as implemented: only verdicts are wanted.
The corpus stands outside the project; see its own README for the format.
"""

import argparse
import collections
import ctypes
import errno
import json
import re
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from verify_case import kernel_btf

from skep.btf.graph import Btf
from skep.errors import BpfError
from skep.isa.codec import decode
from skep.loader.door import ProgramRefused
from skep.loader.load import LoadedObject, with_type
from skep.loader.reader import read_object
from skep.loader.target import Target
from skep.uapi import commands
from skep.uapi.flags import ProgType
from skep.uapi.program_types import by_id, effective_attach_type
from skep.verifier import Rejected, verify
from skep.verifier.interface import FunctionInfo, MapShape, Request

INNER = re.compile(r"(\w+): inner map (\w+)\((\d+),(\d+),(\d+)\)")
MAP_KINDS = {"ARRAY": 2, "HASH": 1, "LRU_HASH": 9, "LPM_TRIE": 11, "PERCPU_HASH": 5}


class Shape:
    """A map without storage, but for one constant value."""

    def __init__(self, number: int, attr: commands.MapCreate, btf: Btf | None) -> None:
        self.id = number
        self.map_type, self.map_flags = attr.map_type, attr.map_flags
        self.key_size, self.value_size = attr.key_size, attr.value_size
        self.max_entries = attr.max_entries
        self.frozen = False
        self.btf = btf
        self.btf_key_type_id = attr.btf_key_type_id
        self.btf_value_type_id = attr.btf_value_type_id
        self.address = number << 32
        self.inner: MapShape | None = None
        self.data = b""

    def constant(self, offset: int, size: int) -> int | None:
        """Bytes of the value, if nothing can change it any more."""
        if not self.frozen or self.map_type != 2:
            return None
        return int.from_bytes(self.data[offset : offset + size].ljust(size, b"\0"), "little")

    def value_address(self, offset: int) -> int | None:
        """Only arrays of one element have one."""
        if self.map_type == 33:
            return self.address + offset
        if self.map_type != 2 or self.max_entries != 1 or offset >= self.value_size:
            return None
        return self.address + 0x1000 + offset


class Verifier:
    """A bpf(2) that creates descriptions of maps, and verifies programs."""

    def __init__(self, kernel: Btf | None, fixups: list[str]) -> None:
        self.kernel_btf = kernel
        self.inner = {m[1]: m for text in fixups if (m := INNER.match(text))}
        self.things: dict[int, Any] = {}
        self.last_error: Exception | None = None
        self.cost = (0, 0.0)
        self.rule = ""

    def map_by_fd(self, fd: int) -> MapShape | None:
        """See Environment."""
        found = self.things.get(fd)
        return found if isinstance(found, Shape) else None

    def btf_by_fd(self, fd: int) -> Btf | None:
        """See Environment."""
        found = self.things.get(fd)
        return found if isinstance(found, Btf) else None

    def helper_implemented(self, helper: int) -> bool:
        """See Environment."""
        return helper > 0

    def close(self, fd: int, /) -> None:
        """Forget a descriptor."""
        self.things.pop(fd, None)

    def bpf(self, cmd: int, attr: bytearray, /) -> int:
        """Serve one command."""
        handler = {
            commands.MAP_CREATE.number: self._create,
            commands.MAP_UPDATE_ELEM.number: self._update,
            commands.MAP_FREEZE.number: self._freeze,
            commands.BTF_LOAD.number: self._types,
            commands.PROG_LOAD.number: self._program,
        }.get(cmd)
        return 0 if handler is None else handler(bytes(attr))

    def _install(self, thing: object) -> int:
        fd = 10 + len(self.things)
        while fd in self.things:
            fd += 1
        self.things[fd] = thing
        return fd

    def _create(self, data: bytes) -> int:
        attr = commands.MapCreate.decode(data.ljust(commands.MapCreate.wire_size(), b"\0"))
        shape = Shape(1 + len(self.things), attr, self.btf_by_fd(attr.btf_fd))
        name = attr.map_name.rstrip(b"\0").decode()
        for full, row in self.inner.items():
            if full[:15] == name[:15] and name:
                inner = commands.MapCreate(
                    map_type=MAP_KINDS[row[2]],
                    key_size=int(row[3]),
                    value_size=int(row[4]),
                    max_entries=int(row[5]),
                )
                shape.inner = Shape(shape.id + 500, inner, None)
        if attr.inner_map_fd and shape.inner is None:
            shape.inner = self.map_by_fd(attr.inner_map_fd)
        return self._install(shape)

    def _update(self, data: bytes) -> int:
        attr = commands.MapElem.decode(data.ljust(commands.MapElem.wire_size(), b"\0"))
        shape = self.things[attr.map_fd]
        if not shape.data and shape.map_type == 2:
            shape.data = ctypes.string_at(attr.value, shape.value_size)
        return 0

    def _freeze(self, data: bytes) -> int:
        self.things[struct.unpack_from("<I", data)[0]].frozen = True
        return 0

    def _types(self, data: bytes) -> int:
        attr = commands.BtfLoad.decode(data.ljust(commands.BtfLoad.wire_size(), b"\0"))
        return self._install(Btf.parse(ctypes.string_at(attr.btf, attr.btf_size)))

    def _program(self, data: bytes) -> int:
        attr = commands.ProgLoad.decode(data.ljust(commands.ProgLoad.wire_size(), b"\0"))
        row = by_id(attr.prog_type)
        if row is None:
            return -errno.EINVAL
        functions = []
        for index in range(attr.func_info_cnt):
            at = attr.func_info + index * attr.func_info_rec_size
            functions.append(FunctionInfo(*struct.unpack("<II", ctypes.string_at(at, 8))))
        request = Request(
            insns=decode(ctypes.string_at(attr.insns, 8 * attr.insn_cnt)),
            program_type=row,
            environment=self,
            expected_attach_type=effective_attach_type(row, attr.expected_attach_type),
            prog_flags=attr.prog_flags,
            license=ctypes.string_at(attr.license).decode(),
            btf=self.btf_by_fd(attr.prog_btf_fd),
            function_infos=functions,
            attach_btf=self.kernel_btf if attr.attach_btf_id else None,
            attach_btf_id=attr.attach_btf_id,
        )
        self.last_error = None
        began = time.perf_counter()
        try:
            proof = verify(request)
        except Rejected as rejected:
            self.last_error = rejected
            return -rejected.errno
        finally:
            self.cost = (0, time.perf_counter() - began)
        self.cost = (proof.statistics.insns_processed, self.cost[1])
        return self._install(proof)


def judge(row: dict[str, Any], root: Path, kernel: Btf | None) -> tuple[str, int, str, Verifier]:
    """Verdict, errno and message of one row of the corpus."""
    world = Verifier(kernel, row.get("fixups") or [])
    path = root / row["file"]
    try:
        spec = read_object(path.read_bytes(), path.name)
        program = next(
            p for p in spec.programs if p.name == row["program"] and p.section == row["section"]
        )
        wanted = getattr(ProgType, row["prog_type"])
        if program.program_type != wanted:
            program = with_type(program, wanted, row["expected_attach_type"] or 0)
        with LoadedObject(spec, world, Target(kernel), explain=False) as loaded:
            loaded.load_program(program)
    except ProgramRefused as refused:
        cause = world.last_error
        if isinstance(cause, Rejected):
            verdict = "UNKNOWN" if cause.rule.id == "not-supported" else "REJECT"
            return verdict, cause.errno, f"{cause.pc}: {cause.detail}", world
        return "REFUSED", refused.errno, str(refused), world
    except BpfError as error:
        return "LOADER", 0, f"{type(error).__name__}: {error}", world
    except Exception:  # noqa: BLE001 - a crash is a result here, too
        return "CRASH", 0, traceback.format_exc(limit=-3), world
    return "ACCEPT", 0, "", world


def group_of(row: dict[str, Any], verdict: str, number: int) -> str:
    """How the answer compares with the truth."""
    truth = row["truth"]["verdict"]
    if verdict not in ("ACCEPT", "REJECT"):
        return verdict.lower() + ("" if truth == "ACCEPT" else " (rejected)")
    if verdict != truth:
        return "FALSE ACCEPT" if verdict == "ACCEPT" else "false reject"
    if verdict == "REJECT" and row.get("errno") not in (None, number):
        return "other errno"
    return "same"


def main() -> int:
    """Run all chosen rows and print the comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("--slow", type=float, default=5.0, help="seconds worth mentioning")
    options = parser.parse_args()
    kernel = kernel_btf()
    counts: collections.Counter[str] = collections.Counter()
    lines: dict[str, list[str]] = collections.defaultdict(list)
    insns, seconds = 0, 0.0
    for text in options.corpus.read_text().splitlines():
        row = json.loads(text)
        name = f"{row['file'].removeprefix('objects/')} {row['section']} {row['program']}"
        if options.only not in name or row["truth"]["verdict"] is None or row.get("maybe_env"):
            continue
        verdict, number, message, world = judge(row, options.corpus.parent, kernel)
        insns, seconds = insns + world.cost[0], seconds + world.cost[1]
        group = group_of(row, verdict, number)
        if world.cost[1] > options.slow:
            lines["slow"].append(f"  {name}: {world.cost[0]} insns, {world.cost[1]:.1f} s")
        counts[group] += 1
        if group != "same":
            lines[group].append(
                f"  {name}: ours {number} {message!r} | kernel {row.get('errno')} "
                f"{row.get('last_log_line')!r}"
            )
    for group in sorted(lines):
        print(f"== {group}")
        print("\n".join(lines[group][: options.show]))
    print(dict(counts), f"{insns} insns in {seconds:.1f} s")
    return 1 if counts["FALSE ACCEPT"] else 0


if __name__ == "__main__":
    sys.exit(main())
