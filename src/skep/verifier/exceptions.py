"""Where a program's exception callback is: the function that bpf_throw() goes on with.

The main function names it by a declaration tag, ``exception_callback:NAME``. Without one, what is
thrown is the program's result.

Source: Linux 6.18 kernel/bpf/verifier.c (bpf_find_exception_callback_insn_off).
"""

import errno
from typing import Final

from skep.btf import kinds
from skep.btf.kinds import Kind
from skep.verifier.interface import Request
from skep.verifier.report import Rejected
from skep.verifier.rules import flow

TAG: Final = "exception_callback:"


def exception_callback(request: Request) -> int:
    """Where the program's exception callback starts; 0 if it has none of its own.

    Raises:
        Rejected: the tag names what cannot be one.
    """
    btf, infos = request.btf, request.function_infos
    if btf is None or not infos or not btf.has(infos[0].type_id):
        return 0
    if TAG.encode() not in btf.strings:  # most programs: no type need be looked at
        return 0
    tags = [tag for tag in btf.decl_tags(infos[0].type_id) if tag.startswith(TAG)]
    if not tags:
        return 0
    if len(tags) > 1:
        raise _refusal("multiple exception callback tags for main subprog", errno.EEXIST)
    name = tags[0][len(TAG) :]
    found = btf.by_name(name, Kind.FUNC)
    if found is None:
        raise _refusal(f"exception callback '{name}' could not be found in BTF", errno.ENOENT)
    function = btf.type(found)
    if not isinstance(function, kinds.Func) or function.linkage != kinds.GLOBAL:
        raise _refusal(f"exception callback '{name}' must have global linkage")
    starts = [info.pc for info in infos if info.type_id == found]
    if not starts:
        raise _refusal("exception callback type id not found in func_info")
    if 0 in starts:
        raise _refusal("invalid exception callback insn_off in func_info: 0")
    return starts[-1]


def _refusal(detail: str, code: int = errno.EINVAL) -> Rejected:
    return Rejected(flow.EXCEPTION_CALLBACK, pc=-1, detail=detail, errno=code)
