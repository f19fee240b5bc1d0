"""The log of a call: what it says, written into the caller's buffer as text or as messages.

Text that does not fit is cut: by default at the front, so that the end of the log, where the reason
stands, is kept; with ``LogLevel.FIXED`` at the end. Either way the true size, with the terminating
NUL, is reported, and a log that was cut makes the command fail with ENOSPC even if all else went
well. Messages are kept whole, and the last one counts what was dropped; that is an ENOSPC only for
callers who want to know the true size.

PROG_LOAD, BTF_LOAD and MAP_CREATE log what Linux does. With common attributes every other command
logs too, which Linux does not: one line of text, or the same as messages, if it is refused.

Source: Linux 6.18 kernel/bpf/log.c; 7.2 kernel/bpf/log.c (``bpf_log_attr``).
"""

from collections.abc import Callable
from typing import Any

from skep.base.memory import Fault, UserMemory
from skep.errors import CommandError
from skep.syscall.call import Call, Common
from skep.syscall.log_records import records_of
from skep.syscall.log_request import LogRequest, chosen, common_request, contradiction
from skep.syscall.log_tlv import fit, messages
from skep.uapi import reasons_log as reasons
from skep.uapi.commands import BtfLoad, ProgLoad
from skep.uapi.flags import LogLevel
from skep.uapi.log_messages import END_SIZE
from skep.uapi.reason import Refusal


class Log:
    """All that one call has to say.

    Args:
        command: its name.
        text: the text of it.
        error: why it was refused, None if it was not.
        peak: the greatest length of the text, where parts of it were taken back.
    """

    def __init__(
        self, command: str, text: str, error: Exception | None = None, peak: int = 0
    ) -> None:
        self.command, self.text, self.error, self.peak = command, text, error, peak

    def encode(self, request: LogRequest) -> tuple[bytes, int]:
        """What stands in the buffer of *request*, and the size that all of it would take."""
        if request.is_tlv:
            records = records_of(self.command, self.error) if self.error is not None else ()
            wanted = list(messages(records, self.text))
            return fit(wanted, request.size), sum(map(len, wanted)) + END_SIZE
        data = self.text.encode("utf-8", "surrogateescape")
        return cut(data, request.size, request.level), max(len(data), self.peak) + 1


def cut(text: bytes, size: int, level: int) -> bytes:
    """What of *text* stands in a buffer of *size* bytes, with its terminating NUL."""
    if len(text) < size:
        return text + b"\0"
    if level & LogLevel.FIXED:
        return text[: size - 1] + b"\0"
    return text[len(text) - (size - 1) :] + b"\0"


def deliver(memory: UserMemory, request: LogRequest, log: Log, put: Callable[[int], None]) -> int:
    """Write *log* where *request* wants it; the true size, 0 if nothing was asked for.

    *put* gets the true size, too, even if there is a Fault.

    Raises:
        Fault: the buffer cannot be written.
    """
    if not request.wanted:
        put(0)
        return 0
    data, true_size = log.encode(request)
    try:
        if request.address:
            memory.write(request.address, data)
    finally:
        put(true_size)
    return true_size


def overflow(
    command: str, request: LogRequest, true_size: int, *, tells_size: bool = True
) -> CommandError | None:
    """The refusal that a log of *true_size* bytes means, or None if it fits.

    *tells_size*: whether the caller learns the true size; messages may be dropped otherwise.
    """
    if not request.address or true_size <= request.size:
        return None
    if request.is_tlv and not tells_size:
        return None
    detail = f"the log of {true_size} bytes was cut to log_size {request.size}"
    return Refusal(command, reasons.CUT, detail)


def tell(command: str, memory: UserMemory, common: Common, error: Exception) -> None:
    """Write to the log of *common* why *command* was refused, unless it is closed.

    A line that Linux does not write changes nothing about the answer.

    Raises:
        CommandError: ENOSPC, what Linux writes about it, too, was cut.
        Fault: and what it writes about it could not be written.
    """
    request = common_request(common)
    if common.closed or not request.wanted or contradiction(request) is not None:
        return
    linux = error.text if isinstance(error, Refusal) else ""
    log = Log(command, common.text + (linux or f"{reason(error)}\n"), error)
    try:
        true_size = deliver(memory, request, log, common.put_true_size)
    except Fault:
        if linux:
            raise
        return
    refusal = overflow(command, request, true_size, tells_size=common.tells_size)
    if linux and refusal is not None:
        raise refusal


def reason(error: Exception) -> str:
    """Why a call was refused, in one line."""
    return " ".join((error.message if isinstance(error, CommandError) else str(error)).split())


def finish(command: str, memory: UserMemory, common: Common) -> None:
    """End the log of a call that succeeded, if it is one of messages that nothing stands in yet."""
    request = common_request(common)
    unwritten = not common.closed and not common.text
    if unwritten and request.is_tlv and contradiction(request) is None:
        try:
            deliver(memory, request, Log(command, ""), common.put_true_size)
        except Fault:
            return  # the call has succeeded


class LogBuffer:
    """The log of one call of PROG_LOAD or BTF_LOAD: delivers it, and tells its true size."""

    def __init__(self, call: Call[Any], prefix: str = "") -> None:
        """*prefix* starts the names of the attr's members: "" or "btf_"."""
        self._call, self._member = call, f"{prefix}log_true_size"
        self._request = chosen(call, prefix)
        self._true_size = 0

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
        """What the text of the log is to say."""
        return self._request.text_level

    def finish(self, text: str, error: Exception | None = None, peak: int = 0) -> None:
        """Deliver *text*, and why the call is refused; ENOSPC if it was cut, whatever else is.

        What fails later is added to a log of the common attributes.

        Raises:
            CommandError: ENOSPC.
            Fault: the buffer cannot be written.
        """
        common = self._call.common
        log = Log(self._call.command.name, text, error, peak)
        if common is not None:
            common.closed, common.text = True, text
        self._true_size = deliver(self._call.memory, self._request, log, self._put_true_size)
        self._check()
        if common is not None:
            common.closed = error is not None or not self._request.common

    def _put_true_size(self, true_size: int) -> None:
        """Tell the size of the log to the side that asked for it."""
        if self._request.common and self._call.common is not None:
            self._call.common.put_true_size(true_size)
        else:
            self._call.put(self._member, true_size)

    def _check(self) -> None:
        """Refuse with ENOSPC if the delivered log was cut."""
        common = self._call.common
        tells_size = not self._request.common or (common is not None and common.tells_size)
        refusal = overflow(
            self._call.command.name, self._request, self._true_size, tells_size=tells_size
        )
        if refusal is not None:
            raise refusal
