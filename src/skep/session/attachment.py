"""Attachments: programs on what their sections name, in the world of their object.

::

    obj.world.tracepoints.declare("skb:kfree_skb", "void *skbaddr", "u16 protocol")
    with obj.attach("count"):
        obj.world.tracepoint("kfree_skb").fire(0, 0x0806)
"""

import ctypes
from collections.abc import Callable, Mapping
from errno import EAGAIN
from typing import Final

from skep.attach.perf_events import TYPE_TRACEPOINT
from skep.base.closing import Closing
from skep.base.layout import Layout
from skep.errors import CommandError, LoadError, NotSupported
from skep.loader.spec import ProgramSpec
from skep.session.maps import Map
from skep.session.placement import Place, link_attr
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.commands import Command, IterCreate, LinkCreate, RawTracepointOpen
from skep.uapi.flags import AttachType, ProgType

READ_SIZE: Final = 1 << 15


class Attachment(Closing):
    """A program on a hook until it is closed; of an iterator, what can be read."""

    def __init__(self, subsystem: Subsystem, fd: int, others: tuple[int, ...] = ()) -> None:
        self._subsystem, self.fd, self._others = subsystem, fd, others

    def read(self) -> bytes:
        """All that the iterator writes, from its first object to its end.

        Raises:
            CommandError: the program is no iterator, or its output does not fit.
        """
        fd = ask(self._subsystem, commands.ITER_CREATE, IterCreate(link_fd=self.fd))
        parts = []
        try:
            while part := self._part(fd):
                parts.append(part)
        finally:
            self._subsystem.close(fd)
        return b"".join(parts)

    def _part(self, fd: int) -> bytes:
        while True:
            try:
                return self._subsystem.read(fd, READ_SIZE)
            except CommandError as refusal:
                if refusal.errno != EAGAIN:
                    raise

    def close(self) -> None:
        """Take the program off."""
        for fd in (self.fd, *self._others):
            self._subsystem.close(fd)
        self.fd, self._others = -1, ()


def ask(subsystem: Subsystem, command: Command, attr: Layout) -> int:
    """The result of a command; raises its refusal."""
    answer = subsystem.bpf(command.number, bytearray(attr.encode()))
    if answer < 0:
        assert subsystem.last_error is not None
        raise subsystem.last_error
    return answer


def _on_raw(subsystem: Subsystem, fd: int, spec: ProgramSpec, cookie: int) -> Attachment:
    name = ctypes.create_string_buffer(spec.attach_target.encode())
    attr = RawTracepointOpen(prog_fd=fd, name=ctypes.addressof(name), cookie=cookie)
    return Attachment(subsystem, ask(subsystem, commands.RAW_TRACEPOINT_OPEN, attr))


def _on_record(subsystem: Subsystem, fd: int, spec: ProgramSpec, cookie: int) -> Attachment:
    name = spec.attach_target.replace("/", ":")
    point = subsystem.state.world.tracepoints.find(name)
    if point is None:
        raise LoadError(f"the world has no tracepoint {name}", name=spec.name,
                        hint="world.tracepoints.declare makes one")  # fmt: skip
    event = subsystem.perf_event_open(TYPE_TRACEPOINT, point.id)
    attr = LinkCreate(prog_fd=fd, target_fd=event, attach_type=AttachType.PERF_EVENT, word16=cookie)
    try:
        return Attachment(subsystem, ask(subsystem, commands.LINK_CREATE, attr), (event,))
    except CommandError:
        subsystem.close(event)
        raise


def _on_type(subsystem: Subsystem, fd: int, spec: ProgramSpec, cookie: int) -> Attachment:
    attr = LinkCreate(prog_fd=fd, attach_type=spec.expected_attach_type, word24=cookie)
    return Attachment(subsystem, ask(subsystem, commands.LINK_CREATE, attr))


WAYS: Final[Mapping[int, Callable[[Subsystem, int, ProgramSpec, int], Attachment]]] = {
    ProgType.RAW_TRACEPOINT: _on_raw,
    ProgType.RAW_TRACEPOINT_WRITABLE: _on_raw,
    ProgType.TRACEPOINT: _on_record,
    ProgType.TRACING: _on_type,
    ProgType.EXT: _on_type,
}


def attach_on(subsystem: Subsystem, fd: int, spec: ProgramSpec, on: Place) -> Attachment:
    """Put program *fd* on a place of the world; see ``Object.attach``."""
    attr, opened = link_attr(subsystem, fd, spec, on)
    try:
        return Attachment(subsystem, ask(subsystem, commands.LINK_CREATE, attr))
    finally:
        if opened >= 0:
            subsystem.close(opened)


def attach(
    subsystem: Subsystem, fd: int, spec: ProgramSpec, cookie: int, over: Map | None
) -> Attachment:
    """Put program *fd* where its section says; see ``Object.attach``."""
    if over is not None:
        info = ctypes.create_string_buffer(over.fd.to_bytes(4, "little"), 4)
        attr = LinkCreate(prog_fd=fd, attach_type=spec.expected_attach_type,
                          word16=ctypes.addressof(info), word24=4)  # fmt: skip
        return Attachment(subsystem, ask(subsystem, commands.LINK_CREATE, attr))
    way = WAYS.get(spec.program_type)
    if way is None:
        raise NotSupported(f"attaching {spec.section} by its section",
                           "say on what, or make a link with LINK_CREATE")  # fmt: skip
    return way(subsystem, fd, spec, cookie)
