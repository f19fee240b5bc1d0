"""The instruction table and the kernel's spelling, against the running kernel's verifier."""

import pytest

from skep.isa import table
from skep.isa.insn import Insn
from skep.isa.kernel_text import format_kernel
from skep.isa.table import Kind, Op, Sem, Use
from skep.uapi.helpers import by_id
from support import kernel

pytestmark = pytest.mark.skipif(bool(kernel.refusal()), reason=kernel.refusal() or "asked")

EXIT = Insn(0x95)
SET_R0 = Insn(0xB7)
MAKES_BY_ITSELF = (Sem.PERCPU, Sem.INDIRECT)
NEEDS_MORE = (Sem.MAP_FD, Sem.MAP_VALUE, Sem.BTF_ID, Sem.FUNC, Sem.MAP_IDX, Sem.MAP_IDX_VALUE)


def helper_name(number: int) -> str | None:
    helper = by_id(number)
    return None if helper is None else helper.name


def test_the_kernel_knows_the_opcodes_that_the_table_knows() -> None:
    unknown = {0x38, 0x58}  # packet loads of 8 bytes: known, and refused
    for code in range(256):
        program = [Insn(code), Insn(0), EXIT] if code == 0x18 else [Insn(code), EXIT]
        log = kernel.load(program).log
        # loads of other modes are refused before their opcode is looked at
        if f"unknown opcode {code:02x}" in log or "BPF_LDX uses reserved fields" in log:
            unknown.add(code)

    assert unknown == {code for code in range(256) if not table.known(code)}


def sample(op: Op) -> list[Insn]:
    """A program whose first instruction is of *op*; it need not be a good one."""
    insn = table.make(
        op,
        0 if op.dst is Use.ZERO else 3,
        0 if op.src is Use.ZERO else 4,
        -16 if op.off is Use.OFFSET else 0,
        {Use.NUMBER: -7, Use.SPACES: 1}.get(op.imm, 0),
    )
    if op.sem is Sem.HELPER:
        insn = table.make(op, imm=5)
    if op.kind is Kind.WIDE:
        return [insn, Insn(0, imm=9), SET_R0, EXIT]
    if op.sem is Sem.LOCAL:
        return [table.make(op, imm=1), EXIT, SET_R0, EXIT]
    if op.kind is Kind.EXIT:
        return [insn]
    return [insn, SET_R0, EXIT]


ASKED = [op for op in table.OPS if op.sem not in MAKES_BY_ITSELF + NEEDS_MORE + (Sem.KFUNC,)]


@pytest.mark.parametrize("op", ASKED, ids=lambda op: op.name)
def test_instructions_are_spelled_as_the_kernels_log_does(op: Op) -> None:
    program = sample(op)
    log = kernel.load(program).log
    lines = [line for line in log.splitlines() if line.startswith("0: (")]
    if not lines:
        pytest.skip(f"refused before it is printed: {log.splitlines()[:1]}")

    text = format_kernel(program[0], [*program, EXIT][1], helper_name=helper_name)

    assert lines[0].split(";")[0].rstrip() == f"0: {text}"
