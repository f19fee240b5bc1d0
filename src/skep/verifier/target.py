"""The attach target of a typed program: the function whose arguments are its context.

Source: Linux 6.18 kernel/bpf/verifier.c (bpf_check_attach_target, check_attach_btf_id).
"""

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.uapi.program_types import ReturnRange


class Target:
    """What a typed program is attached to.

    Args:
        name: name of the function, hook or tracepoint.
        btf: where its types are.
        proto: its prototype; of a tracepoint, without the leading data argument.
        returns_void: it has no return value.
        return_range: what the program may return; None for anything.
    """

    def __init__(self, name: str, btf: Btf, proto: kinds.FuncProto) -> None:
        self.name = name
        self.btf = btf
        self.proto = proto
        self.returns_void: bool = proto.returns == 0
        self.return_range: ReturnRange | None = None
