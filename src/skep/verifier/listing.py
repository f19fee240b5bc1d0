"""How the log writes instructions: ``(07) r2 += -4``, ``(85) call bpf_map_lookup_elem#1``.

Source: Linux 6.18 kernel/bpf/disasm.c.
"""

from collections.abc import Callable, Mapping
from typing import Final

from skep.isa.insn import Insn
from skep.isa.table import (
    PSEUDO_CALL,
    PSEUDO_KFUNC_CALL,
    Kind,
    Op,
    Sem,
)
from skep.uapi.helpers import by_id
from skep.verifier.program import Step

U32: Final = 0xFFFF_FFFF


def _alu(op: Op, insn: Insn) -> str:
    prefix = "w" if op.bits == 32 else "r"
    target = f"{prefix}{insn.dst}"
    if op.sem is Sem.NEG:
        return f"{target} = -{target}"
    if op.sem in _BYTE_ORDER:
        return f"r{insn.dst} = {op.symbol} r{insn.dst}"
    if op.sem in _EXTENSIONS:
        return f"{target} = {op.symbol}{prefix}{insn.src}"
    source = f"{prefix}{insn.src}" if op.reg_source else str(insn.imm)
    return f"{target} {op.symbol} {source}"


_BYTE_ORDER: Final = frozenset(
    (Sem.KEEP16, Sem.KEEP32, Sem.KEEP64, Sem.SWAP16, Sem.SWAP32, Sem.SWAP64)
)
_EXTENSIONS: Final = frozenset((Sem.SEXT8, Sem.SEXT16, Sem.SEXT32))


def _place(size: int, register: int, off: int, sign: str = "u") -> str:
    return f"({sign}{8 * size} *)(r{register} {off:+d})"


def _load(op: Op, insn: Insn) -> str:
    return f"r{insn.dst} = *{_place(op.size, insn.src, insn.off)}"


def _load_signed(op: Op, insn: Insn) -> str:
    return f"r{insn.dst} = *{_place(op.size, insn.src, insn.off, 's')}"


def _store_register(op: Op, insn: Insn) -> str:
    return f"*{_place(op.size, insn.dst, insn.off)} = r{insn.src}"


def _store_immediate(op: Op, insn: Insn) -> str:
    return f"*{_place(op.size, insn.dst, insn.off)} = {insn.imm}"


def _atomic(op: Op, insn: Insn) -> str:
    place = _place(op.size, insn.dst, insn.off)
    wide = "64" if op.size == 8 else ""
    if op.sem is Sem.LOAD_ACQUIRE:
        return f"r{insn.dst} = load_acquire({_place(op.size, insn.src, insn.off)})"
    if op.sem is Sem.STORE_RELEASE:
        return f"store_release({place}, r{insn.src})"
    if op.sem is Sem.CMPXCHG:
        return f"r0 = atomic{wide}_cmpxchg({place}, r0, r{insn.src})"
    if op.sem is Sem.XCHG:
        return f"r{insn.src} = atomic{wide}_xchg({place}, r{insn.src})"
    if op.fetch:
        return f"r{insn.src} = atomic{wide}_fetch_{op.sem.value}({place}, r{insn.src})"
    return f"lock *{place} {op.symbol} r{insn.src}"


def _jump(op: Op, insn: Insn) -> str:
    prefix = "w" if op.bits == 32 else "r"
    right = f"{prefix}{insn.src}" if op.reg_source else f"{insn.imm & U32:#x}"
    return f"if {prefix}{insn.dst} {op.symbol} {right} goto pc{insn.off:+d}"


def _goto(op: Op, insn: Insn) -> str:
    if op.bits == 32:
        return f"gotol pc{insn.imm:+d}"
    return f"goto pc{insn.off:+d}"


def _may_goto(_op: Op, insn: Insn) -> str:
    return f"may_goto pc{insn.off:+d}"


def _call(_op: Op, insn: Insn) -> str:
    if insn.src == PSEUDO_CALL:
        return f"call pc{insn.imm:+d}"
    if insn.src == PSEUDO_KFUNC_CALL:
        return f"call kernel-function#{insn.imm}"
    helper = by_id(insn.imm)
    name = f"bpf_{helper.name}" if helper is not None else "unknown"
    return f"call {name}#{insn.imm}"


def _callx(_op: Op, insn: Insn) -> str:
    return f"callx r{insn.dst}"


def _exit(_op: Op, _insn: Insn) -> str:
    return "exit"


def _legacy(op: Op, insn: Insn) -> str:
    where = str(insn.imm) if op.sem is Sem.PACKET_ABS else f"r{insn.src} + {insn.imm}"
    return f"r0 = *(u{8 * op.size} *)skb[{where}]"


def _cast(_op: Op, insn: Insn) -> str:
    spaces = insn.imm & U32
    return f"r{insn.dst} = addr_space_cast(r{insn.src}, {spaces >> 16}, {spaces & 0xFFFF})"


_WRITERS: Final[Mapping[Kind, Callable[[Op, Insn], str]]] = {
    Kind.ALU: _alu,
    Kind.LOAD: _load,
    Kind.LOAD_SX: _load_signed,
    Kind.STORE_REG: _store_register,
    Kind.STORE_IMM: _store_immediate,
    Kind.ATOMIC: _atomic,
    Kind.JUMP: _jump,
    Kind.GOTO: _goto,
    Kind.MAY_GOTO: _may_goto,
    Kind.CALL: _call,
    Kind.CALLX: _callx,
    Kind.EXIT: _exit,
    Kind.LEGACY: _legacy,
    Kind.ADDR_SPACE_CAST: _cast,
}


def step_text(step: Step) -> str:
    """One instruction in the log's notation, with its opcode."""
    if step.kind is Kind.WIDE:
        constant = step.insn.imm & U32 | (step.high & U32) << 32
        text = f"r{step.insn.dst} = {constant:#x}"
    else:
        text = _WRITERS[step.kind](step.op, step.insn)
    return f"({step.insn.code:02x}) {text}"
