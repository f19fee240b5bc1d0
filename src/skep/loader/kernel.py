"""The running kernel as a Syscall: bpf(2) itself."""

import ctypes
import os
import platform
from typing import Final

from skep.errors import NotSupported

_NUMBERS: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}


class KernelSyscall:
    """bpf(2) of the running kernel.

    Raises:
        NotSupported: the system call's number on this machine is not known.
    """

    def __init__(self) -> None:
        machine = platform.machine()
        if machine not in _NUMBERS:
            raise NotSupported(f"bpf(2) on {machine}", "its system call number is not known")
        self._number = _NUMBERS[machine]
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.syscall.restype = ctypes.c_long

    def bpf(self, cmd: int, attr: bytearray, /) -> int:
        """Serve one command: the result, or ``-errno``."""
        size = len(attr)
        buffer = (ctypes.c_char * size).from_buffer(attr)
        result = int(
            self._libc.syscall(self._number, ctypes.c_int(cmd), buffer, ctypes.c_uint(size))
        )
        return -ctypes.get_errno() if result < 0 else result

    def close(self, fd: int, /) -> None:
        """Close a descriptor."""
        os.close(fd)
