"""Backtracking: which earlier values does an exact value depend on.

States are pruned by comparing them with earlier ones, and there the range of a scalar counts only
if it mattered for safety. When it does matter, the path is walked backwards, instruction by
instruction, and every checkpoint that held a value the result was made from is marked.

Where the walk meets something it cannot follow, every scalar on the path counts as precise.

Source: Linux 6.18 kernel/bpf/verifier.c (__mark_chain_precision, backtrack_insn).
"""

from typing import Final

from skep.errors import InternalError
from skep.isa.table import Kind, Sem
from skep.verifier.program import (
    CALLS,
    COMPARES,
    FROM_BOTH,
    FROM_CONSTANT,
    FROM_MEMORY,
    FROM_NOTHING,
    LEAVES,
    TO_MEMORY,
    Program,
    Step,
)
from skep.verifier.scalar import Scalar
from skep.verifier.state import SPILL, Checkpoint, Frame, State, Trace

ARGUMENTS: Final = 0x3E
TAIL_CALL: Final = 12


class _CannotFollow(Exception):  # noqa: N818 - not an error
    """The walk met something that breaks the chain."""


class _Wanted:
    """Registers and stack slots whose origin is looked for, as bit sets by frame."""

    def __init__(self, frame: int) -> None:
        self.frame = frame
        self.regs: list[int] = [0] * (frame + 1)
        self.slots: list[int] = [0] * (frame + 1)

    def is_empty(self) -> bool:
        """Whether nothing is looked for any more."""
        return not any(self.regs[frame] | self.slots[frame] for frame in range(self.frame + 1))

    def enter(self) -> None:
        """Walk backwards into a function that has returned."""
        self.frame += 1
        self.regs.append(0)
        self.slots.append(0)

    def leave(self) -> None:
        """Walk backwards out of a function, through its call."""
        if self.frame == 0:
            raise InternalError("backtracking leaves the main program")
        if self.regs.pop() or self.slots.pop():
            raise _CannotFollow
        self.frame -= 1

    def has(self, register: int) -> bool:
        """Whether *register* of the current frame is looked for."""
        return self.regs[self.frame] >> register & 1 == 1

    def add(self, register: int) -> None:
        """Look for *register* of the current frame; r10 needs no looking for."""
        if register != 10:
            self.regs[self.frame] |= 1 << register

    def drop(self, register: int) -> None:
        """*register* of the current frame was found."""
        self.regs[self.frame] &= ~(1 << register)


def mark_register(program: Program, state: State, pc: int, register: int) -> None:
    """Mark whatever the scalar in *register* of the innermost frame was made from."""
    wanted = _Wanted(len(state.frames) - 1)
    wanted.add(register)
    mark(program, state, pc, wanted)


def mark_slot(program: Program, state: State, pc: int, frame: int, spi: int) -> None:
    """Mark whatever the scalar spilled to slot *spi* of frame number *frame* was made from."""
    wanted = _Wanted(len(state.frames) - 1)
    wanted.slots[frame] |= 1 << spi
    mark(program, state, pc, wanted)


def propagate(program: Program, old: Checkpoint, state: State, pc: int) -> bool:
    """Mark in *state*'s past what mattered in the equivalent *old*; tell whether that was new."""
    wanted = _Wanted(len(state.frames) - 1)
    for frame in range(len(old.state.frames)):
        wanted.regs[frame] = old.precise_regs[frame]
        wanted.slots[frame] = old.precise_slots[frame]
    return mark(program, state, pc, wanted)


def mark(program: Program, state: State, pc: int, wanted: _Wanted) -> bool:
    """Walk back from before *pc* until all of *wanted* is found; tell whether a mark was new."""
    if wanted.is_empty():
        return False
    changed = False
    current: State = state
    last = pc
    subsequent = -1
    skip = True
    while True:
        try:
            subsequent = _walk(program, current, last, subsequent, wanted, skip)
        except _CannotFollow:
            mark_all(state)
            return True
        skip = False
        if wanted.is_empty():
            return changed
        parent = current.parent
        if parent is None:
            break
        changed = _mark_checkpoint(parent, wanted) or changed
        if wanted.is_empty():
            return changed
        subsequent = current.first_pc
        current = parent.state
        last = current.last_pc
        if last < 0:
            break
    if not _is_entry(current, wanted):
        mark_all(state)
        return True
    return changed


def _is_entry(state: State, wanted: _Wanted) -> bool:
    """Whether only arguments of a separately verified function are left."""
    return (
        len(state.frames) == 1
        and state.frames[0].subprog > 0
        and wanted.slots[0] == 0
        and wanted.regs[0] & ~ARGUMENTS == 0
    )


def mark_all(state: State) -> None:
    """Make every scalar of every checkpoint on the path precise."""
    parent = state.parent
    while parent is not None:
        for number, frame in enumerate(parent.state.frames):
            parent.precise_regs[number] |= _scalar_registers(frame)
            parent.precise_slots[number] |= _scalar_slots(frame)
        parent = parent.state.parent


def _scalar_registers(frame: Frame) -> int:
    found = 0
    for register in range(10):
        if isinstance(frame.regs[register], Scalar):
            found |= 1 << register
    return found


def _scalar_slots(frame: Frame) -> int:
    found = 0
    for spi, slot in enumerate(frame.stack):
        if slot.types[0] == SPILL and isinstance(slot.value, Scalar):
            found |= 1 << spi
    return found


def _mark_checkpoint(checkpoint: Checkpoint, wanted: _Wanted) -> bool:
    """Mark what is looked for in *checkpoint*; what is marked there already is found."""
    changed = False
    for number in range(wanted.frame + 1):
        frame = checkpoint.state.frames[number]
        regs = wanted.regs[number]
        if regs:
            regs &= _scalar_registers(frame) & ~checkpoint.precise_regs[number]
            checkpoint.precise_regs[number] |= regs
            wanted.regs[number] = regs
        slots = wanted.slots[number]
        if slots:
            slots &= _scalar_slots(frame) & ~checkpoint.precise_slots[number]
            checkpoint.precise_slots[number] |= slots
            wanted.slots[number] = slots
        changed = changed or regs != 0 or slots != 0
    return changed


# --- one segment of a path --------------------------------------------------------------------


def _walk(
    program: Program, state: State, last: int, subsequent: int, wanted: _Wanted, skip: bool
) -> int:
    """Walk back from *last* to the state's first instruction; returns the last one visited."""
    trace = state.trace
    pc = last
    while True:
        here = trace if trace is not None and trace.pc == pc else None
        if skip:
            skip = False
        else:
            step = program.steps[pc]
            if step is None:
                raise InternalError(f"backtracking reached slot {pc}")
            _undo(program, step, subsequent, here, wanted)
            if wanted.is_empty():
                return pc
        subsequent = pc
        if pc == state.first_pc and (trace is None or (trace.before is None and trace.pc == pc)):
            return pc
        if here is not None:
            pc = here.previous_pc
            trace = here.before
        else:
            pc = _previous(program, pc)
        if pc < 0:
            return subsequent


def _previous(program: Program, pc: int) -> int:
    """The slot of the instruction that ends right before *pc*."""
    pc -= 1
    if pc > 0 and program.steps[pc] is None:
        pc -= 1
    return pc


def _sync_linked(trace: Trace, wanted: _Wanted) -> None:
    """If one of several linked scalars is looked for, all of them are."""
    if not trace.linked:
        return
    hit = False
    for packed in trace.linked:
        frame, index = packed >> 8, (packed & 0xFF) >> 1
        if frame > wanted.frame:
            continue
        mask = wanted.slots[frame] if packed & 1 else wanted.regs[frame]
        hit = hit or mask >> index & 1 == 1
    if not hit:
        return
    for packed in trace.linked:
        frame, index = packed >> 8, (packed & 0xFF) >> 1
        if frame > wanted.frame:
            continue
        if packed & 1:
            wanted.slots[frame] |= 1 << index
        elif index != 10:
            wanted.regs[frame] |= 1 << index


def _undo(
    program: Program, step: Step, subsequent: int, trace: Trace | None, wanted: _Wanted
) -> None:
    """Replace what *step* produced by what it was produced from."""
    if trace is not None:
        _sync_linked(trace, wanted)
    origin = step.origin
    if origin <= FROM_BOTH:
        _undo_arithmetic(step, origin, wanted)
    elif origin == FROM_MEMORY:
        _undo_load(step, trace, wanted)
    elif origin == TO_MEMORY:
        _undo_store(step, trace, wanted)
    elif origin == COMPARES:
        _undo_jump(step, trace, wanted)
    elif origin == CALLS:
        _undo_call(program, step, subsequent, wanted)
    elif origin == LEAVES:
        _undo_exit(program, subsequent, wanted)
    else:
        if wanted.has(0):
            raise _CannotFollow
        if subsequent != step.next_pc:
            wanted.enter()


def _undo_arithmetic(step: Step, origin: int, wanted: _Wanted) -> None:
    if origin == FROM_NOTHING or not wanted.has(step.dst):
        return
    if origin != FROM_BOTH:
        wanted.drop(step.dst)
    if origin != FROM_CONSTANT:
        wanted.add(step.src)


def _undo_load(step: Step, trace: Trace | None, wanted: _Wanted) -> None:
    register = step.dst
    if step.op.fetch:
        register = 0 if step.sem is Sem.CMPXCHG else step.src
    if not wanted.has(register):
        return
    wanted.drop(register)
    if trace is not None and trace.spi >= 0:
        wanted.slots[trace.stack_frame] |= 1 << trace.spi


def _undo_store(step: Step, trace: Trace | None, wanted: _Wanted) -> None:
    if wanted.has(step.dst):
        raise _CannotFollow  # a scalar is no address: pointers were subtracted
    if trace is None or trace.spi < 0:
        return
    bit = 1 << trace.spi
    if not wanted.slots[trace.stack_frame] & bit:
        return
    wanted.slots[trace.stack_frame] &= ~bit
    if step.kind is not Kind.STORE_IMM:
        wanted.add(step.src)


def _undo_call(program: Program, step: Step, subsequent: int, wanted: _Wanted) -> None:
    if step.sem is Sem.LOCAL:
        _undo_local_call(program, step, wanted)
        return
    if step.calls_callback and subsequent != step.next_pc:
        # from the first instruction of the callback back to the call: r1 to r5 came from it
        regs = wanted.regs[wanted.frame] & ~ARGUMENTS
        if regs or wanted.slots[wanted.frame]:
            raise _CannotFollow
        wanted.regs[wanted.frame] = 0
        wanted.leave()
        return
    wanted.drop(0)
    if wanted.regs[wanted.frame] & ARGUMENTS:
        raise _CannotFollow
    if step.sem is Sem.HELPER and step.imm == TAIL_CALL and subsequent != step.next_pc:
        wanted.enter()


def _undo_local_call(program: Program, step: Step, wanted: _Wanted) -> None:
    callee = program.function_at[step.target]
    if callee.is_global:
        if wanted.regs[wanted.frame] & ARGUMENTS:
            raise _CannotFollow
        wanted.drop(0)
        return
    regs = wanted.regs[wanted.frame]
    if regs & ~ARGUMENTS or wanted.slots[wanted.frame]:
        raise _CannotFollow
    wanted.regs[wanted.frame] = 0
    wanted.leave()
    wanted.regs[wanted.frame] |= regs


def _undo_exit(program: Program, subsequent: int, wanted: _Wanted) -> None:
    call = program.steps[_previous(program, subsequent)] if subsequent > 0 else None
    returned = call is not None and call.sem is Sem.LOCAL
    wants_result = returned and wanted.has(0)
    if returned and wanted.regs[wanted.frame] & ARGUMENTS:
        raise _CannotFollow
    wanted.drop(0)
    wanted.enter()
    if wants_result:
        wanted.add(0)


def _undo_jump(step: Step, trace: Trace | None, wanted: _Wanted) -> None:
    if step.reg_source and (wanted.has(step.dst) or wanted.has(step.src)):
        wanted.add(step.dst)
        wanted.add(step.src)
        if trace is not None:
            _sync_linked(trace, wanted)
