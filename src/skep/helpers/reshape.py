"""Helpers that change where a packet begins and ends, for XDP and for sockets' buffers.

A packet moves inside HEAD to LIMIT of its run block. For XDP, HEAD is behind the frame's own
header and LIMIT before its shared info, as the driver's buffer gives them. Linux would copy a
socket buffer that has no room; here that is ENOMEM, and event sources leave room.

Source: Linux net/core/filter.c, net/core/skbuff.c.
"""

from typing import Final

from skep.base.native import (
    fill,
    load32,
    load64,
    move,
    native,
    sle,
    slt,
    store32,
    store64,
    swap16,
    wrap,
)
from skep.helpers.binding import Binding
from skep.helpers.network import IPV4, IPV6
from skep.helpers.packet import (
    ETHERNET,
    SKB_HASH,
    SKB_PROTOCOL,
    link_size,
    network_offset,
    packet_size,
    place_packet,
    reset_sum,
)
from skep.maps.answer import (
    MINUS_EACCES,
    MINUS_EFAULT,
    MINUS_EINVAL,
    MINUS_ENOMEM,
    MINUS_ENOTSUPP,
)
from skep.runtime.invocation import (
    DATA,
    DATA_END,
    DATA_META,
    HEAD,
    LIMIT,
    LINK_HEADER,
    NETWORK_HEADER,
)

_LOW: Final = 0xFFFF_FFFF
_SIGN: Final = 0x8000_0000
_MOST_META: Final = 255
_MOST_PACKET: Final = 0x3FEC0  # SKB_MAX_ALLOC: 64 pages' worth less the overhead
_VLAN: Final = 4
_ADDRESSES: Final = 12
_GROWTH: Final = 20  # sizeof(ipv6 header) - sizeof(ipv4 header)
_LEAST_802_3: Final = 1536

_ADJ_NET: Final = 0
_ADJ_MAC: Final = 1
_FIXED_GSO: Final = 1 << 0
_ENCAP_IPV4: Final = 1 << 1
_ENCAP_IPV6: Final = 1 << 2
_ENCAP_GRE: Final = 1 << 3
_ENCAP_UDP: Final = 1 << 4
_NO_CSUM_RESET: Final = 1 << 5
_ENCAP_ETH: Final = 1 << 6
_DECAP_IPV4: Final = 1 << 7
_DECAP_IPV6: Final = 1 << 8
_ENCAP_L3: Final = _ENCAP_IPV4 | _ENCAP_IPV6
_DECAP_L3: Final = _DECAP_IPV4 | _DECAP_IPV6
_INNER_LINK: Final = 0xFF << 56
_ADJ_FLAGS: Final = (
    _FIXED_GSO | _ENCAP_L3 | _ENCAP_GRE | _ENCAP_UDP | _NO_CSUM_RESET | _ENCAP_ETH | _DECAP_L3
) | _INNER_LINK
_SHRINK_FLAGS: Final = _FIXED_GSO | _NO_CSUM_RESET | _DECAP_L3


@native
def signed32(value: int) -> int:
    """A 32-bit signed number in 64 bits."""
    return wrap((value & _LOW ^ _SIGN) - _SIGN)


# --- XDP ----------------------------------------------------------------------------------------


@native
def xdp_adjust_head(run: int, context: int, offset: int) -> int:  # noqa: ARG001
    """Move the beginning of the packet; metadata moves along."""
    data = load64(run + DATA)
    meta = load64(run + DATA_META)
    end = load64(run + DATA_END)
    step = signed32(offset)
    start = wrap(data + step)
    if slt(start, load64(run + HEAD) + (data - meta)) or slt(end - ETHERNET, start):
        return MINUS_EINVAL
    if meta != data:
        move(wrap(meta + step), meta, data - meta)
    return place_packet(run, wrap(meta + step), start, end)


@native
def xdp_adjust_meta(run: int, context: int, offset: int) -> int:  # noqa: ARG001
    """Move the beginning of the metadata before the packet."""
    data = load64(run + DATA)
    meta = wrap(load64(run + DATA_META) + signed32(offset))
    if slt(meta, load64(run + HEAD)) or slt(data, meta):
        return MINUS_EINVAL
    size = data - meta
    if (size & 3) != 0 or size > _MOST_META:
        return MINUS_EACCES
    return place_packet(run, meta, data, load64(run + DATA_END))


@native
def xdp_adjust_tail(run: int, context: int, offset: int) -> int:  # noqa: ARG001
    """Move the end of the packet; new bytes are zero."""
    data = load64(run + DATA)
    old = load64(run + DATA_END)
    end = wrap(old + signed32(offset))
    if slt(load64(run + LIMIT), end) or slt(end, data + ETHERNET):
        return MINUS_EINVAL
    if slt(old, end):
        fill(old, 0, end - old)
    return place_packet(run, load64(run + DATA_META), data, end)


# --- socket buffers -----------------------------------------------------------------------------


@native
def push(run: int, size: int) -> int:
    """Let the packet begin *size* bytes earlier; 0 if there is no room. Metadata is given up."""
    data = load64(run + DATA)
    if size > data - load64(run + HEAD):
        return 0
    place_packet(run, data - size, data - size, load64(run + DATA_END))
    return 1


@native
def pull(run: int, size: int) -> int:
    """Let the packet begin *size* bytes later."""
    data = load64(run + DATA) + size
    return place_packet(run, data, data, load64(run + DATA_END))


@native
def open_gap(run: int, offset: int, size: int) -> int:
    """Insert *size* zero bytes at *offset*; the headers before it move down. 0: no room."""
    if push(run, size) == 0:
        return 0
    data = load64(run + DATA)
    move(data, data + size, offset)
    fill(data + offset, 0, size)
    if load64(run + LINK_HEADER) != 0:
        store64(run + LINK_HEADER, load64(run + LINK_HEADER) - size)
    network = load64(run + NETWORK_HEADER)
    if network != 0 and network <= data + size + offset:
        store64(run + NETWORK_HEADER, network - size)
    return 1


@native
def close_gap(run: int, offset: int, size: int) -> int:
    """Remove *size* bytes at *offset*; the headers before it move up."""
    data = load64(run + DATA)
    move(data + size, data, offset)
    pull(run, size)
    if load64(run + LINK_HEADER) != 0:
        store64(run + LINK_HEADER, load64(run + LINK_HEADER) + size)
    network = load64(run + NETWORK_HEADER)
    if network != 0 and network <= data + offset:
        store64(run + NETWORK_HEADER, network + size)
    return 0


@native
def skb_change_tail(run: int, context: int, size: int, flags: int) -> int:  # noqa: ARG001
    """Cut the packet, or grow it with zeros, to *size* bytes."""
    size &= _LOW
    if flags != 0 or size > _MOST_PACKET or size < network_offset(run):
        return MINUS_EINVAL
    data = load64(run + DATA)
    old = load64(run + DATA_END)
    if data + size > load64(run + LIMIT):
        return MINUS_ENOMEM
    if data + size > old:
        fill(old, 0, data + size - old)
    place_packet(run, load64(run + DATA_META), data, data + size)
    return 0


@native
def skb_change_head(run: int, context: int, size: int, flags: int) -> int:  # noqa: ARG001
    """Put *size* zero bytes before the packet: room for a link header."""
    size &= _LOW
    if flags != 0 or size >= _SIGN or packet_size(run) + size > _MOST_PACKET:
        return MINUS_EINVAL
    if push(run, size) == 0:
        return MINUS_ENOMEM
    data = load64(run + DATA)
    fill(data, 0, size)
    store64(run + LINK_HEADER, data)
    return 0


@native
def protocol_of(context: int) -> int:
    """The packet's ethertype as a number."""
    return swap16(load32(context + SKB_PROTOCOL) & 0xFFFF)


@native
def set_protocol(context: int, protocol: int) -> int:
    """Set the packet's ethertype."""
    store32(context + SKB_PROTOCOL, swap16(protocol))
    return 0


@native
def skb_change_proto(run: int, context: int, protocol: int, flags: int) -> int:
    """Turn an IPv4 packet into an IPv6 one or back; the program writes the new header."""
    if flags != 0:
        return MINUS_EINVAL
    old = protocol_of(context)
    new = swap16(protocol & 0xFFFF)
    if old == IPV4 and new == IPV6:
        if open_gap(run, network_offset(run), _GROWTH) == 0:
            return MINUS_ENOMEM
    elif old == IPV6 and new == IPV4:
        if packet_size(run) < network_offset(run) + _GROWTH:
            return MINUS_ENOMEM
        close_gap(run, network_offset(run), _GROWTH)
    else:
        return MINUS_ENOTSUPP
    set_protocol(context, new)
    store32(context + SKB_HASH, 0)
    return 0


@native
def base_size(context: int) -> int:
    """Least size of the network header."""
    protocol = protocol_of(context)
    if protocol == IPV4:
        return 20
    return 40 if protocol == IPV6 else 0xFFFF_FFFF


@native
def room_answer(run: int, context: int, step: int, mode: int, flags: int) -> int:
    """0, or why skb_adjust_room refuses; *step* is signed."""
    size = wrap(0 - step) if slt(step, 0) else step
    if (flags & ~_ADJ_FLAGS) != 0:
        return MINUS_EINVAL
    if size > 0xFFF:
        return MINUS_EFAULT
    least = base_size(context)
    if least == 0xFFFF_FFFF or mode > _ADJ_MAC:
        return MINUS_ENOTSUPP
    if (flags & _DECAP_L3) != 0:
        if sle(0, step) or (flags & _DECAP_L3) == _DECAP_L3:
            return MINUS_EINVAL
        least = 20 if (flags & _DECAP_IPV4) != 0 else 40
    rest = packet_size(run) - network_offset(run)
    if slt(step, 0):
        fits = size < rest and rest - size >= least
    else:
        fits = packet_size(run) + size <= _MOST_PACKET
    return 0 if fits else MINUS_ENOTSUPP


@native
def encap_answer(size: int, flags: int) -> int:
    """0, or why the encapsulation that *flags* describe is refused."""
    inner = flags >> 56
    if (flags & _ENCAP_L3) == _ENCAP_L3:
        return MINUS_EINVAL
    if (flags & (_ENCAP_GRE | _ENCAP_UDP)) == (_ENCAP_GRE | _ENCAP_UDP):
        return MINUS_EINVAL
    if ((flags & _ENCAP_ETH) != 0 and inner < ETHERNET) or inner > size:
        return MINUS_EINVAL
    return 0


@native
def grow(run: int, context: int, offset: int, size: int, flags: int) -> int:
    """Insert *size* bytes at *offset*, as an outer header if *flags* say so."""
    if (flags & _ENCAP_L3) != 0:
        answer = encap_answer(size, flags)
        if answer != 0:
            return answer
    if open_gap(run, offset, size) == 0:
        return MINUS_ENOMEM
    if (flags & _ENCAP_IPV6) != 0:
        set_protocol(context, IPV6)
    elif (flags & _ENCAP_IPV4) != 0:
        set_protocol(context, IPV4)
    return 0


@native
def shrink(run: int, context: int, offset: int, size: int, flags: int) -> int:
    """Remove *size* bytes at *offset*."""
    if (flags & ~_SHRINK_FLAGS) != 0:
        return MINUS_EINVAL
    if offset + size > packet_size(run):
        return MINUS_ENOMEM
    close_gap(run, offset, size)
    if (flags & _DECAP_IPV6) != 0:
        set_protocol(context, IPV6)
    elif (flags & _DECAP_IPV4) != 0:
        set_protocol(context, IPV4)
    return 0


@native
def skb_adjust_room(run: int, context: int, step: int, mode: int, flags: int) -> int:
    """Grow or shrink the space behind the link header (MAC) or the network header (NET)."""
    step = signed32(step)
    mode &= _LOW
    answer = room_answer(run, context, step, mode, flags)
    if answer != 0:
        return answer
    offset = link_size(run)
    if mode == _ADJ_NET:
        offset += base_size(context)
    if slt(step, 0):
        answer = shrink(run, context, offset, wrap(0 - step), flags)
    else:
        answer = grow(run, context, offset, step, flags)
    if answer == 0 and (flags & _NO_CSUM_RESET) == 0:
        reset_sum(run)
    return answer


BINDINGS: Final = (
    Binding("xdp_adjust_head", xdp_adjust_head),
    Binding("xdp_adjust_meta", xdp_adjust_meta),
    Binding("xdp_adjust_tail", xdp_adjust_tail),
    Binding("skb_change_tail", skb_change_tail),
    Binding("skb_change_head", skb_change_head),
    Binding("skb_change_proto", skb_change_proto),
    Binding("skb_adjust_room", skb_adjust_room),
)
