"""Pointer arithmetic: which pointers may be moved, by how much, and where they then point.

Source: Linux 6.18 kernel/bpf/verifier.c (adjust_reg_min_max_vals, adjust_ptr_min_max_vals,
check_reg_sane_offset).
"""

from typing import Final

from mypy_extensions import i64

from skep.base.bits import S64_MAX, S64_MIN, U64
from skep.isa.table import Sem
from skep.verifier import tnum
from skep.verifier.check import Check
from skep.verifier.program import Step
from skep.verifier.rules.registers import (
    POINTER_CHECKED_FIRST,
    POINTER_MOVABLE,
    POINTER_OFFSET_BOUND,
    POINTER_OPERATOR,
    POINTER_PAIR,
    POINTER_SUBTRAHEND,
    POINTER_WIDTH,
    STACK_POINTER_ADDED,
)
from skep.verifier.scalar import UNKNOWN, Scalar
from skep.verifier.spelling import type_text
from skep.verifier.transfer.masking import require_maskable
from skep.verifier.values import (
    ARENA,
    BTF_ID,
    BUF,
    CONST_DYNPTR,
    CONST_MAP_PTR,
    CTX,
    FLOW_KEYS,
    FUNC,
    MAP_KEY,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    PACKET,
    PACKET_META,
    STACK,
    TP_BUFFER,
    UNTRUSTED,
    Pointer,
    Value,
)

MAX_OFFSET: Final = 1 << 29

_MOVABLE: Final = (
    1 << CTX | 1 << MAP_VALUE | 1 << MAP_KEY | 1 << STACK | 1 << PACKET_META | 1 << PACKET
    | 1 << TP_BUFFER | 1 << BTF_ID | 1 << MEM | 1 << BUF | 1 << FUNC | 1 << CONST_DYNPTR
)  # fmt: skip
_ADD: Final = Sem.ADD
_SUB: Final = Sem.SUB
_BITWISE: Final = frozenset((Sem.AND, Sem.OR, Sem.XOR))


def pointer_arithmetic(check: Check, step: Step, left: Value, right: Value) -> Value:
    """Result of a two-operand operation of which *left*, *right* or both are pointers.

    Args:
        check: the examination.
        step: the instruction; its destination held *left*.
        left: old value of the destination register.
        right: operand two: a register's value, or the immediate as a constant.
    """
    if isinstance(left, Pointer):
        if left.kind == ARENA:
            return left
        if isinstance(right, Pointer):
            return _combine(check, step, left, right)
        check.moved[check.pc] |= 1
        if step.reg_source:
            check.mark_precise(step.src)
        return _move(check, step, left, right, True)
    assert isinstance(right, Pointer)
    if right.kind == ARENA:
        return right
    check.moved[check.pc] |= 2
    check.mark_precise(step.dst)
    return _move(check, step, right, left, False)


def _combine(check: Check, step: Step, left: Pointer, right: Pointer) -> Value:
    if right.kind == ARENA:
        return right
    if step.sem is Sem.SUB and check.privileged:
        return UNKNOWN
    return check.refuse(
        POINTER_PAIR,
        f"R{step.dst} pointer {step.op.symbol} pointer prohibited",
        found=f"{type_text(left)} and {type_text(right)}",
    )


def _move(check: Check, step: Step, pointer: Pointer, offset: Scalar, first: bool) -> Value:
    """Move *pointer* by *offset*; *first* says that the pointer is the destination."""
    if not step.wide:
        if step.sem is Sem.SUB and check.privileged:
            return UNKNOWN
        check.refuse(POINTER_WIDTH, f"R{step.dst} 32-bit pointer arithmetic prohibited")
    _require_movable(check, step, pointer, offset)
    if pointer.kind == MEM and pointer.flags & UNTRUSTED:
        return pointer  # loads through it may fault anyway, so nobody checks where it points
    require_sane(check, offset, pointer)
    require_sane_pointer(check, pointer)
    if step.sem is _ADD:
        moved = _added(check, pointer, offset)
    elif step.sem is _SUB:
        moved = _subtracted(check, step, pointer, offset, first)
    elif step.sem in _BITWISE:
        check.refuse(
            POINTER_OPERATOR,
            f"R{step.dst} bitwise operator {step.op.symbol} on pointer prohibited",
        )
    else:
        check.refuse(
            POINTER_OPERATOR,
            f"R{step.dst} pointer arithmetic with {step.op.symbol.lstrip('s')} operator prohibited",
        )
    require_sane_pointer(check, moved)
    if not check.privileged:
        require_maskable(check, step, pointer, moved, offset, first)
    return moved


def _require_movable(check: Check, step: Step, pointer: Pointer, offset: Scalar) -> None:
    if pointer.flags & MAYBE_NULL:
        check.refuse(
            POINTER_CHECKED_FIRST,
            f"R{step.dst} pointer arithmetic on {type_text(pointer)} prohibited, "
            "null-check it first",
            hint="compare it with NULL and leave the function if it is",
        )
    kind = pointer.kind
    if _MOVABLE >> kind & 1 or (kind == FLOW_KEYS and offset.is_const):
        return
    if kind in (FLOW_KEYS, CONST_MAP_PTR) and step.sem is Sem.ADD and offset.is_number(0):
        return
    check.refuse(
        POINTER_MOVABLE, f"R{step.dst} pointer arithmetic on {type_text(pointer)} prohibited"
    )


def require_sane(check: Check, offset: Scalar, pointer: Pointer) -> None:
    """Require that *offset*, which is added to *pointer* or its variable part, is bounded."""
    low: int = offset.smin
    if offset.is_const and not -MAX_OFFSET < low < MAX_OFFSET:
        check.refuse(
            POINTER_OFFSET_BOUND,
            f"math between {type_text(pointer)} pointer and {low} is not allowed",
        )
    if low == S64_MIN:
        check.refuse(
            POINTER_OFFSET_BOUND,
            f"math between {type_text(pointer)} pointer and register with unbounded min value "
            "is not allowed",
            hint="bound the number before adding it to a pointer",
        )
    if not -MAX_OFFSET < low < MAX_OFFSET:
        check.refuse(
            POINTER_OFFSET_BOUND,
            f"value {low} makes {type_text(pointer)} pointer be out of bounds",
        )


def require_sane_pointer(check: Check, pointer: Pointer) -> None:
    """Require that both parts of the offset of *pointer* are bounded."""
    if not -MAX_OFFSET < pointer.off < MAX_OFFSET:
        check.refuse(
            POINTER_OFFSET_BOUND,
            f"{type_text(pointer)} pointer offset {pointer.off} is not allowed",
        )
    require_sane(check, pointer.var, pointer)


def _added(check: Check, pointer: Pointer, offset: Scalar) -> Pointer:
    moved = pointer.copy()
    if offset.is_const:
        moved.off = pointer.off + offset.smin
        return moved
    moved.var = add_ranges(pointer.var, offset)
    _renew_packet(check, moved, True)
    return moved


def _subtracted(check: Check, step: Step, pointer: Pointer, offset: Scalar, first: bool) -> Pointer:
    if not first:
        check.refuse(POINTER_SUBTRAHEND, f"R{step.dst} tried to subtract pointer from scalar")
    if pointer.kind == STACK:
        check.refuse(STACK_POINTER_ADDED, f"R{step.dst} subtraction from stack pointer prohibited")
    moved = pointer.copy()
    if offset.is_const:
        moved.off = pointer.off - offset.smin
        return moved
    moved.var = subtract_ranges(pointer.var, offset)
    _renew_packet(check, moved, offset.smin < 0)
    return moved


def _renew_packet(check: Check, moved: Pointer, forget: bool) -> None:
    if moved.kind in (PACKET, PACKET_META):
        moved.id = check.new_id()
        if forget:
            moved.range = 0


def add_ranges(x: Scalar, y: Scalar) -> Scalar:
    """Sum of two numbers by their bits and 64-bit intervals; 32-bit intervals are not used."""
    made = Scalar()
    made.value_word, made.mask_word = tnum.add(x.value_word, x.mask_word, y.value_word, y.mask_word)
    low: int = int(x.smin) + int(y.smin)
    high: int = int(x.smax) + int(y.smax)
    if low >= S64_MIN and high <= S64_MAX:
        made.meet_s64(low, high)
    if x.umax + y.umax <= U64:
        made.meet_u64(_word(x.umin + y.umin), _word(x.umax + y.umax))
    return made.settle()


def subtract_ranges(x: Scalar, y: Scalar) -> Scalar:
    """Difference of two numbers, as ``add_ranges`` does the sum."""
    made = Scalar()
    made.value_word, made.mask_word = tnum.sub(x.value_word, x.mask_word, y.value_word, y.mask_word)
    low: int = int(x.smin) - int(y.smax)
    high: int = int(x.smax) - int(y.smin)
    if low >= S64_MIN and high <= S64_MAX:
        made.meet_s64(low, high)
    if x.umin >= y.umax:
        made.meet_u64(_word(x.umin - y.umax), _word(x.umax - y.umin))
    return made.settle()


def _word(number: int) -> i64:
    return number - (1 << 64) if number >> 63 else number
