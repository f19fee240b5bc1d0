"""Bits that are known."""

import pytest

from skep.base.bits import S64_MAX, S64_MIN, U64
from skep.verifier import tnum
from skep.verifier.tnum import Tnum


@pytest.mark.skipif(
    not tnum.__file__.endswith(".py"), reason="compiled, arithmetic wraps by itself"
)
@pytest.mark.parametrize(
    ("number", "word"), [(0, 0), (S64_MAX, S64_MAX), (S64_MAX + 1, S64_MIN), (S64_MIN - 1, S64_MAX)]
)
def test_a_word_is_twos_complement(number: int, word: int) -> None:
    assert tnum.wrap(number) == word


def test_below_compares_without_sign() -> None:
    assert tnum.below(1, -1)
    assert not tnum.below(-1, 1)
    assert not tnum.below(5, 5)


def test_a_shift_to_the_right_brings_zeros() -> None:
    assert tnum.shift_right(-1, 60) == 15
    assert tnum.shift_right(-1, 0) == -1


def test_a_range_across_the_sign_is_unknown() -> None:
    assert tnum.between(0, -1) == (0, -1)


def test_a_product_with_an_unknown_bit_is_the_union_of_both() -> None:
    # {1, 3} * 3 is 3 or 9, which differ in bits 1 and 3
    assert tnum.mul(1, 2, 3, 0) == (1, 10)


def test_swapped_bytes_drop_the_others() -> None:
    assert tnum.swap_bytes(0x11223344, 2) == 0x4433


def test_a_tnum_tells_its_members() -> None:
    even = Tnum(0, U64 ^ 1)

    assert 4 in even
    assert 5 not in even
    assert even.is_aligned(2)
    assert not even.is_const
