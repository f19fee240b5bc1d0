"""Programs on devices: tcx and netkit chains, XDP.

Source: Linux 6.18 kernel/bpf/tcx.c, drivers/net/netkit.c, kernel/bpf/mprog.c (bpf_mprog_query),
net/core/dev.c (bpf_xdp_link_attach).
"""

from functools import partial
from typing import Any, Final

from skep.attach.chains import Wish
from skep.attach.devices import PEER, Device, DeviceLink, XdpLink
from skep.attach.hooks import Seat
from skep.attach.links import Attachable
from skep.syscall.anchors import typed_anchor
from skep.syscall.call import Call
from skep.syscall.hooked import (
    answer_ids,
    check_room,
    install_link,
    loaded,
    program_at,
    seated,
    write_words,
)
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.uapi import reasons_hooks as reasons
from skep.uapi import reasons_links
from skep.uapi.commands import LinkCreate, ProgAttach, ProgQuery
from skep.uapi.flags import AttachFlag, AttachType, LinkType, ProgType
from skep.uapi.reason import Refusal

NETKIT: Final = frozenset((AttachType.NETKIT_PRIMARY, AttachType.NETKIT_PEER))
XDP: Final = "IFLA_XDP"
ANY_REPLACE: Final = int(AttachFlag.REPLACE)


def _device(state: State, call: Call[Any]) -> Device:
    """The device whose chain the call is about; target_fd is its index."""
    attr = call.attr
    device = state.places.device_at(attr.target_fd)
    if device is None:
        raise call.refusal(reasons.DEVICE)
    if attr.attach_type not in NETKIT:
        return device
    call.check(device.is_netkit, reasons.NETKIT)
    call.check(device.primary, reasons.NETKIT_PEER)
    if attr.attach_type != PEER:
        return device
    if device.peer is None:
        raise call.refusal(reasons.DEVICE, "its peer has gone")
    return device.peer


def attach(state: State, call: Call[ProgAttach], holding: Holding) -> None:
    """PROG_ATTACH."""
    attr, program = call.attr, loaded(holding)
    device, replaced = _device(state, call), None
    if attr.attach_flags & ANY_REPLACE:
        old = program_at(state, call, attr.replace_bpf_fd, "replace_bpf_fd", program.type)
        replaced = loaded(old)
    wish = _wish(state, call, program, replaced)
    try:
        with seated(state, holding) as seat:
            device.open_chain(attr.attach_type).attach(seat, wish)
    finally:
        device.settle(attr.attach_type)


def _wish(
    state: State, call: Call[ProgAttach], program: Attachable | None, replaced: Attachable | None
) -> Wish:
    attr = call.attr
    kind = program.type if program is not None else None
    flags = attr.attach_flags
    anchor = partial(typed_anchor, state, call, flags, attr.relative_fd, "relative_fd", kind)
    return Wish(flags, anchor, attr.expected_revision, replaced)


def detach(state: State, call: Call[ProgAttach], program: Attachable | None) -> None:
    """PROG_DETACH: *program*, or what stands where the flags say."""
    attr, device = call.attr, _device(state, call)
    chain = device.chain(attr.attach_type)
    if chain is None:
        raise call.refusal(reasons.CHAIN_EMPTY)
    chain.detach(program, None, _wish(state, call, program, None))
    device.settle(attr.attach_type)


def query(state: State, call: Call[ProgQuery]) -> None:
    """PROG_QUERY."""
    attr, device = call.attr, _device(state, call)
    call.check(not attr.query_flags and not attr.attach_flags, reasons.CHAIN_QUERY)
    chain = device.chain(attr.attach_type)
    seats = chain.seats if chain is not None else []
    call.put("attach_flags", 0)
    call.put("revision", chain.revision if chain is not None and seats else 1)
    call.put("prog_cnt", len(seats))
    shown = answer_ids(call, [seat.program.id for seat in seats])
    links = [seat.link.id if seat.link is not None else 0 for seat in seats[:shown]]
    for field, words in (
        ("prog_attach_flags", [0] * shown),
        ("link_ids", links),
        ("link_attach_flags", [0] * shown),
    ):
        if getattr(attr, field) and shown:
            write_words(call, field, words)
    check_room(call, shown, len(seats))


def create(state: State, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE in a chain; at 16 relative_fd, at 24 expected_revision."""
    attr, program = call.attr, loaded(holding)
    device, relative = _device(state, call), attr.word16 & 0xFFFF_FFFF
    kind = LinkType.NETKIT if attr.attach_type in NETKIT else LinkType.TCX
    link = DeviceLink(state.new_id(Kind.LINK), kind, program, attr.attach_type, device)
    anchor = partial(typed_anchor, state, call, attr.flags, relative, "word16", program.type)
    wish = Wish(attr.flags, anchor, attr.word24)
    try:
        chain = device.open_chain(attr.attach_type)
        chain.attach(Seat(program, link=link), wish)
    finally:
        device.settle(attr.attach_type)
    return install_link(state, link, holding)


def create_xdp(state: State, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE of an XDP program; flags are XDP_FLAGS_*."""
    attr, program = call.attr, loaded(holding)
    device = state.places.device_at(attr.target_fd)
    if device is None:
        raise call.refusal(reasons.XDP_DEVICE)
    link = XdpLink(state.new_id(Kind.LINK), program, device)
    device.xdp.put(Seat(program, link=link), attr.flags)
    return install_link(state, link, holding)


def set_xdp(state: State, index: int, fd: int, flags: int, expected_fd: int) -> None:
    """Attach a program to device *index* without a link, or detach with *fd* -1.

    What netlink's IFLA_XDP does: *flags* are XDP_FLAGS_*, *expected_fd* what REPLACE expects, -1
    for nothing.
    """
    with state.objects.lock:
        device = state.places.device_at(index)
        if device is None:
            raise Refusal(XDP, reasons.DEVICE, f"there is no device {index}")
        expected = _xdp_program(state, expected_fd) if expected_fd >= 0 else None
        old = loaded(expected) if expected is not None else None
        if fd < 0:
            device.xdp.put(None, flags, old)
            return
        with seated(state, _xdp_program(state, fd)) as seat:
            device.xdp.put(seat, flags, old)


def _xdp_program(state: State, fd: int) -> Holding:
    holding = state.objects.get(XDP, fd, Kind.PROG, "fd")
    found = loaded(holding).type
    if found.id != ProgType.XDP:
        raise Refusal(XDP, reasons_links.PROGRAM_TYPE, f"a {found.name} program", "fd")
    return holding
