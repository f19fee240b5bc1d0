"""Reasons why links, PROG_ATTACH, PROG_DETACH and PROG_QUERY refuse a call.

Source: Linux 6.18 kernel/bpf/syscall.c (link_create, link_update, link_detach, bpf_prog_attach,
bpf_prog_detach, bpf_prog_query).
"""

from errno import EINVAL, EOPNOTSUPP
from typing import Final

from skep.uapi.reason import Reason

# --- links ----------------------------------------------------------------------------------------

CREATE_ATTACH_TYPE: Final = Reason(
    "link-create/attach-type", EINVAL, "attach_type", "one that programs of the type can have",
    "load the program with the expected attach type that it will be attached as",
)  # fmt: skip
CREATE_NO_HOOK: Final = Reason(
    "link-create/no-hook", EOPNOTSUPP, "attach_type", "a hook that this world has",
    "this world has cgroups, devices, a network namespace and socket maps",
)  # fmt: skip
CREATE_STRUCT_OPS: Final = Reason(
    "link-create/struct-ops", EINVAL, "prog_fd", "a struct_ops map with BPF_F_LINK"
)
UPDATE_FLAGS: Final = Reason("link-update/flags", EINVAL, "flags", "0 or BPF_F_REPLACE")
UPDATE_OLD_PROGRAM: Final = Reason(
    "link-update/old-program", EINVAL, "old_prog_fd", "0 unless flags has BPF_F_REPLACE"
)
LINK_STAYS: Final = Reason(
    "link-detach/kind", EOPNOTSUPP, "link_fd", "a link that can be detached",
    "close its last descriptor and remove its pins instead",
)  # fmt: skip
LINK_FIXED: Final = Reason(
    "link-update/kind", EINVAL, "link_fd", "a link whose program can be replaced",
    "make a new link with the new program, then close this one",
)  # fmt: skip
