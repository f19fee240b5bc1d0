"""Helpers that read and write packet bytes and metadata, and that send packets elsewhere.

Source: Linux net/core/filter.c.
"""

from typing import Final

from skep.base.native import (
    copy,
    fill,
    load8,
    load16,
    load32,
    load64,
    native,
    store8,
    store16,
    store32,
    store64,
    swap16,
    wrap,
)
from skep.helpers.binding import Binding
from skep.helpers.checksum import add_sums, fold
from skep.helpers.packet import (
    ETHERNET,
    SKB_HASH,
    SKB_PROTOCOL,
    SKB_TYPE,
    XDP,
    is_inside,
    is_vlan,
    link_size,
    network_offset,
    packet_size,
)
from skep.maps.answer import MINUS_EFAULT, MINUS_EINVAL, MINUS_ENOMEM
from skep.maps.hash_table import mix
from skep.maps.targets import redirect_map
from skep.runtime.invocation import (
    DATA,
    DATA_END,
    LINK_HEADER,
    NETWORK_HEADER,
    ORIGIN,
    REDIRECT,
    REDIRECT_FLAGS,
    REDIRECT_KEY,
)

IPV4: Final = 0x0800
IPV6: Final = 0x86DD

_LOW: Final = 0xFFFF_FFFF
_S32_MAX: Final = 0x7FFF_FFFF
_FARTHEST: Final = 0xFFFF
_INVALIDATE_HASH: Final = 2
_STORE_FLAGS: Final = 3
_OTHERHOST: Final = 3
_MAC_HEADER: Final = 0
_NET_HEADER: Final = 1
_INGRESS: Final = 1
_PEER: Final = 1 << 2

_TC_SHOT: Final = 2
_TC_REDIRECT: Final = 7
_XDP_ABORTED: Final = 0
_XDP_REDIRECT: Final = 4


@native
def skb_load_bytes(run: int, context: int, offset: int, target: int, size: int) -> int:  # noqa: ARG001
    """Copy packet bytes out; zeros and -EFAULT if they are not all there."""
    offset &= _LOW
    size &= _LOW
    if offset > _S32_MAX or not is_inside(run, offset, size):
        fill(target, 0, size)
        return MINUS_EFAULT
    copy(target, load64(run + DATA) + offset, size)
    return 0


@native
def skb_load_bytes_relative(
    run: int,
    context: int,  # noqa: ARG001 - a helper's signature
    offset: int,
    target: int,
    size: int,
    start: int,
) -> int:
    """As skb_load_bytes, from the link (0) or network (1) header on."""
    offset &= _LOW
    size &= _LOW
    begin = 0
    if (start & _LOW) == _MAC_HEADER:
        begin = load64(run + LINK_HEADER)
    elif (start & _LOW) == _NET_HEADER:
        begin = load64(run + NETWORK_HEADER)
    if offset > _FARTHEST or begin == 0 or begin + offset + size > load64(run + DATA_END):
        fill(target, 0, size)
        return MINUS_EFAULT
    copy(target, begin + offset, size)
    return 0


@native
def skb_store_bytes(run: int, context: int, offset: int, source: int, size: int, flags: int) -> int:
    """Copy bytes into the packet."""
    offset &= _LOW
    size &= _LOW
    if (flags & ~_STORE_FLAGS) != 0:
        return MINUS_EINVAL
    if offset > _S32_MAX or not is_inside(run, offset, size):
        return MINUS_EFAULT
    copy(load64(run + DATA) + offset, source, size)
    if (flags & _INVALIDATE_HASH) != 0:
        store32(context + SKB_HASH, 0)
    return 0


@native
def skb_pull_data(run: int, context: int, size: int) -> int:  # noqa: ARG001
    """Make bytes directly accessible; they all are."""
    return 0 if (size & _LOW) <= packet_size(run) else MINUS_ENOMEM


@native
def skb_change_type(run: int, context: int, kind: int) -> int:  # noqa: ARG001
    """Change pkt_type among HOST, BROADCAST, MULTICAST and OTHERHOST."""
    kind &= _LOW
    if kind > _OTHERHOST or load32(context + SKB_TYPE) > _OTHERHOST:
        return MINUS_EINVAL
    store32(context + SKB_TYPE, kind)
    return 0


@native
def flow_hash(run: int, protocol: int) -> int:
    """A hash of addresses, protocol and ports that is the same for all packets of a flow."""
    start = load64(run + DATA) + network_offset(run)
    rest = load64(run + DATA_END) - start if load64(run + DATA_END) > start else 0
    x = protocol
    transport = 0
    if protocol == IPV4 and rest >= 20:
        x = mix(wrap(load64(start + 12) ^ load8(start + 9) << 48))
        if (load16(start + 6) & 0xFF3F) == 0:  # no fragment
            transport = (load8(start) & 15) * 4
        kind = load8(start + 9)
    elif protocol == IPV6 and rest >= 40:
        x = mix(load64(start + 8) ^ mix(load64(start + 16)))
        x = mix(load64(start + 24) ^ x << 16 ^ mix(load64(start + 32)))
        transport = 40
        kind = load8(start + 6)
    else:
        kind = 0
    ports = kind == 6 or kind == 17 or kind == 132 or kind == 136  # noqa: PLR1714
    if ports and transport >= 20 and rest >= transport + 4:
        x = mix(x << 32 | load32(start + transport))
    return x if x != 0 else 1


@native
def get_hash_recalc(run: int, context: int) -> int:
    """The packet's flow hash, computed if there is none."""
    known = load32(context + SKB_HASH)
    if known == 0:
        known = flow_hash(run, swap16(load32(context + SKB_PROTOCOL) & 0xFFFF))
        store32(context + SKB_HASH, known)
    return known


@native
def set_hash(run: int, context: int, value: int) -> int:  # noqa: ARG001
    """Set the packet's hash."""
    store32(context + SKB_HASH, value & _LOW)
    return 0


@native
def set_hash_invalid(run: int, context: int) -> int:  # noqa: ARG001
    """Forget the packet's hash."""
    store32(context + SKB_HASH, 0)
    return 0


@native
def mark_ipv4(header: int) -> int:
    """Set congestion experienced in an IPv4 header; 0 if its sender does not do ECN."""
    kind = load8(header + 1) & 3
    if kind == 0:
        return 0
    if kind == 3:
        return 1
    added = 3 - kind
    check = add_sums(load16(header + 10), 0xFFFF - swap16(added))
    store16(header + 10, fold(check))
    store8(header + 1, load8(header + 1) | 3)
    return 1


@native
def inner_protocol(run: int, context: int) -> int:
    """The packet's ethertype, VLAN tags inside the packet skipped; 0 if they are cut off."""
    protocol = swap16(load32(context + SKB_PROTOCOL) & 0xFFFF)
    offset = link_size(run)
    offset = offset - 4 if offset >= 4 else ETHERNET  # as Linux: the type field comes first
    while is_vlan(protocol):
        if not is_inside(run, offset, 4):
            return 0
        protocol = swap16(load16(load64(run + DATA) + offset + 2))
        offset += 4
    return protocol


@native
def skb_ecn_set_ce(run: int, context: int) -> int:
    """Mark the packet as having met congestion; 1 if it is marked now.

    As in Linux the IP header is taken to be where the network header is, tags or not.
    """
    protocol = inner_protocol(run, context)
    offset = network_offset(run)
    header = load64(run + DATA) + offset
    if protocol == IPV4 and is_inside(run, offset, 20):
        return mark_ipv4(header)
    if protocol == IPV6 and is_inside(run, offset, 40):
        if (load8(header + 1) & 0x30) == 0:
            return 0
        store8(header + 1, load8(header + 1) | 0x30)
        return 1
    return 0


@native
def record_redirect(run: int, target: int, key: int, flags: int) -> int:
    """Note where the packet shall go: a map (0: none), an index, flags."""
    store64(run + REDIRECT, target)
    store64(run + REDIRECT_KEY, key)
    store64(run + REDIRECT_FLAGS, flags)
    return 0


@native
def redirect(run: int, ifindex: int, flags: int) -> int:
    """Send the packet out of (or, with INGRESS, into) another interface."""
    if load64(run + ORIGIN) == XDP:
        if flags != 0:
            return _XDP_ABORTED
        record_redirect(run, 0, ifindex & _LOW, 0)
        return _XDP_REDIRECT
    if (flags & ~_INGRESS) != 0:
        return _TC_SHOT
    record_redirect(run, 0, ifindex & _LOW, flags)
    return _TC_REDIRECT


@native
def redirect_peer(run: int, ifindex: int, flags: int) -> int:
    """Send the packet to the other end of a virtual pair of interfaces."""
    if flags != 0:
        return _TC_SHOT
    record_redirect(run, 0, ifindex & _LOW, _PEER)
    return _TC_REDIRECT


@native
def xdp_get_buff_len(run: int, context: int) -> int:  # noqa: ARG001
    """Bytes of the packet."""
    return packet_size(run)


@native
def xdp_load_bytes(run: int, context: int, offset: int, target: int, size: int) -> int:  # noqa: ARG001
    """Copy packet bytes out."""
    offset &= _LOW
    size &= _LOW
    if offset > _FARTHEST or size > _FARTHEST:
        return MINUS_EFAULT
    if not is_inside(run, offset, size):
        return MINUS_EINVAL
    copy(target, load64(run + DATA) + offset, size)
    return 0


@native
def xdp_store_bytes(run: int, context: int, offset: int, source: int, size: int) -> int:  # noqa: ARG001
    """Copy bytes into the packet."""
    offset &= _LOW
    size &= _LOW
    if offset > _FARTHEST or size > _FARTHEST:
        return MINUS_EFAULT
    if not is_inside(run, offset, size):
        return MINUS_EINVAL
    copy(load64(run + DATA) + offset, source, size)
    return 0


BINDINGS: Final = (
    Binding("skb_load_bytes", skb_load_bytes),
    Binding("skb_load_bytes_relative", skb_load_bytes_relative),
    Binding("skb_store_bytes", skb_store_bytes),
    Binding("skb_pull_data", skb_pull_data),
    Binding("skb_change_type", skb_change_type),
    Binding("get_hash_recalc", get_hash_recalc),
    Binding("set_hash", set_hash),
    Binding("set_hash_invalid", set_hash_invalid),
    Binding("skb_ecn_set_ce", skb_ecn_set_ce),
    Binding("redirect", redirect),
    Binding("redirect_peer", redirect_peer),
    Binding("redirect_map", redirect_map),
    Binding("xdp_get_buff_len", xdp_get_buff_len),
    Binding("xdp_load_bytes", xdp_load_bytes),
    Binding("xdp_store_bytes", xdp_store_bytes),
)
