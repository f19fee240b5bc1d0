"""Prototypes of helpers as calls look at them, again and again: rows of the table, quick to read.

Rows of ``skep.uapi`` are not compiled; to read a field of one takes longer than to check it.
"""

from typing import Final

from skep.uapi.helper_types import Arg, ArgType, Helper
from skep.uapi.helpers import HELPERS, VARIANTS


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
    """One helper, as programs of one type may call it."""

    __slots__ = ("changes_packet", "gpl", "helper", "id", "might_sleep", "parameters")

    def __init__(self, helper: Helper) -> None:
        self.helper = helper
        self.id: int = helper.id
        self.gpl: bool = helper.gpl
        self.might_sleep: bool = helper.might_sleep
        self.changes_packet: bool = helper.changes_packet
        self.parameters: list[Parameter] = [Parameter(each) for each in helper.args]


PROTOTYPES: Final[dict[int, Prototype]] = {row.id: Prototype(row) for row in HELPERS}
_VARIANTS: Final[dict[tuple[int, int], Prototype]] = {
    key: Prototype(row) for key, row in VARIANTS.items()
}
_VARYING: Final[frozenset[int]] = frozenset(helper for helper, _ in VARIANTS)


def prototype_of(helper: int, program_type: int) -> Prototype | None:
    """What *helper* is in programs of a type, whether they may call it or not."""
    if helper in _VARYING:
        varied = _VARIANTS.get((helper, program_type))
        if varied is not None:
            return varied
    return PROTOTYPES.get(helper)
