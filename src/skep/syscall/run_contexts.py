"""Test runs on contexts without a packet: socket look-ups, tracing events, system calls.

Source: Linux 6.18 net/bpf/test_run.c.
"""

from typing import Final

from skep.attach import contexts
from skep.attach.contexts import Stage
from skep.syscall.loaded import LoadedProgram
from skep.syscall.trial import Trial
from skep.uapi import reasons_runs as reasons
from skep.uapi.contexts import SK_LOOKUP, by_name
from skep.uapi.flags import AttachType, TestRunFlag
from skep.verifier.interface import Memory

SIZES: Final = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}  # bits 3-4 of a load's opcode


def run_sk_lookup(trial: Trial) -> None:
    """A socket look-up, for addresses and ports that the caller gives."""
    trial.unused(
        "flags", "cpu", "batch_size", "data_in", "data_size_in", "data_out", "data_size_out"
    )
    context = trial.context(SK_LOOKUP.size)
    if context is None:
        raise trial.call.refusal(reasons.CONTEXT_NEEDED)
    trial.check(not any(context[0:8]), reasons.CONTEXT, "sk must be 0")
    trial.check(not any(context[64:]), reasons.CONTEXT, "ingress_ifindex must be 0")
    port = int.from_bytes(context[60:64], "little")
    trial.check(port <= 0xFFFF, reasons.PORT, f"local_port {port}")
    family = int.from_bytes(context[8:10], "little")
    known = (contexts.AF_INET, contexts.AF_INET6)
    trial.check(family in known, reasons.FAMILY, f"family {family}")
    stage = contexts.plain(SK_LOOKUP, bytes(context))
    trial.execute(stage, trial.call.attr.repeat)
    trial.finish(b"")
    trial.finish_context(context)


def run_raw(trial: Trial) -> None:
    """A raw tracepoint, with up to twelve arguments that the caller gives."""
    trial.unused("data_in", "data_out", "ctx_out", "duration", "repeat", "batch_size")
    attr = trial.call.attr
    on_cpu = int(TestRunFlag.RUN_ON_CPU)
    trial.check(attr.flags & on_cpu or not attr.cpu, reasons.CPU_FLAG)
    trial.check(attr.cpu < trial.state.world.cpus, reasons.CPU)
    run_words(trial, most=96, cpu=attr.cpu if attr.flags & on_cpu else None)


def run_syscall(trial: Trial) -> None:
    """A syscall program; what it changes in its context goes back to the caller."""
    trial.unused("data_in", "data_out", "ctx_out", "duration", "repeat", "flags", "batch_size")
    stage = run_words(trial, most=0xFFFF)
    attr = trial.call.attr
    if attr.ctx_size_in:
        trial.call.write("ctx_in", stage.read(0, attr.ctx_size_in))


def run_words(trial: Trial, most: int, cpu: int | None = None) -> Stage:
    """Run on a context of plain bytes; only the result is given out."""
    context = by_name(trial.program.type.context)
    assert context is not None
    attr = trial.call.attr
    least = context_bytes(trial.program)
    fits = least <= attr.ctx_size_in <= most
    trial.check(fits, reasons.CONTEXT_SIZE, f"the program reads {least} of at most {most}")
    data = trial.call.read("ctx_in", attr.ctx_size_in)
    stage = contexts.plain(context, data)
    trial.execute(stage, cpu=cpu)
    trial.call.put("retval", trial.retval)
    return stage


def context_bytes(program: LoadedProgram) -> int:
    """How much of its context the program touches, by the offsets in its instructions."""
    touched = (
        insn.off + SIZES[insn.code & 0x18]
        for insn, kind in zip(program.proof.insns, program.proof.memory, strict=True)
        if kind == Memory.CONTEXT
    )
    return max(touched, default=0)


def run_event(trial: Trial) -> None:
    """Kprobe, tracepoint, perf event and cgroup device programs."""
    if not trial.call.attr.ctx_in:
        raise trial.call.refusal(reasons.PROG_TYPE, f"{trial.program.type.name}: without ctx_in")
    context = by_name(trial.program.type.context)
    assert context is not None
    trial.unused("data_in", "data_out", "ctx_out", "flags", "cpu", "batch_size")
    run_words(trial, most=context.size)


def run_tracing(trial: Trial) -> None:
    """Programs on typed targets: refused, since there is nothing that they trace."""
    trial.unused("flags", "cpu", "batch_size")
    attach_type = trial.program.proof.request.expected_attach_type
    if attach_type in (AttachType.TRACE_RAW_TP, AttachType.TRACE_ITER):
        raise trial.call.refusal(reasons.NOTHING_TRACED)
    raise trial.call.refusal(reasons.KERNEL_OBJECTS)


def run_netfilter(trial: Trial) -> None:
    """Netfilter programs: refused, since they get kernel objects."""
    raise trial.call.refusal(reasons.KERNEL_OBJECTS)
