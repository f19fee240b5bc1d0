"""Gates: addresses of programs that stay, while what is behind them changes.

A gate is one jump to where its slot points. Program arrays keep the address of a gate, so that a
tail call reaches the best code that there is at that moment. The gates of the start tier are
entrances: what the slot points to is no code but an instruction of an image, which its handlers
begin with. Gates are made a page at a time, and each is used once: an address never comes to mean
another program while its page lives.
"""

import threading
from typing import Final

from skep.base.memory import Anchor, Block
from skep.base.native import store64
from skep.engine.llvm.handlers import BEGIN
from skep.engine.llvm.machine import STRAIGHT, Loaded, Machine

GATES: Final = 64  # in a page
WORDS: Final = "i64 %run, i64 %a1, i64 %a2, i64 %a3, i64 %a4, i64 %a5"
JUMP: Final = f"  %result = musttail call i64 %target({WORDS})\n"
ENTER: Final = f"""\
  %ip = ptrtoint ptr %target to i64
  %result = call i64 @{BEGIN}({WORDS}, i64 %ip)
"""
DECLARATION: Final = f"declare i64 @{BEGIN}(i64, i64, i64, i64, i64, i64, i64) #1\n"


class Gate:
    """One gate: *address* is where to call, *code* the page that it is on."""

    def __init__(self, page: "_Page", number: int, target: int) -> None:
        self.code = page.loaded
        self.address = page.loaded.address(_symbol(number))
        self._anchor = Anchor(page)  # code and slots outlive all finalizers that may use them
        self._slot = page.slots.address + 8 * number
        self.point(target)

    def point(self, target: int) -> None:
        """Lead to *target* from now on: one store, which every thread sees whole."""
        store64(self._slot, target)


class _Page:
    """Code and slots of as many gates as were made together."""

    def __init__(self, machine: Machine, begin: Loaded | None) -> None:
        self.slots, self._begin = Block(8 * GATES, shared=False), begin
        imports, head, way = {"slots": self.slots.address}, "", JUMP
        if begin is not None:
            imports[BEGIN], head, way = begin.address(BEGIN), DECLARATION, ENTER
        text = f"@slots = external global [{GATES} x i64]\n" + head
        text += "".join(_gate(number, way) for number in range(GATES))
        self.loaded: Loaded = machine.load(text, map(_symbol, range(GATES)), imports, STRAIGHT)


class Gates:
    """Makes gates.

    Args:
        machine: compiles them.
        begin: what runs images, for entrances.
    """

    def __init__(self, machine: Machine, begin: Loaded | None = None) -> None:
        self._machine, self._lock, self._begin = machine, threading.Lock(), begin
        self._page: _Page | None = None
        self._used = 0

    def make(self, target: int) -> Gate:
        """A new gate that leads to *target*."""
        with self._lock:
            if self._page is None or self._used == GATES:
                self._page, self._used = _Page(self._machine, self._begin), 0
            self._used += 1
            return Gate(self._page, self._used - 1, target)


def _symbol(number: int) -> str:
    return f"gate.{number}"


def _gate(number: int, way: str) -> str:
    return f"""\
define i64 @"{_symbol(number)}"({WORDS}) #0 {{
  %slot = getelementptr [{GATES} x i64], ptr @slots, i64 0, i64 {number}
  %target = load atomic ptr, ptr %slot acquire, align 8
{way}  ret i64 %result
}}
"""
