"""LoadedProgram: what a descriptor of a program names.

Source: Linux 6.18 kernel/bpf/core.c (bpf_prog_calc_tag).
"""

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from skep.attach.functions import Functions
from skep.engine.interface import CodePart, Entry
from skep.errors import RunError
from skep.isa.codec import SLOT_SIZE
from skep.runtime.stream import Stream
from skep.syscall.credentials import Delegate
from skep.syscall.objects import Holding
from skep.uapi import program_types
from skep.uapi.flags import TAG_SIZE, StreamId
from skep.verifier import Proof

WIDE: Final = 0x18
MAP_SOURCES: Final = frozenset({1, 2})


class LoadedProgram:
    """A program that was proved and compiled.

    Attributes:
        proof: what runs.
        entry: calls it, with what stands at its functions; *plain* without.
        functions: what stands at its functions, if ever something did.
        past: what it was compiled to before, if callbacks in that may still be called.
        digest: SHA-256 of its instructions; *tag* is the beginning of it.
        uid: who loaded it, and *token* by which they did, None for none.
        btf_id: id of its BTF object, 0 if it has none.
        func_info, line_info: the records that it was loaded with, each of its known size.
        run_count, run_ns: runs and their time while statistics are on.
        target: the program that it was loaded for, until it is attached.
        misses: runs that were skipped, since they would have been within another.
        streams: 1 is its standard output; 2 its standard error, where a run that had to be stopped
            says why.
    """

    def __init__(
        self,
        id: int,  # noqa: A002
        proof: Proof,
        entry: Entry,
        original: bytes,
        uid: int = 0,
        token: Delegate | None = None,
    ) -> None:
        self.id, self.proof, self.entry = id, proof, entry
        self.address = entry.address
        self.name = proof.request.name
        row = program_types.by_id(proof.request.program_type.id)
        self.type = row or proof.request.program_type  # whole, whoever loaded it
        self.digest = digest_of(original)
        self.tag = self.digest[:TAG_SIZE]
        self._original = original
        self.load_time_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.uid, self.token = uid, token
        self.btf_id = 0
        self.target: Holding | None = None
        self.plain = entry
        self.functions: Functions | None = None
        self.past: list[Entry] = []
        self.func_info = self.line_info = b""
        self.run_count = self.run_ns = self.misses = 0
        self._counting = threading.Lock()
        self.streams: Mapping[int, Stream] = {int(number): Stream() for number in StreamId}

    def close(self) -> None:
        """Machine code and proof go with the object."""
        self.functions = None  # which refers to it in turn

    def count_runs(self, runs: int, nanoseconds: int) -> None:
        """Add to what statistics tell; any thread may."""
        with self._counting:
            self.run_count += runs
            self.run_ns += nanoseconds

    def count_miss(self) -> None:
        """Add a run that was skipped; any thread may."""
        with self._counting:
            self.misses += 1

    @property
    def machine_code(self) -> Sequence[CodePart]:
        """Where the machine code of each of its functions lies, whatever stands at them."""
        return self.plain.parts

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Write to the program's standard error why a run within the block was stopped."""
        try:
            yield
        except RunError as error:
            self.tell(error)
            raise

    def tell(self, error: RunError) -> None:
        """Write to the program's standard error why a run was stopped."""
        self.streams[StreamId.STDERR].write(f"ERROR: {error}\n".encode())

    def tags(self) -> bytes:
        """The tags of all its subprograms, each of ``TAG_SIZE`` bytes."""
        parts = self.proof.subprograms
        if len(parts) < 2:
            return self.tag
        spans = (self._original[8 * part.start : 8 * part.end] for part in parts)
        return b"".join(digest_of(span)[:TAG_SIZE] for span in spans)


def digest_of(code: bytes) -> bytes:
    """SHA-256 of the instructions, map descriptors taken out (6.18)."""
    slots, opcodes = bytearray(code), code[::SLOT_SIZE]
    pc = opcodes.find(WIDE)
    while pc >= 0:
        place = SLOT_SIZE * pc
        if code[place + 1] >> 4 in MAP_SOURCES:
            slots[place + 4 : place + 8] = bytes(4)
            if pc + 1 < len(opcodes):
                slots[place + 12 : place + 16] = bytes(4)
        pc = opcodes.find(WIDE, pc + 2)
    return hashlib.sha256(slots).digest()
