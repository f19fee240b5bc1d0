"""Rules about references, locks, critical sections, dynptrs, timers and iterators."""

import errno
from typing import Final

from skep.verifier.rules.rule import Rule

_BAD: Final = errno.EINVAL
_DENIED: Final = errno.EACCES

RELEASED_IS_REFERENCE: Final = Rule(
    "released-reference", "what is released was acquired and not released yet", _BAD
)
RELEASED_UNMOVED: Final = Rule(
    "released-unmoved", "a reference is released through the pointer that was given", _BAD
)
ONE_REFERENCE: Final = Rule(
    "one-reference-argument", "a call gets at most one reference", errno.EFAULT
)
NO_REFERENCE_LEAK: Final = Rule(
    "reference-released", "every reference is released before the program ends", _BAD
)
NOT_IN_CRITICAL_SECTION: Final = Rule(
    "not-in-critical-section", "the program does not leave while a section is open", _BAD
)
CALL_UNDER_LOCK: Final = Rule(
    "no-call-under-lock", "helpers that may block are not called while a spin lock is held", _BAD
)
LOCK_CONSTANT_OFFSET: Final = Rule(
    "lock-constant-offset", "a lock, timer or kptr is addressed at a constant offset", _BAD
)
LOCK_TYPED: Final = Rule("lock-typed", "the map has BTF that shows the field", _BAD)
LOCK_PRESENT: Final = Rule("field-present", "the value holds a field of the wanted kind", _BAD)
LOCK_AT_OFFSET: Final = Rule("field-at-offset", "the argument points to that field", _BAD)
KPTR_AT_OFFSET: Final = Rule("kptr-at-offset", "the argument points to a referenced kptr", _DENIED)
LOCK_HELD: Final = Rule("lock-held", "a lock that is released is held", _BAD)
LOCK_SAME: Final = Rule("same-lock", "the lock that is released is the one that is held", _BAD)
DYNPTR_PLACE: Final = Rule(
    "dynptr-place", "a dynptr lives on the stack, aligned, at a constant offset", _BAD
)
DYNPTR_INITIALISED: Final = Rule(
    "dynptr-initialised", "a dynptr is initialised before it is used", _BAD
)
DYNPTR_UNINITIALISED: Final = Rule(
    "dynptr-room", "a new dynptr gets stack that holds no referenced dynptr", _BAD
)
DYNPTR_TYPE: Final = Rule("dynptr-type", "a dynptr is of the kind that the function takes", _BAD)
DYNPTR_MUTABLE: Final = Rule("dynptr-mutable", "a constant dynptr is not changed", _BAD)
DYNPTR_NOT_OVERWRITTEN: Final = Rule(
    "dynptr-not-overwritten", "a referenced dynptr is released before its stack is reused", _BAD
)
DYNPTR_NOT_BUFFER: Final = Rule(
    "dynptr-not-buffer", "the stack of a dynptr is not passed as a plain buffer", _DENIED
)
