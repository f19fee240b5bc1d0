"""MAP_CREATE, MAP_FREEZE and the commands on one element.

Source: Linux 6.18 kernel/bpf/syscall.c (map_create, map_lookup_elem, map_update_elem, …).
"""

import re
from errno import EBUSY, EFAULT, EINVAL, EOPNOTSUPP, EPERM
from typing import Final

from skep.maps.creation import Creation
from skep.maps.families import create_map
from skep.maps.interface import Map
from skep.syscall.call import Call
from skep.syscall.held import holder_for
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import BtfObject, State
from skep.syscall.values import special_fields
from skep.uapi.commands import ENOTSUPP, MapCreate, MapElem, MapFreeze
from skep.uapi.flags import MapType

VALID_NAME: Final = re.compile(rb"[A-Za-z0-9_.]*\0*")
UPDATE_LOCK: Final = 4
RDONLY: Final = 1 << 3
WRONLY: Final = 1 << 4
NUMA_NODE: Final = 1 << 2
STRUCT_OPS: Final = MapType.STRUCT_OPS
MAP_OF_MAPS: Final = frozenset({MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS})
NO_KEYS: Final = frozenset({MapType.QUEUE, MapType.STACK, MapType.BLOOM_FILTER})
NO_ELEMENTS: Final = frozenset({MapType.RINGBUF, MapType.USER_RINGBUF, MapType.ARENA})
NOT_FREEZABLE: Final = frozenset({MapType.STRUCT_OPS})


def create(state: State, call: Call[MapCreate]) -> int:
    """MAP_CREATE: a map, and a descriptor for it."""
    attr = call.attr
    check_create(call)
    name = attr.map_name.rstrip(b"\0").decode("ascii")
    inner, holds = _inner_map(state, call)
    btf, btf_holds = _value_btf(state, call)
    special, lock_offset = special_fields(btf, attr.btf_value_type_id)
    holder = holder_for(state, attr.map_type)
    map_ = create_map(
        Creation(
            map_type=attr.map_type, key_size=attr.key_size, value_size=attr.value_size,
            max_entries=attr.max_entries, map_flags=attr.map_flags, map_extra=attr.map_extra,
            name=name, library=state.engine.library, cpus=state.world.cpus,
            btf=btf.btf if btf else None, btf_key_type_id=attr.btf_key_type_id,
            btf_value_type_id=attr.btf_value_type_id, special=special, lock_offset=lock_offset,
            inner=inner, resolve=holder.resolve, release=holder.release,
        )
    )  # fmt: skip
    holder.map = map_
    map_.id = state.new_id(Kind.MAP)
    holds += btf_holds
    for holding in holds:
        state.objects.take(holding)
    return state.objects.install(Kind.MAP, map_, holds, attr.map_flags & (RDONLY | WRONLY))


def check_create(call: Call[MapCreate]) -> None:
    """What MAP_CREATE checks before it looks at the map type."""
    attr = call.attr
    call.require(VALID_NAME.fullmatch(attr.map_name), EINVAL,
                 "letters, digits, '_' and '.', zero-filled", "map_name")  # fmt: skip
    call.require(len(attr.map_name.rstrip(b"\0")) < len(attr.map_name), EINVAL,
                 "at most 15 characters", "map_name")  # fmt: skip
    if attr.btf_vmlinux_value_type_id:
        call.require(attr.map_type == STRUCT_OPS, EINVAL, "only for struct_ops maps",
                     "btf_vmlinux_value_type_id")  # fmt: skip
    else:
        call.require(not attr.btf_key_type_id or attr.btf_value_type_id, EINVAL,
                     "needs btf_value_type_id too", "btf_key_type_id")  # fmt: skip
    node = attr.numa_node if attr.map_flags & NUMA_NODE else 0
    call.require(node == 0, EINVAL, "there is one node, 0", "numa_node")
    both = RDONLY | WRONLY
    call.require(attr.map_flags & both != both, EINVAL, "RDONLY and WRONLY exclude", "map_flags")
    call.require(not attr.map_ifindex, EOPNOTSUPP, "no device to offload to", "map_ifindex")
    call.require(not attr.excl_prog_hash and not attr.excl_prog_hash_size, EOPNOTSUPP,
                 "maps of one program are not supported yet", "excl_prog_hash_size")  # fmt: skip


def _value_btf(state: State, call: Call[MapCreate]) -> tuple[BtfObject | None, list[Holding]]:
    attr = call.attr
    if not attr.btf_key_type_id and not attr.btf_value_type_id:
        return None, []
    holding = state.objects.get(call.command.name, attr.btf_fd, Kind.BTF)
    target = holding.target
    assert isinstance(target, BtfObject)
    call.require(not target.is_kernel, EINVAL, "names the kernel's BTF", "btf_fd")
    for member, size in (("key", attr.key_size), ("value", attr.value_size)):
        type_id: int = getattr(attr, f"btf_{member}_type_id")
        if type_id:
            found = target.btf.size_of(type_id) if 0 < type_id < len(target.btf) else -1
            call.require(found == size, EINVAL, f"its size is {found}, {member}_size {size}",
                         f"btf_{member}_type_id")  # fmt: skip
    return target, [holding]


def _inner_map(state: State, call: Call[MapCreate]) -> tuple[Map | None, list[Holding]]:
    if call.attr.map_type not in MAP_OF_MAPS:
        call.require(not call.attr.inner_map_fd, EINVAL, "only for maps of maps", "inner_map_fd")
        return None, []
    holding = state.objects.get(call.command.name, call.attr.inner_map_fd, Kind.MAP)
    return as_map(holding), [holding]


def as_map(holding: Holding) -> Map:
    """The map of a holding of kind MAP."""
    return holding.target  # type: ignore[return-value]  # objects.get checked the kind


def _element_map(state: State, call: Call[MapElem], *, reads: bool, writes: bool) -> Map:
    """The map of an element command, if the descriptor's access allows it."""
    map_ = as_map(state.objects.get(call.command.name, call.attr.map_fd, Kind.MAP))
    access = state.objects.access(call.attr.map_fd)
    call.require(not reads or not access & WRONLY, EPERM, "may not be read", "map_fd")
    call.require(not writes or not access & RDONLY, EPERM, "may not be written", "map_fd")
    call.require(not writes or not map_.frozen, EPERM, "the map is frozen")
    return map_


def _key(call: Call[MapElem], map_: Map) -> bytes:
    if map_.map_type in NO_KEYS:
        call.require(not call.attr.key, EINVAL, "maps without keys take none", "key")
        return b""
    call.require(call.attr.key, EFAULT, "not an address", "key")
    return call.memory.read(call.attr.key, map_.key_size)


def _check_lock(call: Call[MapElem], map_: Map, allowed: int) -> None:
    flags = call.attr.flags
    call.require(not flags & ~allowed, EINVAL, f"only {allowed:#x} is allowed", "flags")
    if flags & UPDATE_LOCK:
        call.require(getattr(map_, "lock_offset", -1) >= 0, EINVAL,
                     "the value has no bpf_spin_lock", "flags")  # fmt: skip


def lookup(state: State, call: Call[MapElem]) -> int:
    """MAP_LOOKUP_ELEM: the value goes where *value* points."""
    _check_flags_of_lookup(call)
    map_ = _element_map(state, call, reads=True, writes=False)
    _check_lock(call, map_, UPDATE_LOCK)
    key = _key(call, map_)
    call.require(map_.map_type not in NO_ELEMENTS, ENOTSUPP, "the map type has no elements")
    if map_.map_type == MapType.BLOOM_FILTER:
        found = call.memory.read(call.attr.value, map_.value_size)
        map_.lookup(found, call.attr.flags)
        return 0
    call.memory.write(call.attr.value, map_.lookup(key, call.attr.flags))
    return 0


def _check_flags_of_lookup(call: Call[MapElem]) -> None:
    call.require(not call.attr.flags & ~UPDATE_LOCK, EINVAL, "only F_LOCK is allowed", "flags")


def update(state: State, call: Call[MapElem]) -> int:
    """MAP_UPDATE_ELEM: create or replace."""
    map_ = _element_map(state, call, reads=False, writes=True)
    if call.attr.flags & UPDATE_LOCK:
        _check_lock(call, map_, 0xFFFF_FFFF_FFFF_FFFF)
    key = _key(call, map_)
    value = call.memory.read(call.attr.value, map_.host_value_size)
    call.require(map_.map_type not in NO_ELEMENTS, ENOTSUPP, "the map type has no elements")
    map_.update(key, value, call.attr.flags)
    return 0


def delete(state: State, call: Call[MapElem]) -> int:
    """MAP_DELETE_ELEM: remove."""
    map_ = _element_map(state, call, reads=False, writes=True)
    key = _key(call, map_)
    call.require(map_.map_type not in NO_ELEMENTS, ENOTSUPP, "the map type has no elements")
    map_.delete(key)
    return 0


def next_key(state: State, call: Call[MapElem]) -> int:
    """MAP_GET_NEXT_KEY: the key after *key*, the first for NULL, goes where *value* points."""
    map_ = _element_map(state, call, reads=True, writes=False)
    key = call.memory.read(call.attr.key, map_.key_size) if call.attr.key else None
    call.require(map_.map_type not in NO_ELEMENTS, ENOTSUPP, "the map type has no elements")
    call.memory.write(call.attr.value, map_.next_key(key))
    return 0


def lookup_and_delete(state: State, call: Call[MapElem]) -> int:
    """MAP_LOOKUP_AND_DELETE_ELEM: remove, and the value goes where *value* points."""
    call.require(not call.attr.flags & ~UPDATE_LOCK, EINVAL, "only F_LOCK is allowed", "flags")
    map_ = _element_map(state, call, reads=True, writes=True)
    if call.attr.flags:
        keyless = map_.map_type in {MapType.QUEUE, MapType.STACK}
        call.require(not keyless, EINVAL, "queues and stacks take no flags", "flags")
        _check_lock(call, map_, UPDATE_LOCK)
    value = map_.lookup_and_delete(_key(call, map_), call.attr.flags)
    call.memory.write(call.attr.value, value)
    return 0


def freeze(state: State, call: Call[MapFreeze]) -> int:
    """MAP_FREEZE: no more writes through bpf(2)."""
    map_ = as_map(state.objects.get(call.command.name, call.attr.map_fd, Kind.MAP))
    call.require(map_.map_type not in NOT_FREEZABLE, ENOTSUPP, "the map type cannot be frozen")
    call.require(not map_.frozen, EBUSY, "the map is frozen already")
    map_.frozen = True
    return 0
