"""Info structs that OBJ_GET_INFO_BY_FD fills, one for each kind of object.

Members that are addresses and counts are read and written: the caller says where and how many, the
answer says how many there are.

Source: Linux 6.18 include/uapi/linux/bpf.h.
"""

from dataclasses import dataclass
from typing import Final

from skep.base.layout import S32, U32, U64, Layout, Name, Pointer, Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgInfo(Layout):
    """``struct bpf_prog_info``."""

    type: U32 = 0
    id: U32 = 0
    tag: Tag = b""
    jited_prog_len: U32 = 0
    xlated_prog_len: U32 = 0
    jited_prog_insns: Pointer = 0
    xlated_prog_insns: Pointer = 0
    load_time: U64 = 0
    created_by_uid: U32 = 0
    nr_map_ids: U32 = 0
    map_ids: Pointer = 0
    name: Name = b""
    ifindex: U32 = 0
    gpl_compatible: U32 = 0  # one bit
    netns_dev: U64 = 0
    netns_ino: U64 = 0
    nr_jited_ksyms: U32 = 0
    nr_jited_func_lens: U32 = 0
    jited_ksyms: Pointer = 0
    jited_func_lens: Pointer = 0
    btf_id: U32 = 0
    func_info_rec_size: U32 = 0
    func_info: Pointer = 0
    nr_func_info: U32 = 0
    nr_line_info: U32 = 0
    line_info: Pointer = 0
    jited_line_info: Pointer = 0
    nr_jited_line_info: U32 = 0
    line_info_rec_size: U32 = 0
    jited_line_info_rec_size: U32 = 0
    nr_prog_tags: U32 = 0
    prog_tags: Pointer = 0
    run_time_ns: U64 = 0
    run_cnt: U64 = 0
    recursion_misses: U64 = 0
    verified_insns: U32 = 0
    attach_btf_obj_id: U32 = 0
    attach_btf_id: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapInfo(Layout):
    """``struct bpf_map_info``."""

    type: U32 = 0
    id: U32 = 0
    key_size: U32 = 0
    value_size: U32 = 0
    max_entries: U32 = 0
    map_flags: U32 = 0
    name: Name = b""
    ifindex: U32 = 0
    btf_vmlinux_value_type_id: U32 = 0
    netns_dev: U64 = 0
    netns_ino: U64 = 0
    btf_id: U32 = 0
    btf_key_type_id: U32 = 0
    btf_value_type_id: U32 = 0
    btf_vmlinux_id: U32 = 0
    map_extra: U64 = 0
    hash: Pointer = 0
    hash_size: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BtfInfo(Layout):
    """``struct bpf_btf_info``."""

    btf: Pointer = 0
    btf_size: U32 = 0
    id: U32 = 0
    name: Pointer = 0
    name_len: U32 = 0
    kernel_btf: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo(Layout):
    """``struct bpf_token_info``: one bit for each number."""

    allowed_cmds: U64 = 0
    allowed_maps: U64 = 0
    allowed_progs: U64 = 0
    allowed_attachs: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInfo(Layout):
    """``struct bpf_link_info``: the head that all link types share."""

    type: U32 = 0
    id: U32 = 0
    prog_id: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTracepointLinkInfo(LinkInfo):
    """``struct bpf_link_info`` of links on raw tracepoints."""

    tp_name: Pointer = 0
    tp_name_len: U32 = 0
    cookie: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TracepointLinkInfo(LinkInfo):
    """``struct bpf_link_info`` of perf event links on tracepoints."""

    event: U64 = 0  # enum bpf_perf_event_type
    tp_name: Pointer = 0
    name_len: U32 = 0
    cookie: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLinkInfo(LinkInfo):
    """``struct bpf_link_info`` of perf event links on other events."""

    event: U64 = 0  # enum bpf_perf_event_type
    config: U64 = 0
    event_type: U32 = 0
    cookie: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IterLinkInfo(LinkInfo):
    """``struct bpf_link_info`` of iterator links; *map_id* of those over maps, else of tasks."""

    target_name: Pointer = 0
    target_name_len: U32 = 0
    map_id: U32 = 0
    tid: U32 = 0
    pid: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingLinkInfo(Layout):
    """``struct bpf_link_info`` of a link at a function of a program, *target_obj_id*."""

    type: U32 = 0
    id: U32 = 0
    prog_id: U32 = 0
    gap: U32 = 0
    attach_type: U32 = 0
    target_obj_id: U32 = 0
    target_btf_id: U32 = 0
    hole: U32 = 0
    cookie: U64 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLinkInfo(Layout):
    """``struct bpf_link_info`` of a cgroup link; *cgroup_id* is 0 once it has come off."""

    type: U32 = 0
    id: U32 = 0
    prog_id: U32 = 0
    cgroup_id: U64 = 0
    attach_type: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetnsLinkInfo(Layout):
    """``struct bpf_link_info`` of a link on a network namespace; the union is aligned to 8."""

    type: U32 = 0
    id: U32 = 0
    prog_id: U32 = 0
    gap: U32 = 0
    netns_ino: U32 = 0
    attach_type: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class XdpLinkInfo(Layout):
    """``struct bpf_link_info`` of an XDP link; *ifindex* is 0 once it has come off."""

    type: U32 = 0
    id: U32 = 0
    prog_id: U32 = 0
    gap: U32 = 0
    ifindex: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLinkInfo(Layout):
    """``struct bpf_link_info`` of a tcx or netkit link; *ifindex* is 0 once it has come off."""

    type: U32 = 0
    id: U32 = 0
    prog_id: U32 = 0
    gap: U32 = 0
    ifindex: U32 = 0
    attach_type: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetfilterLinkInfo(Layout):
    """``struct bpf_link_info`` of a netfilter link."""

    type: U32 = 0
    id: U32 = 0
    prog_id: U32 = 0
    gap: U32 = 0
    pf: U32 = 0
    hooknum: U32 = 0
    priority: S32 = 0
    flags: U32 = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SockmapLinkInfo(Layout):
    """``struct bpf_link_info`` of a link on a socket map; *map_id* is 0 once it has come off."""

    type: U32 = 0
    id: U32 = 0
    prog_id: U32 = 0
    gap: U32 = 0
    map_id: U32 = 0
    attach_type: U32 = 0


# sizeof, with the padding at the end
PROG_INFO_SIZE: Final = 232
MAP_INFO_SIZE: Final = 104
BTF_INFO_SIZE: Final = 32
TOKEN_INFO_SIZE: Final = 32
LINK_INFO_SIZE: Final = 64
FUNC_INFO_SIZE: Final = 8
LINE_INFO_SIZE: Final = 16
JITED_LINE_INFO_SIZE: Final = 8
