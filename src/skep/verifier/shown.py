"""What the log shows of a state: values that nothing will read any more stand in it too.

skep forgets dead registers and slots when it compares states, Linux keeps them. So the log carries
them on from line to line until an instruction overwrites them.

Source: Linux 6.18 kernel/bpf/verifier.c (clean_live_states), log.c.
"""

from collections.abc import Sequence
from typing import Final

from skep.isa.table import Kind, Sem, registers_read, registers_written
from skep.verifier.program import Step
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


def whole_slot(step: Step, frame: Frame) -> tuple[int, int]:
    """Frame and slot, as a bit set, that a store of eight bytes overwrites; (0, 0) if none."""
    if step.kind not in _ACCESSES or step.kind in _LOADS or step.size != SLOT_SIZE:
        return 0, 0
    base = frame.regs[step.dst] if step.dst < len(frame.regs) else None
    if not isinstance(base, Pointer) or base.kind != STACK or not base.var.is_const:
        return 0, 0
    low = base.off + base.var.smin + step.off
    return base.frame, 0 if low % SLOT_SIZE else _slot_bit(low)


def read_slots(step: Step, frame: Frame, frames: Sequence[Frame]) -> tuple[int, int]:
    """Frame and slots, as a bit set, that a load reads; (0, 0) if none."""
    if step.kind not in _LOADS and step.kind is not Kind.ATOMIC:
        return 0, 0
    register = step.src if step.kind in _LOADS else step.dst
    base = frame.regs[register] if register < len(frame.regs) else None
    number = base.frame if isinstance(base, Pointer) and base.kind == STACK else 0
    return number, touched_slots(step, frame, frames)


def slots_between(low: int, high: int) -> int:
    """Slots that hold bytes of ``fp + low .. fp + high``, as a bit set."""
    touched = 0
    for byte in range(max(low, -STACK_SIZE), min(high, 0)):
        touched |= _slot_bit(byte)
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
    """Slots whose dynptr, iterator or flag the call made, used up or dropped, as a bit set."""
    changed = 0
    if step.kind is not Kind.CALL or step.sem is Sem.LOCAL:
        return changed
    for spi, slot in enumerate(frame.stack):
        old = before.slot(spi)
        if slot is not old and (slot.object is not None or old.object is not None):
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

    def refresh(self, callers: Sequence[Frame], refs: tuple[Reference, ...]) -> None:
        """Callees may have written to the frames *callers*, outermost first."""
        for number, frame in enumerate(callers):
            if number < len(self.frames):
                shown = frame.copy()
                _keep(shown, self.frames[number], 0, refs)
                self.frames[number] = shown


def _keep(frame: Frame, old: Frame, written: int, refs: tuple[Reference, ...]) -> None:
    """Put into *frame* what *old* has and *frame* has not, unless it was overwritten."""
    ranges, checked = _new_ranges(frame, old), _null_checked(frame, old)
    for register in range(10):
        value = old.regs[register]
        if frame.regs[register] is None and not written >> register & 1 and _is_valid(value, refs):
            frame.regs[register] = _told(_in_range(value, ranges), checked)
    for spi, slot in enumerate(old.stack):
        forgotten = frame.slot(spi) is EMPTY_SLOT and slot is not EMPTY_SLOT
        if forgotten and slot.object is None and _is_valid(slot.value, refs):
            told = _told(slot.value, checked)
            frame.set_slot(spi, slot if told is slot.value else Slot(slot.types, told))


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


def _null_checked(frame: Frame, old: Frame) -> dict[int, Value]:
    """What a NULL check has made of pointers that might be NULL, by id."""
    found: dict[int, Value] = {}
    for value, before in zip(_values(frame), _values(old), strict=False):
        if not isinstance(before, Pointer) or not before.may_be_null or value is None:
            continue
        if isinstance(value, Pointer):
            if value.kind == before.kind and not value.may_be_null:
                found[before.id] = value
        elif value.is_number(0):
            found[before.id] = value
    return found


def _told(value: Value | None, checked: dict[int, Value]) -> Value | None:
    """*value* as the NULL check of a pointer with the same id leaves it."""
    if not isinstance(value, Pointer) or not value.may_be_null or value.id not in checked:
        return value
    known = checked[value.id]
    if not isinstance(known, Pointer):
        return known
    found = value.copy()
    found.flags, found.id = known.flags, known.id
    return found


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
    spilled = [slot.value if slot.types[0] == SPILL else None for slot in frame.stack]
    return [*frame.regs, *spilled]
