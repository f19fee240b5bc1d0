"""Reasons why MAP_CREATE and MAP_FREEZE refuse a call.

Source: Linux 6.18 kernel/bpf/syscall.c (map_create, map_check_btf, map_freeze), and the
``map_alloc_check``, ``map_alloc`` and ``map_check_btf`` of each map type.
"""

from errno import E2BIG, EACCES, EBADF, EINVAL, ENOMEM, EOPNOTSUPP, EPERM, ERANGE
from typing import Final

from skep.uapi.commands import ENOTSUPP
from skep.uapi.reason import Reason

_VMLINUX: Final = "btf_vmlinux_value_type_id"
_PAGE: Final = "docs/reference/map-types.md has the sizes and flags of each map type"

CREATE_UNUSED: Final = Reason(
    "map-create/unused-bytes", EINVAL, "", "bytes beyond excl_prog_hash_size are zero",
    "clear the attr before filling it in", "Invalid attr.\n",
)  # fmt: skip
CREATE_KERNEL_TYPE: Final = Reason(
    "map-create/kernel-type", EINVAL, _VMLINUX, "0, unless the map is a struct_ops",
    text=f"{_VMLINUX} can only be used with struct_ops maps.\n",
)  # fmt: skip
CREATE_KERNEL_TYPE_ALONE: Final = Reason(
    "map-create/kernel-type-alone", EINVAL, _VMLINUX,
    "0, or btf_key_type_id and btf_value_type_id are 0",
    text=f"{_VMLINUX} is mutually exclusive with btf_key_type_id and btf_value_type_id.\n",
)  # fmt: skip
CREATE_KEY_TYPE_ALONE: Final = Reason(
    "map-create/key-type-alone", EINVAL, "btf_key_type_id",
    "0, or btf_value_type_id is given as well", text="Invalid btf_value_type_id.\n",
)  # fmt: skip
CREATE_MAP_EXTRA: Final = Reason(
    "map-create/map-extra", EINVAL, "map_extra",
    "0, unless the map is a bloom filter or an arena",
    "map_extra is the number of hash functions of a bloom filter, the address of an arena",
    "Invalid map_extra.\n",
)  # fmt: skip
CREATE_ARENA_PAGE: Final = Reason(
    "map-create/arena-page", EINVAL, "map_extra", "the address of a page: where user space maps it"
)
CREATE_ARENA_SPAN: Final = Reason(
    "map-create/arena-span", ERANGE, "map_extra",
    "an address from which on all pages have the same upper 32 bits",
)  # fmt: skip
CREATE_BLOOM_HASHES: Final = Reason(
    "map-create/bloom-hashes", EINVAL, "map_extra", "at most 15 hash functions; 0 stands for 5"
)
CREATE_NUMA_NODE: Final = Reason(
    "map-create/numa-node", EINVAL, "numa_node", "0, the one node there is, or -1 for any",
    text="Invalid numa_node.\n",
)  # fmt: skip
CREATE_ACCESS: Final = Reason(
    "map-create/access", EINVAL, "map_flags", "RDONLY or WRONLY, not both",
    "without either, the descriptor may read and write",
)  # fmt: skip
CREATE_MAP_TYPE: Final = Reason(
    "map-create/map-type", EINVAL, "map_type", "the number of a map type",
    "docs/reference/map-types.md lists them", "Invalid map_type.\n",
)  # fmt: skip
CREATE_MAP_NAME: Final = Reason(
    "map-create/map-name", EINVAL, "map_name",
    "at most 15 letters, digits, '_' and '.', then a NUL", text="Invalid map_name.\n",
)  # fmt: skip
CREATE_IFINDEX: Final = Reason(
    "map-create/map-ifindex",
    EINVAL,
    "map_ifindex",
    "0; for a plain array or hash also the index of a device",
)
CREATE_OFFLOAD: Final = Reason(
    "map-create/offload", EOPNOTSUPP, "map_ifindex", "0, or a device that can hold maps"
)
CREATE_NO_BTF: Final = Reason(
    "map-create/btf-not-open",
    EBADF,
    "btf_fd",
    "an open descriptor of a BTF object",
    text="Invalid btf_fd.\n",
)
CREATE_OTHER_BTF: Final = Reason(
    "map-create/btf-other-kind",
    EINVAL,
    "btf_fd",
    "a descriptor of a BTF object",
    text="Invalid btf_fd.\n",
)
CREATE_EXCLUSIVE_SIZE: Final = Reason(
    "map-create/excl-prog-hash-size", EINVAL, "excl_prog_hash_size",
    "32 with excl_prog_hash, a SHA-256; 0 without", text="Invalid excl_prog_hash_size.\n",
)  # fmt: skip

CREATE_ENTRIES_ZERO: Final = Reason(
    "map-create/entries-zero", EINVAL, "max_entries", "at least 1", _PAGE
)
CREATE_ENTRIES_SET: Final = Reason(
    "map-create/entries-set", EINVAL, "max_entries",
    "0: storage hangs on its owners, however many they are",
)  # fmt: skip
CREATE_ENTRIES_RING: Final = Reason(
    "map-create/entries-ring", EINVAL, "max_entries",
    "the bytes of a ring: whole pages, and a power of two",
)  # fmt: skip
CREATE_ENTRIES_RANGE: Final = Reason(
    "map-create/entries-range", EINVAL, "max_entries", "as many as the map type can number", _PAGE
)
CREATE_ENTRIES_MANY: Final = Reason(
    "map-create/entries-many", E2BIG, "max_entries", "as many as the map type has room for", _PAGE
)
CREATE_ENTRIES_TABLE: Final = Reason(
    "map-create/entries-table", EINVAL, "max_entries", "1: a struct_ops map is one table"
)
CREATE_TABLE_TYPE: Final = Reason(
    "map-create/table-type", EINVAL, _VMLINUX, "the kernel's type that wraps the structure",
    "it is called bpf_struct_ops_ and the structure's name",
)  # fmt: skip
CREATE_TABLE_UNKNOWN: Final = Reason(
    "map-create/table-unknown", ENOTSUPP, _VMLINUX,
    "the type that wraps a structure whose functions programs may fill",
)  # fmt: skip
CREATE_KEY_SIZE: Final = Reason(
    "map-create/key-size", EINVAL, "key_size", "the size that keys of the map type have", _PAGE
)
CREATE_KEY_LONG: Final = Reason("map-create/key-long", E2BIG, "key_size", "at most 512")
CREATE_VALUE_SIZE: Final = Reason(
    "map-create/value-size", EINVAL, "value_size", "a size that values of the map type may have",
    _PAGE,
)  # fmt: skip
CREATE_VALUE_LONG: Final = Reason(
    "map-create/value-long", E2BIG, "value_size", "as much as the map type can hold", _PAGE
)
CREATE_FLAGS: Final = Reason(
    "map-create/map-flags", EINVAL, "map_flags", "flags that the map type takes", _PAGE
)
CREATE_LRU_PREALLOC: Final = Reason(
    "map-create/lru-prealloc", ENOTSUPP, "map_flags",
    "no NO_PREALLOC: the elements of an LRU map are there from the start",
)  # fmt: skip
CREATE_MEMORY: Final = Reason(
    "map-create/memory", ENOMEM, "max_entries", "a map that fits into the memory of this machine"
)
CREATE_LIMIT: Final = Reason(
    "map-create/memory-limit", ENOMEM, "max_entries",
    "maps that together hold no more than the subsystem allows them",
    "close maps, make smaller ones, or raise Subsystem(map_memory=…)",
)  # fmt: skip
CREATE_STORAGE_TYPES: Final = Reason(
    "map-create/storage-types", EINVAL, "btf_value_type_id",
    "types of key and value: storage needs them",
)  # fmt: skip
CREATE_INNER: Final = Reason(
    "map-create/inner-map", EBADF, "inner_map_fd", "a descriptor of the map that inner maps are as"
)
CREATE_INNER_NESTED: Final = Reason(
    "map-create/inner-nested", EINVAL, "inner_map_fd", "a map that is no map of maps itself"
)
CREATE_INNER_TYPE: Final = Reason(
    "map-create/inner-type",
    ENOTSUPP,
    "inner_map_fd",
    "no program array, no storage of cgroups and no struct_ops map",
)

CREATE_KERNEL_BTF: Final = Reason(
    "map-create/kernel-btf", EACCES, "btf_fd", "BTF that the caller loaded, not the kernel's"
)
CREATE_KEY_TYPE: Final = Reason(
    "map-create/key-type", EINVAL, "btf_key_type_id", "a type of key_size bytes",
    "the declaration of the map and its BTF disagree: compile again",
)  # fmt: skip
CREATE_VALUE_TYPE: Final = Reason(
    "map-create/value-type", EINVAL, "btf_value_type_id", "a type of value_size bytes",
    "the declaration of the map and its BTF disagree: compile again",
)  # fmt: skip
CREATE_KEY_TYPE_MISSING: Final = Reason(
    "map-create/key-type-missing", EINVAL, "btf_key_type_id", "the type of the keys",
    "only arrays, bloom filters and arenas may have a value type alone",
)  # fmt: skip
CREATE_NO_TYPES: Final = Reason(
    "map-create/no-types", ENOTSUPP, "btf_fd", "no BTF for maps of this type",
    "libbpf leaves it away for them; so must who calls bpf(2) directly",
)  # fmt: skip
CREATE_BLOOM_KEY: Final = Reason(
    "map-create/bloom-key", EINVAL, "btf_key_type_id", "0: bloom filters have no keys"
)
CREATE_TRIE_KEY: Final = Reason(
    "map-create/trie-key", EINVAL, "btf_key_type_id", "a struct: prefix length, then data"
)
CREATE_ARRAY_KEY: Final = Reason(
    "map-create/array-key", EINVAL, "btf_key_type_id",
    "an integer of 32 bits; 0 only for an array of one data section",
)  # fmt: skip
CREATE_SPECIAL_ACCESS: Final = Reason(
    "map-create/special-access", EACCES, "map_flags",
    "neither RDONLY_PROG nor WRONLY_PROG: values have fields that helpers change",
)  # fmt: skip
CREATE_SPECIAL: Final = Reason(
    "map-create/special", EOPNOTSUPP, "btf_value_type_id",
    "values with such special fields as the map type may hold",
    "docs/reference/map-types.md says which those are",
)  # fmt: skip

CREATE_UPTR: Final = Reason(
    "map-create/uptr", EINVAL, "btf_value_type_id",
    "uptrs that point to structs of the program, of a size",
)  # fmt: skip
CREATE_UPTR_LARGE: Final = Reason(
    "map-create/uptr-large", E2BIG, "btf_value_type_id", "uptrs to structs that fit into a page"
)

FREEZE_TYPE: Final = Reason(
    "map-freeze/map-type", ENOTSUPP, "map_fd", "a map that is no struct_ops map"
)
FREEZE_ACCESS: Final = Reason("map-freeze/access", EPERM, "map_fd", "a descriptor that may write")
FREEZE_AGAIN: Final = Reason("map-freeze/again", EPERM, "map_fd", "a map that is not frozen")
