"""The loader on real objects, through the running kernel: its verdicts must be those on record.

The corpus is no part of the project: where it is missing, or bpf(2) refuses, this is skipped.
"""

import errno
import json
import platform
import re
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skep.errors import BpfError
from skep.loader.door import ProgramRefused
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject, with_type
from skep.loader.reader import read_object
from skep.loader.spec import MapSpec, ObjectSpec, ProgramSpec
from skep.loader.target import Target
from skep.uapi.flags import MapType, ProgType

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
RECORDED_ON = "6.18"
Row = dict[str, Any]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CORPUS / "objects.jsonl").exists(), reason="the corpus is not here"),
]


def rows_by_file() -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for line in (CORPUS / "objects.jsonl").read_text().splitlines():
        row = json.loads(line)
        found.setdefault(row["file"], []).append(row)
    return found


def with_fixups(spec: ObjectSpec, rows: list[Row]) -> ObjectSpec:
    """Set what the tool that the object belongs to sets before loading."""
    fixups = dict(
        text.split(": ") for row in rows for text in (row.get("fixups") or [])
    )  # name of a map to what to change
    return replace(spec, maps=tuple(changed(map_, fixups.get(map_.name)) for map_ in spec.maps))


def changed(map_: MapSpec, fixup: str | None) -> MapSpec:
    if fixup is None:
        return map_
    if fixup.startswith("max_entries="):
        return replace(map_, max_entries=int(fixup.partition("=")[2]))
    if fixup == "key_size=value_size=0":
        return replace(map_, key_size=0, value_size=0, key_type=0, value_type=0)
    inner = re.fullmatch(r"inner map (\w+)\((\d+),(\d+),(\d+)\)", fixup)
    assert inner is not None, fixup
    sizes = [int(number) for number in inner.groups()[1:]]
    template = MapSpec(
        name="inner", map_type=MapType[inner[1]], key_size=sizes[0], value_size=sizes[1],
        max_entries=sizes[2],
    )  # fmt: skip
    return replace(map_, inner=template)


def typed(program: ProgramSpec, row: Row) -> ProgramSpec:
    if program.program_type and not row.get("note"):
        return program
    return with_type(program, ProgType[row["prog_type"]], row["expected_attach_type"])


def outcome(loaded: LoadedObject, row: Row) -> str:
    section = row["section"].removeprefix("?")
    program = next(
        p for p in loaded.spec.programs if (p.name, p.section) == (row["program"], section)
    )
    try:
        loaded.load_program(typed(program, row))
    except ProgramRefused as error:
        if row["verdict"] == "accepted":
            return "false reject"
        same = error.errno == row["errno"] and row.get("last_log_line", "") in error.log
        return "same" if same else "other reason"
    except BpfError:
        return "not loaded"
    if len(program.insns) != row["insn_cnt"]:
        return "other instructions"
    return "same" if row["verdict"] == "accepted" else "false accept"


def test_real_objects_get_the_verdicts_on_record() -> None:
    syscall = KernelSyscall()
    # a hash map of one entry: without CAP_BPF Linux refuses it before it looks at the sizes
    if syscall.bpf(0, bytearray(struct.pack("<4I", 1, 4, 4, 1))) == -errno.EPERM:
        pytest.skip("bpf(2) of the running kernel is not open to us")
    if not platform.release().startswith(RECORDED_ON):
        pytest.skip(f"the verdicts were recorded on {RECORDED_ON}")
    counts: Counter[str] = Counter()
    target = Target.running()
    for name, rows in rows_by_file().items():
        spec = with_fixups(read_object((CORPUS / name).read_bytes(), name), rows)
        with LoadedObject(spec, syscall, target) as loaded:
            counts.update(outcome(loaded, row) for row in rows)

    wrong = ("false accept", "false reject", "other instructions", "other reason")
    assert not any(counts[kind] for kind in wrong), counts
    assert counts["same"] >= 613, counts
