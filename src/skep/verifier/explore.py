"""The walk: every path through a function, one instruction at a time, until all are covered.

Source: Linux 6.18 kernel/bpf/verifier.c (do_check).
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from skep.errors import InternalError
from skep.isa.table import OPS, Kind, Op, Sem
from skep.verifier.check import Check
from skep.verifier.checkpoints import Checkpoints
from skep.verifier.events import Arrived, Entered, PathEnded, Pruned, Resumed
from skep.verifier.program import Decision, Refinement, Step, Transfer
from skep.verifier.rules import flow
from skep.verifier.scalar import const
from skep.verifier.state import Frame, State
from skep.verifier.transfer.alu import OPERATIONS, TRANSFER
from skep.verifier.transfer.arithmetic import (
    address_space_cast,
    arithmetic_handler,
    binary,
    immediate,
    is_judged,
    is_senseless,
    move,
)
from skep.verifier.transfer.branches import jump, may_goto
from skep.verifier.transfer.calls import call_helper
from skep.verifier.transfer.jumps import DECISIONS, REFINEMENTS
from skep.verifier.transfer.kfuncs import call_kfunc
from skep.verifier.transfer.memory import atomic, legacy_load, load, store
from skep.verifier.transfer.subprograms import call_subprogram, leave
from skep.verifier.transfer.wide import wide

Handler: TypeAlias = Callable[[Check, Step], None]

MAX_INSNS: Final = 1_000_000


# Handlers of most instructions, told apart by a number: that is quicker than to call a value.
OTHER: Final = 0
MOVE: Final = 1
BINARY: Final = 2
LOAD: Final = 3
STORE: Final = 4
JUMP: Final = 5
GOTO: Final = 6
HELPER: Final = 7
LEAVE: Final = 8


def _indirect(check: Check, step: Step) -> None:
    check.not_supported(f"{step.op.symbol} (indirect call)")


class Binding:
    """What a row of the instruction table does in the walk."""

    __slots__ = ("action", "decide", "fails", "handler", "holds", "judged", "operation", "transfer")

    def __init__(self, op: Op) -> None:
        self.action: int = _action(op)
        self.handler: Handler | None = _handler(op)
        self.transfer: Transfer | None = TRANSFER.get(op.sem) if op.kind is Kind.ALU else None
        self.operation: int = OPERATIONS.get(op.sem, 0) if op.kind is Kind.ALU else 0
        self.judged: bool = op.kind is Kind.ALU and is_judged(op.sem)
        self.decide: Decision | None = None
        self.holds: Refinement | None = None
        self.fails: Refinement | None = None
        if op.kind is Kind.JUMP:
            self.decide = DECISIONS[op.sem]
            self.holds, self.fails = REFINEMENTS[op.sem]


_ACTIONS: Final[Mapping[Kind, int]] = {
    Kind.LOAD: LOAD,
    Kind.LOAD_SX: LOAD,
    Kind.STORE_REG: STORE,
    Kind.STORE_IMM: STORE,
    Kind.JUMP: JUMP,
    Kind.GOTO: GOTO,
    Kind.EXIT: LEAVE,
}
_HANDLERS: Final[Mapping[Kind, Handler]] = {
    Kind.ATOMIC: atomic,
    Kind.MAY_GOTO: may_goto,
    Kind.CALLX: _indirect,
    Kind.WIDE: wide,
    Kind.LEGACY: legacy_load,
    Kind.ADDR_SPACE_CAST: address_space_cast,
}
_CALLS: Final[Mapping[Sem, Handler]] = {Sem.LOCAL: call_subprogram, Sem.KFUNC: call_kfunc}


def _action(op: Op) -> int:
    if op.kind is Kind.ALU:
        if op.sem is Sem.MOV:
            return MOVE
        return BINARY if arithmetic_handler(op.sem) is None else OTHER
    if op.sem is Sem.HELPER:
        return HELPER
    return _ACTIONS.get(op.kind, OTHER)


def _handler(op: Op) -> Handler | None:
    """The handler of a row whose action is OTHER."""
    if op.kind is Kind.ALU:
        return arithmetic_handler(op.sem)
    if op.kind is Kind.CALL:
        return _CALLS.get(op.sem)
    return _HANDLERS.get(op.kind)


_BINDINGS: Final[dict[str, Binding]] = {op.name: Binding(op) for op in OPS}


def bind(steps: list[Step | None]) -> list[Handler | None]:
    """The handler of each slot whose action is OTHER; steps learn what they do to scalars."""
    return [None if step is None else _bind(step) for step in steps]


def _bind(step: Step) -> Handler | None:
    binding = _BINDINGS[step.op.name]
    step.action = binding.action
    if binding.transfer is not None:
        step.transfer = binding.transfer
        step.operation = binding.operation
        if not step.reg_source:
            step.number = immediate(step)
            step.senseless = binding.judged and is_senseless(step)
    elif step.jumps:
        step.decide, step.holds, step.fails = binding.decide, binding.holds, binding.fails
        if not step.reg_source:
            step.number = const(step.imm)
    elif step.kind is _STORE_IMM:
        step.number = const(step.imm)
    return binding.handler


_STORE_IMM: Final = Kind.STORE_IMM


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
    if step is None:
        raise InternalError(f"the walk reached slot {pc}")
    state = check.state
    check.step = step
    marks.insns += 1
    if marks.insns > MAX_INSNS:
        _refuse_budget(check, marks)
    state.pc = pc
    state.last_pc = check.previous_pc
    if check.observer is not None:
        check.observer.arrive(check)
    journal = check.journal
    arrived = check.frame if journal is None else _arrive(check, step)
    if step.prune_point and marks.is_visited(step):
        if journal is not None:
            journal.append(Pruned(pc, check.previous_pc, arrived, state.refs))
        check.path_ends = True
        return
    if step.jump_point:
        check.record()
    if journal is not None:
        journal.append(Entered(pc, arrived, state.refs))
    if not step.seen:
        _see(check, step)
    if step.is_jump:
        marks.jumps += 1
    check.next_pc = step.next_pc
    _examine(check, step, handlers)


def _refuse_budget(check: Check, marks: Checkpoints) -> None:
    pc = marks.busiest()
    source = check.source_line(pc)
    where = f" ({source})" if source else ""
    check.refuse(
        flow.INSN_BUDGET,
        f"BPF program is too large. Processed {marks.insns} insn",
        found=f"most ways meet at insn {pc}{where}" if pc >= 0 else "",
        hint="bound loops more tightly, or move them into bpf_loop or global functions; "
        "skep verify --profile shows which lines cost most",
    )


def _see(check: Check, step: Step) -> None:
    """Note that *step* is walked, for the first time; refuse one that nobody can read."""
    step.seen = True
    if step.fault:
        named = step.fault.endswith(" is invalid")
        check.refuse(flow.REGISTER_NUMBER if named else flow.RESERVED_FIELDS, step.fault)


def _arrive(check: Check, step: Step) -> Frame:
    """What is known before *step*, with dead values that comparing states forgets."""
    frame = check.frame.copy()
    if check.tale is not None and step.prune_point:
        check.tale.append(Arrived(frame, check.state.refs))
    return frame


def _examine(check: Check, step: Step, handlers: list[Handler | None]) -> None:
    action = step.action
    if action == MOVE:
        move(check, step)
    elif action == BINARY:
        binary(check, step)
    elif action == LOAD:
        load(check, step)
    elif action == STORE:
        store(check, step)
    elif action == JUMP:
        jump(check, step)
    elif action == GOTO:
        check.next_pc = step.target
    elif action == HELPER:
        call_helper(check, step)
    elif action == LEAVE:
        leave(check, step)
    else:
        handler = handlers[step.pc]
        if handler is None:
            raise InternalError(f"{step.op.name} has no handler")
        handler(check, step)


def _resume(check: Check, marks: Checkpoints) -> bool:
    """End the current path and take up the latest branch that waits; False if none does."""
    journal = check.journal
    if journal is not None:
        journal.append(PathEnded(check.pc))
    check.settle_slots()
    marks.end_path(check.state)
    if not check.pending:
        return False
    waiting = check.pending.pop()
    check.state = waiting.state
    check.frame = check.state.own(len(check.state.frames) - 1)
    check.pc = waiting.previous_pc
    check.next_pc = waiting.pc
    if journal is not None:
        left = _latest_slot(journal)
        if check.forgets_paths:
            del journal[waiting.mark :]
        frame, refs = check.frame.copy(), check.state.refs
        journal.append(Resumed(waiting.previous_pc, waiting.pc, frame, refs, left=left))
    return True


def _latest_slot(journal: list[object]) -> int:
    """The slot that was examined last."""
    for event in reversed(journal):
        if isinstance(event, Entered):
            return event.pc
        if isinstance(event, Resumed):
            return event.left
    return -1
