"""Calls between the program's own functions, callbacks, and coming back from them.

A static function is walked again at every call. A global function is verified once, for whatever
its prototype allows; a call to it is judged by the prototype.

Source: Linux 6.18 kernel/bpf/verifier.c (check_func_call, push_callback_call, prepare_func_exit).
"""

import errno
from collections.abc import Callable
from typing import TypeAlias

from skep.isa.table import Kind
from skep.verifier import prototypes
from skep.verifier.check import Check
from skep.verifier.events import Called
from skep.verifier.program import Function, Step
from skep.verifier.rules import flow
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.state import MAX_FRAMES, Frame, State, new_frame
from skep.verifier.transfer.global_arguments import is_refused_as_access, why_not
from skep.verifier.transfer.packets import forget_packet
from skep.verifier.transfer.reliance import judge_call
from skep.verifier.transfer.returns import enforce, require_nothing_held, require_return_value
from skep.verifier.values import STACK, Pointer
from skep.verifier.widening import latest_entry, widen

Prepare: TypeAlias = Callable[[Frame, Frame], None]


def call_subprogram(check: Check, step: Step) -> None:
    """Examine a call to one of the program's own functions."""
    callee = check.program.function_at[step.target]
    if callee.is_global:
        _call_global(check, callee)
        return
    caller = check.frame
    judge_call(check, callee, caller)
    frame = _enter(check, check.state, callee.number, step.pc)
    for register in range(1, 6):
        frame.regs[register] = caller.regs[register]
    clear_caller_saved(caller)
    check.frame = frame
    check.next_pc = callee.start
    if check.journal is not None:
        event = Called(step.pc, caller.copy(), frame.copy(), refs=check.state.refs)
        check.journal.append(event)


def _enter(check: Check, state: State, subprogram: int, callsite: int) -> Frame:
    """Put a frame for *subprogram* on top of *state*'s."""
    depth = len(state.frames)
    if depth >= MAX_FRAMES:
        check.refuse(flow.CALL_DEPTH, f"the call stack of {depth + 1} frames is too deep")
    frame = new_frame(depth, subprogram, callsite)
    instance = state.frames[-1].instance
    if instance is not None:
        frame.instance = instance.callee(check.program.functions[subprogram], callsite)
    state.frames.append(frame)
    return frame


def clear_caller_saved(frame: Frame) -> None:
    """Make r0 to r5 unreadable, as after every call."""
    for register in range(6):
        frame.regs[register] = None


# --- global functions -------------------------------------------------------------------------


def _call_global(check: Check, callee: Function) -> None:
    state = check.state
    if state.active_locks:
        check.refuse(
            flow.LOCKED_CALL,
            "global function calls are not allowed while holding a lock,\n"
            "use static function instead",
        )
    sleepless = state.active_rcu_lock or state.active_preempt_locks or state.active_irq_id
    if callee.might_sleep and (sleepless or not state.in_sleepable):
        check.refuse(
            flow.LOCKED_CALL,
            f"sleepable global function {callee.name}() called in non-sleepable context",
        )
    arguments = read_prototype(check, callee)
    for index, argument in enumerate(arguments):
        _pass(check, callee, index + 1, argument)
    check.note(f"Func#{callee.number} ('{callee.name}') is global and assumed valid.")
    callee.called = True
    if state.in_sleepable and not check.sleepable and not sleepless:
        callee.called_asleep = True
    if callee.changes_packet:
        forget_packet(state, check.privileged, UNKNOWN)
        check.frame = state.own(len(state.frames) - 1)
    if callee.might_throw:
        # Linux 6.18 forgets that what is held here is never released then.
        require_nothing_held(check, "bpf_throw", exceptional=True)
    clear_caller_saved(check.frame)
    check.frame.regs[0] = UNKNOWN


def read_prototype(check: Check, function: Function) -> list[prototypes.Argument]:
    """Arguments of a global function, read once."""
    if function.arguments is None:
        try:
            function.arguments = prototypes.arguments_of(check.request, function.type_id)
        except prototypes.BadPrototype as error:
            check.refuse(flow.GLOBAL_SIGNATURE, str(error), errno=error.errno)
        except prototypes.UnknownPrototype as error:
            check.not_supported(f"a global function: {error}")
    return function.arguments


def _pass(check: Check, callee: Function, register: int, argument: prototypes.Argument) -> None:
    detail = why_not(check, register, argument)
    if detail:
        check.refuse(
            flow.GLOBAL_ARGUMENTS,
            f"{detail}\nCaller passes invalid args into func#{callee.number} ('{callee.name}')",
            errno=errno.EACCES if is_refused_as_access(argument) else 0,
        )


# --- callbacks --------------------------------------------------------------------------------


def call_back(
    check: Check, step: Step, subprogram: int, prepare: Prepare, low: int = 0, high: int = 1
) -> None:
    """Queue a call of *subprogram* from inside the helper or kfunc that *step* calls.

    The callback's return brings the path back to the call, which queues it again; so any number of
    rounds is covered. The caller of this function goes on as if no (further) round took place.

    Args:
        check: the examination.
        step: the call.
        subprogram: number of the callback.
        prepare: sets r1 to r5 of the callback's frame: ``prepare(caller, callee)``.
        low: the least value that the callback may return.
        high: the greatest.
    """
    function = check.program.functions[subprogram]
    function.is_callback = True
    state = check.push_branch(function.start)
    caller = state.own(len(state.frames) - 1)
    callee = _enter(check, state, subprogram, step.pc)
    callee.in_callback = True
    callee.return_min, callee.return_max = low, high
    judge_call(check, function, caller)
    prepare(caller, callee)
    state.callback_unroll_depth += 1
    caller.callback_depth += 1
    check.frame.callback_depth = 0


def call_back_later(
    check: Check,
    step: Step,
    subprogram: int,
    prepare: Prepare,
    *,
    sleepable: bool = False,
    results: tuple[int, int] = (0, 0),
) -> None:
    """Queue a run of *subprogram* on its own, after the program: timers, work queues, task work."""
    function = check.program.functions[subprogram]
    function.is_callback = True
    function.is_async_callback = True
    caller = check.frame
    judge_call(check, function, caller)
    callee = new_frame(0, subprogram, -1)
    check.enter(callee)
    callee.in_callback = True
    callee.in_async_callback = True
    callee.return_min, callee.return_max = results
    callee.async_entry = caller.async_entry + 1
    check.walks += 1
    callee.walk = check.walks
    prepare(caller, callee)
    state = State([callee])
    state.in_sleepable = sleepable
    state.first_pc = function.start
    state.last_pc = -1
    assert step.kind is Kind.CALL
    check.push_state(state, function.start)


# --- coming back ------------------------------------------------------------------------------


def leave(check: Check, step: Step) -> None:
    """Examine an exit instruction."""
    nested = len(check.state.frames) > 1
    require_nothing_held(check, "BPF_EXIT instruction in main prog", sections=not nested)
    if nested:
        return_to_caller(check, step)
        return
    require_return_value(check)
    check.path_ends = True


def return_to_caller(check: Check, step: Step) -> None:
    """Go on after the call that entered the innermost frame."""
    state = check.state
    callee = check.frame
    value = callee.regs[0]
    if isinstance(value, Pointer) and value.kind == STACK:
        check.refuse(flow.STACK_POINTER_RETURN, "cannot return stack pointer to the caller")
    caller_number = len(state.frames) - 2
    caller = state.own(caller_number)
    if callee.in_callback:
        if not isinstance(value, Scalar):
            check.refuse(flow.RETURN_SCALAR, "R0 not a scalar value")
        limits = (callee.return_min, callee.return_max)
        enforce(check, *limits, "At callback return", rule=flow.CALLBACK_RETURN)
        check.next_pc = callee.callsite
    else:
        caller.regs[0] = value
        check.next_pc = callee.callsite + 1
    if check.journal is not None:
        event = Called(step.pc, caller.copy(), callee.copy(), returning=True, refs=state.refs)
        check.journal.append(event)
    check.settle_slots()
    state.frames.pop()
    check.frame = caller
    if callee.in_callback:
        before = latest_entry(state, state.parent, check.next_pc)
        if before is not None:
            widen(before, state)
            check.frame = state.own(caller_number)
