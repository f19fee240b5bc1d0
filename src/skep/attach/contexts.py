"""What one run sees as its context, in native memory: the struct, its pointers, the packet.

A ``Stage`` owns the memory: the context's native block (``skep.uapi.contexts``), room for a socket
or flow keys, and the packet between headroom and tailroom::

    native block | attachment (bpf_sock, bpf_flow_keys) | headroom | packet | tailroom

It is filled once (``skb``, ``xdp``, ``flow``, ``plain``), lent to a run (``enter``), and read back.

Source: Linux 6.18 net/bpf/test_run.c, net/ethernet/eth.c (eth_type_trans), include/net/xdp.h.
"""

import ctypes
from dataclasses import dataclass
from typing import Final

from skep.base.memory import Block
from skep.base.native import store64
from skep.runtime.block import Invocation
from skep.runtime.invocation import CHECKSUM, Origin
from skep.uapi import contexts
from skep.uapi.contexts import Context

ETHERNET: Final = 14
LOOPBACK_INDEX: Final = 1
SKB_HEADROOM: Final = 64  # NET_SKB_PAD; what helpers may claim beyond it is ours to give
SKB_ROOM: Final = 1024
SKB_TAILROOM: Final = 4096
XDP_HEADROOM: Final = 256
XDP_FRAME: Final = 4096
XDP_FRAME_HEADER: Final = 40  # sizeof(struct xdp_frame)
SHARED_INFO: Final = 320  # sizeof(struct skb_shared_info), aligned
ATTACHMENT: Final = 128
AF_INET: Final = 2
AF_INET6: Final = 10
TCP_CLOSE: Final = 7
NO_QUEUE: Final = 0xFFFF_FFFF
IPV4: Final = 0x0800
IPV6: Final = 0x86DD
SUM_KNOWN: Final = 255
PACKET_HOST, PACKET_MULTICAST, PACKET_OTHERHOST = 0, 2, 3


@dataclass(frozen=True, slots=True)
class Family:
    """Addresses of a packet as the socket sees them: *local* sent it."""

    number: int = 0
    local: bytes = b""
    remote: bytes = b""


def packet_type(destination: bytes) -> int:
    """What eth_type_trans makes of a destination address on the loopback device."""
    if not any(destination):
        return PACKET_HOST
    if destination[0] & 1:
        return PACKET_MULTICAST  # the broadcast address of the loopback device is all zeros
    return PACKET_OTHERHOST


def packet_protocol(packet: bytes) -> int:
    """The protocol in network byte order, as eth_type_trans finds it, read as a native u16."""
    found = int.from_bytes(packet[12:14], "big")
    if found < 0x600:  # 802.3 length: 802.2, or the raw form of Novell
        found = 1 if packet[14:16] == b"\xff\xff" else 4
    return (found & 0xFF) << 8 | found >> 8


def packet_family(packet: bytes) -> Family | None:
    """The addresses in the network header; None if the packet is too short to have them."""
    protocol, header = int.from_bytes(packet[12:14], "big"), packet[ETHERNET:]
    if protocol == IPV4:
        return Family(AF_INET, header[12:16], header[16:20]) if len(header) >= 20 else None
    if protocol == IPV6:
        return Family(AF_INET6, header[8:24], header[24:40]) if len(header) >= 40 else None
    return Family()


class Stage:
    """Memory of one run; see the module.

    Attributes:
        context: the struct that the program gets.
        address: of the native block: what r1 holds at entry.
        view: all of its memory, from that address on.
        end, limit: addresses of the end of the packet, and of what it may grow to.
    """

    def __init__(
        self, context: Context, origin: Origin = Origin.OTHER, packet_room: int = 0
    ) -> None:
        self.context, self.origin = context, origin
        self._attachment = context.native_size + 15 & ~15
        self._start = self._attachment + ATTACHMENT
        self._block = Block(self._start + packet_room, shared=False)
        self.address, self.view = self._block.address, self._block.view
        self._head = self.limit = 0
        self._meta = self._data = self.end = 0
        self._link = self._network = 0
        self.sum_known = False  # the packet came with the sum of its bytes

    # --- the struct -----------------------------------------------------------------------------

    def put(self, name: str, value: int) -> None:
        """Store *value* in the field called *name*."""
        field = self.context.field(name)
        self.put_bytes(field.offset, value.to_bytes(field.size, "little"))

    def get(self, name: str) -> int:
        """The value of the field called *name*."""
        field = self.context.field(name)
        return int.from_bytes(self.read(field.offset, field.size), "little")

    def put_bytes(self, offset: int, data: bytes) -> None:
        """Store *data* at *offset* of the struct."""
        ctypes.memmove(self.address + offset, data, len(data))

    def read(self, offset: int, size: int) -> bytes:
        """*size* bytes at *offset* of the struct."""
        return ctypes.string_at(self.address + offset, size)

    def point(self, name: str, target: int) -> None:
        """Let the pointer field called *name* hold the address *target*."""
        slot = self.context.native_base + 8 * self.context.field(name).slot
        ctypes.c_uint64.from_address(self.address + slot).value = target

    # --- what it points to ----------------------------------------------------------------------

    @property
    def attachment(self) -> int:
        """Address of the room for a socket or flow keys."""
        return self.address + self._attachment

    def attachment_bytes(self, size: int) -> bytes:
        """The first *size* bytes of the attachment."""
        return ctypes.string_at(self.attachment, size)

    def put_attachment(self, data: bytes) -> None:
        """Store *data* in the attachment."""
        ctypes.memmove(self.attachment, data, len(data))

    def place(
        self, data: bytes, headroom: int, *, meta: int = 0, skip: int = 0, head: int = 0, limit: int
    ) -> None:
        """Put *data* into the packet memory.

        *headroom* bytes stand before it; its first *meta* bytes are metadata; the program's data
        begins after *skip* more. Helpers may move bounds between *head* and *limit*.
        """
        base = self.address + self._start
        start = base + headroom
        ctypes.memmove(start, data, len(data))
        self._head, self.limit = base + head, base + limit
        self._meta, self.end = start, start + len(data)
        self._data = start + meta + skip
        if skip:
            self._meta = self._data
        self._link = start + meta
        self._network = self._link + ETHERNET

    def image(self) -> bytes:
        """All of its memory."""
        return ctypes.string_at(self.address, self._block.size)

    def renew(self, image: bytes, packet: bytes) -> None:
        """Be again what *image* was taken of, with another packet in the same place."""
        ctypes.memmove(self.address, image, len(image))
        ctypes.memmove(self._link, packet, len(packet))
        self.end = self._link + len(packet)

    def enter(self, invocation: Invocation) -> None:
        """Lend context and packet to a run."""
        invocation.set_context(self.address, self.origin)
        invocation.set_packet(
            head=self._head, meta=self._meta, data=self._data, end=self.end, limit=self.limit
        )
        invocation.set_headers(self._link, self._network)
        store64(invocation.address + CHECKSUM, SUM_KNOWN if self.sum_known else 0)

    def show_packet(self, names: tuple[str, str, str]) -> None:
        """Point the fields called *names* to data, data_end and data_meta; "" for none."""
        for name, target in zip(names, (self._data, self.end, self._meta), strict=True):
            if name:
                self.point(name, target)


def skb(packet: bytes, *, link_layer: bool, ifindex: int = LOOPBACK_INDEX) -> Stage:
    """An __sk_buff for an Ethernet frame as it is received on a device.

    *link_layer*: the program's data begins at the link header, as in tc; else behind it, as in
    sockets, cgroups and lightweight tunnels. The packet is at least 14 bytes long.
    """
    room = SKB_ROOM + SKB_HEADROOM + len(packet) + SKB_TAILROOM
    stage = Stage(contexts.SK_BUFF, Origin.SKB, room)
    skip = 0 if link_layer else ETHERNET
    stage.place(packet, SKB_ROOM + SKB_HEADROOM, skip=skip, limit=room)
    stage.put("len", len(packet) - skip)
    stage.put("pkt_type", packet_type(packet[:6]))
    stage.put("protocol", packet_protocol(packet))
    stage.put("ifindex", ifindex)
    stage.show_packet(("data", "data_end", "data_meta"))
    family = packet_family(packet) or Family()
    _attach_socket(stage, family)
    stage.put("family", family.number)
    wide = "6" if family.number == AF_INET6 else "4"
    stage.put_bytes(stage.context.field(f"local_ip{wide}").offset, family.local)
    stage.put_bytes(stage.context.field(f"remote_ip{wide}").offset, family.remote)
    return stage


def _attach_socket(stage: Stage, family: Family) -> None:
    """Give the packet the socket that the kernel's test runs give it."""
    sock, data = contexts.SOCKET, bytearray(contexts.SOCKET.size)
    wide = "6" if family.number == AF_INET6 else "4"
    for name, value in (
        ("family", family.number.to_bytes(4, "little")),
        (f"src_ip{wide}", family.local),
        (f"dst_ip{wide}", family.remote),
        ("state", TCP_CLOSE.to_bytes(4, "little")),
        ("rx_queue_mapping", NO_QUEUE.to_bytes(4, "little")),
    ):
        offset = sock.field(name).offset
        data[offset : offset + len(value)] = value
    stage.put_attachment(bytes(data))
    stage.point("sk", stage.attachment)


def xdp(packet: bytes, *, meta: int = 0, ifindex: int = LOOPBACK_INDEX, queue: int = 0) -> Stage:
    """An xdp_md for a frame, its first *meta* bytes being metadata; at most one page of room."""
    stage = Stage(contexts.XDP_MD, Origin.XDP, XDP_FRAME)
    stage.place(
        packet,
        XDP_HEADROOM - meta,
        meta=meta,
        head=XDP_FRAME_HEADER,
        limit=XDP_FRAME - SHARED_INFO,
    )
    stage.put("ingress_ifindex", ifindex)
    stage.put("rx_queue_index", queue)
    stage.show_packet(("data", "data_end", "data_meta"))
    return stage


def flow(packet: bytes, flags: int = 0) -> Stage:
    """An __sk_buff for the flow dissector: data and flow keys only."""
    stage = Stage(contexts.SK_BUFF, Origin.OTHER, len(packet))
    stage.place(packet, 0, limit=len(packet))
    stage.show_packet(("data", "data_end", ""))
    keys = bytearray(contexts.FLOW_KEYS.size)
    keys[0:4] = ETHERNET.to_bytes(2, "little") * 2  # nhoff, thoff
    keys[10:12] = packet[12:14]
    keys[48:52] = flags.to_bytes(4, "little")
    stage.put_attachment(bytes(keys))
    stage.point("flow_keys", stage.attachment)
    return stage


def plain(context: Context, data: bytes = b"") -> Stage:
    """A context without packet or pointers: *data*, then zeros."""
    stage = Stage(context, packet_room=16)
    stage.put_bytes(0, data)
    return stage
