"""What the log shows of a state: values that nothing will read any more stand in it too.

skep forgets dead registers and slots when it compares states, Linux keeps them. So the log carries
them on from line to line until an instruction overwrites them.

Source: Linux 6.18 kernel/bpf/verifier.c (clean_live_states, clear_singular_ids), log.c.
"""

from collections.abc import Sequence
from typing import Final

from skep.isa.table import Kind, Sem, registers_read, registers_written
from skep.verifier.program import Step
from skep.verifier.scalar import Scalar
from skep.verifier.state import (
    EMPTY_SLOT,
    SLOT_SIZE,
    SPILL,
    STACK_SIZE,
    ZERO,
    Frame,
    Reference,
    Slot,
)
from skep.verifier.values import PACKET, PACKET_META, STACK, Pointer, Value

CALLER_SAVED: Final = 0x3F
CONTEXT: Final = 1 << 6  # of loads from packets by LD_ABS and LD_IND
_LOADS: Final = (Kind.LOAD, Kind.LOAD_SX)
_ACCESSES: Final = (*_LOADS, Kind.STORE_REG, Kind.STORE_IMM, Kind.ATOMIC)


# --- what an instruction touches --------------------------------------------------------------


def overwritten(step: Step) -> int:
    """Registers that *step* writes or makes unreadable in the frame it stands in, as a bit set."""
    if step.kind is Kind.CALL or step.kind is Kind.LEGACY:
        return CALLER_SAVED
    return registers_written(step.op, step.insn)


def touched_registers(step: Step) -> int:
    """Registers that the log shows after *step*."""
    if step.kind is Kind.GOTO or step.kind is Kind.EXIT or step.kind is Kind.MAY_GOTO:
        return 0
    if step.kind is Kind.CALL:
        return 1 if step.sem is Sem.KFUNC and step.imm == 0 else CALLER_SAVED
    touched = registers_read(step.op, step.insn) | registers_written(step.op, step.insn)
    return touched | CALLER_SAVED | CONTEXT if step.kind is Kind.LEGACY else touched


def touched_slots(step: Step, frame: Frame, frames: Sequence[Frame]) -> int:
    """Slots that a load or store through a stack pointer touches, as a bit set by number."""
    if step.kind is Kind.CALL:
        return _used_objects(frame)
    if step.kind not in _ACCESSES:
        return 0
    register = step.src if step.kind in _LOADS else step.dst
    base = frame.regs[register] if register < len(frame.regs) else None
    if not isinstance(base, Pointer) or base.kind != STACK:
        return 0
    low = base.off + base.var.smin + step.off
    if base.var.is_const:
        return _slot_bit(low)
    high = base.off + base.var.smax + step.off + step.size
    if low < -STACK_SIZE or high > 0:
        return 0  # it is going to be refused
    touched = 0
    for byte in range(low, high):
        touched |= _slot_bit(byte)
        if step.kind in _LOADS and not _is_zero(frames[base.frame], byte):
            break
    return touched


def _used_objects(frame: Frame) -> int:
    """Slots of the dynptrs and iterators that the arguments of a call point to."""
    touched = 0
    for register in range(1, 6):
        value = frame.regs[register]
        if not isinstance(value, Pointer) or value.kind != STACK or not value.var.is_const:
            continue
        first = -(value.off + value.var.smin) // SLOT_SIZE - 1
        thing = frame.slot(first).object if value.frame == frame.number and first >= 0 else None
        if thing is None:
            continue
        for spi in range(first, -1, -1):
            other = frame.slot(spi).object
            if other is None or other.id != thing.id or other.ref_id != thing.ref_id:
                break
            touched |= 1 << spi
    return touched


def _slot_bit(byte: int) -> int:
    return 1 << -(byte // SLOT_SIZE) - 1 if byte < 0 else 0


def _is_zero(frame: Frame, byte: int) -> bool:
    return frame.slot(-(byte // SLOT_SIZE) - 1).types[byte % SLOT_SIZE] == ZERO


def changed_slots(step: Step, frame: Frame, before: Frame) -> int:
    """Slots that the helper or kernel function that *step* calls changed, as a bit set."""
    changed = 0
    if step.kind is not Kind.CALL or step.sem is Sem.LOCAL:
        return changed
    for spi, slot in enumerate(frame.stack):
        if slot is not before.slot(spi):
            changed |= 1 << spi
    return changed


# --- dead values ------------------------------------------------------------------------------


class Shown:
    """The frames of the current path as the log shows them, outermost first."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._waiting: list[list[Frame]] = []  # of branches that were pushed

    def begin(self) -> None:
        """Start with a function that is verified on its own."""
        self.frames = []
        self._waiting = []

    def push(self) -> None:
        """A branch is kept for later."""
        self._waiting.append(self.frames.copy())

    def pop(self) -> None:
        """The latest branch is taken up."""
        if self._waiting:
            self.frames = self._waiting.pop()

    def arrive(self, frame: Frame, written: int, refs: tuple[Reference, ...]) -> Frame:
        """*frame* as it is shown, after an instruction that wrote the registers *written*."""
        del self.frames[frame.number + 1 :]
        shown = frame.copy()
        if frame.number < len(self.frames):
            _keep(shown, self.frames[frame.number], written, refs)
            self.frames[frame.number] = shown
        else:
            self.frames.append(shown)
        return shown

    def unlink_single(self) -> None:
        """Drop the ids of scalars that share theirs with nothing, as at every checkpoint."""
        counts: dict[int, int] = {}
        for frame in self.frames:
            for value in _values(frame):
                if isinstance(value, Scalar) and value.id:
                    counts[int(value.id)] = counts.get(int(value.id), 0) + 1
        single = {number for number, count in counts.items() if count == 1}
        if single:
            self.frames = [_without_ids(frame, single) for frame in self.frames]


def _keep(frame: Frame, old: Frame, written: int, refs: tuple[Reference, ...]) -> None:
    """Put into *frame* what *old* has and *frame* has not, unless it was overwritten."""
    ranges = _new_ranges(frame, old)
    for register in range(10):
        value = old.regs[register]
        if frame.regs[register] is None and not written >> register & 1 and _is_valid(value, refs):
            frame.regs[register] = _in_range(value, ranges)
    for spi, slot in enumerate(old.stack):
        forgotten = frame.slot(spi) is EMPTY_SLOT and slot is not EMPTY_SLOT
        if forgotten and slot.object is None and _is_valid(slot.value, refs):
            frame.set_slot(spi, slot)


def _new_ranges(frame: Frame, old: Frame) -> dict[tuple[int, int], int]:
    """What a comparison has told of packet pointers, by kind and id."""
    ranges: dict[tuple[int, int], int] = {}
    for register in range(10):
        value, before = frame.regs[register], old.regs[register]
        if not isinstance(value, Pointer) or not isinstance(before, Pointer):
            continue
        if value.kind != before.kind or value.id != before.id or value.off != before.off:
            continue
        if value.kind in (PACKET, PACKET_META) and value.range > max(before.range, 0):
            ranges[value.kind, value.id] = value.range
    return ranges


def _in_range(value: Value | None, ranges: dict[tuple[int, int], int]) -> Value | None:
    if not isinstance(value, Pointer) or (value.kind, value.id) not in ranges:
        return value
    found = value.copy()
    found.range = max(value.range, ranges[value.kind, value.id])
    return found


def _is_valid(value: Value | None, refs: tuple[Reference, ...]) -> bool:
    """Whether *value* does not belong to a reference that was released."""
    if not isinstance(value, Pointer) or not value.ref_id:
        return True
    return any(reference.id == value.ref_id for reference in refs)


def _values(frame: Frame) -> list[Value | None]:
    spilled = [slot.value for slot in frame.stack if slot.types[0] == SPILL]
    return [*frame.regs, *spilled]


def _without_ids(frame: Frame, single: set[int]) -> Frame:
    shown = frame.copy()
    for register, value in enumerate(frame.regs):
        if isinstance(value, Scalar) and int(value.id) in single:
            shown.regs[register] = value.without_id()
    for spi, slot in enumerate(frame.stack):
        held = slot.value
        if isinstance(held, Scalar) and int(held.id) in single and slot.types[0] == SPILL:
            shown.stack[spi] = Slot(slot.types, held.without_id())
    return shown
