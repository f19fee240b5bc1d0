"""One PROG_TEST_RUN in the making: what the caller gave, the run itself, what it gets back.

Source: Linux 6.18 net/bpf/test_run.c (bpf_test_init, bpf_test_run, bpf_test_finish, bpf_ctx_init).
"""

import ctypes
import time
from dataclasses import dataclass
from socket import if_indextoname
from typing import Final

from skep.attach import contexts
from skep.attach.contexts import Stage
from skep.base.native import call, load64, native, store64
from skep.runtime.block import Invocation
from skep.runtime.invocation import ALLOWANCE, DATA, DATA_META, FAULT, FUEL, TAIL_CALLS
from skep.syscall.call import Call
from skep.syscall.loaded import LoadedProgram
from skep.syscall.state import State
from skep.uapi import reasons_runs as reasons
from skep.uapi.commands import TestRun
from skep.uapi.reason import Reason, Refusal

PAGE: Final = 4096
MAX_SKB: Final = PAGE - contexts.SKB_HEADROOM - contexts.SHARED_INFO
SLICE: Final = 1 << 16  # most runs between two looks at signals
PATIENCE: Final = 10_000_000  # nanoseconds after which a look is due


@native
def run_often(run: int, entry: int, context: int, count: int) -> int:
    """Run the program at *entry* *count* times on one context; returns the last r0."""
    result = 0
    for _ in range(count):
        store64(run + TAIL_CALLS, 0)
        store64(run + FUEL, load64(run + ALLOWANCE))
        result = call(entry, run, context)
        if load64(run + FAULT) != 0:
            return result
    return result


@dataclass(slots=True)
class Trial:
    """One test run in the making: the call, the program, and what it returned."""

    state: State
    call: Call[TestRun]
    program: LoadedProgram
    retval: int = 0
    duration: int = 0
    packet: bytes = b""
    metadata: bytes = b""

    def check(self, holds: object, reason: Reason, detail: str = "", field: str = "") -> None:
        """Refuse the call for *reason* unless *holds*."""
        self.call.check(holds, reason, detail, field)

    def unused(self, *names: str) -> None:
        """Refuse members of the attr that this kind of program does not use."""
        for name in names:
            self.check(not getattr(self.call.attr, name), reasons.UNUSED, "must be 0", name)

    def data(self, least: int = 0, most: int = MAX_SKB) -> bytes:
        """data_in, of *least* to *most* bytes."""
        size = self.call.attr.data_size_in
        self.check(least <= size <= most, reasons.DATA_SIZE, f"{least} to {most} bytes")
        return self.call.read("data_in", size)

    def context(self, size: int) -> bytearray | None:
        """ctx_in, cut or filled to *size* bytes; None if the caller passes no context at all."""
        attr = self.call.attr
        if not attr.ctx_in and not attr.ctx_out:
            return None
        self.check(attr.ctx_size_in <= PAGE, reasons.CONTEXT_LONG, "more than a page")
        data = self.call.read("ctx_in", attr.ctx_size_in)
        self.check(not any(data[size:]), reasons.CONTEXT_LONG, f"bytes beyond {size} are set")
        return bytearray(data[:size].ljust(size, b"\0"))

    def execute(self, stage: Stage, repeat: int = 1, cpu: int | None = None) -> None:
        """Run the program on *stage*, and keep result, time and packet."""
        count = max(repeat, 1)
        with self.state.world.running(cpu) as invocation:
            stage.enter(invocation)
            began = time.perf_counter_ns()
            with self.program.telling():
                result = self._loop(invocation, stage.address, count)
            spent = time.perf_counter_ns() - began
            self.packet = invocation.packet
            meta, data = invocation.get(DATA_META), invocation.get(DATA)
            self.metadata = ctypes.string_at(meta, data - meta) if meta < data else b""
        self.retval = result & 0xFFFF_FFFF
        self.duration = min(spent // count, 0xFFFF_FFFF)
        if self.state.statistics:
            self.program.count_runs(count, spent)

    def _loop(self, invocation: Invocation, context: int, count: int) -> int:
        """All runs but the last in a native loop; the last one reports what helpers raised."""
        entry, run = self.program.entry, invocation.address
        if count > 1:
            loop = self.state.engine.library.bind(run_often)
            left, step = count - 1, 1
            while left and not invocation.fault:
                began, step = time.perf_counter_ns(), min(step, left, SLICE)
                loop(run, entry.hot(step), context, step)
                left -= step
                self.state.world.between(invocation)
                slow = time.perf_counter_ns() - began > PATIENCE
                step = max(step // 2, 1) if slow else step * 2
            store64(run + TAIL_CALLS, 0)
            if not invocation.fault:
                store64(run + FUEL, invocation.get(ALLOWANCE))
        return entry(run, context)

    def finish(self, data: bytes, fragments: bytes = b"") -> None:
        """Give out data, size, result and time; ENOSPC if data_out is too small.

        Of a packet in *fragments* that does not fit, Linux 6.18 cuts the linear part; it says
        nothing at all if not even the fragments fit. So do we.
        """
        attr = self.call.attr
        limit = min(attr.data_size_out or 1 << 32, len(data) + len(fragments))
        if attr.data_out:
            room = limit - len(fragments)
            self.check(room >= 0, reasons.DATA_OUT, "fragments do not fit")
            self._give("data", data[:room] + fragments, fits=len(data) <= room)
        data += fragments
        self.call.put("data_size_out", len(data))
        self.call.put("retval", self.retval)
        self.call.put("duration", self.duration)
        self.check(len(data) <= limit, reasons.DATA_OUT, f"{len(data)} bytes do not fit")

    def _give(self, what: str, data: bytes, *, fits: bool) -> None:
        """Write to data_out or ctx_out; if the size is too small as well, Linux answers that."""
        try:
            self.call.write(f"{what}_out", data)
        except Refusal:
            row = reasons.DATA_OUT if what == "data" else reasons.CONTEXT_OUT
            self.check(fits, row, f"{what}_out cannot be written either")
            raise

    def finish_context(self, context: bytearray | None) -> None:
        """Give out the context; ENOSPC if ctx_out is too small."""
        attr = self.call.attr
        if context is None or not attr.ctx_out:
            return
        fits = len(context) <= attr.ctx_size_out
        self._give("ctx", bytes(context[: attr.ctx_size_out]), fits=fits)
        self.call.put("ctx_size_out", len(context))
        self.check(fits, reasons.CONTEXT_OUT, f"{len(context)} bytes do not fit")


def check_device(trial: Trial, ifindex: int) -> None:
    """Refuse a device that does not exist."""
    try:
        if_indextoname(ifindex)
    except (OSError, OverflowError):
        why = f"there is no device {ifindex}"
        raise trial.call.refusal(reasons.DEVICE, why) from None
