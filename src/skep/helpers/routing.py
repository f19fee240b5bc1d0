"""Helpers on where packets may go: routes, devices, their MTUs, copies sent elsewhere.

The devices are the machine's, but none of them forwards, and there are no routes. A copy sent to a
device goes no further than the run's record (``Invocation.clones``).

Source: Linux net/core/filter.c.
"""

import errno
from typing import Final

from skep.base.bits import U32, signed
from skep.base.native import fill, load16, load32, load64, native, store64
from skep.errors import NotSupported
from skep.helpers.binding import Binding
from skep.helpers.network import IPV4, IPV6, record_redirect
from skep.helpers.output import invocation_of
from skep.helpers.packet import KNOWN_SUM, SKB_LEN, SKB_PROTOCOL, XDP, reset_sum
from skep.maps.answer import MINUS_EACCES, MINUS_EINVAL, MINUS_EOPNOTSUPP
from skep.runtime.invocation import (
    CHECKSUM,
    DATA,
    DATA_END,
    LINK_HEADER,
    NETWORK_HEADER,
    ORIGIN,
)
from skep.runtime.surroundings import Device
from skep.runtime.world import World
from skep.uapi.contexts import SK_BUFF, XDP_MD

_LOW: Final = 0xFFFF_FFFF
_AF_INET: Final = 2
_AF_INET6: Final = 10

_FIB_SIZE: Final = 64
_FIB_FLAGS: Final = 0x3F
_FIB_INDEX: Final = 8
_FIB_SOURCE: Final = 16
_FIB_TARGET: Final = 32
_NOT_FORWARDED: Final = 4
_FORWARDING_DISABLED: Final = 5

_SEGMENTS: Final = 1
_TOO_LONG: Final = 1
_INGRESS: Final = 1
_TC_SHOT: Final = 2
_TC_REDIRECT: Final = 7
_NEIGHBOUR: Final = 1 << 16
_NEXT_HOP: Final = 1 << 18
_NEXT_HOP_SIZE: Final = 20

_SKB_INDEX: Final = SK_BUFF.field("ifindex").offset
_SKB_SEGMENT: Final = SK_BUFF.field("gso_size").offset
_SKB_STAMP: Final = SK_BUFF.field("tstamp").offset
_SKB_STAMP_TYPE: Final = SK_BUFF.field("tstamp_type").offset
_XDP_INDEX: Final = XDP_MD.field("ingress_ifindex").offset

_LINK_SIZES: Final = {1: 14, 772: 14, 0xFFFE: 0}  # Ethernet, loopback, none: ARPHRD_*
_RECEIVE_DROP: Final = 1

_IPV4_IN_NETWORK_ORDER: Final = (IPV4 & 0xFF) << 8 | IPV4 >> 8
_IPV6_IN_NETWORK_ORDER: Final = (IPV6 & 0xFF) << 8 | IPV6 >> 8

_DEEPEST: Final = 4
_QUERY, _INCREASE, _DECREASE, _RESET = range(4)


def needs_strict(address: bytes) -> bool:
    """Whether an IPv6 address is multicast, link-local or loopback: never forwarded."""
    link_local = address[0] == 0xFE and address[1] & 0xC0 == 0x80
    return address[0] == 0xFF or link_local or address == bytes(15) + b"\1"


def fib_lookup(
    world: World, _run: int, _context: int, place: int, size: int, flags: int, _r5: int
) -> int:
    """Look for a route: no device forwards."""
    if signed(size & U32, 32) < _FIB_SIZE or flags & U32 & ~_FIB_FLAGS:
        return -errno.EINVAL
    query = world.memory.read(place, _FIB_SIZE)
    if query[0] not in (_AF_INET, _AF_INET6):
        return -errno.EAFNOSUPPORT
    ends = query[_FIB_TARGET : _FIB_TARGET + 16], query[_FIB_SOURCE : _FIB_SOURCE + 16]
    if query[0] == _AF_INET6 and any(map(needs_strict, ends)):
        return _NOT_FORWARDED
    index = int.from_bytes(query[_FIB_INDEX : _FIB_INDEX + 4], "little")
    if world.surroundings.device(index) is None:
        return -errno.ENODEV
    return _FORWARDING_DISABLED


def link_header_size(device: Device) -> int:
    """Bytes of the device's link header."""
    size = _LINK_SIZES.get(device.kind)
    if size is None:
        raise NotSupported(f"link headers of device kind {device.kind}", device.name)
    return size


def check_mtu(  # noqa: PLR0917 - a helper's signature
    world: World, run: int, context: int, index: int, place: int, step: int, flags: int
) -> int:
    """Tell whether the packet, grown by *step*, fits the device; gives its MTU too."""
    is_xdp = load64(run + ORIGIN) == XDP
    length = int.from_bytes(world.memory.read(place, 4), "little")
    step = signed(step & U32, 32)
    if flags & ~(0 if is_xdp else _SEGMENTS) or (flags and (step or length)):
        return -errno.EINVAL
    own = load32(context + (_XDP_INDEX if is_xdp else _SKB_INDEX))
    device = world.surroundings.device(index & U32 or own)
    if device is None:
        return -errno.ENODEV
    header = link_header_size(device)
    packet = load64(run + DATA_END) - load64(run + DATA) if is_xdp else load32(context + SKB_LEN)
    total = (length + header if length else packet) + step
    answer = 0
    if total > device.mtu + header:
        answer = _TOO_LONG
        if not is_xdp and load32(context + _SKB_SEGMENT):
            if flags:
                return -errno.EINVAL  # nobody said where the transport header is
            answer = 0
    world.memory.write(place, device.mtu.to_bytes(4, "little"))
    return answer


def clone_redirect(
    world: World, run: int, context: int, index: int, flags: int, _r4: int, _r5: int
) -> int:
    """Send a copy of the packet out of a device, or have it received there."""
    if flags & ~_INGRESS:
        return -errno.EINVAL
    if load32(context + _SKB_SEGMENT):
        return -errno.EBADMSG
    index &= U32
    device = world.surroundings.device(index)
    if device is None:
        return -errno.EINVAL
    link, network = load64(run + LINK_HEADER), load64(run + NETWORK_HEADER)
    size = load64(run + DATA_END) - load64(run + DATA)
    whole = link < network if link_header_size(device) else size > network - load64(run + DATA)
    if not whole or not size:
        return -errno.ERANGE
    if not device.up:
        return _RECEIVE_DROP if flags else -errno.ENETDOWN
    invocation_of(world, run).clones.append((index, flags, invocation_of(world, run).packet))
    return 0


@native
def redirect_neigh(run: int, ifindex: int, hop: int, size: int, flags: int) -> int:  # noqa: ARG001
    """Send the packet out of another interface, with the neighbour's link address."""
    size &= _LOW
    if (size != 0 and size < _NEXT_HOP_SIZE) or flags != 0:
        return _TC_SHOT
    record_redirect(run, 0, ifindex & _LOW, _NEIGHBOUR | _NEXT_HOP if size != 0 else _NEIGHBOUR)
    return _TC_REDIRECT


@native
def get_route_realm(run: int, context: int) -> int:  # noqa: ARG001
    """Realm of the packet's route: it has none."""
    return 0


@native
def skb_get_xfrm_state(
    run: int,  # noqa: ARG001
    context: int,  # noqa: ARG001
    index: int,  # noqa: ARG001
    target: int,
    size: int,
    flags: int,  # noqa: ARG001
) -> int:
    """Read the IPsec state that the packet came through: there is none."""
    fill(target, 0, size & _LOW)
    return MINUS_EINVAL


@native
def skb_set_tstamp(run: int, context: int, stamp: int, kind: int) -> int:  # noqa: ARG001
    """Set the packet's time, on the real (0), monotonic (1) or atomic (2) clock."""
    protocol = load16(context + SKB_PROTOCOL)
    if protocol != _IPV4_IN_NETWORK_ORDER and protocol != _IPV6_IN_NETWORK_ORDER:  # noqa: PLR1714
        return MINUS_EOPNOTSUPP
    kind &= _LOW
    if kind > 2 or (kind != 0 and stamp == 0):
        return MINUS_EINVAL
    store64(context + _SKB_STAMP, stamp)
    fill(context + _SKB_STAMP_TYPE, kind, 1)
    return 0


@native
def csum_level(run: int, context: int, level: int) -> int:  # noqa: ARG001
    """Ask for or change how many of the packet's checksums are known to be good."""
    known = load64(run + CHECKSUM)
    counted = known != 0 and known != KNOWN_SUM  # noqa: PLR1714 - the subset has no "in"
    if level == _QUERY:
        return known - 1 if counted else MINUS_EACCES
    if level == _INCREASE:
        if known < _DEEPEST:
            store64(run + CHECKSUM, known + 1)
    elif level == _DECREASE:
        if counted:
            store64(run + CHECKSUM, known - 1)
    elif level == _RESET:
        reset_sum(run)
    else:
        return MINUS_EINVAL
    return 0


BINDINGS: Final = (
    Binding("fib_lookup", upcall=fib_lookup),
    Binding("check_mtu", upcall=check_mtu),
    Binding("clone_redirect", upcall=clone_redirect),
    Binding("redirect_neigh", redirect_neigh),
    Binding("get_route_realm", get_route_realm),
    Binding("skb_get_xfrm_state", skb_get_xfrm_state),
    Binding("skb_set_tstamp", skb_set_tstamp),
    Binding("csum_level", csum_level),
)
