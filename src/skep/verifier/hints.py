"""What usually helps, told from the path that led to a refusal.

The common causes behind a refusal are few, and each leaves a trace: a comparison that was made, but
of another copy of the value, or of its lower half only; a packet that a helper may have moved; a
branch on which something acquired was forgotten. Values are followed forwards along the path, by
where they came from.
"""

from collections.abc import Callable, Sequence
from typing import Final

from skep.isa.table import Kind, Sem, registers_written
from skep.verifier.causes import accessed_slot, last_path, mentioned
from skep.verifier.events import Entered, Refused
from skep.verifier.listing import step_text
from skep.verifier.program import Program, Step
from skep.verifier.scalar import Scalar
from skep.verifier.state import REF_POINTER, Frame
from skep.verifier.values import PACKET, PACKET_END, Pointer

_HALF: Final = 32


class Origin:
    """Where a value came from: instruction *pc* on its *number*-th step of the path.

    *key* names the memory that it was loaded from, "" if from none; *low* says that only the lower
    32 bits are left; *slot* is the stack slot that it went through, -1 for none.
    """

    __slots__ = ("key", "low", "number", "pc", "slot")

    def __init__(self, number: int, pc: int, key: str, low: bool, slot: int) -> None:
        self.number = number
        self.pc = pc
        self.key = key
        self.low = low
        self.slot = slot


class Comparison:
    """A conditional jump at *pc* that compared a value with something."""

    __slots__ = ("half", "origin", "pc")

    def __init__(self, pc: int, origin: Origin, half: bool) -> None:
        self.pc = pc
        self.origin = origin
        self.half = half


class Story:
    """The path to a refusal, oldest instruction first, and where each value on it came from."""

    def __init__(self, program: Program, path: Sequence[Entered], refused: Refused) -> None:
        self.program = program
        self.path = path
        self.refused = refused
        self.frame: Frame = path[-1].frame
        self.origins: dict[tuple[int, int], Origin] = {}  # by frame and register
        self.slots: dict[tuple[int, int], Origin] = {}  # by frame and stack slot
        self.added: dict[tuple[int, int], Origin] = {}  # to the pointer in a register
        self.comparisons: list[Comparison] = []
        for number in range(len(path) - 1):
            self._follow(number, path[number], path[number + 1])

    @property
    def step(self) -> Step | None:
        """The refused instruction."""
        return self.program.steps[self.refused.pc]

    def _follow(self, number: int, entered: Entered, then: Entered) -> None:
        step = self.program.steps[entered.pc]
        if step is None:
            return
        frame = entered.frame.number
        if then.frame.number != frame:
            self._change_frame(frame, then.frame.number)
            return
        if step.kind is Kind.JUMP:
            self._compare(step, frame)
            return
        if step.kind is Kind.STORE_REG:
            self._store(step, entered)
            return
        written = registers_written(step.op, step.insn)
        made = self._origin(number, step, entered)
        for register in range(10):
            if written >> register & 1:
                self.origins[frame, register] = made
                self._note_sum(step, frame, register)

    def _change_frame(self, before: int, after: int) -> None:
        moved = range(1, 6) if after > before else range(1)
        for register in moved:
            if (before, register) in self.origins:
                self.origins[after, register] = self.origins[before, register]

    def _compare(self, step: Step, frame: int) -> None:
        registers = [step.dst] + [step.src] * step.reg_source
        for register in registers:
            origin = self.origins.get((frame, register))
            if origin is not None:
                self.comparisons.append(Comparison(step.pc, origin, not step.wide))

    def _store(self, step: Step, entered: Entered) -> None:
        slot = accessed_slot(step, entered.frame)
        origin = self.origins.get((entered.frame.number, step.src))
        if slot >= 0 and origin is not None:
            low = origin.low or step.size < 8
            kept = Origin(origin.number, origin.pc, origin.key, low, slot)
            self.slots[entered.frame.number, slot] = kept

    def _origin(self, number: int, step: Step, entered: Entered) -> Origin:
        frame = entered.frame.number
        if step.kind in (Kind.LOAD, Kind.LOAD_SX):
            slot = accessed_slot(step, entered.frame)
            known = self.slots.get((frame, slot)) if slot >= 0 else None
            if known is not None:
                low = known.low or step.size < 8
                return Origin(known.number, known.pc, known.key, low, slot)
            return Origin(number, step.pc, _memory(step, entered.frame), step.size < 8, -1)
        if step.kind is Kind.ALU:
            source = step.src if step.sem is Sem.MOV and step.reg_source else step.dst
            copied = step.sem is Sem.MOV and step.reg_source
            old = self.origins.get((frame, source))
            if old is not None and (copied or _cuts(step)):
                low = old.low or not step.wide or _cuts(step)
                return Origin(old.number, old.pc, old.key, low, old.slot)
        return Origin(number, step.pc, "", False, -1)

    def _note_sum(self, step: Step, frame: int, register: int) -> None:
        """Remember what was added to a pointer, and forget it with the pointer."""
        place = (frame, register)
        if step.kind is Kind.ALU and step.reg_source:
            if step.sem is Sem.MOV and (frame, step.src) in self.added:
                self.added[place] = self.added[frame, step.src]
                return
            other = self.origins.get((frame, step.src))
            if step.sem in (Sem.ADD, Sem.SUB) and other is not None:
                self.added[place] = other
                return
        if step.kind is not Kind.ALU or step.sem is Sem.MOV:
            self.added.pop(place, None)


def _cuts(step: Step) -> bool:
    """Whether an instruction is one of the pair that clears the upper half by shifts."""
    return step.sem in (Sem.SHL, Sem.LSHR, Sem.ASHR) and not step.reg_source and step.imm == _HALF


def _memory(step: Step, frame: Frame) -> str:
    """What a load reads, if the same text means the same place; "" if that is not known."""
    base = frame.regs[step.src]
    if not isinstance(base, Pointer) or not base.var.is_const:
        return ""
    return f"{base.kind}:{base.frame}:{base.map_uid}:{base.btf_id}:{base.off + step.off}"


# --- advice -----------------------------------------------------------------------------------


def _named(program: Program, pc: int) -> str:
    step = program.steps[pc]
    return f"insn {pc} ({step_text(step).partition(') ')[2]})" if step is not None else f"insn {pc}"


def _access(story: Story) -> tuple[int, Pointer | None]:
    """The register through which memory is accessed, and its pointer."""
    step = story.step
    if step is None:
        return -1, None
    register = step.src if step.kind in (Kind.LOAD, Kind.LOAD_SX, Kind.LEGACY) else step.dst
    if step.kind is Kind.CALL:
        named = [number for number in range(1, 6) if mentioned(story.refused.detail) >> number & 1]
        register = named[0] if named else -1
    value = story.frame.regs[register] if register >= 0 else None
    return register, value if isinstance(value, Pointer) else None


def _packet(story: Story) -> str:
    """Advice on an access beyond what was compared with the end of the packet."""
    step, (_, pointer) = story.step, _access(story)
    if step is None or pointer is None:
        return ""
    checked = -1
    for entered in story.path:
        jump = story.program.steps[entered.pc]
        if jump is not None and jump.kind is Kind.JUMP and jump.reg_source:
            sides = (entered.frame.regs[jump.dst], entered.frame.regs[jump.src])
            if any(isinstance(side, Pointer) and side.kind == PACKET_END for side in sides):
                checked = entered.pc
    if pointer.range > 0:
        end = f"the access ends at byte {pointer.off + step.off + step.size}"
        need = end if step.kind is not Kind.CALL else "the helper is given more"
        return f"only {pointer.range} bytes were compared with data_end, {need}: compare all of it"
    if checked < 0:
        return ""
    where = _named(story.program, checked)
    if not pointer.var.is_const:
        return f"{where} was made before a variable offset was added: compare the sum with data_end"
    return (
        f"{where} compares another copy of the pointer: the compiler loaded it twice, or the check "
        "moved; access memory through the pointer that was compared, barrier_var() keeps it"
    )


def _moved_packet(story: Story) -> str:
    """Advice on a packet pointer that a helper made unusable."""
    register, pointer = _access(story)
    if pointer is not None or register < 0:
        return ""
    for number in range(len(story.path) - 1, 0, -1):
        entered, before = story.path[number], story.path[number - 1]
        step = story.program.steps[before.pc]
        if step is None or entered.frame.number != before.frame.number:
            return ""
        old = before.frame.regs[register]
        if isinstance(old, Pointer) and old.kind == PACKET and step.kind is Kind.CALL:
            return (
                f"{_named(story.program, before.pc)} may have moved the packet: load data and "
                "data_end again behind it, and compare again"
            )
        if registers_written(step.op, step.insn) >> register & 1:
            return ""
    return ""


def _offset(story: Story) -> Origin | None:
    """Where the number came from that is too large, or may be negative."""
    step = story.step
    if step is None:
        return None
    frame = story.frame.number
    if step.kind is Kind.ALU:
        register = step.src if step.reg_source else step.dst
        if not isinstance(story.frame.regs[register], Scalar):
            register = step.dst
        return story.origins.get((frame, register))
    register, pointer = _access(story)
    place = (frame, register)
    if pointer is None:
        return story.origins.get(place)
    if step.kind is Kind.CALL and place not in story.added:
        return story.origins.get((frame, register + 1))  # the size stands behind the pointer
    return story.added.get(place)


def _bounds(story: Story) -> str:
    """Advice on a number without bounds: was another copy of it compared?"""
    origin = _offset(story)
    if origin is None:
        return ""
    for comparison in reversed(story.comparisons):
        other = comparison.origin
        where = _named(story.program, comparison.pc)
        if other.number == origin.number:
            return _lost(where, other, origin, comparison.half)
        if other.key and other.key == origin.key:
            return (
                f"{where} checks what insn {other.pc} loaded, and insn {origin.pc} loads it again: "
                "it may have changed; keep the value in a local variable"
            )
    return ""


def _lost(where: str, other: Origin, origin: Origin, half: bool) -> str:
    if (half or other.low) and not origin.low:
        return (
            f"{where} bounds the lower 32 bits only, and all 64 are used: compare the 64-bit "
            "value, or use the 32-bit one"
        )
    slot = origin.slot if origin.slot >= 0 else other.slot
    if slot >= 0:
        return (
            f"{where} bounds another copy: the value went through the stack at fp-{8 * slot + 8} "
            "and its bound was lost; compare it once more where it is used"
        )
    return (
        f"{where} bounds the value, but not on both sides or not enough: make it unsigned, and "
        "compare it with the size right before its use"
    )


def _leak(story: Story) -> str:
    """Advice on a reference that is held when the program leaves."""
    held = [ref for ref in story.path[-1].refs if ref.kind == REF_POINTER]
    if not held:
        return ""
    acquired = held[-1].pc
    where = ""
    for number in range(len(story.path) - 1):
        entered, then = story.path[number], story.path[number + 1]
        step = story.program.steps[entered.pc]
        if step is None or step.kind is not Kind.JUMP:
            continue
        if any(ref.id == held[-1].id for ref in entered.refs) and step.target != step.next_pc:
            way = "taken" if then.pc == step.target else "not taken"
            where = f"; this path leaves where {_named(story.program, entered.pc)} is {way}"
    return f"release what {_named(story.program, acquired)} acquired, on every path{where}"


_ADVICE: Final[dict[str, Callable[[Story], str]]] = {
    "packet-in-range": _packet,
    "access-through-pointer": _moved_packet,
    "pointer-offset-bounded": _bounds,
    "access-lower-bound": _bounds,
    "access-upper-bound": _bounds,
    "access-in-memory": _bounds,
    "stack-offset-bounded": _bounds,
    "size-bounded": _bounds,
    "size-not-negative": _bounds,
    "reference-released": _leak,
}


def hint_of(program: Program, journal: Sequence[object]) -> str:
    """What usually helps where *journal* ends; "" if nothing better is known."""
    if not journal or not isinstance(journal[-1], Refused):
        return ""
    refused = journal[-1]
    advise = _ADVICE.get(refused.rule)
    path = last_path(journal)
    if advise is None or not path or path[0].pc != refused.pc:
        return ""
    path.reverse()
    return advise(Story(program, path, refused))
