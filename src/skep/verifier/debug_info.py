"""Names, linkage and prototypes of functions, from func_info; line_info is checked too.

Source: Linux 6.18 kernel/bpf/verifier.c (check_btf_func, check_btf_line).
"""

import errno

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.errors import BtfError
from skep.verifier.decode import refuse
from skep.verifier.interface import LineTable, Request
from skep.verifier.program import Function, Program
from skep.verifier.rules import flow

GLOBAL_LINKAGE = 1


def attach_debug_info(request: Request, program: Program) -> None:
    """Give every function of *program* what func_info says of it.

    Raises:
        Rejected: records do not match the program.
    """
    infos = request.function_infos
    if not infos or request.btf is None:
        _check_abnormal_returns(program)
        _check_lines(request, program)
        return
    if len(infos) != len(program.functions):
        raise refuse(
            flow.DEBUG_INFO, -1, "number of funcs in func_info doesn't match number of subprogs"
        )
    for function, info in zip(program.functions, infos, strict=True):
        if info.pc != function.start:
            raise refuse(
                flow.DEBUG_INFO,
                function.start,
                "func_info BTF section doesn't match subprog layout in BPF program",
            )
        _describe(request.btf, function, info.type_id)
    _check_lines(request, program)


def _check_abnormal_returns(program: Program) -> None:
    for function in program.functions[1:]:
        for used, name in (
            (function.has_ld_abs, "LD_ABS"),
            (function.has_tail_call, "tail_call"),
        ):
            if used:
                raise refuse(
                    flow.DEBUG_INFO,
                    function.start,
                    f"{name} is not allowed in subprogs without BTF",
                )


def _describe(btf: Btf, function: Function, type_id: int) -> None:
    try:
        type_ = btf.type(type_id)
    except BtfError:
        type_ = None
    if not isinstance(type_, kinds.Func):
        raise refuse(flow.DEBUG_INFO, function.start, f"invalid type id {type_id} in func info")
    function.name = type_.name
    function.type_id = type_id
    function.is_global = type_.linkage == GLOBAL_LINKAGE and function.number > 0
    if function.number == 0:
        return
    returned = btf.resolved(btf.func_proto(type_id).returns)
    if isinstance(returned, (kinds.Int, kinds.Enumeration)):
        return
    for used, name in (
        (function.has_ld_abs, "LD_ABS"),
        (function.has_tail_call, "tail_call"),
    ):
        if used:
            raise refuse(
                flow.DEBUG_INFO,
                function.start,
                f"{name} is only allowed in functions that return 'int'.",
            )


def _check_lines(request: Request, program: Program) -> None:
    infos = request.line_infos
    if not infos:
        return
    previous = -1
    starts = {function.start for function in program.functions}
    lines = infos.starts if isinstance(infos, LineTable) else [info.pc for info in infos]
    for index, pc in enumerate(lines):
        if pc <= previous or pc >= program.size:
            raise refuse(
                flow.DEBUG_INFO,
                pc,
                f"Invalid line_info[{index}].insn_off:{pc} "
                f"(prev_offset:{max(previous, 0)} prog->len:{program.size})",
            )
        if program.steps[pc] is None:
            raise refuse(flow.DEBUG_INFO, pc, f"Invalid insn code at line_info[{index}].insn_off")
        previous = pc
    starts.difference_update(lines)
    if starts:
        raise refuse(
            flow.DEBUG_INFO,
            min(starts),
            f"missing bpf_line_info for func#{program.function_at[min(starts)].number}",
            errno=errno.EINVAL,
        )
