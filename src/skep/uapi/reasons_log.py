"""Reasons why a call is refused for the log that it asks for, and how it asks.

Source: Linux 6.18 kernel/bpf/log.c (bpf_vlog_init, bpf_vlog_finalize); 7.2 (bpf_log_attr).
"""

from errno import EINVAL, ENOSPC
from typing import Final

from skep.uapi.reason import Reason

BUFFER: Final = Reason(
    "log/buffer", EINVAL, "", "log_buf and log_size are both 0 or both set",
    "to learn the size alone, leave both 0 and set log_level",
)  # fmt: skip
NO_LEVEL: Final = Reason(
    "log/no-level", EINVAL, "", "log_level is set where log_buf is",
    "1 for text; 16 for messages, in the common attributes",
)  # fmt: skip
LEVEL: Final = Reason(
    "log/level", EINVAL, "", "bits 0 to 3; in the common attributes bit 4, BPF_LOG_TLV, too"
)
SIZE: Final = Reason("log/size", EINVAL, "", "log_size is at most 0x3fffffff")
TLV_SIZE: Final = Reason(
    "log/tlv-size", EINVAL, "", "a log of messages has 8 bytes or more, for its END"
)
TWO_LOGS: Final = Reason(
    "log/two-logs", EINVAL, "", "attr and common attributes name the same log, or only one does",
    "leave the attr's own log_buf, log_size and log_level 0",
)  # fmt: skip
CUT: Final = Reason(
    "log/cut", ENOSPC, "", "the log fits into log_size bytes",
    "log_true_size says how many it takes; the verdict itself stands in the log",
)  # fmt: skip
TWO_WAYS: Final = Reason(
    "log/two-ways", EINVAL, "", "either USES_EXTENDED_ATTR or COMMON_ATTRS is set"
)
EXTENDED_SIZE: Final = Reason(
    "log/extended-size", EINVAL, "", "struct bpf_extended_attr has 64 bytes before the attr"
)
EXTENDED_RESERVED: Final = Reason(
    "log/extended-reserved", EINVAL, "", "bytes 16 to 63 of struct bpf_extended_attr are 0"
)
TRACEPOINT_TARGET: Final = Reason(
    "log/tracepoint-target", EINVAL, "", "tgt_prog_fd and tgt_btf_id are 0",
    "LINK_CREATE takes a target: target_fd and target_btf_id",
)  # fmt: skip
