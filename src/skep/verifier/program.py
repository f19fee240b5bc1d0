"""The program as the verifier walks it: one ``Step`` per slot, with all that is known statically.

Invariant: nothing here changes once the passes before the walk are over, except ``seen``.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem
from skep.verifier.interface import MapShape
from skep.verifier.prototypes import Argument
from skep.verifier.scalar import Scalar

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


class Step:
    """One instruction: its fields, its row, and facts of the control flow.

    *next_pc* is the slot after it (two further for wide instructions); *target* where it jumps or
    calls, -1 if nowhere. *live* and *live_slots* are the registers and stack slots whose values
    matter before it, as bit sets. *origin* is one of the numbers above. *transfer*, or *decide*,
    *holds* and *fails*, are what an operation, or a comparison, does to scalars.
    """

    __slots__ = (
        "arguments", "calls_callback", "decide", "dst", "fails", "fault", "force_checkpoint",
        "high", "holds", "imm", "insn", "is_iter_next", "is_jump", "jump_point", "kind", "live",
        "live_slots", "map", "may_link", "may_split", "next_pc", "off", "op", "origin", "pc",
        "prune_point", "reg_source", "scc", "sem", "size", "src", "target", "transfer", "wide",
    )  # fmt: skip

    def __init__(self, pc: int, insn: Insn, op: Op) -> None:
        self.pc = pc
        self.insn = insn
        self.op = op
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
        self.target: int = -1
        self.map: MapShape | None = None  # of LD_IMM64 that names one
        self.live: int = 0
        self.live_slots: int = 0
        self.scc: int = 0
        self.jump_point: bool = False
        self.prune_point: bool = False
        self.force_checkpoint: bool = False
        self.calls_callback: bool = False
        self.arguments: int = 5  # of a kernel function
        self.is_iter_next: bool = False
        self.origin: int = _origin(op)
        self.is_jump: bool = op.kind in _JUMPS
        self.may_split: bool = op.kind is Kind.ALU and op.sem in (Sem.AND, Sem.OR)
        self.may_link: bool = op.kind is Kind.ALU and op.sem in (Sem.ADD, Sem.SUB)
        self.transfer: Transfer | None = None
        self.decide: Decision | None = None
        self.holds: Refinement | None = None
        self.fails: Refinement | None = None


class Function:
    """A subprogram while it is being verified: slots ``start`` to ``end`` (exclusive)."""

    __slots__ = (
        "arguments", "called", "changes_packet", "end", "has_ld_abs", "has_tail_call", "has_throw",
        "is_async_callback", "is_callback", "is_exception_callback", "is_global", "is_void",
        "might_sleep", "might_throw", "name", "number", "stack_depth", "start",
        "tail_call_reachable", "type_id", "verified",
    )  # fmt: skip

    def __init__(self, number: int, start: int, end: int) -> None:
        self.number = number
        self.start = start
        self.end = end
        self.name: str = ""
        self.type_id: int = 0  # BTF id of its FUNC; 0 without
        self.is_global: bool = False
        self.is_void: bool = False
        self.verified: bool = False
        self.arguments: list[Argument] | None = None
        self.called: bool = False
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


class Program:
    """Steps by slot (None for the second slot of a wide instruction) and functions in order."""

    def __init__(self, steps: list[Step | None], functions: list[Function]) -> None:
        self.steps = steps
        self.functions = functions
        self.size: int = len(steps)
        self.maps: list[MapShape] = []
        self.function_at: dict[int, Function] = {f.start: f for f in functions}

    def function_of(self, pc: int) -> Function:
        """The function that slot *pc* lies in."""
        found = self.functions[0]
        for function in self.functions:
            if function.start > pc:
                break
            found = function
        return found
