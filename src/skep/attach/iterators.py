"""Iterators: a program called for every object of a kind, and the text that it writes.

An open iterator is a seq_file: each read calls the program for as many objects as fill what was
asked for, and once more, without an object, at the end. An object whose output does not fit any
more is shown again by the next read; output that never fits is E2BIG.

Source: Linux 6.18 kernel/bpf/bpf_iter.c (bpf_seq_read), fs/seq_file.c.
"""

import ctypes
import threading
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

from skep.attach.links import Attachable, Link, expect
from skep.attach.tracepoints import give_name
from skep.base.layout import Layout
from skep.base.memory import UserMemory
from skep.runtime.block import Invocation
from skep.runtime.kernel_objects import KernelStruct
from skep.runtime.tracepoints import MOST_ARGUMENTS
from skep.runtime.world import World
from skep.uapi import infos, link_types
from skep.uapi import reasons_tracing as reasons
from skep.uapi.flags import AttachType, LinkType
from skep.uapi.reason import Refusal

BUFFER_SIZE: Final = 8 * 4096
MOST_OBJECTS: Final = 1_000_000
COMMAND: Final = "READ"

RunIn = Callable[[Attachable, Invocation, int], int]  # program, prepared run, context: the result


class Source(Protocol):
    """The objects that an open iterator visits."""

    def start(self) -> bool:
        """Go to the object to show next, if it has gone to the one after it; False at the end."""
        ...

    def next(self) -> bool:
        """Go to the object behind; False at the end."""
        ...

    def words(self, at_end: bool) -> tuple[int, ...]:
        """The program's arguments behind the first, for the object; *at_end*: for none."""
        ...


class SeqFile:
    """An open iterator.

    Args:
        id: number of the session.
        program: called for every object.
        source: the objects.
        structs: ``struct bpf_iter_meta``, and the ``struct seq_file`` that it points to.
    """

    def __init__(
        self, id: int, program: Attachable, source: Source,  # noqa: A002
        structs: tuple[KernelStruct, KernelStruct], world: World, run: RunIn,
    ) -> None:  # fmt: skip
        self.id, self._program, self._source, self._structs = id, program, source, structs
        self._world, self._run = world, run
        self._context = (ctypes.c_uint64 * MOST_ARGUMENTS)()
        self._context_address = ctypes.addressof(self._context)
        self._lock = threading.Lock()
        self._left = b""
        self._ended = False
        meta, file = structs
        meta.put("seq", file.address)
        meta.put("session_id", id)
        self._number = meta.word("seq_num")
        self._context[0] = meta.address

    def read(self, size: int) -> bytes:
        """The next bytes, at most *size*; b"" at the end.

        Raises:
            Refusal: E2BIG, the output of one object does not fit; EAGAIN, a million objects gave
                none, or the program returned 1.
        """
        with self._lock:
            if not self._left:
                with self._world.running() as invocation:
                    self._left = self._produce(invocation, size)
            part, self._left = self._left[:size], self._left[size:]
            return part

    def _produce(self, invocation: Invocation, size: int) -> bytes:
        invocation.output = bytearray()
        invocation.output_limit = BUFFER_SIZE - 1  # a full buffer counts as overflow
        invocation.overflowed = False
        try:
            self._fill(invocation, size)
            return bytes(invocation.output)
        finally:
            invocation.output, invocation.output_limit = bytearray(), 0
            invocation.overflowed = False

    def _fill(self, invocation: Invocation, size: int) -> None:
        if self._source.start():
            problem = self._show(invocation)
            if problem is not None:
                raise problem
            if self._show_more(invocation, size):
                return
        if self._ended:
            return
        problem = self._show(invocation, at_end=True)  # what it returns at the end is ignored
        if problem is None or problem.row is not reasons.READ_ROOM:
            self._ended = True
        elif not invocation.output:
            raise problem

    def _show_more(self, invocation: Invocation, size: int) -> bool:
        """Show objects behind the first; False if none is left, True if there may be some."""
        output, seen = invocation.output, 0
        while True:
            seen += 1
            before = len(output)
            if not self._source.next():
                return False
            self._number.value += 1
            if before >= size:
                return True
            if seen >= MOST_OBJECTS:
                if not before:
                    raise Refusal(COMMAND, reasons.READ_AGAIN, f"{seen} objects gave no output")
                return True
            problem = self._show(invocation)
            if problem is not None:
                if not before:
                    raise problem
                return True

    def _show(self, invocation: Invocation, *, at_end: bool = False) -> Refusal | None:
        """Call the program; what is wrong with its output or result, which is then taken back."""
        before = len(invocation.output)
        context = self._context
        for place, word in enumerate(self._source.words(at_end), 1):
            context[place] = word
        result = self._run(self._program, invocation, self._context_address)
        problem = None
        if invocation.overflowed:
            problem = Refusal(COMMAND, reasons.READ_ROOM)
            invocation.overflowed = False
        if result & 0xFFFF_FFFF and not at_end:
            problem = Refusal(COMMAND, reasons.READ_AGAIN, f"the program returned {result}")
        if problem is not None:
            del invocation.output[before:]
        return problem

    def close(self) -> None:
        """Its last reference has gone."""


class IteratorLink(Link):
    """A program that iterates; every opening is a session of its own.

    Attributes:
        target: what it iterates over, as ``bpf_map``.
        open: makes the source of a session.
        detail: the member of the info struct that says over which objects, and its value.
    """

    layout: ClassVar[type[Layout]] = infos.IterLinkInfo

    def __init__(
        self, id: int, program: Attachable, target: str, open: Callable[[], Source],  # noqa: A002
        detail: tuple[str, int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(id, link_types.of(LinkType.ITER), program, AttachType.TRACE_ITER)
        self.target, self.open, self.detail = target, open, detail

    def release(self) -> None:
        """Nothing calls the program but readers."""

    def update(self, program: Attachable, expected: Attachable | None) -> None:
        """See ``Link.update``: sessions that are opened later call *program*."""
        expect(expected is None or expected is self.program, reasons.ITER_OLD_PROGRAM)
        old, new = self.program.proof.request, program.proof.request
        same = (
            old.program_type is new.program_type
            and old.expected_attach_type == new.expected_attach_type
            and old.attach_btf_id == new.attach_btf_id
        )
        expect(same, reasons.ITER_NEW_PROGRAM)
        self.program = program

    def info(self, asked: bytes, memory: UserMemory) -> bytes:
        """See ``Link.info``."""
        wanted = infos.IterLinkInfo.decode(asked)
        size = give_name(memory, self.target, wanted.target_name, wanted.target_name_len)
        known = infos.IterLinkInfo(
            type=self.kind.id, id=self.id, prog_id=self.program.id,
            target_name=wanted.target_name, target_name_len=size,
            **dict([self.detail] if self.detail is not None else []),
        )  # fmt: skip
        data = known.encode()
        return data + asked[len(data) :]

    def fdinfo(self) -> list[tuple[str, str]]:
        """See ``Link.fdinfo``."""
        lines = [*super().fdinfo(), ("target_name", self.target)]
        if self.target == "task":
            kinds = {None: "ALL", "tid": "TID", "pid": "PID"}
            lines.append(("task_type", kinds[self.detail[0] if self.detail else None]))
        if self.detail is not None:
            lines.append((self.detail[0], str(self.detail[1])))
        return lines
