"""How values are called in messages, as the kernel calls them (reg_type_str).

Source: Linux 6.18 kernel/bpf/log.c.
"""

from typing import Final

from skep.verifier.scalar import Scalar
from skep.verifier.values import (
    BTF_ID,
    KIND_NAMES,
    MAYBE_NULL,
    PERCPU,
    RCU,
    RDONLY,
    RINGBUF,
    TRUSTED,
    UNTRUSTED,
    USER,
    Pointer,
    Value,
)

_PREFIXES: Final[tuple[tuple[int, str], ...]] = (
    (RDONLY, "rdonly_"),
    (RINGBUF, "ringbuf_"),
    (USER, "user_"),
    (PERCPU, "percpu_"),
    (UNTRUSTED, "untrusted_"),
    (TRUSTED, "trusted_"),
    (RCU, "rcu_"),
)
_MAX_DECIMAL: Final = 0xFFFF  # larger constants are hexadecimal


def kind_text(kind: int, flags: int) -> str:
    """Name of a pointer type, as ``rdonly_mem_or_null``."""
    text = KIND_NAMES[kind]
    if flags & MAYBE_NULL:
        text += "or_null_" if kind == BTF_ID else "_or_null"
    for flag, prefix in reversed(_PREFIXES):
        if flags & flag:
            text = prefix + text
    return text


def type_text(value: Value | None) -> str:
    """Name of the type of *value*: ``scalar``, ``fp``, ``map_value_or_null``, ``?`` for none."""
    if value is None:
        return "?"
    if isinstance(value, Pointer):
        return kind_text(value.kind, value.flags)
    return "scalar"


def tnum_text(scalar: Scalar) -> str:
    """Bits of *scalar* as the kernel prints them, ``(0x0; 0xff)`` or a bare constant."""
    if scalar.is_const:
        value: int = scalar.value
        return str(value) if value <= _MAX_DECIMAL else f"{value:#x}"
    return f"({scalar.value:#x}; {scalar.mask:#x})"
