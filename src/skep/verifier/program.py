"""The program as the verifier walks it: one ``Step`` per slot, with all that is known statically.

Invariant: nothing here changes once the passes before the walk are over, except ``seen``.
"""

from typing import Final

from skep.isa.insn import Insn
from skep.isa.table import Kind, Op, Sem
from skep.verifier.interface import MapShape
from skep.verifier.prototypes import Argument

CALL_HELPER: Final = 0
CALL_LOCAL: Final = 1
CALL_KFUNC: Final = 2


class Step:
    """One instruction: its fields, its row, and facts of the control flow.

    *next_pc* is the slot after it (two further for wide instructions); *target* where it jumps or
    calls, -1 if nowhere. *live* and *live_slots* are the registers and stack slots whose values
    matter before it, as bit sets.
    """

    __slots__ = (
        "calls_callback", "dst", "fault", "force_checkpoint", "high", "imm", "insn", "is_iter_next", "jump_point",
        "kind", "live", "live_slots", "map", "next_pc", "off", "op", "pc", "prune_point", "reg_source", "scc",
        "sem", "size", "src", "target", "wide",
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
        self.is_iter_next: bool = False


class Function:
    """A subprogram while it is being verified: slots ``start`` to ``end`` (exclusive)."""

    __slots__ = (
        "arguments", "called", "changes_packet", "end", "has_ld_abs", "has_tail_call", "is_async_callback",
        "is_callback", "is_exception_callback", "is_global", "is_void", "might_sleep", "might_throw",
        "name",
        "number", "stack_depth", "start", "tail_call_reachable", "type_id", "verified",
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
