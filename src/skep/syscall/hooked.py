"""What the handlers of all hooks share: references of seats and links, answers.

Callers hold the lock of the objects.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from skep.attach.hooks import Seat
from skep.attach.links import Link
from skep.syscall.call import Call
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Holding, Kind
from skep.syscall.state import State
from skep.uapi import attach_types
from skep.uapi import reasons_links as reasons
from skep.uapi.commands import ProgQuery
from skep.uapi.program_types import ProgramType


def program_at(
    state: State, call: Call[Any], fd: int, field: str = "", kind: ProgramType | None = None
) -> Holding:
    """The program that *fd*, the member *field*, names; EBADF, EINVAL if it is not a *kind*."""
    holding = state.objects.get(call.command.name, fd, Kind.PROG, field)
    found = loaded(holding).type
    fits = kind is None or found is kind
    call.check(fits, reasons.PROGRAM_TYPE, f"a {found.name} program", field)
    return holding


def loaded(holding: Holding) -> LoadedProgram:
    """The program that is *holding*'s target."""
    assert isinstance(holding.target, LoadedProgram)
    return holding.target


def goes_with(program: LoadedProgram, attach_type: int) -> bool:
    """Whether *program* was loaded for being attached as *attach_type*."""
    request = program.proof.request
    return attach_types.may_attach(
        request.program_type, request.expected_attach_type, attach_type,
        strictly=program.proof.attach_as_expected,
    )  # fmt: skip


@contextmanager
def seated(state: State, holding: Holding, flags: int = 0) -> Iterator[Seat]:
    """A seat that refers to the program of *holding*; given back if what follows is refused."""
    state.objects.take(holding)
    try:
        yield Seat(loaded(holding), partial(state.objects.drop, holding), flags=flags)
    except BaseException:
        state.objects.drop(holding)
        raise


def install_link(state: State, link: Link, *holdings: Holding) -> int:
    """A descriptor of *link*, which refers to *holdings*: its program first, then what it is on."""
    with state.objects.lock:
        link.guard = state.objects.lock
        held = [state.objects.take(each) for each in holdings]
        return state.objects.install(Kind.LINK, link, held)


def answer_ids(call: Call[ProgQuery], ids: Sequence[int]) -> int:
    """Write as many of *ids* as there is room for; their number, and refuse if some are left."""
    attr = call.attr
    if not attr.prog_cnt or not attr.prog_ids or not ids:
        return 0
    shown = ids[: attr.prog_cnt]
    write_words(call, "prog_ids", shown)
    return len(shown)


def check_room(call: Call[ProgQuery], shown: int, count: int) -> None:
    """Refuse a query that got *shown* of *count* programs, if it asked for programs at all."""
    asked = call.attr.prog_cnt and call.attr.prog_ids
    call.check(not asked or shown == count, reasons.QUERY_ROOM, f"there are {count}")


def write_words(call: Call[Any], field: str, words: Sequence[int]) -> None:
    """Write 32-bit *words* to where the member *field* points."""
    call.write(field, b"".join(word.to_bytes(4, "little") for word in words))
