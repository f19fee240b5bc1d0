"""Helpers of programs that nothing in a world runs: on connections, messages, sysctls, hooks.

Such programs load, and are verified, but no event reaches them: they have no test run, and what
they attach to is not here. Were one of these helpers to run all the same, the run ends with
NotSupported by its name. A helper that runnable types may call has no place here.

Source: Linux 6.18 net/bpf/test_run.c (which program types have a test run).
"""

from typing import Final

from skep.errors import NotSupported
from skep.helpers.binding import Binding, Upcall
from skep.runtime.world import World

NAMES: Final = (
    # connections: sock_ops, cgroup_sock_addr, cgroup_sockopt
    "setsockopt", "getsockopt", "bind", "sock_ops_cb_flags_set", "sock_map_update",
    "sock_hash_update", "load_hdr_opt", "store_hdr_opt", "reserve_hdr_opt", "tcp_send_ack",
    # messages and streams: sk_msg, sk_skb
    "msg_apply_bytes", "msg_cork_bytes", "msg_pull_data", "msg_push_data", "msg_pop_data",
    "msg_redirect_map", "msg_redirect_hash", "sk_redirect_map", "sk_redirect_hash",
    # choice among the sockets of a port, segment routing, infrared remote controls
    "sk_select_reuseport", "lwt_seg6_store_bytes", "lwt_seg6_adjust_srh", "lwt_seg6_action",
    "rc_repeat", "rc_keydown", "rc_pointer_rel",
    # sysctls
    "sysctl_get_name", "sysctl_get_current_value", "sysctl_get_new_value", "sysctl_set_new_value",
    # hooks of the kernel: tracing, lsm
    "skb_output", "xdp_output", "d_path", "sock_from_file", "bprm_opts_set", "ima_inode_hash",
    "ima_file_hash", "get_func_arg", "get_func_ret", "get_func_arg_cnt",
)  # fmt: skip


def _absent(name: str) -> Upcall:
    def refuse(_world: World, _run: int, _1: int, _2: int, _3: int, _4: int, _5: int) -> int:
        raise NotSupported(f"bpf_{name}", "nothing here runs programs that may call it")

    return refuse


BINDINGS: Final = tuple(Binding(name, upcall=_absent(name)) for name in NAMES)
