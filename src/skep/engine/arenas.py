"""Where programs have their arena: what both engines do with its pointers.

A pointer into an arena is 32 bits; whatever the rest of the register says, an access goes to the
arena's 4 GiB, or to the room before and behind them that the offset of an instruction reaches.
"""

from dataclasses import dataclass

from skep.base.bits import U32
from skep.base.native import load64
from skep.errors import InternalError
from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem
from skep.maps.arena import BASE, NO_USER_CONV, USER_START
from skep.maps.interface import FLAGS
from skep.uapi.flags import MapType
from skep.verifier.interface import Proof

TO_PROGRAM = 1  # imm of a cast: from user space's pointers to the program's


@dataclass(frozen=True, slots=True)
class ArenaPlace:
    """An arena: address of its 4 GiB, of its first page in user space, whether casts add that."""

    base: int
    start: int
    converts: bool

    def cast(self, pointer: int, insn: Insn) -> int:
        """What the cast makes of *pointer*."""
        low = pointer & U32
        return self.start & ~U32 | low if low and self.adds_upper_half(insn) else low

    def adds_upper_half(self, insn: Insn) -> bool:
        """Whether the cast makes a pointer of user space."""
        return self.converts and insn.imm != TO_PROGRAM


def arena_of(proof: Proof) -> ArenaPlace:
    """The arena that the program uses: it has one at most."""
    for shape in proof.maps:
        if shape.map_type == MapType.ARENA:
            address = shape.address
            converts = not load64(address + FLAGS) & NO_USER_CONV
            return ArenaPlace(load64(address + BASE), load64(address + USER_START), converts)
    raise InternalError("an access to an arena in a program without one")


def base_register(op: Op, insn: Insn) -> int:
    """Which register of a load, store or atomic holds the address."""
    if op.kind in (Kind.LOAD, Kind.LOAD_SX) or op.sem is Sem.LOAD_ACQUIRE:
        return insn.src
    return insn.dst


def uses_arena(proof: Proof) -> bool:
    """Whether the program has an arena."""
    return any(shape.map_type == MapType.ARENA for shape in proof.maps)
