"""Proofs made by hand, for tests of the engines alone."""

from collections.abc import Sequence
from typing import Any

from skep.base.memory import Block
from skep.btf.graph import Btf
from skep.isa.insn import Insn
from skep.runtime.invocation import DATA, DATA_END, DATA_META, HEAD, LIMIT, RUN_SIZE
from skep.uapi.program_types import by_name
from skep.verifier.interface import MapShape, Proof, Request, Statistics, Subprogram


class NoEnvironment:
    """An environment that has nothing."""

    kernel_btf: Btf | None = None

    def map_by_fd(self, fd: int) -> MapShape | None:
        del fd
        return None

    def btf_by_fd(self, fd: int) -> Btf | None:
        del fd
        return None

    def helper_implemented(self, helper: int) -> bool:
        return helper > 0


def prove(insns: Sequence[Insn], *, depth: int = 512, kind: str = "tracing", **facts: Any) -> Proof:
    """Claim that *insns* were proved; *facts* are further fields of the proof."""
    program_type = by_name(kind)
    assert program_type is not None
    request = Request(insns=insns, program_type=program_type, environment=NoEnvironment())
    fields: dict[str, Any] = {
        "subprograms": (Subprogram(0, len(insns), "main", depth),),
        "maps": (),
        "seen": bytes([1]) * len(insns),
        "memory": bytes(len(insns)),
        "statistics": Statistics(0, 0, 0, 0, 0, ""),
    }
    return Proof(request=request, insns=tuple(insns), **{**fields, **facts})


class Run:
    """A run block, a context of 256 bytes and a packet, in memory of their own."""

    def __init__(self, packet: bytes = b"", context: bytes = b"") -> None:
        self.block, self.context, self.packet = Block(RUN_SIZE), Block(256), Block(4096)
        self.context.view[: len(context)] = context
        start = self.packet.address + 256
        self.packet.view[256 : 256 + len(packet)] = packet
        self.put(DATA, start)
        self.put(DATA_META, start)
        self.put(DATA_END, start + len(packet))
        self.put(HEAD, self.packet.address)
        self.put(LIMIT, self.packet.address + 4096)

    @property
    def address(self) -> int:
        return self.block.address

    def put(self, offset: int, value: int) -> None:
        self.block.view[offset : offset + 8] = value.to_bytes(8, "little")

    def get(self, offset: int) -> int:
        return int.from_bytes(self.block.view[offset : offset + 8], "little")
