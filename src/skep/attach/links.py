"""Link: a program held on a hook until the link goes, and what hooks refuse.

A link is made by LINK_CREATE (or RAW_TRACEPOINT_OPEN), lives as long as a descriptor or a pin
refers to it, and takes its program off the hook when it goes, when it is detached, or when the
thing that has the hook goes first. A link that has come off keeps its program and its identity,
and can do nothing more.

Source: Linux 6.18 kernel/bpf/syscall.c (bpf_link_free, bpf_link_show_fdinfo,
bpf_link_get_info_by_fd), include/linux/bpf.h (struct bpf_link_ops).
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Final, Protocol

from skep.base.memory import UserMemory
from skep.errors import RunError
from skep.uapi import infos, reasons_links
from skep.uapi.link_types import LinkKind
from skep.uapi.program_types import ProgramType
from skep.uapi.reason import Reason, Refusal
from skep.verifier.interface import Proof

_HEAD: Final = 12  # type, id, prog_id
_UNION: Final = 16  # what differs by kind begins here


class Code(Protocol):
    """A compiled program."""

    address: int

    def __call__(self, run: int, context: int, /) -> int:
        """Run once; returns r0, unsigned 64-bit."""
        ...


class Attachable(Protocol):
    """A loaded program, as hooks see it."""

    id: int
    tag: bytes
    type: ProgramType
    proof: Proof
    entry: Any  # Code; engines add to it
    functions: Any  # skep.attach.functions

    def count_runs(self, runs: int, nanoseconds: int) -> None:
        """Add to what statistics tell."""
        ...

    def tell(self, error: RunError) -> None:
        """Let those know who ask why a run was stopped."""
        ...


class HookError(Refusal):
    """A hook refuses; the command that asked says so in its own name.

    Args:
        reason: row of the tables of reasons.
        detail: what was found, in words; what is allowed by default.
        field: the member of the attr that it is about, where the row leaves that open.
    """

    def __init__(self, reason: Reason, detail: str = "", field: str = "") -> None:
        super().__init__("ATTACH", reason, detail, field)


def expect(holds: object, reason: Reason, detail: str = "", field: str = "") -> None:
    """Refuse for *reason* unless *holds*."""
    if not holds:
        raise HookError(reason, detail, field)


class Link:
    """A program held on a hook; one subclass for each kind of hook.

    Attributes:
        kind: its row in ``uapi.link_types``.
        id: number that LINK_GET_FD_BY_ID knows it by.
        program: what it holds; ``update`` changes it.
        attach_type: what it was attached as.
        guard: held while hooks change.
        layout: the struct that OBJ_GET_INFO_BY_FD fills for links of the kind.
    """

    layout: ClassVar[type[Any]] = infos.LinkInfo  # a Layout that begins with the same three

    def __init__(
        self,
        id: int,  # noqa: A002
        kind: LinkKind,
        program: Attachable,
        attach_type: int,
    ) -> None:
        self.id, self.kind = id, kind
        self.program, self.attach_type = program, attach_type
        self.guard: AbstractContextManager[object] = nullcontext()

    def release(self) -> None:
        """Take the program off the hook; nothing if it has come off already."""
        raise NotImplementedError

    def detach(self) -> None:
        """LINK_DETACH; kinds that cannot be detached refuse with EOPNOTSUPP."""
        raise HookError(reasons_links.LINK_STAYS, f"a {self.kind.name} link", "link_fd")

    def update(self, program: Attachable, expected: Attachable | None) -> None:
        """LINK_UPDATE: hold *program* instead, if it holds *expected* or nothing is expected."""
        del program, expected
        raise HookError(reasons_links.LINK_FIXED, f"a {self.kind.name} link", "link_fd")

    def details(self) -> dict[str, int]:
        """The members of ``layout`` beyond type, id and prog_id."""
        return {}

    def info(self, asked: bytes, memory: UserMemory) -> bytes:
        """The info struct; what the kind does not fill stays as the caller *asked*.

        *memory* is where pointers in the struct lead, for kinds that have some.
        """
        del memory
        known = self.layout(
            type=self.kind.id, id=self.id, prog_id=self.program.id, **self.details()
        )
        data: bytes = known.encode()
        return data[:_HEAD] + asked[_HEAD:_UNION] + data[_UNION:] + asked[len(data) :]

    def fdinfo(self) -> list[tuple[str, str]]:
        """What /proc/<pid>/fdinfo shows, line by line."""
        lines = [("link_type", self.kind.name), ("link_id", str(self.id))]
        lines += [("prog_tag", self.program.tag.hex()), ("prog_id", str(self.program.id))]
        return lines + [(name, str(value)) for name, value in self.details().items()]

    def close(self) -> None:
        """The last reference has gone."""
        with self.guard:
            self.release()
