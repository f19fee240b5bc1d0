import pytest

from skep.isa import table
from skep.isa.insn import Insn
from skep.isa.meaning import COMPARE, EVAL, compare, evaluate
from skep.isa.table import Kind, Sem, slot

MINIMUM = 1 << 63


def test_every_arithmetic_row_has_a_meaning() -> None:
    sems = {op.sem for op in table.OPS if op.kind is Kind.ALU} - {Sem.PERCPU}

    assert sems == set(EVAL)


def test_every_conditional_jump_has_a_meaning() -> None:
    assert {op.sem for op in table.OPS if op.kind is Kind.JUMP} == set(COMPARE)


def test_no_two_rows_share_a_name() -> None:
    assert len(table.OPS) == len({op.name for op in table.OPS})


@pytest.mark.parametrize(
    ("insn", "name"),
    [
        (Insn(0x3F, 1, 2), "div64_reg"),
        (Insn(0x3F, 1, 2, off=1), "sdiv64_reg"),
        (Insn(0xBF, 1, 2, off=8), "movsx64_s8"),
        (Insn(0xBF, 1, 2, off=1, imm=1), "addr_space_cast"),
        (Insn(0x85, imm=1), "call_helper"),
        (Insn(0x85, src=1, imm=-3), "call_local"),
        (Insn(0x85, src=2, off=4), "call_kfunc"),
        (Insn(0xDB, 1, 2, imm=0xF1), "cmpxchg_u64"),
        (Insn(0xD3, 1, 2, imm=0x100), "load_acquire_u8"),
        (Insn(0xDC, 1, imm=16), "be16"),
        (Insn(0x18, 1, 5), "ld_imm64_map_idx"),
    ],
)
def test_the_selecting_field_chooses_the_row(insn: Insn, name: str) -> None:
    op = table.op_of(insn)

    assert op is not None
    assert name == op.name


@pytest.mark.parametrize(
    "insn",
    [
        Insn(0x8C),  # neg with a register
        Insn(0xBC, off=32),  # movsx32_s32
        Insn(0x3F, off=2),
        Insn(0xDB, imm=0x02),
        Insn(0xDC, imm=8),
        Insn(0x85, src=3),
        Insn(0x99),  # signed load of 8 bytes
        Insn(0x86),  # call in JMP32
        Insn(0xFF),
    ],
)
def test_an_unknown_encoding_has_no_row(insn: Insn) -> None:
    assert table.op_of(insn) is None


def test_the_opcodes_that_programs_may_contain_are_those_of_the_kernel() -> None:
    unknown = {0x8D, 0x8C, 0x8F, 0xDF, 0x06 | 0x80, 0x99, 0x00, 0x38, 0x58}

    assert not any(table.known(code) for code in unknown)
    assert all(table.known(code) for code in (0x06, 0xE5, 0xD3, 0xCB, 0x20, 0x50, 0xD7))


@pytest.mark.parametrize(
    ("insn", "field"),
    [
        (Insn(0xB7, 1, src=1), "src"),
        (Insn(0x0F, 1, 2, off=1), "off"),
        (Insn(0x0F, 1, 2, imm=5), "imm"),
        (Insn(0x95, dst=1), "dst"),
        (Insn(0xBF, 1, 2, off=1, imm=2), "imm"),
        (Insn(0x07, 1, imm=5), ""),
    ],
)
def test_a_reserved_field_that_is_used_is_named(insn: Insn, field: str) -> None:
    op = table.op_of(insn)

    assert op is not None
    assert field == table.reserved_field(op, insn)


@pytest.mark.parametrize(
    ("insn", "reads", "writes"),
    [
        (slot("add64_reg", 1, 2), 0b110, 0b10),
        (slot("mov64_reg", 1, 2), 0b100, 0b10),
        (slot("call_helper", imm=1), 0b111110, 0b111111),
        (slot("exit"), 1, 0),
        (slot("cmpxchg_u64", 1, 2), 0b111, 1),
        (slot("xchg_u64", 1, 2), 0b110, 0b100),
        (slot("load_acquire_u64", 1, 2), 0b100, 0b10),
        (slot("ld_abs_u8"), 1 << 6, 0b111111),
        (slot("stx_u8", 10, 3), 1 << 10 | 1 << 3, 0),
    ],
)
def test_registers_read_and_written_follow_from_the_row(
    insn: Insn, reads: int, writes: int
) -> None:
    op = table.op_of(insn)

    assert op is not None
    assert (reads, writes) == (table.registers_read(op, insn), table.registers_written(op, insn))


@pytest.mark.parametrize(
    ("sem", "x", "y", "bits", "result"),
    [
        (Sem.UDIV, 7, 0, 64, 0),
        (Sem.UMOD, 7, 0, 64, 7),
        (Sem.SDIV, -7, 2, 64, -3 % 2**64),
        (Sem.SMOD, -7, 2, 64, -1 % 2**64),
        (Sem.SMOD, 7, -2, 32, 1),
        (Sem.SDIV, MINIMUM, -1, 64, MINIMUM),
        (Sem.SMOD, MINIMUM, -1, 64, 0),
        (Sem.SHL, 1, 65, 64, 2),
        (Sem.SHL, 1, 33, 32, 2),
        (Sem.ASHR, 0x80000000, 31, 32, 0xFFFFFFFF),
        (Sem.SEXT8, 0, 0x80, 32, 0xFFFFFF80),
        (Sem.NEG, 1, 0, 32, 0xFFFFFFFF),
        (Sem.SWAP16, 0x12345678, 0, 64, 0x7856),
        (Sem.KEEP32, 0x1_2345_6789, 0, 64, 0x23456789),
        (Sem.MUL, 2**63, 2, 64, 0),
    ],
)
def test_arithmetic_means_what_the_standard_says(
    sem: Sem, x: int, y: int, bits: int, result: int
) -> None:
    assert result == evaluate(sem, x, y, bits)


def test_comparisons_look_only_at_their_width() -> None:
    assert compare(Sem.EQ, 1 << 32, 0, 32)
    assert not compare(Sem.EQ, 1 << 32, 0, 64)
    assert compare(Sem.SLT, 0x80000000, 0, 32)
    assert not compare(Sem.SLT, 0x80000000, 0, 64)
    assert compare(Sem.SET, 6, 2, 64)
    assert not compare(Sem.SET, 6, 1, 64)
