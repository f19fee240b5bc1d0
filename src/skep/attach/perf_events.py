"""Perf events of a world: on its tracepoints, and software events that Python lets overflow.

An event has at most one program. Programs of all events on one tracepoint decide together whether
its record is kept: one that returns 0 drops it for every event.

Source: Linux 6.18 kernel/events/core.c (__perf_event_set_bpf_prog, perf_event_set_bpf_handler),
kernel/trace/bpf_trace.c (perf_event_attach_bpf_prog, trace_call_bpf).
"""

import struct
from collections import deque
from typing import ClassVar, Final

from skep.attach.links import Attachable, HookError, Link, expect
from skep.attach.tracepoints import Runner, context_end, give_name
from skep.base.layout import Layout
from skep.base.memory import UserMemory
from skep.runtime.tracepoints import Event, Tracepoint
from skep.uapi import infos, link_types
from skep.uapi import reasons_tracing as reasons
from skep.uapi.flags import AttachType, LinkType, ProgType

TYPE_SOFTWARE: Final = 1
TYPE_TRACEPOINT: Final = 2
MOST_SOFTWARE: Final = 12  # PERF_COUNT_SW_MAX
MOST_PROGRAMS: Final = 64  # BPF_TRACE_MAX_PROGS
INFO_TRACEPOINT: Final = 5  # BPF_PERF_EVENT_TRACEPOINT
INFO_EVENT: Final = 6  # BPF_PERF_EVENT_EVENT
REGISTERS: Final = struct.Struct("=21Q")
SAMPLE: Final = struct.Struct("=QQ")
_KEPT: Final = 1024


class PerfEvent:
    """One perf event.

    Attributes:
        type, config: what it counts.
        point: the tracepoint that it is on, None for a software event.
        count: how often it has happened while it was enabled; on a tracepoint, how many of the
            records were kept.
        records: the last of those records.
        program: what runs on it, with *cookie*; None if nothing does.
    """

    def __init__(self, type: int, config: int, point: Tracepoint | None, run: Runner) -> None:  # noqa: A002
        self.id = 0
        self.type, self.config, self.point, self._run = type, config, point, run
        self.count = 0
        self.records: deque[bytes] = deque(maxlen=_KEPT)
        self.program: Attachable | None = None
        self.cookie = 0
        self.enabled = True
        if point is not None:
            point.deliver(self._keep)

    def _keep(self, event: Event) -> None:
        if self.enabled:
            self.count += 1
            self.records.append(event.record)

    def __call__(self, event: Event) -> int:
        """Ask the program whether the record of *event* is kept."""
        assert self.program is not None
        return self._run(self.program, event.record, self.cookie)

    def overflow(self, registers: tuple[int, ...] = (), period: int = 1, address: int = 0) -> None:
        """Let a software event happen: its program sees *registers*, *period* and *address*."""
        if self.point is not None:
            raise ValueError("an event on a tracepoint happens when the tracepoint fires")
        if not self.enabled:
            return
        self.count += 1
        if self.program is not None:
            words = (*registers, *(0,) * (21 - len(registers)))
            context = REGISTERS.pack(*words) + SAMPLE.pack(period, address)
            self._run(self.program, context, self.cookie)

    def attach(self, program: Attachable, cookie: int = 0) -> None:
        """Let *program* run on the event."""
        if self.point is None:
            expect(self.program is None, reasons.PERF_TAKEN)
            expect(program.type.id == ProgType.PERF_EVENT, reasons.PERF_KIND)
        else:
            self._check(program, self.point)
        self.program, self.cookie = program, cookie
        if self.point is not None:
            self.point.filter(self)

    def _check(self, program: Attachable, point: Tracepoint) -> None:
        expect(program.type.id == ProgType.TRACEPOINT, reasons.PERF_KIND)
        reach = context_end(program.proof)
        expect(reach <= point.end, reasons.PERF_RECORD, f"it reads {reach} bytes of {point.end}")
        expect(self.program is None, reasons.PERF_TAKEN)
        others = [each.program for each in point.filters if isinstance(each, PerfEvent)]
        expect(len(others) < MOST_PROGRAMS, reasons.PERF_FULL)
        expect(program not in others, reasons.PERF_TAKEN)

    def detach(self) -> None:
        """Run nothing any more."""
        if self.point is not None:
            self.point.forget(self)
        self.program, self.cookie = None, 0

    def close(self) -> None:
        """The last reference has gone."""
        self.detach()
        if self.point is not None:
            self.point.forget(self._keep)


class PerfEventLink(Link):
    """A program on a perf event."""

    layout: ClassVar[type[Layout]] = infos.LinkInfo

    def __init__(self, id: int, program: Attachable, event: PerfEvent, cookie: int) -> None:  # noqa: A002
        kind = link_types.of(LinkType.PERF_EVENT)
        super().__init__(id, kind, program, AttachType.PERF_EVENT)
        event.attach(program, cookie)
        self.event: PerfEvent | None = event
        self.cookie = cookie

    def release(self) -> None:
        """Take the program off the event."""
        if self.event is not None:
            self.event.detach()
            self.event = None

    def info(self, asked: bytes, memory: UserMemory) -> bytes:
        """See ``Link.info``."""
        event = self.event
        assert event is not None, "a link is asked while it lives"
        head = {"type": self.kind.id, "id": self.id, "prog_id": self.program.id}
        known: Layout
        if event.point is None:
            known = infos.EventLinkInfo(
                **head, event=INFO_EVENT, config=event.config, event_type=event.type,
                cookie=self.cookie,
            )  # fmt: skip
        else:
            wanted = infos.TracepointLinkInfo.decode(asked)
            size = give_name(memory, event.point.name, wanted.tp_name, wanted.name_len)
            known = infos.TracepointLinkInfo(
                **head, event=INFO_TRACEPOINT, tp_name=wanted.tp_name, name_len=size,
                cookie=self.cookie,
            )  # fmt: skip
        data = known.encode()
        return data + asked[len(data) :]

    def fdinfo(self) -> list[tuple[str, str]]:
        """See ``Link.fdinfo``."""
        event = self.event
        assert event is not None, "a link is asked while it lives"
        head = [("link_type", "perf"), *super().fdinfo()[1:]]  # Linux has a short name for it here
        cookie = [("cookie", str(self.cookie))]
        if event.point is not None:
            named = [("tp_name", event.point.name), ("event_type", "tracepoint")]
            return head + named + cookie
        shown = [("type", str(event.type)), ("config", str(event.config)), ("event_type", "event")]
        return head + shown + cookie


def check_open(type: int, config: int, point: Tracepoint | None) -> None:  # noqa: A002
    """Refuse events that a world does not have."""
    software = type == TYPE_SOFTWARE and config < MOST_SOFTWARE
    if not software and point is None:
        raise HookError(reasons.PERF_OPEN, f"type {type}, config {config}")
