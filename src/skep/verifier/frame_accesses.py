"""Which stack slots each instruction of a function may read, and which it surely overwrites.

Pointers derived from r10 are followed forwards through registers and spills, with the constants and
maps that say how much a helper reads. Where paths meet with different values, a pointer may point
anywhere in the frame. Only where one is stored to an unknown place is nothing known any more.

Pointers cannot come back from elsewhere: loaded from a map, what was a pointer is a number, and a
function neither returns a stack pointer nor stores one into its caller's frame.
"""

from typing import Final

from skep.isa.table import MAX_REGISTER, Kind, Sem, registers_written
from skep.uapi import helpers as helper_table
from skep.uapi.helper_types import Arg, ArgType
from skep.verifier.cfg import successors
from skep.verifier.interface import MapShape
from skep.verifier.program import Function, Program, Step

ALL_SLOTS: Final = (1 << 64) - 1

# abstract values: offsets from r10 are 0 or negative
_NOTHING: Final = 1  # no pointer into the frame, and no number worth knowing
_SOMEWHERE: Final = 2  # a pointer into the frame
_NUMBER: Final = 1 << 10  # plus a number from 0 to 512
_MAP: Final = 1 << 12  # plus an index of the program's maps

_LEAST: Final = -512
_SIZES: Final = (Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO)
_REACHES: Final = (Arg.MEM, Arg.MAP_KEY, Arg.MAP_VALUE)


class FrameAccesses:
    """By pc, as bit sets of slots: what is *read* at most, and what is *written* for sure."""

    def __init__(self) -> None:
        self.read: dict[int, int] = {}
        self.written: dict[int, int] = {}


class _Known:
    """Abstract values of registers, and of the slots that hold something other than nothing."""

    def __init__(self, regs: list[int], slots: dict[int, int]) -> None:
        self.regs = regs
        self.slots = slots

    def copy(self) -> "_Known":
        return _Known(self.regs.copy(), self.slots.copy())

    def merge(self, other: "_Known") -> bool:
        """Widen by *other*; tell whether anything changed."""
        changed = False
        for number in range(MAX_REGISTER):
            joined = _join(self.regs[number], other.regs[number])
            if joined != self.regs[number]:
                self.regs[number] = joined
                changed = True
        for spi in {*self.slots, *other.slots}:
            before = self.slots.get(spi, _NOTHING)
            joined = _join(before, other.slots.get(spi, _NOTHING))
            if joined != before:
                self.slots[spi] = joined
                changed = True
        return changed


def _is_pointer(value: int) -> bool:
    return value <= 0 or value == _SOMEWHERE


def _join(x: int, y: int) -> int:
    if x == y:
        return x
    return _SOMEWHERE if _is_pointer(x) or _is_pointer(y) else _NOTHING


def accesses_of(program: Program, function: Function) -> FrameAccesses | None:
    """Follow every pointer into the frame of *function*; None if one is lost sight of."""
    found = FrameAccesses()
    regs = [_NOTHING] * (MAX_REGISTER + 1)
    regs[MAX_REGISTER] = 0
    joins: dict[int, _Known] = {}
    work = [(function.start, _Known(regs, {}))]
    while work:
        pc, known = work.pop()
        if not _follow(program, pc, known, joins, work, found):
            return None
    return found


def _follow(
    program: Program,
    pc: int,
    known: _Known,
    joins: dict[int, _Known],
    work: list[tuple[int, _Known]],
    found: FrameAccesses,
) -> bool:
    """Go on from *pc* until the path ends or teaches nothing new; False if a pointer is lost."""
    while True:
        step = program.steps[pc]
        if step is None or step.fault:
            return True
        if step.jump_point:
            join = joins.get(pc)
            if join is None:
                joins[pc] = known.copy()
            elif join.merge(known):
                known = join.copy()
            else:
                return True
        if _loses(step, known):
            return False
        found.read[pc] = _read(program, step, known)
        found.written[pc] = _written(step, known)
        _advance(program, step, known)
        targets = successors(step)
        if not targets:
            return True
        work.extend((target, known.copy()) for target in targets[1:])
        pc = targets[0]


def _loses(step: Step, known: _Known) -> bool:
    """Whether a pointer into the frame is stored where it cannot be followed."""
    if step.kind is Kind.ATOMIC:
        return step.sem is not Sem.LOAD_ACQUIRE and _is_pointer(known.regs[step.src])
    if step.kind is not Kind.STORE_REG or not _is_pointer(known.regs[step.src]):
        return False
    target = known.regs[step.dst]
    return _is_pointer(target) and (step.size != 8 or _slot(target, step.off) < 0)


def _slot(target: int, off: int) -> int:
    """The slot that ``target + off`` starts exactly; -1 if none."""
    at = target + off
    if target > 0 or at % 8 or not _LEAST <= at < 0:
        return -1
    return -at // 8 - 1


# --- what an instruction does to what is known ------------------------------------------------


def _advance(program: Program, step: Step, known: _Known) -> None:
    kind = step.kind
    regs = known.regs
    if kind is Kind.ALU or kind is Kind.ADDR_SPACE_CAST:
        regs[step.dst] = _arithmetic(step, regs)
    elif kind is Kind.LOAD or kind is Kind.LOAD_SX or step.sem is Sem.LOAD_ACQUIRE:
        regs[step.dst] = _loaded(step, known)
    elif kind is Kind.STORE_REG or kind is Kind.STORE_IMM:
        _store(step, known)
    elif kind is Kind.ATOMIC:
        _modify(step, known)
    elif kind is Kind.WIDE and step.map is not None:
        regs[step.dst] = _MAP + program.maps.index(step.map)
    else:
        written = registers_written(step.op, step.insn)
        for number in range(MAX_REGISTER):
            if written >> number & 1:
                regs[number] = _NOTHING


def _arithmetic(step: Step, regs: list[int]) -> int:
    source = regs[step.src] if step.reg_source else _NOTHING
    if step.sem is Sem.MOV:
        if not step.reg_source:
            return _NUMBER + step.imm if 0 <= step.imm <= 512 else _NOTHING
        return source if step.wide or not _is_pointer(source) else _SOMEWHERE
    target = regs[step.dst] if step.kind is Kind.ALU else _NOTHING
    if not _is_pointer(target) and not _is_pointer(source):
        return _NOTHING
    if target > 0 or step.reg_source or not step.wide:
        return _SOMEWHERE
    if step.sem is Sem.ADD:
        target += step.imm
    elif step.sem is Sem.SUB:
        target -= step.imm
    else:
        return _SOMEWHERE
    return target if _LEAST <= target <= 0 else _SOMEWHERE


def _loaded(step: Step, known: _Known) -> int:
    base = known.regs[step.src]
    if not _is_pointer(base) or not known.slots:
        return _NOTHING
    spi = _slot(base, step.off) if step.size == 8 else -1
    if spi >= 0:
        return known.slots.get(spi, _NOTHING)
    for value in known.slots.values():
        if _is_pointer(value):
            return _SOMEWHERE
    return _NOTHING


def _store(step: Step, known: _Known) -> None:
    target = known.regs[step.dst]
    if not _is_pointer(target):
        return
    value = known.regs[step.src] if step.kind is Kind.STORE_REG else _NOTHING
    spi = _slot(target, step.off) if step.size == 8 else -1
    if spi < 0:
        _forget_numbers(known)
    elif value == _NOTHING:
        known.slots.pop(spi, None)
    else:
        known.slots[spi] = value


def _modify(step: Step, known: _Known) -> None:
    """An atomic on the frame may change a number, and may fetch a spilled pointer."""
    fetched = _NOTHING
    if _is_pointer(known.regs[step.dst]):
        _forget_numbers(known)
        if known.slots:
            fetched = _SOMEWHERE
    written = registers_written(step.op, step.insn)
    for number in range(MAX_REGISTER):
        if written >> number & 1:
            known.regs[number] = fetched


def _forget_numbers(known: _Known) -> None:
    """Something was written over some slot: a number there may have changed."""
    for spi, value in list(known.slots.items()):
        if not _is_pointer(value):
            del known.slots[spi]


# --- reads and writes -------------------------------------------------------------------------


def _read(program: Program, step: Step, known: _Known) -> int:
    kind = step.kind
    if kind is Kind.CALL:
        return _read_by_call(program, step, known)
    if kind is Kind.LOAD or kind is Kind.LOAD_SX or step.sem is Sem.LOAD_ACQUIRE:
        return _range(known.regs[step.src], step.off, step.size)
    if kind is Kind.ATOMIC:
        return _range(known.regs[step.dst], step.off, step.size)
    return 0


def _read_by_call(program: Program, step: Step, known: _Known) -> int:
    helper = helper_table.by_id(step.imm) if step.sem is Sem.HELPER else None
    if helper is None or step.calls_callback:
        _forget_numbers(known)
        if any(_is_pointer(known.regs[number]) for number in range(1, 6)):
            return ALL_SLOTS
        return 0
    read = 0
    for index, argument in enumerate(helper.args):
        value = known.regs[index + 1]
        if not _is_pointer(value):
            continue
        if argument.writes or argument.uninit or argument.kind not in _REACHES:
            _forget_numbers(known)
        if argument.uninit and argument.kind in _REACHES:
            continue
        read |= _range(value, 0, _size(program, argument, index, helper.args, known))
    return read


def _size(
    program: Program, argument: ArgType, index: int, args: tuple[ArgType, ...], known: _Known
) -> int:
    """Bytes that a helper may touch through an argument; 512 if that is not known."""
    if argument.kind in (Arg.MAP_KEY, Arg.MAP_VALUE):
        for place, other in enumerate(args):
            if other.kind is Arg.CONST_MAP_PTR:
                return _map_size(program, known.regs[place + 1], argument)
    if argument.kind is Arg.MEM:
        if argument.size:
            return argument.size
        if index + 1 < len(args) and args[index + 1].kind in _SIZES:
            number = known.regs[index + 2]
            if _NUMBER <= number <= _NUMBER + 512:
                return number - _NUMBER
    return -_LEAST


def _map_size(program: Program, value: int, argument: ArgType) -> int:
    if value < _MAP:
        return -_LEAST
    shape: MapShape = program.maps[value - _MAP]
    return shape.key_size if argument.kind is Arg.MAP_KEY else shape.value_size


def _written(step: Step, known: _Known) -> int:
    if step.kind not in (Kind.STORE_REG, Kind.STORE_IMM) or step.size != 8:
        return 0
    spi = _slot(known.regs[step.dst], step.off)
    return 1 << spi if spi >= 0 else 0


def _range(base: int, off: int, size: int) -> int:
    """Slots that hold bytes ``base + off`` .. ``+ size``; those above r10 are no slots."""
    if base == _SOMEWHERE:
        return ALL_SLOTS
    if base > 0:
        return 0
    low = max(base + off, _LEAST)
    high = min(low + size, 0)
    if low >= high:
        return ALL_SLOTS if low < 0 < size else 0
    return ((1 << ((-low + 7) // 8)) - 1) & ~((1 << (-high // 8)) - 1)
