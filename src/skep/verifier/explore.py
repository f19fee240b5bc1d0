"""The walk: every path through a function, one instruction at a time, until all are covered.

Source: Linux 6.18 kernel/bpf/verifier.c (do_check).
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from skep.errors import InternalError
from skep.isa.table import Kind, Sem
from skep.verifier.check import Check
from skep.verifier.checkpoints import Checkpoints
from skep.verifier.events import Entered, PathEnded, Pruned, Resumed
from skep.verifier.program import Step
from skep.verifier.rules import flow
from skep.verifier.state import State
from skep.verifier.transfer.arithmetic import address_space_cast, bind_arithmetic
from skep.verifier.transfer.branches import jump, may_goto
from skep.verifier.transfer.calls import call_helper
from skep.verifier.transfer.jumps import DECISIONS, REFINEMENTS
from skep.verifier.transfer.kfuncs import call_kfunc
from skep.verifier.transfer.memory import atomic, legacy_load, load, store
from skep.verifier.transfer.subprograms import call_subprogram, leave
from skep.verifier.transfer.wide import wide

Handler: TypeAlias = Callable[[Check, Step], None]

MAX_INSNS: Final = 1_000_000


def _goto(check: Check, step: Step) -> None:
    check.next_pc = step.target


def _indirect(check: Check, step: Step) -> None:
    check.not_supported(f"{step.op.symbol} (indirect call)")


HANDLERS: Final[Mapping[Kind, Handler]] = {
    Kind.LOAD: load,
    Kind.LOAD_SX: load,
    Kind.STORE_REG: store,
    Kind.STORE_IMM: store,
    Kind.ATOMIC: atomic,
    Kind.JUMP: jump,
    Kind.GOTO: _goto,
    Kind.MAY_GOTO: may_goto,
    Kind.CALLX: _indirect,
    Kind.EXIT: leave,
    Kind.WIDE: wide,
    Kind.LEGACY: legacy_load,
    Kind.ADDR_SPACE_CAST: address_space_cast,
}
_CALLS: Final[Mapping[Sem, Handler]] = {
    Sem.HELPER: call_helper,
    Sem.LOCAL: call_subprogram,
    Sem.KFUNC: call_kfunc,
}


def bind(steps: list[Step | None]) -> list[Handler | None]:
    """The handler of each slot; steps learn what they do to scalars."""
    return [None if step is None else _bind(step) for step in steps]


def _bind(step: Step) -> Handler:
    if step.kind is Kind.ALU:
        return bind_arithmetic(step)
    if step.kind is Kind.CALL:
        return _CALLS[step.sem]
    if step.kind is Kind.JUMP:
        step.decide = DECISIONS[step.sem]
        step.holds, step.fails = REFINEMENTS[step.sem]
    return HANDLERS[step.kind]


def walk(check: Check, marks: Checkpoints, handlers: list[Handler | None], start: State) -> None:
    """Examine every path from *start*, whose ``pc`` is the entry of a function.

    Raises:
        Rejected: a rule may not hold.
    """
    check.state = start
    check.frame = start.frames[-1]
    check.pc = -1
    check.next_pc = start.pc
    while True:
        _one_instruction(check, marks, handlers)
        if check.path_ends and not _resume(check, marks):
            return


def _one_instruction(check: Check, marks: Checkpoints, handlers: list[Handler | None]) -> None:
    pc = check.next_pc
    check.previous_pc = check.pc
    check.pc = pc
    check.current_trace = None
    check.path_ends = False
    step = check.program.steps[pc] if pc < check.program.size else None
    handler = handlers[pc] if step is not None else None
    if step is None or handler is None:
        raise InternalError(f"the walk reached slot {pc}")
    state = check.state
    check.step = step
    marks.insns += 1
    if marks.insns > MAX_INSNS:
        check.refuse(
            flow.INSN_BUDGET,
            f"BPF program is too large. Processed {marks.insns} insn",
            hint="bound loops more tightly, or move them into bpf_loop or global functions; "
            "skep verify --profile shows which lines cost most",
        )
    state.pc = pc
    state.last_pc = check.previous_pc
    if check.observer is not None:
        check.observer.arrive(check)
    if step.prune_point and marks.is_visited(step):
        if check.journal is not None:
            check.journal.append(Pruned(pc, check.previous_pc, check.frame.copy()))
        check.path_ends = True
        return
    if step.jump_point:
        check.record()
    if check.journal is not None:
        check.journal.append(Entered(pc, check.frame.copy(), state.refs))
    check.seen[pc] = 1
    if step.fault:
        named = step.fault.endswith(" is invalid")
        check.refuse(flow.REGISTER_NUMBER if named else flow.RESERVED_FIELDS, step.fault)
    if step.is_jump:
        marks.jumps += 1
    check.next_pc = step.next_pc
    handler(check, step)


def _resume(check: Check, marks: Checkpoints) -> bool:
    """End the current path and take up the latest branch that waits; False if none does."""
    journal = check.journal
    if journal is not None:
        journal.append(PathEnded(check.pc))
    marks.end_path(check.state)
    if not check.pending:
        return False
    waiting = check.pending.pop()
    check.state = waiting.state
    check.frame = check.state.own(len(check.state.frames) - 1)
    check.pc = waiting.previous_pc
    check.next_pc = waiting.pc
    if journal is not None:
        if check.forgets_paths:
            del journal[waiting.mark :]
        journal.append(
            Resumed(waiting.previous_pc, waiting.pc, check.frame.copy(), check.state.refs)
        )
    return True
