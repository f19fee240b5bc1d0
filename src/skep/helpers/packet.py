"""Where a run's packet stands, in native code; the context is kept in step with the run block.

Packets are linear: the bytes from DATA to DATA_END are all there is.
"""

from typing import Final

from skep.base.native import load64, native, store32, store64
from skep.runtime.invocation import (
    CHECKSUM,
    CONTEXT,
    DATA,
    DATA_END,
    DATA_META,
    LINK_HEADER,
    NETWORK_HEADER,
    ORIGIN,
)
from skep.uapi.contexts import SK_BUFF, XDP_MD

ETHERNET: Final = 14
VLAN_Q: Final = 0x8100
VLAN_AD: Final = 0x88A8

KNOWN_SUM: Final = 255
SKB: Final = 1
XDP: Final = 2

SKB_LEN: Final = SK_BUFF.field("len").offset
SKB_TYPE: Final = SK_BUFF.field("pkt_type").offset
SKB_PROTOCOL: Final = SK_BUFF.field("protocol").offset
SKB_VLAN_PRESENT: Final = SK_BUFF.field("vlan_present").offset
SKB_VLAN_TCI: Final = SK_BUFF.field("vlan_tci").offset
SKB_VLAN_PROTO: Final = SK_BUFF.field("vlan_proto").offset
SKB_HASH: Final = SK_BUFF.field("hash").offset
_SKB_DATA: Final = SK_BUFF.native_base + 8 * SK_BUFF.field("data").slot
_SKB_END: Final = SK_BUFF.native_base + 8 * SK_BUFF.field("data_end").slot
_SKB_META: Final = SK_BUFF.native_base + 8 * SK_BUFF.field("data_meta").slot
_XDP_DATA: Final = XDP_MD.native_base + 8 * XDP_MD.field("data").slot
_XDP_END: Final = XDP_MD.native_base + 8 * XDP_MD.field("data_end").slot
_XDP_META: Final = XDP_MD.native_base + 8 * XDP_MD.field("data_meta").slot


@native
def is_vlan(protocol: int) -> int:
    """Whether *protocol* is that of a VLAN tag."""
    return protocol == VLAN_Q or protocol == VLAN_AD  # noqa: PLR1714 - the subset has no "in"


@native
def packet_size(run: int) -> int:
    """Bytes of the packet."""
    return load64(run + DATA_END) - load64(run + DATA)


@native
def is_inside(run: int, offset: int, size: int) -> int:
    """Whether *size* bytes at *offset*, both below 2**32, are in the packet."""
    return offset + size <= packet_size(run)


@native
def place_packet(run: int, meta: int, data: int, end: int) -> int:
    """Set the packet's bounds in the run block and in the context."""
    store64(run + DATA_META, meta)
    store64(run + DATA, data)
    store64(run + DATA_END, end)
    context = load64(run + CONTEXT)
    origin = load64(run + ORIGIN)
    if origin == SKB:
        store64(context + _SKB_DATA, data)
        store64(context + _SKB_END, end)
        store64(context + _SKB_META, meta)
        store32(context + SKB_LEN, end - data)
    elif origin == XDP:
        store64(context + _XDP_DATA, data)
        store64(context + _XDP_END, end)
        store64(context + _XDP_META, meta)
    return 0


@native
def reset_sum(run: int) -> int:
    """Forget that checksums of the packet are known to be good."""
    if load64(run + CHECKSUM) != KNOWN_SUM:
        store64(run + CHECKSUM, 0)
    return 0


@native
def network_offset(run: int) -> int:
    """Bytes from data to the network header; 0 if it is not known, or at or before data."""
    network = load64(run + NETWORK_HEADER)
    data = load64(run + DATA)
    return network - data if network > data else 0


@native
def link_size(run: int) -> int:
    """Bytes of the link header; 0 if the packet has none."""
    link = load64(run + LINK_HEADER)
    network = load64(run + NETWORK_HEADER)
    return network - link if link != 0 and network > link else 0
