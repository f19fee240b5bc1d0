"""The LLVM engine: proofs to machine code."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from skep.base.native import load64
from skep.engine.arenas import uses_arena
from skep.engine.batch import run_batch
from skep.engine.held import heap_in, let_go
from skep.engine.hooks import NO_HOOKS, Hooks
from skep.engine.interface import CodePart, CodePlace, HelperCode, KfuncCode
from skep.engine.llvm.cache import DiskCache
from skep.engine.llvm.compiler import generate, has_loops
from skep.engine.llvm.control import subprogram_symbol
from skep.engine.llvm.gates import Gates
from skep.engine.llvm.library import CompiledLibrary
from skep.engine.llvm.lines import Notes, places
from skep.engine.llvm.linkage import Linkage
from skep.engine.llvm.machine import FAST, FULL, QUICK, STRAIGHT, Machine, Tier
from skep.engine.llvm.start import ENTRY, START, Start
from skep.engine.llvm.symbols import functions
from skep.engine.llvm.tiers import RUNS, Code, Growth
from skep.engine.machinery import STOPPED, exception_callback
from skep.engine.upcalls import PROTOTYPE, Upcalls
from skep.errors import RunError
from skep.runtime.invocation import FAULT
from skep.verifier.interface import Proof

SLOTS_PER_RUN: Final = 256  # a metered program of so many slots is worth the work after one run
LARGE: Final = 1 << 20  # characters of IR from which on LLVM's better passes take minutes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all programs of one engine have around them.

    Args:
        upcalls: keeps what helpers in Python raise.
        library: where native code lives.
        metered: runs may be stopped.
        heap: what objects are given back to when a run is; 0 if there is none.
    """

    upcalls: Upcalls
    library: CompiledLibrary
    metered: bool
    heap: int


class CompiledEntry:
    """A program as machine code.

    Attributes:
        address: where others call it: its code, or a gate to the best code that there is.
    """

    def __init__(
        self,
        code: Code,
        around: Surroundings,
        starts: Sequence[int],
        *,
        growth: Growth | None = None,
        trace: Callable[[Code], Sequence[CodePlace]],
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._code, self._hooks = code, hooks  # they live as long as the code may run
        self._around, self._starts, self._growth, self._trace = around, starts, growth, trace
        self._upcalls, self._metered = around.upcalls, around.metered
        self._function = code.function if growth is None else self._run_first
        self.address: int = code.address if growth is None else growth.gate.address

    def __call__(self, run: int, context: int, /) -> int:
        """Run once; returns r0. Raises what a helper in Python raised, RunError without fuel."""
        result = self._function(run, context)
        if self._upcalls.raised or self._metered:
            self._check(run)
        return result

    def hot(self, count: int) -> int:
        """Where to call it from *count* times in a row; what runs often is compiled harder."""
        return self._code.address if self._growth is None else self._growth.address(count)

    def places(self) -> Sequence[CodePlace]:
        """Which instruction its machine code comes from, by address; empty if nobody knows."""
        code = self._machine_code()
        return () if code.tier == START else self._trace(code)

    def _machine_code(self) -> Code:
        """Its machine code; a program that has none yet is compiled."""
        code = self._best(0)
        return code if code.tier != START or self._growth is None else self._growth.grow()

    def _best(self, runs: int) -> Code:
        """The best code that there is for *runs* more."""
        if self._growth is None:
            return self._code
        code = self._growth.count(runs)
        if code is not self._code:
            self._function = code.function
        return code

    def _run_first(self, run: int, context: int) -> int:
        return self._best(1).function(run, context)

    def call_back(self, run: int, callback: int, arguments: tuple[int, int, int], /) -> int:
        """Run its function at the address *callback* on its own, with (map, key, value)."""
        result: int = PROTOTYPE(callback)(run, *arguments, 0, 0)
        self._check(run)
        return result

    @property
    def parts(self) -> Sequence[CodePart]:
        """Where its machine code lies; subprograms that became part of their callers have none."""
        code = self._machine_code()
        if code.tier == START:
            return ()
        found = {symbol.name: symbol for symbol in code.loaded.functions}
        base = code.address - found[ENTRY].offset
        known = [(start, found.get(subprogram_symbol(start))) for start in self._starts]
        return [
            CodePart(start, base + symbol.offset, symbol.size)
            for start, symbol in known
            if symbol is not None
        ]

    def batch(self, run: int, batch: int, count: int, results: int, /) -> None:
        """Run on many packets, see ``skep.engine.batch``; raises as a single run does."""
        self._around.library.bind(run_batch)(run, self.hot(count), batch, count, results)
        self._check(run)

    def _check(self, run: int) -> None:
        fault = load64(run + FAULT)
        if fault and self._metered:
            self._around.library.bind(let_go)(run, self._around.heap)
        self._upcalls.check(run)
        if fault in STOPPED:
            raise RunError(STOPPED[fault])


class LlvmEngine:
    """Compiles proofs with LLVM.

    Args:
        helpers: code of every helper that programs may call.
        kfuncs: code of every kernel function that they may call.
        library: where native helpers that are not inlined live.
        machine: compiles and loads; by default with the cache on disk.
        objects: address and size of the region of kernel objects, if there is one.
        metered: programs count their back edges against the run block's FUEL.
        tier: how hard to optimise, at once; by default programs start with what is there soonest,
            and what runs is optimised as it has loops or not, or is very large.
    """

    name = "llvm"

    def __init__(
        self,
        helpers: Iterable[HelperCode] = (),
        *,
        kfuncs: Iterable[KfuncCode] = (),
        machine: Machine | None = None,
        library: CompiledLibrary | None = None,
        objects: tuple[int, int] = (0, 0),
        metered: bool = False,
        tier: Tier | None = None,
    ) -> None:
        self._helpers = {code.id: code for code in helpers}
        self._kfuncs = {code.name: code for code in kfuncs}
        self._machine = machine or Machine(DiskCache())
        self.library = library or CompiledLibrary(self._machine)
        self._objects, self._metered, self._tier = objects, metered, tier
        self._upcalls = Upcalls()
        self._around = Surroundings(self._upcalls, self.library, metered, heap_in(objects))
        self._gates = Gates(self._machine)
        self._start = Start(
            self._machine, self.library, self._upcalls, self._helpers, self._kfuncs, objects
        )

    def compile(self, proof: Proof, hooks: Hooks = NO_HOOKS) -> CompiledEntry:
        """Make *proof* runnable; raises NotSupported by name for what it cannot run.

        Unless the engine was given a tier, the program starts in the start tier; a metered one,
        or one with an arena or exception callback, with quick code, unless an earlier process left
        better code on disk. One with *hooks* is optimised at once.
        """
        growth = None
        if hooks:
            text, linkage = self._generate(proof, hooks=hooks)
            code = self._make(text, linkage, self._tier_of(proof, text))
        elif self._metered or self._tier not in (None, START) or self._needs_code(proof):
            code, growth = self._compile_now(proof)
        else:
            code = self._start.code(proof)
            if self._tier is None:
                runs = 1 if has_loops(proof) else RUNS
                growth = self._growth(code, runs, partial(self._compile, proof))
        starts = [part.start for part in proof.subprograms]
        trace = partial(self._trace, proof)
        return CompiledEntry(code, self._around, starts, growth=growth, trace=trace, hooks=hooks)

    def _needs_code(self, proof: Proof) -> bool:
        """Whether the start tier lacks something that the program has."""
        return uses_arena(proof) or exception_callback(proof) != 0

    def _compile(self, proof: Proof) -> Code:
        text, linkage = self._generate(proof)
        return self._make(text, linkage, self._tier_of(proof, text))

    def _compile_now(self, proof: Proof) -> tuple[Code, Growth | None]:
        text, linkage = self._generate(proof)
        tier = self._tier_of(proof, text)
        if self._tier is not None or self._machine.knows(text, tier):
            return self._make(text, linkage, tier), None
        code = self._make(text, linkage, QUICK)
        runs = max(len(proof.insns) // SLOTS_PER_RUN, 1)
        return code, self._growth(code, runs, partial(self._make, text, linkage, tier))

    def _growth(self, code: Code, runs: int, improve: Callable[[], Code]) -> Growth:
        return Growth(code, self._gates.make(code.address), runs, improve)

    def _make(self, text: str, linkage: Linkage, tier: Tier) -> Code:
        code = self._machine.compile(text, tier)
        loaded = self._machine.link(code, [ENTRY], linkage.imports)
        address = loaded.address(ENTRY)
        # r2 to r5 are whatever the registers hold: no proved program reads them at its start
        enter = self.library.callers.function(ENTRY, loaded, address, 2)
        return Code(loaded, address, enter, tier)

    def _trace(self, proof: Proof, code: Code) -> Sequence[CodePlace]:
        """Which instruction *code*, made of *proof*, comes from."""
        notes = Notes(proof.subprograms, len(proof.insns))
        traced = self._machine.compile(self._generate(proof, notes)[0], code.tier, keep=False)
        if tuple(functions(traced)) != code.loaded.functions:
            return ()  # other code than that which runs
        base = code.base(ENTRY)
        found = [CodePlace(place.pc, base + place.address) for place in places(traced)]
        return sorted(found, key=lambda place: place.address)

    def ir(self, proof: Proof) -> str:
        """LLVM IR of *proof*, before any pass."""
        return self._generate(proof)[0]

    def assembly(self, proof: Proof) -> str:
        """Machine code of *proof*, as assembly."""
        text = self.ir(proof)
        return self._machine.assembly(text, self._tier_of(proof, text))

    def _tier_of(self, proof: Proof, text: str) -> Tier:
        if self._tier not in (None, START):
            return self._tier
        if len(text) > LARGE:
            return FAST
        return FULL if has_loops(proof) else STRAIGHT

    def _generate(
        self, proof: Proof, notes: Notes | None = None, hooks: Hooks = NO_HOOKS
    ) -> tuple[str, Linkage]:
        linkage = Linkage(self._helpers, self._kfuncs, self.library, self._upcalls)
        text = generate(
            proof, linkage, self._objects, metered=self._metered, notes=notes, hooks=hooks
        )
        return text, linkage
