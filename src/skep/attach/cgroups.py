"""Cgroups: a tree of groups of processes, each with hooks for programs.

What runs for a member of a cgroup is what is attached there and, where it was attached with
ALLOW_MULTI, what is attached above. A cgroup whose programs were attached with neither flag lets
nobody below attach; with ALLOW_OVERRIDE what is below takes its place. Programs run from the
cgroup upwards, but PREORDER ones first and from the root downwards. All of them run; each must
return 1, or else the event is refused with EPERM, or with what a program set (set_retval).

The tree is this world's own: nothing in it is a process, so who causes an event says in which
cgroup it happens. Storage that programs keep for a cgroup is not separate for each of them.

Source: Linux 6.18 kernel/bpf/cgroup.c, include/linux/bpf-cgroup.h.
"""

from collections.abc import Callable, Iterator
from errno import EPERM
from typing import Final

from skep.attach.chains import Anchor
from skep.attach.contexts import Stage
from skep.attach.hooks import Event, Occasion, Seat
from skep.attach.links import Attachable, HookError, Link, expect
from skep.uapi import infos, link_types
from skep.uapi import reasons_hooks as reasons
from skep.uapi.flags import AttachFlag, LinkType

MOST: Final = 64
MULTI: Final = int(AttachFlag.ALLOW_MULTI)
OVERRIDE: Final = int(AttachFlag.ALLOW_OVERRIDE)
REPLACE: Final = int(AttachFlag.REPLACE)
BEFORE: Final = int(AttachFlag.BEFORE)
AFTER: Final = int(AttachFlag.AFTER)
ID: Final = int(AttachFlag.ID)
LINK: Final = int(AttachFlag.LINK)
PREORDER: Final = int(AttachFlag.PREORDER)


class Wish:
    """Where and how the caller wants a program attached.

    Args:
        flags: ``attach_flags``; of a link those of LINK_CREATE and ALLOW_MULTI.
        relative: descriptor or id of the anchor, 0 for none.
        anchor: finds the anchor; refuses if there is no such thing.
        revision: the one that the caller expects, 0 for any.
        replaced: the program that a new one takes the place of, with REPLACE.
    """

    def __init__(
        self,
        flags: int = 0,
        relative: int = 0,
        anchor: Callable[[], Anchor] = Anchor,
        revision: int = 0,
        replaced: Attachable | None = None,
    ) -> None:
        self.flags, self.relative, self.anchor = flags, relative, anchor
        self.revision, self.replaced = revision, replaced


class CgroupHook:
    """What is attached to one cgroup as one attach type; *flags*: how they let others attach."""

    def __init__(self) -> None:
        self.seats: list[Seat] = []
        self.flags = 0
        self.revision = 1

    def attach(self, seat: Seat, wish: Wish) -> None:
        """Give *seat* its place."""
        allowed = wish.flags & (OVERRIDE | MULTI)
        expect(not self.seats or self.flags == allowed, reasons.CGROUP_MIXED)
        expect(len(self.seats) < MOST, reasons.CGROUP_FULL)
        place = self._taken(seat, wish)
        if place is None:
            self.seats.insert(self._free(seat, wish), seat)
        else:
            old, self.seats[place] = self.seats[place], seat
            old.leave()
        self.flags = allowed
        self.revision += 1

    def _taken(self, seat: Seat, wish: Wish) -> int | None:
        """The place of the program that *seat* takes the place of."""
        if not wish.flags & MULTI:
            return 0 if self.seats else None
        if seat.link is None and seat.program is not wish.replaced:
            twice = any(each.link is None and each.program is seat.program for each in self.seats)
            expect(not twice, reasons.CGROUP_TWICE)
        if wish.replaced is None:
            return None
        for place, each in enumerate(self.seats):
            if each.link is None and each.program is wish.replaced:
                return place
        raise HookError(reasons.CGROUP_REPLACED)

    def _free(self, seat: Seat, wish: Wish) -> int:
        """The place between the others that *wish* says."""
        flags, anchored = wish.flags, wish.flags & (LINK | ID) or wish.relative
        before, after = bool(flags & BEFORE), bool(flags & AFTER)
        if anchored:
            expect(before != after, reasons.CGROUP_SIDE)
            expect(bool(flags & LINK) == (seat.link is not None), reasons.CGROUP_ANCHOR_KIND)
        elif self.seats:
            expect(not (before and after), reasons.CGROUP_SIDE)
        if not anchored:
            return 0 if before else len(self.seats)
        anchor = wish.anchor()
        for place, each in enumerate(self.seats):
            if _is(each, anchor):
                expect((each.flags ^ flags) & PREORDER == 0, reasons.CGROUP_ANCHOR_ORDER)
                return place if before else place + 1
        raise HookError(reasons.CGROUP_ANCHOR)

    def detach(self, program: Attachable | None, link: Link | None, revision: int = 0) -> None:
        """Take *program* or *link* off; without ALLOW_MULTI whatever is there."""
        expect(revision in (0, self.revision), reasons.STALE)
        place = 0
        if self.flags & MULTI:
            expect(program is not None or link is not None, reasons.CGROUP_DETACH_WHAT)
            wanted = Anchor(program, link)
            found = [at for at, each in enumerate(self.seats) if _is(each, wanted)]
            expect(found, reasons.CGROUP_DETACH)
            place = found[0]
        expect(self.seats, reasons.CGROUP_DETACH)
        self.seats.pop(place).leave()
        self.revision += 1
        if not self.seats:
            self.flags = 0


def _is(seat: Seat, wanted: Anchor) -> bool:
    if wanted.link is not None:
        return seat.link is wanted.link
    return seat.link is None and seat.program is wanted.program


class Cgroup:
    """One cgroup.

    Attributes:
        id: number that helpers and infos know it by.
        path: from the root, ``/`` for the root itself.
    """

    def __init__(self, id: int, path: str, parent: "Cgroup | None", occasion: Occasion) -> None:  # noqa: A002
        self.id, self.path, self.parent = id, path, parent
        self.children: dict[str, Cgroup] = {}
        self._occasion = occasion
        self._hooks: dict[int, CgroupHook] = {}

    def hook(self, attach_type: int) -> CgroupHook:
        """What is attached as *attach_type*."""
        return self._hooks.setdefault(attach_type, CgroupHook())

    def attach(self, attach_type: int, seat: Seat, wish: Wish) -> None:
        """Attach *seat* if flags, ancestors and what is there allow it."""
        flags, hook = wish.flags, self.hook(attach_type)
        expect(not (flags & OVERRIDE and flags & MULTI), reasons.CGROUP_FLAGS)
        expect(not flags & REPLACE or flags & MULTI, reasons.CGROUP_FLAGS)
        expect(not (flags & REPLACE and flags & (BEFORE | AFTER)), reasons.CGROUP_FLAGS)
        expect(wish.revision in (0, hook.revision), reasons.STALE)
        expect(self._may_attach(attach_type), reasons.CGROUP_PARENT)
        hook.attach(seat, wish)

    def _may_attach(self, attach_type: int) -> bool:
        for above in self.ancestors():
            hook = above.hook(attach_type)
            if hook.flags & MULTI:
                return True
            if hook.seats:
                return bool(hook.flags & OVERRIDE)
        return True

    def ancestors(self) -> "Iterator[Cgroup]":
        """The parent, its parent, and so on to the root."""
        above = self.parent
        while above is not None:
            yield above
            above = above.parent

    def effective(self, attach_type: int) -> list[Attachable]:
        """The programs that run for members, in the order in which they run."""
        first: list[Attachable] = []
        then: list[Attachable] = []
        for each in (self, *self.ancestors()):
            hook = each.hook(attach_type)
            if (first or then) and not hook.flags & MULTI:
                continue
            early = [seat.program for seat in hook.seats if seat.flags & PREORDER]
            first = early + first
            then += [seat.program for seat in hook.seats if not seat.flags & PREORDER]
        return first + then

    def fire(self, attach_type: int, stage: Stage) -> tuple[int, int]:
        """Let *stage* happen to a member.

        Returns:
            0 or the -errno that the member gets; the bits above the first of all results.
        """
        programs = self.effective(attach_type)
        if not programs:
            return 0, 0
        with self._occasion.event(stage) as event:
            return run_all(event, programs)

    def leave(self) -> None:
        """The cgroup goes: all that is attached comes off."""
        for hook in self._hooks.values():
            for seat in tuple(hook.seats):
                if isinstance(seat.link, CgroupLink):
                    seat.link.cgroup = None
                seat.leave()
            hook.seats.clear()

    def close(self) -> None:
        """A descriptor of it was closed: the cgroup stays."""


def run_all(event: Event, programs: list[Attachable]) -> tuple[int, int]:
    """Run all of *programs*: 0 or -errno, and the bits above the first of their results."""
    bits = 0
    for program in programs:
        result = event.run(program)
        bits |= result >> 1
        if not result & 1 and event.retval >= 0:
            event.retval = -EPERM
    return event.retval, bits


class CgroupLink(Link):
    """A program on a hook of a cgroup; *cgroup* is None once it has come off."""

    layout = infos.CgroupLinkInfo

    def __init__(self, id: int, program: Attachable, attach_type: int, cgroup: Cgroup) -> None:  # noqa: A002
        super().__init__(id, link_types.of(LinkType.CGROUP), program, attach_type)
        self.cgroup: Cgroup | None = cgroup

    def release(self) -> None:
        """Take the program off the hook; nothing if it has come off already."""
        cgroup, self.cgroup = self.cgroup, None
        if cgroup is not None:
            cgroup.hook(self.attach_type).detach(None, self)

    def detach(self) -> None:
        """LINK_DETACH."""
        self.release()

    def update(self, program: Attachable, expected: Attachable | None) -> None:
        """LINK_UPDATE: the new program takes the old one's place."""
        if self.cgroup is None:
            raise HookError(reasons.UNLINKED)
        expect(expected in (None, self.program), reasons.NOT_IN_PLACE)
        expect(program.type is self.program.type, reasons.OTHER_TYPE)
        self.cgroup.hook(self.attach_type).revision += 1
        self.program = program

    def details(self) -> dict[str, int]:
        """The cgroup, 0 once it has come off, and the attach type."""
        cgroup_id = self.cgroup.id if self.cgroup is not None else 0
        return {"cgroup_id": cgroup_id, "attach_type": self.attach_type}
