"""Reasons why PROG_LOAD, other commands on programs, BTF_LOAD and ENABLE_STATS refuse a call.

What the verifier itself refuses has a rule, see docs/reference/rules; this is what comes before it.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_prog_load, bpf_prog_load_check_attach),
kernel/bpf/verifier.c (process_fd_array, check_btf_info), kernel/bpf/btf.c (btf_new_fd, btf_parse).
"""

from errno import E2BIG, EACCES, EEXIST, EFAULT, EINVAL, ELOOP, ENOENT, EOPNOTSUPP
from typing import Final

from skep.uapi.commands import ENOTSUPP
from skep.uapi.reason import Reason

FLAGS: Final = Reason(
    "prog-load/prog-flags", EINVAL, "prog_flags", "bits 0 to 7, and TOKEN_FD, bit 16"
)
INSN_COUNT: Final = Reason("prog-load/insn-cnt", E2BIG, "insn_cnt", "1 to 1000000 instructions")
TARGET_FD: Final = Reason(
    "prog-load/attach-prog-fd",
    EINVAL,
    "attach_prog_fd",
    "0, or a descriptor of a program or of BTF",
)
TARGET_BTF: Final = Reason(
    "prog-load/attach-btf",
    ENOTSUPP,
    "attach_prog_fd",
    "the BTF of a kernel or of a module",
    "to extend a program, give the descriptor of the program itself",
)
TARGET_NO_TYPES: Final = Reason(
    "prog-load/no-kernel-btf", EINVAL, "attach_btf_id", "0, where no BTF of a kernel is in force"
)
TARGET_RANGE: Final = Reason(
    "prog-load/attach-btf-id", EINVAL, "attach_btf_id", "the id of a type, at most 0xfffff"
)
TARGET_TYPED: Final = Reason(
    "prog-load/attach-btf-id-type",
    EINVAL,
    "attach_btf_id",
    "0, unless the program is a tracing, lsm, struct_ops or ext program",
)
TARGET_WITHOUT_ID: Final = Reason(
    "prog-load/attach-btf-id-missing",
    EINVAL,
    "attach_btf_id",
    "a type of the BTF that attach_prog_fd names",
)
TARGET_PROGRAM: Final = Reason(
    "prog-load/attach-prog-type",
    EINVAL,
    "attach_prog_fd",
    "0, unless the program is a tracing or ext program",
)
ATTACH_TYPE: Final = Reason(
    "prog-load/expected-attach-type",
    EINVAL,
    "expected_attach_type",
    "an attach type of the program type",
    "docs/reference/program-types.md lists them",
)
IFINDEX: Final = Reason(
    "prog-load/prog-ifindex",
    EINVAL,
    "prog_ifindex",
    "0; the index of a device for sched_cls and xdp",
)
DEVICE_FLAGS: Final = Reason(
    "prog-load/device-flags",
    EINVAL,
    "prog_flags",
    "XDP_DEV_BOUND_ONLY, for xdp programs, and with it XDP_HAS_FRAGS",
)
OFFLOAD: Final = Reason(
    "prog-load/offload", EOPNOTSUPP, "prog_ifindex", "0: there is no device to run it"
)
PROG_TYPE: Final = Reason(
    "prog-load/prog-type",
    EINVAL,
    "prog_type",
    "the number of a program type",
    "docs/reference/program-types.md lists them",
)
PROG_NAME: Final = Reason(
    "prog-load/prog-name",
    EINVAL,
    "prog_name",
    "at most 15 letters, digits, '_' and '.', then a NUL",
)
FD_COUNT: Final = Reason("prog-load/fd-array-cnt", EINVAL, "fd_array_cnt", "less than 2^30")
FD_ARRAY: Final = Reason("prog-load/fd-array", EFAULT, "fd_array", "the address of descriptors")
PROG_BTF: Final = Reason(
    "prog-load/prog-btf", EACCES, "prog_btf_fd", "BTF that the caller loaded, not the kernel's"
)
CORE: Final = Reason(
    "prog-load/core-relo-cnt",
    EOPNOTSUPP,
    "core_relo_cnt",
    "0: the loader relocates, as libbpf does without light skeletons",
)
FUNC_SIZE: Final = Reason(
    "prog-load/func-info-size", EINVAL, "func_info_rec_size", "8 to 252, a multiple of 4"
)
LINE_SIZE: Final = Reason(
    "prog-load/line-info-size", EINVAL, "line_info_rec_size", "16 to 252, a multiple of 4"
)
FUNC_TAIL: Final = Reason(
    "prog-load/func-info-tail",
    E2BIG,
    "func_info_rec_size",
    "records whose bytes beyond the 8 known are zero",
    text="nonzero tailing record in func_info",
)
LINE_TAIL: Final = Reason(
    "prog-load/line-info-tail",
    E2BIG,
    "line_info_rec_size",
    "records whose bytes beyond the 16 known are zero",
    text="nonzero tailing record in line_info",
)
FUNC_COUNT: Final = Reason(
    "prog-load/func-info-cnt", EINVAL, "func_info_cnt", "at most one for each instruction"
)
LINE_COUNT: Final = Reason(
    "prog-load/line-info-cnt", EINVAL, "line_info_cnt", "at most one for each instruction"
)
LINE_NAMES: Final = Reason(
    "prog-load/line-info-names", EINVAL, "line_info", "offsets of strings in the program's BTF"
)
OWNER: Final = Reason(
    "prog-load/map-owner",
    EINVAL,
    "",
    "program arrays that belong to programs of this kind: type, frags, attach type",
    "the first program that uses a program array, or is put into it, decides",
)

BIND_FLAGS: Final = Reason("prog-bind-map/flags", EINVAL, "flags", "0")

ASSOC_FLAGS: Final = Reason("prog-assoc-struct-ops/flags", EINVAL, "flags", "0")
ASSOC_MAP: Final = Reason(
    "prog-assoc-struct-ops/map-type", EINVAL, "map_fd", "the descriptor of a struct_ops map"
)
ASSOC: Final = Reason(
    "prog-assoc-struct-ops/kernel",
    EOPNOTSUPP,
    "map_fd",
    "no struct_ops map: there is no kernel that calls them",
)

BTF_FLAGS: Final = Reason("btf-load/btf-flags", EINVAL, "btf_flags", "0 or TOKEN_FD")
BTF_SIZE: Final = Reason("btf-load/btf-size", E2BIG, "btf_size", "at most 16 MiB")
BTF_FORM: Final = Reason(
    "btf-load/form",
    EINVAL,
    "btf",
    "well-formed BTF",
    "`skep btf dump` shows what is wrong; BTF of clang and pahole is well-formed",
)
BTF_UNKNOWN: Final = Reason(
    "btf-load/unknown", ENOTSUPP, "btf", "version 1, without flags; encodings that Linux knows"
)
BTF_LARGE: Final = Reason(
    "btf-load/large", E2BIG, "btf", "at most 0xfffff types, 32 deep, and a header of known size"
)
BTF_LOOP: Final = Reason("btf-load/loop", ELOOP, "btf", "type tags and modifiers end at a type")
BTF_CYCLE: Final = Reason("btf-load/cycle", EEXIST, "btf", "no type that contains itself")
FIELDS_FORM: Final = Reason(
    "btf-load/fields", EINVAL, "btf", "structs with such special fields as an object may have",
    "lists and trees need a lock beside them and a tag contains:STRUCT:NODE",
)  # fmt: skip
FIELDS_MANY: Final = Reason(
    "btf-load/fields-many", E2BIG, "btf", "at most 11 special fields, and one of each lock or count"
)
FIELDS_OVERLAP: Final = Reason(
    "btf-load/fields-overlap", EEXIST, "btf", "special fields one after the other"
)
FIELDS_TARGET: Final = Reason(
    "btf-load/fields-target", ENOENT, "btf",
    "special fields that refer to structs and members that exist, and that the kernel can release",
)  # fmt: skip
FIELDS_MISPLACED: Final = Reason(
    "btf-load/fields-misplaced", EFAULT, "btf", "special fields that are aligned and of their size"
)
FIELDS_OWNERS: Final = Reason(
    "btf-load/fields-owners", ELOOP, "btf", "objects that do not own each other in a ring"
)

STATS_TYPE: Final = Reason("enable-stats/type", EINVAL, "type", "RUN_TIME, 0")
