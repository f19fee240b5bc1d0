"""``skep.log``: a log of every command that the library makes in this thread, as records.

The state is the library's alone: a variable of the thread's context, which fills the common
attributes into each call. A kernel that has none of them gets what it has: the log members of
PROG_LOAD and BTF_LOAD.

Source: "BPF logging infrastructure", T. Høiland-Jørgensen and A. Nakryiko, 14 Jul 2020 (the log
per thread).
"""

import ctypes
import os
import threading
from collections.abc import Iterable
from contextvars import Token
from types import TracebackType
from typing import Any, Final, Self

from skep.base.layout import Layout
from skep.errors import errno_name
from skep.loader.logged import CURRENT, Sink
from skep.session.log_contents import LogContents
from skep.session.log_read import clear_end, parse
from skep.session.log_render import render
from skep.uapi.commands import BTF_LOAD, BY_NUMBER, COMMON_ATTRS, PROG_LOAD, CommonAttr
from skep.uapi.log_messages import TLV
from skep.uapi.record import LogRecord

SIZE: Final = 1 << 20
GREATEST: Final = 1 << 28
SHORT: Final = CommonAttr.member("log_true_size").offset  # they tell no size: nothing is ENOSPC
OWN_LOGS: Final = {PROG_LOAD.number: "", BTF_LOAD.number: "btf_"}


class log:  # noqa: N801 - skep.log() reads as what it does
    """A context manager: what the commands made within it were refused for, and their logs.

    Attributes:
        records: why commands were refused, in order, as fields.
        text: all logs, one behind the other. *latest*: that of the latest command alone.
        dropped: messages that did not fit; 0 if all is there.
    """

    def __init__(self, level: int = 1) -> None:
        """*level* of the text that PROG_LOAD and BTF_LOAD write."""
        self.records: list[LogRecord] = []
        self.latest = self.text = ""
        self.dropped = 0
        self._level = level
        self._buffer = bytearray(SIZE)
        self._tokens: list[Token[Sink | None]] = []
        self._lock = threading.Lock()  # a context may be handed to another thread

    parse = staticmethod(parse)

    def render(self, form: str = "text") -> str:
        """The records as ``text``, ``jsonl``, ``sarif`` or ``report``."""
        return render(self.records, form)

    def __enter__(self) -> Self:
        self._tokens.append(CURRENT.set(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        CURRENT.reset(self._tokens.pop())

    def call(self, syscall: Any, cmd: int, attr: bytearray, /) -> int:
        """Make one call on *syscall*, and keep what it logs; the result, or ``-errno``."""
        with self._lock:
            return self._call(syscall, cmd, attr)

    def _call(self, syscall: Any, cmd: int, attr: bytearray) -> int:
        levels: int = getattr(syscall, "log_levels", 0)
        prefix = OWN_LOGS.get(cmd)
        if prefix is not None and _member(cmd, attr, f"{prefix}log_level"):
            answer = syscall.bpf(cmd, attr)
            place = _member(cmd, attr, f"{prefix}log_buf")
            size = _member(cmd, attr, f"{prefix}log_size")
            found = parse(ctypes.string_at(place, size) if place else b"")
        elif levels:
            answer, found = self._call_with_common(syscall, cmd, attr, levels)
        elif prefix is not None:
            answer, found = self._call_with_own(syscall, cmd, attr, prefix)
        else:
            answer, found = syscall.bpf(cmd, attr), LogContents("", ())
        self._add(cmd, int(answer), found)
        return int(answer)

    def _add(self, cmd: int, answer: int, found: LogContents) -> None:
        self.latest = found.text
        self.text += found.text
        self.dropped += found.dropped
        if answer < 0:
            self.records += _completed(cmd, -answer, found.records)

    def _call_with_common(
        self, syscall: Any, cmd: int, attr: bytearray, levels: int
    ) -> tuple[int, LogContents]:
        """Ask with common attributes: for messages, if they may be asked for."""
        level = self._level | levels & TLV
        while True:
            buffer = self._cleared()
            common = CommonAttr(log_buf=_address(buffer), log_size=len(buffer), log_level=level)
            place = bytearray(common.encode()[: SHORT if level & TLV else None])
            answer = syscall.bpf(cmd | COMMON_ATTRS, attr, None, place)
            if level & TLV or not self._grown(CommonAttr.decode(bytes(place)).log_true_size):
                return answer, parse(buffer)

    def _call_with_own(
        self, syscall: Any, cmd: int, attr: bytearray, prefix: str
    ) -> tuple[int, LogContents]:
        """Ask with the log members of the attr, which are 0 again afterwards."""
        layout = BY_NUMBER[cmd].layout
        names = [f"{prefix}log_{name}" for name in ("level", "size", "buf", "true_size")]
        if len(attr) < max(layout.member(name).end for name in names):
            return syscall.bpf(cmd, attr), LogContents("", ())
        try:
            while True:
                buffer = self._cleared()
                values = (self._level, len(buffer), _address(buffer), 0)
                for name, value in zip(names, values, strict=True):
                    _set(layout, attr, name, value)
                answer = syscall.bpf(cmd, attr)
                if not self._grown(_member(cmd, attr, names[-1])):
                    return answer, parse(buffer)
        finally:
            for name in names:
                _set(layout, attr, name, 0)

    def _cleared(self) -> bytearray:
        """The buffer, as it is before a call."""
        self._buffer[:2] = bytes(2)
        clear_end(self._buffer)
        return self._buffer

    def _grown(self, true_size: int) -> bool:
        """Whether the buffer was too small, and has room enough for another try."""
        if not len(self._buffer) < true_size <= GREATEST:
            return False
        self._buffer = bytearray(true_size)
        return True


def _completed(cmd: int, errno: int, records: Iterable[LogRecord]) -> list[LogRecord]:
    """Records with what every call tells: its command, and the errno."""
    row = BY_NUMBER.get(cmd)
    command = row.name if row is not None else "BPF"
    found = [
        record._replace(command=record.command or command, errno=record.errno or errno)
        for record in records
    ]
    if found:
        return found
    meaning = row.fails.get(errno, "") if row is not None else ""
    return [LogRecord(meaning or os.strerror(errno) or errno_name(errno), command, errno)]


def _member(cmd: int, attr: bytearray, name: str) -> int:
    value: int = getattr(BY_NUMBER[cmd].layout.decode(bytes(attr)), name)
    return value


def _set(layout: type[Layout], attr: bytearray, name: str, value: int) -> None:
    member = layout.member(name)
    attr[member.offset : member.end] = value.to_bytes(member.size, "little")


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
