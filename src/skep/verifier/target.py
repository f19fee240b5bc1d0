"""The attach target of a typed program: the function whose arguments are its context.

Source: Linux 6.18 kernel/bpf/verifier.c (bpf_check_attach_target, check_attach_btf_id),
kernel/bpf/bpf_lsm.c (bpf_lsm_verify_prog, bpf_lsm_get_retval_range).
"""

from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import BtfError
from skep.uapi import attach_targets as table
from skep.uapi.attach_types import LAST_IN_6_18
from skep.uapi.flags import AttachType, ProgType
from skep.uapi.program_types import ReturnRange
from skep.uapi.struct_ops import Structure
from skep.uapi.typed_contexts import ITERATORS
from skep.verifier.extension import Extension, require_target, traced_prototype
from skep.verifier.interface import Proof, Request
from skep.verifier.report import Rejected
from skep.verifier.rules import flow
from skep.verifier.rules.rule import NOT_SUPPORTED

TRACE_PREFIX: Final = "btf_trace_"
ITER_PREFIX: Final = "bpf_iter_"
LSM_PREFIX: Final = "bpf_lsm_"
MAX_ARGUMENTS: Final = 12
MAX_ERRNO: Final = 4095
ENOTSUPP: Final = 524
MAX_ARGUMENT_SIZE: Final = 16
SLEEPABLE: Final = 16  # BPF_F_SLEEPABLE
HOOKS: Final = "security_list_options"  # the union of all LSM hooks
_FUNCTIONS: Final = (
    AttachType.TRACE_FENTRY, AttachType.TRACE_FEXIT, AttachType.MODIFY_RETURN, AttachType.LSM_MAC,
    AttachType.LSM_CGROUP,
)  # fmt: skip
_RETURNED: Final = (kinds.Int, kinds.Enumeration, kinds.Ptr)
_PASSED: Final = (kinds.Int, kinds.Enumeration, kinds.Ptr, kinds.Composite)


class Span:
    """Bytes *start* to *end* of an object; *inside*: stores may begin anywhere in them."""

    def __init__(self, start: int, end: int, inside: bool) -> None:
        self.start = start
        self.end = end
        self.inside = inside


class Target:
    """What a typed program is attached to.

    Args:
        name: name of the function, hook or tracepoint; of a tracepoint without prefix.
        btf: where its types are.
        proto: its prototype.
        hidden: leading parameters that the program does not see.
    """

    def __init__(self, name: str, btf: Btf, proto: kinds.FuncProto, hidden: int) -> None:
        self.name = name
        self.btf = btf
        self.proto = proto
        self.hidden = hidden
        self.returns_void: bool = proto.returns == 0
        self.return_range: ReturnRange | None = None  # of an LSM hook; None: anything
        self.structure: Structure | None = None  # of struct_ops: whose member it is
        self.writable: list[Span] | None = None  # what it may write to, once that was asked
        self.program: Proof | None = None  # whose function it is
        self.only_words: bool = False  # nobody knows what its arguments are


def _refuse(detail: str, number: int = 0) -> Rejected:
    return Rejected(flow.ATTACH_TARGET, pc=-1, detail=detail, errno=number)


def _not_typed(attach_type: int) -> Rejected:
    later = "; it came after Linux 6.18" if attach_type > LAST_IN_6_18 else ""
    return _refuse(f"expected attach type {attach_type} is not one of typed programs{later}")


def _unknown(what: str) -> Rejected:
    return Rejected(NOT_SUPPORTED, pc=-1, detail=f"{what} is not supported")


def resolve_target(request: Request) -> Target:
    """Find what *request*'s tracing or LSM program is attached to.

    Raises:
        Rejected: there is no such target, or it is not one for this attach type.
    """
    if request.attach_program is not None:
        return _of_program(request, request.attach_program)
    if not request.attach_btf_id:
        raise _refuse("Tracing programs must provide btf_id")
    btf = request.attach_btf or request.environment.kernel_btf
    if btf is None:
        raise _unknown("attaching without kernel BTF")
    try:
        type_ = btf.type(request.attach_btf_id)
    except BtfError:
        raise _refuse(f"attach_btf_id {request.attach_btf_id} is invalid") from None
    attach_type = request.expected_attach_type
    if attach_type == AttachType.TRACE_RAW_TP:
        return _tracepoint(request, btf, type_)
    if attach_type == AttachType.TRACE_ITER:
        return _iterator(request, btf, type_)
    if attach_type not in _FUNCTIONS:
        raise _not_typed(attach_type)
    target = _function(request, btf, type_)
    if request.program_type.id == ProgType.LSM:
        _check_hook(request, target)
    else:
        _check_traced(request, target)
    return target


def _tracepoint(request: Request, btf: Btf, type_: kinds.Type) -> Target:
    if not isinstance(type_, kinds.Typedef):
        raise _refuse(f"attach_btf_id {request.attach_btf_id} is not a typedef")
    if not type_.name.startswith(TRACE_PREFIX):
        raise _refuse(
            f"attach_btf_id {request.attach_btf_id} points to wrong type name {type_.name}"
        )
    proto = btf.func_proto(request.attach_btf_id)
    return Target(type_.name.removeprefix(TRACE_PREFIX), btf, proto, 1)


def _iterator(request: Request, btf: Btf, type_: kinds.Type) -> Target:
    target = _function(request, btf, type_)
    if not target.name.startswith(ITER_PREFIX):
        raise _refuse(f"{target.name} is not an iterator")
    if target.name.removeprefix(ITER_PREFIX) not in ITERATORS:
        raise _unknown(f"the iterator {target.name}")
    return target


def _function(request: Request, btf: Btf, type_: kinds.Type) -> Target:
    if not isinstance(type_, kinds.Func):
        raise _refuse(f"attach_btf_id {request.attach_btf_id} is not a function")
    proto = btf.func_proto(request.attach_btf_id)
    if len(proto.params) > MAX_ARGUMENTS:
        raise _refuse(f"The function {type_.name} has {len(proto.params)} arguments. Too many.")
    _check_sizes(btf, type_.name, proto)
    return Target(type_.name, btf, proto, 0)


def _of_program(request: Request, traced: Proof) -> Target:
    """The function of another program that a tracing program sees."""
    attach_type, type_id = request.expected_attach_type, request.attach_btf_id
    main = request.function_infos[0].type_id if request.function_infos else 0
    function = require_target(Extension(request, main, False, False), traced, type_id)
    if attach_type == AttachType.TRACE_ITER:
        if not function.name.startswith(ITER_PREFIX):
            raise _refuse(f"{function.name} is not an iterator")
        raise _unknown("an iterator over a function of another program")
    if attach_type not in _FUNCTIONS:
        raise _not_typed(attach_type)
    btf, proto = traced.request.btf, traced_prototype(traced, function)
    assert btf is not None
    if proto is not None:
        if len(proto.params) > MAX_ARGUMENTS:
            raise _refuse(f"The function {function.name} has {len(proto.params)} arguments.")
        _check_sizes(btf, function.name, proto)
    if request.prog_flags & SLEEPABLE:
        raise _refuse(f"{function.name} is not sleepable")
    if attach_type == AttachType.MODIFY_RETURN:
        raise _refuse("can't modify return codes of BPF programs")
    if attach_type in (AttachType.LSM_MAC, AttachType.LSM_CGROUP):
        raise _refuse("the expected attach type is one of LSM programs", ENOTSUPP)
    target = Target(function.name, btf, proto or btf.func_proto(type_id), 0)
    target.program, target.only_words = traced, proto is None
    return target


def _check_sizes(btf: Btf, name: str, proto: kinds.FuncProto) -> None:
    """Refuse what trampolines cannot pass on (btf_distill_func_proto)."""
    result = btf.resolved(proto.returns) if proto.returns else None
    if result is not None and not isinstance(result, _RETURNED):
        raise _refuse(f"The function {name} return type {result.kind.name} is unsupported.")
    if proto.variadic:
        raise _refuse(f"The function {name} with variable args is unsupported.")
    for number, param in enumerate(proto.params):
        type_ = btf.resolved(param.type)
        fits = isinstance(type_, _PASSED)
        if not fits or btf.size_of(param.type) > MAX_ARGUMENT_SIZE:
            raise _refuse(f"The function {name} arg{number} type {type_.kind.name} is unsupported.")
        if btf.size_of(param.type) == 0:
            raise _refuse(f"The function {name} has malformed void argument.")


def _check_traced(request: Request, target: Target) -> None:
    """Which functions may be slept in or modified as Linux 7.3 says without error injection.

    Linux 6.18 does not let programs sleep in system calls then.
    """
    name = target.name
    attach_type = request.expected_attach_type
    if attach_type in (AttachType.LSM_MAC, AttachType.LSM_CGROUP):
        raise _refuse("the expected attach type is one of LSM programs", ENOTSUPP)
    syscall = name.startswith(table.SYSCALL_PREFIXES)
    if request.prog_flags & SLEEPABLE:
        if not syscall and name not in table.SLEEPABLE_TESTS:
            raise _refuse(f"{name} is not sleepable")
    elif (
        attach_type == AttachType.MODIFY_RETURN
        and not (syscall or name.startswith(table.MODIFIABLE_PREFIX))
        and name not in table.MODIFIABLE_TESTS
    ):
        raise _refuse(f"{name}() is not modifiable")
    if name in table.NEVER_TRACED:
        raise _refuse(f"{name} cannot be traced")
    if attach_type != AttachType.TRACE_FENTRY and name in table.NEVER_RETURN:
        raise _refuse("Attaching fexit/fmod_ret to __noreturn functions is rejected.")


def _check_hook(request: Request, target: Target) -> None:
    hook = target.name.removeprefix(LSM_PREFIX)
    if request.prog_flags & SLEEPABLE and hook not in table.SLEEPABLE_LSM_HOOKS:
        raise _refuse(f"{target.name} is not sleepable")
    if hook in table.DISABLED_LSM_HOOKS:
        raise _refuse(
            f"attach_btf_id {request.attach_btf_id} points to disabled hook {target.name}"
        )
    if hook == target.name or not _is_hook(target.btf, hook):
        raise _refuse(
            f"attach_btf_id {request.attach_btf_id} points to wrong type name {target.name}"
        )
    if not target.returns_void:
        boolean = hook in table.BOOLEAN_LSM_HOOKS
        target.return_range = ReturnRange(0, 1) if boolean else ReturnRange(-MAX_ERRNO, 0)
    if request.expected_attach_type == AttachType.LSM_CGROUP:
        target.return_range = ReturnRange(1, 1) if target.returns_void else ReturnRange(0, 1)


def _is_hook(btf: Btf, hook: str) -> bool:
    """Whether the kernel has this hook: bpf_lsm_ begins the names of other functions, too."""
    hooks = btf.by_name(HOOKS, Kind.UNION)
    if hooks is None:  # BTF that holds only what programs of today need
        return hook not in table.NO_LSM_HOOKS
    return any(member.name == hook for member in btf.members(hooks))
