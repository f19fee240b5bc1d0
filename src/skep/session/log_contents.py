"""LogContents: what a log says, however it was written."""

from typing import NamedTuple

from skep.uapi.record import LogRecord


class LogContents(NamedTuple):
    """What a log says.

    Attributes:
        text: its text.
        records: its refusals, as fields.
        dropped: messages that did not fit, 65535 for that many or more; 0 for a log of text, which
            does not tell.
    """

    text: str
    records: tuple[LogRecord, ...]
    dropped: int = 0
