"""Which registers and stack slots still matter, computed once before the walk.

A register or stack slot is live before an instruction if some way from there may read it before it
is overwritten. ``skep.verifier.frame_accesses`` says which slots an instruction may read.

Source: Linux 6.18 kernel/bpf/verifier.c (compute_live_registers).
"""

from typing import Final

from skep.isa.table import Kind, Sem, registers_read, registers_written
from skep.uapi import helpers as helper_table
from skep.verifier.cfg import successors
from skep.verifier.frame_accesses import ALL_SLOTS, FrameAccesses, accesses_of
from skep.verifier.program import Function, Program, Step

ALL_REGISTERS: Final = 0x3FF
ARGUMENT_MASKS: Final = (0x00, 0x02, 0x06, 0x0E, 0x1E, 0x3E)


def compute_liveness(program: Program) -> None:
    """Set ``live`` and ``live_slots`` of every step."""
    for function in program.functions:
        _registers(program, function)
        _slots(program, function)


def _reads(step: Step) -> int:
    if step.fault or step.kind is Kind.LEGACY:
        return ALL_REGISTERS
    used = registers_read(step.op, step.insn)
    if step.sem is Sem.HELPER:
        row = helper_table.by_id(step.imm)
        if row is not None:
            used = ARGUMENT_MASKS[len(row.args)]
    elif step.sem is Sem.KFUNC:
        used = ARGUMENT_MASKS[min(step.arguments, 5)]
    return used


def _registers(program: Program, function: Function) -> None:
    steps = _steps(program, function)
    reads = {step.pc: _reads(step) for step in steps}
    writes = {step.pc: registers_written(step.op, step.insn) for step in steps}
    changed = True
    while changed:
        changed = False
        for step in reversed(steps):
            out = 0
            for pc in successors(step):
                target = program.steps[pc]
                if target is not None:
                    out |= target.live
            live = (out & ~writes[step.pc] | reads[step.pc]) & ALL_REGISTERS
            if live != step.live:
                step.live = live
                changed = True


def _steps(program: Program, function: Function) -> list[Step]:
    found: list[Step] = []
    for pc in range(function.start, function.end):
        step = program.steps[pc]
        if step is not None:
            found.append(step)
    return found


def _slots(program: Program, function: Function) -> None:
    steps = _steps(program, function)
    accesses: FrameAccesses | None = accesses_of(program, function)
    if accesses is None:
        for step in steps:
            step.live_slots = ALL_SLOTS
        return
    changed = True
    while changed:
        changed = False
        for step in reversed(steps):
            out = 0
            for pc in successors(step):
                target = program.steps[pc]
                if target is not None:
                    out |= target.live_slots
            live = out & ~accesses.written.get(step.pc, 0) | accesses.read.get(step.pc, 0)
            if live != step.live_slots:
                step.live_slots = live
                changed = True
