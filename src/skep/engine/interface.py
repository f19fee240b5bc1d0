"""The Engine protocol: a proof goes in, an entry point comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from skep.base.native import NativeFunction
from skep.engine.hooks import NO_HOOKS, Hooks
from skep.engine.source import arity
from skep.maps.creation import ElementCalls, ElementCodes
from skep.verifier.interface import CallFact, Proof


class Upcall(Protocol):
    """A helper written in ordinary Python: ``(run, r1, …, r5) -> r0``, all unsigned 64-bit."""

    def __call__(self, run: int, r1: int, r2: int, r3: int, r4: int, r5: int, /) -> int:
        """Serve one call; *run* is the address of the run block."""
        ...


@dataclass(frozen=True, slots=True)
class HelperCode:
    """How a helper runs: exactly one of *native* and *upcall* is set.

    *native* is a function of the native subset that takes ``(run, r1, …)`` with as many registers
    as the helper has arguments. If there is *known*, an upcall has what that gives for a program in
    the place of r5; see ``KfuncCode``.
    """

    id: int
    native: NativeFunction | None = None
    upcall: Upcall | None = None
    known: Callable[[Proof], int] | None = None

    @property
    def label(self) -> str:
        """What it is called in symbols."""
        return str(self.id)


@dataclass(frozen=True, slots=True)
class KfuncCode:
    """How a kernel function runs: exactly one of *native* and *upcall* is set.

    *native* takes ``(run, r1, …)`` with as many registers as it needs, at most five. If there is
    *known*, one argument more follows them (an upcall has it in the place of r5): what it gives for
    a call, when its program is compiled.
    It stays true as long as the program lives, and is the same for whatever reaches the call.
    """

    name: str
    native: NativeFunction | None = None
    upcall: Upcall | None = None
    known: Callable[[Proof, CallFact], int] | None = None

    @property
    def registers(self) -> int:
        """How many of r1 to r5 it takes."""
        count = 5 if self.native is None else arity(self.native) - 1
        return count - (self.known is not None)

    @property
    def label(self) -> str:
        """What it is called in symbols."""
        return self.name


@dataclass(frozen=True, slots=True)
class CodePart:
    """Machine code of one function of a program: that of the subprogram at slot *start*."""

    start: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class CodePlace:
    """Where machine code of the instruction at slot *pc* begins."""

    pc: int
    address: int


class Entry(Protocol):
    """A compiled program."""

    address: int  # machine code: u64 f(u64 run, u64 r1 .. r5)

    @property
    def parts(self) -> Sequence[CodePart]:
        """Where its machine code lies; subprograms that became part of their callers have none."""
        ...

    def places(self) -> Sequence[CodePlace]:
        """Which instruction its machine code comes from, by address; empty if nobody knows."""
        ...

    def __call__(self, run: int, context: int, /) -> int:
        """Run once; returns r0, unsigned 64-bit."""
        ...

    def call_back(self, run: int, callback: int, arguments: tuple[int, int, int], /) -> int:
        """Run its function at the address *callback* on its own, with (map, key, value)."""
        ...

    def hot(self, count: int) -> int:
        """Where to call it from *count* times in a row; what runs often is compiled harder."""
        ...

    def batch(self, run: int, batch: int, count: int, results: int, /) -> None:
        """Run on *count* packets in a native loop; ``skep.engine.batch`` describes the arrays."""
        ...


class NativeLibrary(Protocol):
    """Native functions as Python callables: compiled, or just run where there is no compiler."""

    def bind(self, function: NativeFunction) -> Callable[..., int]:
        """The callable that runs *function*."""
        ...

    def address(self, function: NativeFunction) -> int:
        """Machine address of *function*; 0 where it is not compiled."""
        ...

    def element_calls(
        self, codes: ElementCodes, this: int, key_size: int, value_size: int
    ) -> ElementCalls:
        """See ``skep.maps.creation.NativeLibrary``."""
        ...


class Engine(Protocol):
    """Turns proofs into entry points."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def library(self) -> NativeLibrary:
        """Native functions, run the way this engine runs programs."""
        ...

    def compile(self, proof: Proof, hooks: Hooks = NO_HOOKS) -> Entry:
        """Make *proof* runnable; raises NotSupported by name for what it cannot run.

        *hooks*: what runs instead of its functions, or before and after them.
        """
        ...
