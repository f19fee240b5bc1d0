"""Prints how far skep's verdicts agree with the kernel's on the shared corpus.

usage: table.py [--objects] [--tests] [--only SUBSTRING] [--show N] [--json FILE] [--jobs N]

Exit status 1 if anything is accepted that the kernel rejects, 2 if the corpus is missing.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skep.loader.spec import MapSpec, ObjectSpec, ProgramSpec
from skep.session.verdicts import Verdict, verify_file
from skep.uapi.flags import ProgType

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
ENVIRONMENT = "not in scope"


@dataclass(frozen=True, slots=True)
class Row:
    """One program: the kernel's verdict and ours."""

    file: str
    program: str
    type: str
    truth: str
    errno: str
    ours: Verdict | None
    note: str = ""

    @property
    def kind(self) -> str:
        """How the verdicts compare."""
        if self.ours is None:
            return "missing"
        if self.ours.rule == "not-supported":
            return "refused: not supported"
        ours = "ACCEPT" if self.ours.verdict == "accepted" else "REJECT"
        if ours == self.truth:
            return "same"
        return "FALSE ACCEPT" if ours == "ACCEPT" else "false reject"


def adjust_map(spec: MapSpec, fixups: Iterable[str]) -> MapSpec:
    """What a tool's own user space sets before it loads, as the corpus tells it."""
    for fixup in fixups:
        name, _, change = fixup.partition(": ")
        if name != spec.name:
            continue
        if change.startswith("max_entries="):
            spec = replace(spec, max_entries=int(change.partition("=")[2]))
        elif change == "key_size=value_size=0":
            spec = replace(spec, key_size=0, value_size=0, key_type=0, value_type=0)
        elif change.startswith("inner map ARRAY("):
            key, value, count = map(int, change[16:-1].split(","))
            inner = MapSpec(name="inner", map_type=2, key_size=key, value_size=value,
                            max_entries=count)  # fmt: skip
            spec = replace(spec, inner=inner)
    return spec


def adjust_program(spec: ProgramSpec, rows: Mapping[str, Mapping[str, Any]]) -> ProgramSpec:
    """The program as the corpus' loader loaded it: its type may have been guessed there."""
    row = rows.get(spec.name)
    if row is None or not row.get("prog_type"):
        return spec
    number = ProgType[row["prog_type"]].value
    if spec.program_type == number and spec.expected_attach_type == row["expected_attach_type"]:
        return spec
    return replace(
        spec, program_type=number, expected_attach_type=row["expected_attach_type"],
        prog_flags=row["prog_flags"],
    )  # fmt: skip


def judge(task: tuple[str, list[dict[str, Any]]]) -> list[Row]:
    """Rows of one object file."""
    file, rows = task
    by_name = {row["program"]: row for row in rows}
    fixups = [fixup for row in rows for fixup in row.get("fixups") or ()]

    def adjust(spec: ObjectSpec) -> ObjectSpec:
        return replace(
            spec,
            maps=tuple(adjust_map(each, fixups) for each in spec.maps),
            programs=tuple(adjust_program(each, by_name) for each in spec.programs),
        )

    found = {  # without the reason, whose rule does not travel between processes when compiled
        verdict.program: replace(verdict, reason=None)
        for verdict in verify_file(CORPUS / file, adjust=adjust)
    }
    whole = found.get("")
    return [
        Row(file, row["program"], row["prog_type"] or "?", row["truth"]["verdict"] or "",
            row.get("errname") or "", found.get(row["program"], whole))
        for row in rows
    ]  # fmt: skip


def object_rows(only: str, jobs: int) -> list[Row]:
    """Every row of the object corpus with a settled verdict."""
    tasks: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in (CORPUS / "objects.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["truth"]["verdict"] and not row.get("maybe_env") and only in row["file"]:
            tasks[row["file"]].append(row)
    with ProcessPoolExecutor(jobs) as pool:
        return [row for rows in pool.map(judge, tasks.items()) for row in rows]


def print_rows(rows: list[Row], show: int) -> None:
    """The table by program type, then the differences."""
    kinds = ("same", "FALSE ACCEPT", "false reject", "refused: not supported", "missing")
    types: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        types[row.type][row.kind] += 1
        types["ALL"][row.kind] += 1
    print(f"{'type':18}" + "".join(f"{kind:>24}" for kind in kinds))
    for name in sorted(types, key=lambda each: (each == "ALL", each)):
        print(f"{name:18}" + "".join(f"{types[name][kind]:>24}" for kind in kinds))
    rejects = [r for r in rows if r.kind == "same" and r.truth == "REJECT" and r.errno and r.ours]
    same_errno = sum(1 for r in rejects if r.ours and r.ours.errno == r.errno)
    print(f"same errno: {same_errno} of {len(rejects)} agreed rejections")
    differences = [row for row in rows if row.kind != "same"]
    differences.sort(key=lambda row: (row.kind != "FALSE ACCEPT", row.kind))
    for row in differences[:show]:
        message = row.ours.message if row.ours else "no such program"
        print(f"{row.kind}: {row.file} {row.program} ({row.type}): {message[:160]}")


def main() -> int:
    """Compare and print; the exit status says whether a false accept was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", action="store_true", help="only the object files")
    parser.add_argument("--tests", action="store_true", help="only the verifier tests")
    parser.add_argument("--only", default="", help="only files that contain this")
    parser.add_argument("--show", type=int, default=25, help="differences to list")
    parser.add_argument("--json", help="write all rows here")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if not CORPUS.exists():
        print(f"no corpus at {CORPUS}")
        return 2
    status = 0
    if not options.objects:
        command = [sys.executable, str(CORPUS / "verdicts.py"), str(CORPUS / "verifier_dev.json")]
        command += ["--target", "skep", "--show", str(options.show), "--only", options.only]
        status = subprocess.run(command, check=False).returncode
    if not options.tests:
        rows = object_rows(options.only, options.jobs)
        print_rows(rows, options.show)
        status |= any(row.kind == "FALSE ACCEPT" for row in rows)
        if options.json:
            text = [
                {"file": r.file, "program": r.program, "type": r.type, "truth": r.truth,
                 "errno": r.errno, "kind": r.kind, "ours": r.ours.row if r.ours else None}
                for r in rows
            ]  # fmt: skip
            Path(options.json).write_text(json.dumps(text, indent=1))
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
