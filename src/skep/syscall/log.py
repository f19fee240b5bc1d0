"""The text log that PROG_LOAD, BTF_LOAD and MAP_CREATE write into the caller's buffer.

The caller asks with three fields: a level (what to say), a buffer and its size. What does not fit
is cut: by default at the front, so that the end of the log, where the reason stands, is kept; with
``LogLevel.FIXED`` at the end. Either way the true size, with the terminating NUL, is reported, and
a log that was cut makes the command fail with ENOSPC even if all else went well.

The common attributes of 7.2 are a second place to ask from. If both name a buffer they must agree.
With them every other command logs too, which Linux does not: one line of text if it is refused.

Source: Linux 6.18 kernel/bpf/log.c; 7.2 kernel/bpf/log.c (``bpf_log_attr``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from errno import EINVAL, ENOSPC
from typing import Any, Final

from skep.base.memory import Fault, UserMemory
from skep.errors import CommandError
from skep.syscall.call import Call, Common, Refusal
from skep.uapi.commands import BTF_LOAD, MAP_CREATE, PROG_LOAD, BtfLoad, ProgLoad
from skep.uapi.flags import LogLevel

LEVELS: Final = int(LogLevel.LEVEL1 | LogLevel.LEVEL2 | LogLevel.STATS | LogLevel.FIXED)
MAX_SIZE: Final = 0xFFFF_FFFF >> 2
# what the names of the attr's own log members begin with, in commands that have them
OWN_LOGS: Final[Mapping[int, str]] = {PROG_LOAD.number: "", BTF_LOAD.number: "btf_"}


@dataclass(frozen=True, slots=True)
class LogRequest:
    """What the caller asked for: *level*, and *size* bytes at *address* (both 0 for none)."""

    level: int = 0
    address: int = 0
    size: int = 0

    @property
    def wanted(self) -> bool:
        """Whether anything is to be logged; without a buffer only the true size is told."""
        return self.level != 0


def own_request(call: Call[Any], prefix: str) -> LogRequest:
    """What the attr itself asks for."""
    return LogRequest(
        getattr(call.attr, f"{prefix}log_level"),
        getattr(call.attr, f"{prefix}log_buf"),
        getattr(call.attr, f"{prefix}log_size"),
    )


def common_request(common: Common | None) -> LogRequest:
    """What the common attributes ask for."""
    if common is None:
        return LogRequest()
    return LogRequest(common.attr.log_level, common.attr.log_buf, common.attr.log_size)


def contradiction(request: LogRequest) -> str:
    """What in *request* contradicts itself, "" if nothing does."""
    if bool(request.address) != bool(request.size):
        return f"log_buf {request.address:#x} and log_size {request.size}"
    if request.address and not request.level:
        return "log_buf is set, log_level is 0"
    if request.level & ~LEVELS:
        return f"log_level {request.level:#x}: only bits {LEVELS:#x} are known"
    if request.size > MAX_SIZE:
        return f"log_size {request.size} is above {MAX_SIZE}"
    return ""


def check_request(command: str, request: LogRequest) -> None:
    """Refuse a request that contradicts itself, with EINVAL."""
    found = contradiction(request)
    if found:
        raise _refuse(command, found)


def choose_request(command: str, own: LogRequest, common: LogRequest) -> tuple[LogRequest, bool]:
    """The request to serve, and whether it is *common*, the one of the common attributes.

    Raises:
        CommandError: EINVAL, one of them contradicts itself, or both name different buffers.
    """
    check_request(command, own)
    check_request(command, common)
    if own.address and common.address and own != common:
        raise _refuse(command, "attr and common attributes name different logs")
    use_common = not own.address and bool(common.address)
    return (common if use_common else own), use_common


def check_logs(call: Call[Any]) -> None:
    """What Linux checks before all else in a call with common attributes, if it reads them.

    Logs that contradict each other are closed: nobody knows which is meant.
    """
    number = call.command.number
    if call.common is None or not (number in OWN_LOGS or number == MAP_CREATE.number):
        return
    own = own_request(call, OWN_LOGS[number]) if number in OWN_LOGS else LogRequest()
    try:
        choose_request(call.command.name, own, common_request(call.common))
    except CommandError:
        call.common.closed = True
        raise


def _refuse(command: str, message: str) -> CommandError:
    return CommandError(command, EINVAL, message)


def cut(text: bytes, size: int, level: int) -> bytes:
    """What of *text* stands in a buffer of *size* bytes, with its terminating NUL."""
    if len(text) < size:
        return text + b"\0"
    if level & LogLevel.FIXED:
        return text[: size - 1] + b"\0"
    return text[len(text) - (size - 1) :] + b"\0"


def deliver(
    memory: UserMemory, request: LogRequest, text: str, put: Callable[[int], None], peak: int = 0
) -> int:
    """Write *text* where *request* wants it; the true size, 0 if nothing was asked for.

    *put* gets the true size, too, even if there is a Fault; *peak* is the greatest length that
    the log had before parts of it were taken back.

    Raises:
        Fault: the buffer cannot be written.
    """
    if not request.wanted:
        put(0)
        return 0
    data = text.encode("utf-8", "surrogateescape")
    true_size = max(len(data), peak) + 1
    try:
        if request.address:
            memory.write(request.address, cut(data, request.size, request.level))
    finally:
        put(true_size)
    return true_size


def overflow(command: str, request: LogRequest, true_size: int) -> CommandError | None:
    """The refusal that a log of *true_size* bytes means, or None if it fits."""
    if not request.address or true_size <= request.size:
        return None
    return CommandError(
        command, ENOSPC, f"the log of {true_size} bytes was cut to log_size {request.size}"
    )


def tell(command: str, memory: UserMemory, common: Common, error: Exception) -> None:
    """Write to the log of *common* why *command* was refused, unless it is closed.

    A line that Linux does not write changes nothing about the answer.

    Raises:
        CommandError: ENOSPC, what Linux writes about it, too, was cut.
        Fault: and what it writes about it could not be written.
    """
    request = common_request(common)
    if common.closed or not request.wanted or contradiction(request):
        return
    text = error.text if isinstance(error, Refusal) else ""
    try:
        true_size = deliver(memory, request, text or f"{reason(error)}\n", common.put_true_size)
    except Fault:
        if text:
            raise
        return
    refusal = overflow(command, request, true_size)
    if text and refusal is not None:
        raise refusal


def reason(error: Exception) -> str:
    """Why a call was refused, in one line."""
    return " ".join((error.message if isinstance(error, CommandError) else str(error)).split())


class LogBuffer:
    """The text log of one call: collects the text, delivers it once, tells its true size.

    ``text`` is the log; ``peak`` its greatest length, where parts of it were taken back.
    """

    def __init__(self, call: Call[Any], prefix: str = "") -> None:
        """*prefix* starts the names of the attr's members: "" or "btf_"."""
        self._call, self._member = call, f"{prefix}log_true_size"
        self._request, self._in_common = choose_request(
            call.command.name, own_request(call, prefix), common_request(call.common)
        )
        self._true_size = 0
        self.text = ""
        self.peak = 0

    @classmethod
    def of_program(cls, call: Call[ProgLoad]) -> "LogBuffer":
        """The log that PROG_LOAD asks for; EINVAL if it contradicts itself."""
        return cls(call)

    @classmethod
    def of_btf(cls, call: Call[BtfLoad]) -> "LogBuffer":
        """The log that BTF_LOAD asks for; EINVAL if it contradicts itself."""
        return cls(call, "btf_")

    @property
    def level(self) -> int:
        """What to log."""
        return self._request.level

    def deliver(self) -> None:
        """Write text and true size; raises Fault."""
        if self._call.common is not None:
            self._call.common.closed = True
        self._true_size = deliver(
            self._call.memory, self._request, self.text, self._put_true_size, self.peak
        )

    def _put_true_size(self, true_size: int) -> None:
        """Tell the size of the log to the side that asked for it."""
        if self._in_common and self._call.common is not None:
            self._call.common.put_true_size(true_size)
        else:
            self._call.put(self._member, true_size)

    def finish(self, text: str) -> None:
        """Deliver *text*; ENOSPC if it was cut, whatever else the command found."""
        self.text = text
        self.deliver()
        self.check()

    def check(self) -> None:
        """Refuse with ENOSPC if the delivered log was cut, whatever else the command found."""
        refusal = overflow(self._call.command.name, self._request, self._true_size)
        if refusal is not None:
            raise refusal
