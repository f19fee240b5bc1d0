"""Which registers still matter, before the walk; ``skep.verifier.slot_marks`` says it of the stack.

A register is live before an instruction if some way from there may read it before it is
overwritten.

Source: Linux 6.18 kernel/bpf/verifier.c (compute_live_registers).
"""

from typing import Final

from mypy_extensions import i64

from skep.isa.table import Kind, Sem
from skep.uapi import helpers as helper_table
from skep.verifier.program import Function, Program, Step, registers_set

ALL_REGISTERS: Final = 0x3FF
ARGUMENT_MASKS: Final = (0x00, 0x02, 0x06, 0x0E, 0x1E, 0x3E)

_CALL: Final = Kind.CALL
_LEGACY: Final = Kind.LEGACY
_HELPER: Final = Sem.HELPER
_KFUNC: Final = Sem.KFUNC


def compute_liveness(program: Program, program_type: int) -> None:
    """Set ``live`` of every step, and note where jumps lead.

    What a helper takes may depend on *program_type*, the id of a program type.
    """
    for function in program.functions:
        steps = _steps(program, function)
        loops = _goes_back(steps)
        _registers(program, steps, loops, program_type)
        _note_jumps(program, steps)
    program.has_liveness = True


def _steps(program: Program, function: Function) -> list[Step]:
    """Steps of *function*, the last one first."""
    found: list[Step] = []
    for pc in range(function.end - 1, function.start - 1, -1):
        step = program.steps[pc]
        if step is not None:
            found.append(step)
    return found


def _goes_back(steps: list[Step]) -> bool:
    """Whether a jump leads backwards; else one sweep from the end sees all."""
    for step in steps:  # noqa: SIM110 - any() is slow
        if step.jumps and step.target <= step.pc:
            return True
    return False


# --- registers --------------------------------------------------------------------------------


def _reads(step: Step, program_type: int) -> int:
    if step.kind is _LEGACY:
        return ALL_REGISTERS
    facts = step.facts
    used = facts.reads
    if facts.reads_dst:
        used |= 1 << step.dst
    if facts.reads_src:
        used |= 1 << step.src
    if step.kind is _CALL:
        if step.sem is _HELPER:
            helper = helper_table.prototype(step.imm, program_type)
            used = ARGUMENT_MASKS[len(helper.args) if helper is not None else 5]
        elif step.sem is _KFUNC:
            used = ARGUMENT_MASKS[min(step.arguments, 5)]
    return used


def _registers(program: Program, steps: list[Step], loops: bool, program_type: int) -> None:
    if not loops:
        for step in steps:
            after: i64 = _live_after(program, step) & ~registers_set(step)
            step.live = (after | _reads(step, program_type)) & ALL_REGISTERS
        return
    for step in steps:
        step.reads = _reads(step, program_type)
        step.kept = ~registers_set(step)
    changed = True
    while changed:
        changed = False
        for step in steps:
            live = ((_live_after(program, step) & step.kept) | step.reads) & ALL_REGISTERS
            if live != step.live:
                step.live = live
                changed = True


def _live_after(program: Program, step: Step) -> i64:
    out: i64 = 0
    if step.falls:
        following = program.steps[step.next_pc]
        if following is not None:
            out = following.live
    if step.jumps:
        target = program.steps[step.target]
        if target is not None:
            out |= target.live
    return out


def _note_jumps(program: Program, steps: list[Step]) -> None:
    for step in steps:
        if step.jumps:
            program.jumps_to.setdefault(step.target, []).append(step.pc)
