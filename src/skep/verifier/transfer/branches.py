"""Conditional jumps: which ways are possible, and what each teaches.

Source: Linux 6.18 kernel/bpf/verifier.c (check_cond_jmp_op, collect_linked_regs, sync_linked_regs).
"""

from typing import Final

from mypy_extensions import i64

from skep.isa.table import Kind
from skep.verifier.check import Check
from skep.verifier.program import Step
from skep.verifier.scalar import Scalar
from skep.verifier.state import SPILL, Frame, Slot, State
from skep.verifier.transfer.jumps import refined, refined_by
from skep.verifier.transfer.links import follow
from skep.verifier.transfer.nulls import (
    learn_from_pointers,
    pointer_branch_taken,
    require_comparable,
)
from skep.verifier.transfer.packets import is_packet_pointer
from skep.verifier.values import Value
from skep.verifier.widening import previous_round, widen

MAX_LINKED: Final = 6


def jump(check: Check, step: Step) -> None:
    """Examine an instruction of Kind.JUMP."""
    x = check.read(step.dst)
    y: Value = step.number
    if step.reg_source:
        y = check.read(step.src)
        if not check.privileged and not (is_packet_pointer(x) and is_packet_pointer(y)):
            require_comparable(check, step.src, y)
    taken = _decide(check, step, x, y)
    if taken >= 0:
        if taken == 1:
            check.next_pc = step.target
        return
    linked = _collect(check, x, y)
    if len(linked) > 1:
        check.record().linked = tuple(linked)
    there = check.push_branch(step.target)
    if isinstance(x, Scalar) and isinstance(y, Scalar):
        _learn(check, step, there, linked)
    else:
        learn_from_pointers(check, step, there, x, y)


def _decide(check: Check, step: Step, x: Value, y: Value) -> int:
    """1 if the jump is always taken, 0 if never, -1 if both ways are possible."""
    if isinstance(x, Scalar) and isinstance(y, Scalar):
        assert step.decide is not None
        taken = step.decide(x, y, not step.wide)
    else:
        taken = pointer_branch_taken(step, x, y)
    if taken >= 0:
        if isinstance(x, Scalar):
            check.mark_precise(step.dst)
        if step.reg_source and isinstance(y, Scalar):
            check.mark_precise(step.src)
    return taken


def _learn(check: Check, step: Step, there: State, linked: list[int]) -> None:
    x = check.frame.regs[step.dst]
    y: Value | None = check.frame.regs[step.src] if step.reg_source else step.number
    if not isinstance(x, Scalar) or not isinstance(y, Scalar):
        return
    assert step.holds is not None
    assert step.fails is not None
    is32 = not step.wide
    here = check.frame
    other = there.own(len(there.frames) - 1)
    if step.reg_source:
        x_true, y_true = refined(step.holds, x, y, is32)
        x_false, y_false = refined(step.fails, x, y, is32)
        here.regs[step.src], other.regs[step.src] = y_false, y_true
        here.regs[step.dst], other.regs[step.dst] = x_false, x_true
        if linked and y.id != 0:
            _sync(check.state, y_false, step.src, linked)
            _sync(there, y_true, step.src, linked)
    else:
        other.regs[step.dst] = refined_by(step.holds, x, y, is32)
        here.regs[step.dst] = refined_by(step.fails, x, y, is32)
    if not linked:
        return
    if x.id != 0:
        _sync(check.state, _current(here, step.dst), step.dst, linked)
        _sync(there, _current(other, step.dst), step.dst, linked)
    check.frame = check.state.own(len(check.state.frames) - 1)


def _current(frame: Frame, register: int) -> Scalar:
    value = frame.regs[register]
    assert isinstance(value, Scalar)
    return value


# --- linked scalars ---------------------------------------------------------------------------


def _collect(check: Check, x: Value, y: Value) -> list[int]:
    """Where scalars with the id of *x* or *y* stand, packed as ``Trace.linked`` has it."""
    linked: list[int] = []
    if isinstance(y, Scalar) and y.id != 0:
        _collect_id(check, int(y.id), linked)
    if isinstance(x, Scalar) and x.id != 0:
        _collect_id(check, int(x.id), linked)
    return linked


def _collect_id(check: Check, wanted: int, linked: list[int]) -> None:
    """Note where *wanted* stands: in any slot, and in the registers that will be read again."""
    state = check.state
    pc: int = check.pc
    for number in range(len(state.frames) - 1, -1, -1):
        frame = state.frames[number]
        step = check.program.steps[pc]
        live: i64 = -1 if step is None else step.live
        pc = frame.callsite
        for register in range(10):
            if live >> register & 1 == 0:
                continue
            value = frame.regs[register]
            if not isinstance(value, Scalar) or value.id != wanted:
                continue
            if not _note(linked, number << 8 | register << 1):
                frame = state.own(number)
                frame.regs[register] = value.without_id()
        for spi in range(len(frame.stack)):
            slot = frame.stack[spi]
            spilled = slot.value
            if slot.types[0] != SPILL or not isinstance(spilled, Scalar) or spilled.id != wanted:
                continue
            if not _note(linked, number << 8 | spi << 1 | 1):
                frame = state.own(number)
                frame.stack[spi] = Slot(slot.types, spilled.without_id())


def _note(linked: list[int], packed: int) -> bool:
    if packed in linked:
        return True
    if len(linked) >= MAX_LINKED:
        return False
    linked.append(packed)
    return True


def _sync(state: State, known: Scalar, register: int, linked: list[int]) -> None:
    """Carry what was learnt of *known*, in *register* of the top frame, to its links."""
    top = len(state.frames) - 1
    for packed in linked:
        number, index = packed >> 8, (packed & 0xFF) >> 1
        frame = state.frames[number]
        if packed & 1:
            slot = frame.stack[index]
            value: Value | None = slot.value
            if isinstance(value, Scalar) and value.id == known.id:
                state.own(number).stack[index] = Slot(slot.types, follow(known, value))
        elif number != top or index != register:
            value = frame.regs[index]
            if isinstance(value, Scalar) and value.id == known.id:
                state.own(number).regs[index] = follow(known, value)


# --- may_goto ---------------------------------------------------------------------------------


def may_goto(check: Check, step: Step) -> None:
    """Examine an instruction of Kind.MAY_GOTO: at some round it jumps."""
    assert step.kind is Kind.MAY_GOTO
    before = previous_round(check.state, step.pc)
    queued = check.push_branch(step.next_pc)
    queued.may_goto_depth += 1
    if before is not None:
        widen(before, queued)
    check.next_pc = step.target
