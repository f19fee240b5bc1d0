"""Rooms: memory for packets that come one at a time, and none of which sees the one before.

A room is a stage (``skep.attach.contexts``) that is kept from run to run. Each packet finds it as
if it had been made for it: all that programs can see is put back, then what depends on the packet
is filled in.
"""

import struct
from collections.abc import Callable
from typing import Final

from skep.attach import contexts
from skep.attach.contexts import ETHERNET, Family, Stage
from skep.uapi.contexts import SK_BUFF, SOCKET, XDP_MD, Context

Fill = Callable[[Stage, bytes], None]

LONGEST_XDP: Final = contexts.XDP_FRAME - contexts.XDP_HEADROOM - contexts.SHARED_INFO
LONGEST_SKB: Final = contexts.XDP_FRAME - contexts.SKB_HEADROOM - contexts.SHARED_INFO
SHORTEST: Final = ETHERNET
_WORD: Final = struct.Struct("<I")
_ADDRESS: Final = struct.Struct("<Q")


def _slot(context: Context, name: str) -> int:
    return context.native_base + 8 * context.field(name).slot


_LEN: Final = SK_BUFF.field("len").offset
_TYPE: Final = SK_BUFF.field("pkt_type").offset
_PROTOCOL: Final = SK_BUFF.field("protocol").offset
_FAMILY: Final = SK_BUFF.field("family").offset
_SOCKET_FAMILY: Final = SOCKET.field("family").offset
_PLACES: Final = {  # of local and remote addresses, in the context and in its socket
    number: tuple(
        (context.field(f"{local}_ip{wide}").offset, context.field(f"{remote}_ip{wide}").offset)
        for context, local, remote in ((SK_BUFF, "local", "remote"), (SOCKET, "src", "dst"))
    )
    for number, wide in ((contexts.AF_INET, "4"), (contexts.AF_INET6, "6"))
}
_SKB_END: Final = _slot(SK_BUFF, "data_end")
_XDP_END: Final = _slot(XDP_MD, "data_end")


class Room:
    """The memory of one run after another.

    Args:
        stage: what it is made of, with the longest packet that it takes, all zeros.
        fill: writes what of the context depends on the packet.
    """

    def __init__(self, stage: Stage, fill: Fill) -> None:
        self.stage, self._fill = stage, fill
        self._image = stage.image()

    def put(self, packet: bytes) -> Stage:
        """The stage, ready for a run on *packet*."""
        stage = self.stage
        stage.renew(self._image, packet)
        self._fill(stage, packet)
        return stage


def xdp_room() -> Room:
    """For packets of an xdp_md, of ``SHORTEST`` to ``LONGEST_XDP`` bytes."""
    return Room(contexts.xdp(bytes(LONGEST_XDP)), _fill_xdp)


def _fill_xdp(stage: Stage, packet: bytes) -> None:
    del packet
    _ADDRESS.pack_into(stage.view, _XDP_END, stage.end)


def skb_room(*, link_layer: bool) -> Room:
    """For packets of an __sk_buff, of ``SHORTEST`` to ``LONGEST_SKB`` bytes; see ``skb``.

    They are such that ``packet_family`` knows what they are.
    """
    skip = 0 if link_layer else ETHERNET

    def fill(stage: Stage, packet: bytes) -> None:
        view = stage.view
        stage.limit = stage.end + contexts.SKB_TAILROOM
        _ADDRESS.pack_into(view, _SKB_END, stage.end)
        _WORD.pack_into(view, _LEN, len(packet) - skip)
        _WORD.pack_into(view, _TYPE, contexts.packet_type(packet[:6]))
        _WORD.pack_into(view, _PROTOCOL, contexts.packet_protocol(packet))
        family = contexts.packet_family(packet)
        if family is not None and family.number:
            _fill_family(stage, family)

    return Room(contexts.skb(bytes(LONGEST_SKB), link_layer=link_layer), fill)


def _fill_family(stage: Stage, family: Family) -> None:
    view, socket = stage.view, stage.attachment - stage.address
    _WORD.pack_into(view, _FAMILY, family.number)
    _WORD.pack_into(view, socket + _SOCKET_FAMILY, family.number)
    for base, places in zip((0, socket), _PLACES[family.number], strict=True):
        for place, address in zip(places, (family.local, family.remote), strict=True):
            view[base + place : base + place + len(address)] = address
