"""The engine that runs nothing: for verdicts alone, also on what no other engine could run."""

from collections.abc import Sequence
from typing import NoReturn

from skep.engine.hooks import NO_HOOKS, Hooks
from skep.engine.interface import CodePart, CodePlace
from skep.engine.library import PlainLibrary
from skep.errors import NotSupported
from skep.verifier.interface import Proof


class ProvedEntry:
    """A program that was proved, and is not to be run."""

    address = 0
    parts: Sequence[CodePart] = ()

    def places(self) -> Sequence[CodePlace]:
        """Nothing: there is no machine code."""
        return ()

    def __call__(self, run: int, context: int, /) -> NoReturn:  # noqa: ARG002 - Entry
        """Refuse."""
        raise NotSupported("running a program", "the subsystem was made for verdicts only")

    def call_back(self, run: int, callback: int, arguments: tuple[int, int, int], /) -> NoReturn:
        """Refuse."""
        del callback, arguments
        self(run, 0)

    def hot(self, count: int) -> NoReturn:
        """Refuse."""
        self(0, count)

    def batch(self, run: int, batch: int, count: int, results: int, /) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        self(run, batch)


class ProofEngine:
    """Takes every proof and runs none."""

    name = "proof-only"

    def __init__(self) -> None:
        self.library = PlainLibrary()

    def compile(self, proof: Proof, hooks: Hooks = NO_HOOKS) -> ProvedEntry:
        """Return an entry that refuses to run."""
        del proof, hooks
        return ProvedEntry()
