"""MAP_CREATE, MAP_FREEZE and the commands on one element.

Source: Linux 6.18 kernel/bpf/syscall.c (map_create, map_lookup_elem, map_update_elem, …).
"""

import re
from errno import EBADF, EFAULT, EINVAL, EOPNOTSUPP, EPERM
from typing import Any, Final

from skep.errors import CommandError, NotSupported
from skep.maps.creation import Creation
from skep.maps.families import create_map
from skep.maps.interface import Map
from skep.maps.shape import ShapeMap
from skep.syscall.call import Call
from skep.syscall.held import holder_for
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.syscall.values import ValueType, value_type
from skep.uapi import map_types
from skep.uapi import reasons_maps as reasons
from skep.uapi.commands import ENOTSUPP, MapCreate, MapElem, MapFreeze
from skep.uapi.flags import MapType

VALID_NAME: Final = re.compile(rb"[A-Za-z0-9_.\xc0-\xd6\xd8-\xf6\xf8-\xff]*")  # Latin-1
UPDATE_LOCK: Final = 4
RDONLY: Final = 1 << 3
WRONLY: Final = 1 << 4
NUMA_NODE: Final = 1 << 2
STRUCT_OPS: Final = MapType.STRUCT_OPS
MAP_OF_MAPS: Final = frozenset({MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS})
NO_ELEMENTS: Final = frozenset({MapType.RINGBUF, MapType.USER_RINGBUF, MapType.ARENA})
WITH_EXTRA: Final = frozenset({MapType.BLOOM_FILTER, MapType.ARENA})
TOKEN_FD: Final = 1 << 16
HASH_SIZE: Final = 32  # SHA-256
NOT_FREEZABLE: Final = frozenset({MapType.STRUCT_OPS})


def create(state: State, call: Call[MapCreate]) -> int:
    """MAP_CREATE: a map, and a descriptor for it."""
    attr = call.attr
    if call.common is not None:
        call.common.put_true_size(0)  # a refusal may have more to say
    check_create(call)
    types, refusal = _types(state, call)
    inner, no_inner = _inner_map(state, call)
    holder = holder_for(state, attr.map_type)
    creation = Creation(
        map_type=attr.map_type, key_size=attr.key_size, value_size=attr.value_size,
        max_entries=attr.max_entries, map_flags=attr.map_flags & ~TOKEN_FD,
        map_extra=attr.map_extra,
        library=state.engine.library, cpus=state.world.cpus, btf=types.btf,
        btf_key_type_id=attr.btf_key_type_id, btf_value_type_id=attr.btf_value_type_id,
        special=types.special, lock_offset=types.lock_offset,
        inner=as_map(inner) if inner is not None else None,
        resolve=holder.resolve, release=holder.release,
    )  # fmt: skip
    map_ = _made(state, no_inner, creation)
    _check_token(state, call)
    call.require(not attr.map_ifindex, EINVAL, "no device to offload to", "map_ifindex")
    map_.name = object_name(call, "map_name", "Invalid map_name.\n")
    if refusal is not None:  # Linux looks at sizes, flags and name first, then at the types
        raise refusal
    call.require(attr.excl_prog_hash_size == (HASH_SIZE if attr.excl_prog_hash else 0), EINVAL,
                 f"a hash has {HASH_SIZE} bytes", "excl_prog_hash_size",
                 "Invalid excl_prog_hash_size.\n")  # fmt: skip
    call.require(not attr.excl_prog_hash, EOPNOTSUPP,
                 "maps of one program are not supported yet", "excl_prog_hash_size")  # fmt: skip
    holder.map = map_
    map_.id = state.new_id(Kind.MAP)
    holds = [holding for holding in (inner, types.holding) if holding is not None]
    for holding in holds:
        state.objects.take(holding)
    return state.objects.install(Kind.MAP, map_, holds, attr.map_flags & (RDONLY | WRONLY))


def object_name(call: Call[Any], member: str, text: str = "") -> str:
    """The name in a 16-byte member; EINVAL if a character is not allowed or no NUL ends it.

    *text* is what Linux logs then.
    """
    name, end, _ = getattr(call.attr, member).partition(b"\0")
    call.require(end, EINVAL, "at most 15 characters", member, text)
    call.require(VALID_NAME.fullmatch(name), EINVAL, "letters, digits, '_' and '.'", member, text)
    return str(name, "latin-1")


def check_create(call: Call[MapCreate]) -> None:
    """What MAP_CREATE checks before it looks at the map's sizes and flags."""
    attr = call.attr
    _check_type_ids(call)
    call.check(not attr.map_extra or attr.map_type in WITH_EXTRA, reasons.CREATE_MAP_EXTRA)
    node = attr.numa_node if attr.map_flags & NUMA_NODE else 0
    call.require(node == 0, EINVAL, "there is one node, 0", "numa_node", "Invalid numa_node.\n")
    both = RDONLY | WRONLY
    call.require(attr.map_flags & both != both, EINVAL, "RDONLY and WRONLY exclude", "map_flags")
    call.require(attr.map_type <= len(map_types.MAP_TYPES), EINVAL, "there is no such map type",
                 "map_type", "Invalid map_type.\n")  # fmt: skip


def _check_type_ids(call: Call[MapCreate]) -> None:
    """Whether the type ids that MAP_CREATE names go together."""
    attr, kernel_type = call.attr, "btf_vmlinux_value_type_id"
    if attr.btf_vmlinux_value_type_id:
        call.require(attr.map_type == STRUCT_OPS, EINVAL, "only for struct_ops maps", kernel_type,
                     f"{kernel_type} can only be used with struct_ops maps.\n")  # fmt: skip
        call.require(
            not attr.btf_key_type_id and not attr.btf_value_type_id, EINVAL,
            "excludes btf_key_type_id and btf_value_type_id", kernel_type,
            f"{kernel_type} is mutually exclusive with btf_key_type_id and btf_value_type_id.\n",
        )  # fmt: skip
        return
    call.require(not attr.btf_key_type_id or attr.btf_value_type_id, EINVAL,
                 "needs btf_value_type_id too", "btf_key_type_id",
                 "Invalid btf_value_type_id.\n")  # fmt: skip


def _check_token(state: State, call: Call[MapCreate]) -> None:
    """Refuse a token: there are none, so that whatever the descriptor names is another thing."""
    if not call.attr.map_flags & TOKEN_FD:
        return
    number = EINVAL
    try:
        state.objects.get(call.command.name, call.attr.map_token_fd)
    except CommandError as refusal:
        number = refusal.errno
    raise call.refuse(number, "is no token", "map_token_fd", "Invalid map_token_fd.\n")


def _types(state: State, call: Call[MapCreate]) -> tuple[ValueType, CommandError | None]:
    """What the map's BTF says, or why it cannot be had."""
    if not call.attr.btf_key_type_id and not call.attr.btf_value_type_id:
        return ValueType(), None
    try:
        holding = state.objects.get(call.command.name, call.attr.btf_fd, Kind.BTF)
    except CommandError as refusal:
        no_btf = call.refuse(refusal.errno, refusal.message, "btf_fd", "Invalid btf_fd.\n")
        return ValueType(), no_btf
    try:
        return value_type(call, holding), None
    except CommandError as refusal:
        return ValueType(), refusal


def _inner_map(state: State, call: Call[MapCreate]) -> tuple[Holding | None, CommandError | None]:
    """The template of a map of maps, or why it cannot be had."""
    if call.attr.map_type not in MAP_OF_MAPS:
        return None, None
    try:
        return state.objects.get(call.command.name, call.attr.inner_map_fd, Kind.MAP), None
    except CommandError as refusal:
        return None, refusal


def _made(state: State, no_inner: CommandError | None, creation: Creation) -> Map:
    """The map; *no_inner* says better than the map type why it has no template."""
    try:
        return create_map(creation)
    except NotSupported:
        if state.runs:
            raise
        return ShapeMap(creation)
    except CommandError as refusal:
        raise (no_inner if no_inner is not None and refusal.errno == EBADF else refusal) from None


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
    if not map_.key_size:
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
    key = _key(call, map_) if call.attr.key else None
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
    writable = not map_.frozen and not state.objects.access(call.attr.map_fd) & RDONLY
    call.require(writable, EPERM, "may not be written", "map_fd")
    map_.frozen = True
    return 0
