"""Prototypes of helpers as calls look at them, again and again: rows of the table, quick to read.

Rows of ``skep.uapi`` are not compiled; to read a field of one takes longer than to check it.
"""

from skep.uapi.helper_types import Arg, ArgType, Helper


class Parameter:
    """What is asked of an argument; *type* says all of it."""

    __slots__ = ("kind", "nullable", "rdonly", "release", "type")

    def __init__(self, type: ArgType) -> None:  # noqa: A002
        self.type = type
        self.kind: Arg = type.kind
        self.nullable: bool = type.nullable
        self.rdonly: bool = type.rdonly
        self.release: bool = type.release


class Prototype:
    """One helper, as one program may call it."""

    __slots__ = ("changes_packet", "helper", "id", "might_sleep", "parameters")

    def __init__(self, helper: Helper) -> None:
        self.helper = helper
        self.id: int = helper.id
        self.might_sleep: bool = helper.might_sleep
        self.changes_packet: bool = helper.changes_packet
        self.parameters: list[Parameter] = [Parameter(each) for each in helper.args]
