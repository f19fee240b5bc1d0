"""What the log of level 2 tells of stack slots that are live, as Linux works it out on the walk.

Each instruction gathers, for every chain of calls that leads to it, which slots it may read and
which it always overwrites. When a path ends or a function returns, that is carried backwards until
nothing changes, and on to the callers. ``skep.verifier.slot_marks`` finds the same out, quicker and
in another order: this only tells it as Linux does, and no verdict depends on it.

Source: Linux 6.18 kernel/bpf/liveness.c.
"""

from collections.abc import Callable, Sequence
from typing import Final

from skep.verifier.notation import slot_set_text
from skep.verifier.program import Program, Step
from skep.verifier.state import Frame

EVERY: Final = (1 << 64) - 1


class Marks:
    """What is known of the slots of one frame at one instruction, as bit sets."""

    __slots__ = ("live", "overwritten", "read", "written")

    def __init__(self) -> None:
        self.read = 0  # by the instruction
        self.written = 0  # always, by the instruction
        self.overwritten = 0  # by it or on every way from it
        self.live = 0  # read by it or on some way from it


class Instance:
    """A function as it was reached through one chain of calls."""

    def __init__(self, chain: tuple[int, ...]) -> None:
        self.chain = chain
        self.marks: dict[int, dict[int, Marks]] = {}  # by frame and slot
        self.seen: set[int] = set()
        self.updated = False
        self.dropped = False

    def at(self, frame: int, pc: int) -> Marks:
        """Marks of slot *pc* for a frame."""
        return self.marks.setdefault(frame, {}).setdefault(pc, Marks())

    def read(self, frame: int, pc: int, mask: int) -> None:
        """Instruction *pc* reads slots of *frame*."""
        if mask:
            marks = self.at(frame, pc)
            marks.read |= mask
            self.updated = self.updated or marks.read | marks.live != marks.live

    def write(self, pc: int, masks: dict[int, int]) -> None:
        """Instruction *pc* overwrites slots, by frame, and no others."""
        first = pc not in self.seen
        for frame in range(len(self.chain)):
            mask = masks.get(frame, 0)
            if not mask and first:
                continue
            marks = self.at(frame, pc)
            mask = mask if first else mask & marks.written
            self.updated = self.updated or mask != marks.written
            self.dropped = self.dropped or marks.written & ~mask != 0
            marks.written = mask
        self.seen.add(pc)


class LiveLines:
    """Gathers marks on the walk; *write* takes the lines of the log."""

    def __init__(self, program: Program, write: Callable[[str], None]) -> None:
        self._program = program
        self._write = write
        self._instances: dict[tuple[int, ...], Instance] = {}
        self._orders: dict[int, list[Step]] = {}

    def read(self, frames: Sequence[Frame], pc: int, frame: int, mask: int) -> None:
        """The instruction at *pc* reads slots of *frame*."""
        self._instance(frames, len(frames) - 1).read(frame, pc, mask)

    def wrote(self, frames: Sequence[Frame], pc: int, masks: dict[int, int]) -> None:
        """The instruction at *pc* overwrites the slots *masks*, by frame."""
        self._instance(frames, len(frames) - 1).write(pc, masks)

    def update(self, frames: Sequence[Frame]) -> None:
        """A path or function ends: carry all marks backwards."""
        for top in range(len(frames) - 1, -1, -1):
            instance = self._instance(frames, top)
            if instance.updated:
                self._carry(instance)

    def _instance(self, frames: Sequence[Frame], top: int) -> Instance:
        calls = tuple(frame.callsite for frame in frames[1 : top + 1])
        chain = (*calls, self._program.functions[frames[top].subprog].start)
        return self._instances.setdefault(chain, Instance(chain))

    def _carry(self, instance: Instance) -> None:
        start = instance.chain[-1]
        if instance.dropped:
            for marks in instance.marks.values():
                for each in marks.values():
                    each.overwritten = 0
        rounds, changed = 0, True
        while changed:
            rounds += 1
            changed = False
            for frame in sorted(instance.marks):
                for step in self._order(start):
                    changed = self._update(instance, frame, step) or changed
        chain = _chain_text(instance.chain)
        self._write(f"{chain} live stack update done in {rounds} iterations")
        self._tell_caller(instance, start)
        instance.updated = instance.dropped = False

    def _update(self, instance: Instance, frame: int, step: Step) -> bool:
        following = _successors(self._program, step)
        if not following:
            return False
        marks = instance.at(frame, step.pc)
        live, always = 0, EVERY
        for pc in following:
            after = instance.at(frame, pc)
            live |= after.live
            always &= after.overwritten
        live = live & ~marks.written | marks.read
        always |= marks.written
        if marks.read or marks.written or step.pc == instance.chain[-1] or step.prune_point:
            where = f"{_chain_text(instance.chain)} frame {frame} insn {step.pc} "
            self._tell(where, "live", marks.live, live)
            self._tell(where, "written", marks.overwritten, always)
        changed = live != marks.live or always != marks.overwritten
        marks.live, marks.overwritten = live, always
        return changed

    def _tell(self, where: str, what: str, old: int, new: int) -> None:
        if old == new:
            return
        more, fewer = slot_set_text(new & ~old), slot_set_text(old & ~new)
        plus = f"+{what} {more} " if more else ""
        minus = f"-{what} {fewer}" if fewer else ""
        self._write(f"{where}{plus}{minus}")

    def _tell_caller(self, instance: Instance, start: int) -> None:
        """Slots of outer frames count as read and written by the call."""
        if len(instance.chain) == 1:
            return
        call = instance.chain[-2]
        function = self._program.function_of(call)
        chain = (*instance.chain[:-2], function.start)
        outer = self._instances.setdefault(chain, Instance(chain))
        masks: dict[int, int] = {}
        for frame in range(len(chain)):
            marks = instance.marks.get(frame, {}).get(start, Marks())
            masks[frame] = marks.overwritten
            outer.read(frame, call, marks.live)
        outer.write(call, masks)

    def _order(self, start: int) -> list[Step]:
        """Steps of the function at *start*, each after those that may follow it."""
        if start not in self._orders:
            self._orders[start] = _postorder(self._program, start)
        return self._orders[start]


def _postorder(program: Program, start: int) -> list[Step]:
    order: list[Step] = []
    discovered, explored = {start}, set()
    stack = [start]
    while stack:
        pc = stack[-1]
        step = program.steps[pc]
        if step is None or pc in explored:
            stack.pop()
            order += [] if step is None else [step]
            continue
        for following in _successors(program, step):
            if following not in discovered:
                discovered.add(following)
                stack.append(following)
        explored.add(pc)
    return order


def _successors(program: Program, step: Step) -> list[int]:
    following = [step.next_pc] if step.falls else []
    if step.jumps and step.target >= 0:
        following.append(step.target)
    return [pc for pc in following if pc < program.size]


def _chain_text(chain: tuple[int, ...]) -> str:
    return f"({','.join(str(pc) for pc in chain)})"
