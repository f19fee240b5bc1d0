"""PROG_TEST_RUN: run a program on data and context that the caller gives.

Linux refuses kprobe, tracepoint, perf event and cgroup device programs (ENOTSUPP); skep runs them
too if a context is given, since that is all they need.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_test_run), net/bpf/test_run.c.
"""

from collections.abc import Callable, Mapping
from typing import Final

from skep.syscall.call import Call
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind
from skep.syscall.run_contexts import (
    run_event,
    run_netfilter,
    run_raw,
    run_sk_lookup,
    run_syscall,
    run_tracing,
)
from skep.syscall.run_packets import run_flow, run_skb, run_xdp
from skep.syscall.state import State
from skep.syscall.trial import Trial
from skep.uapi import reasons_runs as reasons
from skep.uapi.commands import TestRun

RUNNERS: Final[Mapping[str, Callable[[Trial], object]]] = {
    "socket_filter": run_skb,
    "sched_cls": run_skb,
    "sched_act": run_skb,
    "cgroup_skb": run_skb,
    "lwt_in": run_skb,
    "lwt_out": run_skb,
    "lwt_xmit": run_skb,
    "xdp": run_xdp,
    "flow_dissector": run_flow,
    "sk_lookup": run_sk_lookup,
    "raw_tracepoint": run_raw,
    "syscall": run_syscall,
    "tracing": run_tracing,
    "netfilter": run_netfilter,
    "kprobe": run_event,
    "tracepoint": run_event,
    "perf_event": run_event,
    "cgroup_device": run_event,
}


def test_run(state: State, call: Call[TestRun]) -> int:
    """PROG_TEST_RUN: run, and give out result, data and context."""
    attr = call.attr
    for way in ("in", "out"):
        size, pointer = getattr(attr, f"ctx_size_{way}"), getattr(attr, f"ctx_{way}")
        call.check(bool(size) == bool(pointer), reasons.CONTEXT_SIZE_ALONE, "", f"ctx_{way}")
    with state.objects.using(call.command.name, attr.prog_fd, Kind.PROG, "prog_fd") as holding:
        program = holding.target
        assert isinstance(program, LoadedProgram)
        runner = RUNNERS.get(program.type.name)
        if runner is None:
            raise call.refusal(reasons.PROG_TYPE, f"not for {program.type.name} programs")
        runner(Trial(state, call, program))
    return 0
