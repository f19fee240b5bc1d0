"""The source file that line info speaks of, if it is here and still says the same.

An object may name any file: one is read only if the line in question is, word for word, the one
that the object recorded. So a source that was edited since shows no wrong lines, and an object
from elsewhere cannot make anyone's files appear.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skep.session.reasons import CONTEXT, Reason
from skep.verifier.interface import LineInfo


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines of C around a place.

    Args:
        path: the source file; None if the lines are those that the object recorded.
        lines: by line number, ascending; gaps where nothing was recorded.
    """

    path: Path | None
    lines: dict[int, str]


def find_source(line: LineInfo, object_file: str | Path) -> Path | None:
    """The file that holds *line*: where the object says, or next to the object; else None."""
    for path in _candidates(line.file, Path(object_file).parent):
        lines = read_lines(path)[line.line - 1 : line.line] if line.line > 0 else []
        if line.text.strip() and [text.strip() for text in lines] == [line.text.strip()]:
            return path
    return None


def excerpt(reason: Reason, object_file: str | Path) -> Excerpt:
    """The lines around the refused instruction; none without line info."""
    place = reason.line
    if place is None:
        return Excerpt(None, {})
    path = find_source(place, object_file)
    if path is None:
        return Excerpt(None, reason.nearby)
    text = read_lines(path)
    first = max(1, place.line - CONTEXT)
    last = min(len(text), place.line + CONTEXT)
    return Excerpt(path, {number: text[number - 1] for number in range(first, last + 1)})


def byte_prefix(line: LineInfo) -> str:
    """The text before the column of *line*: columns count bytes, from 1."""
    return line.text.encode()[: max(line.column - 1, 0)].decode(errors="replace")


def _candidates(recorded: str, folder: Path) -> Iterator[Path]:
    if recorded and "\0" not in recorded:
        yield folder / recorded
        yield folder / PurePosixPath(recorded).name
        yield Path(recorded)


def read_lines(path: Path) -> list[str]:
    """The lines of a file; none if it cannot be read."""
    try:
        if not path.is_file():
            return []
        return path.read_text(errors="replace").removesuffix("\n").split("\n")
    except OSError:
        return []
