"""Rules about calls of helpers and kfuncs: which, and with what arguments."""

import errno
from typing import Final

from skep.verifier.rules.rule import Rule

_BAD: Final = errno.EINVAL
_DENIED: Final = errno.EACCES

HELPER_KNOWN: Final = Rule("helper-known", "a called helper exists", _BAD)
HELPER_AVAILABLE: Final = Rule("helper-available", "the program type may call the helper", _BAD)
HELPER_GPL: Final = Rule(
    "helper-gpl", "helpers for GPL-compatible programs are called by those only", _BAD
)
CALL_MAY_SLEEP: Final = Rule(
    "call-may-sleep", "functions that sleep are called where the program may sleep", _BAD
)
ARGUMENT_NO_LEAK: Final = Rule(
    "argument-no-leak",
    "an unprivileged program passes no pointer where a number is wanted",
    _DENIED,
)
ARGUMENT_TYPE: Final = Rule(
    "argument-type", "an argument has a type that the function takes", _DENIED
)
ARGUMENT_NOT_NULL: Final = Rule(
    "argument-not-null", "an argument is not NULL unless the function takes NULL", _DENIED
)
ARGUMENT_PACKET: Final = Rule(
    "argument-packet", "packet memory is passed only to helpers that take it", _DENIED
)
ARGUMENT_READ_ONLY: Final = Rule(
    "argument-not-written",
    "a kernel object is passed only to helpers that do not write it",
    _DENIED,
)
SIZE_NOT_NEGATIVE: Final = Rule(
    "size-not-negative", "a size argument is known not to be negative", _DENIED
)
SIZE_NOT_ZERO: Final = Rule(
    "size-not-zero", "a size argument is not zero unless the helper allows it", _DENIED
)
SIZE_BOUNDED: Final = Rule("size-bounded", "a size argument has a known upper bound", _DENIED)
SIZE_CONSTANT: Final = Rule("size-constant", "an allocation size is a known constant", _DENIED)
CONST_STRING: Final = Rule(
    "constant-string", "a format string is a constant in a frozen read-only map", _DENIED
)
STRING_TERMINATED: Final = Rule(
    "string-terminated", "a constant string ends with a zero byte", _BAD
)
FORMAT_VALID: Final = Rule("format-valid", "a format string is valid for its arguments", _BAD)
MAP_HELPER_FIT: Final = Rule("map-fits-helper", "the helper works on maps of this type", _BAD)
MAP_WRITABLE: Final = Rule(
    "map-writable-by-programs", "read-only maps are not changed by programs", _DENIED
)
MAP_SAME: Final = Rule("same-map", "a timer belongs to the map it is initialised with", _BAD)
TAIL_CALL_MAP: Final = Rule(
    "tail-call-of-one-map",
    "a tail call of an unprivileged program uses the same map on all paths",
    _BAD,
)
MAP_CALLBACK: Final = Rule("map-walkable", "the map type can be walked by a callback", 524)
STORAGE_FLAGS: Final = Rule("storage-flags-zero", "get_local_storage() takes no flags", _BAD)
FUNC_IP_AVAILABLE: Final = Rule(
    "func-ip-available", "get_func_ip() is called where there is a function", 524
)
CALLBACK_STACK: Final = Rule(
    "memory-of-map", "bpf_dynptr_from_mem() wraps memory of a map value", _DENIED
)
KFUNC_KNOWN: Final = Rule("kfunc-known", "a called kfunc exists in kernel BTF", _BAD)
KFUNC_GPL: Final = Rule("kfunc-gpl", "kfuncs are called by GPL-compatible programs only", _BAD)
KFUNC_AVAILABLE: Final = Rule("kfunc-available", "the program type may call the kfunc", _DENIED)
KFUNC_ARGUMENT: Final = Rule(
    "kfunc-argument", "an argument of a kfunc is of the type that BTF declares", _BAD
)
KFUNC_TRUST: Final = Rule(
    "kfunc-trust", "a kfunc gets objects that are alive, as far as it demands that", _BAD
)
KFUNC_RESULT: Final = Rule("kfunc-result", "the result of a kfunc has a type", _BAD)
KFUNC_TRAP: Final = Rule(
    "trap-unreachable", "code that the compiler holds to be impossible is not reached", errno.EFAULT
)
TAIL_CALL_IN_CALLBACK: Final = Rule(
    "tail-call-outside-callback",
    "a callback does not leave for another program",
    _BAD,
)
