"""Rules about pointers in registers: how they may be moved and compared."""

import errno
from typing import Final

from skep.verifier.rules.rule import Rule

_BAD: Final = errno.EINVAL
_DENIED: Final = errno.EACCES

POINTER_MOVABLE: Final = Rule(
    "pointer-movable", "only pointers into memory are moved by arithmetic", _DENIED
)
POINTER_CHECKED_FIRST: Final = Rule(
    "pointer-checked-before-arithmetic",
    "a pointer is compared with NULL before it is moved",
    _DENIED,
)
POINTER_WIDTH: Final = Rule(
    "pointer-arithmetic-64-bit", "pointers are moved by 64-bit instructions", _DENIED
)
POINTER_OPERATOR: Final = Rule(
    "pointer-operator", "pointers are only added to and subtracted from", _DENIED
)
POINTER_PAIR: Final = Rule("pointer-pair", "two pointers are not combined into one value", _DENIED)
POINTER_SUBTRAHEND: Final = Rule(
    "pointer-subtrahend", "a pointer is not subtracted from a number", _DENIED
)
STACK_POINTER_ADDED: Final = Rule(
    "stack-pointer-added-only", "numbers are added to a stack pointer, not subtracted", _DENIED
)
POINTER_OFFSET_BOUND: Final = Rule(
    "pointer-offset-bounded", "a pointer moves by less than 2^29 bytes in known bounds", _BAD
)
POINTER_COMPARISON: Final = Rule(
    "pointer-comparison",
    "an unprivileged program compares pointers only with NULL or data_end",
    _DENIED,
)
POINTER_BITS_KEPT: Final = Rule(
    "pointer-kept-whole", "an unprivileged program does not take a pointer apart", _DENIED
)
UNPRIVILEGED_BOUNDS: Final = Rule(
    "unprivileged-pointer-bounds",
    "an unprivileged program keeps moved pointers inside their object",
    _DENIED,
)
