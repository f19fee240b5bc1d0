"""Tiers: code that is there at once, and better code for programs that run.

A program starts with what is there soonest. Once it has run often enough to be worth it, it is
compiled in the background, and the better code takes its place; runs that are under way end where
they began. Whoever kept the program's address kept that of its gate.
"""

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from skep.engine.llvm.background import background
from skep.engine.llvm.gates import Gate
from skep.engine.llvm.machine import Loaded, Tier

RUNS: Final = 256  # after which a program without loops is worth the work

Function = Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class Code:
    """Code of a program: where it is entered, what enters it, how it was made.

    *loaded* is the machine code that *address* lies in, *held* what that needs besides.
    """

    loaded: Loaded
    address: int
    function: Function
    tier: Tier
    held: object = None

    def base(self, symbol: str) -> int:
        """Where its section begins; *symbol* is that of its entry."""
        return self.address - next(f.offset for f in self.loaded.functions if f.name == symbol)


class Growth:
    """How one program comes from its first to better code.

    Args:
        first: the code to begin with, kept since runs may still be in it.
        gate: the program's address for others.
        runs: how many are worth the work.
        improve: compiles it harder.
    """

    def __init__(self, first: Code, gate: Gate, runs: int, improve: Callable[[], Code]) -> None:
        self.code, self.gate = first, gate
        self._first, self._improve = first, improve
        self._runs_left = runs
        self._asked, self._growing = threading.Lock(), threading.Lock()

    def count(self, runs: int) -> Code:
        """Count runs that are about to be; returns the best code that there is."""
        self._runs_left -= runs
        if self._runs_left <= 0 and self._asked.acquire(blocking=False):  # never released: once
            itself = weakref.ref(self)

            def improve() -> None:
                growth = itself()
                if growth is not None:  # else the program went before its turn came
                    growth.grow()

            background().ask(improve)
        return self.code

    def address(self, runs: int) -> int:
        """Where to call so many times in a row: better code takes over in the midst of it."""
        code = self.count(runs)
        return self.gate.address if code is self._first else code.address

    def grow(self) -> Code:
        """Compile, unless that was done, and put the better code in place."""
        with self._growing:
            if self.code is self._first:
                self.code = self._improve()
                self.gate.point(self.code.address)
        return self.code
