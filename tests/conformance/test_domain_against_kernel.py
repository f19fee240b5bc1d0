"""The scalar domain gives the very bounds that the running kernel's verifier prints.

Random straight-line programs make two unknown numbers, narrow them by jumps, and compute with them.
The kernel prints what it knows after every instruction; ``transfer`` must come to the same text.

As a script: ``python tests/conformance/test_domain_against_kernel.py SEED COUNT``.
"""

import random
import re
import sys
from dataclasses import dataclass, field

import pytest

from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem, op_of
from skep.verifier.notation import scalar_text
from skep.verifier.scalar import UNKNOWN, Scalar, const
from skep.verifier.transfer.alu import TRANSFER
from skep.verifier.transfer.jumps import ALWAYS, NEVER, branch_taken, refine
from support import kernel

ALU_CODES = (0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xA0, 0xC0)
JUMP_CODES = (0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0, 0xB0, 0xC0, 0xD0)
SHIFTS = (0x60, 0x70, 0xC0)
DIVISIONS = (0x30, 0x90)
REGISTERS = (6, 7)
EDGES = (0, 1, 2, 3, 7, 8, 31, 32, 63, 0x7F, 0x80, 0xFF, 0xFFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF)

VALUE = re.compile(r"R(\d+)=((?:scalar\((?:[^()]|\([^)]*\))*\))|\S+)")
LINK = re.compile(r"id=\d+(?:[+-]\d+)?,?")
INSN_LINE = re.compile(r"^(\d+): \([0-9a-f]{2}\) [^;\n]*;(.*)$", re.MULTILINE)
FROM_LINE = re.compile(r"^from (\d+) to (\d+): (R.*)$", re.MULTILINE)


@dataclass
class Expectation:
    """Texts that the kernel should print: after an instruction, and on entry to a landing pad."""

    after: dict[int, dict[int, str]] = field(default_factory=dict)
    entry: dict[tuple[int, int], dict[int, str]] = field(default_factory=dict)


def immediate(rng: random.Random) -> int:
    """A number of 32 bits, signed, more often near an edge than not."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randrange(-(2**31), 2**31)
    if kind == 1:
        return rng.randrange(-64, 64)
    number = rng.choice(EDGES) + rng.choice((-1, 0, 0, 1))
    return max(-(2**31), min(2**31 - 1, rng.choice((number, -number))))


def arithmetic(rng: random.Random) -> Insn:
    """A random ALU instruction on the registers under test."""
    dst, src = rng.sample(REGISTERS, 2)
    wide = rng.choice((0x04, 0x07))
    kind = rng.randrange(12)
    if kind == 0:
        return Insn(0x80 | wide, dst)
    if kind == 1:  # moves onto itself: no two registers get linked
        off = rng.choice((0, 8, 16)) if wide == 0x04 else rng.choice((8, 16, 32))
        return Insn(0xB8 | wide, dst, dst, off)
    if kind == 2:
        return Insn(rng.choice((0xD4, 0xDC, 0xD7)), dst, imm=rng.choice((16, 32, 64)))
    code = rng.choice(ALU_CODES)
    off = rng.randrange(2) if code in DIVISIONS else 0
    if kind < 8:
        imm = immediate(rng)
        if code in SHIFTS:
            imm = rng.randrange(32 if wide == 0x04 else 64)
        return Insn(code | wide, dst, 0, off, imm or 1 if code in DIVISIONS else imm)
    return Insn(code | wide | 0x08, dst, rng.choice((src, src, dst)), off)


def comparison(rng: random.Random) -> Insn:
    """A random conditional jump; its target is filled in later."""
    dst, src = rng.sample(REGISTERS, 2)
    code = rng.choice(JUMP_CODES) | rng.choice((0x05, 0x06))
    if rng.random() < 0.7:
        return Insn(code, dst, imm=immediate(rng))
    return Insn(code | 0x08, dst, src)


def make_program(rng: random.Random) -> list[Insn]:
    """Two unknown numbers, then random steps; every jump has a landing pad of its own."""
    body: list[Insn] = []
    for register in REGISTERS:
        body += [Insn(0x85, imm=5), Insn(0xBF, register, 0)]  # ktime_get_ns: any number
    for register in REGISTERS:
        if rng.random() < 0.3:
            low, high = immediate(rng), rng.choice((0, -1, immediate(rng)))
            body += [Insn(0x18, register, imm=low), Insn(0, imm=high)]
    for _ in range(rng.randrange(3, 14)):
        body.append(comparison(rng) if rng.random() < 0.45 else arithmetic(rng))
    jumps = [pc for pc, insn in enumerate(body) if insn.code & 7 in (5, 6) and insn.code != 0x85]
    pads = len(body) + 2
    for number, pc in enumerate(jumps):
        insn = body[pc]
        off = pads + 2 * number - pc - 1
        body[pc] = Insn(insn.code, insn.dst, insn.src, off, insn.imm)
    return body + [Insn(0xB7), Insn(0x95)] * (1 + len(jumps))


def row(insn: Insn) -> Op:
    """The row of *insn*, which has one."""
    found = op_of(insn)
    assert found is not None
    return found


def operand(insn: Insn, op: Op, regs: dict[int, Scalar]) -> Scalar:
    """Operand two."""
    if op.reg_source:
        return regs[insn.src]
    if op.sem is Sem.MOV and op.bits == 32:
        return const(insn.imm & 0xFFFFFFFF)
    return const(insn.imm)


def texts(regs: dict[int, Scalar]) -> dict[int, str]:
    """What the kernel would print of each register."""
    return {number: scalar_text(value) for number, value in regs.items()}


def simulate(insns: list[Insn]) -> Expectation:
    """Walk the fall-through path, as the kernel does first."""
    expected = Expectation()
    regs = dict.fromkeys(REGISTERS, UNKNOWN)
    pc = 2 * len(REGISTERS)
    while insns[pc].code != 0xB7 or insns[pc].dst != 0:
        insn = insns[pc]
        if insn.code == 0x18:
            regs[insn.dst] = const(insn.imm & 0xFFFFFFFF | insns[pc + 1].imm << 32)
            expected.after[pc] = texts(regs)
            pc += 2
            continue
        op = row(insn)
        x, y = regs[insn.dst], operand(insn, op, regs)
        if op.kind is Kind.JUMP:
            decided = branch_taken(op.sem, x, y, op.bits == 32)
            if decided == ALWAYS:
                break
            if decided != NEVER:
                jump(expected, regs, pc, insn, op, (x, y))
        else:
            regs[insn.dst] = TRANSFER[op.sem](x, y, op.bits == 32)
        expected.after[pc] = texts(regs)
        pc += 1
    return expected


def jump(
    expected: Expectation,
    regs: dict[int, Scalar],
    pc: int,
    insn: Insn,
    op: Op,
    operands: tuple[Scalar, Scalar],
) -> None:
    """Take both ways of an undecided jump."""
    x_true, y_true, x_false, y_false = refine(op.sem, *operands, op.bits == 32)
    taken = dict(regs)
    taken[insn.dst], regs[insn.dst] = x_true, x_false
    if op.reg_source:
        taken[insn.src], regs[insn.src] = y_true, y_false
    expected.entry[pc, pc + 1 + insn.off] = texts(taken)


def printed(text: str) -> dict[int, str]:
    """Registers in a line of the log, without ids and precision marks."""
    found = {}
    for number, value in VALUE.findall(text):
        plain = LINK.sub("", value.removeprefix("P")).replace("Pscalar", "scalar")
        found[int(number)] = "scalar()" if plain == "scalar" else plain
    return found


def differences(insns: list[Insn]) -> list[str]:
    """Places where the kernel knows something else than we do."""
    verdict = kernel.load(insns)
    if verdict.errno:
        return [f"the kernel refuses: {verdict.log[-300:]}"]
    expected = simulate(insns)
    found = []
    for pc, line in INSN_LINE.findall(verdict.log):
        for register, text in printed(line).items():
            want = expected.after.get(int(pc), {}).get(register, text)
            if want != text:
                found.append(
                    f"after {pc} {row(insns[int(pc)]).name} R{register}: ours {want}, kernel {text}"
                )
    for pc, target, line in FROM_LINE.findall(verdict.log):
        theirs = printed(line)
        for register, want in expected.entry.get((int(pc), int(target)), {}).items():
            if want != theirs[register]:
                found.append(
                    f"from {pc} {row(insns[int(pc)]).name} to {target} R{register}: "
                    f"ours {want}, kernel {theirs[register]}"
                )
    return found


@pytest.mark.skipif(bool(kernel.refusal()), reason=kernel.refusal())
@pytest.mark.parametrize("seed", range(8))
def test_bounds_are_those_that_the_kernel_prints(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(40):
        insns = make_program(rng)

        assert differences(insns) == [], kernel.load(insns).log


def main(seed: int, count: int) -> int:
    """Compare *count* programs; print the first few that differ."""
    rng = random.Random(seed)
    bad = 0
    for number in range(count):
        insns = make_program(rng)
        found = differences(insns)
        if found:
            bad += 1
            if bad <= 5:
                print(f"program {number}:", *found, kernel.load(insns).log, sep="\n")
    print(f"{bad} of {count} differ")
    return bad


if __name__ == "__main__":
    raise SystemExit(min(main(int(sys.argv[1]), int(sys.argv[2])), 1))
