"""Chain: the programs of one direction of a device, in an order that callers choose.

Who attaches says where: before or after another program or link (the anchor), first, last, or in
the place of another. Every wish names a place on its own; if they do not agree, nothing is done.
Each change raises the revision by one; a caller that names a revision is served only at that.

Source: Linux 6.18 kernel/bpf/mprog.c.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from skep.attach.hooks import Seat
from skep.attach.links import Attachable, HookError, Link, expect
from skep.uapi import reasons_hooks as reasons
from skep.uapi.flags import AttachFlag

MOST: Final = 64
REPLACE: Final = int(AttachFlag.REPLACE)
BEFORE: Final = int(AttachFlag.BEFORE)
AFTER: Final = int(AttachFlag.AFTER)
_NOWHERE: Final = -2


class Anchor(NamedTuple):
    """What another program is to stand by: a program, through *link* if it must be that link."""

    program: Attachable | None = None
    link: Link | None = None


class Wish(NamedTuple):
    """Where the caller wants a change made.

    Attributes:
        flags: ``attach_flags``.
        anchor: finds what it is relative to; refuses if there is no such thing.
        revision: the one that the caller expects, 0 for any.
        replaced: the program that a new one takes the place of, with REPLACE.
    """

    flags: int = 0
    anchor: Callable[[], Anchor] = Anchor
    revision: int = 0
    replaced: Attachable | None = None


class Chain:
    """See the module.

    Attributes:
        seats: programs in the order in which they run.
        revision: number of the present state.
    """

    def __init__(self) -> None:
        self.seats: list[Seat] = []
        self.revision = 1

    def attach(self, seat: Seat, wish: Wish) -> None:
        """Give *seat* the place that *wish* says."""
        flags = wish.flags
        expect(wish.revision in (0, self.revision), reasons.STALE)
        twice = any(each.program is seat.program for each in self.seats)
        expect(not twice, reasons.CHAIN_TWICE)
        anchor, place = wish.anchor(), _NOWHERE
        if flags & REPLACE:
            place = self._exact(Anchor(wish.replaced, seat.link))
        else:
            expect(len(self.seats) < MOST, reasons.CHAIN_FULL)
        place, flags = self._agreed(place, flags, anchor)
        expect(place < MOST, reasons.CHAIN_FULL)
        if flags & REPLACE:
            old, self.seats[place] = self.seats[place], seat
            old.leave()
        else:
            self.seats.insert(place + 1 if flags & BEFORE and place < len(self.seats) else place,
                              seat)  # fmt: skip
        self.revision += 1

    def replace(self, link: Link, program: Attachable) -> None:
        """Note that *link* is to hold *program*."""
        twice = any(each.program is program for each in self.seats)
        expect(not twice, reasons.CHAIN_TWICE)
        expect(any(each.link is link for each in self.seats), reasons.CHAIN_ABSENT)
        self.revision += 1

    def detach(self, program: Attachable | None, link: Link | None, wish: Wish) -> None:
        """Take *program* out, or what stands where *wish* says if there is none."""
        expect(self.seats, reasons.CHAIN_EMPTY)
        expect(not wish.flags & REPLACE, reasons.CHAIN_DETACH_REPLACE)
        expect(wish.revision in (0, self.revision), reasons.STALE)
        anchor = wish.anchor()
        place = _NOWHERE if program is None else self._exact(Anchor(program, link))
        place, _ = self._agreed(place, wish.flags, anchor)
        expect(place < MOST, reasons.CHAIN_FULL)
        place = min(max(place, 0), len(self.seats) - 1)
        expect(link is not None or self.seats[place].link is None, reasons.CHAIN_LINKED)
        self.seats.pop(place).leave()
        self.revision += 1

    def _agreed(self, place: int, flags: int, anchor: Anchor) -> tuple[int, int]:
        """The place that all wishes name, and the flags to go by."""
        for flag, step in ((BEFORE, -1), (AFTER, 1)):
            if flags & flag:
                found = self._beside(anchor, step)
                expect(place in (_NOWHERE, found), reasons.CHAIN_PLACE)
                place = found
        if place == _NOWHERE:
            expect(anchor.program is None and not flags, reasons.CHAIN_SIDE)
            return len(self.seats), AFTER
        return place, flags

    def _exact(self, wanted: Anchor) -> int:
        for place, seat in enumerate(self.seats):
            if seat.program is wanted.program:
                expect(seat.link is wanted.link, reasons.CHAIN_LINKED)
                return place
        raise HookError(reasons.CHAIN_ABSENT)

    def _beside(self, anchor: Anchor, step: int) -> int:
        if anchor.program is None:
            return -1 if step < 0 else len(self.seats)
        for place, seat in enumerate(self.seats):
            if seat.program is anchor.program and anchor.link in (None, seat.link):
                return place + step
        raise HookError(reasons.CHAIN_ABSENT)
