"""Text to instructions, in clang's syntax (``llvm-mc -triple bpf``), every form of it.

Where clang has no syntax, these are ours; the disassembler writes them::

    r1 = map[fd 5]              map by fd            r1 = map[fd 5][0] + 8    value of a map, + 8
    r1 = map[idx 0]             map by fd_array      r1 = map[idx 0][0] + 8
    r1 = btf[id 12]             kernel variable      r1 = btf[id 12, fd 7]    in the module of fd 7
    r1 = func[+4], func[main]   address of a function
    call +4, call main          local call (a sign tells it from a helper's number)
    call kfunc[12]              kernel function      call kfunc[12, 1]        off = 1
    r1 = &(void __percpu *)(r2)
    r0 = *(u8 *)skb[r2 + 4]     LD_IND with a displacement
    .quad 0x95                  any slot

Labels are ``name:`` and, as in clang, ``1:`` with ``1b`` and ``1f``. A number after ``goto`` counts
slots to jump over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from skep.base.bits import S64_MIN, U64, signed
from skep.errors import AssemblyError
from skep.isa import values
from skep.isa.insn import Insn
from skep.isa.operands import (
    SIGNED,
    SIZES,
    Register,
    data,
    immediate,
    inside,
    integer,
    memory,
    offset,
    register,
    register_of,
)  # fmt: skip
from skep.isa.table import ALU_FAMILIES, JUMP_FAMILIES, slot
from skep.isa.tokens import Statement, Token, statements

_ALU_NAMES: Final[dict[str, str]] = {family.symbol: family.name for family in ALU_FAMILIES}
_JUMP_NAMES: Final[dict[str, str]] = {family.symbol: family.name for family in JUMP_FAMILIES}
_FETCHES: Final[tuple[str, ...]] = ("add", "or", "and", "xor")


@dataclass(frozen=True, slots=True)
class Assembly:
    """What text assembles to.

    Args:
        insns: slots.
        labels: name to pc.
        lines: line of the text that gave each slot.
    """

    insns: list[Insn]
    labels: dict[str, int]
    lines: list[int]


@dataclass(frozen=True, slots=True)
class _Fixup:
    pc: int
    label: str
    occurrence: int  # of a numeric label: which one is meant
    token: Token
    wide: bool  # the distance goes to imm, else to off


class _Assembler:
    def __init__(self, helper_id: Callable[[str], int | None] | None) -> None:
        self.helper_id = helper_id
        self.insns: list[Insn] = []
        self.lines: list[int] = []
        self.labels: dict[str, int] = {}
        self.numeric: dict[str, list[int]] = {}
        self.fixups: list[_Fixup] = []

    # --- words --------------------------------------------------------------------------------

    def emit(self, at: Statement, insn: Insn) -> None:
        self.insns.append(insn)
        self.lines.append(at.peek(-1).line)

    def target(self, at: Statement, *, wide: bool) -> int:
        """Slots to jump over; a label gives 0 and is filled in at the end."""
        token = at.peek()
        if token.kind in ("word", "back"):
            at.take()
            label = token.text[:-1] if token.kind == "back" else token.text
            seen = len(self.numeric.get(label, []))
            occurrence = seen if token.text.endswith("f") else seen - 1
            self.fixups.append(
                _Fixup(
                    len(self.insns), label, occurrence if token.kind == "back" else -1, token, wide
                )
            )
            return 0
        return immediate(at) if wide else offset(at)

    # --- statements ---------------------------------------------------------------------------

    def statement(self, at: Statement) -> None:
        while at.peek(1).text == ":" and at.peek().kind in ("word", "number"):
            self.label(at)
        first = at.peek()
        if first.kind == "end":
            return
        if first.text == "*":
            self.store(at)
        elif register_of(first.text) is not None:
            self.assignment(at)
        elif first.text in _STATEMENTS:
            at.take()
            _STATEMENTS[first.text](self, at)
        else:
            raise at.error("an instruction")
        if at.peek().kind != "end":
            raise at.error("the end of the instruction")

    def label(self, at: Statement) -> None:
        token = at.take()
        at.take()
        if token.kind == "number":
            self.numeric.setdefault(token.text, []).append(len(self.insns))
        elif token.text in self.labels:
            raise at.error("a label that is not defined yet", token)
        else:
            self.labels[token.text] = len(self.insns)

    def quad(self, at: Statement) -> None:
        token = at.peek()
        value = integer(at)
        if not S64_MIN <= value <= U64:
            raise at.error("a 64-bit number", token)
        self.emit(
            at,
            Insn(
                value & 0xFF,
                value >> 8 & 0xF,
                value >> 12 & 0xF,
                signed(value >> 16, 16),
                signed(value >> 32, 32),
            ),
        )

    def leave(self, at: Statement) -> None:
        self.emit(at, slot("exit"))

    def go(self, at: Statement) -> None:
        self.emit(at, slot("ja", off=self.target(at, wide=False)))

    def go_long(self, at: Statement) -> None:
        self.emit(at, slot("gotol", imm=self.target(at, wide=True)))

    def may_go(self, at: Statement) -> None:
        self.emit(at, slot("may_goto", off=self.target(at, wide=False)))

    def branch(self, at: Statement) -> None:
        """``if r1 s> 5 goto +3``."""
        left = register(at)
        if at.peek().text not in _JUMP_NAMES:
            raise at.error("a comparison: " + " ".join(_JUMP_NAMES))
        name = f"{_JUMP_NAMES[at.take().text]}{left.bits}"
        src = imm = 0
        if register_of(at.peek().text) is None:
            name += "_imm"
            imm = immediate(at)
        else:
            name += "_reg"
            src = register(at, left.bits).number
        at.expect("goto")
        off = self.target(at, wide=False)
        self.emit(at, slot(name, left.number, src, off, imm))

    def call(self, at: Statement) -> None:
        token = at.peek()
        if token.text == "kfunc" and at.peek(1).text == "[":
            self.call_kfunc(at)
        elif token.text in ("+", "-"):
            self.emit(at, slot("call_local", imm=self.target(at, wide=True)))
        elif token.kind == "number":
            self.emit(at, slot("call_helper", imm=immediate(at)))
        elif token.kind in ("word", "back"):
            helper = self.helper_id(token.text) if self.helper_id is not None else None
            if helper is None:
                self.emit(at, slot("call_local", imm=self.target(at, wide=True)))
            else:
                at.take()
                self.emit(at, slot("call_helper", imm=helper))
        else:
            raise at.error("a helper's number, a label or kfunc[…]")

    def call_kfunc(self, at: Statement) -> None:
        at.take()
        at.take()
        imm = immediate(at)
        off = offset(at) if at.accept(",") else 0
        at.expect("]")
        self.emit(at, slot("call_kfunc", off=off, imm=imm))

    def call_register(self, at: Statement) -> None:
        self.emit(at, slot("callx", register(at, 64).number))

    def store(self, at: Statement) -> None:
        """``*(u32 *)(r1 + 4) = r2`` or ``= 5``."""
        token = at.peek(2)
        name, base, off = memory(at)
        if name in SIGNED:
            raise at.error("an unsigned type", token)
        at.expect("=")
        if register_of(at.peek().text) is None:
            self.emit(at, slot(f"st_{name}", base, 0, off, immediate(at)))
        else:
            source = data(at, SIZES[name])
            self.emit(at, slot(f"stx_{name}", base, source, off))

    def lock(self, at: Statement) -> None:
        """``lock *(u64 *)(r1 + 0) += r2``."""
        token = at.peek(2)
        name, base, off = memory(at)
        values.atomic_type(at, name, token)
        family = _ALU_NAMES.get(at.peek().text, "")
        if family not in _FETCHES:
            raise at.error("one of += |= &= ^=")
        at.take()
        source = data(at, SIZES[name])
        self.emit(at, slot(f"atomic_{family}_{name}", base, source, off))

    def store_release(self, at: Statement) -> None:
        """``store_release((u64 *)(r1 + 8), r2)``."""
        name, base, off = inside(at)
        at.expect(",")
        source = data(at, SIZES[name])
        at.expect(")")
        self.emit(at, slot(f"store_release_{name}", base, source, off))

    # --- assignments --------------------------------------------------------------------------

    def assignment(self, at: Statement) -> None:
        target = register(at)
        operator = at.peek().text
        if operator in _ALU_NAMES:
            at.take()
            slots = values.arithmetic(at, target, f"{_ALU_NAMES[operator]}{target.bits}")
        else:
            at.expect("=")
            if at.peek().text == "func" and at.peek(1).text == "[":
                slots = self.function(at, target)
            else:
                slots = values.value(at, target)
        for insn in slots:
            self.emit(at, insn)

    def function(self, at: Statement, register_: Register) -> list[Insn]:
        """``func[main]`` or ``func[+4]``."""
        at.take()
        at.take()
        low = self.target(at, wide=True)
        at.expect("]")
        return values.wide(at, register_, "ld_imm64_func", low, 0)

    # --- labels -------------------------------------------------------------------------------

    def resolve(self) -> None:
        for fixup in self.fixups:
            place = self.place(fixup)
            insn = self.insns[fixup.pc]
            distance = place - fixup.pc - 1
            if fixup.wide:
                fixed = Insn(insn.code, insn.dst, insn.src, insn.off, distance)
            elif -0x8000 <= distance <= 0x7FFF:
                fixed = Insn(insn.code, insn.dst, insn.src, distance, insn.imm)
            else:
                raise _misplaced(fixup.token, "a label at most 32767 slots away")
            self.insns[fixup.pc] = fixed

    def place(self, fixup: _Fixup) -> int:
        if fixup.token.kind == "back":
            places = self.numeric.get(fixup.label, [])
            if 0 <= fixup.occurrence < len(places):
                return places[fixup.occurrence]
        elif fixup.label in self.labels:
            return self.labels[fixup.label]
        raise _misplaced(fixup.token, "a label that is defined")


def _misplaced(token: Token, expected: str) -> AssemblyError:
    return AssemblyError(line=token.line, column=token.column, token=token.text, expected=expected)


_STATEMENTS: Final[dict[str, Callable[[_Assembler, Statement], None]]] = {
    "exit": _Assembler.leave,
    "goto": _Assembler.go,
    "gotol": _Assembler.go_long,
    "may_goto": _Assembler.may_go,
    "if": _Assembler.branch,
    "call": _Assembler.call,
    "callx": _Assembler.call_register,
    "lock": _Assembler.lock,
    "store_release": _Assembler.store_release,
    ".quad": _Assembler.quad,
}


def parse(text: str, helper_id: Callable[[str], int | None] | None = None) -> Assembly:
    """Assemble *text*, keeping its labels and lines.

    Args:
        text: statements, one a line or separated by ``;``.
        helper_id: number of a helper called by name, None if the name is no helper's.

    Raises:
        AssemblyError: with the line and column of the word that is wrong.
    """
    assembler = _Assembler(helper_id)
    for statement in statements(text):
        assembler.statement(statement)
    assembler.resolve()
    return Assembly(assembler.insns, assembler.labels, assembler.lines)


def assemble(text: str, helper_id: Callable[[str], int | None] | None = None) -> list[Insn]:
    """Assemble *text*; see parse()."""
    return parse(text, helper_id).insns
