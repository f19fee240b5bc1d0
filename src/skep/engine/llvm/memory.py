"""Loads, stores and atomics of a program as LLVM IR.

Every access was proved to be inside its object, so it is a plain machine access, of any alignment.
Two are special: what goes through the frame pointer names the stack itself, so that LLVM can keep
it in registers; and a load from a kernel object (``Memory.BTF``) is guarded, since such a pointer
may be stale: outside the region of kernel objects it gives 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skep.engine.llvm.frame import Frame
from skep.engine.llvm.intrinsics import atomic_exchange, atomic_update, narrow, widen
from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem

USER_SPACE: Final = 1 << 56  # addresses of a process are below it, with five levels of pages too
ZERO: Final = "@zero"  # eight bytes of zero, in every module that has guarded loads

_ATOMIC: Final[Mapping[Sem, str]] = {
    Sem.ADD: "add", Sem.OR: "or", Sem.AND: "and", Sem.XOR: "xor", Sem.XCHG: "xchg",
}  # fmt: skip


def pointer(frame: Frame, base: int, off: int) -> str:
    """Pointer to register *base* plus *off*."""
    offset = frame.stack_offset(base)
    if offset is not None:
        return frame.stack_pointer(offset + off)
    start = frame.pointer(base)
    return frame.body.value(f"getelementptr i8, ptr {start}, i64 {off}") if off else start


@dataclass(frozen=True, slots=True)
class Objects:
    """The region of kernel objects: its address, spelled, and its size; 0 if there is none."""

    start: str
    size: int


def load(frame: Frame, op: Op, insn: Insn, objects: Objects | None, at: str = "") -> None:
    """``r = *(u8..u64 *)(base + off)``, zero- or sign-extended; guarded if *objects* are given.

    *at*, here and below, is the pointer to use if base and offset are not what they seem.
    """
    body, bits = frame.body, op.size * 8
    source = _source(frame, op, insn, objects, at)
    value = body.value(f"load i{bits}, ptr {source}, align 1")
    if op.kind is Kind.LOAD_SX:
        value = body.value(f"sext i{bits} {value} to i64")
    else:
        value = widen(body, value, bits)
    frame.set(insn.dst, value)


def load_address(frame: Frame, insn: Insn) -> None:
    """``r = *(u64 *)(base + off)``: an address of user space, or NULL, from a context."""
    source, body = pointer(frame, insn.src, insn.off), frame.body
    address = body.value(f"load i64, ptr {source}, align 1, !range !{{i64 0, i64 {USER_SPACE}}}")
    frame.set_pointer(insn.dst, body.pointer(address))


def _source(frame: Frame, op: Op, insn: Insn, objects: Objects | None, at: str) -> str:
    """Where a load reads: zeros if *objects* are given, and it is none of them."""
    if objects is None:
        return at or pointer(frame, insn.src, insn.off)
    if objects.size < op.size:
        return ZERO
    return _guard(frame, at or pointer(frame, insn.src, insn.off), op.size, objects)


def _guard(frame: Frame, source: str, size: int, objects: Objects) -> str:
    body = frame.body
    address = body.value(f"ptrtoint ptr {source} to i64")
    offset = body.value(f"sub i64 {address}, {objects.start}")
    inside = body.value(f"icmp ule i64 {offset}, {objects.size - size}")
    return body.value(f"select i1 {inside}, ptr {source}, ptr {ZERO}")


def store(frame: Frame, op: Op, insn: Insn, at: str = "") -> None:
    """``*(u8..u64 *)(base + off) = r`` or a constant."""
    body, bits = frame.body, op.size * 8
    if op.kind is Kind.STORE_IMM:
        value = str(insn.imm & ((1 << bits) - 1))
    else:
        value = narrow(body, frame.get(insn.src), bits)
    target = at or pointer(frame, insn.dst, insn.off)
    body.emit(f"store i{bits} {value}, ptr {target}, align 1")


def atomic(frame: Frame, op: Op, insn: Insn, objects: Objects | None, at: str = "") -> None:
    """Atomic update, exchange, load-acquire or store-release; loads are guarded as plain ones."""
    body, bits = frame.body, op.size * 8
    if op.sem is Sem.LOAD_ACQUIRE:
        source = _source(frame, op, insn, objects, at)
        value = body.value(f"load atomic i{bits}, ptr {source} acquire, align {op.size}")
        frame.set(insn.dst, widen(body, value, bits))
        return
    value = frame.get(insn.src)
    target = at or pointer(frame, insn.dst, insn.off)
    if op.sem is Sem.STORE_RELEASE:
        value = narrow(body, value, bits)
        body.emit(f"store atomic i{bits} {value}, ptr {target} release, align {op.size}")
    elif op.sem is Sem.CMPXCHG:
        frame.set(0, atomic_exchange(body, target, frame.get(0), value, bits))
    else:
        old = atomic_update(body, _ATOMIC[op.sem], target, value, bits)
        if op.fetch:
            frame.set(insn.src, old)
