"""The running kernel as a Syscall: bpf(2) itself."""

import ctypes
import os
import platform
from errno import EFAULT
from functools import cached_property
from typing import Final

from skep.base import mapping
from skep.errors import NotSupported
from skep.uapi.commands import COMMON_ATTRS, PROG_LOAD

_NUMBERS: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_LEVELS: Final = 0xF


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

    def bpf(
        self, cmd: int, attr: bytearray, size: int | None = None, common: bytearray | None = None, /
    ) -> int:
        """Serve one command: the result, or ``-errno``; *common* are the attributes of 7.2."""
        buffer = (ctypes.c_char * len(attr)).from_buffer(attr)
        arguments = [buffer, ctypes.c_uint(len(attr) if size is None else size)]
        if common is not None:
            place = (ctypes.c_char * len(common)).from_buffer(common)
            arguments += [place, ctypes.c_uint(len(common))]
        result = int(self._libc.syscall(self._number, ctypes.c_int(cmd), *arguments))
        return -ctypes.get_errno() if result < 0 else result

    @cached_property
    def log_levels(self) -> int:
        """The levels that common attributes may ask for; 0 if the kernel does not know them."""
        attr = (ctypes.c_char * PROG_LOAD.layout.wire_size())()
        number = ctypes.c_int(PROG_LOAD.number | COMMON_ATTRS)
        size = ctypes.c_uint(len(attr))
        probe = self._libc.syscall(self._number, number, attr, size, None, ctypes.c_uint(24))
        return _LEVELS if probe < 0 and ctypes.get_errno() == EFAULT else 0

    def map_arena(self, fd: int, address: int, size: int, /) -> memoryview:
        """The memory of an arena, at *address* if it is not 0; mapped as long as it is used."""
        flags = mapping.SHARED | (mapping.FIXED_NOREPLACE if address else 0)
        place = mapping.map_memory(address, size, mapping.PROT_READ_WRITE, flags, fd)
        return mapping.view_of(place, size, mapping.anchored(place, size))

    def close(self, fd: int, /) -> None:
        """Close a descriptor."""
        os.close(fd)
