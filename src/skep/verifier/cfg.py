"""The control flow graph: what is reachable, where to prune, which loops there are.

Source: Linux 6.18 kernel/bpf/verifier.c (check_cfg, compute_scc); Tarjan, Depth-First Search and
Linear Graph Algorithms.
"""

from collections.abc import Sequence
from typing import Final

from skep.isa.table import Kind, Sem
from skep.uapi import helpers as helper_table
from skep.verifier.decode import refuse
from skep.verifier.program import Function, Program, Step
from skep.verifier.rules import flow

FOR_EACH_MAP_ELEM: Final = 164
FIND_VMA: Final = 180
LOOP: Final = 181
USER_RINGBUF_DRAIN: Final = 209
TIMER_SET_CALLBACK: Final = 170
SYNC_CALLBACK_HELPERS: Final = (FOR_EACH_MAP_ELEM, FIND_VMA, LOOP, USER_RINGBUF_DRAIN)

_UNSEEN: Final = 0
_DISCOVERED: Final = 1
_EXPLORED: Final = 2


class KernelCalls:
    """Which kfunc calls of a program have effects on the control flow, by pc."""

    def __init__(self) -> None:
        self.iter_next: set[int] = set()
        self.sync_callback: set[int] = set()
        self.async_callback: set[int] = set()
        self.might_sleep: set[int] = set()
        self.changes_packet: set[int] = set()
        self.throws: set[int] = set()


def successors(step: Step) -> Sequence[int]:
    """Slots that may follow *step* in the same subprogram; calls come back."""
    kind = step.kind
    if kind is Kind.EXIT:
        return ()
    if kind is Kind.GOTO:
        return (step.target,)
    if kind is Kind.JUMP or kind is Kind.MAY_GOTO:
        return (step.next_pc, step.target)
    return (step.next_pc,)


def is_sync_callback(step: Step, kernel: KernelCalls) -> bool:
    """Whether *step* calls something that calls back before it returns."""
    if step.sem is Sem.HELPER:
        return step.imm in SYNC_CALLBACK_HELPERS
    return step.pc in kernel.sync_callback


def is_async_callback(step: Step, kernel: KernelCalls) -> bool:
    """Whether *step* calls something that keeps a callback for later."""
    if step.sem is Sem.HELPER:
        return step.imm == TIMER_SET_CALLBACK
    return step.pc in kernel.async_callback


def check_flow(program: Program, privileged: bool, kernel: KernelCalls) -> None:
    """Walk every edge once: mark points to prune at, refuse what cannot be reached.

    Raises:
        Rejected: an instruction is unreachable, or jumps into a wide one.
    """
    state = _explore(program, privileged, kernel)
    pc = 0
    while pc < program.size:
        if state[pc] != _EXPLORED:
            raise refuse(flow.REACHABLE, pc, f"unreachable insn {pc}")
        step = program.steps[pc]
        assert step is not None
        if step.next_pc == pc + 2 and state[pc + 1] != _UNSEEN:
            raise refuse(flow.JUMP_IN_RANGE, pc, f"jump into the middle of ldimm64 insn {pc}")
        pc = step.next_pc
    _spread_effects(program, kernel)


def _explore(program: Program, privileged: bool, kernel: KernelCalls) -> bytearray:
    state = bytearray(program.size)
    edge = bytearray(program.size)  # edges of each slot that were followed
    state[0] = _DISCOVERED
    stack = [0]
    while stack:
        pc = stack[-1]
        step = program.steps[pc]
        if step is None:  # second half of a wide instruction: refused by the caller
            state[pc] = _EXPLORED
            stack.pop()
            continue
        if edge[pc] == 0:
            _mark(program, step, kernel)
        edges = _edges(step)
        if edge[pc] == len(edges):
            state[pc] = _EXPLORED
            stack.pop()
            continue
        target = edges[edge[pc]]
        edge[pc] += 1
        if not 0 <= target < program.size:
            raise refuse(flow.JUMP_IN_RANGE, pc, f"jump out of range from insn {pc} to {target}")
        if state[target] == _UNSEEN:
            state[target] = _DISCOVERED
            stack.append(target)
        elif state[target] == _DISCOVERED and not privileged:
            raise refuse(flow.BACK_EDGE, pc, f"back-edge from insn {pc} to {target}")
    return state


def _edges(step: Step) -> Sequence[int]:
    if step.sem is Sem.LOCAL or step.sem is Sem.FUNC:
        return (step.next_pc, step.target)
    return successors(step)


def _point(program: Program, pc: int, jump: bool = True) -> None:
    step = program.steps[pc] if 0 <= pc < program.size else None
    if step is not None:
        step.prune_point = True
        step.jump_point = step.jump_point or jump


def _mark(program: Program, step: Step, kernel: KernelCalls) -> None:
    kind = step.kind
    if kind is Kind.CALL or step.sem is Sem.FUNC:
        _mark_call(program, step, kernel)
    elif kind is Kind.GOTO:
        _point(program, step.target)
    elif kind is Kind.JUMP or kind is Kind.MAY_GOTO:
        step.prune_point = True
        step.force_checkpoint = step.force_checkpoint or kind is Kind.MAY_GOTO
        _point(program, step.target)


def _mark_call(program: Program, step: Step, kernel: KernelCalls) -> None:
    _point(program, step.next_pc)
    if step.sem is Sem.LOCAL or step.sem is Sem.FUNC:
        step.prune_point = True
        _point(program, step.target)
    if is_async_callback(step, kernel):
        step.prune_point = True
    if is_sync_callback(step, kernel):
        step.calls_callback = True
        step.force_checkpoint = True
        step.prune_point = True
        step.jump_point = True
    if step.pc in kernel.iter_next:
        step.is_iter_next = True
        step.prune_point = True
        step.force_checkpoint = True


# --- effects of subprograms -------------------------------------------------------------------


def _spread_effects(program: Program, kernel: KernelCalls) -> None:
    callees: list[set[int]] = [set() for _ in program.functions]
    for function in program.functions:
        for pc in range(function.start, function.end):
            step = program.steps[pc]
            if step is None:
                continue
            if step.sem is Sem.LOCAL or step.sem is Sem.FUNC:
                callees[function.number].add(program.function_at[step.target].number)
            elif step.kind is Kind.CALL:
                _note_effects(function, step, kernel)
    changed = True
    while changed:
        changed = False
        for function in program.functions:
            for number in callees[function.number]:
                changed = _merge(function, program.functions[number]) or changed


def _note_effects(function: Function, step: Step, kernel: KernelCalls) -> None:
    if step.sem is Sem.HELPER:
        row = helper_table.by_id(step.imm)
        if row is not None:
            function.might_sleep = function.might_sleep or row.might_sleep
            function.changes_packet = function.changes_packet or row.changes_packet
        return
    function.might_sleep = function.might_sleep or step.pc in kernel.might_sleep
    function.changes_packet = function.changes_packet or step.pc in kernel.changes_packet
    if step.pc in kernel.throws:
        function.has_throw = True
        function.might_throw = True


def _merge(caller: Function, callee: Function) -> bool:
    sleeps = callee.might_sleep and not caller.might_sleep
    changes = callee.changes_packet and not caller.changes_packet
    throws = callee.might_throw and not caller.might_throw
    caller.might_sleep = caller.might_sleep or sleeps
    caller.changes_packet = caller.changes_packet or changes
    caller.might_throw = caller.might_throw or throws
    return sleeps or changes or throws


# --- loops ------------------------------------------------------------------------------------


def number_loops(program: Program) -> None:
    """Give every instruction of a loop the number of its strongly connected component."""
    preorder = [0] * program.size
    low = [0] * program.size
    counter = 1
    component = 1
    off_stack = program.size + 2
    for root in range(program.size):
        if preorder[root] or program.steps[root] is None:
            continue
        stack: list[int] = []
        walk = [root]
        while walk:
            pc = walk[-1]
            step = program.steps[pc]
            assert step is not None
            if preorder[pc] == 0:
                preorder[pc] = low[pc] = counter
                counter += 1
                stack.append(pc)
            deeper = -1
            for target in successors(step):
                if preorder[target] == 0:
                    deeper = target
                    break
                low[pc] = min(low[pc], low[target])
            if deeper >= 0:
                walk.append(deeper)
                continue
            walk.pop()
            if low[pc] == preorder[pc]:
                component = _close(program, step, stack, low, off_stack, component)


def _close(
    program: Program, root: Step, stack: list[int], low: list[int], off_stack: int, number: int
) -> int:
    is_loop = stack[-1] != root.pc or root.calls_callback or root.pc in successors(root)
    while True:
        pc = stack.pop()
        low[pc] = off_stack
        step = program.steps[pc]
        if is_loop and step is not None:
            step.scc = number
        if pc == root.pc:
            break
    return number + 1 if is_loop else number
