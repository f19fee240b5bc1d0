"""THE command table: the 39 commands of bpf(2), their arguments, results and errnos.

Source: Linux 6.18 ``union bpf_attr`` in include/uapi/linux/bpf.h and kernel/bpf/syscall.c; 7.2 for
ASSOC_STRUCT_OPS and the common attributes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from errno import (
    E2BIG,
    EACCES,
    EAFNOSUPPORT,
    EAGAIN,
    EBADF,
    EBADFD,
    EBUSY,
    EEXIST,
    EFAULT,
    EINPROGRESS,
    EINVAL,
    ELOOP,
    ENAMETOOLONG,
    ENODEV,
    ENOENT,
    ENOLINK,
    ENOMEM,
    ENOSPC,
    ENOTDIR,
    ENOTSOCK,
    ENXIO,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
    EPROTO,
    ERANGE,
    ESTALE,
)
from typing import Final

from skep.base.layout import S32, U32, U64, Layout, Name, Pointer

ENOTSUPP: Final = 524  # the kernel's own, not in errno.h
COMMON_ATTRS: Final = 1 << 16
USES_EXTENDED_ATTR: Final = 1 << 17  # as proposed in 2020; Linux has neither it nor LOGGED
LOGGED: Final = 1 << 31  # the same as COMMON_ATTRS
COMMAND_FLAGS_MASK: Final = 0xFFFF_0000
ATTR_SIZE: Final = 168  # sizeof(union bpf_attr)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapCreate(Layout):
    """Arguments of MAP_CREATE."""

    map_type: U32 = 0
    key_size: U32 = 0
    value_size: U32 = 0
    max_entries: U32 = 0
    map_flags: U32 = 0
    inner_map_fd: U32 = 0
    numa_node: U32 = 0
    map_name: Name = b""
    map_ifindex: U32 = 0
    btf_fd: U32 = 0
    btf_key_type_id: U32 = 0
    btf_value_type_id: U32 = 0
    btf_vmlinux_value_type_id: U32 = 0
    map_extra: U64 = 0
    value_type_btf_obj_fd: S32 = 0
    map_token_fd: S32 = 0
    excl_prog_hash: Pointer = 0
    excl_prog_hash_size: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapElem(Layout):
    """Arguments of the commands on one element; GET_NEXT_KEY gives the next key in *value*."""

    map_fd: U32 = 0
    key: Pointer = 0
    value: Pointer = 0
    flags: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapBatch(Layout):
    """Arguments of the batch commands; *count* is read and written."""

    in_batch: Pointer = 0
    out_batch: Pointer = 0
    keys: Pointer = 0
    values: Pointer = 0
    count: U32 = 0
    map_fd: U32 = 0
    elem_flags: U64 = 0
    flags: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgLoad(Layout):
    """Arguments of PROG_LOAD."""

    prog_type: U32 = 0
    insn_cnt: U32 = 0
    insns: Pointer = 0
    license: Pointer = 0
    log_level: U32 = 0
    log_size: U32 = 0
    log_buf: Pointer = 0
    kern_version: U32 = 0
    prog_flags: U32 = 0
    prog_name: Name = b""
    prog_ifindex: U32 = 0
    expected_attach_type: U32 = 0
    prog_btf_fd: U32 = 0
    func_info_rec_size: U32 = 0
    func_info: Pointer = 0
    func_info_cnt: U32 = 0
    line_info_rec_size: U32 = 0
    line_info: Pointer = 0
    line_info_cnt: U32 = 0
    attach_btf_id: U32 = 0
    attach_prog_fd: U32 = 0  # also attach_btf_obj_fd
    core_relo_cnt: U32 = 0
    fd_array: Pointer = 0
    core_relos: Pointer = 0
    core_relo_rec_size: U32 = 0
    log_true_size: U32 = 0
    prog_token_fd: S32 = 0
    fd_array_cnt: U32 = 0
    signature: Pointer = 0
    signature_size: U32 = 0
    keyring_id: S32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjPin(Layout):
    """Arguments of OBJ_PIN and OBJ_GET."""

    pathname: Pointer = 0
    bpf_fd: U32 = 0
    file_flags: U32 = 0
    path_fd: S32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgAttach(Layout):
    """Arguments of PROG_ATTACH and PROG_DETACH."""

    target_fd: U32 = 0
    attach_bpf_fd: U32 = 0
    attach_type: U32 = 0
    attach_flags: U32 = 0
    replace_bpf_fd: U32 = 0
    relative_fd: U32 = 0
    expected_revision: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun(Layout):
    """Arguments of PROG_TEST_RUN."""

    prog_fd: U32 = 0
    retval: U32 = 0
    data_size_in: U32 = 0
    data_size_out: U32 = 0
    data_in: Pointer = 0
    data_out: Pointer = 0
    repeat: U32 = 0
    duration: U32 = 0
    ctx_size_in: U32 = 0
    ctx_size_out: U32 = 0
    ctx_in: Pointer = 0
    ctx_out: Pointer = 0
    flags: U32 = 0
    cpu: U32 = 0
    batch_size: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GetId(Layout):
    """Arguments of *_GET_NEXT_ID and *_GET_FD_BY_ID; *start_id* is the id of the latter."""

    start_id: U32 = 0
    next_id: U32 = 0
    open_flags: U32 = 0
    fd_by_id_token_fd: S32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GetInfo(Layout):
    """Arguments of OBJ_GET_INFO_BY_FD; *info_len* is read and written."""

    bpf_fd: U32 = 0
    info_len: U32 = 0
    info: Pointer = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgQuery(Layout):
    """Arguments of PROG_QUERY."""

    target_fd: U32 = 0
    attach_type: U32 = 0
    query_flags: U32 = 0
    attach_flags: U32 = 0
    prog_ids: Pointer = 0
    prog_cnt: U32 = 0
    prog_attach_flags: Pointer = 0
    link_ids: Pointer = 0
    link_attach_flags: Pointer = 0
    revision: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTracepointOpen(Layout):
    """Arguments of RAW_TRACEPOINT_OPEN."""

    name: Pointer = 0
    prog_fd: U32 = 0
    cookie: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BtfLoad(Layout):
    """Arguments of BTF_LOAD."""

    btf: Pointer = 0
    btf_log_buf: Pointer = 0
    btf_size: U32 = 0
    btf_log_size: U32 = 0
    btf_log_level: U32 = 0
    btf_log_true_size: U32 = 0
    btf_flags: U32 = 0
    btf_token_fd: S32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFdQuery(Layout):
    """Arguments of TASK_FD_QUERY."""

    pid: U32 = 0
    fd: U32 = 0
    flags: U32 = 0
    buf_len: U32 = 0
    buf: Pointer = 0
    prog_id: U32 = 0
    fd_type: U32 = 0
    probe_offset: U64 = 0
    probe_addr: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFreeze(Layout):
    """Arguments of MAP_FREEZE."""

    map_fd: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCreate(Layout):
    """Arguments of LINK_CREATE: the common head; what follows depends on the attach type."""

    prog_fd: U32 = 0
    target_fd: U32 = 0
    attach_type: U32 = 0
    flags: U32 = 0
    word16: U64 = 0
    word24: U64 = 0
    word32: U64 = 0
    word40: U64 = 0
    word48: U64 = 0
    word56: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUpdate(Layout):
    """Arguments of LINK_UPDATE."""

    link_fd: U32 = 0
    new_prog_fd: U32 = 0
    flags: U32 = 0
    old_prog_fd: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDetach(Layout):
    """Arguments of LINK_DETACH."""

    link_fd: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableStats(Layout):
    """Arguments of ENABLE_STATS."""

    type: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IterCreate(Layout):
    """Arguments of ITER_CREATE."""

    link_fd: U32 = 0
    flags: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgBindMap(Layout):
    """Arguments of PROG_BIND_MAP."""

    prog_fd: U32 = 0
    map_fd: U32 = 0
    flags: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCreate(Layout):
    """Arguments of TOKEN_CREATE."""

    flags: U32 = 0
    bpffs_fd: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRead(Layout):
    """Arguments of PROG_STREAM_READ_BY_FD."""

    stream_buf: Pointer = 0
    stream_buf_len: U32 = 0
    stream_id: U32 = 0
    prog_fd: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AssocStructOps(Layout):
    """Arguments of PROG_ASSOC_STRUCT_OPS (7.x)."""

    map_fd: U32 = 0
    prog_fd: U32 = 0
    flags: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonAttr(Layout):
    """The common attributes of 7.2, arguments 4 and 5 of the system call."""

    log_buf: Pointer = 0
    log_size: U32 = 0
    log_level: U32 = 0
    log_true_size: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRawTracepointOpen(Layout):
    """Arguments of RAW_TRACEPOINT_OPEN as proposed in 2020: of this size only, and no cookie."""

    name: Pointer = 0
    prog_fd: U32 = 0
    log_level: U32 = 0
    log_size: U32 = 0
    log_buf: Pointer = 0
    tgt_prog_fd: U32 = 0
    tgt_btf_id: U32 = 0


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Args:
        number: ``BPF_*`` of ``enum bpf_cmd``.
        name: without prefix.
        layout: its member of ``union bpf_attr``.
        last: name of the last member it knows; what follows must be zero (CHECK_ATTR).
        result: what success returns.
        fails: when it answers which errno, beyond those of ``ALWAYS``.
    """

    number: int
    name: str
    layout: type[Layout]
    last: str
    result: str = "0"
    fails: Mapping[int, str] = field(default_factory=dict)


_BAD_FD = "a descriptor is not open"
_FD = "a new descriptor"
_NO_MAP_OPERATION = "the map type has no such operation"
_ELEMENT = {
    EBADF: "map_fd is not open",
    EOPNOTSUPP: _NO_MAP_OPERATION,
    ENOTSUPP: _NO_MAP_OPERATION,
}
_BATCH = {
    EBADF: "map_fd is not open",
    ENOTSUPP: "the map type has no batch operation",
    ENOENT: "no element is left",
    ENOSPC: "a bucket holds more than count elements",
}
_NEXT_ID = {ENOENT: "no object has a greater id"}
_BY_ID = {ENOENT: "no object has the id"}
_PATH = {
    EBADF: "bpf_fd or path_fd is not open",
    ENOENT: "nothing is there",
    EACCES: "a folder may not be searched or changed, or what is there not be opened so",
    ENOTDIR: "a folder of the path, or path_fd, is none",
    ENAMETOOLONG: "the path or a name is too long",
    ELOOP: "more than 40 symbolic links",
}
_PLACE = {
    ENODEV: "no such device",
    ENXIO: "no netkit device",
    EACCES: "the device is not the primary one of its netkit pair",
    ENOENT: "what it is to replace, detach or stand by is not there",
    EEXIST: "the program is there already, or another in its way",
    EBUSY: "a link holds the place, or another program excludes it",
    ESTALE: "expected_revision has passed",
    ERANGE: "no room in the chain, flags name two places, or the priority is not allowed",
    E2BIG: "no room",
}

MAP_CREATE: Final = Command(0, "MAP_CREATE", MapCreate, "excl_prog_hash_size", _FD, {
    E2BIG: "key, value or the whole map is too large",
    ENOMEM: "not enough memory",
    EPERM: "the caller may not create maps of the type",
    EBADF: _BAD_FD,
    EACCES: "the BTF is the kernel's, or programs may not write to values with special fields",
    ENOTSUPP: "flags, BTF or an inner map that the map type does not take",
    EOPNOTSUPP: "the map type needs what a user-space world cannot have",
    ERANGE: "the pages of the arena would cross a multiple of 4 GiB",
})  # fmt: skip
MAP_LOOKUP_ELEM: Final = Command(1, "MAP_LOOKUP_ELEM", MapElem, "flags", "0", _ELEMENT | {
    ENOENT: "the key is absent", EPERM: "the map may not be read",
    ENOSPC: "cookies of sockets take values of 8 bytes",
})  # fmt: skip
MAP_UPDATE_ELEM: Final = Command(2, "MAP_UPDATE_ELEM", MapElem, "flags", "0", _ELEMENT | {
    EEXIST: "flags is NOEXIST and the key is present",
    ENOENT: "flags is EXIST and the key is absent",
    E2BIG: "the map is full, or the index is beyond it",
    EPERM: "the map is frozen or may not be written",
    ENOSPC: "the trie is full",
    ENODEV: "no such CPU",
    EOVERFLOW: "the queue of a CPU is too long",
    ENOTSOCK: "the descriptor in the value is no socket",
    EBUSY: "an extension has replaced a function of the program, or the table is filled",
    EOPNOTSUPP: "the map type has no such operation, or a function of the program is traced",
})  # fmt: skip
MAP_DELETE_ELEM: Final = Command(3, "MAP_DELETE_ELEM", MapElem, "key", "0", _ELEMENT | {
    ENOENT: "the key is absent", EPERM: "the map is frozen or may not be written",
    EOPNOTSUPP: "the table has links", EINPROGRESS: "the table is going already",
})  # fmt: skip
MAP_GET_NEXT_KEY: Final = Command(4, "MAP_GET_NEXT_KEY", MapElem, "value", "0", _ELEMENT | {
    ENOENT: "the key is the last", EPERM: "the map may not be read",
})  # fmt: skip
PROG_LOAD: Final = Command(5, "PROG_LOAD", ProgLoad, "keyring_id", _FD, {
    EACCES: "the program is unsafe",
    E2BIG: "the program is too large or too complex",
    EBADF: _BAD_FD,
    ENOSPC: "the log does not fit its buffer",
    EPERM: "the caller may not load programs of the type",
    EOPNOTSUPP: "the program needs what skep does not have",
    ENOTSUPP: "attach_prog_fd is BTF that is not a kernel's",
    EPROTO: "an index into an fd_array that is not there",
})  # fmt: skip
OBJ_PIN: Final = Command(6, "OBJ_PIN", ObjPin, "path_fd", "0", {
    **_PATH, EEXIST: "the path exists", EPERM: "a name contains a dot, or no bpffs is there",
})  # fmt: skip
OBJ_GET: Final = Command(7, "OBJ_GET", ObjPin, "path_fd", _FD, _PATH)
PROG_ATTACH: Final = Command(8, "PROG_ATTACH", ProgAttach, "expected_revision", "0", {
    EBADF: _BAD_FD, **_PLACE, EPERM: "what is attached there, or above, allows no more",
    EOPNOTSUPP: "the map takes no programs",
})  # fmt: skip
PROG_DETACH: Final = Command(9, "PROG_DETACH", ProgAttach, "expected_revision", "0", {
    EBADF: _BAD_FD, **_PLACE, EPERM: "the caller must say which program",
    EOPNOTSUPP: "the map takes no programs",
})  # fmt: skip
PROG_TEST_RUN: Final = Command(10, "PROG_TEST_RUN", TestRun, "batch_size", "0", {
    EBADF: "prog_fd is not open", ENOTSUPP: "the program type cannot be run so",
    ENOSPC: "data_out or ctx_out is too small; as much as fits was written",
    E2BIG: "the context is too long", ENODEV: "no such device", ENXIO: "no such CPU",
    EAFNOSUPPORT: "the family of a socket look-up", ERANGE: "its local port",
    EOPNOTSUPP: "the program needs what a user-space world cannot have",
})  # fmt: skip
PROG_GET_NEXT_ID: Final = Command(11, "PROG_GET_NEXT_ID", GetId, "next_id", "0", _NEXT_ID)
MAP_GET_NEXT_ID: Final = Command(12, "MAP_GET_NEXT_ID", GetId, "next_id", "0", _NEXT_ID)
PROG_GET_FD_BY_ID: Final = Command(13, "PROG_GET_FD_BY_ID", GetId, "start_id", _FD, _BY_ID)
MAP_GET_FD_BY_ID: Final = Command(14, "MAP_GET_FD_BY_ID", GetId, "open_flags", _FD, _BY_ID)
OBJ_GET_INFO_BY_FD: Final = Command(15, "OBJ_GET_INFO_BY_FD", GetInfo, "info", "0", {
    EBADF: "bpf_fd is not open", EBADFD: "what the link was on is gone",
    E2BIG: "info_len is longer than known, and the tail is not zero",
    ENOSPC: "a name does not fit its buffer", EPERM: "a hash of a map that is not frozen",
})  # fmt: skip
PROG_QUERY: Final = Command(16, "PROG_QUERY", ProgQuery, "revision", "0", {
    EBADF: _BAD_FD, ENODEV: "no such device", ENXIO: "no netkit device",
    ENOSPC: "more programs than room for their ids", EBUSY: "the map has the other verdict",
    EOPNOTSUPP: "the map takes no programs", ENOMEM: "prog_cnt is out of all proportion",
})  # fmt: skip
RAW_TRACEPOINT_OPEN: Final = Command(
    17, "RAW_TRACEPOINT_OPEN", RawTracepointOpen, "cookie", _FD,
    {EBADF: _BAD_FD, ENOENT: "the world has no such tracepoint",
     EOPNOTSUPP: "the program traces a kernel function",
     EBUSY: "the function is replaced or traced", E2BIG: "38 programs trace the function"},
)  # fmt: skip
BTF_LOAD: Final = Command(18, "BTF_LOAD", BtfLoad, "btf_token_fd", _FD, {
    E2BIG: "the BTF is larger than 16 MiB, or has too many or too deep types",
    ENOSPC: "the log does not fit its buffer", ENOTSUPP: "a version, flag or encoding of later",
    ELOOP: "too many modifiers in a row, or objects that own each other in a ring",
    EEXIST: "a type contains itself, or special fields overlap",
    ENOENT: "special fields refer to what does not exist",
    EFAULT: "special fields are misplaced, or an address is bad",
})  # fmt: skip
BTF_GET_FD_BY_ID: Final = Command(19, "BTF_GET_FD_BY_ID", GetId, "fd_by_id_token_fd", _FD, _BY_ID)
TASK_FD_QUERY: Final = Command(20, "TASK_FD_QUERY", TaskFdQuery, "probe_addr", "0", {
    ENOENT: "no such task", EBADF: "no such descriptor",
    ENOTSUPP: "the descriptor is of no traced event", ENOSPC: "buf is too small for the name",
    EOPNOTSUPP: "the perf event is of a kind that a user-space world does not have",
})  # fmt: skip
MAP_LOOKUP_AND_DELETE_ELEM: Final = Command(
    21, "MAP_LOOKUP_AND_DELETE_ELEM", MapElem, "flags", "0",
    _ELEMENT | {ENOENT: "the key is absent", ENOTSUPP: _NO_MAP_OPERATION},
)  # fmt: skip
MAP_FREEZE: Final = Command(22, "MAP_FREEZE", MapFreeze, "map_fd", "0", {
    EBADF: "map_fd is not open", EPERM: "it is frozen, or the descriptor may not write",
    ENOTSUPP: "the map type cannot be frozen",
})  # fmt: skip
BTF_GET_NEXT_ID: Final = Command(23, "BTF_GET_NEXT_ID", GetId, "next_id", "0", _NEXT_ID)
MAP_LOOKUP_BATCH: Final = Command(24, "MAP_LOOKUP_BATCH", MapBatch, "flags", "0", _BATCH)
MAP_LOOKUP_AND_DELETE_BATCH: Final = Command(
    25, "MAP_LOOKUP_AND_DELETE_BATCH", MapBatch, "flags", "0", _BATCH
)
MAP_UPDATE_BATCH: Final = Command(26, "MAP_UPDATE_BATCH", MapBatch, "flags", "0", _BATCH)
MAP_DELETE_BATCH: Final = Command(27, "MAP_DELETE_BATCH", MapBatch, "flags", "0", _BATCH)
LINK_CREATE: Final = Command(28, "LINK_CREATE", LinkCreate, "word56", _FD, {
    EBADF: _BAD_FD, **_PLACE, EPERM: "what is attached there, or above, allows no more",
    EAFNOSUPPORT: "netfilter knows no such family", EPROTO: "netfilter has no such hook",
    EOPNOTSUPP: "the device has no such mode, or this world no such hook",
})  # fmt: skip
LINK_UPDATE: Final = Command(29, "LINK_UPDATE", LinkUpdate, "old_prog_fd", "0", {
    EBADF: _BAD_FD, EPERM: "the program in place is not old_prog_fd",
    ENOLINK: "the link has come off its hook", EEXIST: "the program is in the chain already",
    EBUSY: "the map has the other verdict", EOPNOTSUPP: "netfilter links keep their program",
})  # fmt: skip
LINK_GET_FD_BY_ID: Final = Command(30, "LINK_GET_FD_BY_ID", GetId, "start_id", _FD, _BY_ID)
LINK_GET_NEXT_ID: Final = Command(31, "LINK_GET_NEXT_ID", GetId, "next_id", "0", _NEXT_ID)
ENABLE_STATS: Final = Command(32, "ENABLE_STATS", EnableStats, "type", _FD)
ITER_CREATE: Final = Command(33, "ITER_CREATE", IterCreate, "flags", _FD, {EBADF: _BAD_FD})
LINK_DETACH: Final = Command(34, "LINK_DETACH", LinkDetach, "link_fd", "0", {
    EBADF: _BAD_FD, EOPNOTSUPP: "the link type cannot be detached",
})  # fmt: skip
PROG_BIND_MAP: Final = Command(35, "PROG_BIND_MAP", ProgBindMap, "flags", "0", {EBADF: _BAD_FD})
TOKEN_CREATE: Final = Command(36, "TOKEN_CREATE", TokenCreate, "bpffs_fd", _FD, {
    EBADF: _BAD_FD, ENOENT: "the mount delegates nothing", EACCES: "its root may not be searched",
    EOPNOTSUPP: "the caller is in the initial user namespace",
})  # fmt: skip
PROG_STREAM_READ_BY_FD: Final = Command(
    37, "PROG_STREAM_READ_BY_FD", StreamRead, "prog_fd", "bytes read",
    {EBADF: _BAD_FD, ENOENT: "no such stream", EAGAIN: "another reader holds the stream"},
)  # fmt: skip
PROG_ASSOC_STRUCT_OPS: Final = Command(
    38, "PROG_ASSOC_STRUCT_OPS", AssocStructOps, "flags", "0",
    {EBADF: _BAD_FD, EOPNOTSUPP: "struct_ops maps are not supported yet"},
)  # fmt: skip

COMMANDS: Final = (
    MAP_CREATE, MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MAP_DELETE_ELEM, MAP_GET_NEXT_KEY, PROG_LOAD,
    OBJ_PIN, OBJ_GET, PROG_ATTACH, PROG_DETACH, PROG_TEST_RUN, PROG_GET_NEXT_ID, MAP_GET_NEXT_ID,
    PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD, PROG_QUERY, RAW_TRACEPOINT_OPEN,
    BTF_LOAD, BTF_GET_FD_BY_ID, TASK_FD_QUERY, MAP_LOOKUP_AND_DELETE_ELEM, MAP_FREEZE,
    BTF_GET_NEXT_ID, MAP_LOOKUP_BATCH, MAP_LOOKUP_AND_DELETE_BATCH, MAP_UPDATE_BATCH,
    MAP_DELETE_BATCH, LINK_CREATE, LINK_UPDATE, LINK_GET_FD_BY_ID, LINK_GET_NEXT_ID, ENABLE_STATS,
    ITER_CREATE, LINK_DETACH, PROG_BIND_MAP, TOKEN_CREATE, PROG_STREAM_READ_BY_FD,
    PROG_ASSOC_STRUCT_OPS,
)  # fmt: skip
BY_NUMBER: Final[Mapping[int, Command]] = {command.number: command for command in COMMANDS}
ALWAYS: Final[Mapping[int, str]] = {
    E2BIG: "the attr is longer than a page, or has bytes set that nobody knows",
    EFAULT: "a pointer cannot be read or written",
    EINVAL: "a member is not allowed, or not used and not zero",
    ENOMEM: "there is not enough memory",
    EPERM: "the caller may not",
}

if len(BY_NUMBER) != len(COMMANDS):
    raise ValueError("two commands share a number")
