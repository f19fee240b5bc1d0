"""Reasons why hooks refuse programs: cgroups, devices, the network namespace, socket maps.

Source: Linux 6.18 kernel/bpf/cgroup.c, kernel/bpf/mprog.c, kernel/bpf/tcx.c,
kernel/bpf/net_namespace.c, net/core/dev.c (dev_xdp_attach), net/core/sock_map.c,
drivers/net/netkit.c, net/netfilter/nf_bpf_link.c.
"""

from errno import (
    E2BIG,
    EACCES,
    EAFNOSUPPORT,
    EBADF,
    EBUSY,
    EEXIST,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOLINK,
    ENOMEM,
    ENOPROTOOPT,
    ENXIO,
    EOPNOTSUPP,
    EPERM,
    EPROTO,
    ERANGE,
    ESTALE,
)
from typing import Final

from skep.uapi.reason import Reason

# --- all hooks ------------------------------------------------------------------------------------

STALE: Final = Reason(
    "hook/revision", ESTALE, "expected_revision", "0, or the revision that PROG_QUERY tells",
    "somebody has attached or detached in between: query again, and decide again",
)  # fmt: skip
UNLINKED: Final = Reason(
    "hook/unlinked", ENOLINK, "link_fd", "a link that is still on its hook",
    "the link was detached, or what it was on has gone: make a new one",
)  # fmt: skip
NOT_IN_PLACE: Final = Reason(
    "hook/old-program", EPERM, "old_prog_fd", "the program that the link holds"
)
OTHER_TYPE: Final = Reason(
    "hook/new-program", EINVAL, "new_prog_fd", "a program of the type of the one it replaces"
)
ANCHOR_LINK: Final = Reason(
    "hook/anchor-link", EINVAL, "", "with BPF_F_LINK, the descriptor or id of a link to stand by"
)
ANCHOR_TYPE: Final = Reason(
    "hook/anchor-type", EINVAL, "", "a program of the same type, or a link that holds one"
)

# --- cgroups --------------------------------------------------------------------------------------

CGROUP_FD: Final = Reason(
    "cgroup/target", EBADF, "target_fd", "a descriptor of a cgroup",
    "Subsystem.open_cgroup gives descriptors of this world's cgroups",
)  # fmt: skip
CGROUP_FLAGS: Final = Reason(
    "cgroup/flags", EINVAL, "", "ALLOW_OVERRIDE or ALLOW_MULTI, not both; REPLACE with ALLOW_MULTI",
    "REPLACE says where already: without BEFORE and AFTER",
)  # fmt: skip
CGROUP_PARENT: Final = Reason(
    "cgroup/ancestor", EPERM, "target_fd", "a cgroup whose ancestors let others attach",
    "a program above was attached without ALLOW_OVERRIDE or ALLOW_MULTI",
)  # fmt: skip
CGROUP_MIXED: Final = Reason(
    "cgroup/mixed", EPERM, "", "the ALLOW_* flags of the programs that are attached already"
)
CGROUP_FULL: Final = Reason("cgroup/full", E2BIG, "target_fd", "at most 64 programs")
CGROUP_TWICE: Final = Reason(
    "cgroup/twice", EINVAL, "attach_bpf_fd", "a program that is not attached there yet"
)
CGROUP_REPLACED: Final = Reason(
    "cgroup/replaced", ENOENT, "replace_bpf_fd", "a program that is attached there"
)
CGROUP_SIDE: Final = Reason(
    "cgroup/side", EINVAL, "", "BEFORE or AFTER, exactly one of them beside an anchor"
)
CGROUP_ANCHOR_KIND: Final = Reason(
    "cgroup/anchor-kind", EINVAL, "", "links stand by links, programs by programs"
)
CGROUP_ANCHOR_ORDER: Final = Reason(
    "cgroup/anchor-order", EINVAL, "", "PREORDER programs stand by PREORDER programs only"
)
CGROUP_ANCHOR: Final = Reason("cgroup/anchor", ENOENT, "", "an anchor that is attached there")
CGROUP_DETACH_WHAT: Final = Reason(
    "cgroup/detach-what", EINVAL, "attach_bpf_fd", "the program to detach, of several"
)
CGROUP_DETACH: Final = Reason(
    "cgroup/detach", ENOENT, "attach_bpf_fd", "a program that is attached there by itself",
    "what a link holds comes off when the link is closed or detached",
)  # fmt: skip
CGROUP_LINK_FLAGS: Final = Reason(
    "cgroup/link-flags", EINVAL, "flags", "only BEFORE, AFTER, ID, LINK, PREORDER"
)
CGROUP_QUERY_FLAGS: Final = Reason(
    "cgroup/query-attach-flags", EINVAL, "prog_attach_flags", "0 for what is effective",
    "programs from above have flags of their own cgroup",
)  # fmt: skip

# --- chains of devices: tcx, netkit ---------------------------------------------------------------

CHAIN_TWICE: Final = Reason("chain/twice", EEXIST, "", "a program that is not in the chain yet")
CHAIN_ABSENT: Final = Reason("chain/absent", ENOENT, "", "a program or link that is in the chain")
CHAIN_LINKED: Final = Reason(
    "chain/linked", EBUSY, "", "a program that stands there by itself",
    "a link holds it: update, detach or close the link",
)  # fmt: skip
CHAIN_FULL: Final = Reason("chain/full", ERANGE, "", "at most 64 programs")
CHAIN_PLACE: Final = Reason(
    "chain/place", ERANGE, "", "flags that all say the same place",
    "REPLACE, BEFORE and AFTER together must mean one place",
)  # fmt: skip
CHAIN_SIDE: Final = Reason(
    "chain/side", EINVAL, "", "BEFORE or AFTER beside an anchor, or with ID or LINK"
)
CHAIN_DETACH_REPLACE: Final = Reason(
    "chain/detach-replace", EINVAL, "attach_flags", "without BPF_F_REPLACE"
)
CHAIN_EMPTY: Final = Reason("chain/empty", ENOENT, "", "a chain with something to detach")
CHAIN_QUERY: Final = Reason("chain/query", EINVAL, "", "query_flags and attach_flags 0")
DEVICE: Final = Reason(
    "device/target", ENODEV, "target_fd", "the index of a device",
    "Subsystem.places.device(name).index",
)  # fmt: skip
NETKIT: Final = Reason("netkit/target", ENXIO, "target_fd", "the index of a netkit device")
NETKIT_PEER: Final = Reason(
    "netkit/peer", EACCES, "target_fd", "the primary device of a netkit pair"
)

# --- XDP ------------------------------------------------------------------------------------------

XDP_DEVICE: Final = Reason("xdp/target", EINVAL, "target_fd", "the index of a device")
XDP_FLAGS: Final = Reason("xdp/flags", EINVAL, "flags", "0, or one of SKB_MODE, DRV_MODE, HW_MODE")
XDP_LINKED: Final = Reason(
    "xdp/linked", EBUSY, "target_fd", "a device without an XDP link in that mode"
)
XDP_TAKEN: Final = Reason(
    "xdp/taken", EBUSY, "target_fd", "a device without an XDP program in that mode"
)
XDP_OTHER_MODE: Final = Reason(
    "xdp/other-mode", EEXIST, "flags", "the mode of the program that is there",
    "native and generic XDP exclude each other",
)  # fmt: skip
XDP_EXPECTED: Final = Reason("xdp/expected", EEXIST, "", "the program that is expected to be there")
XDP_PROGRAM: Final = Reason(
    "xdp/program", EINVAL, "prog_fd", "a program for devices, not for devmaps or cpumaps"
)
XDP_MODE: Final = Reason(
    "xdp/mode", EOPNOTSUPP, "flags", "a mode that the device has",
    "this world's devices have generic XDP, those made with native=True native XDP too",
)  # fmt: skip
XDP_HARDWARE: Final = Reason(
    "xdp/hardware",
    EINVAL,
    "flags",
    "SKB_MODE or DRV_MODE",
    "nothing here takes programs to offload",
)
XDP_UPDATE: Final = Reason(
    "xdp/update", EINVAL, "new_prog_fd", "an XDP program of the same expected attach type"
)

# --- network namespace ----------------------------------------------------------------------------

NETNS_KIND: Final = Reason(
    "netns/target", EINVAL, "target_fd", "a descriptor of a network namespace"
)
NETNS_FLAGS: Final = Reason("netns/flags", EINVAL, "", "must be 0")
NETNS_TAKEN: Final = Reason(
    "netns/taken", EEXIST, "", "programs or links, not both",
    "a flow dissector was attached the other way",
)  # fmt: skip
NETNS_TWICE: Final = Reason(
    "netns/twice", EINVAL, "attach_bpf_fd", "a program that is not attached there yet"
)
NETNS_FULL: Final = Reason(
    "netns/full", E2BIG, "target_fd", "one flow dissector, 64 programs that look up sockets"
)
NETNS_DETACH: Final = Reason(
    "netns/detach", ENOENT, "attach_bpf_fd", "the program that is attached there"
)
NETNS_DETACH_LINK: Final = Reason(
    "netns/detach-link", EINVAL, "attach_bpf_fd", "a program that stands there by itself",
    "what a link holds comes off when the link is closed or detached",
)  # fmt: skip

NETNS_QUERY: Final = Reason("netns/query", ENOMEM, "prog_cnt", "room for at most 1048576 programs")

# --- netfilter ------------------------------------------------------------------------------------

NETFILTER_FLAGS: Final = Reason("netfilter/link-flags", EINVAL, "flags", "must be 0")
NETFILTER_FAMILY: Final = Reason(
    "netfilter/family", EAFNOSUPPORT, "", "NFPROTO_IPV4 (2) or NFPROTO_IPV6 (10)"
)
NETFILTER_HOOK: Final = Reason("netfilter/hook", EPROTO, "", "a hook from 0 to 4")
NETFILTER_OPTIONS: Final = Reason("netfilter/options", EOPNOTSUPP, "", "0 or IP_DEFRAG")
NETFILTER_PRIORITY: Final = Reason(
    "netfilter/priority", ERANGE, "",
    "neither the first nor the last; with IP_DEFRAG above -400",
)  # fmt: skip
NETFILTER_TAKEN: Final = Reason(
    "netfilter/taken", EBUSY, "", "a priority that no other BPF program has at the hook"
)
NETFILTER_UPDATE: Final = Reason(
    "netfilter/update", EOPNOTSUPP, "link_fd", "a link whose program can be replaced",
    "make a new link at another priority, then close this one",
)  # fmt: skip

# --- socket maps ----------------------------------------------------------------------------------

SOCKMAP_FLAGS: Final = Reason("sockmap/flags", EINVAL, "", "must be 0")
SOCKMAP_KIND: Final = Reason(
    "sockmap/target", EOPNOTSUPP, "target_fd", "a descriptor of a sockmap or sockhash"
)
SOCKMAP_LINK_KIND: Final = Reason(
    "sockmap/link-target", EINVAL, "target_fd", "a descriptor of a sockmap or sockhash"
)
SOCKMAP_VERDICTS: Final = Reason(
    "sockmap/verdicts", EBUSY, "attach_type",
    "a stream verdict or an skb verdict, not both",
)  # fmt: skip
SOCKMAP_LINKED: Final = Reason(
    "sockmap/linked", EBUSY, "target_fd", "a map without a link of the attach type"
)
SOCKMAP_DETACH: Final = Reason(
    "sockmap/detach", ENOENT, "attach_bpf_fd", "the program that is attached there"
)

# --- sockets ----------------------------------------------------------------------------------

FILTER_LOCKED: Final = Reason(
    "socket/locked", EPERM, "", "a socket whose filter is not locked with SO_LOCK_FILTER"
)
FILTER_ABSENT: Final = Reason("socket/filter", ENOENT, "", "a socket that has a filter")
OPTION: Final = Reason(
    "socket/option", ENOPROTOOPT, "",
    "SO_ATTACH_BPF, SO_DETACH_BPF or SO_LOCK_FILTER at level SOL_SOCKET",
    "other options are the business of sockets, which this world has none of",
)  # fmt: skip
