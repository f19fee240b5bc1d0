"""Helpers on VLAN tags: one tag stands beside the packet, the others in it.

Source: Linux net/core/skbuff.c (skb_vlan_push, skb_vlan_pop), include/linux/if_vlan.h.
"""

from typing import Final

from skep.base.native import load16, load32, load64, native, store16, store32, store64, swap16
from skep.helpers.binding import Binding
from skep.helpers.packet import (
    ETHERNET,
    SKB_PROTOCOL,
    SKB_VLAN_PRESENT,
    SKB_VLAN_PROTO,
    SKB_VLAN_TCI,
    VLAN_AD,
    VLAN_Q,
    is_vlan,
    network_offset,
    packet_size,
)
from skep.helpers.reshape import close_gap, open_gap, protocol_of
from skep.maps.answer import MINUS_ENOMEM
from skep.runtime.invocation import DATA, NETWORK_HEADER

_VLAN: Final = 4
_ADDRESSES: Final = 12
_LEAST_802_3: Final = 1536


@native
def put_tag(context: int, protocol: int, control: int) -> int:
    """Put a tag beside the packet."""
    store32(context + SKB_VLAN_PRESENT, 1)
    store32(context + SKB_VLAN_PROTO, swap16(protocol))
    store32(context + SKB_VLAN_TCI, control)
    return 0


@native
def insert_tag(run: int, context: int) -> int:
    """Move the tag beside the packet into it; 0 if there is no room."""
    if open_gap(run, _ADDRESSES, _VLAN) == 0:
        return 0
    data = load64(run + DATA)
    store16(data + _ADDRESSES, load32(context + SKB_VLAN_PROTO))
    store16(data + _ADDRESSES + 2, swap16(load32(context + SKB_VLAN_TCI) & 0xFFFF))
    store32(context + SKB_PROTOCOL, load32(context + SKB_VLAN_PROTO) & 0xFFFF)
    return 1


@native
def remove_tag(run: int, context: int) -> int:
    """Take the first tag out of the packet, which then has the protocol behind it."""
    data = load64(run + DATA)
    protocol = load16(data + _ADDRESSES + _VLAN)
    close_gap(run, _ADDRESSES, _VLAN)
    if network_offset(run) < ETHERNET:
        store64(run + NETWORK_HEADER, data + _VLAN + ETHERNET)
    if swap16(protocol) < _LEAST_802_3:
        protocol = swap16(4)  # ETH_P_802_2
    store32(context + SKB_PROTOCOL, protocol)
    return 0


@native
def skb_vlan_push(run: int, context: int, protocol: int, control: int) -> int:
    """Add a VLAN tag; anything but 802.1ad means 802.1Q."""
    kind = swap16(protocol & 0xFFFF)
    if kind != VLAN_AD:
        kind = VLAN_Q
    if load32(context + SKB_VLAN_PRESENT) != 0 and insert_tag(run, context) == 0:
        return MINUS_ENOMEM
    return put_tag(context, kind, control & 0xFFFF)


@native
def skb_vlan_pop(run: int, context: int) -> int:
    """Remove the outermost VLAN tag; one inside then comes beside the packet."""
    if load32(context + SKB_VLAN_PRESENT) != 0:
        store32(context + SKB_VLAN_PRESENT, 0)
        store32(context + SKB_VLAN_PROTO, 0)
        store32(context + SKB_VLAN_TCI, 0)
    elif not is_vlan(protocol_of(context)):
        return 0
    elif packet_size(run) < ETHERNET + _VLAN:
        return MINUS_ENOMEM
    else:
        remove_tag(run, context)
    kind = protocol_of(context)
    if is_vlan(kind) and packet_size(run) >= ETHERNET + _VLAN:
        control = swap16(load16(load64(run + DATA) + ETHERNET))
        remove_tag(run, context)
        put_tag(context, kind, control)
    return 0


BINDINGS: Final = (
    Binding("skb_vlan_push", skb_vlan_push),
    Binding("skb_vlan_pop", skb_vlan_pop),
)
