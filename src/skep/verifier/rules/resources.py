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
    "dynptr-initialised", "a dynptr is initialised before it is used, and of the right kind", _BAD
)
DYNPTR_UNINITIALISED: Final = Rule(
    "dynptr-room", "a new dynptr gets stack that holds no referenced dynptr", _BAD
)
DYNPTR_NOT_OVERWRITTEN: Final = Rule(
    "dynptr-not-overwritten", "a referenced dynptr is released before its stack is reused", _BAD
)
DYNPTR_NOT_BUFFER: Final = Rule(
    "dynptr-not-buffer", "the stack of a dynptr is not passed as a plain buffer", _DENIED
)
ITERATOR_PLACE: Final = Rule(
    "iterator-place", "an iterator lives on the stack, aligned, at a constant offset", _BAD
)
ITERATOR_INITIALISED: Final = Rule(
    "iterator-initialised", "an iterator is made before it is used, and of the right type", _BAD
)
ITERATOR_UNINITIALISED: Final = Rule(
    "iterator-room", "a new iterator gets stack that holds none", _BAD
)
ITERATOR_PROTECTED: Final = Rule(
    "iterator-protected",
    "an iterator that RCU protects is used in the section in which it was made",
    errno.EPROTO,
)
SECTION_OPEN: Final = Rule(
    "section-matched", "a critical section is closed once for each time it is opened", _BAD
)
RCU_NEEDED: Final = Rule(
    "rcu-section-needed", "what RCU protects is asked for in an RCU read-side section", _DENIED
)
IRQ_FLAG_PLACE: Final = Rule(
    "irq-flag-place", "the state of interrupts is saved to an aligned stack slot", _BAD
)
IRQ_FLAG_INITIALISED: Final = Rule(
    "irq-flag-initialised", "what is restored was saved by a function of the same family", _BAD
)
IRQ_FLAG_UNINITIALISED: Final = Rule(
    "irq-flag-room", "interrupts are saved to a slot that holds no saved state", _BAD
)
IRQ_ORDER: Final = Rule("irq-order", "saved states are restored in reverse order", _DENIED)
LOCK_TWICE: Final = Rule("lock-once", "a lock that is held is not taken again", _BAD)
LOCK_ORDER: Final = Rule("lock-order", "locks are released in reverse order", _BAD)
LOCK_IN_CALLBACK: Final = Rule(
    "no-lock-in-tree-callback", "a callback that compares nodes takes and releases no lock", _DENIED
)
GRAPH_LOCKED: Final = Rule(
    "collection-locked", "a list or tree is used while its lock is held", _BAD
)
GRAPH_FIELD: Final = Rule(
    "collection-field", "the argument is a list, tree or node that belong together", _BAD
)
OBJECT_OWNED: Final = Rule(
    "object-owned", "an allocated object is handed over by its owner only", _BAD
)
