"""A virtual tracefs: the files of a world's tracepoints, and programs written to a filter.

::

    events/<system>/<name>/format     where the fields of the record are
    events/<system>/<name>/id         the tracepoint's number
    events/<system>/<name>/filter     "bpf-<fd>" puts a program there until the file is closed

Source: the draft of 12 September 2014 (seed 003), section Events. Linux never had the filter.
"""

import re
import struct
from collections.abc import Callable
from errno import EBADF, EINVAL, ENOENT
from typing import Final

from skep.errors import CommandError
from skep.runtime.tracepoints import Event, Tracepoint, Tracepoints

ROOTS: Final = ("/sys/kernel/debug/tracing/", "/sys/kernel/tracing/")
PROGRAM: Final = re.compile(rb"bpf-(\d+)\n?")
FILES: Final = ("format", "id", "filter")
CONTEXT: Final = struct.Struct("=7Q")  # struct bpf_context
ARGUMENTS: Final = 6

Attach = Callable[[Tracepoint, int], Callable[[], None]]  # tracepoint, prog_fd: how to detach


class TraceFile:
    """An open file of a tracepoint."""

    def __init__(self, point: Tracepoint, name: str, attach: Attach) -> None:
        self._point, self._name, self._attach = point, name, attach
        self._detach: Callable[[], None] | None = None
        self._at = 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        texts = {"format": self._point.format(), "id": f"{self._point.id}\n"}
        text = texts.get(self._name, "none\n").encode()
        part = text[self._at : self._at + size]
        self._at += len(part)
        return part

    def write(self, data: bytes) -> int:
        """Put the program on the tracepoint; one that is there already goes.

        Raises:
            CommandError: EBADF, the file or the program cannot be written; EINVAL, it is no
                tracing program of the draft, or *data* names none.
        """
        if self._name != "filter":
            raise CommandError("WRITE", EBADF, f"{self._name} is for reading")
        match = PROGRAM.fullmatch(data)
        if match is None:
            raise CommandError("WRITE", EINVAL, f"{data!r} is not bpf-<fd>")
        detach = self._attach(self._point, int(match[1]))
        self.close()
        self._detach = detach
        return len(data)

    def close(self) -> None:
        """Take the program off the tracepoint."""
        if self._detach is not None:
            self._detach()
            self._detach = None


def open_file(points: Tracepoints, path: str, attach: Attach) -> TraceFile:
    """The file at *path*; CommandError ENOENT if there is none."""
    root = next((root for root in ROOTS if path.startswith(root)), "")
    parts = path.removeprefix(root).strip("/").split("/")
    if len(parts) == 4 and parts[0] == "events" and parts[3] in FILES:
        point = points.find(f"{parts[1]}:{parts[2]}")
        if point is not None:
            return TraceFile(point, parts[3], attach)
    raise CommandError("OPEN", ENOENT, f"there is no {path}")


def context_of(event: Event) -> bytes:
    """``struct bpf_context`` of *event*: six arguments, then what was returned."""
    words = (*event.arguments[:ARGUMENTS], *(0,) * (ARGUMENTS - len(event.arguments)))
    return CONTEXT.pack(*words, event.returned)
