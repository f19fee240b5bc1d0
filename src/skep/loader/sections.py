# ruff: noqa: E501 - rows stand on one line
"""THE SEC() table: what a section's name says of the programs in it.

Rows are tried in order, the first match counts. Attach types above 57 are Linux 7.x.

Source: libbpf 1.x, ``section_defs``.
"""

import difflib
from dataclasses import dataclass
from typing import Final

from skep.errors import SectionError
from skep.uapi.flags import AttachType as A
from skep.uapi.flags import ProgFlag
from skep.uapi.flags import ProgType as P


@dataclass(frozen=True, slots=True)
class SectionRow:
    """What ``SEC(name)`` means.

    Args:
        name: the section, or with *prefix* also everything that follows it after a ``/``.
        program_type: type of its programs.
        attach_type: their expected attach type; UNSPEC types are 0, as is CGROUP_INET_INGRESS.
        prefix: ``SEC("name/target")`` is allowed.
        sleepable: programs may sleep (``BPF_F_SLEEPABLE``).
        attach_btf: the target is found in the kernel's BTF when the program is loaded.
        frags: programs understand multi-buffer packets (``BPF_F_XDP_HAS_FRAGS``).
        usdt: a user-space tracepoint, loaded for uprobe.multi links.
    """

    name: str
    program_type: P
    attach_type: int = 0
    prefix: bool = False
    sleepable: bool = False
    attach_btf: bool = False
    frags: bool = False
    usdt: bool = False

    @property
    def flags(self) -> int:
        """``prog_flags`` that follow from the section."""
        sleepable = ProgFlag.SLEEPABLE if self.sleepable else 0
        return sleepable | (ProgFlag.XDP_HAS_FRAGS if self.frags else 0)

    def matches(self, name: str) -> bool:
        """Whether *name* is this section, or one of its targets."""
        return name == self.name or (self.prefix and name.startswith(f"{self.name}/"))


SECTIONS: Final[tuple[SectionRow, ...]] = (
    SectionRow("socket", P.SOCKET_FILTER),
    SectionRow("sk_reuseport/migrate", P.SK_REUSEPORT, A.SK_REUSEPORT_SELECT_OR_MIGRATE),
    SectionRow("sk_reuseport", P.SK_REUSEPORT, A.SK_REUSEPORT_SELECT),
    SectionRow("kprobe", P.KPROBE, prefix=True),
    SectionRow("uprobe", P.KPROBE, prefix=True),
    SectionRow("uprobe.s", P.KPROBE, prefix=True, sleepable=True),
    SectionRow("kretprobe", P.KPROBE, prefix=True),
    SectionRow("uretprobe", P.KPROBE, prefix=True),
    SectionRow("uretprobe.s", P.KPROBE, prefix=True, sleepable=True),
    SectionRow("kprobe.multi", P.KPROBE, A.TRACE_KPROBE_MULTI, prefix=True),
    SectionRow("kretprobe.multi", P.KPROBE, A.TRACE_KPROBE_MULTI, prefix=True),
    SectionRow("kprobe.session", P.KPROBE, A.TRACE_KPROBE_SESSION, prefix=True),
    SectionRow("uprobe.multi", P.KPROBE, A.TRACE_UPROBE_MULTI, prefix=True),
    SectionRow("uretprobe.multi", P.KPROBE, A.TRACE_UPROBE_MULTI, prefix=True),
    SectionRow("uprobe.session", P.KPROBE, A.TRACE_UPROBE_SESSION, prefix=True),
    SectionRow("uprobe.multi.s", P.KPROBE, A.TRACE_UPROBE_MULTI, prefix=True, sleepable=True),
    SectionRow("uretprobe.multi.s", P.KPROBE, A.TRACE_UPROBE_MULTI, prefix=True, sleepable=True),
    SectionRow("uprobe.session.s", P.KPROBE, A.TRACE_UPROBE_SESSION, prefix=True, sleepable=True),
    SectionRow("ksyscall", P.KPROBE, prefix=True),
    SectionRow("kretsyscall", P.KPROBE, prefix=True),
    SectionRow("usdt", P.KPROBE, prefix=True, usdt=True),
    SectionRow("usdt.s", P.KPROBE, prefix=True, sleepable=True, usdt=True),
    SectionRow("tc/ingress", P.SCHED_CLS, A.TCX_INGRESS),
    SectionRow("tc/egress", P.SCHED_CLS, A.TCX_EGRESS),
    SectionRow("tcx/ingress", P.SCHED_CLS, A.TCX_INGRESS),
    SectionRow("tcx/egress", P.SCHED_CLS, A.TCX_EGRESS),
    SectionRow("tc", P.SCHED_CLS),
    SectionRow("classifier", P.SCHED_CLS),
    SectionRow("action", P.SCHED_ACT),
    SectionRow("netkit/primary", P.SCHED_CLS, A.NETKIT_PRIMARY),
    SectionRow("netkit/peer", P.SCHED_CLS, A.NETKIT_PEER),
    SectionRow("tracepoint", P.TRACEPOINT, prefix=True),
    SectionRow("tp", P.TRACEPOINT, prefix=True),
    SectionRow("tracepoint.s", P.TRACEPOINT, prefix=True, sleepable=True),
    SectionRow("tp.s", P.TRACEPOINT, prefix=True, sleepable=True),
    SectionRow("raw_tracepoint", P.RAW_TRACEPOINT, prefix=True),
    SectionRow("raw_tp", P.RAW_TRACEPOINT, prefix=True),
    SectionRow("raw_tracepoint.s", P.RAW_TRACEPOINT, prefix=True, sleepable=True),
    SectionRow("raw_tp.s", P.RAW_TRACEPOINT, prefix=True, sleepable=True),
    SectionRow("raw_tracepoint.w", P.RAW_TRACEPOINT_WRITABLE, prefix=True),
    SectionRow("raw_tp.w", P.RAW_TRACEPOINT_WRITABLE, prefix=True),
    SectionRow("tp_btf", P.TRACING, A.TRACE_RAW_TP, prefix=True, attach_btf=True),
    SectionRow("tp_btf.s", P.TRACING, A.TRACE_RAW_TP, prefix=True, sleepable=True, attach_btf=True),
    SectionRow("fentry", P.TRACING, A.TRACE_FENTRY, prefix=True, attach_btf=True),
    SectionRow("fmod_ret", P.TRACING, A.MODIFY_RETURN, prefix=True, attach_btf=True),
    SectionRow("fexit", P.TRACING, A.TRACE_FEXIT, prefix=True, attach_btf=True),
    SectionRow("fentry.s", P.TRACING, A.TRACE_FENTRY, prefix=True, sleepable=True, attach_btf=True),
    SectionRow("fmod_ret.s", P.TRACING, A.MODIFY_RETURN, prefix=True, sleepable=True, attach_btf=True),
    SectionRow("fexit.s", P.TRACING, A.TRACE_FEXIT, prefix=True, sleepable=True, attach_btf=True),
    SectionRow("fsession", P.TRACING, A.TRACE_FSESSION, prefix=True, attach_btf=True),
    SectionRow("fsession.s", P.TRACING, A.TRACE_FSESSION, prefix=True, sleepable=True, attach_btf=True),
    SectionRow("fsession.multi", P.TRACING, A.TRACE_FSESSION_MULTI, prefix=True),
    SectionRow("fsession.multi.s", P.TRACING, A.TRACE_FSESSION_MULTI, prefix=True, sleepable=True),
    SectionRow("fentry.multi", P.TRACING, A.TRACE_FENTRY_MULTI, prefix=True),
    SectionRow("fexit.multi", P.TRACING, A.TRACE_FEXIT_MULTI, prefix=True),
    SectionRow("fentry.multi.s", P.TRACING, A.TRACE_FENTRY_MULTI, prefix=True, sleepable=True),
    SectionRow("fexit.multi.s", P.TRACING, A.TRACE_FEXIT_MULTI, prefix=True, sleepable=True),
    SectionRow("freplace", P.EXT, prefix=True, attach_btf=True),
    SectionRow("lsm", P.LSM, A.LSM_MAC, prefix=True, attach_btf=True),
    SectionRow("lsm.s", P.LSM, A.LSM_MAC, prefix=True, sleepable=True, attach_btf=True),
    SectionRow("lsm_cgroup", P.LSM, A.LSM_CGROUP, prefix=True, attach_btf=True),
    SectionRow("iter", P.TRACING, A.TRACE_ITER, prefix=True, attach_btf=True),
    SectionRow("iter.s", P.TRACING, A.TRACE_ITER, prefix=True, sleepable=True, attach_btf=True),
    SectionRow("syscall", P.SYSCALL, sleepable=True),
    SectionRow("xdp.frags/devmap", P.XDP, A.XDP_DEVMAP, frags=True),
    SectionRow("xdp/devmap", P.XDP, A.XDP_DEVMAP),
    SectionRow("xdp.frags/cpumap", P.XDP, A.XDP_CPUMAP, frags=True),
    SectionRow("xdp/cpumap", P.XDP, A.XDP_CPUMAP),
    SectionRow("xdp.frags", P.XDP, A.XDP, frags=True),
    SectionRow("xdp", P.XDP, A.XDP),
    SectionRow("perf_event", P.PERF_EVENT),
    SectionRow("lwt_in", P.LWT_IN),
    SectionRow("lwt_out", P.LWT_OUT),
    SectionRow("lwt_xmit", P.LWT_XMIT),
    SectionRow("lwt_seg6local", P.LWT_SEG6LOCAL),
    SectionRow("sockops", P.SOCK_OPS, A.CGROUP_SOCK_OPS),
    SectionRow("sk_skb/stream_parser", P.SK_SKB, A.SK_SKB_STREAM_PARSER),
    SectionRow("sk_skb/stream_verdict", P.SK_SKB, A.SK_SKB_STREAM_VERDICT),
    SectionRow("sk_skb/verdict", P.SK_SKB, A.SK_SKB_VERDICT),
    SectionRow("sk_skb", P.SK_SKB),
    SectionRow("sk_msg", P.SK_MSG, A.SK_MSG_VERDICT),
    SectionRow("lirc_mode2", P.LIRC_MODE2, A.LIRC_MODE2),
    SectionRow("flow_dissector", P.FLOW_DISSECTOR, A.FLOW_DISSECTOR),
    SectionRow("cgroup_skb/ingress", P.CGROUP_SKB, A.CGROUP_INET_INGRESS),
    SectionRow("cgroup_skb/egress", P.CGROUP_SKB, A.CGROUP_INET_EGRESS),
    SectionRow("cgroup/skb", P.CGROUP_SKB),
    SectionRow("cgroup/sock_create", P.CGROUP_SOCK, A.CGROUP_INET_SOCK_CREATE),
    SectionRow("cgroup/sock_release", P.CGROUP_SOCK, A.CGROUP_INET_SOCK_RELEASE),
    SectionRow("cgroup/sock", P.CGROUP_SOCK, A.CGROUP_INET_SOCK_CREATE),
    SectionRow("cgroup/post_bind4", P.CGROUP_SOCK, A.CGROUP_INET4_POST_BIND),
    SectionRow("cgroup/post_bind6", P.CGROUP_SOCK, A.CGROUP_INET6_POST_BIND),
    SectionRow("cgroup/bind4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_BIND),
    SectionRow("cgroup/bind6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_BIND),
    SectionRow("cgroup/connect4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_CONNECT),
    SectionRow("cgroup/connect6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_CONNECT),
    SectionRow("cgroup/connect_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_CONNECT),
    SectionRow("cgroup/sendmsg4", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP4_SENDMSG),
    SectionRow("cgroup/sendmsg6", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP6_SENDMSG),
    SectionRow("cgroup/sendmsg_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_SENDMSG),
    SectionRow("cgroup/recvmsg4", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP4_RECVMSG),
    SectionRow("cgroup/recvmsg6", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP6_RECVMSG),
    SectionRow("cgroup/recvmsg_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_RECVMSG),
    SectionRow("cgroup/getpeername4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_GETPEERNAME),
    SectionRow("cgroup/getpeername6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_GETPEERNAME),
    SectionRow("cgroup/getpeername_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_GETPEERNAME),
    SectionRow("cgroup/getsockname4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_GETSOCKNAME),
    SectionRow("cgroup/getsockname6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_GETSOCKNAME),
    SectionRow("cgroup/getsockname_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_GETSOCKNAME),
    SectionRow("cgroup/sysctl", P.CGROUP_SYSCTL, A.CGROUP_SYSCTL),
    SectionRow("cgroup/getsockopt", P.CGROUP_SOCKOPT, A.CGROUP_GETSOCKOPT),
    SectionRow("cgroup/setsockopt", P.CGROUP_SOCKOPT, A.CGROUP_SETSOCKOPT),
    SectionRow("cgroup/dev", P.CGROUP_DEVICE, A.CGROUP_DEVICE),
    SectionRow("struct_ops", P.STRUCT_OPS, prefix=True),
    SectionRow("struct_ops.s", P.STRUCT_OPS, prefix=True, sleepable=True),
    SectionRow("sk_lookup", P.SK_LOOKUP, A.SK_LOOKUP),
    SectionRow("netfilter", P.NETFILTER, A.NETFILTER),
)  # fmt: skip


UNKNOWN: Final = SectionRow("", P.UNSPEC)


@dataclass(frozen=True, slots=True)
class Match:
    """A section's row, and what stood behind its ``/`` ("" if nothing did)."""

    row: SectionRow
    target: str


def match(name: str) -> Match:
    """Find the row of a section's *name*, which has no leading ``?``.

    Raises:
        SectionError: no row matches; names the nearest.
    """
    for row in SECTIONS:
        if row.matches(name):
            return Match(row, name[len(row.name) + 1 :])
    near = nearest(name)
    hint = f'did you mean SEC("{near}")?' if near else "name its program type when loading it"
    raise SectionError("no program type is known for this section", name=name, hint=hint)


def nearest(name: str) -> str:
    """The known section name most like *name*; "" if none is near."""
    head = name.split("/", maxsplit=1)[0]
    names = [row.name for row in SECTIONS]
    found = difflib.get_close_matches(name, names, 1) or difflib.get_close_matches(head, names, 1)
    if found:
        return found[0]
    begun = [known for known in names if head.startswith(known)]
    return max(begun, key=len, default="")
