"""Which stack slots still matter, as the walk finds it out.

Each instruction that is walked marks the slots it reads, and those that it always overwrites whole;
for every chain of calls that leads to it by itself. When a path ends or a function returns, that is
carried backwards, and from the entry of a function to its call: a slot is live before an
instruction if some walked way from there reads it before it is overwritten.

A remembered state is compared with others once all ways from it have been walked, so what none of
them read cannot matter to it.

Source: Linux 6.18 kernel/bpf/liveness.c.
"""

from typing import Final

from mypy_extensions import i64

from skep.verifier.program import Function, Program
from skep.verifier.slot_sets import ALL_SLOTS

_NOT_WALKED: Final = 0  # what is known of an instruction's stores
_NOTHING: Final = 1  # it overwrites no slot each time
_SOMETHING: Final = 2
_SUBPROGRAMS: Final = 1 << 10  # more than there can be


class Marks:
    """What the instructions of a function do to the slots of one frame, by number, as bit sets."""

    __slots__ = ("always", "live", "pending", "read", "written")

    def __init__(self, count: int) -> None:
        self.read: list[int] = [0] * count  # by the instruction
        self.written: list[int] = [0] * count  # always, by the instruction
        self.live: list[int] = [0] * count  # before it
        self.always: list[int] = [0] * count  # overwritten by it or on every way from it
        self.pending: list[int] = []  # marks that were not carried backwards yet


class Instance:
    """A function as it is reached through one chain of calls.

    Args:
        program: the program.
        function: the function.
        caller: how its caller is reached; None for one that nothing calls.
        callsite: slot of the call; -1 without a caller.
    """

    def __init__(
        self, program: Program, function: Function, caller: "Instance | None", callsite: int
    ) -> None:
        self._program = program
        self._start = function.start
        self._count = function.end - function.start
        self._caller = caller
        self._callsite = callsite
        self._depth: int = caller._depth + 1 if caller is not None else 0  # noqa: SLF001
        self._frames: list[Marks | None] = [None] * (self._depth + 1)
        self._stores: list[int] = []
        self._callees: dict[int, Instance] = {}
        self._dropped = False
        self.is_new = False  # there are marks to be carried backwards

    def callee(self, function: Function, callsite: int) -> "Instance":
        """*function* as called from here at slot *callsite*."""
        key = callsite * _SUBPROGRAMS + function.number
        found = self._callees.get(key)
        if found is None:
            found = Instance(self._program, function, self, callsite)
            self._callees[key] = found
        return found

    def live_before(self, frame: int, pc: int) -> int:
        """Slots of *frame* that are live before slot *pc*."""
        marks = self._frames[frame]
        return marks.live[pc - self._start] if marks is not None else 0

    # --- marks --------------------------------------------------------------------------------

    def note_read(self, frame: int, pc: int, slots: i64) -> None:
        """Instruction *pc* reads *slots* of *frame*."""
        marks = self._frames[frame]
        if marks is None:
            marks = self._new_marks(frame)
        index = pc - self._start
        known: i64 = marks.read[index]
        if slots & ~known == 0:
            return
        marks.read[index] = known | slots
        live: i64 = marks.live[index]
        if slots & ~live != 0:
            marks.pending.append(index)
            self.is_new = True

    def note_store(self, frame: int, pc: int, slots: i64) -> None:
        """Instruction *pc* overwrites *slots* of *frame*, and of other frames nothing."""
        if not self._stores:
            self._stores = [_NOT_WALKED] * self._count
        index = pc - self._start
        known = self._stores[index]
        if known == _NOTHING:
            return
        if known == _NOT_WALKED:
            self._stores[index] = _NOTHING
            if slots != 0:
                self._stores[index] = _SOMETHING
                marks = self._frames[frame] or self._new_marks(frame)
                self._set_written(marks, index, slots)
            return
        for number, marked in enumerate(self._frames):
            if marked is not None:
                old: i64 = marked.written[index]
                kept: i64 = old & slots if number == frame else 0
                if kept != old:
                    self._dropped = True
                    self._set_written(marked, index, kept)

    def _note_call(self, pc: int, callee: "Instance", returns: bool) -> None:
        """The call at slot *pc* does to the slots of outer frames what *callee* does."""
        if not self._stores:
            self._stores = [_NOT_WALKED] * self._count
        index = pc - self._start
        first = self._stores[index] == _NOT_WALKED
        self._stores[index] = _SOMETHING
        for number in range(self._depth + 1):
            theirs = callee._frames[number]  # noqa: SLF001 - the same class
            if theirs is not None:
                self.note_read(number, pc, theirs.live[0])
            written: i64 = theirs.always[0] if theirs is not None and returns else 0
            marks = self._frames[number]
            if marks is None:
                if written == 0 or not first:
                    continue
                marks = self._new_marks(number)
            old: i64 = marks.written[index]
            if not first:
                written &= old
            if written != old:
                self._dropped = self._dropped or old & ~written != 0
                self._set_written(marks, index, written)

    def _set_written(self, marks: Marks, index: int, slots: int) -> None:
        marks.written[index] = slots
        marks.pending.append(index)
        self.is_new = True

    def _new_marks(self, frame: int) -> Marks:
        marks = Marks(self._count)
        self._frames[frame] = marks
        return marks

    # --- carrying them backwards ----------------------------------------------------------------

    def settle(self) -> None:
        """Carry new marks backwards, and on to the call."""
        for number, marks in enumerate(self._frames):
            if marks is None:
                continue
            if self._dropped:
                marks.always = [0] * self._count
                marks.pending = list(range(self._count))
            self._carry(marks, number < self._depth)
        self.is_new = self._dropped = False
        if self._caller is not None:
            call = self._program.steps[self._callsite]
            returns = call is not None and not call.calls_callback  # callbacks may run no time
            self._caller._note_call(self._callsite, self, returns)  # noqa: SLF001

    def _carry(self, marks: Marks, outer: bool) -> None:
        """Work out what is live before the pending instructions, and before those that lead there.

        What is *always* overwritten is asked of *outer* frames only, by the call.
        """
        work = marks.pending
        marks.pending = []
        while work:
            index = work.pop()
            if self._update(marks, index, outer):
                self._add_previous(work, index)

    def _update(self, marks: Marks, index: int, outer: bool) -> bool:
        """Combine what follows an instruction with its own marks; tell whether that is new."""
        step = self._program.steps[self._start + index]
        if step is None or not (step.falls or step.jumps):
            return False
        live: i64 = 0
        always: i64 = ALL_SLOTS
        if step.falls:
            after = step.next_pc - self._start
            live = marks.live[after]
            always = marks.always[after]
        if step.jumps:
            target = step.target - self._start
            other: i64 = marks.live[target]
            live |= other
            other = marks.always[target]
            always &= other
        written: i64 = marks.written[index]
        read: i64 = marks.read[index]
        live = (live & ~written) | read
        always = always | written if outer else 0
        if live == marks.live[index] and always == marks.always[index]:
            return False
        marks.live[index] = live
        marks.always[index] = always
        return True

    def _add_previous(self, work: list[int], index: int) -> None:
        pc = self._start + index
        step = self._program.steps[pc]
        if step is None:
            return
        if step.previous >= self._start:
            before = self._program.steps[step.previous]
            if before is not None and before.falls:
                work.append(before.pc - self._start)
        jumps = self._program.jumps_to.get(pc)
        if jumps is not None:
            work.extend([jump - self._start for jump in jumps])
