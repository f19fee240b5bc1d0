"""Makes src/skep/data/kernel.btf: the types that programs commonly use, out of a kernel's BTF.

It stands for the kernel where none can be read. What it holds is facts of one kernel, its layouts
and values: the structures named below with all their members, what these contain, and for what
they only point to, a declaration.

    python tools/make_shipped_btf.py [--from FILE] [--to FILE]
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from skep.btf import kinds
from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kernel import RUNNING, SHIPPED, read_btf
from skep.btf.kinds import Kind

STRUCTURES = [
    "__sk_buff",
    "xdp_md",
    "bpf_sock",
    "bpf_tcp_sock",
    "bpf_sock_ops",
    "bpf_sock_addr",
    "sk_msg_md",
    "sk_reuseport_md",
    "bpf_sk_lookup",
    "bpf_sock_tuple",
    "bpf_sysctl",
    "bpf_sockopt",
    "bpf_cgroup_dev_ctx",
    "bpf_perf_event_data",
    "bpf_perf_event_value",
    "bpf_raw_tracepoint_args",
    "bpf_flow_keys",
    "bpf_nf_ctx",
    "bpf_tunnel_key",
    "bpf_xfrm_state",
    "bpf_fib_lookup",
    "bpf_redir_neigh",
    "bpf_spin_lock",
    "bpf_res_spin_lock",
    "bpf_timer",
    "bpf_wq",
    "bpf_task_work",
    "bpf_dynptr",
    "bpf_list_head",
    "bpf_list_node",
    "bpf_rb_root",
    "bpf_rb_node",
    "bpf_refcount",
    "bpf_pidns_info",
    "bpf_cgroup_storage_key",
    "bpf_lpm_trie_key",
    "bpf_prog_info",
    "bpf_map_info",
    "bpf_btf_info",
    "bpf_link_info",
    "bpf_func_info",
    "bpf_line_info",
    "bpf_map",
    "bpf_prog",
    "bpf_prog_aux",
    "bpf_link",
    "btf_ptr",
    "bpf_iter_meta",
    "seq_file",
    "bpf_ct_opts",
    "bpf_iter_num",
    "bpf_iter_task",
    "bpf_iter_css",
    "bpf_iter_bits",
    "bpf_crypto_params",
    "pt_regs",
    "user_regs_struct",
    "task_struct",
    "thread_info",
    "cred",
    "mm_struct",
    "vm_area_struct",
    "file",
    "inode",
    "dentry",
    "path",
    "qstr",
    "super_block",
    "address_space",
    "files_struct",
    "fdtable",
    "fs_struct",
    "nsproxy",
    "pid",
    "pid_namespace",
    "uts_namespace",
    "mnt_namespace",
    "net_namespace",
    "user_namespace",
    "ns_common",
    "signal_struct",
    "sighand_struct",
    "css_set",
    "cgroup",
    "cgroup_subsys_state",
    "cgroup_root",
    "kernfs_node",
    "mount",
    "vfsmount",
    "linux_binprm",
    "sk_buff",
    "sk_buff_head",
    "skb_shared_info",
    "xdp_buff",
    "sock",
    "sock_common",
    "socket",
    "inet_sock",
    "inet_connection_sock",
    "tcp_sock",
    "tcp6_sock",
    "udp_sock",
    "udp6_sock",
    "unix_sock",
    "request_sock",
    "tcp_request_sock",
    "tcp_timewait_sock",
    "inet_timewait_sock",
    "ipv6_pinfo",
    "net_device",
    "net",
    "neighbour",
    "dst_entry",
    "rtable",
    "nf_conn",
    "nf_hook_state",
    "sockaddr",
    "sockaddr_in",
    "sockaddr_in6",
    "sockaddr_un",
    "in_addr",
    "in6_addr",
    "ethhdr",
    "vlan_hdr",
    "iphdr",
    "ipv6hdr",
    "tcphdr",
    "udphdr",
    "icmphdr",
    "icmp6hdr",
    "arphdr",
    "msghdr",
    "iov_iter",
    "kiocb",
    "bio",
    "request",
    "gendisk",
    "block_device",
    "request_queue",
    "rq",
    "io_kiocb",
    "perf_event_attr",
    "tcp_congestion_ops",
    "tcp_skb_cb",
    "open_how",
    "timespec64",
    "list_head",
    "hlist_node",
    "hlist_head",
    "rb_node",
    "work_struct",
    "trace_entry",
    "trace_event_raw_sys_enter",
    "trace_event_raw_sys_exit",
    "trace_event_raw_sched_switch",
    "trace_event_raw_sched_wakeup_template",
    "trace_event_raw_sched_process_exec",
    "trace_event_raw_sched_process_template",
    "trace_event_raw_sched_process_fork",
    "trace_event_raw_inet_sock_set_state",
    "trace_event_raw_net_dev_template",
    "trace_event_raw_kfree_skb",
    "trace_event_raw_block_rq",
    "trace_event_raw_block_rq_completion",
    "trace_event_raw_signal_generate",
]

PATTERNS = (
    (Kind.STRUCT, r"bpf_iter__\w+(?<!__safe_trusted)"),
    (Kind.STRUCT, r"\w+__safe_(trusted|rcu|rcu_or_null|trusted_or_null)"),
    (Kind.UNION, r"bpf_attr|bpf_iter_link_info"),
    (Kind.ENUM, r"bpf_\w+|xdp_action|tc_action|sk_action|sk_pass|pid_type|nf_inet_hooks|sock_type"),
    (Kind.ENUM64, r"bpf_\w+"),
    (Kind.TYPEDEF, r"[us](8|16|32|64)|__[us](8|16|32|64)|__(be|le)(16|32|64)|bool|size_t|pid_t"),
    (Kind.TYPEDEF, r"btf_trace_(sys_enter|sys_exit|sched_\w+|task_\w+|signal_\w+|kfree_skb)"),
    (Kind.TYPEDEF, r"btf_trace_(netif_\w+|net_dev_\w+|xdp_\w+|tcp_\w+|inet_\w+|block_rq_\w+)"),
    (Kind.FUNC, r"bpf_iter_\w+|bpf_lsm_(file_open|bprm_check_security|task_\w+|socket_\w+|bpf\w*)"),
    (Kind.FUNC, r"bpf_fentry_test\d+|bpf_modify_return_test|vfs_(read|write|open|unlink)"),
    (Kind.FUNC, r"tcp_(v[46]_connect|connect|close|sendmsg|recvmsg|rcv_established)|do_unlinkat"),
    (Kind.FUNC, r"(__)?netif_receive_skb|dev_queue_xmit|ip_(rcv|output)|do_exit|kernel_clone"),
)
ENUM_OF_VALUE = ("BPF_F_INDEX_MASK", "BPF_ANY", "BPF_F_NO_PREALLOC", "BTF_F_COMPACT")


class Extract:
    """A copy of some of a BTF's types."""

    def __init__(self, source: Btf, whole: set[int]) -> None:
        self._source = source
        self._whole = whole  # structures that keep their members behind pointers
        self._ids: dict[tuple[int, bool], int] = {(0, True): 0, (0, False): 0}
        self.builder = Builder()

    def take(self, type_id: int, *, inside: bool = True) -> int:
        """Copy a type; *inside*: as a member, with all of it; else as what a pointer points to."""
        type_ = self._source.type(type_id)
        if not isinstance(type_, kinds.Composite) or type_id in self._whole or not type_.name:
            inside = True
        key = (type_id, inside)
        if key in self._ids:
            return self._ids[key]
        if isinstance(type_, kinds.Composite) and not inside:
            self._ids[key] = self.builder.forward(type_.name, is_union=type_.kind == Kind.UNION)
            return self._ids[key]
        self._ids[key] = self.builder.add(type_)  # its place; cycles lead to it
        self.builder.replace(self._ids[key], self._copy(type_))
        return self._ids[key]

    def _copy(self, type_: kinds.Type) -> kinds.Type:
        if isinstance(type_, kinds.Ptr):
            return replace(type_, type=self._behind(type_.type))
        if isinstance(type_, kinds.Array):
            return replace(type_, element=self.take(type_.element), index=self.take(type_.index))
        if isinstance(type_, kinds.Composite):
            return replace(type_, members=self._members(type_.members))
        if isinstance(type_, kinds.FuncProto):
            params = tuple(replace(p, type=self._behind(p.type)) for p in type_.params)
            return replace(type_, returns=self._behind(type_.returns), params=params)
        if isinstance(type_, (kinds.Reference, kinds.Func)):
            return replace(type_, type=self.take(type_.type))
        return type_

    def _members(self, members: Sequence[kinds.Member]) -> tuple[kinds.Member, ...]:
        return tuple(replace(member, type=self.take(member.type)) for member in members)

    def _behind(self, type_id: int) -> int:
        """Copy what a pointer points to, through its qualifiers."""
        type_ = self._source.type(type_id)
        if isinstance(type_, kinds.Reference) and type_.kind != Kind.TYPEDEF:
            target = self._behind(type_.type)
            key = (type_id, self._source.kind(self._source.resolve(type_id)) == Kind.VOID)
            if key not in self._ids:
                self._ids[key] = self.builder.add(replace(type_, type=target))
            return self._ids[key]
        return self.take(type_id, inside=False)


def roots(btf: Btf) -> list[int]:
    """The types that are wanted for their own sake."""
    found = [btf.by_name(name, Kind.STRUCT, Kind.UNION) for name in STRUCTURES]
    wanted = [type_id for type_id in found if type_id is not None]
    for type_id in btf.ids():
        kind = btf.kind(type_id)
        name = btf.name(type_id) if kind in {row[0] for row in PATTERNS} else ""
        if (
            any(kind == row[0] and re.fullmatch(row[1], name) for row in PATTERNS)
            or (kind in kinds.ENUMS and any(v in btf.enum_values(type_id) for v in ENUM_OF_VALUE))
            or (kind == Kind.FUNC and "bpf_kfunc" in btf.decl_tags(type_id))
        ):
            wanted.append(type_id)
    return wanted


def contained(btf: Btf, wanted: Sequence[int]) -> set[int]:
    """The structures among *wanted*, and all that they contain, however deep."""
    found: set[int] = set()
    left = list(wanted)
    while left:
        type_id, _ = btf.array_elems(left.pop())
        type_ = btf.type(type_id)
        if isinstance(type_, kinds.Composite) and type_id not in found:
            found.add(type_id)
            left += [member.type for member in type_.members]
    return found


def extract(btf: Btf) -> Btf:
    """The types in question, of *btf*."""
    wanted = roots(btf)
    copy = Extract(btf, contained(btf, wanted))
    for type_id in wanted:
        new = copy.take(type_id)
        for tag in btf.decl_tags(type_id):
            copy.builder.decl_tag(tag, new)
    return copy.builder.build("shipped BTF")


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", default=str(RUNNING))
    parser.add_argument("--to", dest="target", default=str(SHIPPED))
    options = parser.parse_args()
    made = extract(read_btf(options.source))
    made.check()
    Path(options.target).write_bytes(made.to_bytes())
    print(f"{options.target}: {len(made)} types, {len(made.to_bytes())} bytes")


if __name__ == "__main__":
    main()
