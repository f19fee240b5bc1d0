"""Sets of helpers that program types share: the columns of the helper x program type matrix.

Asked of a running Linux 6.18, helper by helper and type by type, except what that kernel could not
load (fentry, LSM, LIRC, struct_ops), which is read from its sources.
"""

from typing import Final

from skep.uapi.helpers import by_name


def _ids(*texts: str) -> frozenset[int]:
    found = set()
    for name in " ".join(texts).split():
        row = by_name(name)
        if row is None:
            raise AssertionError(f"no helper is called {name}")
        found.add(row.id)
    return frozenset(found)


# what an unprivileged program may call
UNPRIVILEGED: Final = _ids(
    "map_lookup_elem map_update_elem map_delete_elem map_push_elem map_pop_elem map_peek_elem ",
    "map_lookup_percpu_elem get_prandom_u32 get_smp_processor_id get_numa_node_id tail_call ",
    "ktime_get_ns ktime_get_boot_ns ktime_get_tai_ns ringbuf_output ringbuf_reserve ",
    "ringbuf_submit ringbuf_discard ringbuf_query strncmp strtol strtoul get_current_pid_tgid ",
    "get_ns_current_pid_tgid get_current_uid_gid",
)
# what CAP_BPF adds
WITH_CAP_BPF: Final = UNPRIVILEGED | _ids(
    "spin_lock spin_unlock jiffies64 per_cpu_ptr this_cpu_ptr timer_init timer_set_callback ",
    "timer_start timer_cancel kptr_xchg for_each_map_elem loop user_ringbuf_drain ",
    "ringbuf_reserve_dynptr ringbuf_submit_dynptr ringbuf_discard_dynptr dynptr_from_mem ",
    "dynptr_read dynptr_write dynptr_data cgrp_storage_get cgrp_storage_delete ",
    "get_current_cgroup_id get_current_ancestor_cgroup_id current_task_under_cgroup ",
    "get_cgroup_classid task_storage_get task_storage_delete",
)
# every loadable type, with CAP_PERFMON too
BASE: Final = WITH_CAP_BPF | _ids(
    "trace_printk get_current_task get_current_task_btf get_current_comm probe_read_user ",
    "probe_read_kernel probe_read_user_str probe_read_kernel_str copy_from_user ",
    "copy_from_user_task snprintf_btf snprintf task_pt_regs trace_vprintk ",
    "perf_event_read_value perf_event_read send_signal send_signal_thread get_task_stack ",
    "get_branch_snapshot find_vma",
)
_CASTS = _ids(
    "skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock skc_to_tcp_request_sock ",
    "skc_to_udp6_sock skc_to_unix_sock skc_to_mptcp_sock",
)
# what nobody may call without CAP_PERFMON, and without CAP_SYS_ADMIN
FOR_PERFMON: Final = BASE - WITH_CAP_BPF | _CASTS | _ids("sys_bpf")
FOR_SYS_ADMIN: Final = _ids("probe_write_user")
SOCKETS: Final = BASE | _CASTS | _ids("ktime_get_coarse_ns")
SOCKET_FILTER: Final = SOCKETS | _ids(
    "perf_event_output skb_load_bytes get_socket_cookie get_socket_uid ",
    "skb_load_bytes_relative get_netns_cookie",
)
PROBE: Final = BASE | _ids(
    "probe_read perf_event_output get_stackid probe_read_str get_stack get_func_ip ",
    "get_attach_cookie",
)
PERF_EVENT: Final = PROBE | _ids("perf_prog_read_value read_branch_records")
_LWT = SOCKETS | _ids(
    "get_route_realm perf_event_output skb_load_bytes csum_diff skb_under_cgroup ",
    "get_hash_recalc skb_pull_data",
)
_LOOKUP = _ids("sk_lookup_tcp sk_lookup_udp sk_release skc_lookup_tcp")
_SYNCOOKIE = _ids(
    "tcp_check_syncookie tcp_gen_syncookie tcp_raw_gen_syncookie_ipv4 ",
    "tcp_raw_gen_syncookie_ipv6 tcp_raw_check_syncookie_ipv4 tcp_raw_check_syncookie_ipv6",
)
_CGROUP = _ids("perf_event_output get_local_storage get_retval set_retval")
CLASSIFIER: Final = (
    _LWT
    | SOCKET_FILTER
    | _LOOKUP
    | _SYNCOOKIE
    | _ids(
        "skb_store_bytes l3_csum_replace l4_csum_replace clone_redirect skb_vlan_push ",
        "skb_vlan_pop skb_get_tunnel_key skb_set_tunnel_key redirect skb_get_tunnel_opt ",
        "skb_set_tunnel_opt skb_change_proto skb_change_type skb_change_tail csum_update ",
        "set_hash_invalid skb_change_head set_hash skb_adjust_room skb_get_xfrm_state fib_lookup ",
        "skb_cgroup_id skb_ancestor_cgroup_id sk_fullsock tcp_sock skb_ecn_set_ce ",
        "get_listener_sock sk_storage_get sk_storage_delete sk_assign csum_level ",
        "skb_cgroup_classid redirect_neigh redirect_peer check_mtu skb_set_tstamp",
    )
)
XDP: Final = (
    SOCKETS
    | _LOOKUP
    | _SYNCOOKIE
    | _ids(
        "redirect perf_event_output csum_diff xdp_adjust_head redirect_map xdp_adjust_meta ",
        "xdp_adjust_tail fib_lookup check_mtu xdp_get_buff_len xdp_load_bytes xdp_store_bytes",
    )
)
CGROUP_SKB: Final = (
    SOCKET_FILTER
    | _LOOKUP
    | _ids(
        "skb_cgroup_id get_local_storage skb_ancestor_cgroup_id sk_fullsock tcp_sock ",
        "skb_ecn_set_ce get_listener_sock sk_storage_get sk_storage_delete sk_cgroup_id ",
        "sk_ancestor_cgroup_id",
    )
)
CGROUP_SOCK: Final = (
    BASE | _CGROUP | _ids("get_socket_cookie sk_storage_get get_netns_cookie ktime_get_coarse_ns")
)
LWT_IN: Final = _LWT | _ids("lwt_push_encap")
LWT_OUT: Final = _LWT
LWT_XMIT: Final = _LWT | _ids(
    "skb_store_bytes l3_csum_replace l4_csum_replace clone_redirect skb_get_tunnel_key ",
    "skb_set_tunnel_key redirect skb_get_tunnel_opt skb_set_tunnel_opt skb_change_tail ",
    "csum_update set_hash_invalid skb_change_head lwt_push_encap csum_level",
)
LWT_SEG6LOCAL: Final = _LWT | _ids("lwt_seg6_store_bytes lwt_seg6_adjust_srh lwt_seg6_action")
SOCK_OPS: Final = (
    SOCKETS
    | _CGROUP
    | _ids(
        "get_socket_cookie setsockopt sock_map_update getsockopt sock_ops_cb_flags_set ",
        "sock_hash_update tcp_sock sk_storage_get sk_storage_delete get_netns_cookie ",
        "load_hdr_opt store_hdr_opt reserve_hdr_opt",
    )
)
SK_SKB: Final = (
    SOCKETS
    | _LOOKUP
    | _ids(
        "skb_store_bytes perf_event_output skb_load_bytes skb_change_tail skb_pull_data ",
        "skb_change_head get_socket_cookie get_socket_uid skb_adjust_room sk_redirect_map ",
        "sk_redirect_hash",
    )
)
CGROUP_DEVICE: Final = BASE | _CGROUP
SK_MSG: Final = SOCKETS | _ids(
    "perf_event_output msg_redirect_map msg_apply_bytes msg_cork_bytes msg_pull_data ",
    "msg_redirect_hash msg_push_data msg_pop_data sk_storage_get sk_storage_delete ",
    "get_netns_cookie",
)
CGROUP_SOCK_ADDR: Final = (
    SOCKETS
    | _LOOKUP
    | _CGROUP
    | _ids(
        "get_socket_cookie setsockopt getsockopt bind sk_storage_get sk_storage_delete ",
        "get_netns_cookie",
    )
)
SK_REUSEPORT: Final = BASE | _ids(
    "skb_load_bytes get_socket_cookie skb_load_bytes_relative sk_select_reuseport ",
    "ktime_get_coarse_ns",
)
FLOW_DISSECTOR: Final = SOCKETS | _ids("skb_load_bytes")
CGROUP_SYSCTL: Final = (
    BASE
    | _CGROUP
    | _ids(
        "sysctl_get_name sysctl_get_current_value sysctl_get_new_value sysctl_set_new_value ",
        "ktime_get_coarse_ns",
    )
)
CGROUP_SOCKOPT: Final = (
    BASE
    | _CGROUP
    | _ids("setsockopt getsockopt tcp_sock sk_storage_get sk_storage_delete get_netns_cookie")
)
_TYPED = BASE | _ids(
    "probe_read perf_event_output get_stackid probe_read_str get_socket_cookie get_stack ",
    "sk_storage_get sk_storage_delete skb_output xdp_output skc_to_tcp6_sock skc_to_tcp_sock ",
    "skc_to_tcp_timewait_sock skc_to_tcp_request_sock skc_to_udp6_sock d_path sock_from_file ",
    "get_func_ip skc_to_unix_sock xdp_get_buff_len skc_to_mptcp_sock",
)
TRACING: Final = _TYPED | _ids(
    "setsockopt getsockopt seq_printf seq_write seq_printf_btf get_attach_cookie get_func_arg ",
    "get_func_ret get_func_arg_cnt",
)
LSM: Final = _TYPED | _ids(
    "inode_storage_get inode_storage_delete bprm_opts_set ima_inode_hash ima_file_hash ",
    "get_attach_cookie setsockopt getsockopt get_func_arg get_func_ret get_func_arg_cnt ",
    "get_local_storage get_retval set_retval",
)
STRUCT_OPS: Final = BASE | _ids(
    "tcp_send_ack sk_storage_get sk_storage_delete setsockopt getsockopt ktime_get_coarse_ns"
)
LIRC_MODE2: Final = _ids(
    "rc_repeat rc_keydown rc_pointer_rel map_lookup_elem map_update_elem map_delete_elem ",
    "map_push_elem map_pop_elem map_peek_elem ktime_get_ns ktime_get_boot_ns tail_call ",
    "get_prandom_u32 trace_printk",
)
SK_LOOKUP: Final = SOCKETS | _ids("perf_event_output sk_release sk_assign")
SYSCALL: Final = _TYPED | _ids("sys_bpf btf_find_by_name_kind sys_close kallsyms_lookup_name")
EXT: Final = frozenset(range(1, 212))  # those of the program that it replaces a function of

# (program type id, helper id) -> attach types that have it; the type's others do not
_WITH_RETVAL = tuple(
    number for number in range(62) if number not in (0, 1, 3, 19, 20, 29, 30, 31, 32, 51, 52, 53)
)
LIMITS: Final = {
    **{
        (kind, row): _WITH_RETVAL
        for kind in (9, 13, 15, 18, 23, 25)
        for row in _ids("get_retval set_retval")
    },
    **{(18, row): (10, 11) for row in _ids("bind")},
    **{(25, row): (22,) for row in _ids("setsockopt getsockopt")},
    **{(26, row): (28,) for row in _ids("seq_printf seq_write seq_printf_btf")},
    **{(26, row): (28,) for row in _ids("setsockopt getsockopt")},
    **{(26, row): (23, 24, 25, 26) for row in _ids("get_attach_cookie")},
    **{(26, row): (24, 25, 26) for row in _ids("get_func_arg get_func_ret get_func_arg_cnt")},
    **{
        (29, row): (43,)
        for row in _ids("get_local_storage get_retval set_retval setsockopt getsockopt")
    },
    **{
        (29, row): (27,)
        for row in _ids("get_attach_cookie get_func_arg get_func_ret get_func_arg_cnt")
    },
}
# (program type id, helper id) -> functions attached to that have it, where only some do
TARGETS: Final = {
    **{
        (26, row): ("bpf_iter_tcp", "bpf_iter_unix") for row in _ids("setsockopt getsockopt")
    },
    **{
        (29, row): (
            "bpf_lsm_sock_graft", "bpf_lsm_inet_csk_clone", "bpf_lsm_inet_conn_established",
            "bpf_lsm_socket_post_create", "bpf_lsm_socket_socketpair",
        )
        for row in _ids("setsockopt getsockopt")
    },
}  # fmt: skip
