"""Reasons why the commands on elements of maps, one or a batch, refuse a call.

Source: Linux 6.18 kernel/bpf/syscall.c (map_lookup_elem, …, generic_map_*_batch), and the
operations of each map type.
"""

from errno import (
    E2BIG,
    EBADF,
    EBUSY,
    EEXIST,
    EFAULT,
    EINPROGRESS,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOMEM,
    ENOSPC,
    ENOTSOCK,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
)
from typing import Final

from skep.uapi.commands import ENOTSUPP
from skep.uapi.reason import Reason

NOT_READABLE: Final = Reason(
    "element/map-not-readable", EPERM, "map_fd", "a descriptor that may read",
    "it was opened with WRONLY, or the map was made so",
)  # fmt: skip
NOT_WRITABLE: Final = Reason(
    "element/map-not-writable", EPERM, "map_fd", "a descriptor that may write",
    "it was opened with RDONLY, or the map was made so",
)  # fmt: skip
FROZEN: Final = Reason(
    "element/map-frozen", EPERM, "map_fd", "a map that is not frozen",
    "MAP_FREEZE is for good; make a new map",
)  # fmt: skip
NO_KEY: Final = Reason("element/no-key", EINVAL, "key", "0: maps of this type have no keys")
KEY_NULL: Final = Reason("element/key-null", EFAULT, "key", "the address of a key")
READ_FLAGS: Final = Reason("element/read-flags", EINVAL, "flags", "0 or F_LOCK")
FLAGS: Final = Reason(
    "element/flags", EINVAL, "flags",
    "ANY (0), NOEXIST (1) or EXIST (2), as the map type takes them, and F_LOCK",
)  # fmt: skip
NO_LOCK: Final = Reason(
    "element/no-lock", EINVAL, "flags", "F_LOCK only for values with a bpf_spin_lock",
    "give the map BTF types, and its value a struct bpf_spin_lock",
)  # fmt: skip
POP_FLAGS: Final = Reason("element/pop-flags", EINVAL, "flags", "0 for queues and stacks")
SLOT_FLAGS: Final = Reason("element/slot-flags", EINVAL, "flags", "0 for maps of descriptors")

ABSENT: Final = Reason("element/absent", ENOENT, "key", "a key that is in the map")
LAST: Final = Reason(
    "element/last", ENOENT, "key", "a key before the last", "the walk is at its end"
)
PRESENT: Final = Reason("element/present", EEXIST, "flags", "ANY or EXIST: the element is there")
FULL: Final = Reason(
    "element/map-full", E2BIG, "key", "a key that is in the map, or room for another",
    "make the map with more max_entries, or use an LRU map",
)  # fmt: skip
PAST_END: Final = Reason("element/past-end", E2BIG, "key", "an index below max_entries")
PAST_END_DELETE: Final = Reason(
    "element/past-end-delete", EINVAL, "key", "an index below max_entries"
)
TRIE_FULL: Final = Reason(
    "element/trie-full", ENOSPC, "key", "a prefix that is in the trie, or room for another",
    "make the map with more max_entries",
)  # fmt: skip
NO_MEMORY: Final = Reason("element/no-memory", ENOMEM, "", "memory for another element")
BAD_KEY: Final = Reason(
    "element/bad-key", EINVAL, "key", "a prefix length of at most the bits of the key's data"
)
NOT_DELETABLE: Final = Reason(
    "element/not-deletable", EINVAL, "key", "a map whose elements can be removed",
    "elements of arrays are always there; write zeros instead",
)  # fmt: skip

# what maps of a type do not do at all; the errno depends on the type
NO_OPERATION: Final = Reason(
    "element/no-operation", ENOTSUPP, "map_fd", "a map type that has the operation"
)
NO_OPERATION_KEYLESS: Final = Reason(
    "element/no-operation-keyless", EINVAL, "map_fd", "a map type that has the operation"
)
NO_OPERATION_OPAQUE: Final = Reason(
    "element/no-operation-opaque", EOPNOTSUPP, "map_fd", "a map type that has the operation"
)

TABLE_HOLES: Final = Reason(
    "element/table-holes", EINVAL, "value", "zeros where the structure has no members"
)
TABLE_STATE: Final = Reason(
    "element/table-state", EINVAL, "value", "zeros for the count of references and the state"
)
TABLE_FILLED: Final = Reason("element/table-filled", EBUSY, "map_fd", "a table that is empty yet")
TABLE_GOING: Final = Reason(
    "element/table-going", EINPROGRESS, "map_fd", "a table that is in use: it is going already"
)
TABLE_LINKED: Final = Reason(
    "element/table-linked", EOPNOTSUPP, "map_fd",
    "a table without BPF_F_LINK: the link takes it out of use",
)  # fmt: skip
TABLE_NAME: Final = Reason(
    "element/table-name", EINVAL, "value", "a name of letters, digits, _ and ., that a NUL ends"
)
TABLE_NAME_TAKEN: Final = Reason(
    "element/table-name-taken", EEXIST, "value", "a name that no table of the structure has"
)
TABLE_MEMBER: Final = Reason(
    "element/table-member", EINVAL, "value", "0 in members that are no functions"
)
TABLE_PROGRAM: Final = Reason(
    "element/table-program", EINVAL, "value",
    "struct_ops programs that were loaded for the structure and the member",
)  # fmt: skip
TABLE_REQUIRED: Final = Reason(
    "element/table-required", EINVAL, "value", "all functions that the structure cannot do without"
)
TABLE_UNREGISTERED: Final = Reason(
    "element/table-unregistered", EOPNOTSUPP, "value",
    "a structure whose tables can be put into use",
)  # fmt: skip
SLOT_FD: Final = Reason(
    "element/slot-fd", EBADF, "value", "the descriptor of something that the map can hold"
)
SLOT_CLOSED: Final = Reason(
    "element/slot-closed", EBADF, "map_fd", "a map that stays open while the command runs"
)
SLOT_PROGRAM: Final = Reason(
    "element/slot-program", EINVAL, "value",
    "a program of the kind that the map belongs to: type, frags, attach type",
    "the first program that uses the map, or is put into it, decides",
)  # fmt: skip
SLOT_EXTENSION: Final = Reason(
    "element/slot-extension", EINVAL, "value", "a program that takes no other's place"
)
SLOT_EXTENDED: Final = Reason(
    "element/slot-extended", EBUSY, "value", "a program none of whose functions is replaced",
    "close the link of the extension first",
)  # fmt: skip
SLOT_TRACED: Final = Reason(
    "element/slot-traced", EOPNOTSUPP, "value", "a program none of whose functions is traced",
    "tail calls would not pass what traces it; close the links of what does first",
)  # fmt: skip
SLOT_SHAPE: Final = Reason(
    "element/slot-shape", EINVAL, "value",
    "a map of the same type, sizes and flags as inner_map_fd in MAP_CREATE",
)  # fmt: skip
SOCKET_RANGE: Final = Reason(
    "element/socket-range", EINVAL, "value", "a descriptor: 0 to 0x7fffffff"
)
SOCKET: Final = Reason(
    "element/socket", EBADF, "value", "the descriptor of a socket, of which a world has none"
)
COOKIE: Final = Reason(
    "element/cookie", ENOSPC, "map_fd", "a map with 8 bytes of value: that is what a cookie takes"
)
NO_SOCKET_FD: Final = Reason(
    "element/not-a-socket", ENOTSOCK, "value", "the descriptor of a socket"
)
NO_SOCKET: Final = Reason("element/no-socket", EINVAL, "key", "an index where a socket stands")
CGROUP: Final = Reason(
    "element/cgroup", EBADF, "value", "the descriptor of a cgroup, of which a world has none"
)
STACK_PUT: Final = Reason(
    "element/stack-put",
    EINVAL,
    "map_fd",
    "a map that the caller may fill; only programs put stacks in",
)
STORAGE_OWNER: Final = Reason(
    "element/storage-owner", EBADF, "key", "the descriptor of an owner, of which a world has none"
)
STORAGE_STAYS: Final = Reason(
    "element/storage-stays", EINVAL, "map_fd", "a map whose elements can be removed",
    "storage of a cgroup goes with the cgroup",
)  # fmt: skip
DEVICE: Final = Reason("element/device", EINVAL, "value", "the index of an interface")
DEVICE_PROGRAM: Final = Reason(
    "element/device-program", EOPNOTSUPP, "value",
    "no program in the second half of the value: skep does not run them there",
)  # fmt: skip
QUEUE_LONG: Final = Reason("element/queue-long", EOVERFLOW, "value", "a queue of at most 16384")
NO_CPU: Final = Reason("element/no-cpu", ENODEV, "key", "the number of a CPU of this world")
BATCH_TYPE: Final = Reason(
    "batch/map-type", ENOTSUPP, "map_fd", "a map type that has the batch command"
)
BATCH_ELEM_FLAGS: Final = Reason("batch/elem-flags", EINVAL, "elem_flags", "0 or F_LOCK")
BATCH_FLAGS: Final = Reason("batch/flags", EINVAL, "flags", "0")
BATCH_POSITION: Final = Reason(
    "batch/position", ENOENT, "in_batch", "0, or what out_batch gave", "the walk is at its end"
)
BATCH_END: Final = Reason(
    "batch/end", ENOENT, "count", "fewer than the elements that are left",
    "count says how many there were; the walk is at its end",
)  # fmt: skip
BATCH_BUCKET: Final = Reason(
    "batch/bucket", ENOSPC, "count", "as many as one bucket of the hash holds",
    "ask again with a greater count",
)  # fmt: skip
