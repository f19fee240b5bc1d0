"""(a) What running programs costs: kernel JIT, uBPF JIT and skep in turn, in one process.

Every round times each program once on each side, on the same packet, so that whatever else the
machine does hits all alike. Return values must be equal. A run has a price of its own in each
place, which the program ``nop`` shows; *net* ratios have it subtracted.
"""

import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from sides import Side, Ubpf, kernel_side, skep_side, ubpf_side
from skep.loader.reader import read_object

HERE: Final = Path(__file__).parent / "programs"
OBJECTS: Final = ("bench", "compute", "branches", "calls", "kfuncs")
LEFT_OUT: Final = frozenset({
    "tail_target", "chain_end",  # only called by others
    "ring_output",  # nobody consumes here, so the ring fills
})  # fmt: skip
RANDOM: Final = frozenset({"update_lru"})
SLICE: Final = 4_000_000  # nanoseconds that one timing is to take
LEAST_NET: Final = 5.0  # nanoseconds beyond nop from which on a net ratio says something
Spread = tuple[float, float, float]


def spread(values: list[float]) -> Spread:
    """Least, median, greatest."""
    return min(values), statistics.median(values), max(values)


def cell(values: Spread | None) -> str:
    """One side's figures."""
    if values is None:
        return f"{'-':>28}"
    return f"{values[1]:10.1f} [{values[0]:6.1f} ..{values[2]:7.1f}]"


def time_program(name: str, sides: list[Any], rounds: int) -> dict[str, Any]:
    """All sides' times of one program: medians with least and greatest."""
    _, result = sides[0].run(name, 100)
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    repeats = {}
    for side in sides:
        if isinstance(side, Side):
            side.warm(name)
        once = max(side.run(name, 2000)[0], 1.0)
        repeats[side.name] = int(min(max(SLICE / once, 20), 1_000_000))
    for _ in range(rounds):
        for side in sides:
            spent, returned = side.run(name, repeats[side.name])
            times[side.name].append(spent)
            if returned != result and name not in RANDOM:
                raise ValueError(f"{name}: {side.name} returned {returned}, another {result}")
    return {"name": name, **{side: spread(values) for side, values in times.items()}}


def ratios(row: dict[str, Any], nop: dict[str, Any]) -> None:
    """Add skep's ratios to the others, whole and net."""
    for side in ("kernel", "ubpf"):
        if side not in row:
            continue
        row[f"to_{side}"] = row["skep"][1] / row[side][1]
        theirs = row[side][1] - nop[side][1]
        if theirs >= LEAST_NET:
            row[f"net_to_{side}"] = max(row["skep"][1] - nop["skep"][1], 0.1) / theirs


def show(row: dict[str, Any]) -> None:
    """Print one row."""
    text = f"{row['name']:22}" + "".join(cell(row.get(side)) for side in ("skep", "kernel", "ubpf"))
    for key in ("to_kernel", "net_to_kernel", "to_ubpf"):
        text += f"{row[key]:8.2f}" if key in row else f"{'-':>8}"
    print(text, flush=True)


def mean(rows: Iterable[dict[str, Any]], key: str) -> dict[str, Any]:
    """Geometric mean of a ratio, with its spread: what a program is typically away from it."""
    logs = [math.log(row[key]) for row in rows if key in row]
    if not logs:
        return {"name": key, "programs": 0}
    middle = statistics.fmean(logs)
    away = statistics.pstdev(logs)
    return {"name": key, "programs": len(logs), "geomean": math.exp(middle),
            "factor": math.exp(away), "worse": sum(each > 0 for each in logs)}  # fmt: skip


def show_mean(row: dict[str, Any]) -> None:
    """Print one mean."""
    if row["programs"]:
        slower = f"skep slower in {row['worse']} of {row['programs']}"
        print(f"  {row['name']:14} geometric mean {row['geomean']:.3f}, "
              f"typical factor off it {row['factor']:.1f}; {slower}")  # fmt: skip


def measure(rounds: int) -> list[dict[str, Any]]:
    """Print the table; its rows for JSON."""
    paths = [HERE / f"{name}.bpf.o" for name in OBJECTS]
    specs = [spec for path in paths for spec in read_object(path.read_bytes()).programs]
    ours, kernel = skep_side(paths), kernel_side(paths)
    others: list[Side | Ubpf] = [side for side in (kernel, ubpf_side(specs)) if side is not None]
    print(f"{'ns a run':22}" + "".join(f"{side:>28}" for side in ("skep", "kernel", "ubpf"))
          + f"{'/kernel':>8}{'net':>8}{'/ubpf':>8}")  # fmt: skip
    rows: list[dict[str, Any]] = []
    for spec in specs:
        if spec.name in LEFT_OUT:
            continue
        sides = [ours, *(each for each in others if isinstance(each, Side) or spec.name in each)]
        row = time_program(spec.name, sides, rounds)
        rows.append(row)
        ratios(row, rows[0])
        show(row)
    means = [
        mean(rows[1:], key) for key in ("to_kernel", "net_to_kernel", "to_ubpf", "net_to_ubpf")
    ]
    for each in means:
        show_mean(each)
    for side in (ours, kernel):
        if side is not None:
            side.close()
    return [*rows, *means]
