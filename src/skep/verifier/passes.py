"""verify(): the passes in order.

Source: Linux 6.18 kernel/bpf/verifier.c (bpf_check, do_check_common).
"""

import gc
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from skep.btf import kinds
from skep.isa.table import Sem
from skep.uapi.flags import ProgType
from skep.verifier import prototypes
from skep.verifier.cfg import check_flow, number_loops
from skep.verifier.check import Check
from skep.verifier.checkpoints import Checkpoints
from skep.verifier.debug_info import GLOBAL_LINKAGE, attach_debug_info
from skep.verifier.decode import decode, find_functions
from skep.verifier.depth import check_depth
from skep.verifier.events import FunctionEntered
from skep.verifier.explore import Handler, bind, walk
from skep.verifier.extension_adopt import adopt
from skep.verifier.fixups import rewrite
from skep.verifier.interface import Proof, Request, Statistics, Subprogram
from skep.verifier.kernel_calls import find_kernel_calls
from skep.verifier.liveness import compute_liveness
from skep.verifier.log import render
from skep.verifier.program import Function, Program
from skep.verifier.report import Rejected
from skep.verifier.rules import flow
from skep.verifier.rules.calls import KFUNC_KNOWN
from skep.verifier.setup import check_request
from skep.verifier.state import Frame, State, new_frame
from skep.verifier.transfer.global_arguments import begin_with
from skep.verifier.transfer.reliance import judge_main
from skep.verifier.transfer.subprograms import read_prototype
from skep.verifier.values import CTX, Pointer

_KFUNC: Final = Sem.KFUNC
_EXT: Final = ProgType.EXT


def verify(request: Request) -> Proof:
    """Prove that *request*'s program is safe to run.

    Raises:
        Rejected: it may not be.
    """
    collecting = gc.isenabled()
    # States hold no cycles, and looking for some among them takes a tenth of the time. Of several
    # threads each that turned the collector off turns it on again: it is never left off.
    gc.disable()
    try:
        return _verify(request)
    finally:
        if collecting:
            gc.enable()


def _verify(request: Request) -> Proof:
    began = time.perf_counter_ns()
    program = Program([], [])
    check: Check | None = None
    marks: Checkpoints | None = None
    try:
        program.functions = find_functions(request)
        program = decode(request, program.functions)
        attach_debug_info(request, program)
        check = Check(request, program)
        check_request(check)
        kernel = find_kernel_calls(program, check.kernel_btf)
        check_flow(program, request.privileged, kernel)
        if request.program_type.id == _EXT:
            adopt(check)
        number_loops(program)
        compute_liveness(program, check.request.program_type.id)
        marks = Checkpoints(check)
        _walk_all(check, marks)
        check_depth(check)
        _require_no_empty_calls(check)
        insns = rewrite(check)
        subprograms = tuple([_describe(check, function) for function in program.functions])
        seen = _seen(program)
    except Rejected as rejected:
        journal: Sequence[object] = () if check is None else check.journal or ()
        cost = _statistics(check, marks, began)
        rejected.log = render(program, request, journal, cost, rejected.detail)
        rejected.statistics = cost
        rejected.describe(request, program, journal, _verify_again)
        raise
    statistics = _statistics(check, marks, began)
    return Proof(
        request=request,
        insns=insns,
        subprograms=subprograms,
        maps=tuple(program.maps),
        seen=seen,
        memory=bytes(check.memory),
        moved=bytes(check.moved),
        calls=check.calls,
        map_at=check.map_at,
        callback_at=check.callback_at,
        btf_address_at=check.btf_address_at,
        attach_as_expected=check.attach_as_expected,
        buffers=check.buffers,
        statistics=statistics,
        log=render(program, request, check.journal or (), statistics),
        journal=check.journal or (),
    )


def _verify_again(request: Request) -> Rejected | None:
    """Verify once more, with a journal, to explain a refusal."""
    try:
        verify(replace(request, collect_journal=True, log_level=0, observer=None))
    except Rejected as rejected:
        return rejected
    return None


def _walk_all(check: Check, marks: Checkpoints) -> None:
    """Walk the main program, then every global function that something calls.

    What is called where one may sleep, although the program itself may not, is walked for that too
    (by a callback, or because it extends a program that may): what RCU protects is not protected
    there. Linux 6.18 forgets it.
    """
    handlers = bind(check.program.steps)
    main = check.program.functions[0]
    _walk_function(check, marks, handlers, main, check.sleepable)
    if main.called_asleep:
        main.verified_asleep = True
        _walk_function(check, marks, handlers, main, True)
    again = True
    while again:
        again = False
        for function in check.program.functions:
            if not function.is_global:
                continue
            if function.called and not function.verified:
                function.verified = again = True
                _walk_global(check, marks, handlers, function, check.sleepable)
            if function.called_asleep and not function.verified_asleep:
                function.verified_asleep = again = True
                _walk_global(check, marks, handlers, function, True)


def _walk_global(
    check: Check, marks: Checkpoints, handlers: list[Handler | None], function: Function,
    sleepable: bool,
) -> None:  # fmt: skip
    _walk_function(check, marks, handlers, function, sleepable)
    check.note(
        f"Func#{function.number} ('{function.name}') is safe for any args that match its prototype"
    )


def _walk_function(
    check: Check, marks: Checkpoints, handlers: list[Handler | None], function: Function,
    sleepable: bool,
) -> None:  # fmt: skip
    marks.forget()
    frame = new_frame(0, function.number, -1)
    check.enter(frame)
    state = State([frame])
    state.pc = function.start
    state.first_pc = function.start
    state.last_pc = -1
    state.in_sleepable = sleepable
    check.pc = function.start
    by_prototype = function.number != 0 or check.extends
    if check.journal is not None:
        check.journal.append(FunctionEntered(function.number, function.name, by_prototype))
    if not by_prototype:
        _note_prototype(check, function)
        judge_main(check, function)
        frame.regs[1] = Pointer(CTX)
    else:
        _set_arguments(check, frame, function)
    walk(check, marks, handlers, state)
    if check.journal is not None and check.forgets_paths:
        check.journal.clear()


def _note_prototype(check: Check, function: Function) -> None:
    """Log what would be wrong with the main program's prototype if another function called it."""
    btf = check.request.btf
    if check.journal is None or btf is None or not function.type_id:
        return
    type_ = btf.type(function.type_id)
    if isinstance(type_, kinds.Func) and type_.linkage == GLOBAL_LINKAGE:
        try:
            prototypes.arguments_of(check.request, function.type_id)
        except prototypes.BadPrototype as error:
            check.note(str(error))
        except prototypes.UnknownPrototype:
            pass


def _set_arguments(check: Check, frame: Frame, function: Function) -> None:
    arguments = read_prototype(check, function)
    if function.is_exception_callback:
        frame.in_exception_callback = True
        if len(arguments) != 1 or arguments[0].kind != prototypes.ANYTHING:
            check.refuse(
                flow.EXCEPTION_CALLBACK, "exception cb only supports single integer argument"
            )
    for index, argument in enumerate(arguments):
        frame.regs[index + 1] = begin_with(check, argument)


def _require_no_empty_calls(check: Check) -> None:
    """Refuse calls of kernel function 0, a weak symbol that was not found, where they are live."""
    for step in check.program.steps:
        if step is not None and step.sem is _KFUNC and step.imm == 0 and step.seen:
            check.pc = step.pc
            check.refuse(
                KFUNC_KNOWN, "invalid kernel function call not eliminated in verifier pass"
            )


def _seen(program: Program) -> bytes:
    seen = bytearray(program.size)
    for step in program.steps:
        if step is not None and step.seen:
            seen[step.pc] = 1
            if step.next_pc == step.pc + 2:
                seen[step.pc + 1] = 1
    return bytes(seen)


def _describe(check: Check, function: Function) -> Subprogram:
    return Subprogram(
        start=function.start,
        end=function.end,
        name=function.name,
        stack_depth=function.stack_depth,
        is_global=function.is_global,
        is_callback=function.is_callback,
        has_tail_call=function.has_tail_call,
        changes_packet=function.changes_packet,
        might_sleep=function.might_sleep,
        might_throw=function.might_throw,
        is_exception_callback=function.is_exception_callback,
        type_id=function.type_id,
        is_reliable=function.type_id != 0 and function.is_reliable,
        runs_asleep=check.sleepable or function.called_asleep,
    )


def _statistics(check: Check | None, marks: Checkpoints | None, began: int) -> Statistics:
    microseconds = (time.perf_counter_ns() - began) // 1000
    if check is None or marks is None:
        return Statistics(0, 0, 0, 0, microseconds, "0")
    depths = [
        str(function.stack_depth)
        for function in check.program.functions
        if function.number == 0 or not function.is_global or function.called
    ]
    return Statistics(
        insns_processed=marks.insns,
        total_states=marks.total,
        peak_states=marks.peak,
        max_states_per_insn=marks.max_per_insn,
        microseconds=microseconds,
        stack_depth="+".join(depths),
    )
