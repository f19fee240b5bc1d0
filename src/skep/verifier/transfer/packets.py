"""Packet pointers: what a comparison with data_end teaches, and who may touch the packet.

A comparison gives all packet pointers with the same id (that is, the same variable part) a range:
the bytes from *base + var* that are known to be there.

Source: Linux 6.18 kernel/bpf/verifier.c (find_good_pkt_pointers, try_match_pkt_pointers,
is_pkt_ptr_branch_taken, may_access_direct_pkt_data).
"""

from typing import Final

from skep.isa.table import Sem
from skep.verifier.program import Step
from skep.verifier.state import State
from skep.verifier.values import (
    AT_END,
    BEYOND_END,
    DYNPTR_SKB,
    DYNPTR_SKB_META,
    DYNPTR_XDP,
    MEM,
    PACKET,
    PACKET_END,
    PACKET_META,
    Pointer,
    Value,
)

MAX_PACKET: Final = 0xFFFF

_SLICES: Final = DYNPTR_SKB | DYNPTR_XDP | DYNPTR_SKB_META
_PACKET_KINDS: Final = 1 << PACKET | 1 << PACKET_META | 1 << PACKET_END
_FLIPPED: Final[dict[Sem, Sem]] = {
    Sem.UGT: Sem.ULT, Sem.ULT: Sem.UGT, Sem.UGE: Sem.ULE, Sem.ULE: Sem.UGE,
}  # fmt: skip


def is_packet_pointer(value: Value | None) -> bool:
    """Whether *value* points into, before or at the end of the packet."""
    return isinstance(value, Pointer) and _PACKET_KINDS >> value.kind & 1 == 1


def packet_branch_taken(sem: Sem, x: Pointer, y: Pointer) -> int:
    """1 or 0 if the comparison of two packet pointers is decided by earlier ones, else -1."""
    if y.kind == PACKET_END:
        packet = x
    elif x.kind == PACKET_END:
        packet = y
        if sem not in _FLIPPED:
            return -1
        sem = _FLIPPED[sem]
    else:
        return -1
    if packet.range >= 0:
        return -1
    if sem is Sem.UGT or sem is Sem.ULE:
        if packet.range == BEYOND_END:
            return 1 if sem is Sem.UGT else 0
    elif sem is Sem.UGE or sem is Sem.ULT:
        return 1 if sem is Sem.UGE else 0
    return -1


def match_packet_pointers(step: Step, here: State, there: State, x: Value, y: Value) -> bool:
    """Learn from ``if (x <sem> y)`` in both branches; False if it does not compare with an end.

    Args:
        step: the jump, 64 bits wide, between registers.
        here: state of the branch that falls through.
        there: state of the branch that jumps.
        x: value of the destination register.
        y: value of the source register.
    """
    if not (isinstance(x, Pointer) and isinstance(y, Pointer)):
        return False
    sem = step.sem
    if sem not in _FLIPPED:
        return False
    if _is_pair(x, y):
        packet, register = x, step.dst
    elif _is_pair(y, x):
        packet, register, sem = y, step.src, _FLIPPED[sem]
    else:
        return False
    # the comparison reads: packet <sem> end
    if sem is Sem.UGT:
        _widen_range(here, packet, False)
        _mark_end(there, register, True)
    elif sem is Sem.ULT:
        _widen_range(there, packet, True)
        _mark_end(here, register, False)
    elif sem is Sem.UGE:
        _widen_range(here, packet, True)
        _mark_end(there, register, False)
    else:
        _widen_range(there, packet, False)
        _mark_end(here, register, True)
    return True


def _is_pair(packet: Pointer, end: Pointer) -> bool:
    """Whether *end* bounds *packet*: data_end for data, the start of data for metadata."""
    if packet.kind == PACKET:
        return end.kind == PACKET_END
    return (
        packet.kind == PACKET_META
        and end.kind == PACKET
        and end.off == 0
        and end.id == 0
        and end.var.is_number(0)
    )


def _widen_range(state: State, packet: Pointer, right_open: bool) -> None:
    """Give pointers like *packet* the bytes up to it; one more if it lies before the end."""
    off = packet.off
    if off < 0 or (off == 0 and right_open):
        return
    if packet.var.umax > MAX_PACKET or packet.var.umax + off > MAX_PACKET:
        return  # the sum may wrap
    reach = off + 1 if right_open else off

    def widen(value: Value) -> Value | None:
        if (
            not isinstance(value, Pointer)
            or value.kind != packet.kind
            or value.id != packet.id
            or value.range >= reach
        ):
            return value
        wider = value.copy()
        wider.range = reach
        return wider

    state.update_values(widen)


def _mark_end(state: State, register: int, beyond: bool) -> None:
    frame = state.own(len(state.frames) - 1)
    value = frame.regs[register]
    if isinstance(value, Pointer) and value.kind == PACKET:
        marked = value.copy()
        marked.range = BEYOND_END if beyond else AT_END
        frame.regs[register] = marked


def forget_packet(state: State, privileged: bool, unknown: Value) -> None:
    """Invalidate every packet pointer and slice of a packet dynptr: the packet may have moved."""
    replacement: Value | None = unknown if privileged else None

    def forget(value: Value) -> Value | None:
        return replacement if is_packet_pointer(value) or _is_packet_slice(value) else value

    state.update_values(forget)


def _is_packet_slice(value: Value) -> bool:
    return isinstance(value, Pointer) and value.kind == MEM and value.flags & _SLICES != 0
