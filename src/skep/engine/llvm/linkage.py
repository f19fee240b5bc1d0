"""How a program reaches what is outside its module: maps, helpers, Python.

Everything outside is an external symbol, and its address is given when the code is loaded; so
the object code holds no address of this process and can be kept on disk.
"""

from collections.abc import Mapping
from typing import Final

from skep.base.native import NativeFunction
from skep.engine.interface import HelperCode, KfuncCode, NativeLibrary
from skep.engine.llvm.native import Translator
from skep.engine.llvm.text import integers
from skep.engine.source import arity, weight
from skep.engine.upcalls import Upcalls

INLINE_WEIGHT: Final = 700  # bytes of bytecode up to which a helper comes into the module
LEAST_ADDRESS: Final = 1 << 32  # constants of inline look-ups from here on differ in each process


class Linkage:
    """Symbols of one module, and their addresses.

    Args:
        helpers: the engine's helpers by id.
        kfuncs: its kernel functions by name.
        library: compiles native helpers that are too large to inline.
        upcalls: makes Python helpers callable.
    """

    def __init__(
        self,
        helpers: Mapping[int, HelperCode],
        kfuncs: Mapping[str, KfuncCode],
        library: NativeLibrary,
        upcalls: Upcalls,
    ) -> None:
        self.imports: dict[str, int] = {}
        self.translator = Translator()
        self._helpers, self._kfuncs = helpers, kfuncs
        self._library, self._upcalls = library, upcalls
        self._declarations: list[str] = []
        self._symbols: dict[int, str] = {}
        self._programs: dict[int, str] = {}
        self._sizes: dict[str, int] = {}

    def data(self, address: int) -> str:
        """Spell *address* as an ``i64`` constant that the loader fills in."""
        return f"ptrtoint (ptr {self.pointer(address)} to i64)"

    def pointer(self, address: int) -> str:
        """Spell *address* as a ``ptr`` constant that the loader fills in."""
        return f"@{self._data_symbol(address, 1)}"

    def element(self, address: int, size: int, offset: int) -> str:
        """Spell *offset* into the *size* bytes at *address*: LLVM then knows it is not NULL."""
        symbol = self._data_symbol(address, size)
        return f"getelementptr inbounds (i8, ptr @{symbol}, i64 {offset})"

    def _data_symbol(self, address: int, size: int) -> str:
        symbol = self._symbols.get(address)
        if symbol is None:
            symbol = self._symbols[address] = f"data.{len(self._symbols)}"
            self.imports[symbol] = address
        self._sizes[symbol] = max(size, self._sizes.get(symbol, 0))
        return symbol

    def constant(self, value: int) -> str:
        """Spell a constant that may be an address, or random."""
        return self.data(value) if value >= LEAST_ADDRESS else str(value)

    def helper(self, helper: int) -> HelperCode | None:
        """The code of a helper, if there is any."""
        return self._helpers.get(helper)

    def kfunc(self, name: str) -> KfuncCode | None:
        """The code of a kernel function, if there is any."""
        return self._kfuncs.get(name)

    def call(self, code: HelperCode | KfuncCode, run: str, args: list[str]) -> str:
        """Spell a call of a helper with r1 to r5 as *args*."""
        if code.native is None:
            return self._call_python(code, run, args)
        count = arity(code.native)
        arguments = integers([run, *args][:count])
        if weight(code.native) <= INLINE_WEIGHT:
            return f'call i64 @"{self.translator.symbol(code.native)}"({arguments})'
        symbol = f"helper.{code.native.__name__}"
        self._declare(symbol, self._library.address(code.native), count)
        return f"call i64 @{symbol}({arguments})"

    def inline(
        self, function: NativeFunction, run: str, key: str, constants: tuple[int, ...]
    ) -> str:
        """Spell a call of an inline look-up."""
        spelled = [run, key, *map(self.constant, constants)]
        return f'call i64 @"{self.translator.symbol(function)}"({integers(spelled)}) alwaysinline'

    def native(self, function: NativeFunction, *args: str) -> str:
        """Spell a call of a native function of the engine's own; they are small."""
        return f'call i64 @"{self.translator.symbol(function)}"({integers(args)}) alwaysinline'

    def program(self, address: int) -> str:
        """Name of another program's function, which is at *address*."""
        symbol = self._programs.setdefault(address, f"program.{len(self._programs)}")
        self._declare(symbol, address, 6)
        return symbol

    def text(self) -> str:
        """Declarations, and the native functions that came along."""
        natives = self.translator.text()
        data = (f"@{name} = external global [{size} x i8]\n" for name, size in self._sizes.items())
        return "".join((*data, *self._declarations)) + natives

    def _call_python(self, code: HelperCode | KfuncCode, run: str, args: list[str]) -> str:
        symbol = f"upcall.{code.label}"
        self._declare(symbol, self._upcalls.address(code), 6)
        return f"call i64 @{symbol}({integers([run, *args])})"

    def _declare(self, symbol: str, address: int, count: int) -> None:
        if symbol not in self.imports:
            self.imports[symbol] = address
            parameters = ", ".join(["i64"] * count)
            self._declarations.append(f"declare i64 @{symbol}({parameters}) #1\n")
