"""Prints how far skep's verdicts agree with the kernel's on the shared corpus.

usage: table.py [--objects] [--tests] [--only SUBSTRING] [--show N] [--json FILE] [--jobs N]

One table a part, by file, then the differences. What is refused on purpose, with reasons, stands in
docs/reference/differences.md.

Exit status 1 if anything is accepted that the kernel rejects, 2 if the corpus is missing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
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
KINDS = ("same", "FALSE ACCEPT", "false reject", "refused: not supported", "missing", "CRASH")
# Counts of instructions in the corpus that the running 6.18.44, asked again, gives as skep does.
STALE = frozenset(
    (
        "objects/st-test_attach_probe.bpf.o", "objects/eb-linux_xdp_monitor_kern.o",
        "objects/eb-linux_sockex2_kern.o",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One program: the kernel's verdict and ours."""

    file: str
    program: str
    type: str
    truth: str
    errno: str
    ours: Verdict | None
    insns: int = 0  # that the kernel examined, of an accepted program

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
            row.get("errname") or "", found.get(row["program"], whole),
            row.get("insns_processed", 0) if row["verdict"] == "accepted" else 0)
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


def print_table(head: str, found: Iterable[tuple[str, str]]) -> None:
    """How often verdicts compare how, by name."""
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for name, kind in found:
        names[name][kind] += 1
        names["ALL"][kind] += 1
    width = max(len(name) for name in (*names, head)) + 2
    shown = [kind for kind in KINDS if kind in ("same", "FALSE ACCEPT") or names["ALL"][kind]]
    print(f"\n{head:{width}}" + "".join(f"{kind:>{len(kind) + 4}}" for kind in shown))
    for name in sorted(names, key=lambda each: (each == "ALL", each)):
        cells = "".join(f"{names[name][kind]:>{len(kind) + 4}}" for kind in shown)
        print(f"{name:{width}}{cells}")


def print_counts(rows: list[Row]) -> None:
    """How many accepted programs take exactly the kernel's number of instructions."""
    counted = [row for row in rows if row.kind == "same" and row.insns and row.ours]
    other = [row for row in counted if row.ours and row.ours.insns_processed != row.insns]
    print(f"\nsame number of instructions: {len(counted) - len(other)} of {len(counted)} accepted")
    for row in other:
        ours = row.ours.insns_processed if row.ours else 0
        stale = " (the running kernel: as here)" if row.file in STALE else ""
        print(f"  {row.file} {row.program}: {ours}, recorded {row.insns}{stale}")


def judge_tests(only: str, show: int) -> int:
    """Compare the verifier tests with the corpus' own runner; its exit status."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, str(CORPUS / "verdicts.py"), str(CORPUS / "verifier_dev.json")]
        command += ["--target", "skep", "--show", str(show), "--only", only, "--json", file.name]
        status = subprocess.run(command, check=False).returncode
        rows = json.loads(Path(file.name).read_text() or "[]")
    if rows:
        print_table("tests", ((row["id"].rpartition("/")[0], row["kind"]) for row in rows))
    return status


def print_rows(rows: list[Row], show: int) -> None:
    """Tables by program type and by file, then the differences."""
    print_table("type", ((row.type, row.kind) for row in rows))
    print_table("file", ((row.file, row.kind) for row in rows))
    print_counts(rows)
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
        status = judge_tests(options.only, options.show)
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
