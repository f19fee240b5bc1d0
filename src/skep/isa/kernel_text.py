"""Instructions as the kernel's verifier log and bpftool write them: ``(b7) r0 = 0``.

Source: Linux kernel/bpf/disasm.c; the strings are matched by tools.
"""

from collections.abc import Callable
from typing import Final

from skep.base.bits import U32
from skep.isa import table
from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem, Use

HelperName = Callable[[int], str | None]  # name without bpf_, or None
CallName = Callable[[Insn], str | None]  # name of a kernel or local function
ConstantName = Callable[[Insn, int], str]  # text of a wide constant

_CLASSES: Final = ("ld", "ldx", "st", "stx", "alu", "jmp", "jmp32", "alu64")


def _alu(op: Op, insn: Insn) -> str:
    prefix = "r" if op.bits == 64 else "w"
    target = f"{prefix}{insn.dst}"
    if op.sem is Sem.NEG:
        return f"{target} = -{target}"
    if op.group == "BPF_END":
        return f"{target} = {op.symbol} {target}"
    if op.sem is Sem.PERCPU:
        return f"{target} = &(void __percpu *)(r{insn.src})"
    if op.size:
        return f"{target} = {op.symbol}{prefix}{insn.src}"
    return f"{target} {op.symbol} {f'{prefix}{insn.src}' if op.reg_source else insn.imm}"


def _atomic(op: Op, insn: Insn) -> str:
    width = "64" if op.size == 8 else ""
    kind = f"(u{op.size * 8} *)"
    place = f"{kind}(r{insn.dst} {insn.off:+d})"
    if op.sem is Sem.CMPXCHG:
        return f"r0 = atomic{width}_cmpxchg({place}, r0, r{insn.src})"
    if op.sem is Sem.XCHG:
        return f"r{insn.src} = atomic{width}_xchg({place}, r{insn.src})"
    if op.sem is Sem.LOAD_ACQUIRE:
        return f"r{insn.dst} = load_acquire({kind}(r{insn.src} {insn.off:+d}))"
    if op.sem is Sem.STORE_RELEASE:
        return f"store_release({place}, r{insn.src})"
    if op.fetch:
        return f"r{insn.src} = atomic{width}_{op.symbol}({place}, r{insn.src})"
    return f"lock *{place} {op.symbol} r{insn.src}"


def _memory(op: Op, insn: Insn) -> str:
    kind = f"*({op.symbol} *)"
    if op.sem is Sem.PACKET_ABS:
        return f"r0 = {kind}skb[{insn.imm}]"
    if op.sem is Sem.PACKET_IND:
        return f"r0 = {kind}skb[r{insn.src} + {insn.imm}]"
    if op.kind is Kind.STORE_IMM:
        return f"{kind}(r{insn.dst} {insn.off:+d}) = {insn.imm}"
    if op.kind is Kind.STORE_REG:
        return f"{kind}(r{insn.dst} {insn.off:+d}) = r{insn.src}"
    return f"r{insn.dst} = {kind}(r{insn.src} {insn.off:+d})"


def _call(insn: Insn, helper_name: HelperName | None, call_name: CallName | None) -> str:
    if insn.src == table.PSEUDO_CALL:
        name = call_name(insn) if call_name is not None else None
        return f"call pc{f'{insn.imm:+d}' if name is None else name}"
    name = None
    if insn.src == 0 and helper_name is not None:
        name = helper_name(insn.imm)
        name = None if name is None else f"bpf_{name}"
    elif call_name is not None:
        name = call_name(insn)
    if name is None:
        name = "kernel-function" if insn.src == table.PSEUDO_KFUNC_CALL else "unknown"
    return f"call {name}#{insn.imm}"


def _jump(op: Op, insn: Insn) -> str:
    prefix = "r" if op.bits == 64 else "w"
    operand = f"{prefix}{insn.src}" if op.reg_source else f"{insn.imm & U32:#x}"
    return f"if {prefix}{insn.dst} {op.symbol} {operand} goto pc{insn.off:+d}"


def _unknown(code: int) -> str:
    """What the kernel prints of an opcode whose fields say nothing."""
    kind = code & 7
    if kind == table.STX:
        return f"BUG_{code:02x}"
    if kind in (table.LD, table.LDX, table.ST):
        return f"BUG_{_CLASSES[kind]}_{code:02x}"
    return f"({code:02x}) {_CLASSES[kind]}"


def _cast(_op: Op, insn: Insn) -> str:
    spaces = f"{insn.imm >> 16 & 0xFFFF}, {insn.imm & 0xFFFF}"
    return f"r{insn.dst} = addr_space_cast(r{insn.src}, {spaces})"


def _go(op: Op, insn: Insn) -> str:
    return f"{op.symbol} pc{insn.imm if op.imm is Use.TARGET else insn.off:+d}"


def _exit(_op: Op, _insn: Insn) -> str:
    return "exit"


def _callx(_op: Op, insn: Insn) -> str:
    return f"callx r{insn.dst}"


_BODIES: Final[dict[Kind, Callable[[Op, Insn], str]]] = {
    Kind.ALU: _alu,
    Kind.ADDR_SPACE_CAST: _cast,
    Kind.ATOMIC: _atomic,
    Kind.LOAD: _memory,
    Kind.LOAD_SX: _memory,
    Kind.STORE_REG: _memory,
    Kind.STORE_IMM: _memory,
    Kind.LEGACY: _memory,
    Kind.JUMP: _jump,
    Kind.GOTO: _go,
    Kind.MAY_GOTO: _go,
    Kind.CALLX: _callx,
    Kind.EXIT: _exit,
}


def format_kernel(
    insn: Insn,
    following: Insn | None = None,
    *,
    helper_name: HelperName | None = None,
    call_name: CallName | None = None,
    constant_name: ConstantName | None = None,
) -> str:
    """Write one instruction as the kernel does.

    Args:
        insn: the slot.
        following: the slot after it, which a wide instruction needs.
        helper_name: names helpers, without ``bpf_``.
        call_name: names kernel functions, and local ones instead of ``+3``.
        constant_name: writes wide constants; hexadecimal by default.
    """
    op = table.op_of(insn)
    if op is None:
        return _unknown(insn.code)
    if op.kind is Kind.CALL:
        body = _call(insn, helper_name, call_name)
    elif op.kind is Kind.WIDE:
        high = following.imm if following is not None else 0
        value = insn.imm & U32 | (high & U32) << 32
        text = f"{value:#x}" if constant_name is None else constant_name(insn, value)
        body = f"r{insn.dst} = {text}"
    else:
        body = _BODIES[op.kind](op, insn)
    return f"({insn.code:02x}) {body}"
