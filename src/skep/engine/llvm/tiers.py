"""Tiers: code that is there at once, and better code for programs that run.

A program starts with quick code, hardly optimised. Once it has run often enough to be worth it, it
is compiled again in the background, and the better code takes its place; runs in the quick code go
on there to their end. Whoever kept the program's address kept that of its gate.
"""

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from skep.engine.llvm.background import background
from skep.engine.llvm.gates import Gate
from skep.engine.llvm.machine import Loaded, Tier

SLOTS_PER_RUN: Final = 256  # a program of so many slots is worth the work after one run

Function = Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class Code:
    """Machine code of a program: where it is entered, what enters it, how it was made."""

    loaded: Loaded
    address: int
    function: Function
    tier: Tier

    def base(self, symbol: str) -> int:
        """Where its section begins; *symbol* is that of its entry."""
        return self.address - next(f.offset for f in self.loaded.functions if f.name == symbol)


class Growth:
    """How one program comes from quick to better code.

    Args:
        quick: the code to begin with, kept since runs may still be in it.
        gate: the program's address for others.
        size: slots of the program.
        improve: compiles it harder.
    """

    def __init__(self, quick: Code, gate: Gate, size: int, improve: Callable[[], Code]) -> None:
        self.code, self.gate = quick, gate
        self._quick, self._improve = quick, improve
        self._runs_left = max(size // SLOTS_PER_RUN, 1)
        self._lock = threading.Lock()

    def count(self, runs: int) -> Code:
        """Count runs that are about to be; returns the best code that there is."""
        self._runs_left -= runs
        if self._runs_left <= 0 and self._lock.acquire(blocking=False):  # never released: once
            itself = weakref.ref(self)

            def improve() -> None:
                growth = itself()
                if growth is not None:  # else the program went before its turn came
                    growth.grow()

            background().ask(improve)
        return self.code

    def grow(self) -> None:
        """Compile, and put the better code in place."""
        self.code = self._improve()
        self.gate.point(self.code.address)
