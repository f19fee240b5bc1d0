"""Constant strings: formats that stand in frozen read-only maps.

Source: Linux 6.18 kernel/bpf/verifier.c (check_reg_const_str, check_bpf_snprintf_call),
kernel/bpf/helpers.c (bpf_bprintf_prepare).
"""

from typing import Final

from skep.uapi.flags import MapFlag
from skep.verifier.check import Check
from skep.verifier.interface import MapShape
from skep.verifier.rules.calls import CONST_STRING, FORMAT_VALID, STRING_TERMINATED
from skep.verifier.transfer.regions import require_map_value, require_single_value
from skep.verifier.values import Pointer

_RDONLY_PROG: Final = int(MapFlag.RDONLY_PROG)
MAX_ARGUMENTS: Final = 12
_SPACED: Final = " \t\n\v\f\r"


def is_constant(shape: MapShape) -> bool:
    """Whether nobody can change the map's values any more."""
    return bool(shape.map_flags & _RDONLY_PROG) and shape.frozen


def require_constant_string(check: Check, value: Pointer, register: int) -> bytes:
    """Require that *value* points to a constant string; return it without its final zero."""
    shape = value.map
    assert shape is not None
    if not is_constant(shape):
        check.refuse(CONST_STRING, f"R{register} does not point to a readonly map'")
    if not value.var.is_const:
        check.refuse(CONST_STRING, f"R{register} is not a constant address'")
    start = value.off + int(value.var.smin)
    if shape.constant(0, 1) is None:
        check.refuse(CONST_STRING, "no direct value access support for this map type")
    require_map_value(check, value, register, value.off, shape.value_size - value.off, helper=True)
    require_single_value(check, shape)
    text = bytearray()
    for at in range(start, shape.value_size):
        byte = shape.constant(at, 1)
        if byte is None:
            check.refuse(CONST_STRING, "direct value access on string failed")
        if byte == 0:
            return bytes(text)
        text.append(byte)
    return check.refuse(STRING_TERMINATED, "string is not zero-terminated")


def require_format(check: Check, text: bytes, count: int) -> None:
    """Require that *text* is a valid format for *count* arguments of 8 bytes."""
    if not _is_format(text, count):
        check.refuse(
            FORMAT_VALID, "Invalid format string", found=f"{text!r} with {count} arguments"
        )


def _is_format(text: bytes, count: int) -> bool:
    """The grammar of bpf_trace_printk() and its kin."""
    if any(byte == 0x7F or (byte < 0x20 and chr(byte) not in _SPACED) for byte in text):
        return False
    letters = text.decode("latin-1")
    used = 0
    at = 0
    while at < len(letters):
        if letters[at] != "%":
            at += 1
            continue
        if letters[at + 1 : at + 2] == "%":
            at += 2
            continue
        used += 1
        if used > min(count, MAX_ARGUMENTS):
            return False
        at = _after_conversion(letters, at + 1)
        if at < 0:
            return False
    return used <= count


def _after_conversion(letters: str, at: int) -> int:
    """Index after the conversion that starts after the percent sign; -1 if it is none."""
    while at < len(letters) and letters[at] in "0+- ":
        at += 1
    if at < len(letters) and "1" <= letters[at] <= "9":
        at += 1
        while at < len(letters) and letters[at].isdigit():
            at += 1
    kind = letters[at : at + 1]
    if kind == "p":
        return _after_pointer(letters, at + 1)
    if kind == "s":
        return _ends_word(letters, at + 1)
    if kind == "c":
        return at + 1
    length = 0
    while letters[at : at + 1] == "l" and length < 2:
        at += 1
        length += 1
    return at + 1 if letters[at : at + 1] and letters[at] in "diuxX" else -1


def _after_pointer(letters: str, at: int) -> int:
    kind = letters[at : at + 1]
    if _ends_word(letters, at) >= 0:
        return at
    if kind in "ku":
        return _ends_word(letters, at + 2) if letters[at + 1 : at + 2] == "s" else -1
    if kind in "KxsSB":
        return at + 1
    if kind in "iI":
        return at + 2 if letters[at + 1 : at + 2] in ("4", "6") else -1
    return -1


def _ends_word(letters: str, at: int) -> int:
    """*at* if the string ends there, or with a space or punctuation; else -1."""
    next_letter = letters[at : at + 1]
    ends = (
        not next_letter
        or next_letter in _SPACED
        or ("!" <= next_letter <= "~" and not next_letter.isalnum())
    )
    return at if ends else -1
