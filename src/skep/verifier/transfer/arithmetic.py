"""Arithmetic instructions: moves, operations on scalars, and who takes over for pointers.

A move links both scalars by an id, so that what is learnt of one is learnt of the other; adding a
small constant keeps the link with a distance.

Source: Linux 6.18 kernel/bpf/verifier.c (check_alu_op, adjust_reg_min_max_vals).
"""

from collections.abc import Callable
from typing import Final

from skep.base.bits import U32
from skep.isa.table import Sem
from skep.uapi.flags import MapType
from skep.verifier.check import Check
from skep.verifier.program import Step
from skep.verifier.rules import flow
from skep.verifier.rules.registers import POINTER_BITS_KEPT
from skep.verifier.scalar import UNKNOWN, Scalar, const, unknown_bits
from skep.verifier.transfer.alu import apply, split
from skep.verifier.transfer.casts import fits
from skep.verifier.transfer.links import moved_by_constant
from skep.verifier.transfer.masking import note_numbers
from skep.verifier.transfer.pointers import pointer_arithmetic
from skep.verifier.values import ARENA, Pointer, Value

_EXTENSIONS: Final = {Sem.SEXT8: 8, Sem.SEXT16: 16, Sem.SEXT32: 32}
_UNARY: Final = frozenset(
    (
        Sem.NEG, Sem.KEEP16, Sem.KEEP32, Sem.KEEP64, Sem.SWAP16, Sem.SWAP32, Sem.SWAP64,
    )
)  # fmt: skip
_DIVISIONS: Final = frozenset((Sem.UDIV, Sem.SDIV, Sem.UMOD, Sem.SMOD))
_MOV: Final = Sem.MOV
_SHIFTS: Final = frozenset((Sem.SHL, Sem.LSHR, Sem.ASHR))


def arithmetic_handler(sem: Sem) -> Callable[[Check, Step], None] | None:
    """The handler of an operation of Kind.ALU that is neither a move nor has two operands."""
    if sem in _EXTENSIONS:
        return _extend
    return _unary if sem in _UNARY else None


def immediate(step: Step) -> Scalar:
    """Operand two of *step*, of Kind.ALU, where it is no register."""
    return const(step.imm & U32 if step.sem is _MOV and not step.wide else step.imm)


def is_judged(sem: Sem) -> bool:
    """Whether some constants as operand two make no sense: ``is_senseless`` tells which."""
    return sem in _DIVISIONS or sem in _SHIFTS


def is_senseless(step: Step) -> bool:
    """Whether *step*, whose operand two is a constant, divides by zero or shifts too far."""
    if step.sem in _DIVISIONS:
        return step.imm == 0
    return step.sem in _SHIFTS and not 0 <= step.imm < (64 if step.wide else 32)


def _apply(step: Step, left: Scalar, right: Scalar) -> Scalar:
    return apply(step.operation, step.transfer, left, right, not step.wide)


def require_writable(check: Check, register: int) -> None:
    """Refuse to write r10."""
    if register == 10:
        check.refuse(flow.FRAME_POINTER_CONSTANT, "frame pointer is read only")


def _link(check: Check, register: int, value: Scalar) -> Scalar:
    """Give *value* of *register* an id before it is copied; constants need none."""
    linked = value.without_id() if value.moved else value
    if linked.id == 0 and not linked.is_const:
        linked = linked.with_id(check.new_id())
    if linked is not value:
        check.frame.regs[register] = linked
    return linked


def move(check: Check, step: Step) -> None:
    """Examine a move of Kind.ALU."""
    if not step.reg_source:
        require_writable(check, step.dst)
        check.frame.regs[step.dst] = step.number
        return
    value = check.read(step.src)
    require_writable(check, step.dst)
    if step.wide:
        if isinstance(value, Scalar):
            value = _link(check, step.src, value)
        check.frame.regs[step.dst] = value
        return
    if isinstance(value, Pointer):
        _require_kept(check, step, "partial copy of pointer")
        check.frame.regs[step.dst] = unknown_bits(32)
    elif fits(value, 4):
        check.frame.regs[step.dst] = _link(check, step.src, value)
    else:
        check.frame.regs[step.dst] = _apply(step, value, value)


def _require_kept(check: Check, step: Step, what: str) -> None:
    if not check.privileged:
        check.refuse(POINTER_BITS_KEPT, f"R{step.src} {what}")


def _extend(check: Check, step: Step) -> None:
    value = check.read(step.src)
    require_writable(check, step.dst)
    if isinstance(value, Pointer):
        what = "sign-extension part of pointer" if step.wide else "partial copy of pointer"
        _require_kept(check, step, what)
        check.frame.regs[step.dst] = UNKNOWN if step.wide else unknown_bits(32)
        return
    bits = _EXTENSIONS[step.sem]
    keeps = value.umax < 1 << (bits - 1)
    if keeps:
        value = _link(check, step.src, value)
    made = _apply(step, value, value)  # whose bits are fewer known, though the number is the same
    check.frame.regs[step.dst] = made.with_id(value.id) if keeps and value.id else made


def _unary(check: Check, step: Step) -> None:
    value = check.read(step.dst)
    if isinstance(value, Pointer) and not check.privileged:
        check.refuse(POINTER_BITS_KEPT, f"R{step.dst} pointer arithmetic prohibited")
    require_writable(check, step.dst)
    if isinstance(value, Pointer):
        check.frame.regs[step.dst] = UNKNOWN
    else:
        check.frame.regs[step.dst] = _apply(step, value, value)


def binary(check: Check, step: Step) -> None:
    """Examine an operation of Kind.ALU with two operands."""
    right: Value = check.read(step.src) if step.reg_source else step.number
    left = check.read(step.dst)
    if step.senseless:
        _refuse_senseless(check, step)
    require_writable(check, step.dst)
    if isinstance(left, Pointer) or isinstance(right, Pointer):
        check.frame.regs[step.dst] = pointer_arithmetic(check, step, left, right)
        return
    if not check.privileged:
        note_numbers(check, step)
    if step.may_split:
        halves = split(step.sem, left, right)
        if halves is not None:
            left, other = halves
            branch = check.push_branch(check.pc)
            branch.own(len(branch.frames) - 1).regs[step.dst] = other
    made = _apply(step, left, right)
    if step.may_link and left.id != 0 and check.has_cap_bpf and not _doubles(step):
        made = moved_by_constant(step.sem, left, right, not step.wide, made)
    check.frame.regs[step.dst] = made


def _doubles(step: Step) -> bool:
    return step.reg_source and step.src == step.dst


def _refuse_senseless(check: Check, step: Step) -> None:
    if step.sem in _DIVISIONS:
        check.refuse(flow.DIVISOR, "div by zero")
    check.refuse(flow.SHIFT_COUNT, f"invalid shift {step.imm}")


def address_space_cast(check: Check, step: Step) -> None:
    """Examine an instruction of Kind.ADDR_SPACE_CAST: an arena pointer and back."""
    if not any(shape.map_type == MapType.ARENA for shape in check.program.maps):
        check.refuse(
            flow.ARENA_CAST,
            "addr_space_cast insn can only be used in a program that has an associated arena",
        )
    check.read(step.src)
    require_writable(check, step.dst)
    check.frame.regs[step.dst] = Pointer(ARENA) if step.imm == 1 else UNKNOWN
