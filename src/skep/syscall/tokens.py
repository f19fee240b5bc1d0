"""Tokens: rights that the owner of a mount of bpffs delegates into a user namespace.

A token stands in for the capabilities that its user has in that namespace only, for the commands
and types that the mount was told to delegate.

Source: Linux 6.18 kernel/bpf/token.c.
"""

from errno import EBADF
from typing import Any

from skep.errors import CommandError
from skep.syscall.call import Call
from skep.syscall.credentials import INITIAL, Capability
from skep.syscall.objects import Kind
from skep.syscall.state import State
from skep.syscall.tree import EXECUTE, Delegation, Folder, OpenFolder, permits
from skep.uapi import reasons_objects as reasons
from skep.uapi.commands import Command, TokenCreate
from skep.uapi.reason import Reason


class Token:
    """An open token.

    Attributes:
        allowed: what it is good for.
        namespace: the user namespace in which its user's capabilities count.
    """

    def __init__(self, id: int, allowed: Delegation, namespace: int) -> None:  # noqa: A002
        self.id, self.allowed, self.namespace = id, allowed, namespace

    def close(self) -> None:
        """Nothing more is held."""

    def allows(self, command: Command) -> bool:
        """Whether it is good for *command*."""
        return bool(self.allowed.cmds >> command.number & 1)

    def allows_map(self, map_type: int) -> bool:
        """Whether it is good for maps of the type."""
        return bool(self.allowed.maps >> map_type & 1)

    def allows_program(self, program_type: int, attach_type: int) -> bool:
        """Whether it is good for programs of the type, to be attached so."""
        return bool(self.allowed.progs >> program_type & self.allowed.attachs >> attach_type & 1)


def create(state: State, call: Call[TokenCreate]) -> int:
    """TOKEN_CREATE: a token of the rights that a mount of bpffs delegates."""
    call.check(not call.attr.flags, reasons.TOKEN_FLAGS)
    with state.objects.lock:
        folder = _folder(state, call)
        call.check(folder.is_root and folder.mount.is_bpffs, reasons.TOKEN_FOLDER)
        who, mount = call.credentials, folder.mount
        call.check(permits(who, folder, EXECUTE), reasons.TOKEN_FOLDER_ACCESS)
        call.check(who.namespace == mount.namespace, reasons.TOKEN_NAMESPACE)
        call.check(who.has(Capability.BPF, mount.namespace), reasons.TOKEN_CAPABILITY)
        call.check(mount.namespace != INITIAL, reasons.TOKEN_INITIAL)
        call.check(any(mount.delegation), reasons.TOKEN_NOTHING)
        token = Token(state.new_id(Kind.TOKEN), mount.delegation, mount.namespace)
        return state.objects.install(Kind.TOKEN, token)


def _folder(state: State, call: Call[TokenCreate]) -> Folder:
    """The folder that bpffs_fd names; EBADF if it is not open."""
    opened = state.objects.get(call.command.name, call.attr.bpffs_fd, field="bpffs_fd").target
    if not isinstance(opened, OpenFolder):
        raise call.refusal(reasons.TOKEN_FOLDER)
    return opened.folder


def token_of(
    state: State, call: Call[Any], fd: int, closed: Reason, other: Reason, field: str = ""
) -> Token:
    """The token that *fd* names.

    Args:
        state: the subsystem.
        call: what is refused if it names none.
        fd: the descriptor.
        closed: why, if it is not open.
        other: why, if it is not a token.
        field: the member that says it, where the reasons leave that open.
    """
    holding = state.objects.find(fd)
    if holding is None:
        try:
            state.objects.get(call.command.name, fd)
        except CommandError as error:
            call.check(error.errno != EBADF, closed, error.message, field)
    if holding is None or not isinstance(holding.target, Token):
        raise call.refusal(other, field=field)
    return holding.target
