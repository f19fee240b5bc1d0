"""RAW_TRACEPOINT_OPEN, and LINK_CREATE of typed raw tracepoints (tp_btf).

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_raw_tracepoint_open, bpf_raw_tp_link_attach).
"""

from typing import Final

from skep.attach.tracepoints import RawTracepointLink, name_of_target
from skep.syscall.call import Call
from skep.syscall.firing import runner
from skep.syscall.hooked import install_link, loaded, program_at
from skep.syscall.objects import Holding, Kind
from skep.syscall.on_functions import open_old
from skep.syscall.state import State
from skep.uapi import reasons_tracing as reasons
from skep.uapi.commands import LinkCreate, RawTracepointOpen
from skep.uapi.flags import AttachType, ProgType

NAMES_TARGET: Final = frozenset({ProgType.TRACING, ProgType.EXT, ProgType.LSM})
RAW: Final = frozenset({ProgType.RAW_TRACEPOINT, ProgType.RAW_TRACEPOINT_WRITABLE})
NAME_SIZE: Final = 127


def open_raw_tracepoint(state: State, call: Call[RawTracepointOpen]) -> int:
    """RAW_TRACEPOINT_OPEN: put a program on a tracepoint; a descriptor of the link."""
    attr = call.attr
    with state.objects.lock:
        holding = program_at(state, call, attr.prog_fd)
        kind = loaded(holding).type.id
        if kind in NAMES_TARGET:
            call.check(not attr.name, reasons.RAW_NAMED)
            if loaded(holding).proof.request.expected_attach_type != AttachType.TRACE_RAW_TP:
                return open_old(state, call, holding)
            return _attach(state, call, holding, name_of_target(loaded(holding)), attr.cookie)
        call.check(kind in RAW, reasons.RAW_PROGRAM)
        name = call.text("name", NAME_SIZE).decode("latin-1")
        return _attach(state, call, holding, name, attr.cookie)


def create_typed(state: State, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE of a tracing program: on the tracepoint that it was loaded for."""
    return _attach(state, call, holding, name_of_target(loaded(holding)), call.attr.word24)


def _attach(
    state: State,
    call: Call[LinkCreate] | Call[RawTracepointOpen],
    holding: Holding,
    name: str,
    cookie: int,
) -> int:
    point = state.world.tracepoints.find(name) if ":" not in name else None
    if point is None:
        field = "name" if isinstance(call.attr, RawTracepointOpen) else "prog_fd"
        raise call.refusal(reasons.RAW_UNKNOWN, f"the world has no tracepoint {name!r}", field)
    number = state.new_id(Kind.LINK)
    link = RawTracepointLink(number, loaded(holding), point, cookie, runner(state))
    return install_link(state, link, holding)
