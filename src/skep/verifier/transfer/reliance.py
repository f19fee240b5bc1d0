"""Whether what BTF says of a function's arguments can be relied on.

Compilers drop arguments of static functions, and whoever calls one need not pass what it declares;
nobody minds, since static functions are verified anew at each call. But programs that trace a
function, or take its place, see its arguments as declared: so a function that is called with
anything else is marked.

Source: Linux 6.18 kernel/bpf/verifier.c (btf_check_subprog_call, btf_check_func_arg_match).
"""

from skep.btf import kinds
from skep.verifier import prototypes
from skep.verifier.check import Check
from skep.verifier.program import Function
from skep.verifier.prototypes import TAG_PREFIX, Argument, BadPrototype, UnknownPrototype
from skep.verifier.scalar import Scalar
from skep.verifier.state import Frame
from skep.verifier.values import CONST_DYNPTR, CTX, STACK, Pointer, Value

_GLOBAL = 1


def judge_main(check: Check, function: Function) -> None:
    """Mark the main function unless it takes a pointer to the context and nothing else."""
    arguments = _declared(check, function) or []
    kinds_of = [argument.kind for argument in arguments]
    function.is_reliable = kinds_of == [prototypes.CONTEXT]


def judge_call(check: Check, function: Function, caller: Frame) -> None:
    """Mark *function* unless *caller*'s registers hold what it declares."""
    if not function.is_reliable:
        return
    if function.arguments is None:
        function.arguments = _declared(check, function)
    if function.arguments is None:
        function.is_reliable = False
        return
    for index, argument in enumerate(function.arguments):
        if not _fits(argument, caller.regs[index + 1]):
            function.is_reliable = False
            _tell(check, index, argument)
            return


def _tell(check: Check, index: int, argument: Argument) -> None:
    """Say in the log what does not fit, as Linux does although nothing comes of it."""
    if argument.kind == prototypes.ANYTHING:
        check.note(f"R{index + 1} is not a scalar")
    elif argument.kind == prototypes.CONTEXT:
        check.note(f"arg#{index} expects pointer to ctx")


def _declared(check: Check, function: Function) -> list[Argument] | None:
    """What the function's BTF says, None if it says nothing that can be relied on."""
    btf = check.request.btf
    if btf is None or not function.type_id:
        return None
    try:
        arguments = prototypes.arguments_of(check.request, function.type_id)
    except (BadPrototype, UnknownPrototype):
        return None
    type_ = btf.type(function.type_id)
    if isinstance(type_, kinds.Func) and type_.linkage == _GLOBAL:
        return arguments
    for index, argument in enumerate(arguments):  # memory and tags mean nothing of static functions
        tags = btf.decl_tags(function.type_id, index)
        if argument.kind == prototypes.MEMORY or any(tag.startswith(TAG_PREFIX) for tag in tags):
            return None
    return arguments


def _fits(argument: Argument, value: Value | None) -> bool:
    if argument.kind == prototypes.ANYTHING:
        return isinstance(value, Scalar)
    if not isinstance(value, Pointer):
        return False
    if argument.kind == prototypes.CONTEXT:
        return value.kind == CTX and value.off == 0 and value.var.is_number(0)
    if argument.kind == prototypes.DYNPTR:
        return value.kind == STACK or value.kind == CONST_DYNPTR
    return False
