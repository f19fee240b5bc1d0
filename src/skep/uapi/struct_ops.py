"""THE struct_ops table: the kernel structures whose function pointers programs may fill.

Of a structure BTF tells the prototypes. The rest is code of the subsystem that owns it, and stands
here: which members can be filled, which arguments may be NULL, what may be called and written.

Source: Linux 6.18 net/ipv4/bpf_tcp_ca.c (as the running kernel shows it),
net/bpf/bpf_dummy_struct_ops.c, kernel/bpf/bpf_struct_ops.c.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from skep.uapi import helper_sets

PREFIX: Final = "bpf_struct_ops_"  # of the struct that wraps each structure in kernel BTF


@dataclass(frozen=True, slots=True)
class Writable:
    """A member that programs may write to: *path* in struct *struct*, whose objects begin so.

    *inside*: stores may begin anywhere in it, else at its first byte only.
    """

    struct: str
    path: str
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure of function pointers.

    Args:
        name: of the struct.
        members: those that programs may fill.
        absent: function pointers that they may not.
        nullable: member to the numbers of its arguments that may be NULL.
        sleepable: members that sleepable programs may fill.
        helpers: ids of what the programs may call.
        withheld: helper id to the members whose programs may not call it.
        promoted: argument pointers to the first struct are pointers to the second.
        written: struct whose members may be written to.
        writable: those members; all bytes if there are none.
        elsewhere: message for a store to any other struct.
        text: the member that is a table's name.
        flags: a member, and the bits that it may have.
        required: of each set one member must be filled.
        registers: tables can be put into use.
    """

    name: str
    members: frozenset[str]
    absent: frozenset[str] = frozenset()
    nullable: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sleepable: frozenset[str] = frozenset()
    helpers: frozenset[int] = frozenset()
    withheld: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    promoted: tuple[str, str] = ("", "")
    written: str = ""
    writable: tuple[Writable, ...] = ()
    elsewhere: str = "only read is supported"
    text: str = ""
    flags: tuple[str, int] = ("", 0)
    required: tuple[frozenset[str], ...] = ()
    registers: bool = False


_CONGESTION_MEMBERS: Final = frozenset(
    (
        "ssthresh", "cong_avoid", "set_state", "cwnd_event", "in_ack_event", "pkts_acked",
        "min_tso_segs", "cong_control", "undo_cwnd", "sndbuf_expand", "init", "release",
    )
)  # fmt: skip
SETSOCKOPT: Final = 49
GETSOCKOPT: Final = 57

TCP_CONGESTION_OPS: Final = Structure(
    "tcp_congestion_ops",
    members=_CONGESTION_MEMBERS,
    absent=frozenset(("get_info",)),
    sleepable=_CONGESTION_MEMBERS,
    helpers=helper_sets.STRUCT_OPS,
    # release may run while the socket changes its algorithm by setsockopt: no recursion
    withheld={SETSOCKOPT: ("release",), GETSOCKOPT: ("release",)},
    promoted=("sock", "tcp_sock"),
    written="tcp_sock",
    writable=(
        Writable("sock", "sk_pacing_rate"),
        Writable("sock", "sk_pacing_status"),
        Writable("inet_connection_sock", "icsk_ca_priv", inside=True),
        Writable("inet_connection_sock", "icsk_ack.pending"),
        Writable("tcp_sock", "snd_cwnd"),
        Writable("tcp_sock", "snd_cwnd_cnt"),
        Writable("tcp_sock", "snd_cwnd_stamp"),
        Writable("tcp_sock", "snd_ssthresh"),
        Writable("tcp_sock", "ecn_flags"),
        Writable("tcp_sock", "app_limited"),
    ),
    text="name",
    flags=("flags", 0x1F),  # TCP_CONG_MASK, as the running kernel has it
    required=(
        frozenset(("ssthresh",)),
        frozenset(("undo_cwnd",)),
        frozenset(("cong_avoid", "cong_control")),
    ),
    registers=True,
)
BPF_DUMMY_OPS: Final = Structure(
    "bpf_dummy_ops",
    members=frozenset(("test_1", "test_2", "test_sleepable")),
    nullable={"test_1": (0,)},
    sleepable=frozenset(("test_sleepable",)),
    written="bpf_dummy_ops_state",
    elsewhere="only access to bpf_dummy_ops_state is supported",
)

STRUCTURES: Final[tuple[Structure, ...]] = (TCP_CONGESTION_OPS, BPF_DUMMY_OPS)
_BY_NAME: Final[Mapping[str, Structure]] = {row.name: row for row in STRUCTURES}


def by_name(name: str) -> Structure | None:
    """The row of struct *name*, or None."""
    return _BY_NAME.get(name)


def may_call(structure: Structure, member: str, helper: int) -> bool:
    """Tell whether programs in *member* may call the helper."""
    return helper in structure.helpers and member not in structure.withheld.get(helper, ())
