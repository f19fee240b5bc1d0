"""Drivers: MAP_CREATE and MAP_FREEZE."""

from unittest.mock import patch

from contract.refusals.bench import NO_FD, Bench, Driver, Drivers, btf_bytes, words
from contract.refusals.tables import make as table
from skep.maps import creation
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi import reasons_maps as reasons
from support.special_types import SpecialTypes

HASH, ARRAY, CPUMAP, TRIE, SOCKMAP, SOCKHASH, STORAGE, BLOOM = 1, 2, 16, 11, 15, 18, 29, 30
NO_PREALLOC, RDONLY, WRONLY, RDONLY_PROG = 1, 1 << 3, 1 << 4, 1 << 7
LOCAL = 1  # the loop-back interface
SIZES = {"map_type": ARRAY, "key_size": 4, "value_size": 8, "max_entries": 4}

# types: 1 int, 2 struct bpf_spin_lock {int}, 3 struct {bpf_spin_lock; int}
LOCKED = btf_bytes(
    words(1, 1 << 24, 4, 32)
    + words(5, 4 << 24 | 1, 4, 19, 1, 0)
    + words(23, 4 << 24 | 2, 8, 19, 2, 0, 19, 1, 32),
    b"\0int\0bpf_spin_lock\0val\0value\0",
)


# types: 1 int of 8 bytes, 2 struct {}
OTHERS = btf_bytes(words(1, 1 << 24, 8, 64) + words(0, 4 << 24, 0), b"\0long\0")


def arena(**members: int | bytes) -> Driver:
    """A driver: MAP_CREATE of a good arena, but for *members*."""
    good = {"map_type": 33, "key_size": 0, "value_size": 0, "max_entries": 2, "map_flags": 1 << 10}
    return lambda bench: bench.call(commands.MAP_CREATE, **{**SIZES, **good, **members})


def create(**members: int | bytes) -> Driver:
    """A driver: MAP_CREATE of a good array, but for *members*."""
    return lambda bench: bench.call(commands.MAP_CREATE, **{**SIZES, **members})


def crowded(bench: Bench) -> None:
    """One array more than there is room for."""
    bench.subsystem = Subsystem(map_memory=3000)
    while bench.call(commands.MAP_CREATE, **SIZES) >= 0:
        pass


def typed(**members: int | bytes) -> Driver:
    """The same, of an array of int with BTF."""

    def drive(bench: Bench) -> None:
        known = {"value_size": 4, "btf_fd": bench.btf(), "btf_key_type_id": 1,
                 "btf_value_type_id": 1}  # fmt: skip
        create(**{**known, **members})(bench)

    return drive


def locked(**members: int | bytes) -> Driver:
    """The same, of an array whose values have a lock."""

    def drive(bench: Bench) -> None:
        bench.good(bench.load_btf(LOCKED))
        fd = bench.result
        create(btf_fd=fd, btf_key_type_id=1, btf_value_type_id=3, **members)(bench)

    return drive


def pointing(size: int) -> Driver:
    """MAP_CREATE of task storage whose values have a uptr to a struct of *size* bytes."""

    def drive(bench: Bench) -> None:
        types = SpecialTypes()
        types.struct("pointee", ["int"] if size else [], size)
        value = types.struct("value", ["uptr*pointee"])
        fd = bench.good(bench.load_btf(types.to_bytes()))
        create(map_type=STORAGE, max_entries=0, map_flags=NO_PREALLOC, btf_fd=fd,
               btf_key_type_id=types.ids["int"], btf_value_type_id=value)(bench)  # fmt: skip

    return drive


def other_types(**members: int | bytes) -> Driver:
    """The same, with the types of ``OTHERS``."""

    def drive(bench: Bench) -> None:
        fd = bench.good(bench.load_btf(OTHERS))
        create(**{"btf_fd": fd, "btf_key_type_id": 1, "btf_value_type_id": 1, **members})(bench)

    return drive


def kernel_btf(bench: Bench) -> None:
    assert bench.subsystem.state.kernel_btf is not None
    number = bench.subsystem.state.kernel_btf_id
    fd = bench.good(bench.call(commands.BTF_GET_FD_BY_ID, start_id=number))
    create(btf_fd=fd, btf_key_type_id=1, btf_value_type_id=1)(bench)


def nested(bench: Bench) -> None:
    inner = bench.good(create(map_type=12, value_size=4, inner_map_fd=bench.array())(bench))
    create(map_type=12, value_size=4, inner_map_fd=inner)(bench)


def frozen_twice(bench: Bench) -> None:
    fd = bench.array()
    bench.good(bench.call(commands.MAP_FREEZE, map_fd=fd))
    bench.call(commands.MAP_FREEZE, map_fd=fd)


def freeze_struct_ops(bench: Bench) -> None:
    bench.call(commands.MAP_FREEZE, map_fd=bench.good(table(bench)))


def small_machine(bench: Bench) -> None:
    with patch.object(creation, "PHYSICAL_MEMORY", 1 << 20):
        create(max_entries=1 << 20)(bench)


DRIVERS: Drivers = {
    reasons.CREATE_UNUSED: lambda bench: bench.raw(0, bytes(160) + b"\1"),
    reasons.CREATE_KERNEL_TYPE: create(btf_vmlinux_value_type_id=1),
    reasons.CREATE_KERNEL_TYPE_ALONE: create(
        map_type=26, btf_vmlinux_value_type_id=1, btf_value_type_id=1
    ),
    reasons.CREATE_KEY_TYPE_ALONE: create(btf_key_type_id=1),
    reasons.CREATE_MAP_EXTRA: create(map_extra=1),
    reasons.CREATE_ARENA_PAGE: arena(map_extra=100),
    reasons.CREATE_ARENA_SPAN: arena(map_extra=0xFFFF_F000),
    reasons.CREATE_BLOOM_HASHES: create(map_type=BLOOM, key_size=0, map_extra=16),
    reasons.CREATE_NUMA_NODE: create(map_flags=1 << 2, numa_node=7777),
    reasons.CREATE_ACCESS: create(map_flags=RDONLY | WRONLY),
    reasons.CREATE_MAP_TYPE: create(map_type=999),
    reasons.CREATE_MAP_NAME: create(map_name=b"a b"),
    reasons.CREATE_IFINDEX: create(map_ifindex=0x7FFF_0000),
    reasons.CREATE_OFFLOAD: create(map_ifindex=LOCAL),
    reasons.CREATE_NO_BTF: create(btf_fd=NO_FD, btf_key_type_id=1, btf_value_type_id=1),
    reasons.CREATE_OTHER_BTF: lambda bench: create(
        btf_fd=bench.array(), btf_key_type_id=1, btf_value_type_id=1
    )(bench),
    reasons.CREATE_EXCLUSIVE_SIZE: create(excl_prog_hash_size=32),
    reasons.CREATE_LIMIT: crowded,
    reasons.CREATE_ENTRIES_ZERO: create(max_entries=0),
    reasons.CREATE_ENTRIES_SET: create(map_type=STORAGE, map_flags=NO_PREALLOC),
    reasons.CREATE_ENTRIES_RING: create(map_type=27, key_size=0, value_size=0, max_entries=5000),
    reasons.CREATE_ENTRIES_RANGE: create(map_type=SOCKMAP, max_entries=1 << 31),
    reasons.CREATE_ENTRIES_MANY: create(map_type=CPUMAP, max_entries=8193),
    reasons.CREATE_KEY_SIZE: create(key_size=5),
    reasons.CREATE_KEY_LONG: create(map_type=SOCKHASH, key_size=513),
    reasons.CREATE_VALUE_SIZE: create(value_size=0),
    reasons.CREATE_VALUE_LONG: create(map_type=HASH, value_size=1 << 24),
    reasons.CREATE_FLAGS: create(map_flags=1 << 31),
    reasons.CREATE_LRU_PREALLOC: create(map_type=9, map_flags=NO_PREALLOC),
    reasons.CREATE_MEMORY: small_machine,
    reasons.CREATE_STORAGE_TYPES: create(map_type=STORAGE, map_flags=NO_PREALLOC, max_entries=0),
    reasons.CREATE_INNER: create(map_type=12, value_size=4, inner_map_fd=NO_FD),
    reasons.CREATE_INNER_NESTED: nested,
    reasons.CREATE_INNER_TYPE: lambda bench: create(
        map_type=12, value_size=4, inner_map_fd=bench.good(bench.map(3, 4, 4))
    )(bench),
    reasons.CREATE_KERNEL_BTF: kernel_btf,
    reasons.CREATE_KEY_TYPE: typed(map_type=HASH, key_size=8),
    reasons.CREATE_VALUE_TYPE: typed(value_size=8),
    reasons.CREATE_KEY_TYPE_MISSING: typed(map_type=HASH, btf_key_type_id=0),
    reasons.CREATE_NO_TYPES: typed(map_type=4),
    reasons.CREATE_BLOOM_KEY: other_types(map_type=BLOOM, key_size=0, btf_key_type_id=2),
    reasons.CREATE_TRIE_KEY: other_types(map_type=TRIE, key_size=8, map_flags=NO_PREALLOC),
    reasons.CREATE_ARRAY_KEY: typed(btf_key_type_id=0),
    reasons.CREATE_SPECIAL_ACCESS: locked(map_flags=RDONLY_PROG),
    reasons.CREATE_SPECIAL: locked(map_type=9),
    reasons.CREATE_UPTR: pointing(0),
    reasons.CREATE_UPTR_LARGE: pointing(8192),
    reasons.FREEZE_TYPE: freeze_struct_ops,
    reasons.FREEZE_ACCESS: lambda bench: bench.call(
        commands.MAP_FREEZE, map_fd=bench.array(RDONLY)
    ),
    reasons.FREEZE_AGAIN: frozen_twice,
}
