"""Native functions compiled to machine code, on demand."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from skep.base.native import NativeFunction
from skep.engine.llvm.cache import DiskCache
from skep.engine.llvm.callers import Callers
from skep.engine.llvm.element_callers import ElementCallers
from skep.engine.llvm.machine import Loaded, Machine
from skep.engine.llvm.native import Translator
from skep.engine.source import arity
from skep.maps.creation import ElementCalls, ElementCodes


@dataclass(frozen=True, slots=True)
class _Compiled:
    loaded: Loaded  # keeps the code in memory
    address: int
    callable: Callable[..., int]


class CompiledLibrary:
    """NativeLibrary on LLVM: compiles a function, with all it calls, when it is first asked for.

    The callables release the interpreter lock while they run.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        self._machine = machine or Machine(DiskCache())
        self._compiled: dict[NativeFunction, _Compiled] = {}
        # the only lock: a cached_property has one of its own, which is taken in another order
        self._lock = threading.RLock()
        self._callers: Callers | None = None
        self._element_callers: ElementCallers | None = None

    @property
    def callers(self) -> Callers:
        """What makes Python functions of machine code."""
        with self._lock:
            if self._callers is None:
                self._callers = Callers(self._machine)
            return self._callers

    @property
    def _of_elements(self) -> ElementCallers:
        with self._lock:
            if self._element_callers is None:
                self._element_callers = ElementCallers(self._machine)
            return self._element_callers

    def bind(self, function: NativeFunction) -> Callable[..., int]:
        """The callable that runs *function*."""
        return self._get(function).callable

    def address(self, function: NativeFunction) -> int:
        """Machine address of *function*."""
        return self._get(function).address

    def element_calls(
        self, codes: ElementCodes, this: int, key_size: int, value_size: int
    ) -> ElementCalls:
        """Calls that run *codes* on the map at *this*."""
        self._compile_together(codes)
        compiled = [self._get(code) for code in codes]
        loaded = tuple(each.loaded for each in compiled)
        addresses = tuple(each.address for each in compiled)
        return self._of_elements.calls(loaded, addresses, (this, key_size, value_size))

    def _get(self, function: NativeFunction) -> _Compiled:
        found = self._compiled.get(function)
        if found is None:
            self._compile_together([function])
            found = self._compiled[function]
        return found

    def _compile_together(self, functions: Iterable[NativeFunction]) -> None:
        """Compile those that are not yet, in one module: they share much of what they call."""
        with self._lock:
            wanted = [each for each in dict.fromkeys(functions) if each not in self._compiled]
            if wanted:
                self._compiled.update(zip(wanted, self._compile(wanted), strict=True))

    def _compile(self, functions: Sequence[NativeFunction]) -> Iterator[_Compiled]:
        translator = Translator()
        symbols = [translator.symbol(each, export=True) for each in functions]
        loaded = self._machine.load(translator.text(), symbols)
        for function, symbol in zip(functions, symbols, strict=True):
            address, count = loaded.address(symbol), arity(function)
            made = self.callers.function(function.__name__, loaded, address, count)
            yield _Compiled(loaded, address, made)
