"""What PROG_ATTACH, PROG_DETACH and LINK_CREATE stand others by: a program or link, by fd or id.

Source: Linux 6.18 kernel/bpf/mprog.c (bpf_mprog_tuple_relative), kernel/bpf/cgroup.c
(bpf_get_anchor_link, bpf_get_anchor_prog).
"""

from typing import Any, Final

from skep.attach.chains import Anchor
from skep.attach.links import Link
from skep.syscall.call import Call
from skep.syscall.hooked import loaded
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.uapi import reasons_hooks as reasons
from skep.uapi.flags import AttachFlag
from skep.uapi.program_types import ProgramType

ID: Final = int(AttachFlag.ID)
LINK: Final = int(AttachFlag.LINK)


def find_anchor(state: State, call: Call[Any], flags: int, relative: int, field: str) -> Anchor:
    """What *relative*, the member *field*, names: an id with ID, of a link with LINK.

    Nothing without either flag if *relative* is 0.
    """
    if not flags & (ID | LINK) and not relative:
        return Anchor()
    kind = Kind.LINK if flags & LINK else Kind.PROG
    if flags & ID:
        holding = state.objects.by_id(call.command.name, kind, relative)
    else:
        call.check(relative, reasons.ANCHOR_LINK, field=field)
        holding = state.objects.get(call.command.name, relative, kind, field)
    return _anchor(holding)


def typed_anchor(
    state: State,
    call: Call[Any],
    flags: int,
    relative: int,
    field: str,
    kind: ProgramType | None,
) -> Anchor:
    """The same, of program type *kind* if there is one."""
    found = find_anchor(state, call, flags, relative, field)
    fits = kind is None or found.program is None or found.program.type is kind
    call.check(fits, reasons.ANCHOR_TYPE, field=field)
    return found


def _anchor(holding: Holding) -> Anchor:
    link = holding.target
    return Anchor(link.program, link) if isinstance(link, Link) else Anchor(loaded(holding))
