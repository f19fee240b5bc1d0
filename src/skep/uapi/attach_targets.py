"""Which kernel functions typed programs may be attached to, where BTF does not say it.

Source: Linux 6.18 kernel/bpf/verifier.c (btf_id_deny, noreturn_deny), kernel/bpf/bpf_lsm.c,
kernel/trace/bpf_trace.c (btf_allowlist_d_path), net/core/bpf_sk_storage.c.
"""

from typing import Final

# tracing them would recurse
NEVER_TRACED: Final = frozenset(
    (
        "migrate_disable", "migrate_enable", "rcu_read_unlock_strict", "preempt_count_add",
        "preempt_count_sub", "__rcu_read_lock", "__rcu_read_unlock",
    )
)  # fmt: skip
# they do not return, so nothing can run after them
NEVER_RETURN: Final = frozenset(
    (
        "__ia32_sys_exit", "__ia32_sys_exit_group", "__kunit_abort", "kunit_try_catch_throw",
        "__module_put_and_kthread_exit", "__x64_sys_exit", "__x64_sys_exit_group", "do_exit",
        "do_group_exit", "kthread_complete_and_exit", "kthread_exit", "make_task_dead",
    )
)  # fmt: skip
SYSCALL_PREFIXES: Final = ("__x64_sys_", "__arm64_sys_", "__s390x_sys_")
MODIFIABLE_PREFIX: Final = "security_"
# functions of the kernel's own tests that may be modified, and those by programs that sleep
SLEEPABLE_TESTS: Final = frozenset(("bpf_fentry_test1",))
MODIFIABLE_TESTS: Final = frozenset(
    (
        "bpf_modify_return_test", "bpf_modify_return_test2", "bpf_modify_return_test_tp",
        "bpf_fentry_test1",
    )
)  # fmt: skip
# what is traced while paths may be walked (bpf_d_path)
WITH_PATHS: Final = frozenset(
    (
        "security_file_permission", "security_inode_getattr", "security_file_open",
        "security_path_truncate", "vfs_truncate", "vfs_fallocate", "dentry_open", "vfs_getattr",
        "filp_close",
    )
)  # fmt: skip
STORAGE_PREFIX: Final = "bpf_sk_storage"  # what is traced of sockets' storage may not use it

# without their bpf_lsm_ prefix
DISABLED_LSM_HOOKS: Final = frozenset(
    (
        "vm_enough_memory", "inode_need_killpriv", "inode_getsecurity",
        "inode_listsecurity", "inode_copy_up_xattr", "getselfattr", "getprocattr",
        "setprocattr", "key_getsecurity", "audit_rule_match", "xfrm_decode_session",
        "ismaclabel", "file_alloc_security",
    )
)  # fmt: skip
NO_LSM_HOOKS: Final = frozenset(  # other functions that are called so
    (
        "find_cgroup_shim", "func_proto", "get_retval_range", "has_d_inode_locked",
        "hook_returns_errno", "init", "is_sleepable_hook", "is_trusted", "verify_prog",
    )
)  # fmt: skip
SLEEPABLE_LSM_HOOKS: Final = frozenset(
    (
        "bpf", "bpf_map", "bpf_map_create", "bpf_map_free", "bpf_prog", "bpf_prog_load",
        "bpf_token_capable", "bpf_token_cmd", "bpf_token_create", "bpf_token_free",
        "bprm_check_security", "bprm_committed_creds", "bprm_committing_creds",
        "bprm_creds_for_exec", "bprm_creds_from_file", "capget", "capset", "cred_prepare",
        "file_ioctl", "file_lock", "file_open", "file_post_open", "file_receive",
        "inode_create", "inode_free_security", "inode_getattr", "inode_getxattr",
        "inode_mknod", "inode_need_killpriv", "inode_post_setxattr", "inode_readlink",
        "inode_post_removexattr", "inode_removexattr",
        "inode_rename", "inode_rmdir", "inode_setattr", "inode_setxattr", "inode_symlink",
        "inode_unlink", "kernel_module_request", "kernel_read_file", "kernfs_init_security",
        "mmap_file", "netlink_send", "path_chmod", "path_chown", "path_link", "path_mkdir",
        "path_notify", "path_rename", "path_rmdir", "path_symlink", "path_truncate",
        "path_unlink", "release_secctx", "sb_alloc_security", "sb_eat_lsm_opts",
        "sb_kern_mount", "sb_mount", "sb_remount", "sb_set_mnt_opts", "sb_show_options",
        "sb_statfs", "sb_umount", "settime", "socket_accept", "socket_bind",
        "socket_connect", "socket_create", "socket_getpeername", "socket_getpeersec_dgram",
        "socket_getsockname", "socket_getsockopt", "socket_listen", "socket_post_create",
        "socket_recvmsg", "socket_sendmsg", "socket_shutdown", "socket_socketpair",
        "syslog", "task_alloc", "task_prctl", "task_setscheduler", "userns_create",
    )
)  # fmt: skip
BOOLEAN_LSM_HOOKS: Final = frozenset(
    ("audit_rule_known", "inode_xattr_skipcap", "xfrm_state_pol_flow_match")
)
