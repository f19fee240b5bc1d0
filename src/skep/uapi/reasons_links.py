"""Reasons why links, PROG_ATTACH, PROG_DETACH and PROG_QUERY refuse a call.

Source: Linux 6.18 kernel/bpf/syscall.c (link_create, link_update, link_detach, bpf_prog_attach,
bpf_prog_detach, bpf_prog_query).
"""

from errno import EEXIST, EINVAL, ENOSPC, EOPNOTSUPP, EPERM
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
CREATE_UNREGISTERED: Final = Reason(
    "link-create/table-unregistered", EOPNOTSUPP, "prog_fd",
    "a structure whose tables can be put into use",
)  # fmt: skip
CREATE_TABLE_NAME: Final = Reason(
    "link-create/table-name-taken", EEXIST, "prog_fd", "a name that no table of the structure has"
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

# --- programs by themselves -----------------------------------------------------------------------

PROGRAM_TYPE: Final = Reason(
    "attach/program-type", EINVAL, "", "a program of the type that goes with the attach type"
)
ATTACH_TYPE: Final = Reason(
    "attach/type", EINVAL, "attach_type", "an attach type of PROG_ATTACH",
    "kprobes, perf events, netfilter and struct_ops are attached with LINK_CREATE",
)  # fmt: skip
ATTACH_FLAGS: Final = Reason(
    "attach/flags", EINVAL, "attach_flags", "flags that the hook knows",
    "cgroups know all; tcx and netkit REPLACE, BEFORE, AFTER, ID, LINK",
)  # fmt: skip
ATTACH_UNPLACED: Final = Reason(
    "attach/unplaced", EINVAL, "", "0: the hook has no order and no revision"
)
ATTACH_EXPECTED: Final = Reason(
    "attach/expected", EINVAL, "attach_type", "the attach type that the program was loaded for"
)
ATTACH_BY_LINK: Final = Reason(
    "attach/by-link", EINVAL, "attach_type", "a hook that takes programs without a link",
    "use LINK_CREATE",
)  # fmt: skip
DETACH_UNUSED: Final = Reason("detach/unused", EINVAL, "", "must be 0")
DETACH_TYPE: Final = Reason("detach/type", EINVAL, "attach_type", "an attach type of PROG_ATTACH")
DETACH_ANY: Final = Reason(
    "detach/any", EPERM, "attach_bpf_fd", "the program to detach, for callers without CAP_NET_ADMIN"
)
QUERY_FLAGS: Final = Reason("query/flags", EINVAL, "query_flags", "0 or BPF_F_QUERY_EFFECTIVE")
QUERY_TYPE: Final = Reason("query/type", EINVAL, "attach_type", "an attach type that has a query")
QUERY_ROOM: Final = Reason(
    "query/room", ENOSPC, "prog_cnt", "room for all programs",
    "prog_cnt holds how many there are: ask again with that much room",
)  # fmt: skip
