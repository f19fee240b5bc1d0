"""Reasons why LINK_CREATE refuses programs on functions of other programs.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_tracing_prog_attach), kernel/bpf/trampoline.c
(__bpf_trampoline_link_prog, bpf_freplace_check_tgt_prog), kernel/bpf/arraymap.c
(prog_fd_array_get_ptr).
"""

from errno import E2BIG, EBUSY, EINVAL, EOPNOTSUPP
from typing import Final

from skep.uapi.reason import Reason

PAIR: Final = Reason(
    "function-link/pair", EINVAL, "target_fd", "0, or a program, together with target_btf_id"
)
RETARGET: Final = Reason(
    "function-link/retarget", EINVAL, "target_fd", "0: only extensions go to another target"
)
NO_TARGET: Final = Reason(
    "function-link/no-target", EINVAL, "prog_fd", "a program that was not attached before",
    "attach an extension again with target_fd and target_btf_id; load what traces once more",
)  # fmt: skip
KIND: Final = Reason(
    "function-link/kind", EINVAL, "target_fd",
    "a program of the type and attach type that the extension was loaded for",
)  # fmt: skip
FIT: Final = Reason(
    "function-link/fit", EINVAL, "word16", "a global function that the extension fits",
    "its arguments and what it may do to packets must be those of the first target",
)  # fmt: skip
EXTENDED: Final = Reason(
    "function-link/extended", EBUSY, "", "a function that no extension has replaced",
    "close the link of the extension first",
)  # fmt: skip
TRACED: Final = Reason(
    "function-link/traced", EBUSY, "", "a function that nothing traces",
    "close the links of what traces it first",
)  # fmt: skip
IN_ARRAY: Final = Reason(
    "function-link/in-array", EBUSY, "", "a target that stands in no program array",
    "tail calls from an extension to its target would have no end",
)  # fmt: skip
FULL: Final = Reason("function-link/full", E2BIG, "", "at most 38 programs on one function")
OBJECTS: Final = Reason(
    "function-link/objects", EOPNOTSUPP, "prog_fd",
    "a tracing program that reads numbers, not the kernel's struct behind a context",
    "a user-space world has no sk_buff and no xdp_buff behind the contexts of programs",
)  # fmt: skip
TRACED_IN_ARRAY: Final = Reason(
    "function-link/traced-in-array", EOPNOTSUPP, "",
    "a target that stands in no program array: tail calls would not pass what traces it",
)  # fmt: skip
