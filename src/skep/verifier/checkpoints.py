"""Remembered states: pruning, loops, and when a remembered state's marks are complete.

At a pruning point the current state is compared with those remembered there. If one covers it, the
path ends. Inside a loop an old state's precision marks are incomplete until every path out of the
loop has been walked; so a loop's states are compared more strictly, and equal ones are kept as back
edges, along which the marks are carried round until nothing changes.

Source: Linux 6.18 kernel/bpf/verifier.c (is_state_visited, update_branch_counts,
propagate_backedges).
"""

from typing import Final

from mypy_extensions import i64

from skep.base.bits import U32
from skep.errors import InternalError
from skep.isa.table import Kind
from skep.verifier import precision, prune
from skep.verifier.check import PROG_F_TEST_STATE_FREQ, Check
from skep.verifier.events import Looping, Note, Remembered
from skep.verifier.program import Step
from skep.verifier.rules.flow import LOOP_PROGRESS
from skep.verifier.slot_sets import ALL_SLOTS
from skep.verifier.state import ITER_ACTIVE, Checkpoint, LoopVisit, State
from skep.verifier.values import Pointer

_MAY_GOTO: Final = Kind.MAY_GOTO
MAX_TRACE: Final = 40
MAX_BACKEDGE_ROUNDS: Final = 64
MAX_STATES_UNPRIVILEGED: Final = 64


class Checkpoints:
    """The remembered states of one walk."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._at: dict[int, list[Checkpoint]] = {}
        self._visits: dict[tuple[int, ...], LoopVisit] = {}
        self._stored = 0  # of all functions: Linux does not count anew for each
        self._detained = 0  # no longer compared with, but on a path that is not walked to its end
        self._backedges = 0
        self._last_insns = 0
        self._last_jumps = 0
        self._comparison = prune.Comparison(prune.RELAXED, 0, check.privileged)
        self._live: list[int] = []  # of each frame of the current state
        self._often = check.request.prog_flags & PROG_F_TEST_STATE_FREQ != 0
        self.insns = 0
        self.jumps = 0
        self.total = 0
        self.peak = 0
        self.max_per_insn = 0

    def forget(self) -> None:
        """Start over for another function that is verified on its own."""
        self._at.clear()
        self._visits.clear()

    def busiest(self) -> int:
        """Slot of the pruning point whose states are compared most, in a loop if there is one.

        -1 if nothing is kept.
        """
        visits: dict[int, int] = {}
        for stored in self._at.values():
            for checkpoint in stored:
                pc = checkpoint.state.pc
                visits[pc] = visits.get(pc, 0) + checkpoint.hits + checkpoint.misses + 1
        loops = [pc for pc in visits if self._step(pc).scc]
        return max(loops or list(visits), key=lambda pc: visits[pc], default=-1)

    # --- comparing ----------------------------------------------------------------------------

    def is_visited(self, step: Step) -> bool:
        """Whether a remembered state covers the current one; remembers the current one if not."""
        check = self._check
        state = check.state
        force = self._often or step.force_checkpoint or state.trace_length > MAX_TRACE
        add = force or (self.jumps - self._last_jumps >= 2 and self.insns - self._last_insns >= 8)
        stored = self._at.get(self._bucket(state))
        if stored is not None:
            self._find_live(state)
            count = len(stored)
            index = 0
            while index < len(stored):
                checkpoint = stored[index]
                if checkpoint.state.pc != step.pc:
                    index += 1
                    continue
                verdict = self._compare(checkpoint, step)
                if verdict != _MISS:
                    self._hit(checkpoint, step, verdict == _LOOP)
                    return True
                if checkpoint.state.branches and not force and self._is_recent():
                    add = False
                if self._is_useless(checkpoint, step, add):
                    del stored[index]
                    self._drop(checkpoint)
                else:
                    index += 1
            self.max_per_insn = max(self.max_per_insn, count)
            if not check.has_cap_bpf and count > MAX_STATES_UNPRIVILEGED:
                return False
        if add:
            self._remember(step)
        return False

    def _bucket(self, state: State) -> int:
        """Where states of the same place, called from the same place, are kept, as in Linux."""
        return ((state.pc ^ state.frames[-1].callsite) & U32) % self._check.program.size

    def _is_recent(self) -> bool:
        return self.jumps - self._last_jumps < 20 and self.insns - self._last_insns < 100

    def _find_live(self, state: State) -> None:
        """Note which registers are live in each frame."""
        live = self._live
        live.clear()
        for number in range(len(state.frames)):
            live.append(self._step(_place(state, number)).live)

    def _step(self, pc: int) -> Step:
        step = self._check.program.steps[pc]
        if step is None:
            raise InternalError(f"a frame stands at slot {pc}")
        return step

    def _clean(self, checkpoint: Checkpoint) -> None:
        """Forget what nothing will read in a state all of whose paths have been walked."""
        checkpoint.cleaned = True
        state = checkpoint.state
        for number in range(len(state.frames)):
            slots = self._live_slots(state, number)
            live = self._step(_place(state, number)).live
            prune.clean_frame(checkpoint, number, live, slots)

    def _live_slots(self, state: State, number: int) -> i64:
        """Slots of frame *number* that are live: here, or where one of the calls comes back."""
        frames = state.frames
        top = len(frames) - 1
        live: i64 = 0
        pc = state.pc
        for at in range(top, number - 1, -1):
            instance = frames[at].instance
            if instance is None:
                return ALL_SLOTS
            before: i64 = instance.live_before(number, pc)
            live |= before
            if at > number:
                call = self._step(frames[at].callsite)
                pc = call.pc if call.calls_callback else call.next_pc
        return live

    def _compare(self, checkpoint: Checkpoint, step: Step) -> int:
        found = self._resemblance(checkpoint, step)
        if found == _LOOP and checkpoint.state.frames[0].walk != self._check.state.frames[0].walk:
            # The loop waits for marks of its own walk, and this walk would not wait with it: what
            # it remembered before the loop would be taken for complete.
            return _MISS
        return found

    def _resemblance(self, checkpoint: Checkpoint, step: Step) -> int:
        old = checkpoint.state
        state = self._check.state
        if old.branches:
            return self._compare_open(checkpoint, step)
        loop = checkpoint.loop is not None and len(checkpoint.loop.edges) > 0
        if not loop and not checkpoint.cleaned:
            self._clean(checkpoint)
        if self._equal(checkpoint, state, prune.WITHIN if loop else prune.RELAXED):
            return _LOOP if loop else _DONE
        return _MISS

    def _equal(self, checkpoint: Checkpoint, state: State, level: int) -> bool:
        self._comparison.begin(level, self._check.ids)
        self._comparison.strict = self._check.masks_differ
        return prune.states_equal(checkpoint, state, self._comparison, self._live)

    def _compare_open(self, checkpoint: Checkpoint, step: Step) -> int:
        """Compare with a state on the current path: is this loop making progress?"""
        check = self._check
        old, state = checkpoint.state, check.state
        frame = old.frames[-1]
        if frame.in_async_callback and frame.async_entry != state.frames[-1].async_entry:
            return _MISS
        if step.is_iter_next:
            if self._equal(checkpoint, state, prune.WITHIN) and _iterates(state):
                return _LOOP
            return _MISS
        if (
            step.kind is _MAY_GOTO
            and old.may_goto_depth != state.may_goto_depth
            and self._equal(checkpoint, state, prune.WITHIN)
        ):
            return _LOOP
        if step.calls_callback:
            return _LOOP if self._equal(checkpoint, state, prune.WITHIN) else _MISS
        if (
            self._equal(checkpoint, state, prune.EXACT)
            and not prune.iterations_differ(old, state)
            and old.may_goto_depth == state.may_goto_depth
            and old.callback_unroll_depth == state.callback_unroll_depth
        ):
            if check.journal is not None:
                check.journal.append(Looping(checkpoint, check.frame.copy(), state.refs))
            check.refuse(
                LOOP_PROGRESS,
                f"infinite loop detected at insn {step.pc}",
                found="the state is the same as one round earlier",
                hint="change the loop's condition in its body, or bound its counter",
            )
        return _MISS

    def _hit(self, checkpoint: Checkpoint, step: Step, loop: bool) -> None:
        check = self._check
        state = check.state
        checkpoint.hits += 1
        if step.jump_point:
            check.record()
        if check.has_cap_bpf:
            precision.propagate(check.program, checkpoint, state, step.pc, check.tale)
        if loop:
            visit = checkpoint.loop
            if visit is None:
                raise InternalError(f"a loop without a component at slot {step.pc}")
            visit.edges.append((state.copy(), step.pc, checkpoint))
            if visit.told:
                self._tell("backedge", state)
                self._backedges += 1
                self._note_peak()

    def _is_useless(self, old: Checkpoint, step: Step, add: bool) -> bool:
        """Count a miss, unless the loop is too short to remember; tell whether to forget *old*."""
        if add:
            old.misses += 1
        patience = 64 if step.force_checkpoint and old.state.branches > 0 else 3
        return old.misses > old.hits * patience + patience

    def _drop(self, checkpoint: Checkpoint) -> None:
        """Compare with *checkpoint* no more; it stays until nothing comes back to it."""
        checkpoint.dropped = True
        self._stored -= 1
        self._detained += 1
        self._release(checkpoint)

    def _release(self, checkpoint: Checkpoint) -> None:
        """Count *checkpoint* no more if it was dropped, and all its paths are walked."""
        visit = checkpoint.loop
        if checkpoint.dropped and not checkpoint.state.branches and not (visit and visit.edges):
            checkpoint.dropped = False
            self._detained -= 1

    # --- remembering --------------------------------------------------------------------------

    def _remember(self, step: Step) -> None:
        check = self._check
        state = check.state
        self.total += 1
        self._stored += 1
        if check.observer is not None:
            check.observer.remember(state.pc)
        self._note_peak()
        self._last_jumps = self.jumps
        self._last_insns = self.insns
        kept = state.copy()
        check.frame = state.own(len(state.frames) - 1)
        checkpoint = Checkpoint(kept)
        if not check.has_cap_bpf:
            checkpoint.precise_regs = [-1] * len(kept.frames)
            checkpoint.precise_slots = [-1] * len(kept.frames)
        self._enter_loop(checkpoint)
        if check.journal is not None:
            check.journal.append(Remembered(checkpoint))
        state.parent = checkpoint
        state.first_pc = step.pc
        state.trace = None
        state.trace_length = 0
        self._at.setdefault(self._bucket(kept), []).insert(0, checkpoint)

    def _note_peak(self) -> None:
        self.peak = max(self.peak, self._stored + self._detained + self._backedges)

    # --- loops --------------------------------------------------------------------------------

    def _enter_loop(self, checkpoint: Checkpoint) -> None:
        chain = _callchain(self._check, checkpoint.state)
        if not chain:
            return
        place = (checkpoint.state.frames[0].walk, *chain)
        visit = self._visits.get(place)
        if visit is None:
            visit = LoopVisit(-chain[-1] <= self._check.program.loops)
            self._visits[place] = visit
        checkpoint.loop = visit
        if visit.entry is None:
            visit.entry = checkpoint
            if visit.told:
                self._tell("enter", checkpoint.state)

    def end_path(self, state: State) -> None:
        """The path of *state* is walked to its end: complete what waited for it."""
        state.branches -= 1
        if state.branches:
            return
        checkpoint = state.parent
        while checkpoint is not None:
            checkpoint.state.branches -= 1
            if checkpoint.state.branches:
                return
            visit = checkpoint.loop
            if visit is not None and visit.entry is checkpoint:
                if visit.told:
                    self._tell("exit", checkpoint.state)
                    self._backedges -= len(visit.edges)
                self._leave_loop(visit)
            self._release(checkpoint)
            checkpoint = checkpoint.state.parent

    def _tell(self, what: str, state: State) -> None:
        """Add to the log of level 2 that the walk enters or leaves a loop, or goes round."""
        tale = self._check.tale
        if tale is not None:
            chain = ",".join(str(abs(place)) for place in _callchain(self._check, state))
            tale.append(Note(f"SCC {what} ({chain})"))

    def _leave_loop(self, visit: LoopVisit) -> None:
        """Carry marks round the loop until nothing changes: all its paths have been walked."""
        visit.entry = None
        rounds = 0
        changed = self._check.has_cap_bpf
        while changed:
            changed = False
            rounds += 1
            if rounds > MAX_BACKEDGE_ROUNDS:
                for edge, _, _ in visit.edges:
                    precision.mark_all(edge, self._check.tale)
                break
            for edge, pc, equal in visit.edges:
                tale = self._check.tale
                marked = precision.propagate(self._check.program, equal, edge, pc, tale)
                changed = marked or changed
        visit.edges.clear()


_MISS: Final = 0
_DONE: Final = 1
_LOOP: Final = 2


def _place(state: State, number: int) -> int:
    """Where frame *number* stands: at a call, the last one at the current instruction."""
    frames = state.frames
    return frames[number + 1].callsite if number + 1 < len(frames) else state.pc


def _callchain(check: Check, state: State) -> tuple[int, ...]:
    """Call sites that lead to the outermost loop *state* is in, and the loop's number; or ()."""
    chain: list[int] = []
    top = len(state.frames) - 1
    for number in range(top + 1):
        pc = state.pc if number == top else state.frames[number + 1].callsite
        step = check.program.steps[pc]
        if step is not None and step.scc:
            chain.append(-step.scc)
            return tuple(chain)
        chain.append(pc)
    return ()


def _iterates(state: State) -> bool:
    """Whether the iterator that r1 points to is active."""
    pointer = state.frame.regs[1]
    if not isinstance(pointer, Pointer):
        return False
    slot = state.frames[pointer.frame].slot((-pointer.off - 1) // 8)
    return slot.object is not None and slot.object.active == ITER_ACTIVE
