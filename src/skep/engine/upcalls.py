"""Helpers in ordinary Python, callable from machine code.

An exception cannot pass through machine code: it is kept here, by run block, and the run block's
FAULT is set; the program goes on with 0 as the helper's result, and the entry point raises the
exception when the program has ended.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final

from skep.base.bits import U64
from skep.base.native import store64
from skep.engine.interface import HelperCode, KfuncCode
from skep.engine.machinery import Stop
from skep.errors import InternalError
from skep.runtime.invocation import FAULT

WORD: Final = ctypes.c_uint64
PROTOTYPE: Final = ctypes.CFUNCTYPE(WORD, WORD, WORD, WORD, WORD, WORD, WORD)

Function = Callable[[int, int, int, int, int, int], int]


class Upcalls:
    """Keeps callbacks alive, and exceptions until they can be raised.

    Attributes:
        raised: the first exception of each run, by address of the run block.
    """

    def __init__(self) -> None:
        self.raised: dict[int, BaseException] = {}
        self._callbacks: dict[int, Any] = {}

    def address(self, code: HelperCode | KfuncCode) -> int:
        """Machine address of a helper that is written in Python."""
        if code.upcall is None:
            raise InternalError(f"{code.label} has neither native code nor an upcall")
        callback = self._callbacks.get(id(code))
        if callback is None:
            callback = self._callbacks[id(code)] = self.wrap(code.upcall), code
        return self.address_of(callback[0])

    def wrap(self, function: Function) -> Any:
        """Make *function* callable from machine code, as long as the result lives."""

        def guarded(run: int, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
            try:
                return function(run, r1, r2, r3, r4, r5) & U64
            except BaseException as error:  # noqa: BLE001 - raised again by the entry point
                self.fail(run, error, Stop.UPCALL)
                return 0

        return PROTOTYPE(guarded)

    def fail(self, run: int, error: BaseException, stop: Stop) -> None:
        """Remember the first exception of a run."""
        self.raised.setdefault(run, error)
        store64(run + FAULT, stop)

    def check(self, run: int) -> None:
        """Raise what the run at *run* left behind."""
        error = self.raised.pop(run, None)
        if error is not None:
            raise error

    @staticmethod
    def address_of(callback: Any) -> int:
        """Machine address of a ctypes callback."""
        return int(ctypes.cast(callback, ctypes.c_void_p).value or 0)
