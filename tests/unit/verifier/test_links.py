"""Registers that are known to differ by a constant."""

from skep.isa.table import Sem
from skep.verifier.scalar import UNKNOWN, const, narrow_signed, unknown_bits
from skep.verifier.transfer.alu import TRANSFER, split
from skep.verifier.transfer.links import follow, moved_by_constant


def test_a_sum_with_a_constant_keeps_the_link() -> None:
    x = UNKNOWN.with_id(1)
    made = moved_by_constant(Sem.ADD, x, const(5), False, TRANSFER[Sem.ADD](x, const(5), False))

    assert (made.id, made.delta, made.moved) == (1, 5, 64)


def test_a_difference_is_a_negative_delta() -> None:
    x = UNKNOWN.with_id(1)
    made = moved_by_constant(Sem.SUB, x, const(5), False, TRANSFER[Sem.SUB](x, const(5), False))

    assert made.delta == -5


def test_a_second_constant_ends_the_link() -> None:
    x = UNKNOWN.with_id(1, 5, 64)

    assert moved_by_constant(Sem.ADD, x, const(5), False, UNKNOWN).id == 0


def test_a_32_bit_sum_keeps_the_link_of_a_32_bit_number_only() -> None:
    narrow, wide = unknown_bits(32).with_id(1), UNKNOWN.with_id(1)

    assert moved_by_constant(Sem.ADD, narrow, const(5), True, unknown_bits(32)).moved == 32
    assert moved_by_constant(Sem.ADD, wide, const(5), True, unknown_bits(32)).id == 0


def test_what_is_learnt_of_the_sum_is_learnt_of_the_original() -> None:
    original = UNKNOWN.with_id(1)
    known = narrow_signed(UNKNOWN.with_id(1, 5, 64), 5, 15)

    followed = follow(known, original)

    assert (followed.smin, followed.smax) == (0, 10)
    assert followed.id == 1
    assert not followed.moved


def test_links_of_different_widths_are_not_followed() -> None:
    known, linked = UNKNOWN.with_id(1, 5, 64), unknown_bits(32).with_id(1, 7, 32)

    assert follow(known, linked) is linked


def test_zero_and_minus_one_are_told_apart_before_a_mask() -> None:
    condition = narrow_signed(UNKNOWN, -1, 0)
    halves = split(Sem.AND, condition, const(5))

    assert halves is not None
    assert halves[0].is_number(-1)
    assert halves[1].is_number(0)
    assert split(Sem.ADD, condition, const(5)) is None
    assert split(Sem.AND, condition, UNKNOWN) is None
