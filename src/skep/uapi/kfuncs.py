"""THE kfunc table: kernel functions that programs may call, and by which program types.

Prototypes are the kernel BTF's. All of these take numbers and pointers to live sockets, neither
take over nor hand out references, and do not sleep. cubictcp_acked and bbr_main are left out: their
structs of numbers may be any memory.

Source: Linux 6.18 net/ipv4/bpf_tcp_ca.c, tcp_cubic.c and tcp_bbr.c, as the running kernel shows it.
"""

from typing import Final

from skep.uapi.flags import ProgType

_CONGESTION: Final = (
    "tcp_reno_ssthresh",
    "tcp_reno_cong_avoid",
    "tcp_reno_undo_cwnd",
    "tcp_slow_start",
    "tcp_cong_avoid_ai",
    "cubictcp_init",
    "cubictcp_recalc_ssthresh",
    "cubictcp_cong_avoid",
    "cubictcp_state",
    "cubictcp_cwnd_event",
    "bbr_init",
    "bbr_sndbuf_expand",
    "bbr_undo_cwnd",
    "bbr_cwnd_event",
    "bbr_ssthresh",
    "bbr_min_tso_segs",
    "bbr_set_state",
)
KFUNCS: Final[dict[str, frozenset[int]]] = {
    name: frozenset((ProgType.STRUCT_OPS,)) for name in _CONGESTION
}


def may_call(name: str, program_type: int) -> bool | None:
    """Tell whether programs of the type may call the kernel function; None if unknown here."""
    types = KFUNCS.get(name)
    return None if types is None else program_type in types
