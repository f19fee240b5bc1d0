"""bpf(2) of the kernel that runs the tests: the oracle of differential tests.

Loads only programs that do nothing, and attaches none.
"""

import ctypes
import errno
import os
import struct
from typing import Final

NUMBERS: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
RETURN_ONE: Final = struct.pack("<BBhi", 0xB7, 0, 0, 1)
EXIT: Final = struct.pack("<BBhi", 0x95, 0, 0, 0)


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One instruction as bytes."""
    return struct.pack("<BBhi", code, dst | src << 4, off, imm)


class RunningKernel:
    """The running kernel's bpf(2); *release* is its version."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.syscall.restype = ctypes.c_long
        self._number = NUMBERS.get(os.uname().machine, 0)
        self._log = ctypes.create_string_buffer(1 << 16)
        self.release = os.uname().release

    def bpf(self, cmd: int, attr: bytearray, size: int | None = None) -> int:
        """Call bpf(2): the result or -errno."""
        buffer = (ctypes.c_char * len(attr)).from_buffer(attr)
        result = self._libc.syscall(self._number, cmd, buffer, len(attr) if size is None else size)
        return -ctypes.get_errno() if result < 0 else int(result)

    def close(self, fd: int) -> None:
        """Close a file descriptor."""
        os.close(fd)

    def load(
        self,
        program_type: int,
        insns: bytes,
        *,
        attach_type: int = 0,
        flags: int = 0,
        attach_btf_id: int = 0,
        log_level: int = 0,
    ) -> tuple[int, str]:
        """Load a program: fd or -errno, and the log."""
        code = ctypes.create_string_buffer(insns, len(insns))
        license_ = ctypes.create_string_buffer(b"GPL")
        self._log[0] = b"\0"
        log = ctypes.addressof(self._log) if log_level else 0
        attr = bytearray(168)
        struct.pack_into(
            "<IIQQIIQII",
            attr,
            0,
            program_type,
            len(insns) // 8,
            ctypes.addressof(code),
            ctypes.addressof(license_),
            log_level,
            len(self._log) if log else 0,
            log,
            0,
            flags,
        )
        struct.pack_into("<I", attr, 68, attach_type)
        struct.pack_into("<I", attr, 108, attach_btf_id)
        result = self.bpf(5, attr)
        return result, self._log.value.decode("latin1")

    def accepts(
        self, program_type: int, insns: bytes, attach_type: int = 0, flags: int = 0
    ) -> bool:
        """Tell whether the kernel loads the program."""
        result, _ = self.load(program_type, insns, attach_type=attach_type, flags=flags)
        if result >= 0:
            self.close(result)
        elif result not in (-errno.EACCES, -errno.EINVAL):
            raise OSError(-result, os.strerror(-result))
        return result >= 0


def missing() -> str:
    """Why there is no kernel to ask, or "" if there is one."""
    kernel = RunningKernel()
    result, _ = kernel.load(1, RETURN_ONE + EXIT)
    if result >= 0:
        kernel.close(result)
        return "" if kernel.release.startswith("6.18.") else f"the kernel is {kernel.release}"
    return f"bpf(2) answers {os.strerror(-result)}"
