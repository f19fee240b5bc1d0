"""MAP_CREATE, MAP_FREEZE and the commands on one element.

Source: Linux 6.18 kernel/bpf/syscall.c (map_create, map_lookup_elem, map_update_elem, …).
"""

import re
from collections.abc import Mapping
from errno import E2BIG, EBADF, EINVAL
from socket import if_indextoname
from typing import Any, Final

from skep.maps.arena import Arena
from skep.maps.creation import Creation
from skep.maps.families import create_map
from skep.maps.interface import Map
from skep.maps.struct_ops import StructOps
from skep.syscall import struct_ops
from skep.syscall.call import Call
from skep.syscall.credentials import Capability
from skep.syscall.held import holder_for
from skep.syscall.lending import register_fields
from skep.syscall.object_types import what_is_owned
from skep.syscall.objects import Holding, Kind
from skep.syscall.permissions import check_map
from skep.syscall.state import State
from skep.syscall.values import ValueType, value_type
from skep.uapi import map_types, reasons_objects
from skep.uapi import reasons_elements as elements
from skep.uapi import reasons_maps as reasons
from skep.uapi.commands import MapCreate, MapElem, MapFreeze
from skep.uapi.flags import MapType
from skep.uapi.reason import Reason, Refusal
from skep.uapi.reasons_calls import FD_NOT_OPEN

VALID_NAME: Final = re.compile(rb"[A-Za-z0-9_.\xc0-\xd6\xd8-\xf6\xf8-\xff]*")  # Latin-1
UPDATE_LOCK: Final = 4
RDONLY: Final = 1 << 3
WRONLY: Final = 1 << 4
NUMA_NODE: Final = 1 << 2
STRUCT_OPS: Final = MapType.STRUCT_OPS
MAP_OF_MAPS: Final = frozenset({MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS})
NO_ELEMENTS: Final = frozenset({MapType.RINGBUF, MapType.USER_RINGBUF, MapType.ARENA})
CHECKED_FIRST: Final = frozenset({EINVAL, E2BIG})
WITH_EXTRA: Final = frozenset({MapType.BLOOM_FILTER, MapType.ARENA})
TOKEN_FD: Final = 1 << 16
ANY_NODE: Final = 0xFFFF_FFFF  # NUMA_NO_NODE
OFFLOADED: Final = frozenset({MapType.ARRAY, MapType.HASH})  # what devices may hold
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
        owned=what_is_owned(state.world, types.record, attr.value_size),
        has_kernel_type=attr.btf_vmlinux_value_type_id != 0,
        table=struct_ops.shape_of(state, attr.btf_vmlinux_value_type_id),
        inner=as_map(inner) if inner is not None else None,
        resolve=holder.resolve, release=holder.release,
    )  # fmt: skip
    map_ = _permitted(state, call, no_inner, creation)
    _check_device(call)
    map_.name = object_name(call, "map_name", reasons.CREATE_MAP_NAME)
    if refusal is not None:  # Linux looks at sizes, flags and name first, then at the types
        raise refusal
    size = HASH_SIZE if attr.excl_prog_hash else 0
    call.check(attr.excl_prog_hash_size == size, reasons.CREATE_EXCLUSIVE_SIZE)
    digest = call.read("excl_prog_hash", HASH_SIZE) if attr.excl_prog_hash else b""
    holder.map = map_
    map_.id = state.new_id(Kind.MAP)
    register_fields(state, map_, types.record)
    if digest:
        state.owners.reserve(map_, digest)
    return _install(state, call, map_, {"inner_map_fd": inner, "btf_fd": types.holding})


def _install(
    state: State, call: Call[MapCreate], map_: Map, named: Mapping[str, Holding | None]
) -> int:
    """A descriptor of *map_*, which holds what the members in *named* name, if it is there yet."""
    objects, holds = state.objects, []
    with objects.lock:
        held, most = state.map_bytes + map_.most_bytes, state.map_memory
        why = f"{held} bytes in all, and at most {most}"
        call.check(most is None or held <= most, reasons.CREATE_LIMIT, why)
        try:
            for field, holding in named.items():
                if holding is not None:
                    call.check(holding.references, FD_NOT_OPEN, "closed in the meantime", field)
                    holds.append(objects.take(holding))
            access = call.attr.map_flags & (RDONLY | WRONLY)
            fd = objects.install(Kind.MAP, map_, holds, access)
        except BaseException:
            for holding in holds:
                objects.drop(holding)
            raise
        state.map_bytes = held
        return fd


def object_name(call: Call[Any], member: str, reason: Reason) -> str:
    """The name in a 16-byte member; refused for *reason* if a character is not allowed in it."""
    name, end, _ = getattr(call.attr, member).partition(b"\0")
    call.check(end, reason, "no NUL ends it")
    call.check(VALID_NAME.fullmatch(name), reason)
    return str(name, "latin-1")


def check_create(call: Call[MapCreate]) -> None:
    """What MAP_CREATE checks before it looks at the map's sizes and flags."""
    attr = call.attr
    _check_type_ids(call)
    call.check(not attr.map_extra or attr.map_type in WITH_EXTRA, reasons.CREATE_MAP_EXTRA)
    node = attr.numa_node if attr.map_flags & NUMA_NODE else 0
    call.check(node in (0, ANY_NODE), reasons.CREATE_NUMA_NODE)
    both = RDONLY | WRONLY
    call.check(attr.map_flags & both != both, reasons.CREATE_ACCESS)
    call.check(attr.map_type <= len(map_types.MAP_TYPES), reasons.CREATE_MAP_TYPE)


def _check_device(call: Call[MapCreate]) -> None:
    """Refuse a device to put the map on: none of this machine can hold maps."""
    index = call.attr.map_ifindex
    if not index:
        return
    call.check(call.attr.map_type in OFFLOADED, reasons.CREATE_IFINDEX, "not for the map type")
    try:
        if_indextoname(index)
    except (OSError, OverflowError):
        raise call.refusal(reasons.CREATE_IFINDEX, "there is no such device") from None
    raise call.refusal(reasons.CREATE_OFFLOAD)


def _check_type_ids(call: Call[MapCreate]) -> None:
    """Whether the type ids that MAP_CREATE names go together."""
    attr = call.attr
    key, value = attr.btf_key_type_id, attr.btf_value_type_id
    if attr.btf_vmlinux_value_type_id:
        call.check(attr.map_type == STRUCT_OPS, reasons.CREATE_KERNEL_TYPE)
        call.check(not key and not value, reasons.CREATE_KERNEL_TYPE_ALONE)
        return
    call.check(not key or value, reasons.CREATE_KEY_TYPE_ALONE)


def _types(state: State, call: Call[MapCreate]) -> tuple[ValueType, Refusal | None]:
    """What the map's BTF says, or why it cannot be had."""
    attr = call.attr
    named = attr.btf_key_type_id or attr.btf_value_type_id or attr.btf_vmlinux_value_type_id
    if not named:
        return ValueType(), None
    try:
        holding = state.objects.get(call.command.name, call.attr.btf_fd, Kind.BTF)
    except Refusal as refusal:
        absent = refusal.errno == EBADF
        row = reasons.CREATE_NO_BTF if absent else reasons.CREATE_OTHER_BTF
        return ValueType(), call.refusal(row, refusal.reason)
    try:
        return value_type(state, call, holding), None
    except Refusal as refusal:
        return ValueType(), refusal


def _inner_map(state: State, call: Call[MapCreate]) -> tuple[Holding | None, Refusal | None]:
    """The template of a map of maps, or why it cannot be had."""
    if call.attr.map_type not in MAP_OF_MAPS:
        return None, None
    try:
        inner = call.attr.inner_map_fd
        holding = state.objects.get(call.command.name, inner, Kind.MAP, "inner_map_fd")
        call.check(not state.owners.is_exclusive(holding.id), reasons_objects.EXCLUSIVE_INNER)
    except Refusal as refusal:
        return None, refusal
    return holding, None


def _made(no_inner: Refusal | None, creation: Creation) -> Map:
    """The map; *no_inner* says better than the map type why it has no template."""
    try:
        return create_map(creation)
    except Refusal as refusal:
        if refusal.row is not reasons.CREATE_INNER or no_inner is None or no_inner.errno == EBADF:
            raise
    raise no_inner


def _permitted(
    state: State, call: Call[MapCreate], no_inner: Refusal | None, creation: Creation
) -> Map:
    """The map, if the caller may create it.

    Linux looks at sizes and flags first, then at rights, and takes memory last.
    """
    try:
        map_ = _made(no_inner, creation)
    except Refusal as refusal:
        first = refusal.errno in CHECKED_FIRST or refusal.row is reasons.CREATE_LRU_PREALLOC
        if not first:
            check_map(state, call)
            _check_device(call)
        raise
    token = check_map(state, call)
    capable = call.credentials.may(Capability.BPF, token)
    call.check(capable or not creation.special, reasons_objects.MAP_FIELDS)
    return map_


def as_map(holding: Holding) -> Map:
    """The map of a holding of kind MAP."""
    return holding.target  # type: ignore[return-value]  # objects.get checked the kind


def _element_map(state: State, call: Call[MapElem], *, reads: bool, writes: bool) -> Map:
    """The map of an element command, if the descriptor's access allows it."""
    fd = call.attr.map_fd
    map_ = as_map(state.objects.get(call.command.name, fd, Kind.MAP, "map_fd"))
    access = state.objects.access(fd)
    if reads and access & WRONLY:
        raise call.refusal(elements.NOT_READABLE)
    if writes:
        call.check(not access & RDONLY, elements.NOT_WRITABLE)
        call.check(not map_.frozen, elements.FROZEN)
    return map_


def _key(call: Call[MapElem], map_: Map) -> bytes:
    if not map_.key_size:
        call.check(not call.attr.key, elements.NO_KEY)
        return b""
    call.check(call.attr.key, elements.KEY_NULL)
    return call.read("key", map_.key_size)


def _check_lock(call: Call[MapElem], map_: Map) -> None:
    """Refuse F_LOCK on a map whose values have no lock."""
    if call.attr.flags & UPDATE_LOCK:
        call.check(getattr(map_, "lock_offset", -1) >= 0, elements.NO_LOCK)


def _check_elements(call: Call[MapElem], map_: Map) -> None:
    """Refuse a map of a type without elements."""
    call.check(map_.map_type not in NO_ELEMENTS, elements.NO_OPERATION)


def lookup(state: State, call: Call[MapElem]) -> int:
    """MAP_LOOKUP_ELEM: the value goes where *value* points."""
    call.check(not call.attr.flags & ~UPDATE_LOCK, elements.READ_FLAGS)
    map_ = _element_map(state, call, reads=True, writes=False)
    _check_lock(call, map_)
    key = _key(call, map_)
    _check_elements(call, map_)
    if map_.map_type == MapType.BLOOM_FILTER:
        map_.lookup(call.read("value", map_.value_size), call.attr.flags)
        return 0
    call.write("value", map_.lookup(key, call.attr.flags))
    return 0


def update(state: State, call: Call[MapElem]) -> int:
    """MAP_UPDATE_ELEM: create or replace."""
    map_ = _element_map(state, call, reads=False, writes=True)
    _check_lock(call, map_)
    key = _key(call, map_)
    value = call.read("value", map_.host_value_size)
    _check_elements(call, map_)
    if map_.map_type == MapType.PROG_ARRAY:
        return _put_program(state, call, map_, key, value)
    if isinstance(map_, StructOps):
        struct_ops.update(state, call, _holding(state, call), key, value)
        return 0
    map_.update(key, value, call.attr.flags)
    return 0


def _put_program(state: State, call: Call[MapElem], map_: Map, key: bytes, value: bytes) -> int:
    """Update a program array, which has a user until that is done: none is left with programs."""
    with state.objects.using(call.command.name, call.attr.map_fd, Kind.MAP, "map_fd") as used:
        call.check(used.target is map_, FD_NOT_OPEN, "closed in the meantime", "map_fd")
        map_.update(key, value, call.attr.flags)
    return 0


def _holding(state: State, call: Call[MapElem]) -> Holding:
    return state.objects.get(call.command.name, call.attr.map_fd, Kind.MAP, "map_fd")


def delete(state: State, call: Call[MapElem]) -> int:
    """MAP_DELETE_ELEM: remove."""
    map_ = _element_map(state, call, reads=False, writes=True)
    key = _key(call, map_)
    _check_elements(call, map_)
    if isinstance(map_, StructOps):
        struct_ops.delete(state, _holding(state, call), key)
        return 0
    map_.delete(key)
    return 0


def next_key(state: State, call: Call[MapElem]) -> int:
    """MAP_GET_NEXT_KEY: the key after *key*, the first for NULL, goes where *value* points."""
    map_ = _element_map(state, call, reads=True, writes=False)
    key = _key(call, map_) if call.attr.key else None
    _check_elements(call, map_)
    call.write("value", map_.next_key(key))
    return 0


def lookup_and_delete(state: State, call: Call[MapElem]) -> int:
    """MAP_LOOKUP_AND_DELETE_ELEM: remove, and the value goes where *value* points."""
    call.check(not call.attr.flags & ~UPDATE_LOCK, elements.READ_FLAGS)
    map_ = _element_map(state, call, reads=True, writes=True)
    if call.attr.flags:
        call.check(map_.map_type not in {MapType.QUEUE, MapType.STACK}, elements.POP_FLAGS)
        _check_lock(call, map_)
    call.write("value", map_.lookup_and_delete(_key(call, map_), call.attr.flags))
    return 0


def map_arena(state: State, fd: int, address: int, size: int) -> memoryview:
    """mmap(2) of a whole arena, at its own place if *address* is not 0; OSError, as Linux."""
    arena = state.objects.get("MMAP", fd, Kind.MAP, "fd").target
    if not isinstance(arena, Arena) or size != arena.memory.size:
        raise OSError(EINVAL, f"fd {fd} is no arena of {size} bytes")
    if address not in (0, arena.memory.start):
        raise OSError(EINVAL, f"the arena lies at {arena.memory.start:#x}")
    return arena.view


def freeze(state: State, call: Call[MapFreeze]) -> int:
    """MAP_FREEZE: no more writes through bpf(2)."""
    fd = call.attr.map_fd
    map_ = as_map(state.objects.get(call.command.name, fd, Kind.MAP, "map_fd"))
    call.check(map_.map_type not in NOT_FREEZABLE, reasons.FREEZE_TYPE)
    call.check(not state.objects.access(fd) & RDONLY, reasons.FREEZE_ACCESS)
    call.check(not map_.frozen, reasons.FREEZE_AGAIN)
    map_.frozen = True
    return 0
