"""What is known of numbers."""

from skep.base.bits import U32, U64
from skep.verifier.scalar import (
    UNKNOWN,
    ZERO,
    Scalar,
    const,
    narrow_signed,
    narrow_signed32,
    narrow_unsigned,
    signed_between,
    unknown_bits,
    unsigned_between,
)


def test_small_constants_are_shared() -> None:
    assert const(7) is const(7)
    assert const(0) is ZERO


def test_a_negative_constant_is_the_same_in_all_readings() -> None:
    minus = const(-1)

    assert (minus.value, minus.umin, minus.smin) == (U64, U64, -1)
    assert (minus.u32_max, minus.s32_max) == (U32, -1)
    assert minus.is_number(-1)
    assert minus.is_number(U64)


def test_an_unsigned_range_below_the_sign_is_a_signed_range() -> None:
    byte = unknown_bits(8)

    assert (byte.smin, byte.smax, byte.s32_max, byte.mask) == (0, 255, 255, 255)


def test_a_signed_range_across_zero_says_nothing_unsigned() -> None:
    around = signed_between(-5, 5)

    assert (around.umin, around.umax) == (0, U64)
    assert (around.s32_min, around.s32_max) == (-5, 5)


def test_bits_and_range_that_share_one_number_make_it_known() -> None:
    made = Scalar()
    made.value_word, made.mask_word = 0, 0x100000  # 0 or 0x100000
    made.meet_u64(2, -1)
    made.sync()

    assert made.is_number(0x100000)


def test_contradicting_bounds_are_given_up() -> None:
    made = Scalar()
    made.meet_u64(10, 20)
    made.meet_s64(30, 40)

    assert made.settle().same_range(UNKNOWN) or made.is_consistent()


def test_an_id_links_and_unlinks() -> None:
    linked = unknown_bits(8).with_id(3, 5, 64)

    assert (linked.id, linked.delta, linked.moved) == (3, 5, 64)
    assert linked.with_id(3, 5, 64) is linked
    assert linked.without_id().id == 0
    assert linked.same_range(unknown_bits(8))


def test_narrowing_keeps_the_id() -> None:
    byte = unknown_bits(8).with_id(4)

    assert narrow_unsigned(byte, 0, 9).id == 4
    assert narrow_signed(byte, 3, 9).umin == 3
    assert narrow_signed32(UNKNOWN, -1, 1).s32_min == -1


def test_covering_needs_every_bound() -> None:
    assert unknown_bits(8).covers(unsigned_between(3, 9))
    assert not unsigned_between(3, 9).covers(unknown_bits(8))


def test_alignment_counts_the_offset() -> None:
    words = Scalar()
    words.mask_word = 0xF8
    words.sync()

    assert words.is_aligned(16, 8)
    assert not words.is_aligned(4, 8)


def test_members_are_asked_in_either_sign() -> None:
    assert -1 in const(U64)
    assert 256 not in unknown_bits(8)
