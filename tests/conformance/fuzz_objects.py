"""Mutations of real programs get the same verdict from skep as from the running kernel.

usage: python tests/conformance/fuzz_objects.py CORPUS [--only TEXT] [--each N] [--seed N]

Every program of the corpus's objects is loaded into both with its maps and types, then again and
again with an instruction or two changed, dropped, doubled or exchanged. Programs are loaded and
closed, never run. Calls that Linux 6.18 cannot refuse in safety are never made (see ``mutants``).
"""

import argparse
import collections
import errno
import json
import random
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.mutants import CALL, DEADLY, KFUNC, KFUNCS, Mutator
from conformance.table import adjust_map, adjust_program
from skep.btf.graph import Btf
from skep.btf.kernel import kernel_btf
from skep.btf.kinds import Kind
from skep.engine.proof_only import ProofEngine
from skep.errors import BpfError
from skep.isa.codec import decode, encode
from skep.isa.insn import Insn
from skep.isa.table import op_of
from skep.loader.door import Buffers, Door, Program
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.session.objects import new_subsystem, target_of
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind as Held
from skep.syscall.subsystem import Subsystem
from skep.uapi.commands import PROG_LOAD
from skep.verifier import Rejected
from skep.verifier.listing import step_text
from skep.verifier.program import Step

MAX_COST: Final = 4000  # instructions that a program to be changed may take
SECONDS: Final = 20


class CapturedError(Exception):
    """A program that is ready to be loaded."""

    def __init__(self, program: Program) -> None:
        super().__init__(program.name)
        self.program = program


class Capture(Door):
    """Takes programs instead of loading them."""

    def load_program(
        self, program: Program, *, log_level: int = 0, explain: bool = True
    ) -> tuple[int, str]:
        """See Door."""
        del log_level, explain
        raise CapturedError(program)


@dataclass
class Pair:
    """One program as each side takes it, and what both say of it."""

    theirs: Program
    ours: Program
    kernel: KernelSyscall
    subsystem: Subsystem

    def load(self, insns: list[Insn]) -> tuple[int, int, str]:
        """The kernel's errno, instructions processed, end of its log."""
        keep = Buffers()
        program = replace(self.theirs, insns=merged(self.theirs, insns))
        data = bytearray(program.attr(keep, 1, 1 << 20).encode())
        result = self.kernel.bpf(PROG_LOAD.number, data)
        log = keep.last().split(b"\0", 1)[0].decode("utf-8", "replace")
        if result >= 0:
            self.kernel.close(result)
        found = re.search(r"processed (\d+) insns", log)
        lines = [line for line in log.splitlines() if not line.startswith("processed")]
        return max(0, -result), int(found[1]) if found else 0, "\n".join(lines[-3:])

    def prove(self, insns: list[Insn]) -> tuple[int, int, str]:
        """The same of skep."""
        keep = Buffers()
        program = replace(self.ours, insns=merged(self.ours, insns))
        data = bytearray(program.attr(keep, 0, 0).encode())
        result = self.subsystem.bpf(PROG_LOAD.number, data)
        if result < 0:
            error = self.subsystem.last_error
            said = (
                f"{error.rule.id}@{error.pc} {error.detail}" if isinstance(error, Rejected) else ""
            )
            return -result, 0, said or str(error)
        loaded = self.subsystem.state.objects.get("PROG_LOAD", result, Held.PROG).target
        assert isinstance(loaded, LoadedProgram)
        cost = loaded.proof.statistics.insns_processed
        self.subsystem.close(result)
        return 0, cost, ""


def merged(program: Program, insns: list[Insn]) -> bytes:
    """*insns* with what stands for a descriptor or an address as *program* has it."""
    made = []
    for pc, (new, old) in enumerate(zip(insns, decode(program.insns), strict=True)):
        wide = old.code == 0x18 or (pc and old.code == 0)
        made.append(replace(new, imm=old.imm) if wide and new.code == old.code else new)
    return encode(made)


@dataclass
class Tally:
    """What was found."""

    show: int
    counts: dict[str, int] = field(default_factory=lambda: collections.defaultdict(int))
    seen: set[str] = field(default_factory=set)

    def knows(self, outcome: str, key: str) -> bool:
        """Tell whether the like was shown, or enough of its kind."""
        shown = sum(each.startswith(outcome) for each in self.seen)
        return f"{outcome} {key}" in self.seen or shown >= self.show

    def add(self, outcome: str, text: str, key: str) -> None:
        """Count, and print what is new."""
        self.counts[outcome] += 1
        if outcome.startswith("both") or outcome == "too long":
            return
        if not self.knows(outcome, key):
            self.seen.add(f"{outcome} {key}")
            print(f"=== {outcome}\n{text}", flush=True)


def changes(old: list[Insn], new: list[Insn]) -> str:
    """The instructions that differ."""
    lines = []
    for pc, (was, now) in enumerate(zip(old, new, strict=True)):
        if was != now:
            lines.append(f"  {pc}: {shown(pc, was)}  ->  {shown(pc, now)}   {now}")
    return "\n".join(lines)


def shown(pc: int, insn: Insn) -> str:
    """An instruction as text."""
    op = op_of(insn)
    return step_text(Step(pc, insn, op)) if op is not None else str(insn)


def stop(_number: int, _frame: object) -> None:
    """End what takes too long."""
    raise TimeoutError


def outcome_of(theirs: tuple[int, int, str], ours: tuple[int, int, str]) -> str:
    """How the answers compare."""
    if ours[0] == -2:
        return "CRASH"
    if ours[0] == errno.EOPNOTSUPP:
        return "not supported"
    if theirs[0] and not ours[0]:
        return "HOLE"
    if ours[0] and not theirs[0]:
        return "false refusal"
    if ours[0]:
        return "both refuse" if ours[0] == theirs[0] else "errno"
    if ours[1] == theirs[1]:
        return "both accept"
    return "fewer steps" if ours[1] < theirs[1] else "more steps"


def programs(path: Path, rows: list[dict[str, Any]], subsystem: Subsystem) -> Iterator[Pair]:
    """The programs of one object that both sides can be asked about."""
    kernel = KernelSyscall()
    named = {row["program"]: row for row in rows}
    fixups = [fixup for row in rows for fixup in row.get("fixups") or ()]
    spec = read_object(path.read_bytes(), str(path))
    spec = replace(
        spec,
        maps=tuple(adjust_map(each, fixups) for each in spec.maps),
        programs=tuple(adjust_program(each, named) for each in spec.programs),
    )
    target = target_of(subsystem)
    with (
        LoadedObject(spec, kernel, target, partial=True) as there,
        LoadedObject(spec, subsystem, target, partial=True) as here,
    ):
        for side in (there, here):
            side.door = Capture(side.door.syscall)
        for program in spec.programs:
            ready = []
            for side in (there, here):
                try:
                    side.load_program(program)
                except CapturedError as captured:
                    ready.append(captured.program)
                except BpfError:
                    break
            if len(ready) == 2:
                yield Pair(ready[0], ready[1], kernel, subsystem)


def hunt(pair: Pair, mutator: Mutator, each: int, tally: Tally, where: str) -> None:
    """Compare mutants of one program."""
    insns = decode(pair.theirs.insns)
    if mutator.is_deadly(insns):
        return
    theirs = pair.load(insns)
    if theirs[1] > MAX_COST:
        return
    ours = pair.prove(insns)
    base = outcome_of(theirs, ours)
    if not base.startswith("both"):
        tally.add(f"base {base}", f"{where}\n  kernel {theirs}\n  skep   {ours}", where)
    if theirs[0] == errno.EPERM or base not in ("both accept", "both refuse"):
        return
    for _ in range(each):
        mutant = mutator.mutant(insns)
        if mutant is None:
            continue
        theirs = pair.load(mutant)
        if theirs[1] > 10 * MAX_COST:
            tally.counts["too long"] += 1
            continue
        signal.alarm(SECONDS)
        try:
            ours = pair.prove(mutant)
        except TimeoutError:
            ours = (-1, 0, "takes too long")
        except Exception as error:  # noqa: BLE001 - a crash is a finding
            ours = (-2, 0, f"CRASH {error!r}")
        finally:
            signal.alarm(0)
        outcome = outcome_of(theirs, ours)
        key = re.sub(r"\d+", "#", theirs[2].rpartition("\n")[2] + ours[2])[:90]
        text = f"{where}\n{changes(insns, mutant)}\n  kernel {theirs}\n  skep   {ours}"
        tally.add(outcome, text, key)


def objects(corpus: Path) -> dict[str, list[dict[str, Any]]]:
    """Files of a corpus, or of a folder of objects, with what is known of their programs."""
    files: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    table = corpus / "objects.jsonl"
    if not table.exists():
        return {path.name: [] for path in sorted(corpus.glob("*.o"))}
    for line in table.read_text().splitlines():
        row = json.loads(line)
        files[row["file"]].append(row)
    return files


def main() -> int:
    """Run as a script; exit status 1 if there is a hole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5)
    args = parser.parse_args()
    signal.signal(signal.SIGALRM, stop)
    btf = kernel_btf()
    assert isinstance(btf, Btf)
    deadly, kfuncs = (frozenset(numbers(btf, names)) for names in (DEADLY, KFUNCS))
    files = objects(args.corpus)
    tally = Tally(args.show)
    for file, rows in files.items():
        if not re.search(args.only, file):
            continue
        subsystem = new_subsystem(btf, engine=ProofEngine())
        try:
            for pair in programs(args.corpus / file, rows, subsystem):
                used = {
                    insn.imm for insn in decode(pair.theirs.insns)
                    if insn.code == CALL and insn.src == KFUNC
                }  # fmt: skip
                where = f"{file} {pair.theirs.name}"
                rng = random.Random(f"{args.seed} {where}")
                known = (*used, *sorted(kfuncs))
                hunt(pair, Mutator(rng, deadly, known), args.each, tally, where)
        except BpfError as error:
            tally.counts[f"unreadable {type(error).__name__}"] += 1
    print(dict(tally.counts))
    return int("HOLE" in tally.counts or "CRASH" in tally.counts)


def numbers(btf: Btf, names: Iterable[str]) -> Iterator[int]:
    """Types of those functions that exist."""
    for name in names:
        number = btf.by_name(name, Kind.FUNC)
        if number is not None:
            yield number


if __name__ == "__main__":
    sys.exit(main())
