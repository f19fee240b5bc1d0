"""Binding: ties a row of the helper table to the function that does it.

Each file of this package ends in ``BINDINGS``. A helper without a binding is refused at load, by
name; nothing is bound that does not do what Linux does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from skep.base.native import NativeFunction, is_native
from skep.runtime.world import World
from skep.uapi.helpers import by_name

Upcall = Callable[[World, int, int, int, int, int, int], int]


@dataclass(frozen=True, slots=True)
class Binding:
    """How helper *name* runs: exactly one of *native* and *upcall*.

    Args:
        name: as in the helper table.
        native: function of the native subset, of ``(run, r1, …)`` with one register an argument.
        upcall: Python function of ``(world, run, r1, …, r5)``; its result is taken modulo 2**64.
    """

    name: str
    native: NativeFunction | None = None
    upcall: Upcall | None = None

    def __post_init__(self) -> None:
        row = by_name(self.name)
        if row is None or (self.native is None) == (self.upcall is None):
            raise AssertionError(f"binding of {self.name!r}: no such helper, or not one function")
        function = self.native or self.upcall
        count = function.__code__.co_argcount  # type: ignore[union-attr]
        wanted = 1 + len(row.args) if self.native else 7
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
