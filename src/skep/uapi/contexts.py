"""THE context table: fields of the structs that programs get as argument 1, or reach from it.

A context that a program sees is a block of native memory: the uapi struct itself (same offsets),
and behind it, from ``native_base``, one 8-byte slot for each field that is a pointer (data,
data_end, sk, …), because uapi declares those 32 bits wide or they point into "kernel" memory.
After verification the verifier rewrites a load of a pointer field, one instruction for one::

    r2 = *(u32 *)(r1 + 76)      r2 = *(u64 *)(r1 + 192)       (__sk_buff.data: slot 0)

Everything else, narrow loads included, works on the struct in place. Whether an access is allowed
is decided by ``uapi.access``.

Source: Linux 6.18 net/core/filter.c, kernel/trace/bpf_trace.c, kernel/bpf/cgroup.c
(``*_is_valid_access``); offsets from the running kernel's BTF.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from skep.uapi.flags import AttachType as On
from skep.uapi.flags import ProgType as Of


class Points(IntEnum):
    """What a context field's value is to the verifier."""

    SCALAR = 0
    PACKET = 1  # data
    PACKET_END = 2  # data_end
    PACKET_META = 3  # data_meta
    SOCKET = 4  # bpf_sock (full), may be NULL if nullable
    SOCK_COMMON = 5
    FLOW_KEYS = 6
    BTF = 7  # trusted pointer to the kernel struct named in `btf`
    BUFFER = 8  # the buffer of a writable raw tracepoint
    TCP_SOCK = 9
    XDP_SOCK = 10


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a context.

    Args:
        name: as in uapi.
        offset: bytes.
        size: bytes, of the whole field (arrays too).
        reads: sizes of loads allowed; a load is aligned to its size and lies inside the field.
        writes: sizes of stores allowed.
        points: what its value is.
        at_start: loads must begin at *offset*, narrow ones too.
        readers: program types (ids) that may read it, empty for all of the context's.
        writers: program types that may write it, empty for all.
        read_on: attach types under which it may be read, empty for all.
        write_on: attach types under which it may be written, empty for all.
        slot: native slot index of a pointer field, -1 otherwise.
        nullable: the pointer may be NULL.
        btf: kernel struct of a BTF pointer.
    """

    name: str
    offset: int
    size: int
    reads: tuple[int, ...]
    writes: tuple[int, ...] = ()
    points: Points = Points.SCALAR
    at_start: bool = False
    readers: tuple[int, ...] = ()
    writers: tuple[int, ...] = ()
    read_on: tuple[int, ...] = ()
    write_on: tuple[int, ...] = ()
    slot: int = -1
    nullable: bool = False
    btf: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """One struct; *size* is uapi's, *native_base* the offset of slot 0.

    *unaligned*: accesses need no alignment.
    """

    name: str
    size: int
    fields: tuple[Field, ...]
    unaligned: bool = False

    @property
    def native_base(self) -> int:
        """Offset of the first native slot: the size, rounded up to 8."""
        return (self.size + 7) & ~7

    @property
    def native_size(self) -> int:
        """Bytes of the native block: struct and slots."""
        return self.native_base + 8 * (1 + max((f.slot for f in self.fields), default=-1))

    def field(self, name: str) -> Field:
        """The field called *name*; KeyError if there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.name}.{name}")


_NARROW: Final = (1, 2, 4)
_ANY: Final = (1, 2, 4, 8)
_WORD: Final = (4,)
_LONG: Final = (8,)

_FILTER: Final = (Of.SOCKET_FILTER,)
_CLS: Final = (Of.SCHED_CLS, Of.SCHED_ACT)
_CG: Final = (Of.CGROUP_SKB,)
_LWT: Final = (Of.LWT_IN, Of.LWT_OUT, Of.LWT_XMIT, Of.LWT_SEG6LOCAL)
_SK_SKB: Final = (Of.SK_SKB,)
_FLOW: Final = (Of.FLOW_DISSECTOR,)
_ALL: Final = (*_FILTER, *_CLS, *_CG, *_LWT, *_SK_SKB)  # the flow dissector sees next to nothing


def _plain(name: str, offset: int, writers: tuple[int, ...] = ()) -> Field:
    """A 32-bit field of __sk_buff that may be read in part."""
    return Field(name, offset, 4, _NARROW, _WORD if writers else (), readers=_ALL, writers=writers)


SK_BUFF: Final = Context(
    "__sk_buff",
    192,
    (
        _plain("len", 0),
        _plain("pkt_type", 4),
        Field(
            "mark",
            8,
            4,
            _NARROW,
            _WORD,
            readers=(*_FILTER, *_CLS, *_CG, *_LWT),
            writers=(*_CLS, *_CG, *_LWT),
        ),
        _plain("queue_mapping", 12, _CLS),
        _plain("protocol", 16),
        _plain("vlan_present", 20),
        _plain("vlan_tci", 24),
        _plain("vlan_proto", 28),
        _plain("priority", 32, (*_CLS, *_CG, *_LWT, *_SK_SKB)),
        _plain("ingress_ifindex", 36),
        _plain("ifindex", 40),
        _plain("tc_index", 44, (*_CLS, *_SK_SKB)),
        Field("cb", 48, 20, _ANY, _ANY, readers=_ALL, writers=(*_FILTER, *_CLS, *_CG, *_LWT)),
        _plain("hash", 68),
        Field("tc_classid", 72, 4, _NARROW, _WORD, readers=_CLS, writers=_CLS),
        Field(
            "data",
            76,
            4,
            _WORD,
            points=Points.PACKET,
            readers=(*_CLS, *_CG, *_LWT, *_SK_SKB, *_FLOW),
            slot=0,
        ),
        Field(
            "data_end",
            80,
            4,
            _WORD,
            points=Points.PACKET_END,
            readers=(*_CLS, *_CG, *_LWT, *_SK_SKB, *_FLOW),
            slot=1,
        ),
        _plain("napi_id", 84),
        Field("family", 88, 4, _NARROW, readers=(*_CG, *_SK_SKB)),
        Field("remote_ip4", 92, 4, _WORD, readers=(*_CG, *_SK_SKB)),
        Field("local_ip4", 96, 4, _WORD, readers=(*_CG, *_SK_SKB)),
        Field("remote_ip6", 100, 16, _WORD, readers=(*_CG, *_SK_SKB)),
        Field("local_ip6", 116, 16, _WORD, readers=(*_CG, *_SK_SKB)),
        Field("remote_port", 132, 4, _NARROW, readers=(*_CG, *_SK_SKB)),
        Field("local_port", 136, 4, _NARROW, readers=(*_CG, *_SK_SKB)),
        Field("data_meta", 140, 4, _WORD, points=Points.PACKET_META, readers=_CLS, slot=2),
        Field("flow_keys", 144, 8, _LONG, points=Points.FLOW_KEYS, readers=_FLOW, slot=4),
        Field("tstamp", 152, 8, _LONG, _LONG, readers=(*_CLS, *_CG), writers=(*_CLS, *_CG)),
        Field("wire_len", 160, 4, _NARROW, readers=_CLS),
        _plain("gso_segs", 164),
        Field("sk", 168, 8, _LONG, points=Points.SOCK_COMMON, readers=_ALL, slot=3, nullable=True),
        _plain("gso_size", 176),
        Field("tstamp_type", 180, 1, (1,), readers=_CLS),
        Field("hwtstamp", 184, 8, _LONG, readers=(*_CLS, *_CG)),
    ),
)

XDP_MD: Final = Context(
    "xdp_md",
    24,
    (
        Field("data", 0, 4, _WORD, points=Points.PACKET, slot=0),
        Field("data_end", 4, 4, _WORD, points=Points.PACKET_END, slot=1),
        Field("data_meta", 8, 4, _WORD, points=Points.PACKET_META, slot=2),
        Field("ingress_ifindex", 12, 4, _WORD),
        Field("rx_queue_index", 16, 4, _WORD),
        Field("egress_ifindex", 20, 4, _WORD, read_on=(On.XDP_DEVMAP,)),
    ),
)

_ON_INET4: Final = (
    On.CGROUP_INET4_BIND,
    On.CGROUP_INET4_CONNECT,
    On.CGROUP_INET4_GETPEERNAME,
    On.CGROUP_INET4_GETSOCKNAME,
    On.CGROUP_UDP4_SENDMSG,
    On.CGROUP_UDP4_RECVMSG,
)
_ON_INET6: Final = (
    On.CGROUP_INET6_BIND,
    On.CGROUP_INET6_CONNECT,
    On.CGROUP_INET6_GETPEERNAME,
    On.CGROUP_INET6_GETSOCKNAME,
    On.CGROUP_UDP6_SENDMSG,
    On.CGROUP_UDP6_RECVMSG,
)
_ON_SEND4: Final = (On.CGROUP_UDP4_SENDMSG,)
_ON_SEND6: Final = (On.CGROUP_UDP6_SENDMSG,)

SOCK_ADDR: Final = Context(
    "bpf_sock_addr",
    72,
    (
        Field("user_family", 0, 4, _WORD),
        Field("user_ip4", 4, 4, _NARROW, _WORD, read_on=_ON_INET4, write_on=_ON_INET4),
        Field("user_ip6", 8, 16, _ANY, (4, 8), read_on=_ON_INET6, write_on=_ON_INET6),
        Field("user_port", 24, 4, _NARROW, _WORD),
        Field("family", 28, 4, _WORD),
        Field("type", 32, 4, _WORD),
        Field("protocol", 36, 4, _WORD),
        Field("msg_src_ip4", 40, 4, _NARROW, _WORD, read_on=_ON_SEND4, write_on=_ON_SEND4),
        Field("msg_src_ip6", 44, 16, _ANY, (4, 8), read_on=_ON_SEND6, write_on=_ON_SEND6),
        Field("sk", 64, 8, _LONG, points=Points.SOCKET, slot=0),
    ),
)

_ON_CREATE: Final = (On.CGROUP_INET_SOCK_CREATE, On.CGROUP_INET_SOCK_RELEASE)
_ON_POST4: Final = (On.CGROUP_INET4_POST_BIND,)
_ON_POST6: Final = (On.CGROUP_INET6_POST_BIND,)

SOCK: Final = Context(
    "bpf_sock",
    80,
    (
        Field("bound_dev_if", 0, 4, _WORD, _WORD, read_on=_ON_CREATE, write_on=_ON_CREATE),
        Field("family", 4, 4, _NARROW, at_start=True),
        Field("type", 8, 4, _NARROW, at_start=True),
        Field("protocol", 12, 4, _NARROW, at_start=True),
        Field("mark", 16, 4, _WORD, _WORD, read_on=_ON_CREATE, write_on=_ON_CREATE),
        Field("priority", 20, 4, _WORD, _WORD, read_on=_ON_CREATE, write_on=_ON_CREATE),
        Field("src_ip4", 24, 4, _NARROW, read_on=_ON_POST4),
        Field("src_ip6", 28, 16, _NARROW, read_on=_ON_POST6),
        Field("src_port", 44, 4, _NARROW, at_start=True, read_on=(*_ON_POST4, *_ON_POST6)),
        Field("dst_port", 48, 2, (1, 2)),
        Field("dst_port_word", 48, 4, _WORD),
        Field("dst_ip4", 52, 4, _NARROW),
        Field("dst_ip6", 56, 16, _NARROW),
        Field("state", 72, 4, _NARROW, at_start=True),
        Field("rx_queue_mapping", 76, 4, _NARROW, at_start=True),
    ),
)


def _words(*rows: tuple[str, int]) -> tuple[Field, ...]:
    """Read-only 32-bit fields that are read whole."""
    return tuple(Field(name, offset, 4, _WORD) for name, offset in rows)


SOCK_OPS: Final = Context(
    "bpf_sock_ops",
    224,
    (
        Field("op", 0, 4, _WORD),
        Field("reply", 4, 4, _WORD, _WORD),
        Field("replylong", 8, 12, _WORD),
        *_words(("family", 20), ("remote_ip4", 24), ("local_ip4", 28)),
        Field("remote_ip6", 32, 16, _WORD),
        Field("local_ip6", 48, 16, _WORD),
        *_words(
            ("remote_port", 64),
            ("local_port", 68),
            ("is_fullsock", 72),
            ("snd_cwnd", 76),
            ("srtt_us", 80),
            ("bpf_sock_ops_cb_flags", 84),
            ("state", 88),
            ("rtt_min", 92),
            ("snd_ssthresh", 96),
            ("rcv_nxt", 100),
            ("snd_nxt", 104),
            ("snd_una", 108),
            ("mss_cache", 112),
            ("ecn_flags", 116),
            ("rate_delivered", 120),
            ("rate_interval_us", 124),
            ("packets_out", 128),
            ("retrans_out", 132),
            ("total_retrans", 136),
            ("segs_in", 140),
            ("data_segs_in", 144),
            ("segs_out", 148),
            ("data_segs_out", 152),
            ("lost_out", 156),
            ("sacked_out", 160),
        ),
        Field("sk_txhash", 164, 4, _WORD, _WORD),
        Field("bytes_received", 168, 8, _LONG),
        Field("bytes_acked", 176, 8, _LONG),
        Field("sk", 184, 8, _LONG, points=Points.SOCKET, slot=0, nullable=True),
        Field("skb_data", 192, 8, _LONG, points=Points.PACKET, slot=1),
        Field("skb_data_end", 200, 8, _LONG, points=Points.PACKET_END, slot=2),
        Field("skb_len", 208, 4, _WORD),
        Field("skb_tcp_flags", 212, 4, _NARROW, at_start=True),
        Field("skb_hwtstamp", 216, 8, _LONG),
    ),
)

SK_MSG: Final = Context(
    "sk_msg_md",
    80,
    (
        Field("data", 0, 8, _LONG, points=Points.PACKET, slot=0),
        Field("data_end", 8, 8, _LONG, points=Points.PACKET_END, slot=1),
        *_words(("family", 16), ("remote_ip4", 20), ("local_ip4", 24)),
        Field("remote_ip6", 28, 16, _WORD),
        Field("local_ip6", 44, 16, _WORD),
        *_words(("remote_port", 60), ("local_port", 64), ("size", 68)),
        Field("sk", 72, 8, _LONG, points=Points.SOCKET, slot=2),
    ),
)

SK_REUSEPORT: Final = Context(
    "sk_reuseport_md",
    56,
    (
        Field("data", 0, 8, _LONG, points=Points.PACKET, slot=0),
        Field("data_end", 8, 8, _LONG, points=Points.PACKET_END, slot=1),
        Field("len", 16, 4, _NARROW),
        Field("eth_protocol", 20, 4, (2, 4)),
        Field("ip_protocol", 24, 4, _NARROW),
        Field("bind_inany", 28, 4, _NARROW),
        Field("hash", 32, 4, _WORD),
        Field("sk", 40, 8, _LONG, points=Points.SOCKET, slot=2),
        Field("migrating_sk", 48, 8, _LONG, points=Points.SOCK_COMMON, slot=3, nullable=True),
    ),
)

SK_LOOKUP: Final = Context(
    "bpf_sk_lookup",
    72,
    (
        Field("sk", 0, 8, _LONG, points=Points.SOCKET, slot=0, nullable=True),
        Field("family", 8, 4, _NARROW),
        Field("protocol", 12, 4, _NARROW),
        Field("remote_ip4", 16, 4, _NARROW),
        Field("remote_ip6", 20, 16, _NARROW),
        Field("remote_port", 36, 2, (1, 2)),
        Field("remote_port_word", 36, 4, _WORD),
        Field("remote_port_padding", 38, 2, (1, 2)),
        Field("local_ip4", 40, 4, _NARROW),
        Field("local_ip6", 44, 16, _NARROW),
        Field("local_port", 60, 4, _NARROW),
        Field("ingress_ifindex", 64, 4, _NARROW),
    ),
)

CGROUP_DEVICE: Final = Context(
    "bpf_cgroup_dev_ctx",
    12,
    (Field("access_type", 0, 4, _NARROW), *_words(("major", 4), ("minor", 8))),
)

SYSCTL: Final = Context(
    "bpf_sysctl",
    8,
    (Field("write", 0, 4, _NARROW), Field("file_pos", 4, 4, _NARROW, _WORD)),
)

SOCKOPT: Final = Context(
    "bpf_sockopt",
    40,
    (
        Field("sk", 0, 8, _LONG, points=Points.SOCKET, slot=0),
        Field("optval", 8, 8, _LONG, points=Points.PACKET, slot=1),
        Field("optval_end", 16, 8, _LONG, points=Points.PACKET_END, slot=2),
        Field("level", 24, 4, _WORD, _WORD, write_on=(On.CGROUP_SETSOCKOPT,)),
        Field("optname", 28, 4, _WORD, _WORD, write_on=(On.CGROUP_SETSOCKOPT,)),
        Field("optlen", 32, 4, _WORD, _WORD),
        Field(
            "retval",
            36,
            4,
            _WORD,
            _WORD,
            read_on=(On.CGROUP_GETSOCKOPT,),
            write_on=(On.CGROUP_GETSOCKOPT,),
        ),
    ),
)

_REGISTERS: Final = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx",
    "rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss",
)  # fmt: skip

PT_REGS: Final = Context(
    "bpf_user_pt_regs_t",
    168,
    tuple(Field(name, 8 * at, 8, _ANY) for at, name in enumerate(_REGISTERS)),
)

TRACEPOINT: Final = Context("tracepoint", 8192, (Field("record", 8, 8184, _ANY),))

_RAW: Final = (Of.RAW_TRACEPOINT,)
_RAW_WRITABLE: Final = (Of.RAW_TRACEPOINT_WRITABLE,)

RAW_TRACEPOINT: Final = Context(
    "bpf_raw_tracepoint_args",
    96,
    (
        Field("args0", 0, 8, _ANY, readers=_RAW),
        Field("buffer", 0, 8, _LONG, points=Points.BUFFER, readers=_RAW_WRITABLE, slot=0),
        Field("buffer_part", 1, 7, _NARROW, readers=_RAW_WRITABLE),
        Field("args", 8, 88, _ANY),
    ),
)

PERF_EVENT: Final = Context(
    "bpf_perf_event_data",
    184,
    (
        *(Field(name, 8 * at, 8, _LONG) for at, name in enumerate(_REGISTERS)),
        Field("sample_period", 168, 8, _ANY),
        Field("addr", 176, 8, _ANY),
    ),
)

NETFILTER: Final = Context(
    "bpf_nf_ctx",
    16,
    (
        Field("state", 0, 8, _LONG, points=Points.BTF, slot=0, btf="nf_hook_state"),
        Field("skb", 8, 8, _LONG, points=Points.BTF, slot=1, btf="sk_buff"),
    ),
)

SYSCALL: Final = Context(
    "syscall",
    0xFFFF,
    (Field("argument", 0, 0xFFFF + 7, _ANY, _ANY),),
)

LIRC_MODE2: Final = Context("lirc_mode2", 4, (Field("sample", 0, 4, _WORD),))

CONTEXTS: Final[tuple[Context, ...]] = (
    SK_BUFF,
    XDP_MD,
    SOCK_ADDR,
    SOCK,
    SOCK_OPS,
    SK_MSG,
    SK_REUSEPORT,
    SK_LOOKUP,
    CGROUP_DEVICE,
    SYSCTL,
    SOCKOPT,
    PT_REGS,
    TRACEPOINT,
    RAW_TRACEPOINT,
    PERF_EVENT,
    NETFILTER,
    SYSCALL,
    LIRC_MODE2,
)

# --- structs behind pointers, walked by table --------------------------------------------------

_FULL_ONLY: Final = ("type", "protocol", "mark", "priority")

SOCKET: Final = Context(
    "bpf_sock",
    80,
    tuple(Field(f.name, f.offset, f.size, f.reads, at_start=f.at_start) for f in SOCK.fields),
)
SOCK_COMMON: Final = Context(
    "bpf_sock", 80, tuple(f for f in SOCKET.fields if f.name not in _FULL_ONLY)
)
TCP_SOCK: Final = Context(
    "bpf_tcp_sock",
    112,
    (
        *_words(
            ("snd_cwnd", 0),
            ("srtt_us", 4),
            ("rtt_min", 8),
            ("snd_ssthresh", 12),
            ("rcv_nxt", 16),
            ("snd_nxt", 20),
            ("snd_una", 24),
            ("mss_cache", 28),
            ("ecn_flags", 32),
            ("rate_delivered", 36),
            ("rate_interval_us", 40),
            ("packets_out", 44),
            ("retrans_out", 48),
            ("total_retrans", 52),
            ("segs_in", 56),
            ("data_segs_in", 60),
            ("segs_out", 64),
            ("data_segs_out", 68),
            ("lost_out", 72),
            ("sacked_out", 76),
        ),
        Field("bytes_received", 80, 8, _LONG),
        Field("bytes_acked", 88, 8, _LONG),
        *_words(
            ("dsack_dups", 96), ("delivered", 100), ("delivered_ce", 104), ("icsk_retransmits", 108)
        ),
    ),
)
XDP_SOCK: Final = Context("bpf_xdp_sock", 4, _words(("queue_id", 0)))
FLOW_KEYS: Final = Context(
    "bpf_flow_keys",
    56,
    (
        Field("nhoff", 0, 2, _ANY, _ANY),
        Field("thoff", 2, 2, _ANY, _ANY),
        Field("addr_proto", 4, 2, _ANY, _ANY),
        Field("is_frag", 6, 1, _ANY, _ANY),
        Field("is_first_frag", 7, 1, _ANY, _ANY),
        Field("is_encap", 8, 1, _ANY, _ANY),
        Field("ip_proto", 9, 1, _ANY, _ANY),
        Field("n_proto", 10, 2, _ANY, _ANY),
        Field("sport", 12, 2, _ANY, _ANY),
        Field("dport", 14, 2, _ANY, _ANY),
        Field("addresses", 16, 32, _ANY, _ANY),
        Field("flags", 48, 4, _ANY, _ANY),
        Field("flow_label", 52, 4, _ANY, _ANY),
        Field("all", 0, 56, _ANY, _ANY),
    ),
    unaligned=True,
)

STRUCTS: Final[Mapping[Points, Context]] = {
    Points.SOCKET: SOCKET,
    Points.SOCK_COMMON: SOCK_COMMON,
    Points.TCP_SOCK: TCP_SOCK,
    Points.XDP_SOCK: XDP_SOCK,
    Points.FLOW_KEYS: FLOW_KEYS,
}

_BY_NAME: Final[Mapping[str, Context]] = {row.name: row for row in CONTEXTS}

if len(_BY_NAME) != len(CONTEXTS):
    raise AssertionError("two contexts have one name")


def by_name(name: str) -> Context | None:
    """The context called *name* (as ``xdp_md``), or None."""
    return _BY_NAME.get(name)
