"""Reason: one thing that bpf(2) refuses a call for, as a row of the tables ``reasons_*``."""

from typing import NamedTuple


class Reason(NamedTuple):
    """One thing that a call is refused for.

    Attributes:
        id: stable name, ``<command or subject>/<what>``, as ``map-create/map-extra``.
        errno: positive error number that Linux answers.
        field: member of the attr that it is about; "" if it is about none, or about one that
            the place of the refusal names.
        allowed: what may stand there, or what must hold, in words.
        hint: what the caller can do about it; "" if ``allowed`` says it all.
        text: what Linux writes to the log of the common attributes about it; "" for nothing.
    """

    id: str
    errno: int
    field: str
    allowed: str
    hint: str = ""
    text: str = ""
