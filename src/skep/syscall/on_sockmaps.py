"""Programs on socket maps: PROG_ATTACH, PROG_DETACH, PROG_QUERY, LINK_CREATE.

A program that was attached by itself lives as long as the map: the map's holding refers to it.

Source: Linux 6.18 net/core/sock_map.c.
"""

from skep.attach.hooks import Seat
from skep.attach.sockets import SOCKET_MAPS, SockmapLink
from skep.syscall.call import Call
from skep.syscall.hooked import answer_ids, install_link, loaded, program_at
from skep.syscall.maps import as_map
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.uapi import reasons_hooks as reasons
from skep.uapi.commands import LinkCreate, ProgAttach, ProgQuery
from skep.uapi.program_types import ProgramType


def _map(state: State, call: Call[ProgAttach] | Call[ProgQuery] | Call[LinkCreate]) -> Holding:
    return state.objects.get(call.command.name, call.attr.target_fd, Kind.MAP, "target_fd")


def _check_unused(call: Call[ProgAttach]) -> None:
    for field in ("attach_flags", "replace_bpf_fd"):
        call.check(not getattr(call.attr, field), reasons.SOCKMAP_FLAGS, field=field)


def attach(state: State, call: Call[ProgAttach], holding: Holding) -> None:
    """PROG_ATTACH."""
    _check_unused(call)
    place = _map(state, call)

    def leave() -> None:
        place.holds.remove(holding)
        state.objects.drop(holding)

    programs = state.places.socket_maps.of(as_map(place))
    programs.attach(call.attr.attach_type, Seat(loaded(holding), leave))
    place.holds.append(state.objects.take(holding))


def detach(state: State, call: Call[ProgAttach], kind: ProgramType) -> None:
    """PROG_DETACH."""
    _check_unused(call)
    attr, place = call.attr, _map(state, call)
    holding = program_at(state, call, attr.attach_bpf_fd, "attach_bpf_fd", kind)
    programs = state.places.socket_maps.of(as_map(place))
    programs.detach(attr.attach_type, loaded(holding))


def query(state: State, call: Call[ProgQuery]) -> None:
    """PROG_QUERY: there is one program, or none."""
    attr = call.attr
    call.check(not attr.query_flags, reasons.SOCKMAP_FLAGS, field="query_flags")
    place = _map(state, call)
    call.put("attach_flags", 0)
    call.put("prog_cnt", 0)
    programs = state.places.socket_maps.of(as_map(place))
    program = programs.program(attr.attach_type)
    ids = [program.id] if program is not None else []
    call.put("prog_cnt", len(ids))
    answer_ids(call, ids)


def create(state: State, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE; the link refers to the map too."""
    attr, program = call.attr, loaded(holding)
    call.check(not attr.flags, reasons.SOCKMAP_FLAGS, field="flags")
    place = _map(state, call)
    map_ = as_map(place)
    call.check(map_.map_type in SOCKET_MAPS, reasons.SOCKMAP_LINK_KIND)
    programs = state.places.socket_maps.of(map_)
    link_id = state.new_id(Kind.LINK)
    link = SockmapLink(link_id, program, attr.attach_type, map_, programs)
    programs.attach(attr.attach_type, Seat(program, link=link))
    return install_link(state, link, holding, place)
