"""Programs that are attached to a function of another program: extensions, and what traces it.

An extension (freplace) takes the place of a global function: it gets its arguments, and lives by
the rules of the target's program type. What traces a function sees its arguments as words.

Invariant: an extension begins with nothing that callers of the function do not guarantee. Linux
compares less than is compared here (see ``match_functions``).

Source: Linux 6.18 kernel/bpf/verifier.c (bpf_check_attach_target, check_attach_btf_id).
"""

from dataclasses import replace
from typing import Final

from skep.btf import kinds
from skep.uapi.flags import AttachType, ProgType
from skep.uapi.program_types import ProgramType
from skep.verifier.extension_match import match_functions
from skep.verifier.interface import Proof, Request, Subprogram
from skep.verifier.prototypes import BadPrototype, UnknownPrototype, arguments_of
from skep.verifier.report import Rejected
from skep.verifier.rules import flow
from skep.verifier.rules.rule import NOT_SUPPORTED

_TRACED_ENDS: Final = (AttachType.TRACE_FENTRY, AttachType.TRACE_FEXIT)


class Extension:
    """What is asked of a program that shall be attached to a function of another.

    Args:
        request: how it was loaded.
        type_id: BTF id of its main function, 0 for none.
        changes_packet: it may change packets. *might_sleep*: it may sleep.
        runs_asleep: it is, or will be, verified for targets that may sleep.
    """

    def __init__(
        self,
        request: Request,
        type_id: int,
        changes_packet: bool,
        might_sleep: bool,
        runs_asleep: bool = True,
    ) -> None:
        self.request = request
        self.type_id = type_id
        self.changes_packet = changes_packet
        self.might_sleep = might_sleep
        self.runs_asleep = runs_asleep
        self.extends: bool = request.program_type.id == ProgType.EXT


def extension_of(proof: Proof) -> Extension:
    """The same of a program that is loaded."""
    main = proof.subprograms[0]
    return Extension(
        proof.request, main.type_id, main.changes_packet, main.might_sleep, main.runs_asleep
    )


def lent_type(target: Proof) -> ProgramType:
    """The program type whose context and rules hold in *target*."""
    request = target.request
    if request.program_type.id == ProgType.EXT and request.attach_program is not None:
        return request.attach_program.request.program_type
    return request.program_type


def inherit(request: Request, target: Proof) -> Request:
    """The request of an extension, as if it were of its *target*'s type."""
    known = target.request
    return replace(
        request,
        program_type=known.program_type,
        expected_attach_type=known.expected_attach_type,
    )


def find_function(target: Proof, type_id: int) -> Subprogram:
    """The function of *target* that BTF calls *type_id*.

    Raises:
        Rejected: it has no BTF, or no such function.
    """
    btf = target.request.btf
    if not type_id:
        raise _refuse("Tracing programs must provide btf_id")
    if btf is None:
        raise _refuse(
            "FENTRY/FEXIT program can only be attached to another program annotated with BTF"
        )
    if not btf.has(type_id):
        raise _refuse(f"attach_btf_id {type_id} is invalid")
    removes_dead = target.request.privileged or target.request.has_cap_bpf
    for function in target.subprograms:
        if function.type_id == type_id and (target.seen[function.start] or not removes_dead):
            return function
    raise _refuse(
        f"Subprog {btf.type(type_id).name} doesn't exist",
        "functions that no path comes to are left out of a loaded program",
    )


def require_target(extension: Extension, target: Proof, type_id: int) -> Subprogram:
    """The function of *target* that *extension* may be attached to.

    Raises:
        Rejected: it may not be, or there is no such function.
    """
    function = find_function(target, type_id)
    _require_kind(extension, target, function)
    request = extension.request
    if request.expected_attach_type == AttachType.TRACE_RAW_TP:
        raise _refuse("Only FENTRY/FEXIT progs are attachable to another BPF prog")
    if extension.extends:
        _require_signature(extension, target, function)
    return function


def _require_kind(extension: Extension, target: Proof, function: Subprogram) -> None:
    """Refuse what neither types nor signatures are needed for to see that it does not fit."""
    extends, kind = extension.extends, target.request.program_type.id
    if function.is_exception_callback:
        what = "Extension" if extends else "FENTRY/FEXIT"
        raise _refuse(f"{what} programs cannot attach to exception callback")
    if extends:
        if not function.is_reliable:
            raise _refuse(
                "Cannot replace static functions",
                "replace a global function; a main program must take its context, and only that",
            )
        if extension.changes_packet and not function.changes_packet:
            raise _refuse(
                "Extension program changes packet data, while original does not",
                "the target's packet pointers would stay as they are; let the function that is "
                "replaced call such a helper, too",
            )
        if extension.might_sleep and not function.might_sleep:
            raise _refuse("Extension program may sleep, while original does not")
        if function.runs_asleep and not extension.runs_asleep:
            raise _refuse(
                "Extension program was loaded for a function that is not called where one may sleep"
            )
        if kind == ProgType.EXT:
            raise _refuse("Cannot recursively attach")
        if kind == ProgType.TRACING and target.request.expected_attach_type in _TRACED_ENDS:
            raise _refuse("Cannot extend fentry/fexit")
    elif _traces_tracing(target):
        raise _refuse("Cannot nest tracing program attach more than once")


def _traces_tracing(target: Proof) -> bool:
    """Whether *target* is a tracing program on another tracing program."""
    request = target.request
    traced = request.attach_program
    return (
        request.program_type.id == ProgType.TRACING
        and traced is not None
        and traced.request.program_type.id == ProgType.TRACING
    )


def _require_signature(extension: Extension, target: Proof, function: Subprogram) -> None:
    request, known = extension.request, target.request
    if request.btf is None or not extension.type_id or known.btf is None:
        raise _refuse("Program extension requires BTF")
    if known.program_type.id == ProgType.STRUCT_OPS:
        raise Rejected(
            NOT_SUPPORTED, pc=-1, detail="extending struct_ops programs is not supported"
        )
    match_functions(request.btf, extension.type_id, known.btf, function.type_id)
    try:
        taken = arguments_of(inherit(request, target), extension.type_id)
    except (BadPrototype, UnknownPrototype):
        return  # refused as that of a function that is verified by itself
    try:
        given = arguments_of(known, function.type_id)
    except (BadPrototype, UnknownPrototype) as error:
        raise _refuse(str(error)) from None
    for index, argument in enumerate(taken):
        if not argument.covers(given[index]):
            raise _refuse(
                f"arg{index} of the extension promises more than callers of "
                f"{function.name}() guarantee",
                "declare it as the function does: the same structure, and no tags beyond its own",
            )


def traced_prototype(target: Proof, function: Subprogram) -> kinds.FuncProto | None:
    """The prototype of a function that is traced; None if its BTF is not to be relied on."""
    btf = target.request.btf
    if btf is None or not function.is_reliable:
        return None
    return btf.func_proto(function.type_id)


def _refuse(detail: str, hint: str = "") -> Rejected:
    return Rejected(flow.ATTACH_TARGET, pc=-1, detail=detail, hint=hint)
