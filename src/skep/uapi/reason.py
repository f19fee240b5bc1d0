"""Reason: one thing that bpf(2) refuses a call for, as a row of the tables ``reasons_*``."""

from typing import NamedTuple

from skep.errors import CommandError


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


class Refusal(CommandError):  # noqa: N818 - an answer, not a fault
    """A call was refused for a row of the tables of reasons.

    Attributes:
        rule: id of the row.
        field: member of the attr that it is about; "" if it is about none.
        found: its value; None if it is about none, or was raised where the attr is not known.
        offset: where the member lies in the attr, -1 if that does not apply.
        reason: what was found and why it does not do, in words.
        allowed: what may stand there.
        hint: what the caller can do; "" if there is nothing to say.
        text: what Linux writes to the log of the common attributes about it.
        row: the row.
    """

    def __init__(
        self,
        command: str,
        row: Reason,
        detail: str = "",
        field: str = "",
        *,
        found: object = None,
        offset: int = -1,
    ) -> None:
        """*detail* is what is allowed by default, *field* the row's."""
        super().__init__(command, row.errno, "")
        self.row, self.rule, self.allowed = row, row.id, row.allowed
        self.hint, self.text = row.hint, row.text
        self.reason = detail or row.allowed
        self.field, self.found, self.offset = "", found, offset
        self.place(command, field or row.field, found, offset)

    def place(self, command: str, field: str, found: object, offset: int) -> None:
        """Tell where it lies: the *command*, the member *field*, its value and its *offset*."""
        self.command, self.field, self.found, self.offset = command, field, found, offset
        known = field and found is not None
        self.message = f"{field} = {found!r}: {self.reason}" if known else self.reason
        self.args = (f"{command}: {self.errno_name}: {self.message}",)
