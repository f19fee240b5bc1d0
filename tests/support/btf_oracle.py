"""BTF_LOAD of the running kernel, as an oracle."""

import ctypes
import os
import struct
from functools import cache

from skep.btf.codec import decode_string

_SYSCALL = 321  # bpf, on x86-64
_BTF_LOAD = 18
_LOG_SIZE = 1 << 20


def btf_load(data: bytes, level: int = 1) -> tuple[int, str]:
    """Load *data*: errno (0 if it is taken) and the log."""
    libc = ctypes.CDLL(None, use_errno=True)
    log = ctypes.create_string_buffer(_LOG_SIZE)
    blob = ctypes.create_string_buffer(data, len(data))
    fields = struct.pack(
        "=QQIIII", ctypes.addressof(blob), ctypes.addressof(log), len(data), _LOG_SIZE, level, 0
    )
    attr = ctypes.create_string_buffer(fields, 40)
    fd = libc.syscall(_SYSCALL, _BTF_LOAD, attr, 40)
    if fd >= 0:
        os.close(fd)
        return 0, decode_string(log.value)
    return ctypes.get_errno(), decode_string(log.value)


@cache
def why_not() -> str:
    """Why the kernel cannot be asked; empty if it can."""
    if os.uname().machine != "x86_64":
        return "the oracle is written for x86-64"
    minimal = (
        bytes.fromhex(
            "9feb0100180000000000000010000000100000000500000001000000000000010400000020000001"
        )
        + b"\0int\0"
    )
    code, _ = btf_load(minimal)
    return f"BTF_LOAD answers {os.strerror(code)}" if code else ""
