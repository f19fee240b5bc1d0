"""OBJ_GET_INFO_BY_FD: what programs, maps, BTF objects, links and tokens say of themselves.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_obj_get_info_by_fd, bpf_map_get_info_by_fd),
kernel/bpf/btf.c (btf_get_info_by_fd), kernel/bpf/token.c (bpf_token_get_info_by_fd).
"""

import ctypes
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from skep.attach.links import Link
from skep.maps.array import Array
from skep.maps.creation import round8
from skep.syscall.call import Call
from skep.syscall.info import give, read_info, read_struct, write_info
from skep.syscall.maps import as_map
from skep.syscall.objects import Holding, Kind
from skep.syscall.program_info import program_info
from skep.syscall.state import BtfObject, State
from skep.syscall.tokens import Token
from skep.uapi import infos
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import GetInfo
from skep.uapi.flags import MapType
from skep.uapi.infos import BtfInfo, MapInfo, TokenInfo

HASH_SIZE: Final = 32  # SHA-256


def get_info(state: State, call: Call[GetInfo]) -> int:
    """OBJ_GET_INFO_BY_FD: fill the caller's info struct, as long as it says it is."""
    fd = call.attr.bpf_fd
    with state.objects.lock:
        holding = state.objects.find(fd)
        if holding is None:
            call.check(state.objects.is_file(fd), reasons.INFO_CLOSED, f"fd {fd} is not open")
        fill = FILLERS.get(holding.kind) if holding is not None else None
        if holding is None or fill is None:
            raise call.refusal(reasons.INFO_KIND)
        return fill(state, call, holding)


def _map(state: State, call: Call[GetInfo], holding: Holding) -> int:
    map_ = as_map(holding)
    asked = read_info(call, MapInfo, infos.MAP_INFO_SIZE)
    btf_id = next((held.id for held in holding.holds if held.kind is Kind.BTF), 0)
    known = MapInfo(
        type=map_.map_type, id=map_.id, key_size=map_.key_size, value_size=map_.value_size,
        max_entries=map_.max_entries, map_flags=map_.map_flags, name=map_.name.encode("latin-1"),
        btf_id=btf_id, btf_key_type_id=map_.btf_key_type_id,
        btf_value_type_id=map_.btf_value_type_id, map_extra=map_.map_extra,
        ifindex=asked.ifindex, netns_dev=asked.netns_dev, netns_ino=asked.netns_ino,
        hash=asked.hash, hash_size=asked.hash_size,
    )  # fmt: skip
    if map_.map_type == MapType.STRUCT_OPS:
        known = replace(known, btf_vmlinux_id=state.kernel_btf_id)
    if asked.hash:
        if not isinstance(map_, Array):
            raise call.refusal(reasons.INFO_NO_HASH)
        call.check(asked.hash_size == HASH_SIZE, reasons.INFO_HASH_SIZE)
        call.check(map_.frozen, reasons.INFO_NOT_FROZEN)
        give(call, asked, "hash", HASH_SIZE, _hash(map_), 1)
    else:
        call.check(not asked.hash_size, reasons.INFO_HASH_SIZE)
    return write_info(call, known.encode(), infos.MAP_INFO_SIZE)


def _hash(array: Array) -> bytes:
    """SHA-256 of all values, each filled up to eight bytes."""
    size = round8(array.value_size) * array.max_entries
    return hashlib.sha256(ctypes.string_at(array.values, size)).digest()


def _btf(state: State, call: Call[GetInfo], holding: Holding) -> int:
    del state
    target = holding.target
    assert isinstance(target, BtfObject)
    asked = read_info(call, BtfInfo, infos.BTF_INFO_SIZE)
    give(call, asked, "btf", asked.btf_size, target.data, 1)
    call.check(bool(asked.name) == bool(asked.name_len), reasons.INFO_NAME)
    room, name = asked.name_len, target.name.encode()
    fits = not asked.name or room > len(name)
    if asked.name:
        whole = name if fits else name[: room - 1]
        give(call, asked, "name", len(whole) + 1, whole + b"\0", 1)
    known = replace(
        asked, btf_size=len(target.data), id=target.id, name_len=len(name),
        kernel_btf=int(target.is_kernel),
    )  # fmt: skip
    write_info(call, known.encode(), infos.BTF_INFO_SIZE)
    call.check(fits, reasons.INFO_NAME_ROOM, f"{len(name)} bytes and a NUL do not fit")
    return 0


def _link(state: State, call: Call[GetInfo], holding: Holding) -> int:
    link = holding.target
    assert isinstance(link, Link)
    asked = read_struct(call, infos.LINK_INFO_SIZE).ljust(infos.LINK_INFO_SIZE, b"\0")
    return write_info(call, link.info(asked, state.memory), infos.LINK_INFO_SIZE)


def _token(state: State, call: Call[GetInfo], holding: Holding) -> int:
    del state
    token = holding.target
    assert isinstance(token, Token)
    read_struct(call, infos.TOKEN_INFO_SIZE)
    allowed = token.allowed
    known = TokenInfo(
        allowed_cmds=allowed.cmds, allowed_maps=allowed.maps, allowed_progs=allowed.progs,
        allowed_attachs=allowed.attachs,
    )  # fmt: skip
    return write_info(call, known.encode(), infos.TOKEN_INFO_SIZE)


FILLERS: Final[Mapping[Kind, Callable[[State, Call[GetInfo], Holding], int]]] = {
    Kind.PROG: program_info,
    Kind.MAP: _map,
    Kind.BTF: _btf,
    Kind.LINK: _link,
    Kind.TOKEN: _token,
}
