"""THE link type table: which links LINK_CREATE makes, and for which attach types.

Source: Linux 6.18 kernel/bpf/syscall.c (``link_create``), include/linux/bpf_types.h.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skep.uapi.flags import AttachType as On
from skep.uapi.flags import LinkType as Of


@dataclass(frozen=True, slots=True)
class LinkKind:
    """One link type.

    Args:
        id: number, ``BPF_LINK_TYPE_*``. *name*: lower case, without prefix.
        attach_types: those whose LINK_CREATE makes such a link; empty if it is made otherwise.
        made_by: the command that makes it.
        since: first Linux version.
        doc: what it holds a program on.
    """

    id: int
    name: str
    attach_types: tuple[int, ...]
    made_by: str
    since: str
    doc: str


_CGROUP: Final = (
    On.CGROUP_INET_INGRESS,
    On.CGROUP_INET_EGRESS,
    On.CGROUP_INET_SOCK_CREATE,
    On.CGROUP_INET_SOCK_RELEASE,
    On.CGROUP_SOCK_OPS,
    On.CGROUP_DEVICE,
    On.CGROUP_INET4_BIND,
    On.CGROUP_INET6_BIND,
    On.CGROUP_INET4_CONNECT,
    On.CGROUP_INET6_CONNECT,
    On.CGROUP_UNIX_CONNECT,
    On.CGROUP_INET4_POST_BIND,
    On.CGROUP_INET6_POST_BIND,
    On.CGROUP_UDP4_SENDMSG,
    On.CGROUP_UDP6_SENDMSG,
    On.CGROUP_UNIX_SENDMSG,
    On.CGROUP_UDP4_RECVMSG,
    On.CGROUP_UDP6_RECVMSG,
    On.CGROUP_UNIX_RECVMSG,
    On.CGROUP_SYSCTL,
    On.CGROUP_GETSOCKOPT,
    On.CGROUP_SETSOCKOPT,
    On.CGROUP_INET4_GETPEERNAME,
    On.CGROUP_INET6_GETPEERNAME,
    On.CGROUP_UNIX_GETPEERNAME,
    On.CGROUP_INET4_GETSOCKNAME,
    On.CGROUP_INET6_GETSOCKNAME,
    On.CGROUP_UNIX_GETSOCKNAME,
    On.LSM_CGROUP,
)
_TRACING: Final = (
    On.TRACE_RAW_TP,
    On.TRACE_FENTRY,
    On.TRACE_FEXIT,
    On.MODIFY_RETURN,
    On.LSM_MAC,
)
_SOCKMAP: Final = (
    On.SK_MSG_VERDICT,
    On.SK_SKB_STREAM_PARSER,
    On.SK_SKB_STREAM_VERDICT,
    On.SK_SKB_VERDICT,
)
_KPROBE_MULTI: Final = (On.TRACE_KPROBE_MULTI, On.TRACE_KPROBE_SESSION)
_UPROBE_MULTI: Final = (On.TRACE_UPROBE_MULTI, On.TRACE_UPROBE_SESSION)
_CREATE: Final = "LINK_CREATE"
_OPEN: Final = "RAW_TRACEPOINT_OPEN"

LINK_KINDS: Final[tuple[LinkKind, ...]] = (
    LinkKind(Of.RAW_TRACEPOINT, "raw_tracepoint", (), _OPEN, "4.17", "a raw tracepoint"),
    LinkKind(Of.TRACING, "tracing", _TRACING, _CREATE, "5.5", "a kernel function or LSM hook"),
    LinkKind(Of.CGROUP, "cgroup", _CGROUP, _CREATE, "5.7", "a hook of a cgroup"),
    LinkKind(Of.ITER, "iter", (On.TRACE_ITER,), _CREATE, "5.8", "the objects of a kind"),
    LinkKind(
        Of.NETNS,
        "netns",
        (On.FLOW_DISSECTOR, On.SK_LOOKUP),
        _CREATE,
        "5.8",
        "a hook of a network namespace",
    ),
    LinkKind(Of.XDP, "xdp", (On.XDP,), _CREATE, "5.9", "a network device, before the stack"),
    LinkKind(Of.PERF_EVENT, "perf_event", (On.PERF_EVENT,), _CREATE, "5.15", "a perf event"),
    LinkKind(
        Of.KPROBE_MULTI, "kprobe_multi", _KPROBE_MULTI, _CREATE, "5.18", "many kernel functions"
    ),
    LinkKind(
        Of.STRUCT_OPS, "struct_ops", (On.STRUCT_OPS,), _CREATE, "6.4", "a table of kernel functions"
    ),
    LinkKind(Of.NETFILTER, "netfilter", (On.NETFILTER,), _CREATE, "6.4", "a netfilter hook"),
    LinkKind(
        Of.TCX, "tcx", (On.TCX_INGRESS, On.TCX_EGRESS), _CREATE, "6.6", "a device's traffic control"
    ),
    LinkKind(Of.UPROBE_MULTI, "uprobe_multi", _UPROBE_MULTI, _CREATE, "6.6", "many user functions"),
    LinkKind(
        Of.NETKIT, "netkit", (On.NETKIT_PRIMARY, On.NETKIT_PEER), _CREATE, "6.7", "a netkit device"
    ),
    LinkKind(Of.SOCKMAP, "sockmap", _SOCKMAP, _CREATE, "6.10", "the sockets of a map"),
)
_BY_NAME: Final[Mapping[str, LinkKind]] = {row.name: row for row in LINK_KINDS}
_BY_ATTACH: Final[Mapping[int, LinkKind]] = {
    attach_type: row for row in LINK_KINDS for attach_type in row.attach_types
}

if [row.id for row in LINK_KINDS] != list(range(1, 15)) or len(_BY_ATTACH) != sum(
    len(row.attach_types) for row in LINK_KINDS
):
    raise AssertionError("link types are not 1 .. 14, each attach type in one of them")


def by_id(link_type: int) -> LinkKind | None:
    """The row with number *link_type*, or None."""
    return LINK_KINDS[link_type - 1] if 1 <= link_type <= len(LINK_KINDS) else None


def by_name(name: str) -> LinkKind | None:
    """The row called *name* (lower case, as ``kprobe_multi``), or None."""
    return _BY_NAME.get(name)


def of_attach_type(attach_type: int) -> LinkKind | None:
    """What LINK_CREATE makes for programs of an attach type, or None."""
    return _BY_ATTACH.get(attach_type)


def of(link_type: int) -> LinkKind:
    """The row with number *link_type*, which there is."""
    return LINK_KINDS[link_type - 1]
