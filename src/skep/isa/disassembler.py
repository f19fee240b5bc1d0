"""Instructions to text: as llvm-objdump writes them, or as the kernel's verifier does.

The first form can be assembled again and gives the same slots, whatever they hold: what is no
instruction is written ``.quad``. Where llvm-objdump has no syntax see ``skep.isa.assembler``.

Source: llvm-objdump 19; Linux kernel/bpf/disasm.c for the second form.
"""

from collections.abc import Callable, Sequence
from typing import Final

from skep.base.bits import U32, signed
from skep.isa import table
from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem, Use

HelperName = Callable[[int], str | None]  # name without bpf_, or None
LabelOf = Callable[[int], str | None]  # name of a pc, or None


def is_wide(insn: Insn) -> bool:
    """Tell whether *insn* is the first slot of two."""
    return insn.code == table.LD_IMM64


def constant(insn: Insn, following: Insn) -> int:
    """The unsigned 64-bit constant of a wide instruction."""
    return insn.imm & U32 | (following.imm & U32) << 32


def _hex(value: int) -> str:
    return f"-{-value:#x}" if value < 0 else f"{value:#x}"


def _jump(value: int) -> str:
    return f"-{-value:#x}" if value < 0 else f"+{value:#x}"


def _address(register: int, off: int) -> str:
    return f"(r{register} {'-' if off < 0 else '+'} {abs(off):#x})"


def _quad(insn: Insn) -> str:
    low = insn.code | insn.dst << 8 | insn.src << 12 | (insn.off & 0xFFFF) << 16
    return f".quad {low | (insn.imm & U32) << 32:#x}"


def _prefix(bits: int) -> str:
    return "r" if bits == 64 else "w"


def _text_alu(op: Op, insn: Insn) -> str:
    prefix = _prefix(op.bits)
    target = f"{prefix}{insn.dst}"
    if op.sem is Sem.NEG:
        return f"{target} = -{target}"
    if op.group == "BPF_END":
        return f"{target} = {op.symbol} {target}"
    if op.sem is Sem.PERCPU:
        return f"{target} = &(void __percpu *)(r{insn.src})"
    operand = f"{prefix}{insn.src}" if op.reg_source else _hex(insn.imm)
    if op.size:
        return f"{target} = {op.symbol}{operand}"
    return f"{target} {op.symbol} {operand}"


def _text_atomic(op: Op, insn: Insn) -> str:
    prefix = _prefix(op.bits)
    place = _address(insn.dst, insn.off)
    kind = f"(u{op.size * 8} *)"
    source = f"{prefix}{insn.src}"
    suffix = "_64" if op.size == 8 else "32_32"
    if op.sem is Sem.CMPXCHG:
        return f"{prefix}0 = cmpxchg{suffix}({place[1:-1]}, {prefix}0, {source})"
    if op.sem is Sem.XCHG:
        return f"{source} = xchg{suffix}({place[1:-1]}, {source})"
    if op.sem is Sem.LOAD_ACQUIRE:
        return f"{prefix}{insn.dst} = load_acquire({kind}{_address(insn.src, insn.off)})"
    if op.sem is Sem.STORE_RELEASE:
        return f"store_release({kind}{place}, {source})"
    if op.fetch:
        return f"{source} = atomic_{op.symbol}({kind}{place}, {source})"
    return f"lock *{kind}{place} {op.symbol} {source}"


def _text_memory(op: Op, insn: Insn) -> str:
    kind = f"*({op.symbol} *)"
    if op.kind is Kind.LEGACY:
        if op.sem is Sem.PACKET_ABS:
            return f"r0 = {kind}skb[{_hex(insn.imm)}]"
        shift = f" {'-' if insn.imm < 0 else '+'} {abs(insn.imm):#x}" if insn.imm else ""
        return f"r0 = {kind}skb[r{insn.src}{shift}]"
    prefix = _prefix(op.bits)
    if op.kind is Kind.STORE_IMM:
        return f"{kind}{_address(insn.dst, insn.off)} = {_hex(insn.imm)}"
    if op.kind is Kind.STORE_REG:
        return f"{kind}{_address(insn.dst, insn.off)} = {prefix}{insn.src}"
    return f"{prefix}{insn.dst} = {kind}{_address(insn.src, insn.off)}"


def _text_wide(op: Op, insn: Insn, following: Insn, target: str) -> str:
    high = following.imm
    left = f"r{insn.dst} = "
    if op.sem is Sem.CONST:
        return f"{left}{_hex(signed(constant(insn, following), 64))} ll"
    if op.sem is Sem.FUNC:
        return f"{left}func[{target}]"
    if op.sem is Sem.BTF_ID:
        return f"{left}btf[id {insn.imm}{f', fd {high}' if high else ''}]"
    by = "fd" if op.sem in (Sem.MAP_FD, Sem.MAP_VALUE) else "idx"
    text = f"{left}map[{by} {insn.imm}]"
    if op.sem in (Sem.MAP_VALUE, Sem.MAP_IDX_VALUE):
        shift = f" {'-' if high < 0 else '+'} {abs(high)}" if high else ""
        return f"{text}[0]{shift}"
    return text


def _text_control(op: Op, insn: Insn, target: str, helper_name: HelperName | None) -> str:
    if op.kind is Kind.JUMP:
        prefix = _prefix(op.bits)
        operand = f"{prefix}{insn.src}" if op.reg_source else _hex(insn.imm)
        return f"if {prefix}{insn.dst} {op.symbol} {operand} goto {target}"
    if op.sem is Sem.HELPER:
        name = helper_name(insn.imm) if helper_name is not None else None
        return f"call {_hex(insn.imm) if name is None else f'bpf_{name}'}"
    if op.sem is Sem.KFUNC:
        return f"call kfunc[{insn.imm}{f', {insn.off}' if insn.off else ''}]"
    if op.kind is Kind.CALLX:
        return f"callx r{insn.dst}"
    if op.kind is Kind.EXIT:
        return "exit"
    return f"{op.symbol} {target}"


def _text_cast(_op: Op, insn: Insn) -> str:
    spaces = f"{insn.imm >> 16 & 0xFFFF:#x}, {insn.imm & 0xFFFF:#x}"
    return f"r{insn.dst} = addr_space_cast(r{insn.src}, {spaces})"


_TEXTS: Final[dict[Kind, Callable[[Op, Insn], str]]] = {
    Kind.ALU: _text_alu,
    Kind.ADDR_SPACE_CAST: _text_cast,
    Kind.ATOMIC: _text_atomic,
    Kind.LOAD: _text_memory,
    Kind.LOAD_SX: _text_memory,
    Kind.STORE_REG: _text_memory,
    Kind.STORE_IMM: _text_memory,
    Kind.LEGACY: _text_memory,
}


def _expressible(op: Op, insn: Insn, following: Insn | None) -> bool:
    """Whether the syntax can say all that the slots hold."""
    if max(insn.dst, insn.src) > table.MAX_REGISTER:
        return False
    if op.kind is Kind.ADDR_SPACE_CAST:
        return True
    if table.reserved_field(op, insn):
        return False
    if op.kind is Kind.WIDE:
        if following is None or Insn(0, imm=following.imm) != following:
            return False
        return following.imm == 0 or op.sem not in (Sem.MAP_FD, Sem.MAP_IDX, Sem.FUNC)
    return op.sem is not Sem.HELPER or insn.imm >= 0


def format_insn(
    insn: Insn,
    following: Insn | None = None,
    *,
    pc: int = 0,
    helper_name: HelperName | None = None,
    label: LabelOf | None = None,
) -> str:
    """Write one instruction as llvm-objdump does.

    Args:
        insn: the slot.
        following: the slot after it, which a wide instruction needs.
        pc: where *insn* stands; only *label* needs it.
        helper_name: names helpers, without ``bpf_``.
        label: names jump targets; others are distances.
    """
    op = table.op_of(insn)
    if op is None or not _expressible(op, insn, following):
        return _quad(insn)
    distance = insn.imm if op.imm is Use.TARGET or op.sem is Sem.FUNC else insn.off
    name = label(pc + distance + 1) if label is not None else None
    target = _jump(distance) if name is None else name
    plain = _TEXTS.get(op.kind)
    if plain is not None:
        return plain(op, insn)
    if op.kind is Kind.WIDE and following is not None:
        return _text_wide(op, insn, following, target)
    return _text_control(op, insn, target, helper_name)


def disassemble(
    insns: Sequence[Insn],
    *,
    helper_name: HelperName | None = None,
    label: LabelOf | None = None,
) -> list[tuple[int, str]]:
    """Write each instruction with its pc; a wide one takes two slots and gives one text."""
    lines: list[tuple[int, str]] = []
    pc = 0
    while pc < len(insns):
        insn = insns[pc]
        following = insns[pc + 1] if pc + 1 < len(insns) else None
        text = format_insn(insn, following, pc=pc, helper_name=helper_name, label=label)
        lines.append((pc, text))
        pc += 2 if is_wide(insn) and not text.startswith(".quad") else 1
    return lines
