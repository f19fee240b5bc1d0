"""What the handlers of all hooks share: refusals of hooks, references of links and seats."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skep.attach.links import HookError, Link
from skep.syscall.call import Call
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State


@contextmanager
def answering(call: Call[Any]) -> Iterator[None]:
    """Let what a hook refuses be the refusal of *call*."""
    try:
        yield
    except HookError as error:
        raise call.refusal(error.reason, error.detail, error.field) from None


def program_at(state: State, call: Call[Any], fd: int) -> Holding:
    """The program that *fd* names; EBADF, EINVAL. Callers hold the lock of the objects."""
    return state.objects.get(call.command.name, fd, Kind.PROG)


def loaded(holding: Holding) -> LoadedProgram:
    """The program that is *holding*'s target."""
    assert isinstance(holding.target, LoadedProgram)
    return holding.target


def install_link(state: State, link: Link, *holdings: Holding) -> int:
    """A descriptor of *link*, which refers to *holdings*: its program first, then what it is on."""
    with state.objects.lock:
        held = [state.objects.take(each) for each in holdings]
        return state.objects.install(Kind.LINK, link, held)
