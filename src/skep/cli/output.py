"""What commands print: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Final

TAB: Final = 8


def print_json(value: object) -> None:
    """One JSON document; bytes become hex strings."""
    print(json.dumps(value, indent=2, default=encode, ensure_ascii=False))


def print_json_line(value: object) -> None:
    """One JSON object on one line."""
    print(json.dumps(value, default=encode, ensure_ascii=False), flush=True)


def encode(value: object) -> object:
    """What json cannot write by itself."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)


def one_line(value: object) -> str:
    """Text without what would leave its line or drive the terminal: that is escaped."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def shown(text: str) -> str:
    """*text* as it is safe to print: tabs widened, nothing that steers a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text.expandtabs(TAB))


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned, one line a row; numbers to the right."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for line in [list(header), *cells]:
        parts = [
            cell.rjust(width) if cell.isdigit() else cell.ljust(width)
            for cell, width in zip(line, widths, strict=True)
        ]
        print("  ".join(parts).rstrip())


def installed_version() -> str:
    """The version of the installed package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("skep")
    except PackageNotFoundError:
        return "(from a source tree)"


class Progress:
    """A line on standard error that is rewritten, where standard error is a terminal."""

    def __init__(self, total: int, what: str) -> None:
        self._total, self._what, self._done = total, what, 0
        self._shown = sys.stderr.isatty() and total > 1

    def step(self, name: str) -> None:
        """Say that *name* is at work now."""
        self._done += 1
        if self._shown:
            text = f"{self._done}/{self._total} {self._what}: {name}"
            sys.stderr.write(f"\r\x1b[K{text[:100]}")
            sys.stderr.flush()

    def finish(self) -> None:
        """Remove the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
