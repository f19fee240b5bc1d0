"""The start tier: a program runs as soon as its slots are copied, interpreted by native code.

Nothing is compiled for a program here: the handlers were, once for all programs. What is made is
its image, and an entrance for each of its functions that others call by address: the program
itself, and callbacks of helpers.
"""

import functools
import threading
from collections.abc import Mapping
from typing import Final

from skep.base.memory import Anchor, Block
from skep.engine.interface import HelperCode, KfuncCode
from skep.engine.llvm import handlers
from skep.engine.llvm.cache import DiskCache
from skep.engine.llvm.gates import Gates
from skep.engine.llvm.image import Function, Reach, write
from skep.engine.llvm.library import CompiledLibrary
from skep.engine.llvm.machine import STRAIGHT, Machine, Tier
from skep.engine.llvm.tiers import Code
from skep.engine.upcalls import Upcalls
from skep.isa.codec import SLOT_SIZE
from skep.verifier.interface import Proof

ENTRY: Final = "main"
START: Final = Tier(-1, -1, loops=False)  # not compiled at all


class Start:
    """Makes programs of one engine runnable at once.

    Args:
        machine: compiles and loads the handlers.
        library: where native helpers live.
        upcalls: makes helpers in Python callable.
        helpers: code of helpers by id.
        kfuncs: code of kernel functions by name.
        objects: address and size of the region of kernel objects.
    """

    def __init__(
        self,
        machine: Machine,
        library: CompiledLibrary,
        upcalls: Upcalls,
        helpers: Mapping[int, HelperCode],
        kfuncs: Mapping[str, KfuncCode],
        objects: tuple[int, int],
    ) -> None:
        self._machine, self._library, self._upcalls = machine, library, upcalls
        self._reach = Reach(helpers, kfuncs, self._address_of, objects)
        self._lock = threading.Lock()
        self._entrances: Gates | None = None

    def code(self, proof: Proof) -> Code:
        """The image of *proof*, ready to run; raises NotSupported by name for what no tier runs."""
        entrances = self._made()
        functions = {0: entrances.make(0)}

        def entrance(start: int) -> int:
            if start not in functions:
                functions[start] = entrances.make(0)
            return functions[start].address

        image = write(proof, self._reach, entrance)
        memory = Block(len(image), "skep-image", shared=False)
        memory.view[:] = image
        for first, gate in functions.items():
            gate.point(memory.address + SLOT_SIZE * first)
        main = functions[0]
        enter = self._library.callers.function(ENTRY, main.code, main.address, 2)
        return Code(main.code, main.address, enter, START, (Anchor(memory), functions))

    def _made(self) -> Gates:
        """What makes entrances, with the handlers that they lead to."""
        with self._lock:
            if self._entrances is None:
                loaded = self._machine.link(_handlers(), [handlers.BEGIN])
                self._entrances = Gates(self._machine, loaded)
            return self._entrances

    def _address_of(self, code: Function) -> int:
        if code.native is None:
            return self._upcalls.address(code)
        return self._library.address(code.native)


@functools.cache
def _handlers() -> bytes:
    """Object code of the handlers: the same for all engines of a process."""
    return Machine(DiskCache()).compile(handlers.text(), STRAIGHT)
