"""Which stack slots each instruction of a function may read, and which it surely overwrites.

Pointers derived from r10 are followed forwards through registers and spills, with the constants and
maps that say how much a helper reads. Where paths meet, a pointer may point to any of a few places,
or, if those are too many or not known, anywhere in the frame. Only where a pointer is stored to an
unknown place is nothing known any more.

Pointers cannot come back from elsewhere: loaded from a map, what was a pointer is a number, and a
function neither returns a stack pointer nor stores one into its caller's frame.
"""

from typing import Final

from skep.isa.table import MAX_REGISTER, Kind, Sem
from skep.uapi import helpers as helper_table
from skep.uapi.helper_types import Arg, ArgType
from skep.verifier.interface import MapShape
from skep.verifier.program import Function, Program, Step, registers_set
from skep.verifier.slot_sets import ALL_SLOTS, LEAST_OFFSET, slot_at, slot_bit, slots_between
from skep.verifier.state import MAX_FRAMES

# abstract values: a surely known offset from r10 is 0 or negative; numbers and maps only bound how
# far a helper reads, so of two that meet the greater one stands for both
_NOTHING: Final = 1  # no pointer into the frame, and no number worth knowing
_SOMEWHERE: Final = 2  # perhaps a pointer into the frame
_NUMBER: Final = 1 << 10  # plus a number from 0 to 512: at most that
_MAP: Final = 1 << 12  # plus an index of the program's maps: keys and values at most as large
_PLACES: Final = 1 << 16  # plus an index of sets of offsets: perhaps a pointer to one of them

_MOST_PLACES: Final = 8
_SIZES: Final = (Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO)
_REACHES: Final = (Arg.MEM, Arg.MAP_KEY, Arg.MAP_VALUE)

_ALU: Final = Kind.ALU
_LOAD: Final = Kind.LOAD
_LOAD_SX: Final = Kind.LOAD_SX
_STORE_REG: Final = Kind.STORE_REG
_STORE_IMM: Final = Kind.STORE_IMM
_ATOMIC: Final = Kind.ATOMIC
_WIDE: Final = Kind.WIDE
_CALL: Final = Kind.CALL
_ADDR_SPACE_CAST: Final = Kind.ADDR_SPACE_CAST
_LOAD_ACQUIRE: Final = Sem.LOAD_ACQUIRE
_MOV: Final = Sem.MOV


class FrameAccesses:
    """By pc from *start*, as bit sets of slots: what is *read* at most, *written* for sure."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.read: list[int] = [0] * (end - start)
        self.written: list[int] = [0] * (end - start)


class _Known:
    """Abstract values of registers, and of the slots that hold something other than nothing."""

    def __init__(self, regs: list[int], slots: dict[int, int]) -> None:
        self.regs = regs
        self.slots = slots

    def copy(self) -> "_Known":
        return _Known(self.regs.copy(), self.slots.copy())

    def forget_numbers(self) -> None:
        """Something was written over some slot: a number there may have changed."""
        for spi, value in list(self.slots.items()):
            if not _is_pointer(value):
                del self.slots[spi]


def accesses_of(program: Program, function: Function) -> FrameAccesses | None:
    """Follow every pointer into the frame of *function*; None if one is lost sight of."""
    regs = [_NOTHING] * (MAX_REGISTER + 1)
    regs[MAX_REGISTER] = 0
    return _accesses(function, regs, _Analysis(program, function, 0, {}))


def _accesses(function: Function, regs: list[int], analysis: "_Analysis") -> FrameAccesses | None:
    """Follow the pointers in *regs*: into the function's own frame, or, below, a caller's."""
    analysis.work.append((function.start, _Known(regs, {})))
    while analysis.work:
        pc, known = analysis.work.pop()
        if not analysis.follow(pc, known):
            return None
    return analysis.found


def _is_pointer(value: int) -> bool:
    return value <= 0 or value == _SOMEWHERE or value >= _PLACES


def _union(sets: list[int]) -> int:
    found = 0
    for slots in sets:
        found |= slots
    return found


class _Analysis:
    """The forward analysis of one function; *work* holds ways that were not followed yet.

    With a *depth* above 0 the frame is that of a caller so far up, seen from a callee; *lent* has
    what each callee reads, by its number and its arguments.
    """

    def __init__(
        self, program: Program, function: Function, depth: int, lent: dict[tuple[int, ...], int]
    ) -> None:
        self.program = program
        self.depth = depth
        self._lent = lent
        self.found = FrameAccesses(function.start, function.end)
        self.work: list[tuple[int, _Known]] = []
        self._joins: dict[int, _Known] = {}
        self._sets: list[frozenset[int]] = []
        self._numbers: dict[frozenset[int], int] = {}
        inner = [shape.inner for shape in program.maps if shape.inner is not None]
        self._shapes: list[MapShape] = [*program.maps, *inner]  # all that a program can come by

    def follow(self, pc: int, known: _Known) -> bool:
        """Go on from *pc* until the path ends or teaches nothing new; False if one is lost."""
        while True:
            step = self.program.steps[pc]
            if step is None or step.fault:
                return True
            if step.jump_point:
                join = self._joins.get(pc)
                if join is None:
                    self._joins[pc] = known.copy()
                elif self._merge(join, known):
                    known = join.copy()
                else:
                    return True
            if not self._examine(step, known):
                return False
            if not step.falls and not step.jumps:
                return True
            if step.falls and step.jumps:
                self.work.append((step.target, known.copy()))
            pc = step.next_pc if step.falls else step.target

    def _examine(self, step: Step, known: _Known) -> bool:
        """Note what *step* accesses and go over it; False if a pointer is lost."""
        if step.kind is _ALU:
            known.regs[step.dst] = self._arithmetic(step, known.regs)
            return True
        if step.jumps:
            return True
        if self._loses(step, known):
            return False
        place = step.pc - self.found.start
        self.found.read[place] = self._read(step, known)
        self.found.written[place] = self._written(step, known)
        self._advance(step, known)
        return True

    # --- values -------------------------------------------------------------------------------

    def _places(self, value: int) -> frozenset[int]:
        """Offsets that a pointer other than _SOMEWHERE may have."""
        if value >= _PLACES:
            return self._sets[value - _PLACES]
        return frozenset((value,)) if value <= 0 else frozenset()

    def _one_of(self, places: frozenset[int]) -> int:
        if not places or len(places) > _MOST_PLACES:
            return _SOMEWHERE if places else _NOTHING
        number = self._numbers.get(places)
        if number is None:
            number = len(self._sets)
            self._sets.append(places)
            self._numbers[places] = number
        return _PLACES + number

    def _join(self, x: int, y: int) -> int:
        if x == y:
            return x
        if x == _SOMEWHERE or y == _SOMEWHERE:
            return _SOMEWHERE
        if _NUMBER <= x < _MAP and _NUMBER <= y < _MAP:
            return max(x, y)
        if _MAP <= x < _PLACES and _MAP <= y < _PLACES:
            return self._larger_map(x, y)
        return self._one_of(self._places(x) | self._places(y))

    def _larger_map(self, x: int, y: int) -> int:
        """Of two maps that with the larger keys and values; nothing if neither has both."""
        first, second = self.program.maps[x - _MAP], self.program.maps[y - _MAP]
        if first.key_size >= second.key_size and first.value_size >= second.value_size:
            return x
        if first.key_size <= second.key_size and first.value_size <= second.value_size:
            return y
        return _NOTHING

    def _merge(self, into: _Known, other: _Known) -> bool:
        """Widen *into* by *other*; tell whether anything changed."""
        changed = False
        for number in range(MAX_REGISTER):
            before = into.regs[number]
            joined = self._join(before, other.regs[number])
            if joined != before:
                into.regs[number] = joined
                changed = True
        if not into.slots and not other.slots:
            return changed
        for spi in {*into.slots, *other.slots}:
            before = into.slots.get(spi, _NOTHING)
            joined = self._join(before, other.slots.get(spi, _NOTHING))
            if joined != before:
                into.slots[spi] = joined
                changed = True
        return changed

    # --- what an instruction does to what is known --------------------------------------------

    def _advance(self, step: Step, known: _Known) -> None:
        kind = step.kind
        if kind is _LOAD or kind is _LOAD_SX or step.sem is _LOAD_ACQUIRE:
            known.regs[step.dst] = self._loaded(step, known)
        elif kind is _STORE_REG or kind is _STORE_IMM:
            self._store(step, known)
        elif kind is _ADDR_SPACE_CAST:
            known.regs[step.dst] = self._arithmetic(step, known.regs)
        elif kind is _WIDE and step.map is not None:
            known.regs[step.dst] = _MAP + self.program.maps.index(step.map)
        else:
            self._clobber(step, known)

    def _clobber(self, step: Step, known: _Known) -> None:
        """Calls and atomics: an atomic may change a number, and may fetch a spilled pointer."""
        made = _NOTHING
        if step.kind is _ATOMIC and _is_pointer(known.regs[step.dst]):
            known.forget_numbers()
            made = _SOMEWHERE if known.slots else _NOTHING
        written = registers_set(step)
        for number in range(MAX_REGISTER):
            if written >> number & 1:
                known.regs[number] = made

    def _arithmetic(self, step: Step, regs: list[int]) -> int:
        source = regs[step.src] if step.reg_source else _NOTHING
        if step.sem is _MOV:
            if not step.reg_source:
                return _NUMBER + step.imm if 0 <= step.imm <= 512 else _NOTHING
            return source if step.wide or not _is_pointer(source) else _SOMEWHERE
        target = regs[step.dst] if step.kind is _ALU else _NOTHING
        if not _is_pointer(target) and not _is_pointer(source):
            return _NOTHING
        if step.reg_source or not step.wide or step.sem not in (Sem.ADD, Sem.SUB):
            return _SOMEWHERE
        return self._moved(target, step.imm if step.sem is Sem.ADD else -step.imm)

    def _moved(self, value: int, by: int) -> int:
        if value == _SOMEWHERE:
            return _SOMEWHERE
        places = frozenset(place + by for place in self._places(value))
        if any(not LEAST_OFFSET <= place <= 0 for place in places):
            return _SOMEWHERE
        return value + by if value <= 0 else self._one_of(places)

    def _loaded(self, step: Step, known: _Known) -> int:
        base = known.regs[step.src]
        if not _is_pointer(base) or not known.slots or step.size != 8:
            return _NOTHING
        slots = [slot_at(place + step.off) for place in self._places(base)]
        if base == _SOMEWHERE or min(slots) < 0:
            spilled = any(_is_pointer(value) for value in known.slots.values())
            return _SOMEWHERE if spilled else _NOTHING
        made = known.slots.get(slots[0], _NOTHING)
        for spi in slots[1:]:
            made = self._join(made, known.slots.get(spi, _NOTHING))
        return made if base <= 0 else self._join(made, _NOTHING)

    def _store(self, step: Step, known: _Known) -> None:
        target = known.regs[step.dst]
        if not _is_pointer(target):
            return
        value = known.regs[step.src] if step.kind is _STORE_REG else _NOTHING
        spi = slot_at(target + step.off) if step.size == 8 and target <= 0 else -1
        if spi < 0:
            known.forget_numbers()
            if _is_pointer(value) and step.size == 8:
                self._store_somewhere(target, step.off, value, known)
        elif value == _NOTHING:
            known.slots.pop(spi, None)
        else:
            known.slots[spi] = value

    def _store_somewhere(self, target: int, off: int, value: int, known: _Known) -> None:
        for place in self._places(target):
            spi = slot_at(place + off)
            if spi >= 0:
                known.slots[spi] = self._join(known.slots.get(spi, _NOTHING), value)

    def _loses(self, step: Step, known: _Known) -> bool:
        """Whether a pointer into the frame is stored where it cannot be followed.

        Only whole aligned pointers can be loaded again.
        """
        if step.kind is _ATOMIC:
            return step.sem is not _LOAD_ACQUIRE and _is_pointer(known.regs[step.src])
        if step.kind is not _STORE_REG or step.size != 8:
            return False
        if not _is_pointer(known.regs[step.src]):
            return False
        # a callee may spill what its caller lent it into a frame that is not followed
        return self.depth > 0 or known.regs[step.dst] == _SOMEWHERE

    # --- reads and writes ---------------------------------------------------------------------

    def _reach(self, value: int, off: int, size: int) -> int:
        """Slots that an access of *size* bytes through *value* may touch."""
        if value == _SOMEWHERE:
            return ALL_SLOTS
        reached = 0
        for place in self._places(value):
            reached |= slots_between(place + off, size)
        return reached

    def _read(self, step: Step, known: _Known) -> int:
        kind = step.kind
        if kind is _CALL:
            return self._read_by_call(step, known)
        if kind is _LOAD or kind is _LOAD_SX or step.sem is _LOAD_ACQUIRE:
            return self._reach(known.regs[step.src], step.off, step.size)
        if kind is _ATOMIC:
            return self._reach(known.regs[step.dst], step.off, step.size)
        return 0

    def _read_by_call(self, step: Step, known: _Known) -> int:
        helper = helper_table.by_id(step.imm) if step.sem is Sem.HELPER else None
        if helper is None or step.calls_callback:
            known.forget_numbers()
            if not any(_is_pointer(known.regs[number]) for number in range(1, 6)):
                return 0
            return self._read_by_callee(step, known) if step.sem is Sem.LOCAL else ALL_SLOTS
        read = 0
        for index, argument in enumerate(helper.args):
            value = known.regs[index + 1]
            if not _is_pointer(value) or argument.kind is Arg.ANYTHING:
                continue
            if argument.writes or argument.uninit or argument.kind not in _REACHES:
                known.forget_numbers()
            if argument.uninit and argument.kind in _REACHES:
                continue
            read |= self._reach(value, 0, self._size(argument, index, helper.args, known))
        return read

    def _read_by_callee(self, step: Step, known: _Known) -> int:
        callee = self.program.function_at[step.target]
        if callee.is_global or self.depth >= MAX_FRAMES:
            return ALL_SLOTS
        regs = [_NOTHING] * (MAX_REGISTER + 1)
        for number in range(1, 6):
            value = known.regs[number]
            regs[number] = _SOMEWHERE if value >= _PLACES else value  # the sets are our own
        key = (callee.number, self.depth, *regs)
        read = self._lent.get(key)
        if read is None:
            inner = _Analysis(self.program, callee, self.depth + 1, self._lent)
            accesses = _accesses(callee, regs, inner)
            read = ALL_SLOTS if accesses is None else _union(accesses.read)
            self._lent[key] = read
        return read

    def _size(self, argument: ArgType, index: int, args: tuple[ArgType, ...], known: _Known) -> int:
        """Bytes that a helper may touch through an argument; 512 if that is not known."""
        if argument.kind in (Arg.MAP_KEY, Arg.MAP_VALUE):
            for place, other in enumerate(args):
                if other.kind is Arg.CONST_MAP_PTR:
                    return self._map_size(known.regs[place + 1], argument)
        if argument.kind is Arg.MEM:
            if argument.size:
                return argument.size
            if index + 1 < len(args) and args[index + 1].kind in _SIZES:
                number = known.regs[index + 2]
                if _NUMBER <= number <= _NUMBER + 512:
                    return number - _NUMBER
        return -LEAST_OFFSET

    def _map_size(self, value: int, argument: ArgType) -> int:
        shapes = self._shapes
        if _MAP <= value < _PLACES:
            shapes = [self.program.maps[value - _MAP]]
        if argument.kind is Arg.MAP_KEY:
            return max((shape.key_size for shape in shapes), default=-LEAST_OFFSET)
        return max((shape.value_size for shape in shapes), default=-LEAST_OFFSET)

    def _written(self, step: Step, known: _Known) -> int:
        if step.size != 8 or (step.kind is not _STORE_REG and step.kind is not _STORE_IMM):
            return 0
        target = known.regs[step.dst]
        spi = slot_at(target + step.off) if target <= 0 else -1
        return slot_bit(spi) if spi >= 0 else 0
