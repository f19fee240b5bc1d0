"""LogRequest: the log that a call asks for, and which one is meant if it asks twice.

The attr's own members know the levels of Linux; the common attributes, and what stands for them,
know ``BPF_LOG_TLV`` as well.

Source: Linux 6.18 kernel/bpf/log.c (bpf_vlog_init); 7.2 kernel/bpf/log.c (bpf_log_attr).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from skep.syscall.call import Call, Common
from skep.uapi import reasons_log as reasons
from skep.uapi.commands import BTF_LOAD, MAP_CREATE, PROG_LOAD
from skep.uapi.flags import LogLevel
from skep.uapi.log_messages import END_SIZE, TLV
from skep.uapi.reason import Reason

LEVELS: Final = int(LogLevel.LEVEL1 | LogLevel.LEVEL2 | LogLevel.STATS | LogLevel.FIXED)
MAX_SIZE: Final = 0xFFFF_FFFF >> 2
# what the names of the attr's own log members begin with, in commands that have them
OWN_LOGS: Final[Mapping[int, str]] = {PROG_LOAD.number: "", BTF_LOAD.number: "btf_"}
LOGGED_BY_LINUX: Final = OWN_LOGS.keys() | {MAP_CREATE.number}
Complaint = tuple[Reason, str]


@dataclass(frozen=True, slots=True)
class LogRequest:
    """What the caller asked for: *level*, and *size* bytes at *address* (both 0 for none).

    *common*: whether the common attributes asked, or what stands for them.
    """

    level: int = 0
    address: int = 0
    size: int = 0
    common: bool = False

    @property
    def wanted(self) -> bool:
        """Whether anything is to be logged; without a buffer only the true size is told."""
        return self.level != 0

    @property
    def is_tlv(self) -> bool:
        """Whether the log is to be messages, not text."""
        return self.level & TLV != 0

    @property
    def text_level(self) -> int:
        """What the text of the log is to say: a level of Linux."""
        return self.level & LEVELS or (LogLevel.FIXED if self.is_tlv else 0)

    def same(self, other: "LogRequest") -> bool:
        """Whether *other* asks for the same log."""
        return (self.level, self.address, self.size) == (other.level, other.address, other.size)


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
        return LogRequest(common=True)
    attr = common.attr
    return LogRequest(attr.log_level, attr.log_buf, attr.log_size, common=True)


def contradiction(request: LogRequest) -> Complaint | None:
    """What in *request* contradicts itself, None if nothing does."""
    level, known = request.level, LEVELS | TLV if request.common else LEVELS
    if bool(request.address) != bool(request.size):
        return reasons.BUFFER, f"log_buf {request.address:#x} and log_size {request.size}"
    if request.address and not level:
        return reasons.NO_LEVEL, "log_buf is set, log_level is 0"
    if level & ~known:
        return reasons.LEVEL, f"log_level {level:#x}: only bits {known:#x} are known"
    if request.size > MAX_SIZE:
        return reasons.SIZE, f"log_size {request.size} is above {MAX_SIZE}"
    if request.is_tlv and request.address and request.size < END_SIZE:
        return reasons.TLV_SIZE, f"log_size {request.size} is below {END_SIZE}"
    return None


def choose(own: LogRequest, common: LogRequest) -> LogRequest | Complaint:
    """The request to serve; why there is none, if both name different buffers or one is wrong."""
    wrong = contradiction(own) or contradiction(common)
    if wrong is not None:
        return wrong
    if own.address and common.address and not own.same(common):
        return reasons.TWO_LOGS, "attr and common attributes name different logs"
    return common if common.address and not own.address else own


def chosen(call: Call[Any], prefix: str = "") -> LogRequest:
    """The request of *call* to serve; raises Refusal, EINVAL, if it contradicts itself."""
    has_own = call.command.number in OWN_LOGS
    own = own_request(call, prefix) if has_own else LogRequest()
    found = choose(own, common_request(call.common))
    if isinstance(found, LogRequest):
        return found
    raise call.refusal(*found)


def check_logs(call: Call[Any], common: Common) -> None:
    """What is checked before all else in a call that asks for a log beside its attr, in *common*.

    Linux looks only where it logs. Logs of text that contradict each other are closed: nobody knows
    which is meant.
    """
    if common.refused is not None:
        raise call.refusal(common.refused)
    number = call.command.number
    if number not in LOGGED_BY_LINUX:
        return
    common.closed = not common_request(common).is_tlv
    chosen(call, OWN_LOGS.get(number, ""))
    common.closed = False
