"""THE kfunc table: kernel functions that programs may call, their flags, and by which programs.

Prototypes are the kernel BTF's; the endings of its parameter names say more of arguments. Functions
that no row names are refused by name.

Source: Linux 6.18 include/linux/btf.h (KF_*) and the BTF_KFUNCS_START sets of kernel/bpf, net and
fs; who may call what was asked of the running kernel.
"""

from dataclasses import dataclass
from typing import Final

from skep.uapi.flags import AttachType, ProgType

ACQUIRE: Final = 1 << 0  # returns a reference that must be released
RELEASE: Final = 1 << 1  # takes a reference over
RET_NULL: Final = 1 << 2  # may return NULL
TRUSTED_ARGS: Final = 1 << 4  # takes live objects only
SLEEPABLE: Final = 1 << 5
DESTRUCTIVE: Final = 1 << 6
RCU: Final = 1 << 7  # takes live objects and those that RCU protects
ITER_NEW: Final = 1 << 8
ITER_NEXT: Final = 1 << 9
ITER_DESTROY: Final = 1 << 10
RCU_PROTECTED: Final = 1 << 11  # called in an RCU read-side section, and so is its result
IN_LOCK: Final = 1 << 17  # may be called while a spin lock is held
UNTRUSTED_RESULT: Final = 1 << 20  # its result may be anything: reads through it may fault
CHANGES_PACKET: Final = 1 << 21

ITER: Final = ITER_NEW | ITER_NEXT | ITER_DESTROY

_TRACING: Final = (
    ProgType.TRACING, ProgType.TRACEPOINT, ProgType.PERF_EVENT, ProgType.LSM,
)  # fmt: skip
_CGROUP: Final = (
    ProgType.CGROUP_SKB, ProgType.CGROUP_SOCK, ProgType.CGROUP_DEVICE, ProgType.CGROUP_SOCK_ADDR,
    ProgType.CGROUP_SOCKOPT, ProgType.CGROUP_SYSCTL, ProgType.SOCK_OPS,
)  # fmt: skip
_TC: Final = (ProgType.SCHED_CLS, ProgType.SCHED_ACT)
_ALL: Final = frozenset(int(kind) for kind in ProgType)
_GENERIC: Final = frozenset(
    (ProgType.SCHED_CLS, ProgType.XDP, ProgType.STRUCT_OPS, ProgType.SYSCALL, *_TRACING, *_CGROUP)
)
_CPUMASK: Final = frozenset((ProgType.STRUCT_OPS, ProgType.SYSCALL, *_TRACING))
_SKB: Final = frozenset(
    (
        *_TC, *_TRACING, *_CGROUP, ProgType.SK_SKB, ProgType.SOCKET_FILTER, ProgType.LWT_IN,
        ProgType.LWT_OUT, ProgType.LWT_XMIT, ProgType.LWT_SEG6LOCAL, ProgType.NETFILTER,
    )
)  # fmt: skip
_XDP: Final = frozenset((ProgType.XDP,))
_CONNTRACK: Final = frozenset((ProgType.SCHED_CLS, ProgType.XDP))
_CRYPTO: Final = frozenset((*_TC, ProgType.XDP))
_STRUCT_OPS: Final = frozenset((ProgType.STRUCT_OPS,))
_LSM: Final = frozenset((ProgType.LSM,))
_ITERATORS: Final = (int(AttachType.TRACE_ITER),)
_SESSIONS: Final = (int(AttachType.TRACE_KPROBE_SESSION), int(AttachType.TRACE_UPROBE_SESSION))


@dataclass(frozen=True, slots=True)
class Kfunc:
    """One kernel function.

    Args:
        name: as kernel BTF has it.
        flags: or of the flags above.
        types: numbers of the program types that may call it.
        attach_types: expected attach types under which they may; all if empty.
    """

    name: str
    flags: int
    types: frozenset[int]
    attach_types: tuple[int, ...] = ()


_ACQUIRES: Final = ACQUIRE | RET_NULL
_TAKES: Final = ACQUIRE | RCU | RET_NULL
_NEXT: Final = ITER_NEXT | RET_NULL

_EVERYWHERE: Final[tuple[tuple[int, str], ...]] = (
    (0, "__bpf_trap bpf_cast_to_kern_ctx bpf_rdonly_cast bpf_rcu_read_lock bpf_rcu_read_unlock"),
    (0, "bpf_preempt_disable bpf_preempt_enable bpf_local_irq_save bpf_local_irq_restore"),
    (0, "bpf_dynptr_adjust bpf_dynptr_is_null bpf_dynptr_is_rdonly bpf_dynptr_size"),
    (0, "bpf_dynptr_clone bpf_dynptr_copy bpf_dynptr_memset"),
    (RET_NULL, "bpf_dynptr_slice bpf_dynptr_slice_rdwr"),
    (0, "bpf_wq_init bpf_wq_set_callback_impl bpf_wq_start bpf_modify_return_test_tp"),
    (
        TRUSTED_ARGS,
        "bpf_task_work_schedule_signal_impl bpf_task_work_schedule_resume_impl",
    ),
    (0, "bpf_strcmp bpf_strcasecmp bpf_strchr bpf_strchrnul bpf_strnchr bpf_strrchr bpf_strlen"),
    (0, "bpf_strnlen bpf_strspn bpf_strcspn bpf_strstr bpf_strnstr"),
    (0, "bpf_probe_read_user_dynptr bpf_probe_read_kernel_dynptr"),
    (0, "bpf_probe_read_user_str_dynptr bpf_probe_read_kernel_str_dynptr"),
    (SLEEPABLE, "bpf_copy_from_user_str bpf_copy_from_user_task_str"),
    (SLEEPABLE, "bpf_copy_from_user_dynptr bpf_copy_from_user_str_dynptr"),
    (
        SLEEPABLE | TRUSTED_ARGS,
        "bpf_copy_from_user_task_dynptr bpf_copy_from_user_task_str_dynptr",
    ),
    (TRUSTED_ARGS, "bpf_map_sum_elem_count"),
    (TRUSTED_ARGS | SLEEPABLE, "bpf_arena_alloc_pages bpf_arena_free_pages"),
    (TRUSTED_ARGS | SLEEPABLE, "bpf_arena_reserve_pages"),
    (RCU, "bpf_cgroup_read_xattr"),
    (UNTRUSTED_RESULT, "bpf_get_kmem_cache"),
    (TRUSTED_ARGS, "bpf_stream_vprintk_impl"),
    (IN_LOCK | RET_NULL, "bpf_res_spin_lock bpf_res_spin_lock_irqsave"),
    (IN_LOCK, "bpf_res_spin_unlock bpf_res_spin_unlock_irqrestore"),
    (ITER_NEW | IN_LOCK, "bpf_iter_num_new"),
    (_NEXT | IN_LOCK, "bpf_iter_num_next"),
    (ITER_DESTROY | IN_LOCK, "bpf_iter_num_destroy"),
    (ITER_NEW | RCU, "bpf_iter_task_vma_new"),
    (ITER_NEW | TRUSTED_ARGS, "bpf_iter_css_task_new"),
    (ITER_NEW | TRUSTED_ARGS | RCU_PROTECTED, "bpf_iter_css_new bpf_iter_task_new"),
    (ITER_NEW, "bpf_iter_bits_new"),
    (_NEXT, "bpf_iter_bits_next bpf_iter_css_next bpf_iter_css_task_next bpf_iter_task_next"),
    (_NEXT, "bpf_iter_task_vma_next"),
    (ITER_DESTROY, "bpf_iter_bits_destroy bpf_iter_css_destroy bpf_iter_css_task_destroy"),
    (ITER_DESTROY, "bpf_iter_task_destroy bpf_iter_task_vma_destroy"),
    (ITER_NEW | SLEEPABLE, "bpf_iter_kmem_cache_new bpf_iter_dmabuf_new"),
    (_NEXT | SLEEPABLE, "bpf_iter_kmem_cache_next bpf_iter_dmabuf_next"),
    (ITER_DESTROY | SLEEPABLE, "bpf_iter_kmem_cache_destroy bpf_iter_dmabuf_destroy"),
)
_OF_GENERIC: Final[tuple[tuple[int, str], ...]] = (
    (_ACQUIRES, "bpf_obj_new_impl bpf_percpu_obj_new_impl"),
    (RELEASE, "bpf_obj_drop_impl bpf_percpu_obj_drop_impl"),
    (_TAKES | IN_LOCK, "bpf_refcount_acquire_impl"),
    (IN_LOCK, "bpf_list_push_front_impl bpf_list_push_back_impl bpf_rbtree_add_impl"),
    (_ACQUIRES | IN_LOCK, "bpf_list_pop_front bpf_list_pop_back bpf_rbtree_remove"),
    (RET_NULL | IN_LOCK, "bpf_list_front bpf_list_back bpf_rbtree_first bpf_rbtree_root"),
    (RET_NULL | IN_LOCK, "bpf_rbtree_left bpf_rbtree_right"),
    (_TAKES, "bpf_task_acquire bpf_cgroup_acquire bpf_cgroup_ancestor bpf_task_get_cgroup1"),
    (_ACQUIRES, "bpf_task_from_pid bpf_task_from_vpid bpf_cgroup_from_id bpf_lookup_system_key"),
    (_ACQUIRES | SLEEPABLE, "bpf_lookup_user_key"),
    (RELEASE, "bpf_task_release bpf_cgroup_release bpf_key_put"),
    (RCU, "bpf_task_under_cgroup"),
    (TRUSTED_ARGS, "bpf_send_signal_task"),
    (0, "bpf_throw"),
)
_OF_CPUMASK: Final[tuple[tuple[int, str], ...]] = (
    (_ACQUIRES, "bpf_cpumask_create"),
    (RELEASE, "bpf_cpumask_release"),
    (ACQUIRE | TRUSTED_ARGS, "bpf_cpumask_acquire"),
    (RCU, "bpf_cpumask_first bpf_cpumask_first_zero bpf_cpumask_first_and bpf_cpumask_set_cpu"),
    (RCU, "bpf_cpumask_clear_cpu bpf_cpumask_test_cpu bpf_cpumask_test_and_set_cpu"),
    (RCU, "bpf_cpumask_test_and_clear_cpu bpf_cpumask_setall bpf_cpumask_clear bpf_cpumask_and"),
    (RCU, "bpf_cpumask_or bpf_cpumask_xor bpf_cpumask_equal bpf_cpumask_intersects"),
    (RCU, "bpf_cpumask_subset bpf_cpumask_empty bpf_cpumask_full bpf_cpumask_copy"),
    (RCU, "bpf_cpumask_any_distribute bpf_cpumask_any_and_distribute bpf_cpumask_weight"),
    (RCU, "bpf_cpumask_populate"),
)
_OF_CONNTRACK: Final[tuple[tuple[int, str], ...]] = (
    (_ACQUIRES, "bpf_xdp_ct_alloc bpf_xdp_ct_lookup bpf_skb_ct_alloc bpf_skb_ct_lookup"),
    (_ACQUIRES | RELEASE, "bpf_ct_insert_entry"),
    (RELEASE, "bpf_ct_release"),
    (TRUSTED_ARGS, "bpf_ct_set_timeout bpf_ct_change_timeout bpf_ct_set_status"),
    (TRUSTED_ARGS, "bpf_ct_change_status bpf_ct_set_nat_info"),
)
_OF_LSM: Final[tuple[tuple[int, str], ...]] = (
    (_ACQUIRES | TRUSTED_ARGS, "bpf_get_task_exe_file"),
    (RELEASE, "bpf_put_file"),
    (TRUSTED_ARGS, "bpf_path_d_path"),
    (SLEEPABLE | TRUSTED_ARGS, "bpf_get_dentry_xattr bpf_get_file_xattr bpf_set_dentry_xattr"),
    (SLEEPABLE | TRUSTED_ARGS, "bpf_remove_dentry_xattr"),
)
_CONGESTION: Final[tuple[tuple[int, str], ...]] = (
    (0, "tcp_reno_ssthresh tcp_reno_cong_avoid tcp_reno_undo_cwnd tcp_slow_start"),
    (0, "tcp_cong_avoid_ai cubictcp_init cubictcp_recalc_ssthresh cubictcp_cong_avoid"),
    (0, "cubictcp_state cubictcp_cwnd_event cubictcp_acked bbr_init bbr_main bbr_sndbuf_expand"),
    (0, "bbr_undo_cwnd bbr_cwnd_event bbr_ssthresh bbr_min_tso_segs bbr_set_state"),
)
_SETS: Final[tuple[tuple[frozenset[int], tuple[int, ...], tuple[tuple[int, str], ...]], ...]] = (
    (_ALL, (), _EVERYWHERE),
    (_GENERIC, (), _OF_GENERIC),
    (_CPUMASK, (), _OF_CPUMASK),
    (_CONNTRACK, (), _OF_CONNTRACK),
    (_LSM, (), _OF_LSM),
    (_STRUCT_OPS, (), _CONGESTION),
    (_SKB, (), ((TRUSTED_ARGS, "bpf_dynptr_from_skb"),)),
    (frozenset(_TC), (), ((TRUSTED_ARGS, "bpf_dynptr_from_skb_meta"),)),
    (_XDP, (), ((0, "bpf_dynptr_from_xdp"), (CHANGES_PACKET, "bpf_xdp_pull_data"))),
    (
        _XDP,
        (),
        ((_ACQUIRES, "bpf_xdp_get_xfrm_state"), (RELEASE, "bpf_xdp_xfrm_state_release")),
    ),
    (
        frozenset(_CGROUP),
        (),
        ((0, "bpf_sock_addr_set_sun_path"), (TRUSTED_ARGS, "bpf_sock_ops_enable_tx_tstamp")),
    ),
    (frozenset((ProgType.SCHED_CLS,)), (), ((TRUSTED_ARGS, "bpf_sk_assign_tcp_reqsk"),)),
    (frozenset((ProgType.TRACING,)), _ITERATORS, ((TRUSTED_ARGS, "bpf_sock_destroy"),)),
    (frozenset((ProgType.SYSCALL,)), (), ((_TAKES, "bpf_crypto_ctx_acquire"),)),
    (
        frozenset((ProgType.SYSCALL,)),
        (),
        ((_ACQUIRES | SLEEPABLE, "bpf_crypto_ctx_create"), (RELEASE, "bpf_crypto_ctx_release")),
    ),
    (_CRYPTO, (), ((RCU, "bpf_crypto_decrypt bpf_crypto_encrypt"),)),
    (frozenset(_TRACING), (), ((0, "css_rstat_updated"), (SLEEPABLE, "css_rstat_flush"))),
    (
        frozenset((ProgType.KPROBE,)),
        _SESSIONS,
        ((0, "bpf_session_is_return bpf_session_cookie"),),
    ),
)
ROWS: Final[tuple[Kfunc, ...]] = tuple(
    Kfunc(name, flags, types, attach_types)
    for types, attach_types, rows in _SETS
    for flags, names in rows
    for name in names.split()
)
KFUNCS: Final[dict[str, Kfunc]] = {row.name: row for row in ROWS}
# for programs that are bound to a device, by its driver; no row has them: there is none
OF_DEVICES: Final = frozenset(
    (
        "bpf_xdp_metadata_rx_timestamp", "bpf_xdp_metadata_rx_hash",
        "bpf_xdp_metadata_rx_vlan_tag",
    )
)  # fmt: skip


def by_name(name: str) -> Kfunc | None:
    """The row of a kernel function, or None if there is none."""
    return KFUNCS.get(name)


def may_call(row: Kfunc, program_type: int, attach_type: int) -> bool:
    """Tell whether programs of the type, loaded for the attach type, may call the function."""
    if program_type not in row.types:
        return False
    return not row.attach_types or attach_type in row.attach_types
