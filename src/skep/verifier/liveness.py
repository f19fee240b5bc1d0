"""Which registers and stack slots still matter, computed once before the walk.

A register is live before an instruction if some way from there reads it before writing it. A stack
slot is live if some way may read it through a pointer derived from r10; where such a pointer leaves
what can be followed (it is stored, passed to a subprogram or a callback, moved by an unknown
amount), every slot counts as live.

Source: Linux 6.18 kernel/bpf/verifier.c (compute_live_registers). The analysis of the stack is our
own; it is path-insensitive like kernel/bpf/liveness.c, and static.
"""

from typing import Final

from skep.isa.table import MAX_REGISTER, Kind, Sem, registers_read, registers_written
from skep.uapi import helpers as helper_table
from skep.verifier.cfg import successors
from skep.verifier.program import Function, Program, Step

ALL_REGISTERS: Final = 0x3FF
ALL_SLOTS: Final = (1 << 64) - 1
ARGUMENT_MASKS: Final = (0x00, 0x02, 0x06, 0x0E, 0x1E, 0x3E)

_ELSEWHERE: Final = 1  # not derived from r10; offsets of r10 are never positive
_SOMEWHERE: Final = 2  # derived from r10, offset unknown


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


# --- stack slots ------------------------------------------------------------------------------


def _slots(program: Program, function: Function) -> None:
    steps = _steps(program, function)
    known = _follow_pointers(program, function)
    if known is None:
        for step in steps:
            step.live_slots = ALL_SLOTS
        return
    reads: dict[int, int] = {}
    kills: dict[int, int] = {}
    for step in steps:
        registers = known.get(step.pc) if not step.fault else None
        reads[step.pc] = _slots_read(step, registers) if registers is not None else 0
        kills[step.pc] = _slots_written(step, registers) if registers is not None else 0
    changed = True
    while changed:
        changed = False
        for step in reversed(steps):
            out = 0
            for pc in successors(step):
                target = program.steps[pc]
                if target is not None:
                    out |= target.live_slots
            live = out & ~kills[step.pc] | reads[step.pc]
            if live != step.live_slots:
                step.live_slots = live
                changed = True


def _follow_pointers(program: Program, function: Function) -> dict[int, list[int]] | None:
    """Where each register points, before each step; None if a stack pointer escapes."""
    entry = [_ELSEWHERE] * (MAX_REGISTER + 1)
    entry[MAX_REGISTER] = 0
    known: dict[int, list[int]] = {function.start: entry}
    work = [function.start]
    while work:
        pc = work.pop()
        step = program.steps[pc]
        if step is None or step.fault:
            continue
        registers = known[pc].copy()
        if _escapes(step, registers):
            return None
        _advance(step, registers)
        for target in successors(step):
            before = known.get(target)
            merged = registers.copy() if before is None else _merge(before, registers)
            if before is None or merged != before:
                known[target] = merged
                work.append(target)
    return known


def _merge(x: list[int], y: list[int]) -> list[int]:
    return [a if a == b else _SOMEWHERE for a, b in zip(x, y, strict=True)]


def _escapes(step: Step, registers: list[int]) -> bool:
    """Whether a stack pointer goes where it cannot be followed."""
    kind = step.kind
    if kind is Kind.STORE_REG or kind is Kind.ATOMIC:
        return step.sem is not Sem.LOAD_ACQUIRE and registers[step.src] != _ELSEWHERE
    if kind is Kind.CALL and (step.sem is Sem.LOCAL or step.calls_callback):
        return any(registers[number] != _ELSEWHERE for number in range(1, 6))
    return False


def _advance(step: Step, registers: list[int]) -> None:
    kind = step.kind
    if (kind is Kind.ALU and registers[step.dst] != _ELSEWHERE) or step.sem is Sem.MOV:
        registers[step.dst] = _arithmetic(step, registers)
        return
    if kind is Kind.ALU or kind is Kind.ADDR_SPACE_CAST:
        source = registers[step.src] if step.reg_source else _ELSEWHERE
        registers[step.dst] = _ELSEWHERE if source == _ELSEWHERE else _SOMEWHERE
        return
    written = registers_written(step.op, step.insn)
    for number in range(MAX_REGISTER):
        if written >> number & 1:
            registers[number] = _ELSEWHERE


def _arithmetic(step: Step, registers: list[int]) -> int:
    if step.sem is Sem.MOV and not step.reg_source:
        return _ELSEWHERE
    if step.sem is Sem.MOV:
        source = registers[step.src]
        return source if step.wide or source == _ELSEWHERE else _SOMEWHERE
    target = registers[step.dst]
    if target == _SOMEWHERE or step.reg_source or not step.wide:
        return _SOMEWHERE
    if step.sem is Sem.ADD:
        target += step.imm
    elif step.sem is Sem.SUB:
        target -= step.imm
    else:
        return _SOMEWHERE
    return target if -512 <= target <= 0 else _SOMEWHERE


def _slots_read(step: Step, registers: list[int]) -> int:
    kind = step.kind
    if kind is Kind.CALL:
        read = 0
        for number in range(1, 6):
            if registers[number] != _ELSEWHERE:
                read |= _from(registers[number])
        return read
    if kind is Kind.LOAD or kind is Kind.LOAD_SX or step.sem is Sem.LOAD_ACQUIRE:
        return _range(registers[step.src], step.off, step.size)
    if kind is Kind.ATOMIC:
        return _range(registers[step.dst], step.off, step.size)
    return 0


def _slots_written(step: Step, registers: list[int]) -> int:
    target = registers[step.dst]
    if step.kind not in (Kind.STORE_REG, Kind.STORE_IMM) or step.size != 8:
        return 0
    off = target + step.off
    if target in (_ELSEWHERE, _SOMEWHERE) or off % 8 or not -512 <= off < 0:
        return 0
    return 1 << (-off // 8 - 1)


def _from(off: int) -> int:
    """Slots at *off* and above it."""
    if off == _SOMEWHERE:
        return ALL_SLOTS
    return (1 << ((-off + 7) // 8)) - 1


def _range(register: int, off: int, size: int) -> int:
    if register == _ELSEWHERE:
        return 0
    if register == _SOMEWHERE:
        return ALL_SLOTS
    low = register + off
    high = low + size
    if not low >= -512 or high > 0:
        return ALL_SLOTS
    return ((1 << ((-low + 7) // 8)) - 1) & ~((1 << (-high // 8)) - 1)
