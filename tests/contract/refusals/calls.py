"""Drivers: what any command may be refused for."""

import os

from contract.refusals.bench import BAD, NO_FD, Bench, Drivers
from skep.base.memory import OwnMemory
from skep.engine.interface import Entry
from skep.engine.proof_only import ProofEngine
from skep.errors import NotSupported
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi import reasons_calls as reasons
from skep.verifier import Proof
from support.caller import EXIT, RETURN_ONE

UNKNOWN = 0xFFFF_FFF0


class Full(OwnMemory):
    """A caller's memory that there is no room to copy from."""

    def read(self, address: int, size: int) -> bytes:
        raise MemoryError(f"{size} bytes at {address:#x}")


def no_memory(bench: Bench) -> None:
    fd = bench.array()
    bench.subsystem.state.memory = Full()
    bench.call(commands.MAP_LOOKUP_ELEM, map_fd=fd, key=bench.keep(bytes(4)), value=1)


class Idle(ProofEngine):
    """An engine that has no code for anything."""

    def compile(self, proof: Proof) -> Entry:
        raise NotSupported(f"a {proof.request.program_type.name} program")


def not_supported(bench: Bench) -> None:
    bench.subsystem = Subsystem(engine=Idle())
    bench.program(RETURN_ONE + EXIT)


def not_writable(bench: Bench) -> None:
    fd = bench.array()
    bench.call(commands.MAP_LOOKUP_ELEM, map_fd=fd, key=bench.keep(bytes(4)), value=BAD)


def not_bpf(bench: Bench) -> None:
    read, write = os.pipe()
    try:
        bench.call(commands.MAP_FREEZE, map_fd=read)
    finally:
        os.close(read)
        os.close(write)


DRIVERS: Drivers = {
    reasons.ATTR_SIZE: lambda bench: bench.raw(commands.MAP_FREEZE.number, bytes(4), 4097),
    reasons.ATTR_TAIL: lambda bench: bench.raw(commands.MAP_FREEZE.number, bytes(199) + b"\1"),
    reasons.UNUSED_BYTES: lambda bench: bench.raw(commands.MAP_FREEZE.number, bytes(4) + b"\1"),
    reasons.UNKNOWN_COMMAND: lambda bench: bench.raw(9999, bytes(8)),
    reasons.NOT_READABLE: lambda bench: bench.call(
        commands.MAP_LOOKUP_ELEM, map_fd=bench.array(), key=BAD
    ),
    reasons.NOT_WRITABLE: not_writable,
    reasons.NO_MEMORY: no_memory,
    reasons.NOT_SUPPORTED: not_supported,
    reasons.FD_NOT_OPEN: lambda bench: bench.call(commands.MAP_FREEZE, map_fd=NO_FD),
    reasons.FD_NOT_BPF: not_bpf,
    reasons.FD_OTHER_KIND: lambda bench: bench.call(commands.MAP_FREEZE, map_fd=bench.btf()),
    reasons.ID_ABSENT: lambda bench: bench.call(commands.MAP_GET_FD_BY_ID, start_id=UNKNOWN),
    reasons.ID_LAST: lambda bench: bench.call(commands.MAP_GET_NEXT_ID, start_id=0x7FFF_0000),
}
