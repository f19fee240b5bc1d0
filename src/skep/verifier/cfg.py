"""The control flow graph: what is reachable, where to prune, which loops there are.

Source: Linux 6.18 kernel/bpf/verifier.c (check_cfg, compute_scc); Tarjan, Depth-First Search and
Linear Graph Algorithms.
"""

from collections.abc import Sequence
from typing import Final

from skep.isa.table import Kind, Sem
from skep.verifier.decode import refuse
from skep.verifier.helper_prototypes import PROTOTYPES
from skep.verifier.program import Function, Program, Step
from skep.verifier.rules import flow

FOR_EACH_MAP_ELEM: Final = 164
FIND_VMA: Final = 180
LOOP: Final = 181
USER_RINGBUF_DRAIN: Final = 209
TIMER_SET_CALLBACK: Final = 170
SYNC_CALLBACK_HELPERS: Final = (FOR_EACH_MAP_ELEM, FIND_VMA, LOOP, USER_RINGBUF_DRAIN)

_NO_EDGE: Final = -1
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
    if step.jumps:
        return (step.next_pc, step.target) if step.falls else (step.target,)
    return (step.next_pc,) if step.falls else ()


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


def _explore(program: Program, privileged: bool, kernel: KernelCalls) -> list[int]:
    state = [_UNSEEN] * program.size
    edge = [0] * program.size  # edges of each slot that were followed
    for function in program.functions:
        if function.number == 0 or (function.is_exception_callback and not state[function.start]):
            _explore_from(program, privileged, kernel, function.start, state, edge)
    return state


def _explore_from(
    program: Program, privileged: bool, kernel: KernelCalls, start: int, state: list[int],
    edge: list[int],
) -> None:  # fmt: skip
    steps = program.steps
    state[start] = _DISCOVERED
    stack = [start]
    while stack:
        pc = stack[-1]
        step = steps[pc]
        if step is None:  # second half of a wide instruction: refused by the caller
            state[pc] = _EXPLORED
            stack.pop()
            continue
        number = edge[pc]
        if number == 0:
            _mark(program, step, kernel)
        target = _edge(step, number)
        if target == _NO_EDGE:
            state[pc] = _EXPLORED
            stack.pop()
            continue
        edge[pc] = number + 1
        if not 0 <= target < program.size:
            raise refuse(flow.JUMP_IN_RANGE, pc, f"jump out of range from insn {pc} to {target}")
        if state[target] == _UNSEEN:
            state[target] = _DISCOVERED
            stack.append(target)
        elif state[target] == _DISCOVERED and not privileged:
            raise refuse(flow.BACK_EDGE, pc, f"back-edge from insn {pc} to {target}")


def _edge(step: Step, number: int) -> int:
    """Where edge *number* of *step* leads, calls included; _NO_EDGE if it has no more."""
    if number == 0:
        if step.falls:
            return step.next_pc
        return step.target if step.jumps else _NO_EDGE
    # a jump, a call, or the address of a function
    return step.target if number == 1 and step.falls else _NO_EDGE


def _point(program: Program, pc: int, jump: bool = True) -> None:
    step = program.steps[pc] if 0 <= pc < program.size else None
    if step is not None:
        step.prune_point = True
        step.jump_point = step.jump_point or jump


def _mark(program: Program, step: Step, kernel: KernelCalls) -> None:
    if step.jumps:
        _point(program, step.target)
        if step.falls:
            step.prune_point = True
            step.force_checkpoint = step.force_checkpoint or step.kind is Kind.MAY_GOTO
    elif step.is_jump or step.target >= 0:
        kind = step.kind
        if kind is Kind.CALL or step.sem is Sem.FUNC:
            _mark_call(program, step, kernel)


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
            if step is None or (step.target < 0 and not step.is_jump):
                continue
            if step.sem is Sem.LOCAL or step.sem is Sem.FUNC:
                function.calls.append(step)
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
        known = PROTOTYPES.get(step.imm)
        if known is not None:
            function.might_sleep = function.might_sleep or known.might_sleep
            function.changes_packet = function.changes_packet or known.changes_packet
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
    """Give every instruction of a loop the number of its strongly connected component.

    A call that calls back is a loop, too: numbers above ``program.loops`` tell those that are loops
    for nothing else. Linux 6.18 takes them for none, and so misses what later rounds rely on.
    """
    if not _may_loop(program):
        return
    steps = program.steps
    preorder = [0] * program.size
    low = [0] * program.size
    counter = 1
    component = 1
    off_stack = program.size + 2
    for root in range(program.size):
        if preorder[root] or steps[root] is None:
            continue
        stack: list[int] = []
        walk = [root]
        while walk:
            pc = walk[-1]
            step = steps[pc]
            assert step is not None
            if preorder[pc] == 0:
                preorder[pc] = low[pc] = counter
                counter += 1
                stack.append(pc)
            deeper = -1
            if step.falls:
                deeper = _visit(pc, step.next_pc, preorder, low)
            if deeper < 0 and step.jumps:
                deeper = _visit(pc, step.target, preorder, low)
            if deeper >= 0:
                walk.append(deeper)
                continue
            walk.pop()
            if low[pc] == preorder[pc]:
                component = _close(program, step, stack, low, off_stack, component)
    program.loops = component - 1
    _number_callbacks(program)


def _number_callbacks(program: Program) -> None:
    number = program.loops
    for step in program.steps:
        if step is not None and step.calls_callback and not step.scc:
            number += 1
            step.scc = number


def _may_loop(program: Program) -> bool:
    """Whether something leads backwards, or calls back."""
    for step in program.steps:
        if step is not None and (step.calls_callback or (step.jumps and step.target <= step.pc)):
            return True
    return False


def _visit(pc: int, target: int, preorder: list[int], low: list[int]) -> int:
    """*target* if it was not seen yet; else -1, and *pc* reaches as low as it does."""
    if preorder[target] == 0:
        return target
    low[pc] = min(low[pc], low[target])
    return -1


def _close(
    program: Program, root: Step, stack: list[int], low: list[int], off_stack: int, number: int
) -> int:
    is_loop = stack[-1] != root.pc or root.pc in successors(root)
    while True:
        pc = stack.pop()
        low[pc] = off_stack
        step = program.steps[pc]
        if is_loop and step is not None:
            step.scc = number
        if pc == root.pc:
            break
    return number + 1 if is_loop else number
