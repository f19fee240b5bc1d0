"""The program as the verifier walks it: one ``Step`` per slot, with all that is known statically.

Invariant: nothing here changes once the passes before the walk are over, except what the walk
notes for the proof and for itself: ``seen``, ``accessed``, ``constant`` and ``fits``.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from mypy_extensions import i64

from skep.isa.insn import Insn
from skep.isa.table import OPS, Kind, Op, Sem, Use, registers_read, registers_written
from skep.verifier.interface import MapShape
from skep.verifier.prototypes import Argument
from skep.verifier.scalar import ZERO, Scalar
from skep.verifier.values import Pointer, Value

Transfer: TypeAlias = Callable[[Scalar, Scalar, bool], Scalar]
Decision: TypeAlias = Callable[[Scalar, Scalar, bool], int]
Refinement: TypeAlias = Callable[[Scalar, Scalar, bool], None]

# What a result was made from: how precision walks back over an instruction.
FROM_NOTHING: Final = 0  # it makes no number, or changes one in place
FROM_CONSTANT: Final = 1
FROM_SOURCE: Final = 2
FROM_BOTH: Final = 3
FROM_MEMORY: Final = 4
TO_MEMORY: Final = 5
COMPARES: Final = 6
CALLS: Final = 7
LEAVES: Final = 8
LOADS_LEGACY: Final = 9

_JUMPS: Final = frozenset((Kind.JUMP, Kind.GOTO, Kind.MAY_GOTO, Kind.CALL, Kind.EXIT))
_COPIES: Final = frozenset((Sem.MOV, Sem.SEXT8, Sem.SEXT16, Sem.SEXT32, Sem.CAST))
_ORIGINS: Final[Mapping[Kind, int]] = {
    Kind.LOAD: FROM_MEMORY,
    Kind.LOAD_SX: FROM_MEMORY,
    Kind.STORE_REG: TO_MEMORY,
    Kind.STORE_IMM: TO_MEMORY,
    Kind.CALL: CALLS,
    Kind.EXIT: LEAVES,
    Kind.WIDE: FROM_CONSTANT,
    Kind.LEGACY: LOADS_LEGACY,
}


def _origin(op: Op) -> int:
    if op.kind is Kind.ALU or op.kind is Kind.ADDR_SPACE_CAST:
        if op.sem in _COPIES:
            return FROM_SOURCE if op.reg_source else FROM_CONSTANT
        return FROM_BOTH if op.reg_source else FROM_NOTHING
    if op.kind is Kind.ATOMIC:
        return FROM_MEMORY if op.fetch or op.sem is Sem.LOAD_ACQUIRE else TO_MEMORY
    if op.kind is Kind.JUMP:
        return COMPARES
    return _ORIGINS.get(op.kind, FROM_NOTHING)


class Facts:
    """What the passes ask of a row of the instruction table, worked out once for all programs.

    *falls* and *jumps* say where control may go on in the same subprogram. *reads* and *writes*
    are the registers that it always uses, as bit sets; *reads_dst* and the like name the fields.
    *reserved* lists the fields that must be zero, in the order of ``DST`` and what follows it.
    """

    __slots__ = (
        "falls", "is_jump", "jumps", "made_in", "may_link", "may_split", "origin", "reads",
        "reads_dst", "reads_src", "reserved", "writes", "writes_dst", "writes_src",
    )  # fmt: skip

    def __init__(self, op: Op) -> None:
        probe = Insn(op.code, PROBE_DST, PROBE_SRC)
        reads, writes = registers_read(op, probe), registers_written(op, probe)
        self.origin: int = _origin(op)
        self.is_jump: bool = op.kind in _JUMPS
        self.falls: bool = op.kind not in (Kind.EXIT, Kind.GOTO)
        self.jumps: bool = op.kind in (Kind.JUMP, Kind.MAY_GOTO, Kind.GOTO)
        self.may_split: bool = op.kind is Kind.ALU and op.sem in (Sem.AND, Sem.OR)
        self.may_link: bool = op.kind is Kind.ALU and op.sem in (Sem.ADD, Sem.SUB)
        self.reads_dst: bool = reads >> PROBE_DST & 1 == 1
        self.reads_src: bool = reads >> PROBE_SRC & 1 == 1
        self.writes_dst: bool = writes >> PROBE_DST & 1 == 1
        self.writes_src: bool = writes >> PROBE_SRC & 1 == 1
        self.reads: int = reads & _FIXED
        self.writes: int = writes & _FIXED
        self.made_in: int = _made_in(op, self.origin)
        self.reserved: int = _reserved(op)


# fields of an instruction, as bits of ``Facts.reserved``
DST: Final = 1
SRC: Final = 2
OFF: Final = 4
IMM: Final = 8
SPECIAL: Final = 16  # a field must hold one of a few numbers

PROBE_DST: Final = 12  # numbers of no register, to find out which field a register stands in
PROBE_SRC: Final = 13
_FIXED: Final = (1 << PROBE_DST) - 1

# which register a result stands in, for precision
IN_NONE: Final = 0
IN_DST: Final = 1
IN_SRC: Final = 2
IN_R0: Final = 3


def _made_in(op: Op, origin: int) -> int:
    if origin == FROM_NOTHING or origin > FROM_MEMORY:
        return IN_NONE
    if op.fetch:
        return IN_R0 if op.sem is Sem.CMPXCHG else IN_SRC
    return IN_DST


def _reserved(op: Op) -> int:
    found = 0
    for use, field in ((op.dst, DST), (op.src, SRC), (op.off, OFF), (op.imm, IMM)):
        if use is Use.ZERO:
            found |= field
        elif use is Use.SPACES:
            found |= SPECIAL
    return found


FACTS: Final[dict[str, Facts]] = {op.name: Facts(op) for op in OPS}
NO_REGISTER: Final = 63  # a register that no bit set has


class Step:
    """One instruction: its fields, its row, and facts of the control flow.

    *next_pc* is the slot after it (two further for wide instructions), *previous* the one before
    it; *target* is where it jumps or calls, -1 if nowhere. *live* are the registers whose values
    matter before it, as a bit set. *origin* is one of the numbers above, *made* the register of the
    result that it tells of. *number* is the immediate as a scalar. *action* and *operation* tell
    frequent handlers and operations apart; *transfer*, or *decide*, *holds* and *fails*, are what
    an operation, or a comparison, does to scalars.

    The walk notes whether it was *seen*, the pointer that it *accessed* memory through first, the
    *constant* that a wide instruction loads, and a map that *fits* the helper it calls.
    """

    __slots__ = (
        "accessed", "action", "arguments", "calls_callback", "constant", "decide", "dst", "facts",
        "fails", "falls", "fault", "fits", "force_checkpoint", "high", "holds", "imm", "insn",
        "is_iter_next", "is_jump", "jump_point", "jumps", "kept", "kind", "live", "made", "map",
        "may_link", "may_split", "next_pc", "number", "off", "op", "operation", "origin", "pc",
        "previous", "prune_point", "reads", "reg_source", "scc", "seen", "sem", "senseless",
        "size", "src", "target", "transfer", "wide",
    )  # fmt: skip

    def __init__(self, pc: int, insn: Insn, op: Op) -> None:
        facts = FACTS[op.name]
        self.pc = pc
        self.insn = insn
        self.op = op
        self.facts = facts
        self.kind: Kind = op.kind
        self.sem: Sem = op.sem
        self.dst: int = insn.dst
        self.src: int = insn.src
        self.off: int = insn.off
        self.imm: int = insn.imm
        self.size: int = op.size
        self.wide: bool = op.bits == 64
        self.reg_source: bool = op.reg_source
        self.high: int = 0  # second imm of a wide instruction
        self.fault: str = ""  # why it is refused if a path reaches it
        self.next_pc: int = pc + 1
        self.previous: int = pc - 1
        self.target: int = -1
        self.map: MapShape | None = None  # of LD_IMM64 that names one
        self.live: i64 = 0
        self.reads: i64 = 0  # registers; this and the next in functions with loops only
        self.kept: i64 = 0
        self.scc: int = 0
        self.jump_point: bool = False
        self.prune_point: bool = False
        self.force_checkpoint: bool = False
        self.calls_callback: bool = False
        self.arguments: int = 5  # of a kernel function
        self.is_iter_next: bool = False
        self.seen: bool = False
        self.accessed: Pointer | None = None
        self.constant: Value | None = None
        self.fits: MapShape | None = None
        self.action: int = 0
        self.operation: int = 0
        self.senseless: bool = False  # divides by zero, or shifts too far
        self.falls: bool = facts.falls
        self.jumps: bool = facts.jumps
        self.origin: int = facts.origin
        self.made: int = _made(facts.made_in, insn)
        self.is_jump: bool = facts.is_jump
        self.may_split: bool = facts.may_split
        self.may_link: bool = facts.may_link
        self.number: Scalar = ZERO
        self.transfer: Transfer | None = None
        self.decide: Decision | None = None
        self.holds: Refinement | None = None
        self.fails: Refinement | None = None


def _made(made_in: int, insn: Insn) -> int:
    if made_in == IN_DST:
        return insn.dst
    if made_in == IN_SRC:
        return insn.src
    return 0 if made_in == IN_R0 else NO_REGISTER


def registers_set(step: Step) -> int:
    """Registers that *step* writes or makes unreadable, as a bit set."""
    facts = step.facts
    used = facts.writes
    if facts.writes_dst:
        used |= 1 << step.dst
    if facts.writes_src:
        used |= 1 << step.src
    return used


class Function:
    """A subprogram while it is being verified: slots ``start`` to ``end`` (exclusive)."""

    __slots__ = (
        "arguments", "called", "called_asleep", "calls", "changes_packet", "end", "has_ld_abs",
        "has_tail_call", "has_throw", "is_async_callback", "is_callback", "is_exception_callback",
        "is_global", "is_reliable", "is_void", "might_sleep", "might_throw", "name", "number",
        "stack_depth", "start", "tail_call_reachable", "type_id", "verified", "verified_asleep",
    )  # fmt: skip

    def __init__(self, number: int, start: int, end: int) -> None:
        self.number = number
        self.start = start
        self.end = end
        self.name: str = ""
        self.type_id: int = 0  # BTF id of its FUNC; 0 without
        self.is_global: bool = False
        self.is_reliable: bool = True  # no caller passed anything else than its BTF says
        self.is_void: bool = False
        self.verified: bool = False
        self.verified_asleep: bool = False
        self.arguments: list[Argument] | None = None
        self.called: bool = False
        self.called_asleep: bool = False  # where one may sleep though the program may not
        self.calls: list[Step] = []  # that call or name a function of the program, in order
        self.stack_depth: int = 0  # bytes
        self.has_tail_call: bool = False
        self.tail_call_reachable: bool = False
        self.has_ld_abs: bool = False
        self.has_throw: bool = False
        self.is_callback: bool = False
        self.is_async_callback: bool = False
        self.is_exception_callback: bool = False
        self.changes_packet: bool = False
        self.might_sleep: bool = False
        self.might_throw: bool = False

    def catches(self) -> None:
        """Make it the exception callback, which runs as if something called it."""
        self.is_callback = self.is_async_callback = self.is_exception_callback = True
        self.called = True


class Program:
    """Steps by slot (None for the second slot of a wide instruction) and functions in order."""

    def __init__(self, steps: list[Step | None], functions: list[Function]) -> None:
        self.steps = steps
        self.functions = functions
        self.size: int = len(steps)
        self.maps: list[MapShape] = []
        self.jumps_to: dict[int, list[int]] = {}  # slots of jumps, by where they lead
        self.has_liveness: bool = False  # the steps know what is live
        self.loops: int = 0  # besides those that callbacks make
        self.function_at: dict[int, Function] = {f.start: f for f in functions}
        self.exception_callback: int = 0  # where it starts; 0 if there is none
        for function in functions:
            if function.is_exception_callback:
                self.exception_callback = function.start

    def function_of(self, pc: int) -> Function:
        """The function that slot *pc* lies in."""
        found = self.functions[0]
        for function in self.functions:
            if function.start > pc:
                break
            found = function
        return found
