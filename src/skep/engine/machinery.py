"""What both engines do alike, in the native subset: tail calls, packet loads, metering.

Source: Linux kernel/bpf/core.c (tail calls), net/core/filter.c (bpf_skb_load_helper),
net/core/skbuff.c (bpf_internal_load_pointer_neg_helper).
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from skep.base.native import (
    clock_ns,
    load8,
    load16,
    load32,
    load64,
    load_acquire64,
    native,
    slt,
    store64,
    swap16,
    swap32,
    wrap,
)
from skep.maps.interface import MAX_ENTRIES
from skep.maps.nested import SLOTS
from skep.runtime.invocation import (
    DATA,
    DATA_END,
    DEADLINE,
    FAULT,
    FUEL,
    HEAD,
    LINK_HEADER,
    MAX_TAIL_CALLS,
    NETWORK_HEADER,
    TAIL_CALLS,
    THROWN,
)
from skep.verifier.interface import Proof

MAY_GOTO_LIMIT: Final = 8 << 20
NO_WORD: Final = 0xFFFF_FFFF_FFFF_FFFF
_NETWORK_OFFSET: Final = 0x10_0000  # minus SKF_NET_OFF
_LINK_OFFSET: Final = 0x20_0000  # minus SKF_LL_OFF


def exception_callback(proof: Proof) -> int:
    """Where the function starts that what is thrown goes to; 0 if it is the program's result."""
    return next((part.start for part in proof.subprograms if part.is_exception_callback), 0)


class Stop(IntEnum):
    """Why native code had to stop a run: what stands in the run block's FAULT."""

    NONE = 0
    UPCALL = 1  # a helper in Python raised; the engine holds the exception
    FUEL = 2  # the run was metered and took too many back edges
    ACCESS = 3  # the interpreter refused a memory access
    THROW = 4  # bpf_throw: the program ends, wherever it is
    DEADLINE = 5  # the run took too long


STOPPED: Final[Mapping[int, str]] = {
    Stop.FUEL: "the run is out of fuel",
    Stop.DEADLINE: "the run took longer than its deadline allows",
}
OUT_OF_FUEL: Final = int(Stop.FUEL)
THROWING: Final = int(Stop.THROW)
TOO_LATE: Final = int(Stop.DEADLINE)
_LOOK_AT_CLOCK: Final = 0xFF  # every so many back edges
_MONOTONIC: Final = 1


@native
def tail_target(run: int, array: int, index: int) -> int:
    """Address of the program to go on with, counted as a tail call; 0 if the call fails."""
    if index >= load64(array + MAX_ENTRIES):
        return 0
    made = load64(run + TAIL_CALLS)
    if made >= MAX_TAIL_CALLS:
        return 0
    target = load_acquire64(load64(array + SLOTS) + 8 * index)
    if target != 0:
        store64(run + TAIL_CALLS, made + 1)
    return target


@native
def spend(run: int) -> int:
    """Take one unit of fuel; 1 if there is none left and the run must stop."""
    fuel = load64(run + FUEL)
    if fuel == 0:
        return 0
    if fuel == 1:
        if load64(run + FAULT) == 0:
            store64(run + FAULT, OUT_OF_FUEL)
        return 1
    store64(run + FUEL, fuel - 1)
    if (fuel & _LOOK_AT_CLOCK) == 0 and load64(run + DEADLINE) != 0:
        return is_late(run)
    return 0


@native
def is_late(run: int) -> int:
    """Whether the deadline has passed; the run has no more fuel then."""
    if clock_ns(_MONOTONIC) < load64(run + DEADLINE):
        return 0
    store64(run + FAULT, TOO_LATE)
    store64(run + FUEL, 1)
    return 1


@native
def throw(run: int, cookie: int) -> int:
    """Let the program end with *cookie* as its result."""
    store64(run + THROWN, cookie)
    store64(run + FAULT, THROWING)
    return 0


@native
def thrown(run: int) -> int:
    """The result of a program that is ending early: what was thrown, if something was."""
    if load64(run + FAULT) != THROWING:
        return 0
    store64(run + FAULT, 0)
    return load64(run + THROWN)


@native
def packet_word(run: int, offset: int, size: int) -> int:
    """Read *size* bytes (1, 2 or 4), big-endian, for LD_ABS and LD_IND; NO_WORD if outside.

    *offset* counts from the packet's first byte; below zero, from its network or link header.
    """
    below = slt(offset, 0)
    place = negative_offset_place(run, offset) if below else load64(run + DATA) + offset
    if place < load64(run + HEAD) or place + size > load64(run + DATA_END):
        return NO_WORD
    if size == 1:
        return load8(place)
    if size == 2:
        return swap16(load16(place))
    return swap32(load32(place))


@native
def negative_offset_place(run: int, offset: int) -> int:
    """Address that a negative *offset* of LD_ABS stands for, 0 if none."""
    from_network = wrap(offset + _NETWORK_OFFSET)
    from_link = wrap(offset + _LINK_OFFSET)
    if not slt(from_network, 0):
        header = load64(run + NETWORK_HEADER)
        return header + from_network if header else 0
    header = load64(run + LINK_HEADER)
    return header + from_link if header and not slt(from_link, 0) else 0
