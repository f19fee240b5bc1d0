"""One call of bpf(2): the bytes of ``union bpf_attr`` in, typed arguments out, answers back in."""

import ctypes
from errno import E2BIG, EINVAL
from typing import Any, Final, Generic, Protocol, TypeVar

from skep.base.layout import Layout, Member
from skep.base.memory import PAGE_SIZE, UserMemory
from skep.errors import CommandError
from skep.syscall.credentials import PRIVILEGED, Credentials
from skep.uapi.commands import ATTR_SIZE, MAP_CREATE, Command, CommonAttr
from skep.uapi.reason import Reason

Arguments = TypeVar("Arguments", bound=Layout)
Buffer = bytearray | memoryview | ctypes.Array[Any] | ctypes.Structure
MAX_STRING: Final = 4096
INVALID_ATTR: Final = {MAP_CREATE.number: "Invalid attr.\n"}  # what Linux logs of unused bytes


class AttrBytes(Protocol):
    """Where the caller keeps the attr."""

    size: int

    def read(self) -> bytes:
        """All of it."""
        ...

    def write(self, offset: int, data: bytes) -> None:
        """Store *data* at *offset*."""
        ...


class AttrBuffer:
    """An attr in a buffer of this process: bytearray, memoryview, ctypes array."""

    def __init__(self, buffer: Buffer, size: int | None) -> None:
        view = memoryview(buffer)
        self._view = view.cast("B") if view.nbytes else view
        self.size = self._view.nbytes if size is None else size

    def read(self) -> bytes:
        """All of it; what a too large *size* promises beyond the buffer counts as zero."""
        return bytes(self._view[: self.size]).ljust(self.size, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Store what of *data* lies within the buffer at *offset*."""
        place = self._view[offset : offset + len(data)]
        place[:] = data[: len(place)]


class AttrAddress:
    """An attr at an address in the caller's memory."""

    def __init__(self, memory: UserMemory, address: int, size: int) -> None:
        self._memory, self._address, self.size = memory, address, size

    def read(self) -> bytes:
        """All of it; raises Fault."""
        return self._memory.read(self._address, self.size)

    def write(self, offset: int, data: bytes) -> None:
        """Store *data* at *offset*; raises Fault."""
        self._memory.write(self._address + offset, data)


class Refusal(CommandError):  # noqa: N818 - an answer, not a fault
    """A call was refused for one member of its attr.

    Args:
        field: the member; *offset* where it lies in the attr, -1 if it is about no member.
        found: its value.
        reason: what was wrong, in words.
        text: what Linux writes to the log of the common attributes about it, "" for nothing.
        rule: id of the row of the tables of reasons, *hint* what it advises.
    """

    def __init__(
        self,
        command: Command,
        errno: int,
        reason: str,
        field: str = "",
        found: object = None,
        *,
        text: str = "",
        rule: str = "",
        hint: str = "",
    ) -> None:
        message = f"{field} = {found!r}: {reason}" if field else reason
        super().__init__(command.name, errno, message)
        names = [member.name for member in command.layout.members()]
        self.field, self.found, self.reason, self.text = field, found, reason, text
        self.rule, self.hint = rule, hint
        self.offset = command.layout.member(field).offset if field in names else -1


class Common:
    """The common attributes of 7.2 that came with a call: a second place to ask for a log.

    Attributes:
        attr: their members.
        closed: whether nothing more is to be written to the log that they ask for.
    """

    def __init__(self, where: AttrBytes, name: str) -> None:
        """Read those of command *name*; raises E2BIG as ``read_attr`` does, and Fault."""
        self.attr = CommonAttr.decode(read_attr(where, name, CommonAttr.wire_size()))
        self.closed = False
        self._where = where

    def put_true_size(self, true_size: int) -> None:
        """Tell the size of the log, if the attributes are long enough to hold it."""
        put(self._where, CommonAttr.member("log_true_size"), true_size)


class Call(Generic[Arguments]):
    """A decoded call.

    Attributes:
        command: its row.
        attr: its arguments.
        memory: the caller's memory.
        common: the common attributes, None if it came without.
        credentials: who calls.
    """

    def __init__(
        self,
        command: Command,
        where: AttrBytes,
        attr: Arguments,
        memory: UserMemory,
        common: Common | None = None,
    ) -> None:
        self.command, self.attr, self.memory, self.common = command, attr, memory, common
        self.credentials: Credentials = PRIVILEGED
        self._where = where

    def put(self, member: str, value: int) -> None:
        """Write an answer into the caller's attr, if it is long enough to hold it."""
        put(self._where, self.command.layout.member(member), value)

    def refusal(self, reason: Reason, detail: str = "", field: str = "") -> Refusal:
        """The refusal of this call for *reason*.

        Args:
            reason: row of the tables of reasons.
            detail: what was found and why it does not do, in words; what is allowed by default.
            field: the member that it is about, where the row leaves that open.
        """
        field = field or reason.field
        found = getattr(self.attr, field, None) if field else None
        return Refusal(self.command, reason.errno, detail or reason.allowed, field, found,
                       text=reason.text, rule=reason.id, hint=reason.hint)  # fmt: skip

    def check(self, holds: object, reason: Reason, detail: str = "", field: str = "") -> None:
        """Refuse for *reason* unless *holds*; arguments as those of ``refusal``."""
        if not holds:
            raise self.refusal(reason, detail, field)

    def refuse(self, errno: int, message: str, field: str = "", text: str = "") -> Refusal:
        """The refusal of this call; *field* is the member of the attr that it is about."""
        found = getattr(self.attr, field, None) if field else None
        return Refusal(self.command, errno, message, field, found, text=text)

    def require(
        self, condition: object, errno: int, message: str, field: str = "", text: str = ""
    ) -> None:
        """Refuse unless *condition* holds."""
        if not condition:
            raise self.refuse(errno, message, field, text)

    def string(self, address: int, limit: int = MAX_STRING) -> bytes:
        """The NUL-terminated string at *address*, cut at *limit* bytes; raises Fault."""
        found = bytearray()
        while len(found) < limit:
            step = min(PAGE_SIZE - (address + len(found)) % PAGE_SIZE, limit - len(found))
            chunk = self.memory.read(address + len(found), step)
            end = chunk.find(b"\0")
            if end >= 0:
                return bytes(found + chunk[:end])
            found += chunk
        return bytes(found)


def put(where: AttrBytes, member: Member, value: int) -> None:
    """Write *value* to *member* of the struct at *where*, if that is long enough to hold it."""
    if member.end <= where.size:
        data = (value & ((1 << 8 * member.size) - 1)).to_bytes(member.size, "little")
        where.write(member.offset, data)


def read_attr(where: AttrBytes, name: str, known: int = ATTR_SIZE) -> bytes:
    """The bytes of the attr of command *name*, if their number is allowed; *known* have a meaning.

    Raises:
        CommandError: E2BIG, they are more than a page, or what is beyond the known is not zero.
    """
    if where.size > PAGE_SIZE:
        raise CommandError(name, E2BIG, f"attr of {where.size} bytes, more than a page")
    data = where.read()
    if any(data[known:]):
        raise CommandError(name, E2BIG, f"attr has bytes set beyond the {known} known")
    return data


def decode(
    command: Command, where: AttrBytes, memory: UserMemory, common: Common | None = None
) -> Call[Layout]:
    """Check sizes and unused members as Linux does, and decode.

    Raises:
        CommandError: E2BIG, see ``read_attr``; EINVAL, a member that the command does not use is
            not zero.
    """
    data = read_attr(where, command.name)
    last = command.layout.member(command.last)
    tail = data[last.end : ATTR_SIZE]
    if any(tail):
        offset = last.end + next(i for i, byte in enumerate(tail) if byte)
        message = f"attr byte {offset} is not zero, beyond {command.last}, the last member used"
        raise Refusal(command, EINVAL, message, text=INVALID_ATTR.get(command.number, ""))
    attr = command.layout.decode(data)
    for name in command.unused:
        if getattr(attr, name):
            raise CommandError(command.name, EINVAL, f"{name} is not used and must be zero")
    return Call(command, where, attr, memory, common)
