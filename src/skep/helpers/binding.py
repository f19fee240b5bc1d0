"""Binding: ties a row of the helper table to the function that does it.

Each file of this package ends in ``BINDINGS``. A helper without a binding is refused at load, by
name; nothing is bound that does not do what Linux does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from skep.base.native import NativeFunction, is_native
from skep.runtime.world import World
from skep.uapi.helpers import by_name

Upcall = Callable[[World, int, int, int, int, int, int], int]


class Known(Enum):
    """What of a call is known when its program is compiled, and comes as one argument more."""

    PACKET_WRITABLE = "1 if the program may write to packets"
    OBJECT_TYPE = "address of the description of the type that is allocated"
    PERCPU_OBJECT_TYPE = "the same, of a copy for each CPU"
    PROGRAM = "what finds the program among the world's printers"
    CPUMASK_TYPE = "the same, of struct bpf_cpumask"


@dataclass(frozen=True, slots=True)
class Binding:
    """How helper *name* runs: exactly one of *native* and *upcall*.

    Args:
        name: as in the helper table.
        native: function of the native subset, of ``(run, r1, …)`` with one register an argument.
        upcall: Python function of ``(world, run, r1, …, r5)``; its result is taken modulo 2**64.
        known: what else an upcall is told, in the place of r5: which program calls.
    """

    name: str
    native: NativeFunction | None = None
    upcall: Upcall | None = None
    known: Known | None = None

    def __post_init__(self) -> None:
        row = by_name(self.name)
        if row is None or (self.native is None) == (self.upcall is None):
            raise AssertionError(f"binding of {self.name!r}: no such helper, or not one function")
        function = self.native or self.upcall
        count = function.__code__.co_argcount  # type: ignore[union-attr]
        wanted = 1 + len(row.args) if self.native else 7
        if self.known not in (None, Known.PROGRAM) or (self.known and self.native):
            raise AssertionError(f"{self.name}: only upcalls are told something, and which program")
        if count != wanted or is_native(function) != (self.native is not None):
            raise AssertionError(f"{self.name} takes {count} arguments, not {wanted}")

    @property
    def id(self) -> int:
        """Number of the helper."""
        row = by_name(self.name)
        assert row is not None
        return row.id

    def upcall_in(self, world: World) -> Callable[..., int] | None:
        """The upcall, serving programs that run in *world*: ``(run, r1, …, r5) -> r0``."""
        return partial(self.upcall, world) if self.upcall is not None else None
