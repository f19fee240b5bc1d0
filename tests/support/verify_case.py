"""Runs cases of a corpus of verifier tests through ``verify()`` and compares with the kernel.

usage: python tests/support/verify_case.py CORPUS.json [--only TEXT] [--show N] [--unprivileged]

The corpus is test data that stands outside the project; see its own README for the format.
"""

import argparse
import collections
import json
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.isa.codec import decode
from skep.uapi.program_types import by_id, effective_attach_type
from skep.verifier import Rejected, verify
from skep.verifier.interface import FunctionInfo, MapShape, Request

VMLINUX = Path("/sys/kernel/btf/vmlinux")
FIRST_FD = 100
FIRST_BTF_FD = 1000


class Shape:
    """A map as the verifier sees it, without one behind it."""

    def __init__(self, number: int, row: dict[str, Any], btf: Btf | None) -> None:
        self.id = number
        self.map_type: int = row["map_type"]
        self.key_size: int = row["key_size"]
        self.value_size: int = row["value_size"]
        self.max_entries: int = row["max_entries"]
        self.map_flags: int = row.get("map_flags", 0)
        self.frozen = False
        self.btf: Btf | None = btf if "btf" in row else None
        self.btf_key_type_id: int = row.get("btf_key_type_id", 0)
        self.btf_value_type_id: int = row.get("btf_value_type_id", 0)
        self.address = 0x1000 * number
        self.inner: MapShape | None = None
        if "inner" in row:
            self.inner = Shape(number + 500, row["inner"], btf)

    def constant(self, offset: int, size: int) -> int | None:
        """No map of the corpus is frozen."""
        del offset, size
        return None

    def value_address(self, offset: int) -> int | None:
        """Only single-element arrays have one."""
        if self.map_type != 2 or self.max_entries != 1 or offset >= self.value_size:
            return None
        return self.address + 0x800 + offset


class World:
    """The Environment of one case."""

    def __init__(self, kernel_btf: Btf | None) -> None:
        self.kernel_btf = kernel_btf
        self.maps: dict[int, MapShape] = {}

    def map_by_fd(self, fd: int) -> MapShape | None:
        """See Environment."""
        return self.maps.get(fd)

    def btf_by_fd(self, fd: int) -> Btf | None:
        """See Environment."""
        del fd
        return None

    def helper_implemented(self, helper: int) -> bool:
        """Every helper counts as implemented: only the verdict is wanted."""
        del helper
        return True


def btf_of(blob: dict[str, str]) -> Btf:
    """Join the two sections of *blob* under a header."""
    types, strings = bytes.fromhex(blob["types"]), bytes.fromhex(blob["strings"])
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return Btf.parse(head + types + strings)


def kernel_btf() -> Btf | None:
    """Types of the running kernel, None if it does not show them."""
    return Btf.parse(VMLINUX.read_bytes(), source="vmlinux") if VMLINUX.exists() else None


def request_of(
    corpus: dict[str, Any], case: dict[str, Any], kernel: Btf | None, **options: Any
) -> Request:
    """Build the request that loading *case* would make."""
    world = World(kernel)
    code = bytearray.fromhex(case["insns"])
    fds: dict[str, int] = {}
    shared = btf_of(corpus["map_btf"])
    for fixup in case["fixups"]:
        kind = fixup["map"]
        if kind not in fds:
            fds[kind] = FIRST_FD + len(fds)
            world.maps[fds[kind]] = Shape(fds[kind], corpus["map_kinds"][kind], shared)
        struct.pack_into("<i", code, fixup["insn"] * 8 + 4, fds[kind])
    for fixup in case["kfunc_fixups"]:
        number = kernel.by_name(fixup["kfunc"], Kind.FUNC) if kernel is not None else 0
        struct.pack_into("<i", code, fixup["insn"] * 8 + 4, number or 0)
    program_type = by_id(case["prog_type"] or 1)
    assert program_type is not None
    return Request(
        insns=decode(bytes(code)),
        program_type=program_type,
        environment=world,
        expected_attach_type=effective_attach_type(program_type, case["expected_attach_type"]),
        prog_flags=case["kernel"].get("prog_flags", 0),
        license="GPL",
        btf=btf_of(case["btf"]) if case["btf"] else None,
        function_infos=[FunctionInfo(row["insn_off"], row["type_id"]) for row in case["func_info"]],
        attach_btf_id=attach_id(case, kernel),
        **options,
    )


def attach_id(case: dict[str, Any], kernel: Btf | None) -> int:
    """BTF id of the case's attach target; 0 for none."""
    name = case["attach_btf_name"]
    if not name or kernel is None:
        return 0
    prefix = {23: "btf_trace_", 27: "bpf_lsm_", 28: "bpf_iter_"}.get(
        case["expected_attach_type"], ""
    )
    kind = Kind.TYPEDEF if case["expected_attach_type"] == 23 else Kind.FUNC
    return kernel.by_name(prefix + name, kind) or 0


def judge(request: Request) -> tuple[str, int, str, int]:
    """Verdict, errno, message and processed instructions (-1 if rejected)."""
    try:
        proof = verify(request)
    except Rejected as rejected:
        verdict = "UNKNOWN" if rejected.rule.id == "not-supported" else "REJECT"
        return verdict, rejected.errno, f"{rejected.pc}: {rejected.detail}", -1
    except Exception:  # noqa: BLE001 - a crash is a result here, too
        return "CRASH", 0, traceback.format_exc(limit=-4), -1
    return "ACCEPT", 0, "", proof.statistics.insns_processed


def group_of(case: dict[str, Any], truth: str, verdict: str, number: int, message: str) -> str:
    """How the answer compares with the truth."""
    if verdict in ("CRASH", "UNKNOWN"):
        return verdict.lower()
    if verdict != truth:
        return "FALSE ACCEPT" if verdict == "ACCEPT" else "false reject"
    if verdict == "ACCEPT" or truth != case["truth"]["verdict"]:
        return "same"
    kernel = case["kernel"]
    if kernel.get("errno") and kernel["errno"] != number:
        return "other errno"
    tail = "\n".join(kernel.get("log_tail", []))
    wanted = [text for text in (case["errstr"] or "").split("\t") if text]
    if wanted and all(text in tail for text in wanted):
        return "same" if all(text in message for text in wanted) else "other text"
    return "same"


def main() -> int:
    """Run all chosen cases and print the comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("--group", default="")
    parser.add_argument("--unprivileged", action="store_true")
    options = parser.parse_args()
    corpus = json.loads(options.corpus.read_text())
    kernel = kernel_btf()
    counts: collections.Counter[str] = collections.Counter()
    lines: dict[str, list[str]] = collections.defaultdict(list)
    began = time.perf_counter()
    for case in corpus["tests"]:
        if options.only not in f"{case['id']} {case['name']} {case['file']}":
            continue
        truth = case.get("truth_unpriv" if options.unprivileged else "truth", {}).get("verdict")
        if truth not in ("ACCEPT", "REJECT"):
            continue
        wanted = request_of(corpus, case, kernel, privileged=not options.unprivileged)
        verdict, number, message, _ = judge(wanted)
        group = group_of(case, truth, verdict, number, message)
        counts[group] += 1
        if group != "same":
            tail = case["kernel"].get("log_tail", [""])[-1:]
            lines[group].append(
                f"  {case['id']} {case['name']!r}: ours {number} {message!r}"
                f" | kernel {case['kernel'].get('errno', 0)} {tail}"
            )
    for group in sorted(lines):
        if options.group in group:
            print(f"== {group}")
            print("\n".join(lines[group][: options.show]))
    print(dict(counts), f"{time.perf_counter() - began:.1f}s")
    return 1 if counts["FALSE ACCEPT"] else 0


if __name__ == "__main__":
    sys.exit(main())
