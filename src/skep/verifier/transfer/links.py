"""Numbers known to differ by a constant: what is learnt of one is learnt of the others.

Compilers keep a number in one register, add a constant to a copy in another, and compare either.
So a copy gets the id of the original; one constant may be added to it or taken from it since
(``delta``), by a 64-bit or a 32-bit operation (``moved``); any other change ends the link.

Source: Linux 6.18 kernel/bpf/verifier.c (adjust_reg_min_max_vals, sync_linked_regs).
"""

from typing import Final

from mypy_extensions import i64

from skep.base.bits import S32_MAX, S32_MIN
from skep.isa.table import Sem
from skep.verifier.scalar import Scalar, const
from skep.verifier.tnum import signed32
from skep.verifier.transfer.alu import add
from skep.verifier.transfer.casts import fits, zero_extend32

_ADD: Final = Sem.ADD
_SUB: Final = Sem.SUB


def moved_by_constant(sem: Sem, x: Scalar, y: Scalar, is32: bool, made: Scalar) -> Scalar:
    """Return *made*, the result of *sem* on *x* and *y*, linked to what *x* was, if it may be.

    The caller excludes ``rX += rX``, and asks this only of privileged programs.
    """
    if x.id == 0 or x.moved or (sem is not _ADD and sem is not _SUB):
        return made
    if not (y.is_const32 if is32 else y.is_const) or (is32 and not fits(x, 4)):
        return made
    word: i64 = y.value_word
    delta: int = signed32(word) if is32 else word
    if sem is _SUB:
        delta = -delta
        if delta > S32_MAX:
            return made
    if not S32_MIN <= delta <= S32_MAX:
        return made
    return made.with_id(x.id, delta, 32 if is32 else 64)


def follow(known: Scalar, linked: Scalar) -> Scalar:
    """Return what *linked*, which has the id of *known*, is now that *known* was narrowed.

    ``linked - linked.delta == known - known.delta``, so the range of *known* is moved by the
    difference of their deltas. That does not hold if one was moved in 64 and one in 32 bits.
    """
    if known.moved and linked.moved and known.moved != linked.moved:
        return linked
    if linked.delta == known.delta or not (linked.moved or known.moved):
        return known
    moved = add(known, const(linked.delta - known.delta), is32=False)
    if 32 in (linked.moved, known.moved):
        moved = zero_extend32(moved)
    return moved.with_id(linked.id, linked.delta, linked.moved)
