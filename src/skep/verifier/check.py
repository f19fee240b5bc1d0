"""Check: what a rule or transfer function sees while one instruction is examined.

A handler of an instruction has the signature ``handler(check: Check, step: Step) -> None``. It

* reads ``check.frame.regs`` and writes new values there (see ``skep.verifier.state``);
* refuses with ``check.refuse(RULE, "kernel's short message", ...)``, or, off the hot path,
  ``check.require(RULE, condition, "message")``;
* leaves ``check.next_pc`` alone to go on after the instruction, or sets it;
* explores the other way too with ``check.push_branch(pc)``: it returns the state that will be
  walked later; get its frames with ``state.own(number)`` to change them;
* calls ``check.mark_precise(n)`` whenever a verdict or an effect depends on the exact value of the
  scalar in register *n* (where the kernel calls mark_chain_precision);
* calls ``check.note_stack_access(frame, spi)`` when it spills to or fills from a slot;
* calls ``check.note_slots_read(frame, slots)`` whenever it looks at what slots hold, because
  slots that nobody reads are forgotten when states are compared.
"""

from typing import Final, NoReturn

from mypy_extensions import i64

from skep.btf.graph import Btf
from skep.isa.insn import Insn
from skep.isa.table import BY_NAME
from skep.uapi.contexts import Context, Field
from skep.uapi.program_types import ReturnRange, effective_attach_type
from skep.verifier import precision
from skep.verifier.events import BranchPushed, Note, Refused
from skep.verifier.helper_prototypes import Prototype
from skep.verifier.interface import (
    CallFact,
    Environment,
    LineInfo,
    MapShape,
    Observer,
    Request,
)
from skep.verifier.program import Program, Step
from skep.verifier.records import Records
from skep.verifier.report import Rejected
from skep.verifier.rules.flow import JUMP_SEQUENCE, REGISTER_READABLE
from skep.verifier.rules.rule import NOT_SUPPORTED, Rule
from skep.verifier.scalar import Scalar
from skep.verifier.slot_marks import Instance
from skep.verifier.state import Frame, State, Trace, new_frame
from skep.verifier.target import Target
from skep.verifier.values import Value
from skep.verifier.wanted import Tale

MAX_PENDING: Final = 8192
MAX_REPORTED_PATH: Final = 1000

PROG_F_STRICT_ALIGNMENT: Final = 1
PROG_F_ANY_ALIGNMENT: Final = 2
PROG_F_TEST_STATE_FREQ: Final = 8
PROG_F_SLEEPABLE: Final = 16
PROG_F_XDP_HAS_FRAGS: Final = 32


_NO_STEP: Final = Step(0, Insn(0x95), BY_NAME["exit"])  # before the walk


class Pending:
    """A branch to be walked later, from *previous_pc* to *pc*; *mark* is the journal's length."""

    __slots__ = ("mark", "pc", "previous_pc", "state")

    def __init__(self, state: State, pc: int, previous_pc: int, mark: int) -> None:
        self.state = state
        self.pc = pc
        self.previous_pc = previous_pc
        self.mark = mark


class Check:
    """The examination of one program; see the module for how handlers use it.

    Args:
        request: what is asked.
        program: its steps and functions.
    """

    def __init__(self, request: Request, program: Program) -> None:
        self.request = request
        self.environment: Environment = request.environment
        self.kernel_btf: Btf | None = request.environment.kernel_btf
        row = request.program_type
        self.attach_type: int = effective_attach_type(row, request.expected_attach_type)
        self.program = program
        self.observer: Observer | None = request.observer
        self.privileged: bool = request.privileged
        self.has_cap_bpf: bool = request.privileged or request.has_cap_bpf
        self.strict_alignment: bool = request.prog_flags & PROG_F_STRICT_ALIGNMENT != 0
        self.sleepable: bool = request.prog_flags & PROG_F_SLEEPABLE != 0
        self.state: State = State([new_frame(0, 0, -1)])
        self.frame: Frame = self.state.frames[0]
        self.step: Step = _NO_STEP
        self.pc: int = -1
        self.previous_pc: int = -1
        self.next_pc: int = 0
        self.path_ends: bool = False
        self.ids = self.walks = 0  # of values, and of callbacks that were queued
        self.records = Records(self.kernel_btf)
        self.entries: dict[int, Instance] = {}  # of functions that are no callees, by number
        self.pending: list[Pending] = []
        self.current_trace: Trace | None = None
        self.target: Target | None = None
        self.extends: bool = False  # it takes the place of a function, whose arguments it gets
        # facts for the proof, by pc
        self.memory = bytearray(program.size)
        self.moved = bytearray(program.size)  # see Proof
        self.slots: dict[int, int] = {}  # offset of the native slot that a context load reads
        self.masks: dict[int, tuple[int, int]] = {}  # how unprivileged arithmetic is masked
        self.masks_differ: bool = False  # some masked arithmetic adds an unknown number
        self.attach_as_expected = False  # some result means something under that attach type only
        self.buffers: dict[str, int] = {}  # how far accesses reach into buffers of unknown size
        self.calls: dict[int, CallFact] = {}
        self.helpers: dict[int, Prototype] = {}  # those that the program may call, by number
        self.implemented: set[int] = set()  # those of them that can be run
        self.context: Context | None = None  # its layout, once it was asked for
        self.fields: dict[int, Field] = {}  # of the context, by place, size and direction
        self.returns: ReturnRange | None = None  # what r0 must be, once that was asked
        self.knows_returns: bool = False
        self.map_at: dict[int, MapShape] = {}
        self.callback_at: dict[int, int] = {}
        self.btf_address_at: dict[int, tuple[str, int]] = {}
        # at log level 1 only the path to a refusal is kept
        self.forgets_paths: bool = not request.collect_journal and request.log_level & 2 == 0
        self.journal: list[object] | None = (
            [] if request.collect_journal or request.log_level & 3 else None
        )
        self.tale: Tale = self.journal if request.log_level & 2 else None

    def follow(self, request: Request) -> None:
        """Go on by the rules of *request*; nothing was asked of those of the old one."""
        self.request = request
        row = request.program_type
        self.attach_type = effective_attach_type(row, request.expected_attach_type)

    # --- verdicts -----------------------------------------------------------------------------

    def refuse(
        self, rule: Rule, detail: str, *, found: str = "", hint: str = "", errno: int = 0
    ) -> NoReturn:
        """Reject the program: *rule* may not hold at the current instruction.

        Args:
            rule: the rule.
            detail: the kernel's short message, where it is settled.
            found: values that broke it.
            hint: what usually helps.
            errno: where the kernel's errno differs from the rule's usual one.
        """
        path = self.path()
        source = self.source_line(self.pc)
        if self.journal is not None:
            self.journal.append(
                Refused(self.pc, rule.id, detail, found, hint, self.frame.copy(), path, source)
            )
        raise Rejected(
            rule,
            pc=self.pc,
            detail=detail,
            found=found,
            hint=hint,
            path=path,
            source=source,
            errno=errno,
        )

    def require(
        self, rule: Rule, ok: bool, detail: str, *, found: str = "", hint: str = "", errno: int = 0
    ) -> None:
        """Refuse unless *ok*. On hot paths test first, so that no text is made in vain."""
        if not ok:
            self.refuse(rule, detail, found=found, hint=hint, errno=errno)

    def not_supported(self, what: str) -> NoReturn:
        """Reject what Linux may accept but skep cannot judge yet."""
        self.refuse(NOT_SUPPORTED, f"{what} is not supported", hint="skep does not know it yet")

    # --- registers ----------------------------------------------------------------------------

    def read(self, register: int) -> Value:
        """The value of *register*, which must have been written (check_reg_arg SRC_OP)."""
        value = self.frame.regs[register]
        if value is None:
            self.refuse(REGISTER_READABLE, f"R{register} !read_ok")
        return value

    def read_scalar(self, register: int) -> Scalar | None:
        """The value of *register* if it is a scalar."""
        value = self.frame.regs[register]
        return value if isinstance(value, Scalar) else None

    def new_id(self) -> int:
        """A fresh identity for values, references and scalars."""
        self.ids += 1
        return self.ids

    # --- paths --------------------------------------------------------------------------------

    def push_branch(self, pc: int) -> State:
        """Keep a copy of the current state, to be walked from *pc* later, and return it."""
        state = self.state.copy()
        self.frame = self.state.own(len(self.state.frames) - 1)
        self.push_state(state, pc)
        return state

    def push_state(self, state: State, pc: int) -> None:
        """Keep *state*, a copy that nobody else uses, to be walked from *pc* later."""
        state.branches = 1
        if state.parent is not None:
            state.parent.state.branches += 1
        if self.journal is not None:
            self.journal.append(BranchPushed(self.pc, pc))
        mark = len(self.journal) if self.journal is not None else 0
        self.pending.append(Pending(state, pc, self.pc, mark))
        if len(self.pending) > MAX_PENDING:
            self.refuse(
                JUMP_SEQUENCE,
                f"The sequence of {len(self.pending)} jumps is too complex.",
                found=f"{len(self.pending)} branches wait",
            )

    def mark_precise(self, register: int) -> None:
        """Record that the exact value of the scalar in *register* matters on this path."""
        if self.has_cap_bpf:
            precision.mark_register(self.program, self.state, self.pc, register, self.tale)

    def record(self) -> Trace:
        """The trace entry of the current instruction, made on first use."""
        trace = self.current_trace
        if trace is None:
            state = self.state
            trace = Trace(self.pc, self.previous_pc, state.trace)
            state.trace = trace
            state.trace_length += 1
            self.current_trace = trace
        return trace

    def note_stack_access(self, frame: int, spi: int) -> None:
        """Record that the current instruction spilled to, or filled from, a slot of *frame*."""
        trace = self.record()
        trace.stack_frame = frame
        trace.spi = spi

    def enter(self, frame: Frame) -> None:
        """*frame* is the first one of a new state: note accesses of its stack as of this entry."""
        number = frame.subprog
        if number not in self.entries:
            function = self.program.functions[number]
            self.entries[number] = Instance(self.program, function, None, -1)
        frame.instance = self.entries[number]

    def note_slots_read(self, frame: int, slots: i64) -> None:
        """Record that the current instruction looks at what *slots* of *frame* hold."""
        instance = self.frame.instance
        if instance is not None:
            instance.note_read(frame, self.pc, slots)

    def settle_slots(self) -> None:
        """A path ends, or a function returns: find out what that says of slots that are live."""
        frames = self.state.frames
        for number in range(len(frames) - 1, -1, -1):
            instance = frames[number].instance
            if instance is not None and instance.is_new:
                instance.settle()

    def path(self) -> tuple[int, ...]:
        """Slots on the way here that were jumps or their targets, oldest first, the latest 1000."""
        slots: list[int] = []
        state: State | None = self.state
        while state is not None and len(slots) < MAX_REPORTED_PATH:
            trace = state.trace
            while trace is not None and len(slots) < MAX_REPORTED_PATH:
                slots.append(trace.pc)
                trace = trace.before
            state = state.parent.state if state.parent is not None else None
        slots.reverse()
        return tuple(slots)

    def source_line(self, pc: int) -> str:
        """``file:line`` of the statement that slot *pc* belongs to; "" without line info."""
        found: LineInfo | None = None
        for info in self.request.line_infos:
            if info.pc > pc:
                break
            found = info
        return f"{found.file}:{found.line}" if found is not None else ""

    # --- journal ------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Add a line to the log."""
        if self.journal is not None:
            self.journal.append(Note(text))
