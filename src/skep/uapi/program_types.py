"""THE program type table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProgramType:
    """One program type: seam version; rows follow.

    Args:
        id: number, ``BPF_PROG_TYPE_*``.
        name: lower case, without prefix, as ``xdp``.
        context: name of its row in ``uapi.contexts``, "" for typed BTF arguments.
        helpers: ids of the helpers that it may call.
    """

    id: int
    name: str
    context: str
    helpers: frozenset[int]
