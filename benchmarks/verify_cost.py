"""Verification time beside the kernel's, program by program, in one run.

Every program that both accept, of the project's own objects and of the shared corpus where there is
one, is verified in turn here and there; each side's figure is its own ``verification time`` (log
level 4), the least of the rounds, since whatever else the machine does only makes it slower. The
kernel counts whole microseconds: programs that it is done with in less than ``LEAST`` count in the
totals but not in the ratios.
"""

import json
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from skep.engine.proof_only import ProofEngine
from skep.errors import BpfError
from skep.loader.door import Syscall
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.loader.spec import ObjectSpec
from skep.loader.target import Target
from skep.session.objects import new_subsystem, target_of

HERE: Final = Path(__file__).parent
OWN: Final = (HERE / "programs", HERE.parent / "tests" / "objects")
LEAST: Final = 5  # microseconds
SHOWN: Final = 5
Adjust = Callable[[ObjectSpec], ObjectSpec]


@dataclass(slots=True)
class Cost:
    """What one program cost: microseconds and processed instructions, here and in the kernel."""

    name: str
    ours: int
    kernel: int
    insns: int
    kernel_insns: int

    @property
    def ratio(self) -> float:
        """Below 1: we are faster."""
        return self.ours / max(self.kernel, 1)


def _same(spec: ObjectSpec) -> ObjectSpec:
    return spec


def own_objects() -> Iterator[tuple[Path, Adjust]]:
    """The project's own object files."""
    for folder in OWN:
        for path in sorted(folder.glob("*.o")):
            yield path, _same


def corpus_objects() -> Iterator[tuple[Path, Adjust]]:
    """The shared corpus' object files, changed as their own loaders change them."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from conformance.table import CORPUS, adjust_map, adjust_program

    index = CORPUS / "objects.jsonl"
    rows: dict[str, list[dict[str, Any]]] = {}
    for line in index.read_text().splitlines() if index.exists() else ():
        row = json.loads(line)
        if row["truth"]["verdict"] == "ACCEPT" and not row.get("maybe_env"):
            rows.setdefault(row["file"], []).append(row)
    for file, of_file in rows.items():
        by_name = {row["program"]: row for row in of_file}
        fixups = [fixup for row in of_file for fixup in row.get("fixups") or ()]

        def adjust(
            spec: ObjectSpec, names: dict[str, Any] = by_name, fixups: list[str] = fixups
        ) -> ObjectSpec:
            programs = (each for each in spec.programs if each.name in names)
            return replace(
                spec,
                maps=tuple(adjust_map(each, fixups) for each in spec.maps),
                programs=tuple(adjust_program(each, names) for each in programs),
            )

        yield CORPUS / file, adjust


def side(loaded: LoadedObject, spec: ObjectSpec, rounds: int) -> dict[str, tuple[int, int]]:
    """Least microseconds and processed instructions of each program that one side accepts."""
    found: dict[str, tuple[int, int]] = {}
    with loaded:
        for program in spec.programs:
            times, words = [], [""]
            try:
                for _ in range(rounds):
                    words = loaded.load_program(program).log.split()
                    times.append(int(words[words.index("time") + 1]))
            except (BpfError, OSError, ValueError):
                continue
            found[program.name] = min(times), int(words[words.index("processed") + 1])
    return found


def costs(objects: Iterator[tuple[Path, Adjust]], rounds: int) -> list[Cost]:
    """What every program cost that both sides accept, loaded the same way on both."""
    found: list[Cost] = []
    for path, adjust in objects:
        subsystem = new_subsystem(engine=ProofEngine())
        ways: tuple[tuple[Syscall, Target | None], ...] = (
            (KernelSyscall(), None), (subsystem, target_of(subsystem)),
        )  # fmt: skip
        try:
            spec = adjust(read_object(path.read_bytes(), str(path)))
            theirs, ours = (
                side(LoadedObject(spec, syscall, target, log_level=4, explain=False, partial=True),
                     spec, rounds)
                for syscall, target in ways
            )  # fmt: skip
        except (BpfError, OSError):
            continue
        for name in ours.keys() & theirs.keys():
            (time, insns), (kernel, kernel_insns) = ours[name], theirs[name]
            found.append(Cost(f"{path.name} {name}", time, kernel, insns, kernel_insns))
    return found


def show(name: str, found: list[Cost]) -> dict[str, Any]:
    """Print the table of one set of programs; its row for JSON."""
    total = sum(cost.ours for cost in found), sum(cost.kernel for cost in found)
    insns = sum(cost.insns for cost in found), sum(cost.kernel_insns for cost in found)
    measured = sorted((c for c in found if c.kernel >= LEAST), key=lambda cost: cost.ratio)
    ratios = [cost.ratio for cost in measured] or [0.0]
    row = {
        "name": f"verify {name}", "unit": "us", "programs": len(found),
        "skep": total[0], "kernel": total[1], "ratio": total[0] / max(total[1], 1),
        "median": ratios[len(ratios) // 2], "p90": ratios[len(ratios) * 9 // 10],
        "worst": ratios[-1], "faster": sum(ratio < 1 for ratio in ratios),
    }  # fmt: skip
    print(f"{row['name']:26} {len(found):6} programs  {total[0] / 1000:10.1f} ms   "
          f"kernel {total[1] / 1000:10.1f} ms   ratio {row['ratio']:.2f}")  # fmt: skip
    print(f"{'  per program':26} median {row['median']:.2f}  p90 {row['p90']:.2f}  "
          f"worst {row['worst']:.2f}  faster {row['faster']} of {len(measured)}")  # fmt: skip
    if insns[0] and insns[1]:
        print(f"{'  per instruction':26} {1000 * total[0] / insns[0]:.0f} ns of {insns[0]}   "
              f"kernel {1000 * total[1] / insns[1]:.0f} ns of {insns[1]}")  # fmt: skip
    for cost in measured[: -SHOWN - 1 : -1]:
        print(f"    {cost.ratio:6.2f}  {cost.ours:8} us  kernel {cost.kernel:8} us  {cost.name}")
    return row


def measure(rounds: int) -> list[dict[str, Any]]:
    """Print both tables and the memory that it took; their rows for JSON."""
    rows = [show("own objects", costs(own_objects(), rounds))]
    found = costs(corpus_objects(), rounds)
    if found:
        rows.append(show("corpus", found))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{'  peak memory':26} {peak} MiB, all object files of a set in one process")
    return rows
