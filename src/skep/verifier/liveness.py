"""Which registers and stack slots still matter: those before the walk, these while it goes on.

A register or stack slot is live before an instruction if some way from there may read it before it
is overwritten. ``skep.verifier.frame_accesses`` says which slots an instruction may read. For slots
only instructions count that have been walked: a remembered state is compared with others once all
ways from it have been, so what it has not come to cannot matter to it.

Source: Linux 6.18 kernel/bpf/verifier.c (compute_live_registers).
"""

from typing import Final

from mypy_extensions import i64

from skep.isa.table import MAX_REGISTER, Kind, Sem
from skep.uapi import helpers as helper_table
from skep.verifier.frame_accesses import FrameAccesses, accesses_of
from skep.verifier.program import FACTS, Function, Program, Step, registers_set
from skep.verifier.slot_sets import ALL_SLOTS

ALL_REGISTERS: Final = 0x3FF
ARGUMENT_MASKS: Final = (0x00, 0x02, 0x06, 0x0E, 0x1E, 0x3E)

_READ_BY_HELPER: Final[dict[int, int]] = {
    row.id: ARGUMENT_MASKS[len(row.args)] for row in helper_table.HELPERS
}
_CALL: Final = Kind.CALL
_LEGACY: Final = Kind.LEGACY
_HELPER: Final = Sem.HELPER
_KFUNC: Final = Sem.KFUNC


def compute_liveness(program: Program) -> None:
    """Set ``live`` of every step, and what it does to the stack."""
    for function in program.functions:
        steps = _steps(program, function)
        loops = _goes_back(steps)
        _registers(program, steps, loops)
        _slots(program, function, steps)
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


def _reads(step: Step) -> int:
    if step.fault or step.kind is _LEGACY:
        return ALL_REGISTERS
    facts = FACTS[step.op.name]
    used = facts.reads
    if facts.reads_dst:
        used |= 1 << step.dst
    if facts.reads_src:
        used |= 1 << step.src
    if step.kind is _CALL:
        if step.sem is _HELPER:
            used = _READ_BY_HELPER.get(step.imm, used)
        elif step.sem is _KFUNC:
            used = ARGUMENT_MASKS[min(step.arguments, 5)]
    return used


def _registers(program: Program, steps: list[Step], loops: bool) -> None:
    reads = [_reads(step) for step in steps]
    kept = [~registers_set(step) for step in steps]
    changed = True
    while changed:
        changed = False
        for index, step in enumerate(steps):
            read: i64 = reads[index]
            keep: i64 = kept[index]
            live = ((_live_after(program, step) & keep) | read) & ALL_REGISTERS
            if live != step.live:
                step.live = live
                changed = loops


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


# --- slots ------------------------------------------------------------------------------------


def _slots(program: Program, function: Function, steps: list[Step]) -> None:
    if not _uses_stack(steps):
        return
    accesses: FrameAccesses | None = accesses_of(program, function)
    if accesses is None:
        for step in steps:
            step.live_slots = ALL_SLOTS
        return
    for step in steps:
        step.slots_read = accesses.read[step.pc - function.start]
        step.slots_written = accesses.written[step.pc - function.start]
        if step.jumps:
            program.jumps_to.setdefault(step.target, []).append(step)


def _uses_stack(steps: list[Step]) -> bool:
    """Whether anything is done with r10, the only way to the function's own frame."""
    for step in steps:  # noqa: SIM110 - any() is slow
        if step.dst == MAX_REGISTER or step.src == MAX_REGISTER:
            return True
    return False


def note_reads(program: Program, step: Step) -> None:
    """*step* is walked for the first time: from now on the slots that it reads matter before it."""
    if step.slots_read & ~step.live_slots == 0:
        return
    step.live_slots |= step.slots_read
    work = [step]
    while work:
        here = work.pop()
        before = program.steps[here.previous] if here.previous >= 0 else None
        if (
            before is not None
            and before.falls
            and before.next_pc == here.pc
            and _reaches(before, here)
        ):
            work.append(before)
        jumps = program.jumps_to.get(here.pc)
        if jumps is not None:
            work.extend([jump for jump in jumps if _reaches(jump, here)])


def _reaches(before: Step, here: Step) -> bool:
    """Carry what matters before *here* to a step before it; tell whether that was new."""
    live = before.live_slots | (here.live_slots & ~before.slots_written)
    if live == before.live_slots:
        return False
    before.live_slots = live
    return True
