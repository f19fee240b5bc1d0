"""Arithmetic on pointers by unprivileged programs, which the kernel masks against speculation.

Machine code is not masked here; the verdicts are Linux's. It masks with one limit for each
instruction, so all paths must agree on kind and limit; and it masks only pointers to the stack and
to map values, which must stay inside.

Source: Linux 6.18 kernel/bpf/verifier.c (sanitize_ptr_alu, sanitize_val_alu, retrieve_ptr_limit,
sanitize_check_bounds).
"""

from typing import Final, NoReturn

from skep.isa.table import Sem
from skep.verifier.check import Check
from skep.verifier.program import Step
from skep.verifier.rules.registers import UNPRIVILEGED_BOUNDS
from skep.verifier.scalar import Scalar
from skep.verifier.spelling import tnum_text
from skep.verifier.state import STACK_SIZE
from skep.verifier.values import MAP_VALUE, STACK, Pointer

_NUMBER: Final = 8  # the instruction works on numbers only
_FOR_ROOT: Final = "pointer arithmetic with it prohibited for !root"


def note_numbers(check: Check, step: Step) -> None:
    """Note that the current instruction adds or subtracts numbers on this path."""
    if step.reg_source and step.sem in (Sem.ADD, Sem.SUB):
        _agree(check, step, _NUMBER, 0)


def require_maskable(
    check: Check, step: Step, pointer: Pointer, moved: Pointer, offset: Scalar, first: bool
) -> None:
    """Require that the move of *pointer* by *offset* to *moved* is one that can be masked."""
    left = (offset.smin < 0) == (step.sem is Sem.ADD)
    before = 0
    if step.reg_source:
        if not offset.is_const and (offset.smin < 0) != (offset.smax < 0):
            _refuse(check, f"R{step.src} has unknown scalar with mixed signed bounds, {_FOR_ROOT}")
        before = _limit(check, step, pointer, left)
        if not offset.is_const:
            check.masks_differ = True
    _require_inside(check, step, moved)
    if not step.reg_source:
        return
    limit = abs(before - _limit(check, step, moved, left))
    kind = (4 if offset.smin < 0 else 0) | (16 if offset.is_const else 0) | (1 if first else 2)
    _agree(check, step, kind, limit)


def _refuse(check: Check, message: str) -> NoReturn:
    check.refuse(UNPRIVILEGED_BOUNDS, message)


def _limit(check: Check, step: Step, pointer: Pointer, left: bool) -> int:
    """How far the pointer may move to the left or right."""
    var = pointer.var
    if pointer.kind == STACK:
        most = STACK_SIZE + (1 if left else 0)
        limit = -(pointer.off + int(var.smin))
    elif pointer.kind == MAP_VALUE and pointer.map is not None:
        most = pointer.map.value_size
        limit = pointer.off + (int(var.smin) if left else var.umax)
    else:
        _refuse(check, f"R{step.dst} has pointer with unsupported alu operation, {_FOR_ROOT}")
    if not 0 <= limit < most:
        word = "add" if step.sem is Sem.ADD else "sub"
        _refuse(check, f"R{step.dst} tried to {word} beyond pointer bounds, {_FOR_ROOT}")
    return limit


def _agree(check: Check, step: Step, kind: int, limit: int) -> None:
    """Require that all paths to the instruction mask alike."""
    before = check.masks.setdefault(check.pc, (kind, limit))
    if before != (kind, limit):
        word = "add" if step.sem is Sem.ADD else "sub"
        _refuse(
            check,
            f"R{step.dst} tried to {word} from different maps, paths or scalars, {_FOR_ROOT}",
        )


def _require_inside(check: Check, step: Step, moved: Pointer) -> None:
    if moved.kind == STACK:
        if not moved.var.is_const:
            _refuse(
                check,
                f"R{step.dst} variable stack access prohibited for !root, "
                f"var_off={tnum_text(moved.var)} off={moved.off}",
            )
        off: int = moved.off + int(moved.var.smin)
        if not -STACK_SIZE <= off < 0:
            _refuse(
                check,
                f"R{step.dst} stack pointer arithmetic goes out of range, "
                f"prohibited for !root; off={off}",
            )
    elif moved.kind == MAP_VALUE and moved.map is not None:
        low: int = int(moved.var.smin) + moved.off
        if low < 0 or moved.var.umax + moved.off >= moved.map.value_size:
            _refuse(
                check,
                f"R{step.dst} pointer arithmetic of map value goes out of range, "
                "prohibited for !root",
            )
