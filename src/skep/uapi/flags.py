"""Enumerations and flags of the uapi, by the kernel's numbers.

Names drop their prefix (``BPF_MAP_TYPE_HASH`` is ``MapType.HASH``). What 7.x added is named too,
because tools ask for it; whether skep has it is said by the tables.

Source: Linux 6.18 include/uapi/linux/bpf.h; numbers above 6.18's from 7.x.
"""

from enum import IntEnum, IntFlag
from typing import Final


class MapType(IntEnum):
    """``enum bpf_map_type``."""

    UNSPEC = 0
    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERF_EVENT_ARRAY = 4
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    STACK_TRACE = 7
    CGROUP_ARRAY = 8
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    HASH_OF_MAPS = 13
    DEVMAP = 14
    SOCKMAP = 15
    CPUMAP = 16
    XSKMAP = 17
    SOCKHASH = 18
    CGROUP_STORAGE = 19
    REUSEPORT_SOCKARRAY = 20
    PERCPU_CGROUP_STORAGE = 21
    QUEUE = 22
    STACK = 23
    SK_STORAGE = 24
    DEVMAP_HASH = 25
    STRUCT_OPS = 26
    RINGBUF = 27
    INODE_STORAGE = 28
    TASK_STORAGE = 29
    BLOOM_FILTER = 30
    USER_RINGBUF = 31
    CGRP_STORAGE = 32
    ARENA = 33
    INSN_ARRAY = 34
    RHASH = 35


class ProgType(IntEnum):
    """``enum bpf_prog_type``."""

    UNSPEC = 0
    SOCKET_FILTER = 1
    KPROBE = 2
    SCHED_CLS = 3
    SCHED_ACT = 4
    TRACEPOINT = 5
    XDP = 6
    PERF_EVENT = 7
    CGROUP_SKB = 8
    CGROUP_SOCK = 9
    LWT_IN = 10
    LWT_OUT = 11
    LWT_XMIT = 12
    SOCK_OPS = 13
    SK_SKB = 14
    CGROUP_DEVICE = 15
    SK_MSG = 16
    RAW_TRACEPOINT = 17
    CGROUP_SOCK_ADDR = 18
    LWT_SEG6LOCAL = 19
    LIRC_MODE2 = 20
    SK_REUSEPORT = 21
    FLOW_DISSECTOR = 22
    CGROUP_SYSCTL = 23
    RAW_TRACEPOINT_WRITABLE = 24
    CGROUP_SOCKOPT = 25
    TRACING = 26
    STRUCT_OPS = 27
    EXT = 28
    LSM = 29
    SK_LOOKUP = 30
    SYSCALL = 31
    NETFILTER = 32


class AttachType(IntEnum):
    """``enum bpf_attach_type``."""

    CGROUP_INET_INGRESS = 0
    CGROUP_INET_EGRESS = 1
    CGROUP_INET_SOCK_CREATE = 2
    CGROUP_SOCK_OPS = 3
    SK_SKB_STREAM_PARSER = 4
    SK_SKB_STREAM_VERDICT = 5
    CGROUP_DEVICE = 6
    SK_MSG_VERDICT = 7
    CGROUP_INET4_BIND = 8
    CGROUP_INET6_BIND = 9
    CGROUP_INET4_CONNECT = 10
    CGROUP_INET6_CONNECT = 11
    CGROUP_INET4_POST_BIND = 12
    CGROUP_INET6_POST_BIND = 13
    CGROUP_UDP4_SENDMSG = 14
    CGROUP_UDP6_SENDMSG = 15
    LIRC_MODE2 = 16
    FLOW_DISSECTOR = 17
    CGROUP_SYSCTL = 18
    CGROUP_UDP4_RECVMSG = 19
    CGROUP_UDP6_RECVMSG = 20
    CGROUP_GETSOCKOPT = 21
    CGROUP_SETSOCKOPT = 22
    TRACE_RAW_TP = 23
    TRACE_FENTRY = 24
    TRACE_FEXIT = 25
    MODIFY_RETURN = 26
    LSM_MAC = 27
    TRACE_ITER = 28
    CGROUP_INET4_GETPEERNAME = 29
    CGROUP_INET6_GETPEERNAME = 30
    CGROUP_INET4_GETSOCKNAME = 31
    CGROUP_INET6_GETSOCKNAME = 32
    XDP_DEVMAP = 33
    CGROUP_INET_SOCK_RELEASE = 34
    XDP_CPUMAP = 35
    SK_LOOKUP = 36
    XDP = 37
    SK_SKB_VERDICT = 38
    SK_REUSEPORT_SELECT = 39
    SK_REUSEPORT_SELECT_OR_MIGRATE = 40
    PERF_EVENT = 41
    TRACE_KPROBE_MULTI = 42
    LSM_CGROUP = 43
    STRUCT_OPS = 44
    NETFILTER = 45
    TCX_INGRESS = 46
    TCX_EGRESS = 47
    TRACE_UPROBE_MULTI = 48
    CGROUP_UNIX_CONNECT = 49
    CGROUP_UNIX_SENDMSG = 50
    CGROUP_UNIX_RECVMSG = 51
    CGROUP_UNIX_GETPEERNAME = 52
    CGROUP_UNIX_GETSOCKNAME = 53
    NETKIT_PRIMARY = 54
    NETKIT_PEER = 55
    TRACE_KPROBE_SESSION = 56
    TRACE_UPROBE_SESSION = 57
    TRACE_FSESSION = 58
    TRACE_FENTRY_MULTI = 59
    TRACE_FEXIT_MULTI = 60
    TRACE_FSESSION_MULTI = 61


class LinkType(IntEnum):
    """``enum bpf_link_type``."""

    UNSPEC = 0
    RAW_TRACEPOINT = 1
    TRACING = 2
    CGROUP = 3
    ITER = 4
    NETNS = 5
    XDP = 6
    PERF_EVENT = 7
    KPROBE_MULTI = 8
    STRUCT_OPS = 9
    NETFILTER = 10
    TCX = 11
    UPROBE_MULTI = 12
    NETKIT = 13
    SOCKMAP = 14
    TRACING_MULTI = 15


class MapFlag(IntFlag):
    """``map_flags`` of MAP_CREATE."""

    NO_PREALLOC = 1 << 0
    NO_COMMON_LRU = 1 << 1
    NUMA_NODE = 1 << 2
    RDONLY = 1 << 3
    WRONLY = 1 << 4
    STACK_BUILD_ID = 1 << 5
    ZERO_SEED = 1 << 6
    RDONLY_PROG = 1 << 7
    WRONLY_PROG = 1 << 8
    CLONE = 1 << 9
    MMAPABLE = 1 << 10
    PRESERVE_ELEMS = 1 << 11
    INNER_MAP = 1 << 12
    LINK = 1 << 13
    PATH_FD = 1 << 14
    VTYPE_BTF_OBJ_FD = 1 << 15
    TOKEN_FD = 1 << 16
    SEGV_ON_FAULT = 1 << 17
    NO_USER_CONV = 1 << 18
    RB_OVERWRITE = 1 << 19


class UpdateFlag(IntFlag):
    """``flags`` of element commands and helpers."""

    ANY = 0
    NOEXIST = 1
    EXIST = 2
    LOCK = 4
    CPU = 8
    ALL_CPUS = 16


class ProgFlag(IntFlag):
    """``prog_flags`` of PROG_LOAD."""

    STRICT_ALIGNMENT = 1 << 0
    ANY_ALIGNMENT = 1 << 1
    TEST_RND_HI32 = 1 << 2
    TEST_STATE_FREQ = 1 << 3
    SLEEPABLE = 1 << 4
    XDP_HAS_FRAGS = 1 << 5
    XDP_DEV_BOUND_ONLY = 1 << 6
    TEST_REG_INVARIANTS = 1 << 7
    TOKEN_FD = 1 << 16


class LogLevel(IntFlag):
    """``log_level``; the kernel accepts no other bits."""

    LEVEL1 = 1
    LEVEL2 = 2
    STATS = 4
    FIXED = 8


class Pseudo(IntEnum):
    """``src_reg`` of a wide LD_IMM64: what its constant stands for."""

    NONE = 0
    MAP_FD = 1
    MAP_VALUE = 2
    BTF_ID = 3
    FUNC = 4
    MAP_IDX = 5
    MAP_IDX_VALUE = 6


class PseudoCall(IntEnum):
    """``src_reg`` of a call: what its constant stands for."""

    HELPER = 0
    CALL = 1
    KFUNC = 2


class XdpAction(IntEnum):
    """``enum xdp_action``."""

    ABORTED = 0
    DROP = 1
    PASS = 2
    TX = 3
    REDIRECT = 4


class TcAction(IntEnum):
    """Verdicts of classifiers and actions, ``TC_ACT_*``."""

    UNSPEC = -1
    OK = 0
    RECLASSIFY = 1
    SHOT = 2
    PIPE = 3
    STOLEN = 4
    QUEUED = 5
    REPEAT = 6
    REDIRECT = 7
    TRAP = 8


class TcxAction(IntEnum):
    """``enum tcx_action_base``."""

    NEXT = -1
    PASS = 0
    DROP = 2
    REDIRECT = 7


class SkAction(IntEnum):
    """``enum sk_action``."""

    DROP = 0
    PASS = 1


class NetfilterVerdict(IntEnum):
    """What a netfilter program may return."""

    DROP = 0
    ACCEPT = 1


class LwtReturn(IntEnum):
    """``enum bpf_ret_code``: lightweight tunnels and the flow dissector."""

    OK = 0
    DROP = 2
    REDIRECT = 7
    LWT_REROUTE = 128
    FLOW_DISSECTOR_CONTINUE = 129


class TestRunFlag(IntFlag):
    """``flags`` of PROG_TEST_RUN."""

    RUN_ON_CPU = 1
    XDP_LIVE_FRAMES = 2
    SKB_CHECKSUM_COMPLETE = 4


class QueryFlag(IntFlag):
    """``query_flags`` of PROG_QUERY."""

    EFFECTIVE = 1


class AttachFlag(IntFlag):
    """``attach_flags`` of PROG_ATTACH and LINK_CREATE."""

    ALLOW_OVERRIDE = 1 << 0
    ALLOW_MULTI = 1 << 1
    REPLACE = 1 << 2
    BEFORE = 1 << 3
    AFTER = 1 << 4
    ID = 1 << 5
    PREORDER = 1 << 6
    LINK = 1 << 13


class StatsType(IntEnum):
    """``enum bpf_stats_type``."""

    RUN_TIME = 0


class FdType(IntEnum):
    """``enum bpf_task_fd_type``."""

    RAW_TRACEPOINT = 0
    TRACEPOINT = 1
    KPROBE = 2
    KRETPROBE = 3
    UPROBE = 4
    URETPROBE = 5


class StreamId(IntEnum):
    """``enum bpf_stream_id``."""

    STDOUT = 1
    STDERR = 2


class RingbufFlag(IntFlag):
    """``flags`` of ringbuf_output, submit and discard."""

    NO_WAKEUP = 1
    FORCE_WAKEUP = 2


class RingbufQuery(IntEnum):
    """``flags`` of ringbuf_query."""

    AVAIL_DATA = 0
    RING_SIZE = 1
    CONS_POS = 2
    PROD_POS = 3


class CgroupIterOrder(IntEnum):
    """``enum bpf_cgroup_iter_order``."""

    ORDER_UNSPEC = 0
    SELF_ONLY = 1
    DESCENDANTS_PRE = 2
    DESCENDANTS_POST = 3
    ANCESTORS_UP = 4


class BtfPrintFlag(IntFlag):
    """``flags`` of snprintf_btf and seq_printf_btf."""

    COMPACT = 1
    NONAME = 2
    PTR_RAW = 4
    ZERO = 8


F_INDEX_MASK: Final = 0xFFFF_FFFF
F_CURRENT_CPU: Final = 0xFFFF_FFFF
F_CTXLEN_MASK: Final = 0xF_FFFF << 32
F_COMMON_ATTRS: Final = 1 << 16  # or-ed into the command
F_TIMER_ABS: Final = 1
F_TIMER_CPU_PIN: Final = 2
F_RECOMPUTE_CSUM: Final = 1
F_INVALIDATE_HASH: Final = 2
F_HDR_FIELD_MASK: Final = 0xF
F_PSEUDO_HDR: Final = 0x10
F_MARK_MANGLED_0: Final = 0x20
F_MARK_ENFORCE: Final = 0x40
F_INGRESS: Final = 1
F_BROADCAST: Final = 8
F_EXCLUDE_INGRESS: Final = 16
F_SKIP_FIELD_MASK: Final = 0xFF
F_USER_STACK: Final = 1 << 8
F_FAST_STACK_CMP: Final = 1 << 9
F_REUSE_STACKID: Final = 1 << 10
F_USER_BUILD_ID: Final = 1 << 11
LOCAL_STORAGE_CREATE: Final = 1
OBJ_NAME_SIZE: Final = 16
TAG_SIZE: Final = 8
MAX_INSNS: Final = 1_000_000
UNPRIVILEGED_MAX_INSNS: Final = 4096
