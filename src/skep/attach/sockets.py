"""Programs of socket maps, and of single sockets.

A sockmap or sockhash has up to one program of each kind: message verdict, stream parser, and a
stream verdict or an skb verdict. They would run for the sockets in the map; this world's socket
maps are empty, so they are kept and told of, and never fire. A ``Socket`` stands for one socket
that frames are delivered to through its filter.

Source: Linux 6.18 net/core/sock_map.c, net/core/filter.c (sk_attach_bpf, sk_detach_filter).
"""

from typing import Final
from weakref import WeakKeyDictionary

from skep.attach import contexts
from skep.attach.hooks import Occasion, Seat
from skep.attach.links import Attachable, HookError, Link, expect
from skep.maps.interface import Map
from skep.uapi import infos, link_types
from skep.uapi import reasons_hooks as reasons
from skep.uapi.flags import AttachType, LinkType, MapType

SOCKET_MAPS: Final = frozenset((MapType.SOCKMAP, MapType.SOCKHASH))
EXCLUDES: Final = {
    AttachType.SK_SKB_STREAM_VERDICT: AttachType.SK_SKB_VERDICT,
    AttachType.SK_SKB_VERDICT: AttachType.SK_SKB_STREAM_VERDICT,
}


class SocketPrograms:
    """The programs of one socket map."""

    def __init__(self) -> None:
        self._seats: dict[int, Seat] = {}

    def check(self, attach_type: int) -> None:
        """Refuse one verdict where there is the other."""
        other = EXCLUDES.get(AttachType(attach_type))
        expect(other not in self._seats, reasons.SOCKMAP_VERDICTS)

    def program(self, attach_type: int) -> Attachable | None:
        """What is attached as *attach_type*."""
        self.check(attach_type)
        seat = self._seats.get(attach_type)
        return seat.program if seat is not None else None

    def attach(self, attach_type: int, seat: Seat) -> None:
        """Attach *seat*, in the place of a program that is there by itself."""
        self.check(attach_type)
        old = self._seats.get(attach_type)
        expect(old is None or old.link is None, reasons.SOCKMAP_LINKED)
        self._seats[attach_type] = seat
        if old is not None:
            old.leave()

    def detach(self, attach_type: int, program: Attachable) -> None:
        """Take *program*, which is there by itself, off."""
        self.check(attach_type)
        seat = self._seats.get(attach_type)
        expect(seat is None or seat.link is None, reasons.SOCKMAP_LINKED)
        if seat is None or seat.program is not program:
            raise HookError(reasons.SOCKMAP_DETACH)
        del self._seats[attach_type]
        seat.leave()

    def remove(self, link: Link) -> None:
        """Take what *link* holds off."""
        seat = self._seats.get(link.attach_type)
        if seat is not None and seat.link is link:
            del self._seats[link.attach_type]


class SocketMaps:
    """The programs of all socket maps."""

    def __init__(self) -> None:
        self._programs: WeakKeyDictionary[Map, SocketPrograms] = WeakKeyDictionary()

    def of(self, map_: Map) -> SocketPrograms:
        """The programs of *map_*; refuses maps of other types."""
        expect(map_.map_type in SOCKET_MAPS, reasons.SOCKMAP_KIND)
        return self._programs.setdefault(map_, SocketPrograms())


class SockmapLink(Link):
    """A program on a socket map; *map* is None once it has come off."""

    layout = infos.SockmapLinkInfo

    def __init__(
        self,
        id: int,  # noqa: A002
        program: Attachable,
        attach_type: int,
        map_: Map,
        programs: SocketPrograms,
    ) -> None:
        super().__init__(id, link_types.of(LinkType.SOCKMAP), program, attach_type)
        self.map: Map | None = map_
        self._programs = programs

    def release(self) -> None:
        """Take the program off; nothing if it has come off already."""
        self.map = None
        self._programs.remove(self)

    def detach(self) -> None:
        """LINK_DETACH."""
        self.release()

    def update(self, program: Attachable, expected: Attachable | None) -> None:
        """LINK_UPDATE: the new program takes the old one's place."""
        expect(expected in (None, self.program), reasons.NOT_IN_PLACE)
        old, new = self.program.proof.request, program.proof.request
        fits = program.type is self.program.type
        fits = fits and old.expected_attach_type == new.expected_attach_type
        expect(fits, reasons.OTHER_TYPE)
        expect(self.map is not None, reasons.UNLINKED)
        self._programs.check(self.attach_type)
        self.program = program

    def details(self) -> dict[str, int]:
        """The map, 0 once it has come off, and the attach type."""
        map_id = self.map.id if self.map is not None else 0
        return {"map_id": map_id, "attach_type": self.attach_type}


class Socket:
    """A socket as far as its filter goes: what of the frames that reach it gets through.

    Attributes:
        locked: whether the filter stays as it is (SO_LOCK_FILTER).
    """

    def __init__(self, occasion: Occasion) -> None:
        self._occasion = occasion
        self._seat: Seat | None = None
        self.locked = False

    @property
    def program(self) -> Attachable | None:
        """The filter."""
        return self._seat.program if self._seat is not None else None

    def set_filter(self, seat: Seat | None) -> None:
        """Put *seat* in the place of the filter, if there is one; None takes it off."""
        expect(not self.locked, reasons.FILTER_LOCKED)
        old, self._seat = self._seat, seat
        expect(seat is not None or old is not None, reasons.FILTER_ABSENT)
        if old is not None:
            old.leave()

    def deliver(self, frame: bytes) -> bytes | None:
        """What of *frame*, from its link header on, a packet socket gets; None: nothing."""
        if self._seat is None:
            return frame
        stage = contexts.skb(frame.ljust(contexts.ETHERNET, b"\0"), link_layer=True)
        with self._occasion.event(stage) as event:
            kept = event.run(self._seat.program)
        return frame[:kept] if kept else None
