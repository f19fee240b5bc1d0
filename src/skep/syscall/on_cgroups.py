"""Programs on cgroups: PROG_ATTACH, PROG_DETACH, PROG_QUERY, LINK_CREATE.

Source: Linux 6.18 kernel/bpf/cgroup.c (cgroup_bpf_prog_attach, cgroup_bpf_prog_detach,
cgroup_bpf_prog_query, cgroup_bpf_link_attach).
"""

from functools import partial
from typing import Any, Final

from skep.attach.cgroups import MULTI, REPLACE, Cgroup, CgroupLink, Wish
from skep.attach.hooks import Seat
from skep.syscall.anchors import find_anchor
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
from skep.uapi.commands import LinkCreate, ProgAttach, ProgQuery
from skep.uapi.flags import AttachFlag, AttachType, QueryFlag
from skep.uapi.program_types import ProgramType
from skep.uapi.reasons_links import DETACH_TYPE

LINK_FLAGS: Final = int(
    AttachFlag.ID | AttachFlag.BEFORE | AttachFlag.AFTER | AttachFlag.PREORDER | AttachFlag.LINK
)


def _cgroup(state: State, call: Call[Any]) -> Cgroup:
    holding = state.objects.find(call.attr.target_fd)
    found = holding.target if holding is not None else None
    if not isinstance(found, Cgroup):
        raise call.refusal(reasons.CGROUP_FD)
    return found


def attach(state: State, call: Call[ProgAttach], holding: Holding) -> None:
    """PROG_ATTACH."""
    attr, flags = call.attr, call.attr.attach_flags
    cgroup, replaced = _cgroup(state, call), None
    if flags & MULTI and flags & REPLACE:
        kind = loaded(holding).type
        old = program_at(state, call, attr.replace_bpf_fd, "replace_bpf_fd", kind)
        replaced = loaded(old)
    anchor = partial(find_anchor, state, call, flags, attr.relative_fd, "relative_fd")
    wish = Wish(flags, attr.relative_fd, anchor, attr.expected_revision, replaced)
    with seated(state, holding, flags) as seat:
        cgroup.attach(attr.attach_type, seat, wish)


def detach(state: State, call: Call[ProgAttach], kind: ProgramType) -> None:
    """PROG_DETACH; a descriptor of no program, or of one of another type, counts as none."""
    attr, cgroup = call.attr, _cgroup(state, call)
    call.check(attr.attach_type != AttachType.LSM_MAC, DETACH_TYPE, "no hook of cgroups")
    holding = state.objects.find(attr.attach_bpf_fd)
    program = None
    if holding is not None and holding.kind is Kind.PROG and loaded(holding).type is kind:
        program = loaded(holding)
    cgroup.hook(attr.attach_type).detach(program, None, attr.expected_revision)


def query(state: State, call: Call[ProgQuery]) -> None:
    """PROG_QUERY."""
    attr, cgroup = call.attr, _cgroup(state, call)
    hook = cgroup.hook(attr.attach_type)
    if attr.query_flags & QueryFlag.EFFECTIVE:
        call.check(not attr.prog_attach_flags, reasons.CGROUP_QUERY_FLAGS)
        programs, flags, revision = cgroup.effective(attr.attach_type), 0, 0
    else:
        programs = [seat.program for seat in hook.seats]
        flags, revision = hook.flags, hook.revision
    call.put("attach_flags", flags)
    call.put("prog_cnt", len(programs))
    call.put("revision", revision)
    shown = answer_ids(call, [program.id for program in programs])
    if shown and attr.prog_attach_flags:
        write_words(call, "prog_attach_flags", [flags] * shown)
    check_room(call, shown, len(programs))


def create(state: State, call: Call[LinkCreate], holding: Holding) -> int:
    """LINK_CREATE; at 16 relative_fd, at 24 expected_revision."""
    attr = call.attr
    call.check(not attr.flags & ~LINK_FLAGS, reasons.CGROUP_LINK_FLAGS)
    cgroup = _cgroup(state, call)
    flags, relative = attr.flags | MULTI, attr.word16 & 0xFFFF_FFFF
    anchor = partial(find_anchor, state, call, flags, relative, "word16")
    program = loaded(holding)
    link = CgroupLink(state.new_id(Kind.LINK), program, attr.attach_type, cgroup)
    wish = Wish(flags, relative, anchor, attr.word24)
    cgroup.attach(attr.attach_type, Seat(program, link=link, flags=flags), wish)
    return install_link(state, link, holding)
