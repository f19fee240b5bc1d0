"""perf_event_open(2) and its ioctls for the events of a world, and links on them.

Source: Linux 6.18 kernel/events/core.c, kernel/bpf/syscall.c (bpf_perf_link_attach).
"""

from typing import Final

from skep.attach.perf_events import TYPE_TRACEPOINT, PerfEvent, PerfEventLink, check_open
from skep.syscall.call import Call
from skep.syscall.firing import runner
from skep.syscall.hooked import install_link, loaded
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.uapi import reasons_tracing as reasons
from skep.uapi.commands import LinkCreate
from skep.uapi.reason import Refusal

ENABLE: Final = 0x2400
DISABLE: Final = 0x2401
SET_BPF: Final = 0x4004_2408
REQUESTS: Final = frozenset({ENABLE, DISABLE, SET_BPF})


def open_event(state: State, type: int, config: int) -> int:  # noqa: A002
    """perf_event_open(2): a descriptor of a new event; *config* of type 2 is a tracepoint's id."""
    point = state.world.tracepoints.by_id(config) if type == TYPE_TRACEPOINT else None
    check_open(type, config, point)
    event = PerfEvent(type, config, point, runner(state))
    event.id = state.new_id(Kind.PERF_EVENT)
    return state.objects.install(Kind.PERF_EVENT, event)


def control(state: State, fd: int, request: int, argument: int) -> int:
    """ioctl(2) on a perf event: SET_BPF with a program's descriptor, ENABLE, DISABLE; 0."""
    objects = state.objects
    with objects.lock:
        holding = objects.get("IOCTL", fd)
        event = holding.target
        if not isinstance(event, PerfEvent) or request not in REQUESTS:
            raise Refusal("IOCTL", reasons.PERF_REQUEST, f"request {request:#x} of fd {fd}")
        if request != SET_BPF:
            event.enabled = request == ENABLE
            return 0
        program = objects.get("IOCTL", argument, Kind.PROG)
        event.attach(loaded(program))
        holding.holds.append(objects.take(program))
    return 0


def create(state: State, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE: put a program on the event that target_fd names."""
    attr = call.attr
    call.check(not attr.flags, reasons.PERF_FLAGS)
    event = state.objects.find(attr.target_fd)
    if event is None or not isinstance(event.target, PerfEvent):
        raise call.refusal(reasons.PERF_FD)
    number = state.new_id(Kind.LINK)
    link = PerfEventLink(number, loaded(holding), event.target, attr.word16)
    return install_link(state, link, holding, event)
