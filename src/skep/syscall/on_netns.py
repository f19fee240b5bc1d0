"""Programs on the network namespace: flow dissector, socket look-up, netfilter.

PROG_ATTACH and PROG_DETACH mean the caller's own namespace, which is the only one here.

Source: Linux 6.18 kernel/bpf/net_namespace.c, net/netfilter/nf_bpf_link.c.
"""

from typing import Any, Final

from skep.attach.hooks import Seat
from skep.attach.netns import NetfilterLink, NetnsLink, NetworkNamespace, Place
from skep.syscall.call import Call
from skep.syscall.hooked import (
    answer_ids,
    check_room,
    install_link,
    loaded,
    program_at,
    seated,
)
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.uapi import reasons_hooks as reasons
from skep.uapi.commands import LinkCreate, ProgAttach, ProgQuery
from skep.uapi.program_types import ProgramType

MOST_ASKED: Final = 1 << 20  # as much as kmalloc gives


def _netns(state: State, call: Call[Any]) -> NetworkNamespace:
    found = state.objects.get(call.command.name, call.attr.target_fd, None, "target_fd").target
    if not isinstance(found, NetworkNamespace):
        raise call.refusal(reasons.NETNS_KIND)
    return found


def attach(state: State, call: Call[ProgAttach], holding: Holding) -> None:
    """PROG_ATTACH."""
    attr = call.attr
    for field in ("target_fd", "attach_flags", "replace_bpf_fd"):
        call.check(not getattr(attr, field), reasons.NETNS_FLAGS, field=field)
    with seated(state, holding) as seat:
        state.places.netns.attach(attr.attach_type, seat)


def detach(state: State, call: Call[ProgAttach], kind: ProgramType) -> None:
    """PROG_DETACH."""
    attr = call.attr
    call.check(not attr.target_fd, reasons.NETNS_FLAGS, field="target_fd")
    holding = program_at(state, call, attr.attach_bpf_fd, "attach_bpf_fd", kind)
    state.places.netns.detach(attr.attach_type, loaded(holding))


def query(state: State, call: Call[ProgQuery]) -> None:
    """PROG_QUERY."""
    attr = call.attr
    call.check(not attr.query_flags, reasons.NETNS_FLAGS, field="query_flags")
    programs = _netns(state, call).programs(attr.attach_type)
    call.put("attach_flags", 0)
    call.put("prog_cnt", len(programs))
    if not (attr.prog_cnt and attr.prog_ids and programs):
        return
    call.check(attr.prog_cnt <= MOST_ASKED, reasons.NETNS_QUERY)
    ids = [program.id for program in programs] + [0] * (attr.prog_cnt - len(programs))
    shown = answer_ids(call, ids)  # Linux fills all of the caller's room
    check_room(call, min(shown, len(programs)), len(programs))


def create(state: State, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE of a flow dissector or socket look-up."""
    attr, program = call.attr, loaded(holding)
    call.check(not attr.flags, reasons.NETNS_FLAGS, field="flags")
    netns = _netns(state, call)
    link = NetnsLink(state.new_id(Kind.LINK), program, attr.attach_type, netns)
    netns.hold(attr.attach_type, Seat(program, link=link))
    return install_link(state, link, holding)


def create_netfilter(state: State, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE of a netfilter program; at 16 pf, hooknum, at 24 priority, flags."""
    attr, netns = call.attr, state.places.netns
    call.check(not attr.flags, reasons.NETFILTER_FLAGS)
    data = attr.encode()[16:32]
    family, hook = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:8], "little")
    priority = int.from_bytes(data[8:12], "little", signed=True)
    place = Place(family, hook, priority, int.from_bytes(data[12:16], "little"))
    place.check()
    link = NetfilterLink(state.new_id(Kind.LINK), loaded(holding), place, netns)
    netns.add_filter(link)
    return install_link(state, link, holding)
