"""LINK_CREATE, LINK_UPDATE, LINK_DETACH.

Source: Linux 6.18 kernel/bpf/syscall.c (link_create, link_update, link_detach).
"""

from typing import Final

from skep.attach.links import Link
from skep.syscall import struct_ops
from skep.syscall.call import Call
from skep.syscall.hook_routes import CREATORS, EXTEND
from skep.syscall.hooked import goes_with, loaded, program_at
from skep.syscall.objects import Holding, Kind
from skep.syscall.permissions import check_attach
from skep.syscall.state import State
from skep.uapi import reasons_links as reasons
from skep.uapi.commands import LinkCreate, LinkDetach, LinkUpdate
from skep.uapi.flags import AttachFlag, AttachType, ProgType

TYPED: Final = frozenset((ProgType.TRACING, ProgType.LSM))


def create(state: State, call: Call[LinkCreate]) -> int:
    """LINK_CREATE: put a program on a hook, and give a descriptor that holds it there."""
    attr = call.attr
    with state.objects.lock:
        if attr.attach_type == AttachType.STRUCT_OPS:
            return _create_of_map(state, call)
        holding = program_at(state, call, attr.prog_fd, "prog_fd")
        request = loaded(holding).proof.request
        check_attach(call, loaded(holding))
        fits = goes_with(loaded(holding), attr.attach_type)
        kind = request.program_type
        if kind.id in TYPED:
            fits = fits and attr.attach_type == request.expected_attach_type
        call.check(fits, reasons.CREATE_ATTACH_TYPE, f"not for this {kind.name} program")
        creator = EXTEND if kind.id == ProgType.EXT else CREATORS.get(attr.attach_type)
        if creator is None:
            raise call.refusal(reasons.CREATE_NO_HOOK)
        return creator(state, call, holding)


def _create_of_map(state: State, call: Call[LinkCreate]) -> int:
    """A link of a struct_ops map; prog_fd is map_fd."""
    holding = state.objects.get(call.command.name, call.attr.prog_fd, Kind.MAP, "prog_fd")
    return struct_ops.create_link(state, call, holding)


def update(state: State, call: Call[LinkUpdate]) -> int:
    """LINK_UPDATE: put another program in the place of the one that a link holds."""
    attr, replace = call.attr, int(AttachFlag.REPLACE)
    call.check(not attr.flags & ~replace, reasons.UPDATE_FLAGS)
    with state.objects.lock:
        holding = state.objects.get(call.command.name, attr.link_fd, Kind.LINK, "link_fd")
        new = program_at(state, call, attr.new_prog_fd, "new_prog_fd")
        expected = None
        if attr.flags & replace:
            expected = loaded(program_at(state, call, attr.old_prog_fd, "old_prog_fd"))
        call.check(expected is not None or not attr.old_prog_fd, reasons.UPDATE_OLD_PROGRAM)
        _link(holding).update(loaded(new), expected)
        _hold_instead(state, holding, new)
    return 0


def detach(state: State, call: Call[LinkDetach]) -> int:
    """LINK_DETACH: take a link's program off its hook; the link stays, and does nothing."""
    with state.objects.lock:
        holding = state.objects.get(call.command.name, call.attr.link_fd, Kind.LINK, "link_fd")
        _link(holding).detach()
        left, holding.holds[1:] = holding.holds[1:], []  # the program stays, what it was on goes
        for held in left:
            state.objects.drop(held)
    return 0


def _link(holding: Holding) -> Link:
    assert isinstance(holding.target, Link)
    return holding.target


def _hold_instead(state: State, holding: Holding, new: Holding) -> None:
    """Let a link refer to program *new* and no longer to the one it had."""
    old, holding.holds[0] = holding.holds[0], state.objects.take(new)
    state.objects.drop(old)
