"""Network devices of a world: XDP, tcx and netkit hooks, and the way of a frame through them.

A frame that is received runs through the XDP program, then the tcx ingress chain, then the ingress
programs of the receiving socket's cgroup; one that is sent through the egress programs of the
sender's cgroup, then the tcx egress chain. A netkit pair runs the chain of the end that sends,
instead. What is not modelled: routes, neighbours, queues, sockets, offloads, devices behind a
redirect (the verdict names them, nothing is received there), classic tc filters, netfilter.

Source: Linux 6.18 net/core/dev.c (dev_xdp_attach, bpf_prog_run_generic_xdp, tcx_run,
sch_handle_ingress), kernel/bpf/tcx.c, drivers/net/netkit.c.
"""

from dataclasses import dataclass, replace
from typing import Final

from skep.attach import contexts
from skep.attach.cgroups import Cgroup
from skep.attach.chains import Chain
from skep.attach.hooks import Event, Occasion, Seat, signed
from skep.attach.links import Attachable, HookError, Link, expect
from skep.uapi import infos, link_types
from skep.uapi import reasons_hooks as reasons
from skep.uapi.flags import AttachType, LinkType, TcxAction, XdpAction

SKB_MODE: Final = 1 << 1
DRV_MODE: Final = 1 << 2
HW_MODE: Final = 1 << 3
MODES: Final = SKB_MODE | DRV_MODE | HW_MODE
IF_NOEXIST: Final = 1 << 0
REPLACE: Final = 1 << 4
SPECIAL: Final = frozenset((AttachType.XDP_DEVMAP, AttachType.XDP_CPUMAP))
INGRESS: Final = int(AttachType.TCX_INGRESS)
EGRESS: Final = int(AttachType.TCX_EGRESS)
PRIMARY: Final = int(AttachType.NETKIT_PRIMARY)
PEER: Final = int(AttachType.NETKIT_PEER)
DROPPED, CONGESTED = 1, 2  # NET_XMIT_DROP, NET_XMIT_CN


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a frame.

    Attributes:
        verdict: ``passed``, ``dropped``, ``redirected`` or ``sent back``.
        hook: the one that decided, as ``xdp``, ``tcx_ingress``; "" if all let it pass.
        frame: its bytes as the programs left them.
        target: the device or map key of a redirect, or 0.
        result: what the deciding program returned; of a cgroup what the sender gets: 0, -errno,
            1 (dropped, slow down) or 2 (sent, slow down).
    """

    verdict: str
    hook: str
    frame: bytes
    target: int = 0
    result: int = 0

    @property
    def passed(self) -> bool:
        """Whether it went on its way."""
        return self.verdict == "passed"


class XdpHook:
    """The XDP programs of a device: one for each mode, native and generic not at once."""

    def __init__(self, *, native: bool) -> None:
        self._native = native
        self._seats: dict[int, Seat] = {}

    @property
    def programs(self) -> dict[int, Attachable]:
        """What is attached, by mode."""
        return {mode: seat.program for mode, seat in self._seats.items()}

    def put(self, seat: Seat | None, flags: int = 0, expected: Attachable | None = None) -> None:
        """Attach *seat*, or detach with None, as the XDP_FLAGS_* in *flags* say.

        *expected* is the program that REPLACE expects to be there.
        """
        link = seat.link if seat is not None else None
        expect(link is None or not flags & ~MODES, reasons.XDP_FLAGS)
        expect((flags & MODES).bit_count() <= 1, reasons.XDP_FLAGS)
        expect(expected is None or flags & REPLACE, reasons.XDP_FLAGS)
        mode = flags & MODES or (DRV_MODE if self._native else SKB_MODE)
        old = self._seats.get(mode)
        expect(old is None or old.link is None, reasons.XDP_LINKED)
        expect(link is None or old is None, reasons.XDP_TAKEN)
        found = old.program if old is not None else None
        expect(not flags & REPLACE or found is expected, reasons.XDP_EXPECTED)
        if seat is not None:
            self._check(seat, flags, mode)
        if seat is not None and seat.program is found:
            seat.leave()  # it is there already
            return
        expect(mode != HW_MODE or not self._native, reasons.XDP_HARDWARE)
        expect(mode == SKB_MODE or (mode == DRV_MODE and self._native), reasons.XDP_MODE)
        self._set(mode, seat)

    def _check(self, seat: Seat, flags: int, mode: int) -> None:
        expect(not flags & IF_NOEXIST or mode not in self._seats, reasons.XDP_TAKEN)
        other = DRV_MODE if mode == SKB_MODE else SKB_MODE
        expect(mode == HW_MODE or other not in self._seats, reasons.XDP_OTHER_MODE)
        special = seat.program.proof.request.expected_attach_type in SPECIAL
        expect(not special, reasons.XDP_PROGRAM)

    def _set(self, mode: int, seat: Seat | None) -> None:
        old = self._seats.pop(mode, None)
        if seat is not None:
            self._seats[mode] = seat
        if old is not None:
            old.leave()

    def remove(self, link: Link) -> None:
        """Take what *link* holds off."""
        for mode, seat in tuple(self._seats.items()):
            if seat.link is link:
                del self._seats[mode]

    def seats(self) -> tuple[Seat, ...]:
        """What is attached."""
        return tuple(self._seats.values())


class Device:
    """A network device.

    Attributes:
        index: its ifindex. *name*: what it is called.
        peer: the other end of a netkit pair, None for other devices.
        is_netkit: whether it is an end of a netkit pair.
        primary: whether it is the end of a netkit pair that programs are attached to.
        policy: what a netkit end does with a frame that no program decides on.
    """

    def __init__(self, index: int, name: str, occasion: Occasion, *, native: bool = False) -> None:
        self.index, self.name = index, name
        self.xdp = XdpHook(native=native)
        self.peer: Device | None = None
        self.primary = self.is_netkit = False
        self.policy = TcxAction.PASS
        self._occasion = occasion
        self._chains: dict[int, Chain] = {}

    def chain(self, direction: int) -> Chain | None:
        """The chain of an attach type, None if nothing is in it."""
        return self._chains.get(direction)

    def open_chain(self, direction: int) -> Chain:
        """The chain of an attach type, made if there is none."""
        return self._chains.setdefault(direction, Chain())

    def settle(self, direction: int) -> None:
        """Forget a chain, and its revision, that nothing is in; netkit remembers."""
        chain = self._chains.get(direction)
        if chain is not None and not chain.seats and direction in (INGRESS, EGRESS):
            del self._chains[direction]

    # --- frames ---------------------------------------------------------------------------------

    def receive(self, frame: bytes, cgroup: Cgroup | None = None) -> Delivery:
        """Let *frame*, from its link header on, arrive; *cgroup* is the receiving socket's."""
        frame = frame.ljust(contexts.ETHERNET, b"\0")
        delivery = self._run_xdp(frame)
        if delivery.passed:
            delivery = self._run_chain(INGRESS, "tcx_ingress", delivery.frame)
        if delivery.passed and cgroup is not None:
            delivery = _run_cgroup(cgroup, AttachType.CGROUP_INET_INGRESS, delivery.frame)
        return delivery

    def transmit(self, frame: bytes, cgroup: Cgroup | None = None) -> Delivery:
        """Send *frame*; *cgroup* is the sending socket's. A netkit end gives it to the other."""
        frame = frame.ljust(contexts.ETHERNET, b"\0")
        delivery = Delivery("passed", "", frame)
        if cgroup is not None:
            delivery = _run_cgroup(cgroup, AttachType.CGROUP_INET_EGRESS, frame)
        congested = delivery.result
        if delivery.passed:
            delivery = self._run_chain(EGRESS, "tcx_egress", delivery.frame)
        if not delivery.passed:
            return delivery
        if self.peer is None:
            return replace(delivery, result=congested or delivery.result)
        direction, hook = (PRIMARY, "netkit_primary") if self.primary else (PEER, "netkit_peer")
        chain = self.chain(direction) or Chain()
        return self._run(chain, hook, delivery.frame, NETKIT_VERDICTS, self.policy)

    def _run_xdp(self, frame: bytes) -> Delivery:
        program = next(iter(self.xdp.programs.values()), None)
        if program is None:
            return Delivery("passed", "", frame)
        room = contexts.XDP_FRAME - contexts.XDP_HEADROOM - contexts.SHARED_INFO
        linear, rest = frame[:room], frame[room:]
        with self._occasion.event(contexts.xdp(linear, ifindex=self.index)) as event:
            result = event.run(program)
            verdict = XDP_VERDICTS.get(result, "dropped")
            target = event.target if verdict == "redirected" else 0
            left = event.invocation.packet + rest
        return Delivery(verdict, "" if verdict == "passed" else "xdp", left, target, result)

    def _run_chain(self, direction: int, hook: str, frame: bytes) -> Delivery:
        chain = self._chains.get(direction)
        if chain is None or not chain.seats:
            return Delivery("passed", "", frame)
        return self._run(chain, hook, frame, TCX_VERDICTS, TcxAction.NEXT)

    def _run(
        self, chain: Chain, hook: str, frame: bytes, verdicts: dict[int, str], default: int
    ) -> Delivery:
        programs = [seat.program for seat in chain.seats]
        stage = contexts.skb(frame, link_layer=True, ifindex=self.index)
        with self._occasion.event(stage) as event:
            result = _first(event, programs, default)
            verdict = verdicts.get(result, verdicts[OTHER])
            target = event.target if verdict == "redirected" else 0
            left = event.invocation.packet
        return Delivery(verdict, "" if verdict == "passed" else hook, left, target, result)

    def leave(self) -> None:
        """The device goes: all that is attached comes off."""
        seats = list(self.xdp.seats())
        for chain in self._chains.values():
            seats += chain.seats
            chain.seats.clear()
        for seat in seats:
            if isinstance(seat.link, XdpLink | DeviceLink):
                seat.link.device = None
            seat.leave()


OTHER: Final = 1 << 32  # key of the verdict on any other result
XDP_VERDICTS: Final[dict[int, str]] = {
    XdpAction.PASS: "passed", XdpAction.TX: "sent back", XdpAction.REDIRECT: "redirected",
}  # fmt: skip
TCX_VERDICTS: Final[dict[int, str]] = {
    TcxAction.DROP: "dropped", TcxAction.REDIRECT: "redirected", OTHER: "passed",
}  # fmt: skip
NETKIT_VERDICTS: Final[dict[int, str]] = {
    TcxAction.NEXT: "passed", TcxAction.PASS: "passed", TcxAction.REDIRECT: "redirected",
    OTHER: "dropped",
}  # fmt: skip


def _first(event: Event, programs: list[Attachable], default: int) -> int:
    """The first result that decides; *default* if none does."""
    for program in programs:
        result = signed(event.run(program))
        if result != TcxAction.NEXT:
            return result
    return default


def _run_cgroup(cgroup: Cgroup, attach_type: AttachType, frame: bytes) -> Delivery:
    """Programs of a cgroup on a packet: they look, and let it pass or not."""
    if contexts.packet_family(frame) in (None, contexts.Family()):
        return Delivery("passed", "", frame)  # only IP has sockets here
    stage = contexts.skb(frame, link_layer=False)
    errno, bits = cgroup.fire(attach_type, stage)
    congested = attach_type == AttachType.CGROUP_INET_EGRESS and bits & 1
    if not errno:
        return Delivery("passed", "", frame, result=CONGESTED if congested else 0)
    result = DROPPED if congested else errno
    return Delivery("dropped", attach_type.name.lower(), frame, result=result)


class XdpLink(Link):
    """An XDP program on a device; *device* is None once it has come off."""

    layout = infos.XdpLinkInfo

    def __init__(self, id: int, program: Attachable, device: Device) -> None:  # noqa: A002
        super().__init__(id, link_types.of(LinkType.XDP), program, AttachType.XDP)
        self.device: Device | None = device

    def release(self) -> None:
        """Take the program off the device; nothing if it has come off already."""
        device, self.device = self.device, None
        if device is not None:
            device.xdp.remove(self)

    def detach(self) -> None:
        """LINK_DETACH."""
        self.release()

    def update(self, program: Attachable, expected: Attachable | None) -> None:
        """LINK_UPDATE: the new program takes the old one's place."""
        if self.device is None:
            raise HookError(reasons.UNLINKED)
        expect(expected in (None, self.program), reasons.NOT_IN_PLACE)
        old, new = self.program.proof.request, program.proof.request
        fits = program.type is self.program.type
        fits = fits and old.expected_attach_type == new.expected_attach_type
        expect(fits, reasons.XDP_UPDATE)
        self.program = program

    def details(self) -> dict[str, int]:
        """The device, 0 once it has come off."""
        return {"ifindex": self.device.index if self.device is not None else 0}


class DeviceLink(Link):
    """A program in a tcx or netkit chain; *device* is None once it has come off."""

    layout = infos.DeviceLinkInfo

    def __init__(
        self,
        id: int,  # noqa: A002
        kind: LinkType,
        program: Attachable,
        attach_type: int,
        device: Device,
    ) -> None:
        super().__init__(id, link_types.of(kind), program, attach_type)
        self.device: Device | None = device

    def release(self) -> None:
        """Take the program out of the chain; nothing if it has come off already."""
        device, self.device = self.device, None
        chain = device.chain(self.attach_type) if device is not None else None
        if device is not None and chain is not None:
            chain.seats = [seat for seat in chain.seats if seat.link is not self]
            chain.revision += 1
            device.settle(self.attach_type)

    def detach(self) -> None:
        """LINK_DETACH."""
        self.release()

    def update(self, program: Attachable, expected: Attachable | None) -> None:
        """LINK_UPDATE: the new program takes the old one's place."""
        if self.device is None:
            raise HookError(reasons.UNLINKED)
        expect(expected in (None, self.program), reasons.NOT_IN_PLACE)
        if program is self.program:
            return
        expect(program.type is self.program.type, reasons.OTHER_TYPE)
        self.device.open_chain(self.attach_type).replace(self, program)
        self.program = program

    def details(self) -> dict[str, int]:
        """The device, 0 once it has come off, and the attach type."""
        ifindex = self.device.index if self.device is not None else 0
        return {"ifindex": ifindex, "attach_type": self.attach_type}

    def fdinfo(self) -> list[tuple[str, str]]:
        """As all links; the attach type by name too."""
        *lines, (name, number) = super().fdinfo()
        side = FDINFO_SIDES[self.attach_type]
        return [*lines, (name, f"{number} ({side})")]


FDINFO_SIDES: Final = {INGRESS: "ingress", EGRESS: "egress", PRIMARY: "primary", PEER: "peer"}
