"""One call of bpf(2): the bytes of ``union bpf_attr`` in, typed arguments out, answers back in."""

import ctypes
from typing import Any, Final, Generic, Protocol, TypeVar

from skep.base.layout import Layout, Member
from skep.base.memory import PAGE_SIZE, Fault, UserMemory
from skep.errors import NotSupported
from skep.syscall.credentials import PRIVILEGED, Credentials
from skep.uapi import reasons_calls as reasons
from skep.uapi import reasons_maps
from skep.uapi.commands import ATTR_SIZE, MAP_CREATE, Command, CommonAttr
from skep.uapi.reason import Reason, Refusal

Arguments = TypeVar("Arguments", bound=Layout)
Buffer = bytearray | memoryview | ctypes.Array[Any] | ctypes.Structure
MAX_STRING: Final = 4096


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
    """An attr in a buffer of this process: bytearray, memoryview, ctypes array.

    In a read-only one, nothing can be answered.
    """

    def __init__(self, buffer: Buffer, size: int | None) -> None:
        view = memoryview(buffer)
        self._view = view.cast("B") if view.nbytes else view
        self.size = self._view.nbytes if size is None else size

    def read(self) -> bytes:
        """All of it; what a too large *size* promises beyond the buffer counts as zero."""
        return bytes(self._view[: self.size]).ljust(self.size, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Store what of *data* lies within the buffer at *offset*; raises Fault."""
        if self._view.readonly:
            raise Fault(offset, len(data))
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


class Common:
    """The log that came with a call beside its attr: in the common attributes of 7.2, mostly.

    Attributes:
        attr: their members.
        closed: whether nothing more is to be written to the log that they ask for.
        text: what was written to it so far.
        refused: what the call is refused for because of how it asks; None for nothing.
    """

    def __init__(
        self, attr: CommonAttr, where: AttrBytes | None = None, refused: Reason | None = None
    ) -> None:
        """*where* they lie; None if they have no place for the true size."""
        self.attr, self._where, self.refused = attr, where, refused
        self.closed, self.text = False, ""

    @property
    def tells_size(self) -> bool:
        """Whether the attributes are long enough to hold the size of the log."""
        member = CommonAttr.member("log_true_size")
        return self._where is not None and member.end <= self._where.size

    def put_true_size(self, true_size: int) -> None:
        """Tell the size of the log, if the attributes are long enough to hold it."""
        if self._where is not None:
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

    def read(self, field: str, size: int, at: int = 0) -> bytes:
        """*size* bytes at byte *at* of what the member *field* points to; refuses with EFAULT."""
        address: int = getattr(self.attr, field) + at
        try:
            return self.memory.read(address, size)
        except Fault as fault:
            raise self.refusal(reasons.NOT_READABLE, str(fault), field) from fault

    def write(self, field: str, data: bytes, at: int = 0) -> None:
        """Store *data* at byte *at* of what *field* points to; refuses with EFAULT."""
        address: int = getattr(self.attr, field) + at
        try:
            self.memory.write(address, data)
        except Fault as fault:
            raise self.refusal(reasons.NOT_WRITABLE, str(fault), field) from fault

    def refusal(self, reason: Reason, detail: str = "", field: str = "") -> Refusal:
        """The refusal of this call for *reason*.

        Args:
            reason: row of the tables of reasons.
            detail: what was found and why it does not do, in words; what is allowed by default.
            field: the member that it is about, where the row leaves that open.
        """
        refusal = Refusal(self.command.name, reason, detail, field)
        self.place(refusal)
        return refusal

    def place(self, refusal: Refusal, field: str = "") -> None:
        """Tell where *refusal* lies in the attr: *field*, or the member that it names."""
        field = field or refusal.field
        member = next((each for each in self.attr.members() if each.name == field), None)
        found = None if member is None else getattr(self.attr, field)
        refusal.place(self.command.name, field, found, -1 if member is None else member.offset)

    def explained(self, error: Exception) -> Refusal:
        """The refusal of this call that *error*, of a layer below, stands for."""
        if isinstance(error, Fault):
            return self.refusal(reasons.NOT_READABLE, str(error))
        if isinstance(error, NotSupported):
            return self.refusal(reasons.NOT_SUPPORTED, str(error))
        return self.refusal(reasons.NO_MEMORY, str(error))

    def check(self, holds: object, reason: Reason, detail: str = "", field: str = "") -> None:
        """Refuse for *reason* unless *holds*; arguments as those of ``refusal``."""
        if not holds:
            raise self.refusal(reason, detail, field)

    def text(self, field: str, limit: int = MAX_STRING) -> bytes:
        """The NUL-terminated string that *field* points to, cut at *limit* bytes; EFAULT."""
        found = bytearray()
        while len(found) < limit:
            address: int = getattr(self.attr, field) + len(found)
            step = min(PAGE_SIZE - address % PAGE_SIZE, limit - len(found))
            chunk = self.read(field, step, len(found))
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
        Refusal: E2BIG, they are more than a page, or what is beyond the known is not zero.
    """
    if where.size > PAGE_SIZE:
        raise Refusal(name, reasons.ATTR_SIZE, f"{where.size} bytes are more than a page")
    data = where.read()
    if any(data[known:]):
        raise Refusal(name, reasons.ATTR_TAIL, f"bytes beyond the {known} known are set")
    return data


def decode(
    command: Command, where: AttrBytes, memory: UserMemory, common: Common | None = None
) -> Call[Layout]:
    """Check sizes and unused members as Linux does, and decode.

    Raises:
        Refusal: E2BIG, see ``read_attr``; EINVAL, what the command does not use is not zero.
    """
    data = read_attr(where, command.name)
    last = command.layout.member(command.last)
    tail = data[last.end : ATTR_SIZE]
    if any(tail):
        offset = last.end + next(i for i, byte in enumerate(tail) if byte)
        row = reasons_maps.CREATE_UNUSED if command is MAP_CREATE else reasons.UNUSED_BYTES
        detail = f"byte {offset} is not zero, beyond {command.last}, the last member used"
        raise Refusal(command.name, row, detail, offset=offset)
    return Call(command, where, command.layout.decode(data), memory, common)
