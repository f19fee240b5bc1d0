"""Tables of what verification costs, as veristat writes and compares them.

Columns and their names are veristat's, with the rule behind them; so tables of the one are
baselines of the other.

Source: Linux 6.18 tools/testing/selftests/bpf/veristat.c (its CSV form).
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from skep.errors import FormatError
from skep.session.verdicts import Verdict

KEYS: Final = ("file_name", "prog_name")
NUMBERS: Final = ("duration", "total_insns", "total_states", "peak_states")
COLUMNS: Final = (*KEYS, "verdict", *NUMBERS, "rule")
SHORT: Final = {"file": "file_name", "program": "prog_name", "insns": "total_insns",
                "states": "total_states", "peak": "peak_states"}  # fmt: skip
ABSENT: Final = "N/A"
VERDICTS: Final = {"accepted": "success", "rejected": "failure", "error": "error"}

Record = dict[str, str | int]


def record(verdict: Verdict) -> Record:
    """One row."""
    return {
        "file_name": Path(verdict.file).name,
        "prog_name": verdict.program,
        "verdict": VERDICTS[verdict.verdict],
        "duration": verdict.verify_us,
        "total_insns": verdict.insns_processed,
        "total_states": verdict.states,
        "peak_states": verdict.peak_states,
        "rule": verdict.rule,
    }


def column(name: str) -> str:
    """The column called *name*, which may be a short form; KeyError if there is none."""
    full = SHORT.get(name, name)
    if full not in COLUMNS:
        raise KeyError(name)
    return full


def ordered(rows: Iterable[Record], names: Sequence[str]) -> list[Record]:
    """*rows* by columns: numbers from the greatest, texts from A; ``^`` turns that round."""
    done = list(rows)
    for name in reversed(names):
        key = column(name.removeprefix("^"))
        done.sort(key=lambda row: row[key], reverse=(key in NUMBERS) != name.startswith("^"))
    return done


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """A table with a head; "" for no rows."""
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_csv(path: str) -> list[Record]:
    """A table that to_csv() or veristat wrote.

    Raises:
        FormatError: it is none.
        OSError: it cannot be read.
    """
    with Path(path).open(newline="", errors="replace") as file:
        rows = csv.DictReader(file)
        try:
            head = rows.fieldnames or []
            missing = [name for name in (*KEYS, "verdict") if name not in head]
            if missing:
                raise _malformed(path, f"no column {missing[0]}", "a table of veristat or skep")
            return [_read_row(path, number, row) for number, row in enumerate(rows, 2)]
        except csv.Error as error:
            raise _malformed(path, str(error), "comma-separated values") from None


def _read_row(path: str, number: int, row: dict[str, Any]) -> Record:
    found: Record = {name: row.get(name) or "" for name in (*KEYS, "verdict", "rule")}
    for name in NUMBERS:
        text = row.get(name) or "0"
        if not text.isdecimal():
            raise _malformed(path, f"line {number}: {name} {text!r}", "a number")
        found[name] = int(text)
    return found


def _malformed(path: str, found: str, expected: str) -> FormatError:
    return FormatError(source=path, where="baseline", found=found, expected=expected)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One program in two tables; a side is None where it is missing."""

    file: str
    program: str
    base: Record | None
    now: Record | None

    def pair(self, name: str) -> tuple[str | int, str | int, str]:
        """Column *name* before and now, and how they differ."""
        base = self.base[name] if self.base is not None else ABSENT
        now = self.now[name] if self.now is not None else ABSENT
        if self.base is None or self.now is None:
            return base, now, ABSENT
        if isinstance(base, int) and isinstance(now, int):
            return base, now, _change(base, now)
        return base, now, "MATCH" if base == now else "MISMATCH"

    def flat(self) -> dict[str, str | int]:
        """All columns, as veristat names them."""
        found: dict[str, str | int] = {"file_name": self.file, "prog_name": self.program}
        for name in ("verdict", *NUMBERS):
            parts = zip(("base", "comp", "diff"), self.pair(name), strict=True)
            found |= {f"{name}_{part}": value for part, value in parts}
        return found

    @property
    def shift(self) -> int:
        """By how many instructions they differ: what comparisons are sorted by."""
        if self.base is None or self.now is None:
            return 0
        return abs(int(self.now["total_insns"]) - int(self.base["total_insns"]))


def _change(base: int, now: int) -> str:
    if base == now:
        return "+0 (+0.00%)"
    share = 100.0 * (now - base) / base if base else 100.0
    return f"{now - base:+d} ({share:+.2f}%)"


def compare(base: Sequence[Record], now: Sequence[Record]) -> list[Comparison]:
    """Rows of both tables side by side, in the order of *now*; what only *base* has comes last."""
    before = {_key(row): row for row in base}
    after = {_key(row): row for row in now}
    keys = dict.fromkeys([*after, *before])
    return [Comparison(*key, before.get(key), after.get(key)) for key in keys]


def _key(row: Record) -> tuple[str, str]:
    return str(row["file_name"]), str(row["prog_name"])
