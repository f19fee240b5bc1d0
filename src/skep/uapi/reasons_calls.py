"""Reasons why any command may refuse a call: its attr, its pointers, descriptors and ids.

Source: Linux 6.18 kernel/bpf/syscall.c (__sys_bpf, bpf_check_uarg_tail_zero, CHECK_ATTR).
"""

from errno import E2BIG, EBADF, EFAULT, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP
from typing import Final

from skep.uapi.reason import Reason

_NEWER: Final = "the caller asks for what came after Linux 6.18"

ATTR_SIZE: Final = Reason("call/attr-size", E2BIG, "", "the attr has at most 4096 bytes, a page")
ATTR_TAIL: Final = Reason(
    "call/attr-tail", E2BIG, "", "bytes of the attr beyond those known are zero", _NEWER
)
UNUSED_BYTES: Final = Reason(
    "call/unused-bytes", EINVAL, "", "bytes beyond the last member that the command uses are zero",
    "clear the attr before filling it in",
)  # fmt: skip
UNKNOWN_COMMAND: Final = Reason(
    "call/unknown-command", EINVAL, "", "0 to 38, with the flags of docs/reference/commands.md",
    _NEWER,
)  # fmt: skip
NOT_READABLE: Final = Reason(
    "call/not-readable", EFAULT, "", "an address of as many readable bytes as the command takes"
)
NOT_WRITABLE: Final = Reason(
    "call/not-writable", EFAULT, "", "an address of as many writable bytes as the command gives"
)
NO_MEMORY: Final = Reason("call/no-memory", ENOMEM, "", "there is memory for what is asked")
NOT_SUPPORTED: Final = Reason(
    "call/not-supported", EOPNOTSUPP, "", "what skep can do in user space",
    "docs/explanation/what-we-leave-out.md says what is missing, and why",
)  # fmt: skip

FD_NOT_OPEN: Final = Reason("fd/not-open", EBADF, "", "an open descriptor of a BPF object")
FD_NOT_BPF: Final = Reason(
    "fd/not-bpf", EINVAL, "", "a descriptor of a BPF object",
    "descriptors of skep are numbers of its own: those of the process name nothing here",
)  # fmt: skip
FD_OTHER_KIND: Final = Reason(
    "fd/other-kind", EINVAL, "", "a descriptor of an object of the kind that the member names"
)
ID_ABSENT: Final = Reason("id/absent", ENOENT, "start_id", "the id of an object that exists")
ID_LAST: Final = Reason(
    "id/last", ENOENT, "start_id", "an id below the greatest", "the walk is at its end"
)
