"""Reasons about what a caller may do, and about descriptors, pins, tokens, info and streams.

Source: Linux 6.18 kernel/bpf/syscall.c, kernel/bpf/inode.c, kernel/bpf/token.c,
kernel/bpf/stream.c, fs/namei.c.
"""

from errno import (
    E2BIG,
    EACCES,
    EBADF,
    EBADFD,
    EEXIST,
    EFAULT,
    EINVAL,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOMEM,
    ENOSPC,
    ENOTDIR,
    EOPNOTSUPP,
    EPERM,
)
from typing import Final

from skep.uapi.commands import ENOTSUPP
from skep.uapi.reason import Reason

# --- capabilities ---------------------------------------------------------------------------------

_TOKEN_HINT: Final = "or pass a token that delegates it"  # noqa: S105 - not a secret
UNPRIVILEGED_MAP: Final = Reason(
    "capability/map-without-bpf", EPERM, "map_type",
    "CAP_BPF, where kernel.unprivileged_bpf_disabled is not 0", _TOKEN_HINT,
)  # fmt: skip
UNPRIVILEGED_PROGRAM: Final = Reason(
    "capability/program-without-bpf", EPERM, "prog_type",
    "CAP_BPF, where kernel.unprivileged_bpf_disabled is not 0", _TOKEN_HINT,
)  # fmt: skip
MAP_TYPE: Final = Reason(
    "capability/map-type", EPERM, "map_type", "the capability that maps of the type need",
    _TOKEN_HINT,
)  # fmt: skip
MAP_FIELDS: Final = Reason(
    "capability/map-fields", EPERM, "btf_value_type_id",
    "CAP_BPF, for values with locks, timers, pointers to kernel objects and the like",
)  # fmt: skip
PROGRAM_TYPE: Final = Reason(
    "capability/program-type", EPERM, "prog_type",
    "CAP_BPF, unless it is a socket filter or a cgroup_skb program", _TOKEN_HINT,
)  # fmt: skip
NETWORK_PROGRAM: Final = Reason(
    "capability/network-program", EPERM, "prog_type", "CAP_NET_ADMIN, for what shapes traffic",
    _TOKEN_HINT,
)  # fmt: skip
TRACING_PROGRAM: Final = Reason(
    "capability/tracing-program", EPERM, "prog_type", "CAP_PERFMON, for what sees the kernel",
    _TOKEN_HINT,
)  # fmt: skip
LOAD_BTF: Final = Reason("capability/load-btf", EPERM, "", "CAP_BPF", _TOKEN_HINT)
BTF_BY_ID: Final = Reason("capability/btf-by-id", EPERM, "start_id", "CAP_SYS_ADMIN", _TOKEN_HINT)
WALK_IDS: Final = Reason("capability/walk-ids", EPERM, "", "CAP_SYS_ADMIN")
COMMAND: Final = Reason("capability/command", EPERM, "", "the capability that the command needs")
ATTACH_CGROUP_SKB: Final = Reason(
    "capability/attach-cgroup-skb", EPERM, "", "CAP_NET_ADMIN, to attach what everyone may load",
)  # fmt: skip

# --- tokens ---------------------------------------------------------------------------------------

CLOSED_TOKEN: Final = Reason("token/closed", EBADF, "", "a descriptor of a token")
NO_TOKEN: Final = Reason("token/not-a-token", EINVAL, "", "a descriptor of a token")
CLOSED_MAP_TOKEN: Final = Reason(
    "token/closed-for-map", EBADF, "map_token_fd", "a descriptor of a token",
    text="Invalid map_token_fd.\n",
)  # fmt: skip
NO_MAP_TOKEN: Final = Reason(
    "token/not-a-token-for-map", EINVAL, "map_token_fd", "a descriptor of a token",
    text="Invalid map_token_fd.\n",
)  # fmt: skip
TOKEN_FLAGS: Final = Reason("token/flags", EINVAL, "flags", "0")
TOKEN_FOLDER: Final = Reason(
    "token/not-a-root", EINVAL, "bpffs_fd", "a descriptor of the root folder of a bpffs mount",
)  # fmt: skip
TOKEN_FOLDER_ACCESS: Final = Reason(
    "token/root-access", EACCES, "bpffs_fd", "a folder that the caller may search",
)  # fmt: skip
TOKEN_NAMESPACE: Final = Reason(
    "token/namespace", EPERM, "bpffs_fd",
    "a mount that belongs to the user namespace that the caller is in",
)  # fmt: skip
TOKEN_CAPABILITY: Final = Reason(
    "token/capability", EPERM, "bpffs_fd", "CAP_BPF in the user namespace of the mount",
)  # fmt: skip
TOKEN_INITIAL: Final = Reason(
    "token/initial-namespace", EOPNOTSUPP, "bpffs_fd",
    "a caller outside the initial user namespace", "in the initial one capabilities do",
)  # fmt: skip
TOKEN_NOTHING: Final = Reason(
    "token/nothing-delegated", ENOENT, "bpffs_fd",
    "a mount with delegate_cmds, delegate_maps, delegate_progs or delegate_attachs",
)  # fmt: skip

# --- paths and pins -------------------------------------------------------------------------------

PATH_EMPTY: Final = Reason("path/empty", ENOENT, "pathname", "a path")
PATH_LONG: Final = Reason("path/too-long", ENAMETOOLONG, "pathname", "less than 4096 bytes")
NAME_LONG: Final = Reason("path/name-too-long", ENAMETOOLONG, "pathname", "names up to 255 bytes")
PATH_FD: Final = Reason("path/fd-without-flag", EINVAL, "path_fd", "0 without PATH_FD")
PATH_FD_CLOSED: Final = Reason("path/fd-closed", EBADF, "path_fd", "a descriptor of a folder")
PATH_FD_FILE: Final = Reason("path/fd-not-folder", ENOTDIR, "path_fd", "a descriptor of a folder")
PATH_ABSENT: Final = Reason("path/absent", ENOENT, "pathname", "the path of what is there")
PATH_FOLDER: Final = Reason("path/not-a-folder", ENOTDIR, "pathname", "folders before the name")
PATH_LOOP: Final = Reason("path/loop", ELOOP, "pathname", "at most 40 symbolic links")
PATH_DOT: Final = Reason(
    "path/dot", EPERM, "pathname", "names without a dot", "bpffs keeps names with dots for itself",
)  # fmt: skip
PATH_SEARCH: Final = Reason(
    "path/search", EACCES, "pathname", "folders that the caller may search (x)",
)  # fmt: skip
PATH_WRITE: Final = Reason(
    "path/write-folder", EACCES, "pathname", "a folder that the caller may write to (w)",
)  # fmt: skip
PATH_EXISTS: Final = Reason("path/exists", EEXIST, "pathname", "a name that is not taken")
PATH_OPEN: Final = Reason(
    "path/open", EACCES, "pathname", "what the caller may read and write, as file_flags ask",
)  # fmt: skip
PATH_NO_OBJECT: Final = Reason("path/no-object", EACCES, "pathname", "the path of a pin")
PIN_ELSEWHERE: Final = Reason(
    "pin/not-bpffs", EPERM, "pathname", "a folder of a mount of bpffs", "there is /sys/fs/bpf",
)  # fmt: skip
PIN_FLAGS: Final = Reason("pin/flags", EINVAL, "file_flags", "PATH_FD or 0")
PIN_OBJECT: Final = Reason("pin/object", EINVAL, "bpf_fd", "a map, a program or a link")
GET_FLAGS: Final = Reason(
    "pin/get-flags", EINVAL, "file_flags", "PATH_FD, and one of RDONLY and WRONLY for maps",
)  # fmt: skip
GET_FD: Final = Reason("pin/get-fd", EINVAL, "bpf_fd", "0")
GET_LINK_FLAGS: Final = Reason(
    "pin/get-link-flags", EINVAL, "file_flags", "neither RDONLY nor WRONLY, for links",
)  # fmt: skip

# --- ids ------------------------------------------------------------------------------------------

START_ID: Final = Reason("id/range", EINVAL, "start_id", "0 to 0x7ffffffe")
OPEN_FLAGS: Final = Reason(
    "map-get-fd-by-id/open-flags", EINVAL, "open_flags", "0, RDONLY or WRONLY"
)
BTF_OPEN_FLAGS: Final = Reason("btf-get-fd-by-id/open-flags", EINVAL, "open_flags", "0 or TOKEN_FD")

# --- info -----------------------------------------------------------------------------------------

INFO_CLOSED: Final = Reason(
    "info/closed", EBADFD, "bpf_fd", "an open descriptor", "Linux answers EBADFD here, not EBADF"
)
INFO_KIND: Final = Reason(
    "info/kind", EINVAL, "bpf_fd", "a map, a program, a BTF object, a link or a token"
)
INFO_LONG: Final = Reason("info/too-long", E2BIG, "info_len", "at most 4096 bytes")
INFO_TAIL: Final = Reason(
    "info/tail", E2BIG, "info_len", "bytes of the struct beyond those known are zero",
    "the caller knows a newer Linux than 6.18",
)  # fmt: skip
INFO_POINTER: Final = Reason(
    "info/pointer", EFAULT, "info", "addresses in the struct that can be written to"
)
INFO_RECORD: Final = Reason(
    "info/record-size", EINVAL, "info", "the record sizes of Linux 6.18: 8, 16 and 8 bytes",
    "0 with a count of 0 asks for the size",
)  # fmt: skip
INFO_NO_HASH: Final = Reason("info/no-hash", EINVAL, "info", "hash of 0, except for arrays")
INFO_HASH_SIZE: Final = Reason("info/hash-size", EINVAL, "info", "hash_size of 32; of 0 without")
INFO_NOT_FROZEN: Final = Reason(
    "info/hash-not-frozen", EPERM, "info", "a frozen map, if its hash is asked for",
    "MAP_FREEZE it first: what may change has no hash",
)  # fmt: skip
INFO_NAME: Final = Reason("info/name", EINVAL, "info", "name and name_len, or neither")
INFO_NAME_ROOM: Final = Reason(
    "info/name-room", ENOSPC, "info", "a name_len above that of the name",
    "as much as fits was written, and the size that it takes",
)  # fmt: skip

# --- streams --------------------------------------------------------------------------------------

STREAM_ID: Final = Reason("stream/id", ENOENT, "stream_id", "1 (stdout) or 2 (stderr)")

# --- exclusive maps and signed programs -----------------------------------------------------------

EXCLUSIVE_MAP: Final = Reason(
    "exclusive-map/other-program", EACCES, "", "only the program whose hash the map was made with",
    "the hash is SHA-256 of the instructions, with map descriptors taken out",
    "program's hash doesn't match map's excl_prog_hash\n",
)  # fmt: skip
EXCLUSIVE_INNER: Final = Reason(
    "exclusive-map/in-a-map", ENOTSUPP, "", "maps that are for every program",
)  # fmt: skip
SIGNATURE_SIZE: Final = Reason("signature/size", EINVAL, "signature_size", "at most 8192 bytes")
SIGNATURE_KEYRING: Final = Reason(
    "signature/keyring", EINVAL, "keyring_id",
    "0 to 2 for the system's keyrings, or -3 to -5 for the session's and the user's",
)  # fmt: skip
SIGNATURE_MEMORY: Final = Reason(
    "signature/address", ENOMEM, "signature", "an address that can be read",
    "Linux answers ENOMEM here, not EFAULT",
)  # fmt: skip
SIGNATURE: Final = Reason(
    "signature/not-verified", EOPNOTSUPP, "signature", "0: signatures cannot be verified here",
    "a kernel without SYSTEM_DATA_VERIFICATION answers the same",
)  # fmt: skip
