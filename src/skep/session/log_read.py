"""parse(): a log, however it was written, as text and records."""

import sys
from typing import Final

from skep.session.log_contents import LogContents
from skep.session.log_text import read_text
from skep.session.log_tlv import read_tlv

GREATEST_FIRST: Final = 0xFF  # of the types that a log may begin with


def parse(data: bytes | bytearray | memoryview | str) -> LogContents:
    """Read a log: messages or text of skep, text of any kernel, with or without 7.3's reports.

    Args:
        data: the buffer, or its text. A buffer is taken for messages if its first two bytes are a
            small number; no text begins so.

    Raises:
        LogError: a log of messages is cut or malformed.
    """
    if isinstance(data, str):
        return read_text(data)
    data = bytes(data)
    if len(data) > 1 and 0 < int.from_bytes(data[:2], sys.byteorder) <= GREATEST_FIRST:
        return read_tlv(data)
    return read_text(data.partition(b"\0")[0].decode("utf-8", "replace"))


def log_truncated(buffer: bytes | bytearray | memoryview, *, zero_terminated: bool = True) -> bool:
    """Whether a log of text may have been cut, by the last bytes of its buffer.

    That tells only if the caller set them to zero before the call, and the log was cut at its end
    (``BPF_LOG_FIXED``). A log that fits exactly counts as cut.

    Args:
        buffer: all of it, as the call left it.
        zero_terminated: whether a log that was cut still ends in a zero, as all of Linux do.
    """
    place = -2 if zero_terminated else -1
    return len(buffer) >= -place and buffer[place] != 0


def clear_end(buffer: bytearray | memoryview) -> None:
    """Set the last two bytes to zero: then ``log_truncated`` can tell."""
    count = min(2, len(buffer))
    buffer[len(buffer) - count :] = bytes(count)
