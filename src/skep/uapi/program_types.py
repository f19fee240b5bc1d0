"""THE program type table: context, helpers, attach types, packet access and return range.

Source: Linux 6.18 include/linux/bpf_types.h; kernel/bpf/syscall.c (``bpf_prog_load_check_attach``);
kernel/bpf/verifier.c (``check_return_code``, ``may_access_direct_pkt_data``,
``can_be_sleepable``); helper sets were asked of the running kernel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from skep.uapi import helper_sets as sets
from skep.uapi.flags import AttachType as On
from skep.uapi.flags import ProgType


class Packet(IntEnum):
    """How a program may use packet pointers."""

    NONE = 0
    READ = 1
    WRITE = 2


@dataclass(frozen=True, slots=True)
class ReturnRange:
    """R0 at exit lies in *low* .. *high*; holds for *attach_types*, for all if that is empty.

    *low_if_strict*: if R0 proves to be at least that, the program must be attached with the
    expected attach type (cgroup_skb egress).
    """

    low: int
    high: int
    attach_types: tuple[int, ...] = ()
    low_if_strict: int = -1


@dataclass(frozen=True, slots=True)
class ProgramType:
    """One program type.

    Args:
        id: number, ``BPF_PROG_TYPE_*``.
        name: lower case, without prefix, as ``xdp``.
        context: name of its row in ``uapi.contexts``, "" for typed BTF arguments.
        helpers: ids of the helpers that it may call; some only under some attach types, see
            ``may_call``.
        attach_types: expected attach types that it can have.
        attach_checked: loading refuses any other expected attach type.
        default_attach: stands for expected attach type 0.
        packet: packet pointers: none, read, or read and write.
        packet_in_any_helper: packet pointers may go to every helper that takes memory.
        returns: ranges of R0 at exit; the first that applies holds, none means any value.
        sleepable: attach types under which it may sleep, () for none, (-1,) for all.
        sleepable_only: it must be loaded as sleepable.
        skb_loads: LD_ABS and LD_IND are allowed.
        typed: context accesses are checked against BTF of the attach target.
        net_admin: loading needs CAP_NET_ADMIN. *perfmon*: CAP_PERFMON.
        unprivileged: may be loaded without capabilities where the system allows that.
        test_run: Linux has PROG_TEST_RUN for it.
    """

    id: int
    name: str
    context: str
    helpers: frozenset[int]
    attach_types: tuple[int, ...] = ()
    attach_checked: bool = False
    default_attach: int = 0
    packet: Packet = Packet.NONE
    packet_in_any_helper: bool = False
    returns: tuple[ReturnRange, ...] = ()
    sleepable: tuple[int, ...] = ()
    sleepable_only: bool = False
    skb_loads: bool = False
    typed: bool = False
    net_admin: bool = False
    perfmon: bool = False
    unprivileged: bool = False
    test_run: bool = False


_BOOLEAN: Final = (ReturnRange(0, 1),)
_ZERO_IF_TYPED: Final = ReturnRange(0, 0)

SOCKET_FILTER: Final = ProgramType(
    1,
    "socket_filter",
    "__sk_buff",
    sets.SOCKET_FILTER,
    skb_loads=True,
    unprivileged=True,
    test_run=True,
)
KPROBE: Final = ProgramType(
    2,
    "kprobe",
    "bpf_user_pt_regs_t",
    sets.PROBE,
    attach_types=(
        On.TRACE_KPROBE_MULTI,
        On.TRACE_UPROBE_MULTI,
        On.TRACE_KPROBE_SESSION,
        On.TRACE_UPROBE_SESSION,
    ),
    returns=(ReturnRange(0, 1, (On.TRACE_KPROBE_SESSION, On.TRACE_UPROBE_SESSION)),),
    sleepable=(-1,),
    perfmon=True,
)
SCHED_CLS: Final = ProgramType(
    3,
    "sched_cls",
    "__sk_buff",
    sets.CLASSIFIER,
    attach_types=(On.TCX_INGRESS, On.TCX_EGRESS, On.NETKIT_PRIMARY, On.NETKIT_PEER),
    packet=Packet.WRITE,
    skb_loads=True,
    net_admin=True,
    test_run=True,
)
SCHED_ACT: Final = ProgramType(
    4,
    "sched_act",
    "__sk_buff",
    sets.CLASSIFIER,
    packet=Packet.WRITE,
    skb_loads=True,
    net_admin=True,
    test_run=True,
)
TRACEPOINT: Final = ProgramType(5, "tracepoint", "tracepoint", sets.PROBE, perfmon=True)
XDP: Final = ProgramType(
    6,
    "xdp",
    "xdp_md",
    sets.XDP,
    attach_types=(On.XDP, On.XDP_DEVMAP, On.XDP_CPUMAP),
    packet=Packet.WRITE,
    net_admin=True,
    test_run=True,
)
PERF_EVENT: Final = ProgramType(
    7,
    "perf_event",
    "bpf_perf_event_data",
    sets.PERF_EVENT,
    attach_types=(On.PERF_EVENT,),
    perfmon=True,
)
CGROUP_SKB: Final = ProgramType(
    8,
    "cgroup_skb",
    "__sk_buff",
    sets.CGROUP_SKB,
    attach_types=(On.CGROUP_INET_INGRESS, On.CGROUP_INET_EGRESS),
    attach_checked=True,
    packet=Packet.READ,
    returns=(ReturnRange(0, 3, (On.CGROUP_INET_EGRESS,), low_if_strict=2), ReturnRange(0, 1)),
    unprivileged=True,
    test_run=True,
)
CGROUP_SOCK: Final = ProgramType(
    9,
    "cgroup_sock",
    "bpf_sock",
    sets.CGROUP_SOCK,
    attach_types=(
        On.CGROUP_INET_SOCK_CREATE,
        On.CGROUP_INET_SOCK_RELEASE,
        On.CGROUP_INET4_POST_BIND,
        On.CGROUP_INET6_POST_BIND,
    ),
    attach_checked=True,
    default_attach=On.CGROUP_INET_SOCK_CREATE,
    returns=_BOOLEAN,
    net_admin=True,
)
LWT_IN: Final = ProgramType(
    10, "lwt_in", "__sk_buff", sets.LWT_IN, packet=Packet.READ, net_admin=True, test_run=True
)
LWT_OUT: Final = ProgramType(
    11, "lwt_out", "__sk_buff", sets.LWT_OUT, packet=Packet.READ, net_admin=True, test_run=True
)
LWT_XMIT: Final = ProgramType(
    12, "lwt_xmit", "__sk_buff", sets.LWT_XMIT, packet=Packet.WRITE, net_admin=True, test_run=True
)
SOCK_OPS: Final = ProgramType(
    13,
    "sock_ops",
    "bpf_sock_ops",
    sets.SOCK_OPS,
    attach_types=(On.CGROUP_SOCK_OPS,),
    returns=_BOOLEAN,
    net_admin=True,
)
SK_SKB: Final = ProgramType(
    14,
    "sk_skb",
    "__sk_buff",
    sets.SK_SKB,
    attach_types=(On.SK_SKB_STREAM_PARSER, On.SK_SKB_STREAM_VERDICT, On.SK_SKB_VERDICT),
    packet=Packet.WRITE,
    net_admin=True,
)
CGROUP_DEVICE: Final = ProgramType(
    15,
    "cgroup_device",
    "bpf_cgroup_dev_ctx",
    sets.CGROUP_DEVICE,
    attach_types=(On.CGROUP_DEVICE,),
    returns=_BOOLEAN,
    net_admin=True,
)
SK_MSG: Final = ProgramType(
    16,
    "sk_msg",
    "sk_msg_md",
    sets.SK_MSG,
    attach_types=(On.SK_MSG_VERDICT,),
    packet=Packet.WRITE,
    net_admin=True,
)
RAW_TRACEPOINT: Final = ProgramType(
    17, "raw_tracepoint", "bpf_raw_tracepoint_args", sets.PROBE, perfmon=True, test_run=True
)
CGROUP_SOCK_ADDR: Final = ProgramType(
    18,
    "cgroup_sock_addr",
    "bpf_sock_addr",
    sets.CGROUP_SOCK_ADDR,
    attach_types=(
        On.CGROUP_INET4_BIND,
        On.CGROUP_INET6_BIND,
        On.CGROUP_INET4_CONNECT,
        On.CGROUP_INET6_CONNECT,
        On.CGROUP_UNIX_CONNECT,
        On.CGROUP_INET4_GETPEERNAME,
        On.CGROUP_INET6_GETPEERNAME,
        On.CGROUP_UNIX_GETPEERNAME,
        On.CGROUP_INET4_GETSOCKNAME,
        On.CGROUP_INET6_GETSOCKNAME,
        On.CGROUP_UNIX_GETSOCKNAME,
        On.CGROUP_UDP4_SENDMSG,
        On.CGROUP_UDP6_SENDMSG,
        On.CGROUP_UNIX_SENDMSG,
        On.CGROUP_UDP4_RECVMSG,
        On.CGROUP_UDP6_RECVMSG,
        On.CGROUP_UNIX_RECVMSG,
    ),
    attach_checked=True,
    returns=(
        ReturnRange(
            1,
            1,
            (
                On.CGROUP_UDP4_RECVMSG,
                On.CGROUP_UDP6_RECVMSG,
                On.CGROUP_UNIX_RECVMSG,
                On.CGROUP_INET4_GETPEERNAME,
                On.CGROUP_INET6_GETPEERNAME,
                On.CGROUP_UNIX_GETPEERNAME,
                On.CGROUP_INET4_GETSOCKNAME,
                On.CGROUP_INET6_GETSOCKNAME,
                On.CGROUP_UNIX_GETSOCKNAME,
            ),
        ),
        ReturnRange(0, 3, (On.CGROUP_INET4_BIND, On.CGROUP_INET6_BIND)),
        ReturnRange(0, 1),
    ),
    net_admin=True,
)
LWT_SEG6LOCAL: Final = ProgramType(
    19,
    "lwt_seg6local",
    "__sk_buff",
    sets.LWT_SEG6LOCAL,
    packet=Packet.READ,
    net_admin=True,
)
LIRC_MODE2: Final = ProgramType(
    20, "lirc_mode2", "lirc_mode2", sets.LIRC_MODE2, attach_types=(On.LIRC_MODE2,)
)
SK_REUSEPORT: Final = ProgramType(
    21,
    "sk_reuseport",
    "sk_reuseport_md",
    sets.SK_REUSEPORT,
    attach_types=(On.SK_REUSEPORT_SELECT, On.SK_REUSEPORT_SELECT_OR_MIGRATE),
    attach_checked=True,
    default_attach=On.SK_REUSEPORT_SELECT,
    packet=Packet.READ,
)
FLOW_DISSECTOR: Final = ProgramType(
    22,
    "flow_dissector",
    "__sk_buff",
    sets.FLOW_DISSECTOR,
    attach_types=(On.FLOW_DISSECTOR,),
    packet=Packet.READ,
    net_admin=True,
    test_run=True,
)
CGROUP_SYSCTL: Final = ProgramType(
    23,
    "cgroup_sysctl",
    "bpf_sysctl",
    sets.CGROUP_SYSCTL,
    attach_types=(On.CGROUP_SYSCTL,),
    returns=_BOOLEAN,
    net_admin=True,
)
RAW_TRACEPOINT_WRITABLE: Final = ProgramType(
    24,
    "raw_tracepoint_writable",
    "bpf_raw_tracepoint_args",
    sets.PROBE,
    perfmon=True,
)
CGROUP_SOCKOPT: Final = ProgramType(
    25,
    "cgroup_sockopt",
    "bpf_sockopt",
    sets.CGROUP_SOCKOPT,
    attach_types=(On.CGROUP_GETSOCKOPT, On.CGROUP_SETSOCKOPT),
    attach_checked=True,
    packet=Packet.WRITE,
    packet_in_any_helper=True,
    returns=_BOOLEAN,
    net_admin=True,
)
TRACING: Final = ProgramType(
    26,
    "tracing",
    "",
    sets.TRACING,
    attach_types=(
        On.TRACE_RAW_TP,
        On.TRACE_FENTRY,
        On.TRACE_FEXIT,
        On.MODIFY_RETURN,
        On.TRACE_ITER,
    ),
    returns=(
        ReturnRange(0, 0, (On.TRACE_FENTRY, On.TRACE_FEXIT)),
        ReturnRange(0, 1, (On.TRACE_ITER,)),
    ),
    sleepable=(On.TRACE_FENTRY, On.TRACE_FEXIT, On.MODIFY_RETURN, On.TRACE_ITER),
    typed=True,
    perfmon=True,
    test_run=True,
)
STRUCT_OPS: Final = ProgramType(
    27,
    "struct_ops",
    "",
    sets.STRUCT_OPS,
    attach_types=(On.STRUCT_OPS,),
    sleepable=(-1,),
    typed=True,
    perfmon=True,
)
EXT: Final = ProgramType(28, "ext", "", sets.EXT, typed=True, net_admin=True, perfmon=True)
LSM: Final = ProgramType(
    29,
    "lsm",
    "",
    sets.LSM,
    attach_types=(On.LSM_MAC, On.LSM_CGROUP),
    returns=(ReturnRange(0, 1, (On.LSM_CGROUP,)),),
    sleepable=(On.LSM_MAC,),
    typed=True,
    perfmon=True,
)
SK_LOOKUP: Final = ProgramType(
    30,
    "sk_lookup",
    "bpf_sk_lookup",
    sets.SK_LOOKUP,
    attach_types=(On.SK_LOOKUP,),
    attach_checked=True,
    returns=_BOOLEAN,
    test_run=True,
)
SYSCALL: Final = ProgramType(
    31,
    "syscall",
    "syscall",
    sets.SYSCALL,
    sleepable=(-1,),
    sleepable_only=True,
    test_run=True,
)
NETFILTER: Final = ProgramType(
    32,
    "netfilter",
    "bpf_nf_ctx",
    sets.BASE,
    attach_types=(On.NETFILTER,),
    attach_checked=True,
    returns=_BOOLEAN,
    net_admin=True,
    test_run=True,
)

PROGRAM_TYPES: Final[tuple[ProgramType, ...]] = (
    SOCKET_FILTER,
    KPROBE,
    SCHED_CLS,
    SCHED_ACT,
    TRACEPOINT,
    XDP,
    PERF_EVENT,
    CGROUP_SKB,
    CGROUP_SOCK,
    LWT_IN,
    LWT_OUT,
    LWT_XMIT,
    SOCK_OPS,
    SK_SKB,
    CGROUP_DEVICE,
    SK_MSG,
    RAW_TRACEPOINT,
    CGROUP_SOCK_ADDR,
    LWT_SEG6LOCAL,
    LIRC_MODE2,
    SK_REUSEPORT,
    FLOW_DISSECTOR,
    CGROUP_SYSCTL,
    RAW_TRACEPOINT_WRITABLE,
    CGROUP_SOCKOPT,
    TRACING,
    STRUCT_OPS,
    EXT,
    LSM,
    SK_LOOKUP,
    SYSCALL,
    NETFILTER,
)
_BY_NAME: Final[Mapping[str, ProgramType]] = {row.name: row for row in PROGRAM_TYPES}

if [row.id for row in PROGRAM_TYPES] != list(range(1, 33)) or any(
    ProgType(row.id).name.lower() != row.name for row in PROGRAM_TYPES
):
    raise AssertionError("program types are not 1 .. 32 under the kernel's names")


def by_id(program_type: int) -> ProgramType | None:
    """The row with number *program_type*, or None."""
    return PROGRAM_TYPES[program_type - 1] if 1 <= program_type <= len(PROGRAM_TYPES) else None


def by_name(name: str) -> ProgramType | None:
    """The row called *name* (lower case, as ``xdp``), or None."""
    return _BY_NAME.get(name)


def may_call(
    program_type: ProgramType, helper: int, attach_type: int = 0, target: str = ""
) -> bool:
    """Tell whether programs of this type and attach type may call the helper.

    *target* is the name of the kernel function that a typed program is attached to.
    """
    if helper not in program_type.helpers:
        return False
    key = (program_type.id, helper)
    attach_types = sets.LIMITS.get(key)
    if attach_types is not None and attach_type not in attach_types:
        return False
    targets = sets.TARGETS.get(key)
    return targets is None or target in targets


def return_range(
    program_type: ProgramType, attach_type: int, *, typed_target: bool = False
) -> ReturnRange | None:
    """The range that R0 must lie in when the program ends, or None for any value.

    LSM hooks' own ranges and struct_ops are not in the table: they follow from the target.
    *typed_target*: a raw tracepoint program with a BTF target.
    """
    if program_type.id == RAW_TRACEPOINT.id:
        return _ZERO_IF_TYPED if typed_target else None
    for row in program_type.returns:
        if not row.attach_types or attach_type in row.attach_types:
            return row
    return None


def effective_attach_type(program_type: ProgramType, attach_type: int) -> int:
    """The expected attach type that PROG_LOAD works with: 0 may stand for a default."""
    return attach_type or program_type.default_attach


def may_have_attach_type(program_type: ProgramType, attach_type: int) -> bool:
    """Tell whether PROG_LOAD takes the expected attach type (after ``effective_attach_type``)."""
    if program_type.attach_checked:
        return attach_type in program_type.attach_types
    return attach_type == 0 or program_type.id not in {SYSCALL.id, EXT.id}


def may_sleep(program_type: ProgramType, attach_type: int) -> bool:
    """Tell whether the program may be loaded with F_SLEEPABLE."""
    return program_type.sleepable == (-1,) or attach_type in program_type.sleepable
