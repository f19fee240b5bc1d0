"""Accesses to an arena, and casts of its pointers, as LLVM IR."""

from typing import Final

from skep.engine.arenas import ArenaPlace
from skep.engine.llvm.frame import Frame
from skep.engine.llvm.linkage import Linkage
from skep.isa.insn import Insn

LOW: Final = 0xFFFF_FFFF


def pointer(frame: Frame, linkage: Linkage, place: ArenaPlace, register: int, off: int) -> str:
    """Pointer to what the low half of *register*, plus *off*, stands for in the arena."""
    body = frame.body
    low = body.value(f"and i64 {frame.get(register)}, {LOW}")
    address = body.value(f"add i64 {low}, {linkage.data(place.base)}")
    if off:
        address = body.value(f"add i64 {address}, {off}")
    return body.pointer(address)


def cast(frame: Frame, linkage: Linkage, place: ArenaPlace, insn: Insn) -> None:
    """``dst = addr_space_cast(src)``: the low half, with user space's upper half if it wants it."""
    body = frame.body
    low = body.value(f"and i64 {frame.get(insn.src)}, {LOW}")
    if place.adds_upper_half(insn):
        upper = body.value(f"and i64 {linkage.data(place.start)}, {~LOW}")
        whole = body.value(f"or i64 {low}, {upper}")
        null = body.value(f"icmp eq i64 {low}, 0")
        low = body.value(f"select i1 {null}, i64 0, i64 {whole}")
    frame.set(insn.dst, low)
