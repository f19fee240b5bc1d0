"""Rules about loads and stores: stack, context, packet, map values and other memory."""

import errno
from typing import Final

from skep.verifier.rules.rule import Rule

_BAD: Final = errno.EINVAL
_DENIED: Final = errno.EACCES

# --- any memory -------------------------------------------------------------------------------

POINTER_NEEDED: Final = Rule(
    "access-through-pointer", "memory is accessed through a pointer that cannot be NULL", _DENIED
)
ALIGNED: Final = Rule(
    "access-aligned", "an access is aligned to its size where the memory demands it", _DENIED
)
WRITABLE: Final = Rule("memory-writable", "read-only memory is not written", _DENIED)
READABLE: Final = Rule("memory-readable", "write-only memory is not read", _DENIED)
NO_ADDRESS_STORED: Final = Rule(
    "no-address-stored",
    "an unprivileged program stores no pointer where others can read it",
    _DENIED,
)
LOWER_BOUND: Final = Rule(
    "access-lower-bound", "the offset of an access is known not to be negative", _DENIED
)
UPPER_BOUND: Final = Rule(
    "access-upper-bound", "the offset of an access has a known upper bound", _DENIED
)
IN_MEMORY: Final = Rule("access-in-memory", "an access lies within its memory", _DENIED)
CONSTANT_OFFSET: Final = Rule(
    "access-constant-offset", "memory of this kind is accessed at constant offsets", _DENIED
)
UNMODIFIED_POINTER: Final = Rule(
    "pointer-unmodified", "a pointer of this kind is used as it was given", _DENIED
)
SAME_KIND: Final = Rule(
    "access-of-one-kind", "an instruction accesses one kind of memory on all paths", _BAD
)

# --- stack ------------------------------------------------------------------------------------

STACK_IN_FRAME: Final = Rule("stack-in-frame", "a stack access lies within fp-512 .. fp", _DENIED)
STACK_INITIALISED: Final = Rule(
    "stack-initialised", "a stack byte is written before it is read", _DENIED
)
STACK_OFFSET_BOUND: Final = Rule(
    "stack-offset-bounded", "a variable stack offset has known bounds", _DENIED
)
STACK_CONSTANT_OFFSET: Final = Rule(
    "stack-constant-offset", "a stack access has a constant offset here", _DENIED
)
SPILL_WHOLE: Final = Rule(
    "spill-whole", "a pointer is stored to and loaded from the stack in all its 8 bytes", _DENIED
)
SPILL_UNCORRUPTED: Final = Rule(
    "spill-uncorrupted",
    "an unprivileged program does not change part of a spilled pointer",
    _DENIED,
)
STACK_POINTER_HOME: Final = Rule(
    "stack-pointer-in-own-frame", "a stack pointer is not spilled into a caller's frame", _BAD
)
NO_STACK_LEAK: Final = Rule(
    "no-spilled-pointer-leak",
    "an unprivileged program does not read a spilled pointer as a number",
    _DENIED,
)

# --- context ----------------------------------------------------------------------------------

CONTEXT_FIELD: Final = Rule(
    "context-field", "a context access matches a field, its size and its direction", _DENIED
)

# --- packet -----------------------------------------------------------------------------------

PACKET_IN_RANGE: Final = Rule(
    "packet-in-range", "a packet access lies in bytes compared with data_end", _DENIED
)
PACKET_WRITABLE: Final = Rule(
    "packet-writable", "the program type may write packets directly", _DENIED
)
LEGACY_LOAD_ALLOWED: Final = Rule(
    "legacy-load-allowed", "the program type may use BPF_LD_ABS and BPF_LD_IND here", _BAD
)
LEGACY_LOAD_CONTEXT: Final = Rule(
    "legacy-load-context", "r6 holds the context at a BPF_LD_ABS or BPF_LD_IND", _BAD
)

# --- map values -------------------------------------------------------------------------------

SPECIAL_FIELD: Final = Rule(
    "special-field-untouched",
    "locks, timers and the like in values are used through helpers only",
    _DENIED,
)
KPTR_ACCESS: Final = Rule(
    "kptr-access", "a kernel pointer in a value is loaded and stored whole, and typed", _DENIED
)
KPTR_TYPE: Final = Rule(
    "kptr-type", "what is stored to a kernel pointer field has the field's type", _DENIED
)

# --- kernel objects ---------------------------------------------------------------------------

KERNEL_ACCESS_PRIVILEGED: Final = Rule(
    "kernel-access-privileged", "only privileged programs read kernel objects", errno.EPERM
)
KERNEL_ACCESS_GPL: Final = Rule(
    "kernel-access-gpl", "only GPL-compatible programs read kernel objects", _BAD
)
STRUCT_MEMBER: Final = Rule(
    "struct-member", "an access of a kernel object hits a member as its type says", _DENIED
)
MAP_OBJECT_READ_ONLY: Final = Rule(
    "map-object-read-only", "fields of a map object are only read", _DENIED
)

# --- atomics ---------------------------------------------------------------------------------

ATOMIC_TARGET: Final = Rule(
    "atomic-target", "atomic instructions work on plain memory only", _DENIED
)
MAP_CONSTANT: Final = Rule(
    "map-constant-single",
    "a frozen array whose constants are read has a single value",
    524,
)
