"""The machine: target, optimisation passes, object code and its place in memory.

Alone imports ``llvmlite.binding``. Text of a module goes in, addresses of its symbols come out;
in between stands relocatable object code, which depends on nothing of this process and so may be
kept on disk. Whatever it needs from this process (maps, helpers) it names as external symbols.
"""

import functools
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import llvmlite
import llvmlite.binding as llvm

from skep.base.memory import Anchor
from skep.engine.llvm.apart import apart
from skep.engine.llvm.symbols import Symbol, functions
from skep.engine.llvm.text import ATTRIBUTES, EXTERNALS
from skep.errors import InternalError

Emitted = TypeVar("Emitted", bytes, str)


class ObjectCache(Protocol):
    """Where object code is kept between processes."""

    def has(self, key: bytes) -> bool:
        """Whether something is stored under *key*."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """Object code that was stored under *key*, or None."""
        ...

    def put(self, key: bytes, code: bytes) -> None:
        """Store *code*; may fail silently."""
        ...


@dataclass(frozen=True, slots=True)
class Tier:
    """How hard to optimise: LLVM's levels (0 to 3) of its passes and of its code generator.

    *loops*: run the whole pipeline, with inlining by cost, unrolling and vectors; else only what
    simplifies each function, after inlining what must be. The whole pipeline takes about twice as
    long, and each use of it leaves some 40 KB that llvmlite does not give back.
    """

    passes: int
    codegen: int
    loops: bool = True


LINKS: Final = 256  # modules that one linker loads
QUICK: Final = Tier(0, 0, loops=False)
FAST: Final = Tier(1, 1)
FULL: Final = Tier(2, 2)
STRAIGHT: Final = Tier(2, 2, loops=False)  # as good as FULL where there are no loops


class Loaded:
    """Machine code in memory, for as long as this object lives; *functions* say what is where."""

    def __init__(self, tracker: Any, linker: Any, functions: Sequence[Symbol] = ()) -> None:
        self.functions = functions
        self._tracker = tracker
        self._anchor = Anchor(_Unloader(tracker, linker))

    def address(self, symbol: str) -> int:
        """Address of an exported symbol."""
        return int(self._tracker[symbol])


class _Unloader:
    """Takes code out of memory when it goes: after every finalizer that may still run the code."""

    def __init__(self, tracker: Any, linker: Any) -> None:
        self._tracker, self._linker = tracker, linker

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not ending():  # bound early: at the very end modules are gone
            apart().destroy(functools.partial(_unload, self._tracker, self._linker))


def _forget(things: list[Any]) -> None:
    """Drop the last references to *things*."""
    things.clear()


def _unload(tracker: Any, linker: Any) -> None:
    """Take code out of memory, before its linker, which may go with it."""
    tracker.close()
    del linker


@functools.cache
def cpu() -> tuple[str, str]:
    """Name and features of this CPU, as LLVM spells them."""
    return apart().do(_read_cpu)


def _read_cpu() -> tuple[str, str]:
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


class Machine:
    """Compiles and loads modules for this CPU.

    Args:
        cache: object code of earlier processes, if there is a place for it.
    """

    def __init__(self, cache: ObjectCache | None = None) -> None:
        self._cache = cache
        self._links = 0
        self._lock = threading.Lock()
        self._pipelines: dict[Tier, list[_Pipeline]] = {}  # those that nobody uses
        self._linker: Any = None
        apart().do(self._start)

    def _start(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._linker = llvm.create_lljit_compiler()

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not ending():
            apart().destroy(functools.partial(_forget, [self._linker, self._pipelines]))

    def load(
        self,
        text: str,
        exports: Iterable[str],
        imports: Mapping[str, int] | None = None,
        tier: Tier = FULL,
    ) -> Loaded:
        """Compile *text*, or take it from the cache, and load it.

        Args:
            text: definitions, without the module's head.
            exports: symbols whose addresses are wanted.
            imports: addresses of the external symbols that *text* declares.
            tier: how hard to optimise.
        """
        return apart().do(lambda: self.link(self.compile(text, tier), exports, imports))

    def link(
        self, code: bytes, exports: Iterable[str], imports: Mapping[str, int] | None = None
    ) -> Loaded:
        """Load object code; arguments as those of ``load``."""
        for symbol, address in (imports or {}).items():
            if address == 0:  # LLVM takes it for unresolved, and ends the process
                raise InternalError(f"external symbol {symbol} has no address")
        exported, imported = tuple(exports), dict(imports or {})
        return apart().do(lambda: self._link(code, exported, imported))

    def _link(self, code: bytes, exports: Sequence[str], imports: Mapping[str, int]) -> Loaded:
        builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for symbol in exports:
            builder.export_symbol(symbol)
        for symbol, address in imports.items():
            builder.import_symbol(symbol, address)
        linker, name = self._take_linker()
        try:
            tracker = builder.link(linker, name)
        except RuntimeError as error:
            raise InternalError(f"linking compiled code: {error}") from error
        return Loaded(tracker, linker, tuple(functions(code)))

    def _take_linker(self) -> tuple[Any, str]:
        """The linker in use, and a name for what it loads.

        A new linker is made now and then, since each keeps some memory for each link.
        """
        with self._lock:
            self._links += 1
            if self._links % LINKS == 0:
                self._linker = llvm.create_lljit_compiler()
            return self._linker, f"skep.{self._links}"

    def compile(self, text: str, tier: Tier = FULL, *, keep: bool = True) -> bytes:
        """Return object code for *text*.

        The cache is used with *keep* only, and not for quick code, which is made as fast as read.
        """
        cache = self._cache if keep and tier != QUICK else None
        key = self._key(text, tier) if cache else b""
        known = cache.get(key) if cache else None
        if known is not None:
            return known
        code = apart().do(lambda: self._emit(text, tier, _object_code))
        if cache:
            cache.put(key, code)
        return code

    def knows(self, text: str, tier: Tier) -> bool:
        """Whether the cache has object code for *text*."""
        return self._cache is not None and self._cache.has(self._key(text, tier))

    def assembly(self, text: str, tier: Tier = FULL) -> str:
        """Return what ``compile`` would, as assembly for people."""
        return apart().do(lambda: self._emit(text, tier, _assembly))

    def _emit(self, text: str, tier: Tier, form: Callable[[Any, Any], Emitted]) -> Emitted:
        """Parse *text*, run the passes, and write the code in some *form*."""
        try:
            module = llvm.parse_assembly(EXTERNALS + text + ATTRIBUTES)
            module.verify()
        except RuntimeError as error:
            raise InternalError(f"LLVM refuses generated IR: {error}") from error
        idle = self._pipelines.setdefault(tier, [])
        try:
            pipeline = idle.pop()
        except IndexError:
            pipeline = _Pipeline(tier)
        module.triple = pipeline.target.triple
        module.data_layout = str(pipeline.target.target_data)
        pipeline.run(module)
        emitted = form(pipeline.target, module)
        idle.append(pipeline)
        return emitted

    def _key(self, text: str, tier: Tier) -> bytes:
        name, features = cpu()
        parts = (llvmlite.__version__, name, features, str(tier), EXTERNALS, ATTRIBUTES, text)
        return "\0".join(parts).encode()


def _object_code(target: Any, module: Any) -> bytes:
    return bytes(target.emit_object(module))


def _assembly(target: Any, module: Any) -> str:
    return str(target.emit_assembly(module))


class _Pipeline:
    """The passes of one tier, and the target machine that they serve."""

    def __init__(self, tier: Tier) -> None:
        name, features = cpu()
        self.target = llvm.Target.from_default_triple().create_target_machine(
            cpu=name, features=features, opt=tier.codegen, reloc="pic", codemodel="small", jit=True
        )
        options = llvm.create_pipeline_tuning_options(speed_level=tier.passes)
        self._builder = llvm.create_pass_builder(self.target, options)
        self._passes = tier.passes
        self._simplify = None if tier.loops else self._builder.getFunctionPassManager()

    def run(self, module: Any) -> None:
        if not self._passes:
            return
        if self._simplify is None:  # a module's passes are used up by one run
            self._builder.getModulePassManager().run(module, self._builder)
            return
        inline = llvm.create_new_module_pass_manager()
        inline.add_always_inliner_pass()
        inline.run(module, self._builder)
        for function in module.functions:
            if not function.is_declaration:
                self._simplify.run(function, self._builder)
