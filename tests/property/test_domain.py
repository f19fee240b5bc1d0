"""The scalar domain is sound: a number that may be in a register is never lost.

Bits are checked exhaustively at three bits, everything together by random examples, and the steps
of the domain at full width by z3, which runs the very code of ``ranges``, ``alu`` and ``jumps`` on
symbols, along every path through it.
"""

import os
from collections.abc import Callable, Iterator
from itertools import product

import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st

from skep.base.bits import U32, U64, signed
from skep.isa.meaning import COMPARE, EVAL, compare, evaluate
from skep.isa.table import Sem
from skep.verifier import ranges, tnum
from skep.verifier.ranges import Ranges
from skep.verifier.scalar import UNKNOWN, Scalar, const, unsigned_between
from skep.verifier.transfer import alu, casts, jumps
from skep.verifier.transfer.alu import TRANSFER, split
from skep.verifier.transfer.jumps import ALWAYS, NEVER, REFINEMENTS, branch_taken, refine
from skep.verifier.transfer.links import follow, moved_by_constant

COMPILED = not ranges.__file__.endswith(".py")

TNUMS = [(value, mask) for value in range(8) for mask in range(8) if not value & mask]


def members(value: int, mask: int) -> list[int]:
    return [number for number in range(8) if number & ~mask == value]


def holds(pair: tuple[int, int], number: int) -> bool:
    return (number ^ pair[0]) & ~pair[1] & U64 == 0


PAIR_OPERATIONS: dict[str, tuple[Callable[..., tuple[int, int]], Callable[[int, int], int]]] = {
    "add": (tnum.add, lambda x, y: x + y),
    "sub": (tnum.sub, lambda x, y: x - y),
    "mul": (tnum.mul, lambda x, y: x * y),
    "and": (tnum.conjunction, lambda x, y: x & y),
    "or": (tnum.disjunction, lambda x, y: x | y),
    "xor": (tnum.difference, lambda x, y: x ^ y),
    "union": (tnum.union, lambda x, _: x),
}


@pytest.mark.parametrize("name", PAIR_OPERATIONS)
def test_an_operation_on_bits_loses_no_result(name: str) -> None:
    operation, concrete = PAIR_OPERATIONS[name]
    for a, b in product(TNUMS, repeat=2):
        result = operation(*a, *b)
        for x, y in product(members(*a), members(*b)):
            assert holds(result, concrete(x, y)), (a, b, x, y)


@pytest.mark.parametrize("name", ["add", "sub", "and", "or", "xor"])
def test_bits_that_are_the_same_in_all_results_are_known(name: str) -> None:
    operation, concrete = PAIR_OPERATIONS[name]
    for a, b in product(TNUMS, repeat=2):
        results = [concrete(x, y) & U64 for x, y in product(members(*a), members(*b))]
        differ = 0
        for result in results:
            differ |= result ^ results[0]

        assert operation(*a, *b)[1] & U64 == differ


def test_an_intersection_keeps_what_is_in_both() -> None:
    for a, b in product(TNUMS, repeat=2):
        common = set(members(*a)) & set(members(*b))
        assert tnum.overlap(*a, *b) == bool(common)
        assert all(holds(tnum.intersect(*a, *b), x) for x in common)


def test_covering_is_inclusion_of_members() -> None:
    for a, b in product(TNUMS, repeat=2):
        assert tnum.covers(*a, *b) == (set(members(*b)) <= set(members(*a)))


def test_a_range_of_numbers_has_their_common_bits() -> None:
    for low, high in product(range(32), repeat=2):
        if low <= high:
            pair = tnum.between(low, high)
            assert all(holds(pair, number) for number in range(low, high + 1))


def test_the_following_member_is_the_least_above() -> None:
    for pair in TNUMS:
        for number in range(10):
            above = [member for member in members(*pair) if member > number]
            assert tnum.following(*pair, number) == min(above, default=max(members(*pair)))


# --- random examples ----------------------------------------------------------------------------

EDGES = [0, 1, 2, 7, 0x7F, 0x80, 0xFFFF, 1 << 31, (1 << 31) - 1, U32, 1 << 32, 1 << 63, U64]
numbers = st.one_of(
    st.integers(0, U64),
    st.sampled_from(EDGES),
    st.builds(lambda edge, near: (edge + near) & U64, st.sampled_from(EDGES), st.integers(-3, 3)),
)


@st.composite
def scalars(draw: st.DrawFn) -> tuple[int, Scalar]:
    """A number and a scalar that holds it, narrowed around it in several ways."""
    number = draw(numbers)
    made = Scalar()
    word = signed(number, 64)
    for kind in draw(st.lists(st.integers(0, 4), max_size=4)):
        other = draw(numbers)
        if kind == 0:
            mask = signed(other, 64)
            made.value_word, made.mask_word = tnum.intersect(
                made.value_word, made.mask_word, word & ~mask, mask
            )
        elif kind == 1:
            low, high = sorted((number, other))
            made.meet_u64(signed(low, 64), signed(high, 64))
        elif kind == 2:
            made.meet_s64(*sorted((word, signed(other, 64))))
        elif kind == 3:
            made.meet_u32(*sorted((number & U32, other & U32)))
        else:
            made.meet_s32(*sorted((signed(number, 32), signed(other, 32))))
        made.sync()
    return number, made


@given(scalars())
def test_bounds_that_sharpen_each_other_lose_nothing(example: tuple[int, Scalar]) -> None:
    number, scalar = example

    assert number in scalar
    assert scalar.is_consistent()


@pytest.mark.parametrize("is32", [False, True])
@pytest.mark.parametrize("sem", EVAL)
@settings(max_examples=150, deadline=None)
@given(left=scalars(), right=scalars())
def test_arithmetic_is_sound(
    sem: Sem, is32: bool, left: tuple[int, Scalar], right: tuple[int, Scalar]
) -> None:
    if is32 and (sem is Sem.SEXT32 or sem.name.startswith(("KEEP", "SWAP"))):
        return  # there are no such instructions
    (x, xs), (y, ys) = left, right

    assert evaluate(sem, x, y, 32 if is32 else 64) in TRANSFER[sem](xs, ys, is32)


@pytest.mark.parametrize("sem", EVAL)
@settings(max_examples=60, deadline=None)
@given(x=numbers, y=numbers)
def test_arithmetic_on_constants_is_exact(sem: Sem, x: int, y: int) -> None:
    forgotten = (Sem.UDIV, Sem.SDIV, Sem.UMOD, Sem.SMOD)
    wide_shift = sem in (Sem.SHL, Sem.LSHR, Sem.ASHR) and y >= 64
    made = TRANSFER[sem](const(x), const(y), False)

    if sem in forgotten or wide_shift:
        assert made.same_range(UNKNOWN)
    else:
        assert made.is_number(evaluate(sem, x, y, 64))


@pytest.mark.parametrize("is32", [False, True])
@pytest.mark.parametrize("sem", COMPARE)
@settings(max_examples=250, deadline=None)
@given(left=scalars(), right=scalars())
def test_branches_are_sound(
    sem: Sem, is32: bool, left: tuple[int, Scalar], right: tuple[int, Scalar]
) -> None:
    (x, xs), (y, ys) = left, right
    holds_here = compare(sem, x, y, 32 if is32 else 64)
    decided = branch_taken(sem, xs, ys, is32)
    x_true, y_true, x_false, y_false = refine(sem, xs, ys, is32)

    assert decided != (NEVER if holds_here else ALWAYS)
    assert x in (x_true if holds_here else x_false)
    assert y in (y_true if holds_here else y_false)


@pytest.mark.parametrize("is32", [False, True])
@pytest.mark.parametrize("sem", [Sem.ADD, Sem.SUB])
@given(left=scalars(), amount=st.integers(-(2**31), 2**31 - 1), low=numbers, high=numbers)
def test_what_is_learnt_of_a_linked_number_is_sound(
    sem: Sem, is32: bool, left: tuple[int, Scalar], amount: int, low: int, high: int
) -> None:
    x, xs = left
    xs = xs.with_id(1)
    made = TRANSFER[sem](xs, const(amount), is32)
    made = moved_by_constant(sem, xs, const(amount), is32, made)
    moved = evaluate(sem, x, amount & U64, 32 if is32 else 64)
    if made.id == 0:
        return
    low, high = min(low, high, moved), max(low, high, moved)
    narrowed = made.copy_range()
    narrowed.meet_u64(signed(low, 64), signed(high, 64))
    narrowed = narrowed.settle().with_id(made.id, made.delta, made.moved)

    assert x in follow(narrowed, xs)


@given(scalars(), st.integers(-(2**31), 2**31 - 1))
def test_both_halves_of_a_split_hold_the_number(example: tuple[int, Scalar], imm: int) -> None:
    number, scalar = example
    halves = split(Sem.AND, scalar, const(imm))
    if halves is not None:
        assert any(number in half for half in halves)


@given(scalars(), st.sampled_from([1, 2, 4, 8]))
def test_narrow_loads_are_sound(example: tuple[int, Scalar], size: int) -> None:
    number, scalar = example
    low = number & ((1 << (8 * size)) - 1)

    assert low in casts.zero_extend(scalar, size)
    if size < 8:
        assert signed(low, 8 * size) in casts.sign_extend(scalar, size)


@given(numbers, numbers, numbers)
def test_a_wider_range_covers_a_narrower_one(a: int, b: int, c: int) -> None:
    low, middle, high = sorted((a, b, c))

    assert unsigned_between(low, high).covers(unsigned_between(low, middle))
    assert UNKNOWN.covers(unsigned_between(middle, high))


# --- proofs at full width -----------------------------------------------------------------------


class Paths:
    """Runs a piece of code on symbols once along each path through it."""

    def __init__(self) -> None:
        self.solver = z3.SolverFor("QF_BV")
        self.choices: list[bool] = []
        self.position = 0

    def decide(self, condition: z3.BoolRef) -> bool:
        """Take the next choice, or a new one if it is possible at all."""
        condition = z3.simplify(condition)
        if z3.is_true(condition) or z3.is_false(condition):
            return z3.is_true(condition)
        if self.position == len(self.choices):
            self.choices.append(self.possible(condition))
        choice = self.choices[self.position]
        self.position += 1
        self.solver.add(condition if choice else z3.Not(condition))
        return choice

    def possible(self, condition: z3.BoolRef) -> bool:
        """Whether *condition* can hold here."""
        return bool(self.solver.check(condition) == z3.sat)

    def prove(self, claim: z3.BoolRef) -> None:
        """Fail unless each part of *claim* always holds here."""
        parts = [claim]
        while parts:
            part = parts.pop()
            if z3.is_and(part):
                parts += part.children()
                continue
            result = self.solver.check(z3.Not(part))
            if result == z3.unknown:
                pytest.skip(f"z3 gave up on {part}")
            assert result == z3.unsat, f"{self.solver.model()} breaks {part}"

    def all(self) -> Iterator["Paths"]:
        """Go through the paths; the caller runs the code anew in each turn."""
        while True:
            self.position = 0
            self.solver = z3.SolverFor("QF_BV")
            self.solver.set("timeout", 5_000)
            yield self
            while self.choices and not self.choices[-1]:
                self.choices.pop()
            if not self.choices:
                return
            self.choices[-1] = False


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> Paths:
    if COMPILED:
        pytest.skip("compiled code does not run on symbols")
    if "SKEP_PROOFS" not in os.environ:
        pytest.skip("takes minutes; set SKEP_PROOFS=1")
    made = Paths()

    def truth(condition: z3.BoolRef) -> bool:  # a function, so that it becomes a method
        return made.decide(condition)

    monkeypatch.setattr(z3.BoolRef, "__bool__", truth)
    return made


FIELDS = ("value_word", "mask_word", "umin_word", "umax_word", "smin_word", "smax_word")
LOW_FIELDS = ("u32_min", "u32_max", "s32_min", "s32_max")


def symbolic(paths: Paths, name: str) -> Scalar:
    """A scalar of which nothing is known but that its fields are in range."""
    made = Scalar()
    for field in FIELDS + LOW_FIELDS:
        setattr(made, field, z3.BitVec(f"{name}.{field}", 64))
    paths.solver.add(made.value_word & made.mask_word == 0)
    for field in LOW_FIELDS:
        low = -(2**31) if field[0] == "s" else 0
        high = low + U32
        paths.solver.add(low <= getattr(made, field), getattr(made, field) <= high)
    return made


def holds_number(bounds: Ranges, number: z3.BitVecRef) -> z3.BoolRef:
    """Whether *number* is within all five bounds."""
    low = number & U32
    return z3.And(
        (number ^ bounds.value_word) & ~bounds.mask_word == 0,
        z3.ULE(bounds.umin_word, number),
        z3.ULE(number, bounds.umax_word),
        bounds.smin_word <= number,
        number <= bounds.smax_word,
        bounds.u32_min <= low,
        low <= bounds.u32_max,
        bounds.s32_min <= tnum.signed32(low),
        tnum.signed32(low) <= bounds.s32_max,
    )


STEPS: dict[str, Callable[[Ranges], None]] = {
    "learn64_from_bits": Ranges._learn64_from_bits,
    "learn32_from_bits": Ranges.learn32_from_bits,
    "learn_low_half_unsigned": lambda r: r._learn_low_half(r.umin_word, r.umax_word),
    "learn_low_half_signed": lambda r: r._learn_low_half(r.smin_word, r.smax_word),
    "exchange_signs32": Ranges._exchange_signs32,
    "exchange_signs64": Ranges._exchange_signs64,
    "put_low_half_unsigned": lambda r: r._put_low_half(r.u32_min, r.u32_max),
    "put_low_half_signed": lambda r: (
        r._put_low_half(r.s32_min & U32, r.s32_max & U32)
        if r.s32_min & U32 <= r.s32_max & U32
        else None
    ),
    "learn_sign_extended": Ranges._learn_sign_extended,
    "learn_bits": Ranges._learn_bits,
}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_sync_is_proved_sound(step: str, paths: Paths) -> None:
    number = z3.BitVec("number", 64)
    for path in paths.all():
        bounds = symbolic(path, "x")
        path.solver.add(holds_number(bounds, number))
        STEPS[step](bounds)

        path.prove(holds_number(bounds, number))


def part32(bounds: Ranges, number: z3.BitVecRef) -> z3.BoolRef:
    low = number & U32
    return z3.And(
        bounds.u32_min <= low,
        low <= bounds.u32_max,
        bounds.s32_min <= tnum.signed32(low),
        tnum.signed32(low) <= bounds.s32_max,
    )


def part64(bounds: Ranges, number: z3.BitVecRef) -> z3.BoolRef:
    return z3.And(
        z3.ULE(bounds.umin_word, number),
        z3.ULE(number, bounds.umax_word),
        bounds.smin_word <= number,
        number <= bounds.smax_word,
    )


INTERVAL_OPERATIONS: dict[
    str, tuple[Callable[..., None], Callable[..., z3.BitVecRef], Callable[..., z3.BoolRef]]
] = {
    "add32": (alu._add32, lambda x, y: x + y, part32),
    "add64": (alu._add64, lambda x, y: x + y, part64),
    "sub32": (alu._sub32, lambda x, y: x - y, part32),
    "sub64": (alu._sub64, lambda x, y: x - y, part64),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", INTERVAL_OPERATIONS)
def test_sums_of_intervals_are_proved_sound(name: str, paths: Paths) -> None:
    operation, concrete, claim = INTERVAL_OPERATIONS[name]
    a, b = z3.BitVecs("a b", 64)
    for path in paths.all():
        x, y = symbolic(path, "x"), symbolic(path, "y")
        path.solver.add(holds_number(x, a), holds_number(y, b))
        operation(x, y)

        path.prove(claim(x, concrete(a, b)))


@pytest.mark.slow
@pytest.mark.skipif(COMPILED, reason="compiled code takes numbers, no symbols")
@pytest.mark.parametrize("name", ["add", "sub", "and", "or", "xor"])
def test_operations_on_bits_are_proved_sound(name: str) -> None:
    operation, concrete = PAIR_OPERATIONS[name]
    xv, xm, yv, ym, a, b = z3.BitVecs("xv xm yv ym a b", 64)
    value, mask = operation(xv, xm, yv, ym)
    solver = z3.Solver()
    solver.add(xv & xm == 0, yv & ym == 0, (a ^ xv) & ~xm == 0, (b ^ yv) & ~ym == 0)
    solver.add((concrete(a, b) ^ value) & ~mask != 0)

    assert solver.check() == z3.unsat


COMPARISONS: dict[Sem, Callable[[z3.BitVecRef, z3.BitVecRef], z3.BoolRef]] = {
    Sem.EQ: lambda x, y: x == y,
    Sem.NE: lambda x, y: x != y,
    Sem.SET: lambda x, y: x & y != 0,
    Sem.ULT: z3.ULT,
    Sem.ULE: z3.ULE,
    Sem.UGT: z3.UGT,
    Sem.UGE: z3.UGE,
    Sem.SLT: lambda x, y: x < y,
    Sem.SLE: lambda x, y: x <= y,
    Sem.SGT: lambda x, y: x > y,
    Sem.SGE: lambda x, y: x >= y,
}


@pytest.mark.slow
@pytest.mark.parametrize("way", [0, 1], ids=["taken", "not_taken"])
@pytest.mark.parametrize("is32", [False, True])
@pytest.mark.parametrize("sem", REFINEMENTS)
def test_what_a_branch_teaches_is_proved_sound(
    sem: Sem, is32: bool, way: int, paths: Paths
) -> None:
    a, b = z3.BitVecs("a b", 64)
    for path in paths.all():
        x, y = symbolic(path, "x"), symbolic(path, "y")
        path.solver.add(holds_number(x, a), holds_number(y, b))
        p, q = (z3.Extract(31, 0, a), z3.Extract(31, 0, b)) if is32 else (a, b)
        claim = COMPARISONS[sem](p, q)
        path.solver.add(z3.Not(claim) if way else claim)
        REFINEMENTS[sem][way](x, y, is32)

        path.prove(z3.And(holds_number(x, a), holds_number(y, b)))


@pytest.mark.slow
@pytest.mark.parametrize("is32", [False, True])
@pytest.mark.parametrize("sem", REFINEMENTS)
def test_a_decision_is_proved_sound(sem: Sem, is32: bool, paths: Paths) -> None:
    a, b = z3.BitVecs("a b", 64)
    for path in paths.all():
        x, y = symbolic(path, "x"), symbolic(path, "y")
        path.solver.add(holds_number(x, a), holds_number(y, b))
        p, q = (z3.Extract(31, 0, a), z3.Extract(31, 0, b)) if is32 else (a, b)
        decided = jumps.DECISIONS[sem](x, y, is32)
        if decided == ALWAYS:
            path.prove(COMPARISONS[sem](p, q))
        elif decided == NEVER:
            path.prove(z3.Not(COMPARISONS[sem](p, q)))
