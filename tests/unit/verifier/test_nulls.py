"""Which pointers are certainly not NULL."""

import pytest

from skep.verifier.transfer.nulls import is_not_null
from skep.verifier.values import (
    BTF_ID,
    BUF,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    RDONLY,
    TRUSTED,
    UNTRUSTED,
    Pointer,
)


@pytest.mark.parametrize(
    ("pointer", "sure"),
    [
        (Pointer(MEM), True),
        (Pointer(MEM, RDONLY), True),
        (Pointer(MEM, RDONLY | UNTRUSTED), False),
        (Pointer(BUF), True),
        (Pointer(MAP_VALUE), True),
        (Pointer(MAP_VALUE, MAYBE_NULL), False),
        (Pointer(BTF_ID), False),
        (Pointer(BTF_ID, TRUSTED), True),
    ],
)
def test_a_pointer_that_nothing_vouches_for_may_be_null(pointer: Pointer, sure: bool) -> None:
    assert is_not_null(pointer) == sure
