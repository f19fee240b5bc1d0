"""Rows of the helper table: packets, sockets, routes and system call hooks.

Source: Linux 6.18 net/core/filter.c, sock_map.c, bpf_sk_storage.c; kernel/bpf/cgroup.c;
drivers/media/rc/bpf-lirc.c.
"""

from skep.uapi.helper_types import (
    ANY,
    CTX,
    CTX_OR_NULL,
    HEADER20,
    HEADER40,
    KEY,
    MAP,
    MEM_IN,
    MEM_IN_OR_NULL,
    MEM_INOUT,
    MEM_OUT,
    SIZE,
    SIZE_OR_ZERO,
    SOCK,
    SOCK_COMMON,
    SOCK_RELEASE,
    TCP_SOCK_PTR,
    U32_INOUT,
    VALUE_OR_NULL,
    Helper,
    Ret,
)

SKB_STORE_BYTES = Helper(
    9,
    "skb_store_bytes",
    (CTX, ANY, MEM_IN, SIZE, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.1",
    doc="Write bytes into a packet at an offset, optionally keeping its checksum in step.",
)
L3_CSUM_REPLACE = Helper(
    10,
    "l3_csum_replace",
    (CTX, ANY, ANY, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.1",
    doc="Replace a word covered by the IP checksum and correct that checksum.",
)
L4_CSUM_REPLACE = Helper(
    11,
    "l4_csum_replace",
    (CTX, ANY, ANY, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.1",
    doc="Replace a word covered by the TCP, UDP or ICMP checksum and correct that checksum.",
)
CLONE_REDIRECT = Helper(
    13,
    "clone_redirect",
    (CTX, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.2",
    doc="Send a copy of the packet to another network device.",
)
GET_CGROUP_CLASSID = Helper(
    17,
    "get_cgroup_classid",
    (),
    Ret.INTEGER,
    since="4.3",
    doc="The net_cls class id of the packet's socket or of the current task.",
)
SKB_VLAN_PUSH = Helper(
    18,
    "skb_vlan_push",
    (CTX, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.3",
    doc="Put a VLAN tag on the packet.",
)
SKB_VLAN_POP = Helper(
    19,
    "skb_vlan_pop",
    (CTX,),
    Ret.INTEGER,
    changes_packet=True,
    since="4.3",
    doc="Take the outer VLAN tag off the packet.",
)
SKB_GET_TUNNEL_KEY = Helper(
    20,
    "skb_get_tunnel_key",
    (CTX, MEM_OUT, SIZE, ANY),
    Ret.INTEGER,
    since="4.3",
    doc="Copy the tunnel metadata that the packet came with.",
)
SKB_SET_TUNNEL_KEY = Helper(
    21,
    "skb_set_tunnel_key",
    (CTX, MEM_IN, SIZE, ANY),
    Ret.INTEGER,
    since="4.3",
    doc="Set the tunnel metadata that the packet is to be encapsulated with.",
)
REDIRECT = Helper(
    23,
    "redirect",
    (ANY, ANY),
    Ret.INTEGER,
    since="4.4",
    doc="Name another network device as the place where the packet goes.",
)
GET_ROUTE_REALM = Helper(
    24,
    "get_route_realm",
    (CTX,),
    Ret.INTEGER,
    since="4.4",
    doc="Realm of the route that the packet took.",
)
SKB_LOAD_BYTES = Helper(
    26,
    "skb_load_bytes",
    (CTX, ANY, MEM_OUT, SIZE),
    Ret.INTEGER,
    since="4.5",
    doc="Copy bytes out of a packet, also from its paged part.",
)
CSUM_DIFF = Helper(
    28,
    "csum_diff",
    (MEM_IN_OR_NULL, SIZE_OR_ZERO, MEM_IN_OR_NULL, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    pkt_access=True,
    since="4.6",
    doc="Checksum difference between two buffers, to be folded into a checksum.",
)
SKB_GET_TUNNEL_OPT = Helper(
    29,
    "skb_get_tunnel_opt",
    (CTX, MEM_OUT, SIZE),
    Ret.INTEGER,
    since="4.6",
    doc="Copy the tunnel options that the packet came with.",
)
SKB_SET_TUNNEL_OPT = Helper(
    30,
    "skb_set_tunnel_opt",
    (CTX, MEM_IN, SIZE),
    Ret.INTEGER,
    since="4.6",
    doc="Set the tunnel options that the packet is to be encapsulated with.",
)
SKB_CHANGE_PROTO = Helper(
    31,
    "skb_change_proto",
    (CTX, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.8",
    doc="Turn an IPv4 packet into IPv6 or back; the program writes the new header.",
)
SKB_CHANGE_TYPE = Helper(
    32,
    "skb_change_type",
    (CTX, ANY),
    Ret.INTEGER,
    since="4.8",
    doc="Set the packet's type: to this host, to another, broadcast or multicast.",
)
SKB_UNDER_CGROUP = Helper(
    33,
    "skb_under_cgroup",
    (CTX, MAP, ANY),
    Ret.INTEGER,
    since="4.8",
    doc="Whether the packet's socket belongs to the cgroup at an index, or below it.",
)
GET_HASH_RECALC = Helper(
    34,
    "get_hash_recalc",
    (CTX,),
    Ret.INTEGER,
    since="4.8",
    doc="Flow hash of the packet, computed if it was not known.",
)
SKB_CHANGE_TAIL = Helper(
    38,
    "skb_change_tail",
    (CTX, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.9",
    doc="Cut or extend the packet at its end.",
)
SKB_PULL_DATA = Helper(
    39,
    "skb_pull_data",
    (CTX, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.9",
    doc="Make the first bytes of the packet directly readable and writable.",
)
CSUM_UPDATE = Helper(
    40,
    "csum_update",
    (CTX, ANY),
    Ret.INTEGER,
    since="4.9",
    doc="Add a difference to the packet's complete checksum.",
)
SET_HASH_INVALID = Helper(
    41, "set_hash_invalid", (CTX,), Ret.INTEGER, since="4.9", doc="Forget the packet's flow hash."
)
SKB_CHANGE_HEAD = Helper(
    43,
    "skb_change_head",
    (CTX, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.10",
    doc="Make room in front of the packet, for a link-layer header.",
)
XDP_ADJUST_HEAD = Helper(
    44,
    "xdp_adjust_head",
    (CTX, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.10",
    doc="Move the start of an XDP packet.",
)
GET_SOCKET_COOKIE = Helper(
    46,
    "get_socket_cookie",
    (CTX,),
    Ret.INTEGER,
    since="4.12",
    doc="Number that identifies the socket for as long as it lives.",
)
GET_SOCKET_UID = Helper(
    47,
    "get_socket_uid",
    (CTX,),
    Ret.INTEGER,
    since="4.12",
    doc="User id that owns the packet's socket.",
)
SET_HASH = Helper(
    48, "set_hash", (CTX, ANY), Ret.INTEGER, since="4.13", doc="Set the packet's flow hash."
)
SETSOCKOPT = Helper(
    49,
    "setsockopt",
    (CTX, ANY, ANY, MEM_IN, SIZE),
    Ret.INTEGER,
    since="4.13",
    doc="Set an option of the socket, as setsockopt(2) does.",
)
SKB_ADJUST_ROOM = Helper(
    50,
    "skb_adjust_room",
    (CTX, ANY, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.13",
    doc="Grow or shrink the packet between its headers.",
)
REDIRECT_MAP = Helper(
    51,
    "redirect_map",
    (MAP, ANY, ANY),
    Ret.INTEGER,
    since="4.14",
    doc="Send the packet to the device, CPU or socket at an index of a map.",
)
SK_REDIRECT_MAP = Helper(
    52,
    "sk_redirect_map",
    (CTX, MAP, ANY, ANY),
    Ret.INTEGER,
    since="4.14",
    doc="Send the packet to the socket at an index of a sockmap.",
)
SOCK_MAP_UPDATE = Helper(
    53,
    "sock_map_update",
    (CTX, MAP, KEY, ANY),
    Ret.INTEGER,
    pkt_access=True,
    since="4.14",
    doc="Put the socket of a sock_ops context into a sockmap.",
)
XDP_ADJUST_META = Helper(
    54,
    "xdp_adjust_meta",
    (CTX, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.15",
    doc="Move the start of the metadata in front of an XDP packet.",
)
GETSOCKOPT = Helper(
    57,
    "getsockopt",
    (CTX, ANY, ANY, MEM_OUT, SIZE),
    Ret.INTEGER,
    since="4.15",
    doc="Read an option of the socket, as getsockopt(2) does.",
)
SOCK_OPS_CB_FLAGS_SET = Helper(
    59,
    "sock_ops_cb_flags_set",
    (CTX, ANY),
    Ret.INTEGER,
    since="4.16",
    doc="Choose which events of a TCP socket call sock_ops programs.",
)
MSG_REDIRECT_MAP = Helper(
    60,
    "msg_redirect_map",
    (CTX, MAP, ANY, ANY),
    Ret.INTEGER,
    since="4.17",
    doc="Send the message to the socket at an index of a sockmap.",
)
MSG_APPLY_BYTES = Helper(
    61,
    "msg_apply_bytes",
    (CTX, ANY),
    Ret.INTEGER,
    since="4.17",
    doc="Let the verdict hold for the next bytes of the message without running again.",
)
MSG_CORK_BYTES = Helper(
    62,
    "msg_cork_bytes",
    (CTX, ANY),
    Ret.INTEGER,
    since="4.17",
    doc="Wait until that many bytes are there before the program runs again.",
)
MSG_PULL_DATA = Helper(
    63,
    "msg_pull_data",
    (CTX, ANY, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.17",
    doc="Make a range of the message directly accessible.",
)
BIND = Helper(
    64,
    "bind",
    (CTX, MEM_IN, SIZE),
    Ret.INTEGER,
    since="4.17",
    doc="Choose the local address of a socket that is about to connect.",
)
XDP_ADJUST_TAIL = Helper(
    65,
    "xdp_adjust_tail",
    (CTX, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.18",
    doc="Move the end of an XDP packet.",
)
SKB_GET_XFRM_STATE = Helper(
    66,
    "skb_get_xfrm_state",
    (CTX, ANY, MEM_OUT, SIZE, ANY),
    Ret.INTEGER,
    since="4.18",
    doc="Copy what is known of the IPsec state that the packet passed.",
)
SKB_LOAD_BYTES_RELATIVE = Helper(
    68,
    "skb_load_bytes_relative",
    (CTX, ANY, MEM_OUT, SIZE, ANY),
    Ret.INTEGER,
    since="4.18",
    doc="Copy bytes out of a packet, counted from its link-layer or network header.",
)
FIB_LOOKUP = Helper(
    69,
    "fib_lookup",
    (CTX, MEM_INOUT, SIZE, ANY),
    Ret.INTEGER,
    gpl=True,
    since="4.18",
    doc="Look up a route and next hop in the kernel's tables.",
)
SOCK_HASH_UPDATE = Helper(
    70,
    "sock_hash_update",
    (CTX, MAP, KEY, ANY),
    Ret.INTEGER,
    pkt_access=True,
    since="4.18",
    doc="Put the socket of a sock_ops context into a sockhash.",
)
MSG_REDIRECT_HASH = Helper(
    71,
    "msg_redirect_hash",
    (CTX, MAP, KEY, ANY),
    Ret.INTEGER,
    since="4.18",
    doc="Send the message to the socket under a key of a sockhash.",
)
SK_REDIRECT_HASH = Helper(
    72,
    "sk_redirect_hash",
    (CTX, MAP, KEY, ANY),
    Ret.INTEGER,
    since="4.18",
    doc="Send the packet to the socket under a key of a sockhash.",
)
LWT_PUSH_ENCAP = Helper(
    73,
    "lwt_push_encap",
    (CTX, ANY, MEM_IN, SIZE),
    Ret.INTEGER,
    changes_packet=True,
    since="4.18",
    doc="Put an outer header on the packet: IPv6 segment routing, or any IP tunnel.",
)
LWT_SEG6_STORE_BYTES = Helper(
    74,
    "lwt_seg6_store_bytes",
    (CTX, ANY, MEM_IN, SIZE),
    Ret.INTEGER,
    changes_packet=True,
    since="4.18",
    doc="Write into the flags, tag or options of a segment routing header.",
)
LWT_SEG6_ADJUST_SRH = Helper(
    75,
    "lwt_seg6_adjust_srh",
    (CTX, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.18",
    doc="Grow or shrink the options of a segment routing header.",
)
LWT_SEG6_ACTION = Helper(
    76,
    "lwt_seg6_action",
    (CTX, ANY, MEM_IN, SIZE),
    Ret.INTEGER,
    changes_packet=True,
    since="4.18",
    doc="Apply a segment routing action to the packet.",
)
RC_REPEAT = Helper(
    77,
    "rc_repeat",
    (CTX,),
    Ret.INTEGER,
    gpl=True,
    since="4.18",
    doc="Report that the last remote control key is still held.",
)
RC_KEYDOWN = Helper(
    78,
    "rc_keydown",
    (CTX, ANY, ANY, ANY),
    Ret.INTEGER,
    gpl=True,
    since="4.18",
    doc="Report a decoded remote control key.",
)
SKB_CGROUP_ID = Helper(
    79,
    "skb_cgroup_id",
    (CTX,),
    Ret.INTEGER,
    since="4.18",
    doc="Id of the cgroup of the packet's socket.",
)
SK_SELECT_REUSEPORT = Helper(
    82,
    "sk_select_reuseport",
    (CTX, MAP, KEY, ANY),
    Ret.INTEGER,
    since="4.19",
    doc="Choose the socket that receives the packet from a sockarray.",
)
SKB_ANCESTOR_CGROUP_ID = Helper(
    83,
    "skb_ancestor_cgroup_id",
    (CTX, ANY),
    Ret.INTEGER,
    since="4.19",
    doc="Id of an ancestor, at a level, of the cgroup of the packet's socket.",
)
SK_LOOKUP_TCP = Helper(
    84,
    "sk_lookup_tcp",
    (CTX, MEM_IN, SIZE_OR_ZERO, ANY, ANY),
    Ret.SOCKET,
    nullable=True,
    pkt_access=True,
    acquires=True,
    since="4.20",
    doc="Find a TCP socket by its addresses; the reference must be released.",
)
SK_LOOKUP_UDP = Helper(
    85,
    "sk_lookup_udp",
    (CTX, MEM_IN, SIZE_OR_ZERO, ANY, ANY),
    Ret.SOCKET,
    nullable=True,
    pkt_access=True,
    acquires=True,
    since="4.20",
    doc="Find a UDP socket by its addresses; the reference must be released.",
)
SK_RELEASE = Helper(
    86,
    "sk_release",
    (SOCK_RELEASE,),
    Ret.INTEGER,
    since="4.20",
    doc="Give back a socket reference that a look-up acquired.",
)
MSG_PUSH_DATA = Helper(
    90,
    "msg_push_data",
    (CTX, ANY, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="4.20",
    doc="Insert room into a message.",
)
MSG_POP_DATA = Helper(
    91,
    "msg_pop_data",
    (CTX, ANY, ANY, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="5.0",
    doc="Remove bytes from a message.",
)
RC_POINTER_REL = Helper(
    92,
    "rc_pointer_rel",
    (CTX, ANY, ANY),
    Ret.INTEGER,
    gpl=True,
    since="5.0",
    doc="Report a movement of a remote control pointer.",
)
SK_FULLSOCK = Helper(
    95,
    "sk_fullsock",
    (SOCK_COMMON,),
    Ret.SOCKET,
    nullable=True,
    since="5.1",
    doc="The full socket behind a socket, or NULL if it is not one.",
)
TCP_SOCK = Helper(
    96,
    "tcp_sock",
    (SOCK_COMMON,),
    Ret.TCP_SOCK,
    nullable=True,
    since="5.1",
    doc="The TCP view of a socket, or NULL if it is not one.",
)
SKB_ECN_SET_CE = Helper(
    97,
    "skb_ecn_set_ce",
    (CTX,),
    Ret.INTEGER,
    since="5.1",
    doc="Mark the packet as having met congestion, if its sender understands ECN.",
)
GET_LISTENER_SOCK = Helper(
    98,
    "get_listener_sock",
    (SOCK_COMMON,),
    Ret.SOCKET,
    nullable=True,
    since="5.1",
    doc="The listening socket of a socket, or NULL.",
)
SKC_LOOKUP_TCP = Helper(
    99,
    "skc_lookup_tcp",
    (CTX, MEM_IN, SIZE_OR_ZERO, ANY, ANY),
    Ret.SOCK_COMMON,
    nullable=True,
    pkt_access=True,
    acquires=True,
    since="5.2",
    doc="Find a TCP socket in any state by its addresses; the reference must be released.",
)
TCP_CHECK_SYNCOOKIE = Helper(
    100,
    "tcp_check_syncookie",
    (SOCK, MEM_IN, SIZE, MEM_IN, SIZE),
    Ret.INTEGER,
    gpl=True,
    pkt_access=True,
    since="5.2",
    doc="Whether an ACK carries a valid SYN cookie of a listening socket.",
)
SYSCTL_GET_NAME = Helper(
    101,
    "sysctl_get_name",
    (CTX, MEM_INOUT, SIZE, ANY),
    Ret.INTEGER,
    since="5.2",
    doc="Copy the name of the sysctl that is accessed.",
)
SYSCTL_GET_CURRENT_VALUE = Helper(
    102,
    "sysctl_get_current_value",
    (CTX, MEM_OUT, SIZE),
    Ret.INTEGER,
    since="5.2",
    doc="Copy the sysctl's present value.",
)
SYSCTL_GET_NEW_VALUE = Helper(
    103,
    "sysctl_get_new_value",
    (CTX, MEM_OUT, SIZE),
    Ret.INTEGER,
    since="5.2",
    doc="Copy the value that is about to be written to the sysctl.",
)
SYSCTL_SET_NEW_VALUE = Helper(
    104,
    "sysctl_set_new_value",
    (CTX, MEM_IN, SIZE),
    Ret.INTEGER,
    since="5.2",
    doc="Replace the value that is about to be written to the sysctl.",
)
SK_STORAGE_GET = Helper(
    107,
    "sk_storage_get",
    (MAP, SOCK, VALUE_OR_NULL, ANY),
    Ret.MAP_VALUE,
    nullable=True,
    since="5.2",
    doc="Address of a map's value that belongs to a socket, created on request.",
)
SK_STORAGE_DELETE = Helper(
    108,
    "sk_storage_delete",
    (MAP, SOCK),
    Ret.INTEGER,
    since="5.2",
    doc="Remove a map's value that belongs to a socket.",
)
TCP_GEN_SYNCOOKIE = Helper(
    110,
    "tcp_gen_syncookie",
    (SOCK, MEM_IN, SIZE, MEM_IN, SIZE),
    Ret.INTEGER,
    gpl=True,
    pkt_access=True,
    since="5.3",
    doc="Make a SYN cookie for a SYN and a listening socket.",
)
TCP_SEND_ACK = Helper(
    116,
    "tcp_send_ack",
    (TCP_SOCK_PTR, ANY),
    Ret.INTEGER,
    since="5.5",
    doc="Send an ACK on a TCP socket.",
)
GET_NETNS_COOKIE = Helper(
    122,
    "get_netns_cookie",
    (CTX_OR_NULL,),
    Ret.INTEGER,
    since="5.7",
    doc="Number that identifies the network namespace.",
)
SK_ASSIGN = Helper(
    124,
    "sk_assign",
    (CTX, SOCK, ANY),
    Ret.INTEGER,
    since="5.7",
    doc="Give the packet to a socket, before the stack looks one up.",
)
SK_CGROUP_ID = Helper(
    128, "sk_cgroup_id", (SOCK,), Ret.INTEGER, since="5.8", doc="Id of the cgroup of a socket."
)
SK_ANCESTOR_CGROUP_ID = Helper(
    129,
    "sk_ancestor_cgroup_id",
    (SOCK, ANY),
    Ret.INTEGER,
    since="5.8",
    doc="Id of an ancestor, at a level, of the cgroup of a socket.",
)
CSUM_LEVEL = Helper(
    135,
    "csum_level",
    (CTX, ANY),
    Ret.INTEGER,
    since="5.8",
    doc="Read or change how many checksums of the packet were validated.",
)
SKC_TO_TCP6_SOCK = Helper(
    136,
    "skc_to_tcp6_sock",
    (SOCK,),
    Ret.BTF_ID,
    nullable=True,
    ret_btf="tcp6_sock",
    since="5.9",
    doc="The socket as tcp6_sock, or NULL if it is not one.",
)
SKC_TO_TCP_SOCK = Helper(
    137,
    "skc_to_tcp_sock",
    (SOCK,),
    Ret.BTF_ID,
    nullable=True,
    ret_btf="tcp_sock",
    since="5.9",
    doc="The socket as tcp_sock, or NULL if it is not one.",
)
SKC_TO_TCP_TIMEWAIT_SOCK = Helper(
    138,
    "skc_to_tcp_timewait_sock",
    (SOCK,),
    Ret.BTF_ID,
    nullable=True,
    ret_btf="tcp_timewait_sock",
    since="5.9",
    doc="The socket as tcp_timewait_sock, or NULL if it is not one.",
)
SKC_TO_TCP_REQUEST_SOCK = Helper(
    139,
    "skc_to_tcp_request_sock",
    (SOCK,),
    Ret.BTF_ID,
    nullable=True,
    ret_btf="tcp_request_sock",
    since="5.9",
    doc="The socket as tcp_request_sock, or NULL if it is not one.",
)
SKC_TO_UDP6_SOCK = Helper(
    140,
    "skc_to_udp6_sock",
    (SOCK,),
    Ret.BTF_ID,
    nullable=True,
    ret_btf="udp6_sock",
    since="5.9",
    doc="The socket as udp6_sock, or NULL if it is not one.",
)
LOAD_HDR_OPT = Helper(
    142,
    "load_hdr_opt",
    (CTX, MEM_INOUT, SIZE, ANY),
    Ret.INTEGER,
    since="5.10",
    doc="Find a TCP header option and copy it.",
)
STORE_HDR_OPT = Helper(
    143,
    "store_hdr_opt",
    (CTX, MEM_IN, SIZE, ANY),
    Ret.INTEGER,
    changes_packet=True,
    since="5.10",
    doc="Append a TCP header option to the packet that is being built.",
)
RESERVE_HDR_OPT = Helper(
    144,
    "reserve_hdr_opt",
    (CTX, ANY, ANY),
    Ret.INTEGER,
    since="5.10",
    doc="Reserve room for TCP header options in packets to come.",
)
SKB_CGROUP_CLASSID = Helper(
    151,
    "skb_cgroup_classid",
    (CTX,),
    Ret.INTEGER,
    since="5.10",
    doc="The net_cls class id of the packet's socket.",
)
REDIRECT_NEIGH = Helper(
    152,
    "redirect_neigh",
    (ANY, MEM_IN_OR_NULL, SIZE_OR_ZERO, ANY),
    Ret.INTEGER,
    since="5.10",
    doc="Send the packet to a device, with the link-layer address of the next hop.",
)
REDIRECT_PEER = Helper(
    155,
    "redirect_peer",
    (ANY, ANY),
    Ret.INTEGER,
    since="5.10",
    doc="Send the packet to the peer of a device in another namespace.",
)
CHECK_MTU = Helper(
    163,
    "check_mtu",
    (CTX, ANY, U32_INOUT, ANY, ANY),
    Ret.INTEGER,
    gpl=True,
    since="5.12",
    doc="Whether the packet fits a device's MTU, after a planned change of size.",
)
SKC_TO_UNIX_SOCK = Helper(
    178,
    "skc_to_unix_sock",
    (SOCK,),
    Ret.BTF_ID,
    nullable=True,
    ret_btf="unix_sock",
    since="5.16",
    doc="The socket as unix_sock, or NULL if it is not one.",
)
GET_RETVAL = Helper(
    186,
    "get_retval",
    (),
    Ret.INTEGER,
    since="5.18",
    doc="The error that the system call would return as things stand.",
)
SET_RETVAL = Helper(
    187,
    "set_retval",
    (ANY,),
    Ret.INTEGER,
    since="5.18",
    doc="Set the error that the system call returns.",
)
XDP_GET_BUFF_LEN = Helper(
    188,
    "xdp_get_buff_len",
    (CTX,),
    Ret.INTEGER,
    since="5.18",
    doc="Length of an XDP packet with all its fragments.",
)
XDP_LOAD_BYTES = Helper(
    189,
    "xdp_load_bytes",
    (CTX, ANY, MEM_OUT, SIZE),
    Ret.INTEGER,
    since="5.18",
    doc="Copy bytes out of an XDP packet, also from fragments.",
)
XDP_STORE_BYTES = Helper(
    190,
    "xdp_store_bytes",
    (CTX, ANY, MEM_IN, SIZE),
    Ret.INTEGER,
    since="5.18",
    doc="Write bytes into an XDP packet, also into fragments.",
)
SKB_SET_TSTAMP = Helper(
    192,
    "skb_set_tstamp",
    (CTX, ANY, ANY),
    Ret.INTEGER,
    since="5.18",
    doc="Set the packet's delivery time and its clock.",
)
SKC_TO_MPTCP_SOCK = Helper(
    196,
    "skc_to_mptcp_sock",
    (SOCK_COMMON,),
    Ret.BTF_ID,
    nullable=True,
    ret_btf="mptcp_sock",
    since="5.19",
    doc="The socket as mptcp_sock, or NULL if it is not one.",
)
TCP_RAW_GEN_SYNCOOKIE_IPV4 = Helper(
    204,
    "tcp_raw_gen_syncookie_ipv4",
    (HEADER20, MEM_IN, SIZE_OR_ZERO),
    Ret.INTEGER,
    gpl=True,
    pkt_access=True,
    since="6.0",
    doc="Make a SYN cookie from IPv4 and TCP headers, without a socket.",
)
TCP_RAW_GEN_SYNCOOKIE_IPV6 = Helper(
    205,
    "tcp_raw_gen_syncookie_ipv6",
    (HEADER40, MEM_IN, SIZE_OR_ZERO),
    Ret.INTEGER,
    gpl=True,
    pkt_access=True,
    since="6.0",
    doc="Make a SYN cookie from IPv6 and TCP headers, without a socket.",
)
TCP_RAW_CHECK_SYNCOOKIE_IPV4 = Helper(
    206,
    "tcp_raw_check_syncookie_ipv4",
    (HEADER20, HEADER20),
    Ret.INTEGER,
    gpl=True,
    pkt_access=True,
    since="6.0",
    doc="Whether IPv4 and TCP headers carry a valid SYN cookie.",
)
TCP_RAW_CHECK_SYNCOOKIE_IPV6 = Helper(
    207,
    "tcp_raw_check_syncookie_ipv6",
    (HEADER40, HEADER20),
    Ret.INTEGER,
    gpl=True,
    pkt_access=True,
    since="6.0",
    doc="Whether IPv6 and TCP headers carry a valid SYN cookie.",
)

ROWS: tuple[Helper, ...] = (
    SKB_STORE_BYTES,
    L3_CSUM_REPLACE,
    L4_CSUM_REPLACE,
    CLONE_REDIRECT,
    GET_CGROUP_CLASSID,
    SKB_VLAN_PUSH,
    SKB_VLAN_POP,
    SKB_GET_TUNNEL_KEY,
    SKB_SET_TUNNEL_KEY,
    REDIRECT,
    GET_ROUTE_REALM,
    SKB_LOAD_BYTES,
    CSUM_DIFF,
    SKB_GET_TUNNEL_OPT,
    SKB_SET_TUNNEL_OPT,
    SKB_CHANGE_PROTO,
    SKB_CHANGE_TYPE,
    SKB_UNDER_CGROUP,
    GET_HASH_RECALC,
    SKB_CHANGE_TAIL,
    SKB_PULL_DATA,
    CSUM_UPDATE,
    SET_HASH_INVALID,
    SKB_CHANGE_HEAD,
    XDP_ADJUST_HEAD,
    GET_SOCKET_COOKIE,
    GET_SOCKET_UID,
    SET_HASH,
    SETSOCKOPT,
    SKB_ADJUST_ROOM,
    REDIRECT_MAP,
    SK_REDIRECT_MAP,
    SOCK_MAP_UPDATE,
    XDP_ADJUST_META,
    GETSOCKOPT,
    SOCK_OPS_CB_FLAGS_SET,
    MSG_REDIRECT_MAP,
    MSG_APPLY_BYTES,
    MSG_CORK_BYTES,
    MSG_PULL_DATA,
    BIND,
    XDP_ADJUST_TAIL,
    SKB_GET_XFRM_STATE,
    SKB_LOAD_BYTES_RELATIVE,
    FIB_LOOKUP,
    SOCK_HASH_UPDATE,
    MSG_REDIRECT_HASH,
    SK_REDIRECT_HASH,
    LWT_PUSH_ENCAP,
    LWT_SEG6_STORE_BYTES,
    LWT_SEG6_ADJUST_SRH,
    LWT_SEG6_ACTION,
    RC_REPEAT,
    RC_KEYDOWN,
    SKB_CGROUP_ID,
    SK_SELECT_REUSEPORT,
    SKB_ANCESTOR_CGROUP_ID,
    SK_LOOKUP_TCP,
    SK_LOOKUP_UDP,
    SK_RELEASE,
    MSG_PUSH_DATA,
    MSG_POP_DATA,
    RC_POINTER_REL,
    SK_FULLSOCK,
    TCP_SOCK,
    SKB_ECN_SET_CE,
    GET_LISTENER_SOCK,
    SKC_LOOKUP_TCP,
    TCP_CHECK_SYNCOOKIE,
    SYSCTL_GET_NAME,
    SYSCTL_GET_CURRENT_VALUE,
    SYSCTL_GET_NEW_VALUE,
    SYSCTL_SET_NEW_VALUE,
    SK_STORAGE_GET,
    SK_STORAGE_DELETE,
    TCP_GEN_SYNCOOKIE,
    TCP_SEND_ACK,
    GET_NETNS_COOKIE,
    SK_ASSIGN,
    SK_CGROUP_ID,
    SK_ANCESTOR_CGROUP_ID,
    CSUM_LEVEL,
    SKC_TO_TCP6_SOCK,
    SKC_TO_TCP_SOCK,
    SKC_TO_TCP_TIMEWAIT_SOCK,
    SKC_TO_TCP_REQUEST_SOCK,
    SKC_TO_UDP6_SOCK,
    LOAD_HDR_OPT,
    STORE_HDR_OPT,
    RESERVE_HDR_OPT,
    SKB_CGROUP_CLASSID,
    REDIRECT_NEIGH,
    REDIRECT_PEER,
    CHECK_MTU,
    SKC_TO_UNIX_SOCK,
    GET_RETVAL,
    SET_RETVAL,
    XDP_GET_BUFF_LEN,
    XDP_LOAD_BYTES,
    XDP_STORE_BYTES,
    SKB_SET_TSTAMP,
    SKC_TO_MPTCP_SOCK,
    TCP_RAW_GEN_SYNCOOKIE_IPV4,
    TCP_RAW_GEN_SYNCOOKIE_IPV6,
    TCP_RAW_CHECK_SYNCOOKIE_IPV4,
    TCP_RAW_CHECK_SYNCOOKIE_IPV6,
)
