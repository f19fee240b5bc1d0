"""An extension becomes what it extends: from here on it is verified by the target's rules.

Source: Linux 6.18 kernel/bpf/verifier.c (check_attach_btf_id).
"""

from skep.btf.graph import Btf
from skep.verifier.check import Check
from skep.verifier.extension import Extension, inherit, require_target
from skep.verifier.interface import Request
from skep.verifier.report import Rejected
from skep.verifier.rules import flow
from skep.verifier.setup import check_maps


def adopt(check: Check) -> None:
    """Let an extension be verified by the rules of the program that it extends.

    Raises:
        Rejected: it may not extend it.
    """
    request, main = check.request, check.program.functions[0]
    if not request.attach_btf_id:
        raise _refuse("Tracing programs must provide btf_id")
    target = request.attach_program
    if target is None:
        raise _without_program(request)
    extension = Extension(request, main.type_id, main.changes_packet, main.might_sleep)
    function = require_target(extension, target, request.attach_btf_id)
    main.called_asleep = function.runs_asleep  # RCU protects nothing there
    check.follow(inherit(request, target))
    check.extends = True
    check_maps(check)


def _without_program(request: Request) -> Rejected:
    """The refusal of an extension of what is no program."""
    btf: Btf | None = request.attach_btf or request.environment.kernel_btf
    type_id = request.attach_btf_id
    if btf is not None and not btf.has(type_id):
        return _refuse(f"attach_btf_id {type_id} is invalid")
    return _refuse("Cannot replace kernel functions")


def _refuse(detail: str) -> Rejected:
    return Rejected(flow.ATTACH_TARGET, pc=-1, detail=detail)
