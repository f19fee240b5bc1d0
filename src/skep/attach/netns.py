"""The network namespace of a world: flow dissector, socket look-up, netfilter.

One flow dissector, by itself or through a link; up to 64 programs that look up sockets, through
links; netfilter programs through links, ordered by priority. Flow dissectors and look-ups fire
here; netfilter programs get kernel objects that this world does not have, and are only kept in
order.

Source: Linux 6.18 kernel/bpf/net_namespace.c, net/core/flow_dissector.c,
net/netfilter/nf_bpf_link.c, include/linux/filter.h (BPF_PROG_SK_LOOKUP_RUN_ARRAY).
"""

from dataclasses import dataclass
from typing import Final

from skep.attach import contexts
from skep.attach.hooks import Occasion, Seat
from skep.attach.links import Attachable, HookError, Link, expect
from skep.uapi import infos, link_types
from skep.uapi import reasons_hooks as reasons
from skep.uapi.contexts import FLOW_KEYS, SK_LOOKUP
from skep.uapi.flags import AttachType, LinkType, LwtReturn, SkAction

MOST: Final = {AttachType.FLOW_DISSECTOR: 1, AttachType.SK_LOOKUP: 64}
FAMILIES: Final = frozenset((2, 10))  # NFPROTO_IPV4, NFPROTO_IPV6
HOOKS: Final = 5  # NF_INET_NUMHOOKS
DEFRAG: Final = 1  # BPF_F_NETFILTER_IP_DEFRAG
DEFRAG_HOOKS: Final = frozenset((0, 3))  # NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT
BEFORE_DEFRAG: Final = -400  # NF_IP_PRI_CONNTRACK_DEFRAG
FIRST, LAST = -(1 << 31), (1 << 31) - 1  # what else stands there must stay outermost


@dataclass(frozen=True, slots=True)
class Place:
    """Where a netfilter program stands: protocol family, hook, priority, options."""

    family: int
    hook: int
    priority: int
    options: int = 0

    def check(self) -> None:
        """Refuse places that there are not."""
        expect(self.family in FAMILIES, reasons.NETFILTER_FAMILY)
        expect(self.hook < HOOKS, reasons.NETFILTER_HOOK)
        expect(not self.options & ~DEFRAG, reasons.NETFILTER_OPTIONS)
        inside = FIRST < self.priority < LAST
        inside = inside and (not self.options & DEFRAG or self.priority > BEFORE_DEFRAG)
        expect(inside, reasons.NETFILTER_PRIORITY)

    def takes(self, other: "Place") -> bool:
        """Whether a program here keeps one at *other* out; defragmenting has places of its own."""
        if self.family != other.family:
            return False
        if self.options & DEFRAG and other.hook in DEFRAG_HOOKS and other.priority == BEFORE_DEFRAG:
            return True
        return self.hook == other.hook and self.priority == other.priority


class NetworkNamespace:
    """The namespace; *id* is its inode number."""

    def __init__(self, id: int, occasion: Occasion) -> None:  # noqa: A002
        self.id = id
        self._occasion = occasion
        self._direct: dict[int, Seat] = {}
        self._links: dict[int, list[Seat]] = {}
        self.filters: list[NetfilterLink] = []  # by priority

    def programs(self, attach_type: int) -> list[Attachable]:
        """What runs, in order."""
        direct = self._direct.get(attach_type)
        seats = [direct] if direct is not None else self._links.get(attach_type, [])
        return [seat.program for seat in seats]

    def attach(self, attach_type: int, seat: Seat) -> None:
        """Attach a program by itself."""
        expect(not self._links.get(attach_type), reasons.NETNS_TAKEN)
        old = self._direct.get(attach_type)
        twice = old is not None and old.program is seat.program
        expect(not twice, reasons.NETNS_TWICE)
        self._direct[attach_type] = seat
        if old is not None:
            old.leave()

    def detach(self, attach_type: int, program: Attachable) -> None:
        """Take a program off that was attached by itself."""
        expect(not self._links.get(attach_type), reasons.NETNS_DETACH_LINK)
        seat = self._direct.get(attach_type)
        if seat is None or seat.program is not program:
            raise HookError(reasons.NETNS_DETACH)
        del self._direct[attach_type]
        seat.leave()

    def hold(self, attach_type: int, seat: Seat) -> None:
        """Attach what a link holds, behind the others."""
        seats = self._links.setdefault(attach_type, [])
        expect(len(seats) < MOST[AttachType(attach_type)], reasons.NETNS_FULL)
        expect(attach_type not in self._direct, reasons.NETNS_TAKEN)
        seats.append(seat)

    def remove(self, attach_type: int, link: Link) -> None:
        """Take what *link* holds off."""
        seats = self._links.get(attach_type, [])
        seats[:] = [seat for seat in seats if seat.link is not link]

    def add_filter(self, link: "NetfilterLink") -> None:
        """Put a netfilter program at its place."""
        taken = any(each.place.takes(link.place) for each in self.filters)
        expect(not taken, reasons.NETFILTER_TAKEN)
        self.filters.append(link)
        self.filters.sort(key=lambda each: each.place.priority)

    # --- events ---------------------------------------------------------------------------------

    def dissect(self, frame: bytes, flags: int = 0) -> bytes | None:
        """The flow keys that the dissector finds in *frame*.

        None if there is no dissector, it gives up, or it leaves the frame to the built-in one.
        """
        programs = self.programs(AttachType.FLOW_DISSECTOR)
        if not programs:
            return None
        stage = contexts.flow(frame.ljust(contexts.ETHERNET, b"\0"), flags)
        with self._occasion.event(stage) as event:
            result = event.run(programs[0])
        return stage.attachment_bytes(FLOW_KEYS.size) if result == LwtReturn.OK else None

    def look_up(
        self, protocol: int, remote: tuple[bytes, int], local: tuple[bytes, int], ifindex: int = 0
    ) -> SkAction:
        """Whether the look-up of a socket goes on, or the packet finds none.

        *remote* and *local* are address (4 or 16 bytes) and port. There are no sockets that a
        program could choose.
        """
        wide = len(local[0]) == 16
        stage = contexts.plain(SK_LOOKUP)
        stage.put("family", contexts.AF_INET6 if wide else contexts.AF_INET)
        stage.put("protocol", protocol)
        for side, (address, _) in (("remote", remote), ("local", local)):
            stage.put_bytes(SK_LOOKUP.field(f"{side}_ip{'6' if wide else '4'}").offset, address)
        stage.put_bytes(SK_LOOKUP.field("remote_port").offset, remote[1].to_bytes(2, "big"))
        stage.put("local_port", local[1])
        stage.put("ingress_ifindex", ifindex)
        passes = True
        with self._occasion.event(stage) as event:
            for program in self.programs(AttachType.SK_LOOKUP):
                passes = event.run(program) != SkAction.DROP and passes
        return SkAction.PASS if passes else SkAction.DROP

    def close(self) -> None:
        """A descriptor of it was closed: the namespace stays."""


class NetnsLink(Link):
    """A program on the network namespace; *netns* is None once it has come off."""

    layout = infos.NetnsLinkInfo

    def __init__(
        self,
        id: int,  # noqa: A002
        program: Attachable,
        attach_type: int,
        netns: NetworkNamespace,
    ) -> None:
        super().__init__(id, link_types.of(LinkType.NETNS), program, attach_type)
        self.netns: NetworkNamespace | None = netns

    def release(self) -> None:
        """Take the program off; nothing if it has come off already."""
        netns, self.netns = self.netns, None
        if netns is not None:
            netns.remove(self.attach_type, self)

    def detach(self) -> None:
        """LINK_DETACH."""
        self.release()

    def update(self, program: Attachable, expected: Attachable | None) -> None:
        """LINK_UPDATE: the new program takes the old one's place."""
        expect(expected in (None, self.program), reasons.NOT_IN_PLACE)
        expect(program.type is self.program.type, reasons.OTHER_TYPE)
        expect(self.netns is not None, reasons.UNLINKED)
        self.program = program

    def details(self) -> dict[str, int]:
        """The namespace, 0 once it has come off, and the attach type."""
        netns_ino = self.netns.id if self.netns is not None else 0
        return {"netns_ino": netns_ino, "attach_type": self.attach_type}


class NetfilterLink(Link):
    """A program at a netfilter hook."""

    layout = infos.NetfilterLinkInfo

    def __init__(
        self,
        id: int,  # noqa: A002
        program: Attachable,
        place: Place,
        netns: NetworkNamespace,
    ) -> None:
        super().__init__(id, link_types.of(LinkType.NETFILTER), program, AttachType.NETFILTER)
        self.place, self._netns = place, netns

    def release(self) -> None:
        """Take the program off; nothing if it has come off already."""
        if self in self._netns.filters:
            self._netns.filters.remove(self)

    def detach(self) -> None:
        """LINK_DETACH."""
        self.release()

    def update(self, program: Attachable, expected: Attachable | None) -> None:
        """LINK_UPDATE: refused, as in Linux."""
        del program, expected
        raise HookError(reasons.NETFILTER_UPDATE)

    def details(self) -> dict[str, int]:
        """Where it stands."""
        place = self.place
        return {"pf": place.family, "hooknum": place.hook, "priority": place.priority,
                "flags": place.options}  # fmt: skip

    def fdinfo(self) -> list[tuple[str, str]]:
        """As all links; the place in one line."""
        place = f"{self.place.family}\thooknum:\t{self.place.hook}\tprio:\t{self.place.priority}"
        return [*super().fdinfo()[:4], ("pf", place)]
