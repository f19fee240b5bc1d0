"""Stack depth: what nested calls need together fits into the kernel's stack.

Large frames of a program type whose programs may run inside themselves no more than once per CPU
get a private stack each; then only each frame is limited.

Source: Linux 6.18 kernel/bpf/verifier.c (check_max_stack_depth, bpf_enable_priv_stack).
"""

from typing import Final

from skep.isa.table import Sem
from skep.uapi.flags import ProgType
from skep.verifier.check import Check
from skep.verifier.program import Function
from skep.verifier.rules import flow
from skep.verifier.state import MAX_FRAMES, STACK_SIZE

_LOCAL: Final = Sem.LOCAL
MAX_DEPTH_BELOW_TAIL_CALL: Final = 256
PRIVATE_STACK_LEAST: Final = 64
_PRIVATE_STACK: Final = frozenset(
    (
        ProgType.KPROBE, ProgType.TRACEPOINT, ProgType.PERF_EVENT, ProgType.RAW_TRACEPOINT,
        ProgType.TRACING,
    )
)  # fmt: skip


class _Call:
    def __init__(self, function: Function, depth: int) -> None:
        self.function = function
        self.depth = depth  # of its callers
        self.own = 0
        self.followed = 0  # of its calls


def check_depth(check: Check) -> None:
    """Refuse call chains that need too much stack.

    Raises:
        Rejected: a chain of calls is too deep, or a callback loads from the packet the old way.
    """
    program = check.program
    private = supports_private_stack(check)
    for function in program.functions:
        if function.number == 0 or function.is_async_callback:
            _check_from(check, function, private and function.number == 0)


def supports_private_stack(check: Check) -> bool:
    """Whether frames of the program may get private stacks."""
    if any(function.has_tail_call for function in check.program.functions):
        return False
    return check.request.program_type.id in _PRIVATE_STACK and not check.extends


def _enter(check: Check, chain: list[_Call], private: bool) -> None:
    call = chain[-1]
    function = call.function
    check.pc = function.start
    if function.has_ld_abs and any(entry.function.is_callback for entry in chain):
        check.refuse(flow.LEGACY_CALLBACK, "cannot use BPF_LD_[ABS|IND] within callback")
    if function.has_throw and any(entry.function.is_callback for entry in chain):
        check.refuse(flow.THROW_CALLBACK, "bpf_throw kfunc cannot be called from callback subprog")
    if function.has_tail_call and any(entry.function.is_exception_callback for entry in chain):
        check.refuse(flow.EXCEPTION_CALLBACK, "cannot tail call within exception cb")
    if function.number and function.has_tail_call and call.depth >= MAX_DEPTH_BELOW_TAIL_CALL:
        check.refuse(
            flow.STACK_DEPTH,
            "tail_calls are not allowed when call stack of previous frames is "
            f"{call.depth} bytes. Too large",
        )
    size = _rounded(function)
    if private and size >= PRIVATE_STACK_LEAST:
        if size > STACK_SIZE:
            check.refuse(
                flow.STACK_DEPTH,
                f"stack size of subprog {function.number} is {size}. Too large",
            )
        return
    call.own = size
    if call.depth + size > STACK_SIZE:
        check.refuse(
            flow.STACK_DEPTH,
            f"combined stack size of {len(chain)} calls is {call.depth + size}. Too large",
            found=" + ".join(
                f"{_rounded(entry.function)} bytes of {entry.function.name}" for entry in chain
            ),
            hint="make objects on the stack smaller, or keep them in a map",
        )


def _rounded(function: Function) -> int:
    return (function.stack_depth + 15) & ~15


def _check_from(check: Check, start: Function, private: bool) -> None:
    program = check.program
    chain = [_Call(start, 0)]
    _enter(check, chain, private)
    while chain:
        call = chain[-1]
        if call.followed == len(call.function.calls):
            chain.pop()
            continue
        step = call.function.calls[call.followed]
        call.followed += 1
        callee = program.function_at[step.target]
        if callee.is_async_callback and step.sem is not _LOCAL:
            continue
        if callee.is_exception_callback:
            check.pc = step.pc
            check.refuse(
                flow.EXCEPTION_CALLBACK, f"insn {check.pc} cannot call exception cb directly"
            )
        if callee.has_tail_call:
            for entry in chain:
                entry.function.tail_call_reachable = True
        if len(chain) >= MAX_FRAMES:
            check.pc = step.pc
            check.refuse(flow.CALL_DEPTH, f"the call stack of {len(chain)} frames is too deep !")
        chain.append(_Call(callee, call.depth + call.own))
        _enter(check, chain, private)
