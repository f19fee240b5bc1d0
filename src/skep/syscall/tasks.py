"""TASK_FD_QUERY: which program and event a descriptor of a task stands for.

The descriptors of a subsystem are those of this process; other tasks have none of them.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_task_fd_query, bpf_task_fd_query_copy).
"""

import os
from pathlib import Path

from skep.attach.perf_events import PerfEvent
from skep.attach.tracepoints import RawTracepointLink
from skep.syscall.call import Call
from skep.syscall.objects import Holding
from skep.syscall.state import State
from skep.uapi import reasons_tracing as reasons
from skep.uapi.commands import TaskFdQuery
from skep.uapi.flags import FdType, ProgType


def query(state: State, call: Call[TaskFdQuery]) -> int:
    """TASK_FD_QUERY: program, kind of event, and its name."""
    attr = call.attr
    call.check(not attr.flags, reasons.TASK_FLAGS)
    call.check(Path(f"/proc/{attr.pid}").exists(), reasons.TASK_UNKNOWN)
    holding = state.objects.find(attr.fd) if attr.pid == os.getpid() else None
    if holding is None:
        call.check(Path(f"/proc/{attr.pid}/fd/{attr.fd}").is_symlink(), reasons.TASK_FD)
        raise call.refusal(reasons.TASK_KIND)
    kind, program, name = _event(call, holding)
    return _answer(call, kind, program, name)


def _event(call: Call[TaskFdQuery], holding: Holding) -> tuple[FdType, int, str]:
    target = holding.target
    if isinstance(target, RawTracepointLink):
        return FdType.RAW_TRACEPOINT, target.program.id, target.point.name
    if not isinstance(target, PerfEvent):
        raise call.refusal(reasons.TASK_KIND)
    if target.program is None:
        raise call.refusal(reasons.TASK_PROGRAM)
    if target.point is None or target.program.type.id != ProgType.TRACEPOINT:
        raise call.refusal(reasons.TASK_EVENT)
    return FdType.TRACEPOINT, target.program.id, target.point.name


def _answer(call: Call[TaskFdQuery], kind: FdType, program: int, name: str) -> int:
    room, data = call.attr.buf_len, name.encode() + b"\0"
    call.put("buf_len", len(data) - 1)
    fits = not room or room >= len(data)
    if room and call.attr.buf:
        call.write("buf", data if fits else data[: room - 1] + b"\0")
    call.put("prog_id", program)
    call.put("fd_type", kind)
    call.put("probe_offset", 0)
    call.put("probe_addr", 0)
    call.check(fits or not call.attr.buf, reasons.TASK_ROOM)
    return 0
