"""KfuncBinding: ties a row of the kfunc table to the function that does it.

A row without a binding is judged by the verifier and refused by engines, by name; nothing is bound
that does not do what Linux does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from skep.base.native import NativeFunction, is_native
from skep.helpers.binding import Known, Upcall
from skep.runtime.world import World
from skep.uapi.kfuncs import by_name


@dataclass(frozen=True, slots=True)
class KfuncBinding:
    """How the kernel function *name* runs: exactly one of *native* and *upcall*.

    Args:
        name: as in the kfunc table.
        native: function of the native subset, of ``(run, r1, …)`` with as many registers as it
            needs, and then what is *known*.
        upcall: Python function of ``(world, run, r1, …, r5)``; its result is taken modulo 2**64.
        known: what else the function is told; an upcall is told it in the place of r5.
    """

    name: str
    native: NativeFunction | None = None
    upcall: Upcall | None = None
    known: Known | None = None

    def __post_init__(self) -> None:
        if by_name(self.name) is None or (self.native is None) == (self.upcall is None):
            raise AssertionError(f"binding of {self.name!r}: no such kfunc, or not one function")
        if is_native(self.native or self.upcall) != (self.native is not None):
            raise AssertionError(f"{self.name}: a native function is marked as one")

    def upcall_in(self, world: World) -> Callable[..., int] | None:
        """The upcall, serving programs that run in *world*: ``(run, r1, …, r5) -> r0``."""
        return partial(self.upcall, world) if self.upcall is not None else None
