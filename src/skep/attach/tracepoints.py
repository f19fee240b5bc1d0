"""Programs on raw tracepoints: typed (tp_btf), plain, and writable ones.

Each link runs its program for every event, with the event's arguments as 64-bit words; what the
program returns decides nothing.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_raw_tp_link_attach), kernel/trace/bpf_trace.c
(bpf_probe_register, __bpf_trace_run).
"""

import struct
from collections.abc import Callable
from typing import ClassVar, Final

from skep.attach.links import Attachable, HookError, Link, expect
from skep.base.layout import Layout
from skep.base.memory import UserMemory
from skep.runtime.tracepoints import MOST_ARGUMENTS, Event, Tracepoint
from skep.uapi import contexts, infos, link_types
from skep.uapi import reasons_tracing as reasons
from skep.uapi.flags import AttachType, LinkType
from skep.verifier.interface import Memory, Proof

Runner = Callable[[Attachable, bytes, int], int]  # program, context, cookie: the result
SIZES: Final = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}  # bits 3-4 of a load's opcode
WORDS: Final = struct.Struct(f"={MOST_ARGUMENTS + 1}Q")
MOST_BYTES: Final = 1 << 16
SLEEPABLE: Final = 1 << 4
TRACE_PREFIX: Final = "btf_trace_"


def context_end(proof: Proof) -> int:
    """How far into its context the program reaches, by the offsets in its instructions.

    A pointer that stands in a native slot (``skep.uapi.contexts``) is the first word.
    """
    row = contexts.by_name(proof.request.program_type.context)
    limit = row.size if row is not None else MOST_BYTES
    ends = [
        insn.off + SIZES[insn.code & 0x18]
        for insn, kind in zip(proof.insns, proof.memory, strict=True)
        if kind == Memory.CONTEXT
    ]
    return max((end if end <= limit else 8 for end in ends), default=0)


def words_of(event: Event) -> bytes:
    """The context of raw programs: the arguments, zeros; the first once more, in a native slot."""
    spare = MOST_ARGUMENTS - len(event.arguments)
    words = (*event.arguments, *(0,) * spare)
    return WORDS.pack(*words, words[0])


def name_of_target(program: Attachable) -> str:
    """The tracepoint that a tp_btf program was loaded for."""
    request = program.proof.request
    btf = request.attach_btf or request.environment.kernel_btf
    assert btf is not None, "the verifier has found the target"
    return btf.name(request.attach_btf_id).removeprefix(TRACE_PREFIX)


def give_name(memory: UserMemory, name: str, place: int, room: int) -> int:
    """Write a name where info structs point; what its length is with the final zero."""
    expect(bool(place) == bool(room), reasons.INFO_NAME)
    data = name.encode() + b"\0"
    if room and room < len(data):
        memory.write(place, data[: room - 1] + b"\0")
        raise HookError(reasons.INFO_NAME_ROOM, f"{len(data)} bytes do not fit into {room}")
    memory.write(place, data if room else b"")
    return len(data)


class RawTracepointLink(Link):
    """A program on a raw tracepoint.

    Attributes:
        point: the tracepoint.
        cookie: what bpf_get_attach_cookie answers.
    """

    layout: ClassVar[type[Layout]] = infos.RawTracepointLinkInfo

    def __init__(
        self, id: int, program: Attachable, point: Tracepoint, cookie: int, run: Runner  # noqa: A002
    ) -> None:  # fmt: skip
        kind = link_types.of(LinkType.RAW_TRACEPOINT)
        super().__init__(id, kind, program, program.proof.request.expected_attach_type)
        self.point, self.cookie, self._run = point, cookie, run
        check_fit(program, point)
        point.observe(self)

    def __call__(self, event: Event) -> None:
        """Run the program on *event*."""
        self._run(self.program, words_of(event), self.cookie)

    def release(self) -> None:
        """Take the program off the tracepoint."""
        self.point.forget(self)

    def info(self, asked: bytes, memory: UserMemory) -> bytes:
        """See ``Link.info``."""
        wanted = infos.RawTracepointLinkInfo.decode(asked)
        size = give_name(memory, self.point.name, wanted.tp_name, wanted.tp_name_len)
        known = infos.RawTracepointLinkInfo(
            type=self.kind.id, id=self.id, prog_id=self.program.id,
            tp_name=wanted.tp_name, tp_name_len=size, cookie=self.cookie,
        )  # fmt: skip
        data = known.encode()
        return data + asked[len(data) :]

    def fdinfo(self) -> list[tuple[str, str]]:
        """See ``Link.fdinfo``."""
        named = [("tp_name", self.point.name), ("cookie", str(self.cookie))]
        return super().fdinfo() + named


def check_fit(program: Attachable, point: Tracepoint) -> None:
    """Refuse a program that reads or writes what *point* does not have."""
    request = program.proof.request
    typed = request.expected_attach_type == AttachType.TRACE_RAW_TP and program.type.typed
    reach = context_end(program.proof)
    fits = typed or reach <= 8 * point.arguments
    expect(fits, reasons.RAW_ARGUMENTS, f"it reads {reach} bytes of {8 * point.arguments}")
    touched = program.proof.buffers.get("tracepoint", 0)
    expect(touched <= point.writable, reasons.RAW_WRITES, f"{touched} bytes of {point.writable}")
