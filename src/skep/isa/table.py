"""THE instruction table: every instruction of ISA v1-v4 and of Linux 6.18, one row each.

A row says how an instruction is encoded (opcode, and which field tells it from its neighbours with
the same opcode), how it is spelled, what it means (``Sem``), and what each field of its slot is for
(``Use``). Decoder, assembler, disassembler, verifier, interpreter and compiler read it; the meaning
of each ``Sem`` stands in ``skep.isa.meaning``.

Source: RFC 9669; Linux 6.18 Documentation/bpf/standardization/instruction-set.rst and
kernel/bpf/verifier.c for the fields that must be zero.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from skep.isa.insn import Insn

# --- opcode fields ----------------------------------------------------------------------------

LD: Final = 0x00
LDX: Final = 0x01
ST: Final = 0x02
STX: Final = 0x03
ALU: Final = 0x04
JMP: Final = 0x05
JMP32: Final = 0x06
ALU64: Final = 0x07

IMMEDIATE: Final = 0x00  # operand two of ALU and JMP
REGISTER: Final = 0x08

MODE_IMM: Final = 0x00
MODE_ABS: Final = 0x20
MODE_IND: Final = 0x40
MODE_MEM: Final = 0x60
MODE_MEMSX: Final = 0x80
MODE_ATOMIC: Final = 0xC0

SIZE_CODES: Final[dict[int, int]] = {4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18}  # bytes: opcode bits

FETCH: Final = 0x01  # flag in imm of an atomic
LD_IMM64: Final = 0x18

PSEUDO_CALL: Final = 1  # src of CALL
PSEUDO_KFUNC_CALL: Final = 2
PSEUDO_MAP_FD: Final = 1  # src of LD_IMM64
PSEUDO_MAP_VALUE: Final = 2
PSEUDO_BTF_ID: Final = 3
PSEUDO_FUNC: Final = 4
PSEUDO_MAP_IDX: Final = 5
PSEUDO_MAP_IDX_VALUE: Final = 6

MAX_REGISTER: Final = 10
CALLER_SAVED: Final = 0x3F  # r0 to r5, as a bit set
ARGUMENTS: Final = 0x3E  # r1 to r5


class Kind(Enum):
    """What an instruction does, coarsely: which passes care."""

    ALU = "alu"
    LOAD = "load"
    LOAD_SX = "load_sx"
    STORE_REG = "store_reg"
    STORE_IMM = "store_imm"
    ATOMIC = "atomic"
    JUMP = "jump"  # conditional
    GOTO = "goto"
    MAY_GOTO = "may_goto"
    CALL = "call"
    CALLX = "callx"
    EXIT = "exit"
    WIDE = "wide"
    LEGACY = "legacy"
    ADDR_SPACE_CAST = "addr_space_cast"


class Sem(Enum):
    """What an instruction means: the key of EVAL, TRANSFER and LOWER."""

    # arithmetic: (dst, operand two) -> dst
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    UDIV = "udiv"
    SDIV = "sdiv"
    UMOD = "umod"
    SMOD = "smod"
    OR = "or"
    AND = "and"
    XOR = "xor"
    SHL = "shl"
    LSHR = "lshr"
    ASHR = "ashr"
    MOV = "mov"
    SEXT8 = "sext8"  # sign-extend the low bits of operand two
    SEXT16 = "sext16"
    SEXT32 = "sext32"
    NEG = "neg"  # unary, on dst
    KEEP16 = "keep16"  # le16 on a little-endian machine: the low bits, zero-extended
    KEEP32 = "keep32"
    KEEP64 = "keep64"
    SWAP16 = "swap16"  # be16 and bswap16: the low bits reversed, zero-extended
    SWAP32 = "swap32"
    SWAP64 = "swap64"
    # comparison: (dst, operand two) -> bool
    EQ = "eq"
    NE = "ne"
    UGT = "ugt"
    UGE = "uge"
    ULT = "ult"
    ULE = "ule"
    SGT = "sgt"
    SGE = "sge"
    SLT = "slt"
    SLE = "sle"
    SET = "set"  # dst & operand two != 0
    # control
    ALWAYS = "always"
    MAY = "may"
    HELPER = "helper"
    LOCAL = "local"
    KFUNC = "kfunc"
    INDIRECT = "indirect"
    RETURN = "return"
    # memory
    LOAD = "load"
    STORE = "store"
    XCHG = "xchg"
    CMPXCHG = "cmpxchg"
    LOAD_ACQUIRE = "load_acquire"
    STORE_RELEASE = "store_release"
    PACKET_ABS = "packet_abs"
    PACKET_IND = "packet_ind"
    # wide constants
    CONST = "const"
    MAP_FD = "map_fd"
    MAP_VALUE = "map_value"
    BTF_ID = "btf_id"
    FUNC = "func"
    MAP_IDX = "map_idx"
    MAP_IDX_VALUE = "map_idx_value"
    # address spaces
    CAST = "cast"
    PERCPU = "percpu"


class Use(Enum):
    """What a field of the slot is for in one instruction."""

    ZERO = "zero"  # reserved
    READ = "read"  # a register that is read
    WRITE = "write"  # a register that is written
    UPDATE = "update"  # a register that is read and written
    SELECT = "select"  # tells rows with the same opcode apart: has the row's value
    OFFSET = "offset"  # byte offset from a register
    TARGET = "target"  # slots to jump over
    NUMBER = "number"  # any value
    SPACES = "spaces"  # addr_space_cast: to << 16 | from, one of them 0, the other 1


class Select(Enum):
    """Which field tells rows with the same opcode apart."""

    NONE = 0
    OFF = 1
    IMM = 2
    SRC = 3


@dataclass(frozen=True, slots=True)
class Op:
    """One instruction.

    Args:
        name: unique, as ``add64_reg`` or ``ldx_u8``.
        code: opcode byte.
        kind: what it does, coarsely.
        sem: what it means.
        symbol: its part of the spelling: operator, type or mnemonic.
        bits: width of the operation, 32 or 64; a 32-bit result is zero-extended.
        size: bytes accessed in memory, or that a conversion keeps; 0 if neither.
        reg_source: operand two is a register.
        select: which field tells it from other rows of the same *code*.
        value: what that field holds.
        dst, src, off, imm: what each field is for.
        fetch: an atomic that gives the old value (to *src*; CMPXCHG: to r0).
        loadable: programs may contain it; the kernel makes or knows the others by itself.
        group: the kernel's name for its opcode in "… uses reserved fields".
    """

    name: str
    code: int
    kind: Kind
    sem: Sem
    symbol: str
    bits: int = 64
    size: int = 0
    reg_source: bool = False
    select: Select = Select.NONE
    value: int = 0
    dst: Use = Use.ZERO
    src: Use = Use.ZERO
    off: Use = Use.ZERO
    imm: Use = Use.ZERO
    fetch: bool = False
    loadable: bool = True
    group: str = ""


# --- arithmetic -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Family:
    """Four rows that differ in width and in the source of operand two."""

    name: str
    code: int  # bits 4-7 of the opcode
    symbol: str
    sem: Sem
    select: Select = Select.NONE
    off: int = 0  # what the offset field must hold if it selects


ALU_FAMILIES: Final[tuple[Family, ...]] = (
    #      name    code  symbol  meaning
    Family("add", 0x00, "+=", Sem.ADD),
    Family("sub", 0x10, "-=", Sem.SUB),
    Family("mul", 0x20, "*=", Sem.MUL),
    Family("div", 0x30, "/=", Sem.UDIV, Select.OFF),
    Family("sdiv", 0x30, "s/=", Sem.SDIV, Select.OFF, off=1),
    Family("or", 0x40, "|=", Sem.OR),
    Family("and", 0x50, "&=", Sem.AND),
    Family("lsh", 0x60, "<<=", Sem.SHL),
    Family("rsh", 0x70, ">>=", Sem.LSHR),
    Family("mod", 0x90, "%=", Sem.UMOD, Select.OFF),
    Family("smod", 0x90, "s%=", Sem.SMOD, Select.OFF, off=1),
    Family("xor", 0xA0, "^=", Sem.XOR),
    Family("arsh", 0xC0, "s>>=", Sem.ASHR),
)

JUMP_FAMILIES: Final[tuple[Family, ...]] = (
    Family("jeq", 0x10, "==", Sem.EQ),
    Family("jgt", 0x20, ">", Sem.UGT),
    Family("jge", 0x30, ">=", Sem.UGE),
    Family("jset", 0x40, "&", Sem.SET),
    Family("jne", 0x50, "!=", Sem.NE),
    Family("jsgt", 0x60, "s>", Sem.SGT),
    Family("jsge", 0x70, "s>=", Sem.SGE),
    Family("jlt", 0xA0, "<", Sem.ULT),
    Family("jle", 0xB0, "<=", Sem.ULE),
    Family("jslt", 0xC0, "s<", Sem.SLT),
    Family("jsle", 0xD0, "s<=", Sem.SLE),
)


def _alu(family: Family, bits: int, register: bool) -> Op:
    return Op(
        f"{family.name}{bits}_{'reg' if register else 'imm'}",
        family.code | (ALU64 if bits == 64 else ALU) | (REGISTER if register else IMMEDIATE),
        Kind.ALU,
        family.sem,
        family.symbol,
        bits=bits,
        reg_source=register,
        select=family.select,
        value=family.off,
        dst=Use.UPDATE,
        src=Use.READ if register else Use.ZERO,
        off=Use.ZERO if family.select is Select.NONE else Use.SELECT,
        imm=Use.ZERO if register else Use.NUMBER,
        group="BPF_ALU",
    )


def _jump(family: Family, bits: int, register: bool) -> Op:
    return Op(
        f"{family.name}{bits}_{'reg' if register else 'imm'}",
        family.code | (JMP if bits == 64 else JMP32) | (REGISTER if register else IMMEDIATE),
        Kind.JUMP,
        family.sem,
        family.symbol,
        bits=bits,
        reg_source=register,
        dst=Use.READ,
        src=Use.READ if register else Use.ZERO,
        off=Use.TARGET,
        imm=Use.ZERO if register else Use.NUMBER,
        group="BPF_JMP/JMP32",
    )


def _move(name: str, bits: int, sem: Sem, symbol: str, off: int, size: int = 0) -> Op:
    return Op(
        name, 0xB0 | REGISTER | (ALU64 if bits == 64 else ALU), Kind.ALU, sem, symbol,
        bits=bits, size=size, reg_source=True, select=Select.OFF, value=off,
        dst=Use.WRITE, src=Use.READ, off=Use.SELECT, group="BPF_MOV",
    )  # fmt: skip


def _set(bits: int) -> Op:
    return Op(
        f"mov{bits}_imm", 0xB0 | (ALU64 if bits == 64 else ALU), Kind.ALU, Sem.MOV, "=",
        bits=bits, dst=Use.WRITE, imm=Use.NUMBER, group="BPF_MOV",
    )  # fmt: skip


def _negate(bits: int) -> Op:
    return Op(
        f"neg{bits}", 0x80 | (ALU64 if bits == 64 else ALU), Kind.ALU, Sem.NEG, "-",
        bits=bits, dst=Use.UPDATE, group="BPF_NEG",
    )  # fmt: skip


def _swap(mnemonic: str, code: int, width: int, sem: Sem) -> Op:
    return Op(
        f"{mnemonic}{width}", code, Kind.ALU, sem, f"{mnemonic}{width}",
        size=width // 8, select=Select.IMM, value=width,
        dst=Use.UPDATE, imm=Use.SELECT, group="BPF_END",
    )  # fmt: skip


def _arithmetic() -> list[Op]:
    rows = [
        _alu(family, bits, register)
        for family in ALU_FAMILIES
        for bits in (32, 64)
        for register in (False, True)
    ]
    rows += [_set(32), _set(64), _negate(32), _negate(64)]
    rows += [
        _move("mov32_reg", 32, Sem.MOV, "=", 0),
        _move("mov64_reg", 64, Sem.MOV, "=", 0),
        _move("movsx32_s8", 32, Sem.SEXT8, "(s8)", 8, size=1),
        _move("movsx32_s16", 32, Sem.SEXT16, "(s16)", 16, size=2),
        _move("movsx64_s8", 64, Sem.SEXT8, "(s8)", 8, size=1),
        _move("movsx64_s16", 64, Sem.SEXT16, "(s16)", 16, size=2),
        _move("movsx64_s32", 64, Sem.SEXT32, "(s32)", 32, size=4),
    ]
    swaps = ((16, Sem.SWAP16), (32, Sem.SWAP32), (64, Sem.SWAP64))
    keeps = ((16, Sem.KEEP16), (32, Sem.KEEP32), (64, Sem.KEEP64))
    rows += [_swap("le", 0xD4, width, sem) for width, sem in keeps]
    rows += [_swap("be", 0xDC, width, sem) for width, sem in swaps]
    rows += [_swap("bswap", 0xD7, width, sem) for width, sem in swaps]
    return rows


ADDR_SPACE_CAST: Final = Op(
    "addr_space_cast", 0xBF, Kind.ADDR_SPACE_CAST, Sem.CAST, "addr_space_cast",
    reg_source=True, select=Select.OFF, value=1,
    dst=Use.WRITE, src=Use.READ, off=Use.SELECT, imm=Use.SPACES, group="BPF_MOV",
)  # fmt: skip

PERCPU_ADDRESS: Final = Op(
    "percpu_address", 0xBF, Kind.ALU, Sem.PERCPU, "&(void __percpu *)",
    reg_source=True, select=Select.OFF, value=-1,
    dst=Use.WRITE, src=Use.READ, off=Use.SELECT, loadable=False, group="BPF_MOV",
)  # fmt: skip


# --- memory -----------------------------------------------------------------------------------

WORD_BITS: Final[dict[int, int]] = {1: 32, 2: 32, 4: 32, 8: 64}  # bytes: register width in use


def _load(size: int) -> Op:
    return Op(
        f"ldx_u{size * 8}", LDX | MODE_MEM | SIZE_CODES[size], Kind.LOAD, Sem.LOAD, f"u{size * 8}",
        bits=WORD_BITS[size], size=size, reg_source=True,
        dst=Use.WRITE, src=Use.READ, off=Use.OFFSET, group="BPF_LDX",
    )  # fmt: skip


def _load_signed(size: int) -> Op:
    return Op(
        f"ldx_s{size * 8}", LDX | MODE_MEMSX | SIZE_CODES[size], Kind.LOAD_SX, Sem.LOAD,
        f"s{size * 8}", size=size, reg_source=True,
        dst=Use.WRITE, src=Use.READ, off=Use.OFFSET, group="BPF_LDX",
    )  # fmt: skip


def _store_register(size: int) -> Op:
    return Op(
        f"stx_u{size * 8}", STX | MODE_MEM | SIZE_CODES[size], Kind.STORE_REG, Sem.STORE,
        f"u{size * 8}", bits=WORD_BITS[size], size=size, reg_source=True,
        dst=Use.READ, src=Use.READ, off=Use.OFFSET, group="BPF_STX",
    )  # fmt: skip


def _store_immediate(size: int) -> Op:
    return Op(
        f"st_u{size * 8}", ST | MODE_MEM | SIZE_CODES[size], Kind.STORE_IMM, Sem.STORE,
        f"u{size * 8}", bits=64, size=size,
        dst=Use.READ, off=Use.OFFSET, imm=Use.NUMBER, group="BPF_ST",
    )  # fmt: skip


def _atomic(name: str, size: int, sem: Sem, symbol: str, imm: int) -> Op:
    load = sem is Sem.LOAD_ACQUIRE
    fetch = bool(imm & FETCH) and imm < 0x100
    source = Use.READ
    if fetch and sem is not Sem.CMPXCHG:
        source = Use.UPDATE
    return Op(
        f"{name}_u{size * 8}", STX | MODE_ATOMIC | SIZE_CODES[size], Kind.ATOMIC, sem, symbol,
        bits=WORD_BITS[size], size=size, reg_source=True, select=Select.IMM, value=imm,
        dst=Use.WRITE if load else Use.READ, src=source, off=Use.OFFSET, imm=Use.SELECT,
        fetch=fetch, group="BPF_ATOMIC",
    )  # fmt: skip


ATOMIC_FAMILIES: Final[tuple[Family, ...]] = (
    Family("add", 0x00, "+=", Sem.ADD),
    Family("or", 0x40, "|=", Sem.OR),
    Family("and", 0x50, "&=", Sem.AND),
    Family("xor", 0xA0, "^=", Sem.XOR),
)


def _legacy(size: int, mode: int) -> Op:
    indirect = mode == MODE_IND
    return Op(
        f"ld_{'ind' if indirect else 'abs'}_u{size * 8}", LD | mode | SIZE_CODES[size], Kind.LEGACY,
        Sem.PACKET_IND if indirect else Sem.PACKET_ABS, f"u{size * 8}", size=size,
        reg_source=indirect, src=Use.READ if indirect else Use.ZERO, imm=Use.NUMBER,
        group="BPF_LD_[ABS|IND]",
    )  # fmt: skip


def _memory() -> list[Op]:
    sizes = (1, 2, 4, 8)
    rows = [_load(size) for size in sizes]
    rows += [_load_signed(size) for size in sizes[:3]]
    rows += [_store_register(size) for size in sizes]
    rows += [_store_immediate(size) for size in sizes]
    for size in (4, 8):
        for family in ATOMIC_FAMILIES:
            fetching = f"fetch_{family.name}"
            rows.append(
                _atomic(f"atomic_{family.name}", size, family.sem, family.symbol, family.code)
            )
            rows.append(
                _atomic(f"atomic_{fetching}", size, family.sem, fetching, family.code | FETCH)
            )
        rows.append(_atomic("xchg", size, Sem.XCHG, "xchg", 0xE1))
        rows.append(_atomic("cmpxchg", size, Sem.CMPXCHG, "cmpxchg", 0xF1))
    for size in sizes:
        rows.append(_atomic("load_acquire", size, Sem.LOAD_ACQUIRE, "load_acquire", 0x100))
        rows.append(_atomic("store_release", size, Sem.STORE_RELEASE, "store_release", 0x110))
    rows += [_legacy(size, mode) for mode in (MODE_ABS, MODE_IND) for size in sizes[:3]]
    return rows


def _wide(name: str, sem: Sem, source: int) -> Op:
    return Op(
        f"ld_imm64_{name}", LD_IMM64, Kind.WIDE, sem, name, size=8, select=Select.SRC,
        value=source, dst=Use.WRITE, src=Use.SELECT, imm=Use.NUMBER, group="BPF_LD_IMM64",
    )  # fmt: skip


WIDE_OPS: Final[tuple[Op, ...]] = (
    _wide("const", Sem.CONST, 0),
    _wide("map_fd", Sem.MAP_FD, PSEUDO_MAP_FD),
    _wide("map_value", Sem.MAP_VALUE, PSEUDO_MAP_VALUE),
    _wide("btf_id", Sem.BTF_ID, PSEUDO_BTF_ID),
    _wide("func", Sem.FUNC, PSEUDO_FUNC),
    _wide("map_idx", Sem.MAP_IDX, PSEUDO_MAP_IDX),
    _wide("map_idx_value", Sem.MAP_IDX_VALUE, PSEUDO_MAP_IDX_VALUE),
)


# --- control ----------------------------------------------------------------------------------


def _call(name: str, sem: Sem, source: int, imm: Use, off: Use = Use.ZERO) -> Op:
    return Op(
        name, 0x85, Kind.CALL, sem, "call", select=Select.SRC, value=source,
        src=Use.SELECT, off=off, imm=imm, group="BPF_CALL",
    )  # fmt: skip


CONTROL_OPS: Final[tuple[Op, ...]] = (
    Op("ja", 0x05, Kind.GOTO, Sem.ALWAYS, "goto", off=Use.TARGET, group="BPF_JA"),
    Op("gotol", 0x06, Kind.GOTO, Sem.ALWAYS, "gotol", imm=Use.TARGET, group="BPF_JA"),
    Op(
        "may_goto", 0xE5, Kind.MAY_GOTO, Sem.MAY, "may_goto",
        select=Select.SRC, value=0, src=Use.SELECT, off=Use.TARGET, group="BPF_JCOND",
    ),
    _call("call_helper", Sem.HELPER, 0, Use.NUMBER),
    _call("call_local", Sem.LOCAL, PSEUDO_CALL, Use.TARGET),
    _call("call_kfunc", Sem.KFUNC, PSEUDO_KFUNC_CALL, Use.NUMBER, Use.NUMBER),
    Op(
        "callx", 0x8D, Kind.CALLX, Sem.INDIRECT, "callx", reg_source=True, dst=Use.READ,
        loadable=False, group="BPF_CALL",
    ),
    Op("exit", 0x95, Kind.EXIT, Sem.RETURN, "exit", group="BPF_EXIT"),
)  # fmt: skip


# --- the whole --------------------------------------------------------------------------------

OPS: Final[tuple[Op, ...]] = (
    *_arithmetic(),
    ADDR_SPACE_CAST,
    PERCPU_ADDRESS,
    *_memory(),
    *WIDE_OPS,
    *[
        _jump(family, bits, register)
        for family in JUMP_FAMILIES
        for bits in (64, 32)
        for register in (False, True)
    ],
    *CONTROL_OPS,
)


def _index(rows: tuple[Op, ...]) -> dict[int, Op]:
    index: dict[int, Op] = {}
    names: set[str] = set()
    for row in rows:
        key = row.value << 8 | row.code
        if key in index or row.name in names:
            raise ValueError(f"{row.name} repeats a name or an encoding")
        index[key] = row
        names.add(row.name)
    return index


def _selectors(rows: tuple[Op, ...]) -> list[Select | None]:
    selectors: list[Select | None] = [None] * 256
    for row in rows:
        if selectors[row.code] not in (None, row.select):
            raise ValueError(f"{row.name}: its opcode has another selector")
        selectors[row.code] = row.select
    return selectors


_INDEX: Final[dict[int, Op]] = _index(OPS)
_SELECTORS: Final[list[Select | None]] = _selectors(OPS)
_PLAIN: Final[list[Op | None]] = [  # rows that their opcode alone tells
    _INDEX[code] if select is Select.NONE else None for code, select in enumerate(_SELECTORS)
]
_GROUPS: Final[dict[int, str]] = {row.code: row.group for row in OPS}
_LOADABLE: Final[frozenset[int]] = frozenset(row.code for row in OPS if row.loadable)
BY_NAME: Final[dict[str, Op]] = {row.name: row for row in OPS}


def op_of(insn: Insn) -> Op | None:
    """Find the row of *insn*; None if the opcode, or its selecting field, means nothing."""
    plain = _PLAIN[insn.code]
    if plain is not None:
        return plain
    select = _SELECTORS[insn.code]
    if select is None:
        return None
    if select is Select.OFF:
        return _INDEX.get(insn.off << 8 | insn.code)
    if select is Select.IMM:
        return _INDEX.get(insn.imm << 8 | insn.code)
    return _INDEX.get(insn.src << 8 | insn.code)


def make(op: Op, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Insn:
    """Build a slot of *op*; the field that selects the row holds the row's value."""
    if op.select is Select.OFF:
        off = op.value
    elif op.select is Select.IMM:
        imm = op.value
    elif op.select is Select.SRC:
        src = op.value
    return Insn(op.code, dst, src, off, imm)


def slot(name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Insn:
    """Build a slot of the row called *name*."""
    return make(BY_NAME[name], dst, src, off, imm)


def known(code: int) -> bool:
    """Tell whether programs may contain opcode *code*, whatever its fields."""
    return code in _LOADABLE


def group(code: int) -> str:
    """The kernel's name for opcode *code* in its messages, as ``BPF_MOV``; "" if unknown."""
    return _GROUPS.get(code, "")


def _violates(use: Use, value: int) -> bool:
    if use is Use.ZERO:
        return value != 0
    if use is Use.SPACES:
        return value not in (1, 1 << 16)
    return False


def reserved_field(op: Op, insn: Insn) -> str:
    """Name the first field of *insn* that must be zero (or in a set) and is not; "" if none."""
    if _violates(op.dst, insn.dst):
        return "dst"
    if _violates(op.src, insn.src):
        return "src"
    if _violates(op.off, insn.off):
        return "off"
    if _violates(op.imm, insn.imm):
        return "imm"
    return ""


def registers_read(op: Op, insn: Insn) -> int:
    """Registers that *insn* reads, as a bit set; a call reads r1 to r5, whatever its arity."""
    used = 0
    if op.dst is Use.READ or op.dst is Use.UPDATE:
        used |= 1 << insn.dst
    if op.src is Use.READ or op.src is Use.UPDATE:
        used |= 1 << insn.src
    if op.kind is Kind.CALL or op.kind is Kind.CALLX:
        used |= ARGUMENTS
    elif op.kind is Kind.EXIT or op.sem is Sem.CMPXCHG:
        used |= 1
    elif op.kind is Kind.LEGACY:
        used |= 1 << 6
    return used


def registers_written(op: Op, insn: Insn) -> int:
    """Registers that *insn* writes or makes unreadable, as a bit set."""
    used = 0
    if op.dst is Use.WRITE or op.dst is Use.UPDATE:
        used |= 1 << insn.dst
    if op.src is Use.UPDATE:
        used |= 1 << insn.src
    if op.kind is Kind.CALL or op.kind is Kind.CALLX or op.kind is Kind.LEGACY:
        used |= CALLER_SAVED
    elif op.sem is Sem.CMPXCHG:
        used |= 1
    return used
