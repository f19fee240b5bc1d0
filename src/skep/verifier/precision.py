"""Backtracking: which earlier values does an exact value depend on.

States are pruned by comparing them with earlier ones, and there the range of a scalar counts only
if it mattered for safety. When it does matter, the path is walked backwards, instruction by
instruction, and every checkpoint that held a value the result was made from is marked.

Where the walk meets something it cannot follow, every scalar on the path counts as precise.

Source: Linux 6.18 kernel/bpf/verifier.c (__mark_chain_precision, backtrack_insn).
"""

from typing import Final

from mypy_extensions import i64

from skep.errors import InternalError
from skep.isa.table import Kind, Sem
from skep.verifier.events import Searching, Undone
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
from skep.verifier.slot_sets import slot_bit
from skep.verifier.state import SPILL, Checkpoint, Frame, State, Trace
from skep.verifier.telling import (
    tell_forced,
    tell_marked,
    tell_propagated,
    tell_surrender,
)
from skep.verifier.wanted import CannotFollow, Tale, Wanted

ARGUMENTS: Final = 0x3E
TAIL_CALL: Final = 12

_LOCAL: Final = Sem.LOCAL
_HELPER: Final = Sem.HELPER
_STORE_IMM: Final = Kind.STORE_IMM


def mark_register(
    program: Program, state: State, pc: int, register: int, tale: Tale = None
) -> None:
    """Mark whatever the scalar in *register* of the innermost frame was made from."""
    wanted = Wanted(len(state.frames) - 1, tale)
    wanted.add(register)
    mark(program, state, pc, wanted)


def mark_slot(
    program: Program, state: State, pc: int, frame: int, spi: int, tale: Tale = None
) -> None:
    """Mark whatever the scalar spilled to slot *spi* of frame number *frame* was made from."""
    wanted = Wanted(len(state.frames) - 1, tale)
    wanted.set_slots(frame, slot_bit(spi))
    mark(program, state, pc, wanted)


def propagate(program: Program, old: Checkpoint, state: State, pc: int, tale: Tale = None) -> bool:
    """Mark in *state*'s past what mattered in the equivalent *old*; tell whether that was new."""
    wanted = Wanted(len(state.frames) - 1, tale)
    for frame in range(len(old.state.frames)):
        wanted.set_regs(frame, old.precise_regs[frame])
        wanted.set_slots(frame, old.precise_slots[frame])
    if tale is not None:
        tell_propagated(tale, wanted)
    return mark(program, state, pc, wanted)


def mark(program: Program, state: State, pc: int, wanted: Wanted) -> bool:
    """Walk back from before *pc* until all of *wanted* is found; tell whether a mark was new."""
    if wanted.is_empty():
        return False
    changed = False
    current: State = state
    last = pc
    subsequent = -1
    skip = True
    while True:
        if wanted.tale is not None:
            wanted.tale.append(Searching(wanted.frame, last, current.first_pc, subsequent))
        if last < 0:
            break
        try:
            subsequent = _walk(program, current, last, subsequent, wanted, skip)
        except CannotFollow:
            mark_all(state, wanted.tale)
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
    if not _is_entry(current, wanted):
        mark_all(state, wanted.tale)
        return True
    return changed


def _is_entry(state: State, wanted: Wanted) -> bool:
    """Whether only arguments of a separately verified function are left."""
    return (
        len(state.frames) == 1
        and state.frames[0].subprog > 0
        and wanted.slots_of(0) == 0
        and wanted.regs_of(0) & ~ARGUMENTS == 0
    )


def mark_all(state: State, tale: Tale = None) -> None:
    """Make every scalar of every checkpoint on the path precise."""
    if tale is not None:
        tell_surrender(tale, len(state.frames) - 1)
    parent = state.parent
    while parent is not None:
        for number, frame in enumerate(parent.state.frames):
            regs, slots = _scalar_registers(frame, -1), _scalar_slots(frame, -1)
            if tale is not None:
                tell_forced(tale, parent, number, regs, slots)
            parent.precise_regs[number] |= regs
            parent.precise_slots[number] |= slots
        parent = parent.state.parent


def _scalar_registers(frame: Frame, wanted: i64) -> i64:
    """Those of the registers *wanted* that hold a scalar."""
    found: i64 = 0
    for register in range(10):
        if wanted >> register & 1 and isinstance(frame.regs[register], Scalar):
            found |= slot_bit(register)
    return found


def _scalar_slots(frame: Frame, wanted: i64) -> i64:
    """Those of the slots *wanted* that hold a scalar."""
    found: i64 = 0
    for spi, slot in enumerate(frame.stack):
        if wanted >> spi == 0:
            break
        if wanted >> spi & 1 and isinstance(slot.value, Scalar) and slot.types[0] == SPILL:
            found |= slot_bit(spi)
    return found


def _mark_checkpoint(checkpoint: Checkpoint, wanted: Wanted) -> bool:
    """Mark what is looked for in *checkpoint*; what is marked there already is found."""
    changed = False
    for number in range(wanted.frame + 1):
        frame = checkpoint.state.frames[number]
        regs = wanted.regs_of(number)
        if regs != 0:
            marked: i64 = checkpoint.precise_regs[number]
            regs = _scalar_registers(frame, regs & ~marked)
            checkpoint.precise_regs[number] = marked | regs
            wanted.set_regs(number, regs)
        slots = wanted.slots_of(number)
        if slots != 0:
            known: i64 = checkpoint.precise_slots[number]
            slots = _scalar_slots(frame, slots & ~known)
            checkpoint.precise_slots[number] = known | slots
            wanted.set_slots(number, slots)
        changed = changed or regs != 0 or slots != 0
    if wanted.tale is not None:
        tell_marked(wanted.tale, checkpoint, wanted)
    return changed


# --- one segment of a path --------------------------------------------------------------------


def _walk(
    program: Program, state: State, last: int, subsequent: int, wanted: Wanted, skip: bool
) -> int:
    """Walk back from *last* to the state's first instruction; returns the last one visited."""
    trace = state.trace
    steps = program.steps
    first = state.first_pc
    pc = last
    while True:
        here = trace if trace is not None and trace.pc == pc else None
        step = steps[pc]
        if step is None:
            raise InternalError(f"backtracking reached slot {pc}")
        if wanted.tale is not None and not skip:
            wanted.tale.append(Undone(wanted.frame, wanted.regs, wanted.slots, pc))
        if skip:
            skip = False
        elif not _passes(step, here, wanted):
            _undo(program, step, subsequent, here, wanted)
            if wanted.is_empty():
                return pc
        subsequent = pc
        if pc == first and (trace is None or (trace.before is None and trace.pc == pc)):
            return pc
        if here is not None:
            pc = here.previous_pc
            trace = here.before
        else:
            pc = step.previous
        if pc < 0:
            return subsequent


def _passes(step: Step, trace: Trace | None, wanted: Wanted) -> bool:
    """Whether *step* made nothing that is looked for, and links nothing."""
    if step.origin > FROM_MEMORY:
        return False
    if wanted.regs >> step.made & 1:
        return False
    return trace is None or not trace.linked


def _sync_linked(trace: Trace, wanted: Wanted) -> None:
    """If one of several linked scalars is looked for, all of them are."""
    if not trace.linked:
        return
    hit = False
    for packed in trace.linked:
        frame, index = packed >> 8, (packed & 0xFF) >> 1
        if frame > wanted.frame:
            continue
        mask = wanted.slots_of(frame) if packed & 1 else wanted.regs_of(frame)
        hit = hit or mask >> index & 1 == 1
    if not hit:
        return
    for packed in trace.linked:
        frame, index = packed >> 8, (packed & 0xFF) >> 1
        if frame > wanted.frame:
            continue
        if packed & 1:
            wanted.set_slots(frame, wanted.slots_of(frame) | slot_bit(index))
        elif index != 10:
            wanted.set_regs(frame, wanted.regs_of(frame) | slot_bit(index))


def _undo(
    program: Program, step: Step, subsequent: int, trace: Trace | None, wanted: Wanted
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
            raise CannotFollow
        if subsequent != step.next_pc:
            wanted.enter()


def _undo_arithmetic(step: Step, origin: int, wanted: Wanted) -> None:
    if origin == FROM_NOTHING or not wanted.has(step.dst):
        return
    if origin != FROM_BOTH:
        wanted.drop(step.dst)
    if origin != FROM_CONSTANT:
        wanted.add(step.src)


def _undo_load(step: Step, trace: Trace | None, wanted: Wanted) -> None:
    if not wanted.has(step.made):
        return
    wanted.drop(step.made)
    if trace is not None and trace.spi >= 0:
        frame = trace.stack_frame
        wanted.set_slots(frame, wanted.slots_of(frame) | slot_bit(trace.spi))


def _undo_store(step: Step, trace: Trace | None, wanted: Wanted) -> None:
    if wanted.has(step.dst):
        raise CannotFollow  # a scalar is no address: pointers were subtracted
    if trace is None or trace.spi < 0:
        return
    frame = trace.stack_frame
    slots = wanted.slots_of(frame)
    if slots >> trace.spi & 1 == 0:
        return
    wanted.set_slots(frame, slots & ~slot_bit(trace.spi))
    if step.kind is not _STORE_IMM:
        wanted.add(step.src)


def _undo_call(program: Program, step: Step, subsequent: int, wanted: Wanted) -> None:
    if step.sem is _LOCAL:
        _undo_local_call(program, step, wanted)
        return
    if step.calls_callback and subsequent != step.next_pc:
        # from the first instruction of the callback back to the call: r1 to r5 came from it
        if wanted.regs & ~ARGUMENTS or wanted.slots:
            raise CannotFollow
        wanted.regs = 0
        wanted.leave()
        return
    wanted.drop(0)
    if wanted.regs & ARGUMENTS:
        raise CannotFollow
    if step.sem is _HELPER and step.imm == TAIL_CALL and subsequent != step.next_pc:
        wanted.enter()


def _undo_local_call(program: Program, step: Step, wanted: Wanted) -> None:
    callee = program.function_at[step.target]
    if callee.is_global:
        if wanted.regs & ARGUMENTS:
            raise CannotFollow
        wanted.drop(0)
        return
    regs = wanted.regs
    if regs & ~ARGUMENTS or wanted.slots:
        raise CannotFollow
    wanted.regs = 0
    wanted.leave()
    wanted.regs |= regs


def _undo_exit(program: Program, subsequent: int, wanted: Wanted) -> None:
    call = _step_before(program, subsequent)
    returned = call is not None and call.sem is _LOCAL
    wants_result = returned and wanted.has(0)
    if returned and wanted.regs & ARGUMENTS:
        raise CannotFollow
    wanted.drop(0)
    wanted.enter()
    if wants_result:
        wanted.add(0)


def _step_before(program: Program, pc: int) -> Step | None:
    step = program.steps[pc] if pc > 0 else None
    return program.steps[step.previous] if step is not None else None


def _undo_jump(step: Step, trace: Trace | None, wanted: Wanted) -> None:
    if step.reg_source and (wanted.has(step.dst) or wanted.has(step.src)):
        wanted.add(step.dst)
        wanted.add(step.src)
        if trace is not None:
            _sync_linked(trace, wanted)
