"""Tracepoints: places where something happens in a world, declared by it and fired from Python.

A tracepoint has arguments, which raw tracepoint programs get, and a record, which tracepoint
programs and perf events get: a head of eight bytes that all records share, then the fields at the
offsets that its format file in tracefs shows.

::

    point = world.tracepoints.declare("skb:kfree_skb", "void *skbaddr", "void *location")
    point.fire(address, 0)

Source: Linux 6.18 include/trace/stages, kernel/trace/trace_events.c (format files),
include/trace/perf.h (which programs see the record first).
"""

import ctypes
import re
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

Value = int | bytes | str
U64: Final = (1 << 64) - 1
HEAD_SIZE: Final = 8  # common_type, common_flags, common_preempt_count, common_pid
MOST_ARGUMENTS: Final = 12
FIRST_ID: Final = 1
_HEAD: Final = struct.Struct("=HBBi")
_HEAD_FORMAT: Final = (
    "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
    "\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
    "\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
    "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
)
_DATA_LOC: Final = "__data_loc "
_DECLARATION: Final = re.compile(r"(.+?)(\w+)(?:\[(\d+)\])?")
_SIZES: Final[Mapping[str, tuple[int, bool]]] = {  # of C types: bytes, whether signed
    "char": (1, True), "signed char": (1, True), "unsigned char": (1, False), "bool": (1, False),
    "u8": (1, False), "__u8": (1, False), "s8": (1, True), "__s8": (1, True),
    "short": (2, True), "unsigned short": (2, False), "u16": (2, False), "__u16": (2, False),
    "s16": (2, True), "__be16": (2, False), "umode_t": (2, False),
    "int": (4, True), "unsigned int": (4, False), "unsigned": (4, False), "u32": (4, False),
    "__u32": (4, False), "s32": (4, True), "__be32": (4, False), "pid_t": (4, True),
    "dev_t": (4, False), "gfp_t": (4, False),
    "long": (8, True), "unsigned long": (8, False), "long long": (8, True), "u64": (8, False),
    "unsigned long long": (8, False), "__u64": (8, False), "s64": (8, True), "size_t": (8, False),
    "ssize_t": (8, True), "loff_t": (8, True), "sector_t": (8, False), "ino_t": (8, False),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TraceField:
    """One field of a record.

    Args:
        declaration: C, as ``char comm[16]``; ``__data_loc char[] name`` for a string of any length.
        name: of the field.
        offset: in the record. *size*: bytes there.
        width: bytes of one element. *signed*: whether elements are.
        dynamic: the field holds where the value is, behind the record: length << 16 | offset.
    """

    declaration: str
    name: str
    offset: int
    size: int
    width: int
    signed: bool
    dynamic: bool = False

    def encode(self, value: Value) -> bytes:
        """*value* in as many bytes as the field has."""
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            return value[: self.size].ljust(self.size, b"\0")
        return (value & ((1 << 8 * self.size) - 1)).to_bytes(self.size, "little")


def _field(declaration: str, end: int) -> TraceField:
    """The field that follows *end* bytes of a record.

    Raises:
        ValueError: *declaration* is not one of a field.
    """
    if declaration.startswith(_DATA_LOC):
        name = declaration.rsplit(None, 1)[-1]
        return TraceField(declaration, name, _aligned(end, 4), 4, 1, False, dynamic=True)
    match = _DECLARATION.fullmatch(declaration.strip())
    if match is None:
        raise ValueError(f"{declaration!r} declares no field")
    type_, name, count = match[1].strip(), match[2], int(match[3] or 1)
    known = (8, False) if type_.endswith("*") else _SIZES.get(type_.removeprefix("const "))
    if known is None:
        raise ValueError(f"{declaration!r}: the size of {type_!r} is not known")
    width, signed = known
    return TraceField(declaration, name, _aligned(end, width), width * count, width, signed)


def _aligned(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) & -alignment


@dataclass(frozen=True, slots=True)
class Event:
    """What happened: *arguments* as 64-bit words, what was *returned*, and the *record*."""

    arguments: tuple[int, ...]
    returned: int
    record: bytes


class Observer(Protocol):
    """Something that is told of every event."""

    def __call__(self, event: Event, /) -> object:
        """*event* has happened."""
        ...


class Filter(Protocol):
    """Something that decides whether an event's record goes to perf events."""

    def __call__(self, event: Event, /) -> int:
        """0 drops the record."""
        ...


class Tracepoint:
    """One tracepoint; made by ``Tracepoints.declare``.

    Attributes:
        id: number in tracefs, the config of perf events on it.
        system, name: ``skb`` and ``kfree_skb``.
        fields: of the record. *end*: offset behind the last.
        arguments: how many it has.
        writable: bytes behind the first argument that programs may write.
    """

    def __init__(
        self, id: int, system: str, name: str, fields: tuple[TraceField, ...],  # noqa: A002
        *, arguments: int, writable: int, assign: Callable[..., tuple[Value, ...]] | None,
    ) -> None:  # fmt: skip
        self.id, self.system, self.name, self.fields = id, system, name, fields
        self.arguments, self.writable, self._assign = arguments, writable, assign
        self.end = max((field.offset + field.size for field in fields), default=HEAD_SIZE)
        self._lock = threading.Lock()
        # in the order in which they came; an event goes through those that it began with
        self._observers: dict[Observer, None] = {}
        self._filters: dict[Filter, None] = {}
        self._sinks: dict[Observer, None] = {}

    @property
    def filters(self) -> tuple[Filter, ...]:
        """What decides about records, in the order in which it is asked."""
        return tuple(self._filters)

    def observe(self, observer: Observer) -> None:
        """Tell *observer* of every event, whatever filters say."""
        with self._lock:
            self._observers[observer] = None

    def filter(self, filter_: Filter) -> None:
        """Ask *filter_* about every record."""
        with self._lock:
            self._filters[filter_] = None

    def deliver(self, sink: Observer) -> None:
        """Tell *sink* of every event whose record no filter drops."""
        with self._lock:
            self._sinks[sink] = None

    def forget(self, what: Any) -> None:
        """Ask and tell *what* no more."""
        with self._lock:
            for known in (self._observers, self._filters, self._sinks):
                known.pop(what, None)

    def fire(self, *arguments: Value, returned: int = 0, pid: int = 0) -> bool:
        """Let it happen; tells whether the record was kept.

        Args:
            arguments: numbers; bytes and strings go to raw programs by address.
            returned: what the traced function returned, where there is one.
            pid: common_pid of the record.
        """
        if len(arguments) != self.arguments:
            raise TypeError(f"{self.name} has {self.arguments} arguments, not {len(arguments)}")
        words, kept_alive = _words(arguments)
        assign = self._assign
        values = arguments[: len(self.fields)] if assign is None else assign(*arguments)
        event = Event(words, returned & U64, self.record(*values, pid=pid))
        for observer in tuple(self._observers):
            observer(event)
        keep = 1
        for filter_ in tuple(self._filters):  # all are asked, as Linux does
            keep &= filter_(event)
        if keep:
            for sink in tuple(self._sinks):
                sink(event)
        del kept_alive
        return bool(keep)

    def record(self, *values: Value, pid: int = 0) -> bytes:
        """The record with the fields' *values*."""
        data = bytearray(_HEAD.pack(self.id & 0xFFFF, 0, 0, pid).ljust(self.end, b"\0"))
        for field, value in zip(self.fields, values, strict=True):
            if field.dynamic:
                text = value.encode() + b"\0" if isinstance(value, str) else value
                assert isinstance(text, bytes)
                data[field.offset : field.offset + 4] = struct.pack("=HH", len(data), len(text))
                data += text
            else:
                data[field.offset : field.offset + field.size] = field.encode(value)
        return bytes(data.ljust(_aligned(len(data), 8), b"\0"))

    def format(self) -> str:
        """The format file of tracefs."""
        lines = [
            f"\tfield:{field.declaration};\toffset:{field.offset};\tsize:{field.size};"
            f"\tsigned:{int(field.signed)};\n"
            for field in self.fields
        ]
        shown = " ".join(f"{field.name}=%llx" for field in self.fields)
        values = "".join(f", REC->{field.name}" for field in self.fields)
        head = f"name: {self.name}\nID: {self.id}\nformat:\n{_HEAD_FORMAT}"
        return f'{head}{"".join(lines)}\nprint fmt: "{shown}"{values}\n'


def _words(arguments: tuple[Value, ...]) -> tuple[tuple[int, ...], list[object]]:
    """The arguments as 64-bit words, and what keeps their addresses valid."""
    words: list[int] = []
    alive: list[object] = []
    for value in arguments:
        if isinstance(value, int):
            words.append(value & U64)
            continue
        data = value.encode() + b"\0" if isinstance(value, str) else value
        buffer = ctypes.create_string_buffer(data, max(len(data), 1))
        alive.append(buffer)
        words.append(ctypes.addressof(buffer))
    return tuple(words), alive


class Tracepoints:
    """The tracepoints of a world, by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[str, Tracepoint] = {}

    def declare(
        self, name: str, *fields: str, arguments: int | None = None, writable: int = 0,
        assign: Callable[..., tuple[Value, ...]] | None = None,
    ) -> Tracepoint:  # fmt: skip
        """Make a tracepoint.

        Args:
            name: ``system:name``; the second part is unique.
            fields: declarations in C, in order, as the format file is to show them.
            arguments: how many it has; one for each field by default.
            writable: bytes behind the first argument that writable raw programs may write.
            assign: the fields' values from the arguments; the first of them by default.

        Raises:
            ValueError: the name is taken or lacks a system, or a declaration is not understood.
        """
        system, _, short = name.partition(":")
        count = len(fields) if arguments is None else arguments
        if not system or not short or count > MOST_ARGUMENTS:
            raise ValueError(f"{name!r}: system:name, and at most {MOST_ARGUMENTS} arguments")
        if assign is None and count < len(fields):
            raise ValueError(f"{name}: {len(fields)} fields are not set by {count} arguments")
        placed: list[TraceField] = []
        for declaration in fields:
            end = placed[-1].offset + placed[-1].size if placed else HEAD_SIZE
            placed.append(_field(declaration, end))
        with self._lock:
            if short in self._by_name:
                raise ValueError(f"there is a tracepoint {short} already")
            number = FIRST_ID + len(self._by_name)
            point = Tracepoint(number, system, short, tuple(placed),
                               arguments=count, writable=writable, assign=assign)  # fmt: skip
            self._by_name[short] = point
        return point

    def find(self, name: str) -> Tracepoint | None:
        """The tracepoint called *name*, without or with its system; None if there is none."""
        system, colon, short = name.rpartition(":")
        point = self._by_name.get(short)
        return point if point is not None and (not colon or point.system == system) else None

    def by_id(self, id: int) -> Tracepoint | None:  # noqa: A002
        """The tracepoint with number *id*, or None."""
        return next((point for point in self if point.id == id), None)

    def __iter__(self) -> Iterator[Tracepoint]:
        with self._lock:
            return iter(tuple(self._by_name.values()))
