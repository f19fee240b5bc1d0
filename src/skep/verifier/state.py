"""What is known at one point of one path: frames with registers and stack slots, references, locks.

How to read and change a state:

* The current frame, ``check.frame``, is private to the current path: assign to ``frame.regs[n]``
  and call ``frame.set_slot(spi, slot)`` freely. Values and slots themselves are never changed.
* Any other frame may be shared with another state: get it with ``state.own(number)`` before
  writing to it; read it through ``state.frames[number]``.
* To change pointers everywhere (a NULL check, a release, packet data that moved), use
  ``state.update_values(change)``: it visits registers and spilled values of all frames.
* ``state.refs`` is a tuple of immutable ``Reference`` rows: assign a new tuple.

Stack slots are numbered as in the kernel: slot *spi* holds the eight bytes
``fp - 8 * (spi + 1) .. fp - 8 * spi``. Unlike in the kernel, ``types`` stands in the order of
addresses: ``types[i]`` is the byte ``fp - 8 * (spi + 1) + i``; so ``types[0]`` is SPILL for every
spilled value, and a 32-bit spill at the low half has ``types[0:4]`` SPILL.

Precision marks are no part of a state: only checkpoints carry them (``skep.verifier.prune``).

Source: Linux 6.18 include/linux/bpf_verifier.h (struct bpf_verifier_state, bpf_func_state).
"""

from collections.abc import Callable
from typing import Final

from skep.btf.graph import Btf
from skep.verifier.scalar import Scalar
from skep.verifier.slot_marks import Instance
from skep.verifier.values import Pointer, Value, stack_pointer

SLOT_SIZE: Final = 8
STACK_SIZE: Final = 512
MAX_SLOTS: Final = 64
MAX_FRAMES: Final = 8

# --- types of stack bytes ---------------------------------------------------------------------

INVALID: Final = 0  # nothing was stored
SPILL: Final = 1  # part of a spilled register
MISC: Final = 2  # something was stored
ZERO: Final = 3  # zero was stored
DYNPTR: Final = 4
ITER: Final = 5
IRQ: Final = 6


class StackObject:
    """A dynptr, iterator or IRQ flag that lives on the stack; immutable once stored.

    Args:
        kind: DYNPTR, ITER or IRQ.
        first: it is the first slot of the object (the one at the lowest address).
        id: identity, shared by both slots of a dynptr and by slices of it.
        ref_id: reference that must be released; 0 for none.
        flavor: DYNPTR: one of the DYNPTR_* flags; IRQ: class of the kfunc.
        flags: ITER: TRUSTED, RCU, UNTRUSTED of the iterator.
        btf, btf_id: ITER: type of the iterator.
        active: ITER: 1 after next() gave an element, 2 drained.
        depth: ITER: iterations simulated so far.
    """

    __slots__ = (
        "active", "btf", "btf_id", "depth", "first", "flags", "flavor", "id", "kind", "ref_id",
    )  # fmt: skip

    def __init__(self, kind: int, first: bool, id: int = 0, ref_id: int = 0) -> None:  # noqa: A002
        self.kind = kind
        self.first = first
        self.id = id
        self.ref_id = ref_id
        self.flavor: int = 0
        self.flags: int = 0
        self.btf: Btf | None = None
        self.btf_id: int = 0
        self.active: int = 0
        self.depth: int = 0

    def copy(self) -> "StackObject":
        """Return an equal object that may be changed until it is stored."""
        twin = StackObject(self.kind, self.first, self.id, self.ref_id)
        twin.flavor, twin.flags = self.flavor, self.flags
        twin.btf, twin.btf_id = self.btf, self.btf_id
        twin.active, twin.depth = self.active, self.depth
        return twin


ITER_ACTIVE: Final = 1
ITER_DRAINED: Final = 2


class Slot:
    """Eight bytes of stack; immutable.

    Args:
        types: one of the types above per byte, lowest address first.
        value: the spilled register, if ``types`` has SPILL.
        object: the dynptr, iterator or IRQ flag, if ``types`` says so.
    """

    __slots__ = ("object", "types", "value")

    def __init__(
        self,
        types: bytes,
        value: Value | None = None,
        object: StackObject | None = None,  # noqa: A002
    ) -> None:
        self.types = types
        self.value = value
        self.object = object

    @property
    def is_spill(self) -> bool:
        """Whether a register, or the low half of one, is spilled here."""
        return self.types[0] == SPILL


EMPTY_SLOT: Final = Slot(bytes(8))
MISC_SLOT: Final = Slot(bytes([MISC]) * 8)
ZERO_SLOT: Final = Slot(bytes([ZERO]) * 8)
SPILL_TYPES: Final = bytes([SPILL]) * 8


def spill(value: Value) -> Slot:
    """Make a slot that holds all eight bytes of *value*."""
    return Slot(SPILL_TYPES, value)


class Frame:
    """One function invocation.

    Args:
        number: 0 for the main program; ``Pointer.frame`` of pointers into its stack.
        subprog: number of the subprogram.
        callsite: pc of the call; -1 in frame 0.
    """

    __slots__ = (
        "async_entry", "callback_depth", "callsite", "in_async_callback",
        "in_callback", "in_exception_callback", "instance", "number", "regs", "return_max",
        "return_min", "shared", "stack", "subprog", "walk",
    )  # fmt: skip

    def __init__(
        self, number: int, subprog: int, callsite: int, regs: list[Value | None], stack: list[Slot]
    ) -> None:
        self.number = number
        self.subprog = subprog
        self.callsite = callsite
        self.regs = regs  # r0 to r10
        self.stack = stack  # by spi
        self.instance: Instance | None = None  # where accesses of the stack are noted
        self.shared: bool = False
        self.in_callback: bool = False
        self.in_async_callback: bool = False
        self.in_exception_callback: bool = False
        self.callback_depth: int = 0  # callbacks simulated by the current call
        self.async_entry: int = 0
        self.walk: int = 0  # of frame 0: 0 in the program, else which of the queued callbacks
        self.return_min: int = 0  # what a callback may return
        self.return_max: int = 0

    def copy(self) -> "Frame":
        """Return an equal frame that is private to its holder."""
        twin = Frame(self.number, self.subprog, self.callsite, self.regs.copy(), self.stack.copy())
        twin.instance = self.instance
        twin.in_callback = self.in_callback
        twin.in_async_callback = self.in_async_callback
        twin.in_exception_callback = self.in_exception_callback
        twin.callback_depth = self.callback_depth
        twin.async_entry = self.async_entry
        twin.walk = self.walk
        twin.return_min, twin.return_max = self.return_min, self.return_max
        return twin

    def slot(self, spi: int) -> Slot:
        """Slot *spi*; empty if nothing was ever stored so low."""
        return self.stack[spi] if spi < len(self.stack) else EMPTY_SLOT

    def set_slot(self, spi: int, slot: Slot) -> None:
        """Replace slot *spi*; the frame must be private (see ``State.own``)."""
        stack = self.stack
        while len(stack) <= spi:
            stack.append(EMPTY_SLOT)
        stack[spi] = slot


def new_frame(number: int, subprog: int, callsite: int) -> Frame:
    """Make a frame in which only r10 is known."""
    regs: list[Value | None] = [None] * 11
    regs[10] = stack_pointer(number)
    return Frame(number, subprog, callsite, regs, [])


REF_POINTER: Final = 1
REF_IRQ: Final = 2
REF_LOCK: Final = 3
REF_RES_LOCK: Final = 4
REF_RES_LOCK_IRQ: Final = 5
LOCK_REFERENCES: Final = (REF_LOCK, REF_RES_LOCK, REF_RES_LOCK_IRQ)


class Reference:
    """Something acquired that must be released before the program ends; immutable.

    *kind* is one of REF_*; *pc* where it was acquired; *owner* what a lock protects.
    """

    __slots__ = ("id", "kind", "owner", "pc")

    def __init__(self, kind: int, id: int, pc: int, owner: object = None) -> None:  # noqa: A002
        self.kind = kind
        self.id = id
        self.pc = pc
        self.owner = owner


class Trace:
    """One instruction of a path, linked to the one recorded before it.

    Only instructions that precision needs are recorded: jumps and their targets, and stack
    accesses. *stack_frame* and *spi* are set (else -1) if the instruction accessed that slot;
    *linked* lists what shared a scalar id with the operands of a conditional jump, as packed
    numbers: ``frame << 8 | spi << 1 | 1`` for slots, ``frame << 8 | register << 1`` for registers.
    """

    __slots__ = ("before", "linked", "pc", "previous_pc", "spi", "stack_frame")

    def __init__(self, pc: int, previous_pc: int, before: "Trace | None") -> None:
        self.pc = pc
        self.previous_pc = previous_pc
        self.before = before
        self.stack_frame: int = -1
        self.spi: int = -1
        self.linked: tuple[int, ...] = ()


NO_REFS: Final[tuple[Reference, ...]] = ()


class State:
    """All that is known at ``pc`` on one path.

    *frames* holds the call stack, innermost last. The counters below *refs* are 0 outside
    such sections. *parent* is the checkpoint that the path last passed, *trace* what it did since.
    """

    __slots__ = (
        "active_irq_id", "active_lock_id", "active_lock_owner", "active_locks",
        "active_preempt_locks", "active_rcu_lock", "branches", "callback_unroll_depth",
        "first_pc", "frames", "in_sleepable", "last_pc", "may_goto_depth", "parent", "pc", "refs",
        "trace", "trace_length",
    )  # fmt: skip

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames
        self.pc: int = 0
        self.refs: tuple[Reference, ...] = NO_REFS
        self.active_locks: int = 0
        self.active_lock_id: int = 0
        self.active_lock_owner: object = None
        self.active_preempt_locks: int = 0
        self.active_rcu_lock: bool = False
        self.active_irq_id: int = 0
        self.in_sleepable: bool = False
        self.may_goto_depth: int = 0
        self.callback_unroll_depth: int = 0
        self.branches: int = 1
        self.parent: Checkpoint | None = None
        self.trace: Trace | None = None
        self.trace_length: int = 0
        self.first_pc: int = 0
        self.last_pc: int = 0

    @property
    def frame(self) -> Frame:
        """The innermost frame."""
        return self.frames[-1]

    def own(self, number: int) -> Frame:
        """Frame *number*, made private to this state, so that it may be changed."""
        frame = self.frames[number]
        if frame.shared:
            frame = frame.copy()
            self.frames[number] = frame
        return frame

    def copy(self) -> "State":
        """Return an equal state; both share their frames until one of them changes."""
        for frame in self.frames:
            frame.shared = True
        twin = State(self.frames.copy())
        twin.pc = self.pc
        twin.refs = self.refs
        twin.active_locks = self.active_locks
        twin.active_lock_id = self.active_lock_id
        twin.active_lock_owner = self.active_lock_owner
        twin.active_preempt_locks = self.active_preempt_locks
        twin.active_rcu_lock = self.active_rcu_lock
        twin.active_irq_id = self.active_irq_id
        twin.in_sleepable = self.in_sleepable
        twin.may_goto_depth = self.may_goto_depth
        twin.callback_unroll_depth = self.callback_unroll_depth
        twin.branches = self.branches
        twin.parent = self.parent
        twin.trace, twin.trace_length = self.trace, self.trace_length
        twin.first_pc, twin.last_pc = self.first_pc, self.last_pc
        return twin

    def update_values(self, change: Callable[[Value], Value | None]) -> None:
        """Replace every pointer *v* in a register or spilled, of every frame, by ``change(v)``.

        *change* returns its very argument to leave it alone, None to make a register unreadable
        (a spilled value then becomes MISC bytes).
        """
        for number in range(len(self.frames)):
            self._update_frame(number, change)

    def _update_frame(self, number: int, change: Callable[[Value], Value | None]) -> None:
        frame = self.frames[number]
        for i in range(10):
            old = frame.regs[i]
            if not isinstance(old, Pointer):
                continue
            new = change(old)
            if new is not old:
                frame = self.own(number)
                frame.regs[i] = new
        for spi in range(len(frame.stack)):
            slot = frame.stack[spi]
            spilled = slot.value
            if not isinstance(spilled, Pointer) or slot.types[0] != SPILL:
                continue
            new = change(spilled)
            if new is not spilled:
                frame = self.own(number)
                frame.stack[spi] = MISC_SLOT if new is None else Slot(slot.types, new)

    def find_reference(self, kind: int, id: int) -> Reference | None:  # noqa: A002
        """The reference of *kind* with *id*, or None."""
        for reference in self.refs:
            if reference.kind == kind and reference.id == id:
                return reference
        return None


class LoopVisit:
    """One stay in a loop, told apart by the calls that led there.

    *entry* is the first checkpoint of the stay, *edges* the paths that came back to a state they
    had been in: each with its pc and the checkpoint it equalled. *told*: the log tells of it.
    """

    __slots__ = ("edges", "entry", "told")

    def __init__(self, told: bool) -> None:
        self.told = told
        self.entry: Checkpoint | None = None
        self.edges: list[tuple[State, int, Checkpoint]] = []


class Checkpoint:
    """A state that was at a pruning point, with what its descendants relied on.

    *state* is never changed, except for ``branches`` and ``parent``; and once all its paths have
    been walked, what is dead in it is forgotten (*cleaned*). Bit *n* of ``precise_regs[frame]``
    says that the exact range of register *n* mattered; ``precise_slots`` says it of spilled
    scalars. *loop* is the stay in a loop that the state belongs to. *suspect* is what told a later
    state apart: a register, or FIRST_SLOT plus a slot, of the innermost frame; or -1. *dropped*:
    nothing is compared with it any more.
    """

    __slots__ = (
        "cleaned", "dropped", "hits", "loop", "misses", "precise_regs", "precise_slots", "state",
        "suspect",
    )  # fmt: skip

    def __init__(self, state: State) -> None:
        self.state = state
        self.precise_regs: list[int] = [0] * len(state.frames)
        self.precise_slots: list[int] = [0] * len(state.frames)
        self.hits: int = 0
        self.misses: int = 0
        self.loop: LoopVisit | None = None
        self.suspect: int = -1
        self.cleaned: bool = False
        self.dropped: bool = False


FIRST_SLOT: Final = 16


def as_scalar(value: Value | None) -> Scalar | None:
    """*value* if it is a scalar."""
    return value if isinstance(value, Scalar) else None


def as_pointer(value: Value | None) -> Pointer | None:
    """*value* if it is a pointer."""
    return value if isinstance(value, Pointer) else None
