"""What BTF does not say of the arguments of traced functions: which may be NULL, which are trusted.

Source: Linux 6.18 kernel/bpf/btf.c (raw_tp_null_args), kernel/bpf/bpf_lsm.c, and the
``bpf_iter_reg`` of each iterator target.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class IteratorArgument:
    """An argument of an iterator program that may be NULL.

    *buffer*: it is memory of unknown size, *rdonly* if it must not be written; else a kernel
    object, *trusted* if it is alive for sure.
    """

    name: str
    trusted: bool = False
    buffer: bool = False
    rdonly: bool = False


_KEY: Final = IteratorArgument("key", buffer=True, rdonly=True)
_VALUE: Final = IteratorArgument("value", buffer=True)

ITERATORS: Final[Mapping[str, tuple[IteratorArgument, ...]]] = {
    "task": (IteratorArgument("task", trusted=True),),
    "task_file": (IteratorArgument("task"), IteratorArgument("file")),
    "task_vma": (IteratorArgument("task"), IteratorArgument("vma")),
    "bpf_map": (IteratorArgument("map", trusted=True),),
    "bpf_map_elem": (_KEY, _VALUE),
    "bpf_sk_storage_map": (IteratorArgument("sk"), _VALUE),
    "sockmap": (_KEY, IteratorArgument("sk")),
    "bpf_prog": (IteratorArgument("prog"),),
    "bpf_link": (IteratorArgument("link"),),
    "cgroup": (IteratorArgument("cgroup", trusted=True),),
    "ksym": (IteratorArgument("ksym"),),
    "netlink": (IteratorArgument("sk"),),
    "tcp": (IteratorArgument("sk_common", trusted=True),),
    "udp": (IteratorArgument("udp_sk", trusted=True),),
    "unix": (IteratorArgument("unix_sk"),),
    "ipv6_route": (IteratorArgument("rt"),),
    "kmem_cache": (IteratorArgument("s", trusted=True),),
    "dmabuf": (IteratorArgument("dmabuf"),),
}

# Hooks whose objects are under construction or already being freed.
UNTRUSTED_LSM_HOOKS: Final = frozenset(
    (
        "bpf_map_free",
        "bpf_prog_free",
        "file_alloc_security",
        "file_free_security",
        "sk_alloc_security",
        "sk_free_security",
        "task_free",
        "bdev_alloc_security",
        "bdev_free_security",
    )
)

# tracepoint: arguments that may be NULL, arguments that may be an error number
RAW_TRACEPOINTS: Final[Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "afs_flock_ev": ((1,), ()),
    "afs_make_fs_call": ((1,), ()),
    "afs_make_fs_call1": ((1,), ()),
    "afs_make_fs_call2": ((1,), ()),
    "afs_make_fs_calli": ((1,), ()),
    "afs_protocol_error": ((0,), ()),
    "amdgpu_vm_bo_map": ((0,), ()),
    "amdgpu_vm_bo_unmap": ((0,), ()),
    "amdtp_packet": ((2,), ()),
    "binder_transaction": ((2,), ()),
    "bpf_testmod_test_read": ((), ()),
    "break_lease_block": ((1,), ()),
    "break_lease_noblock": ((1,), ()),
    "break_lease_unblock": ((1,), ()),
    "btree_path_free": ((2,), ()),
    "cachefiles_io_error": ((0,), ()),
    "cachefiles_lookup": ((0,), (2,)),
    "cachefiles_mark_active": ((0,), ()),
    "cachefiles_mark_failed": ((0,), ()),
    "cachefiles_mark_inactive": ((0,), ()),
    "cachefiles_prep_read": ((0,), ()),
    "cachefiles_rename": ((0,), ()),
    "cachefiles_unlink": ((0,), ()),
    "cachefiles_vfs_error": ((0,), ()),
    "cfg80211_inform_bss_frame": ((2,), ()),
    "cfg80211_michael_mic_failure": ((4,), ()),
    "cfg80211_report_wowlan_wakeup": ((2,), ()),
    "cfg80211_scan_done": ((0, 1), ()),
    "coda_dec_pic_done": ((1,), ()),
    "coda_dec_pic_run": ((1,), ()),
    "device_pm_callback_start": ((1,), ()),
    "dpu_crtc_setup_mixer": ((2,), ()),
    "ext4_mballoc_discard": ((1,), ()),
    "ext4_mballoc_free": ((1,), ()),
    "fcntl_setlk": ((1,), ()),
    "fib_table_lookup": ((2,), ()),
    "flock_lock_inode": ((1,), ()),
    "folio_wait_writeback": ((1,), ()),
    "generic_delete_lease": ((1,), ()),
    "hfi1_sdma_progress": ((3,), ()),
    "host1x_cdma_push_gather": ((4,), ()),
    "hugetlbfs_alloc_inode": ((1,), ()),
    "iptfs_ingress_postq_event": ((3,), ()),
    "kfree_skb": ((3,), ()),
    "kvm_page_fault_enter": ((2,), ()),
    "locks_remove_posix": ((1,), ()),
    "mm_collapse_huge_page_isolate": ((0,), ()),
    "mm_khugepaged_collapse_file": ((1,), ()),
    "mm_khugepaged_scan_file": ((1,), ()),
    "mm_khugepaged_scan_pmd": ((1,), ()),
    "mm_page_alloc": ((0,), ()),
    "mm_page_alloc_zone_locked": ((0,), ()),
    "mm_page_pcpu_drain": ((0,), ()),
    "mr_integ_alloc": ((), (3,)),
    "neigh_update": ((1,), ()),
    "netfs_failure": ((1,), ()),
    "netfs_folioq": ((0,), ()),
    "nfs4_inode_callback_event": ((), (2,)),
    "nfs4_inode_stateid_callback_event": ((), (2,)),
    "nfs4_setup_sequence": ((0,), ()),
    "nfsd_dirent": ((0,), ()),
    "nfsd_file_acquire": ((0, 3), ()),
    "nfsd_file_cons_err": ((0,), ()),
    "nfsd_file_insert_err": ((0,), ()),
    "pnfs_mds_fallback_pg_get_mirror_count": ((4,), ()),
    "pnfs_mds_fallback_pg_init_read": ((4,), ()),
    "pnfs_mds_fallback_pg_init_write": ((4,), ()),
    "pnfs_mds_fallback_read_done": ((4,), ()),
    "pnfs_mds_fallback_read_pagelist": ((4,), ()),
    "pnfs_mds_fallback_write_done": ((4,), ()),
    "pnfs_mds_fallback_write_pagelist": ((4,), ()),
    "pnfs_update_layout": ((4,), ()),
    "posix_lock_inode": ((1,), ()),
    "qdisc_dequeue": ((3,), ()),
    "rdev_set_coalesce": ((1,), ()),
    "rxrpc_client": ((0,), ()),
    "rxrpc_recvdata": ((0,), ()),
    "rxrpc_resend": ((1,), ()),
    "rxrpc_tq": ((1,), ()),
    "sched_pi_setprio": ((1,), ()),
    "sched_process_wait": ((0,), ()),
    "sched_stick_numa": ((2,), ()),
    "sched_swap_numa": ((2,), ()),
    "signal_deliver": ((), (1,)),
    "signal_generate": ((), (1,)),
    "spufs_context": ((1,), ()),
    "tcp_send_reset": ((0, 1), ()),
    "tcp_sendmsg_locked": ((2,), ()),
    "tegra_dma_tx_status": ((2,), ()),
    "time_out_leases": ((1,), ()),
    "tmigr_update_events": ((0,), ()),
    "wiphy_work_cancel": ((1,), ()),
    "wiphy_work_flush": ((1,), ()),
    "wiphy_work_queue": ((1,), ()),
    "wiphy_work_run": ((1,), ()),
    "writeback_dirty_folio": ((1,), ()),
    "xchk_metapath_lookup": ((2,), ()),
    "xchk_nlinks_live_update": ((1,), ()),
    "xfs_blockgc_flush_all": ((0,), ()),
    "xfs_blockgc_free_space": ((1,), ()),
    "xfs_blockgc_start": ((0,), ()),
    "xfs_blockgc_stop": ((0,), ()),
    "xfs_blockgc_worker": ((0,), ()),
    "xfs_btree_overlapped_query_range": ((2,), ()),
    "xfs_btree_updkeys": ((2,), ()),
    "xfs_defer_add_item": ((0,), ()),
    "xfs_defer_cancel_item": ((0,), ()),
    "xfs_defer_cancel_list": ((0,), ()),
    "xfs_defer_create_intent": ((0,), ()),
    "xfs_defer_finish_item": ((0,), ()),
    "xfs_defer_isolate_paused": ((0,), ()),
    "xfs_defer_item_pause": ((0,), ()),
    "xfs_defer_item_unpause": ((0,), ()),
    "xfs_defer_pending_abort": ((0,), ()),
    "xfs_defer_pending_finish": ((0,), ()),
    "xfs_defer_relog_intent": ((0,), ()),
    "xfs_fs_sync_fs": ((0,), ()),
    "xfs_inodegc_flush": ((0,), ()),
    "xfs_inodegc_push": ((0,), ()),
    "xfs_inodegc_queue": ((0,), ()),
    "xfs_inodegc_start": ((0,), ()),
    "xfs_inodegc_stop": ((0,), ()),
    "xfs_inodegc_throttle": ((0,), ()),
    "xfs_ioc_free_eofblocks": ((1,), ()),
    "xfs_iomap_alloc": ((3,), ()),
    "xfs_iomap_found": ((3,), ()),
    "xfs_map_blocks_alloc": ((4,), ()),
    "xfs_map_blocks_found": ((4,), ()),
    "xprt_get_cong": ((1,), ()),
    "xprt_put_cong": ((1,), ()),
    "xprt_release_cong": ((1,), ()),
    "xprt_reserve_cong": ((1,), ()),
    "xs_stream_read_data": ((0,), ()),
}
