"""What runs at a function of a program instead of it, or before and after it.

An engine compiles a program together with its hooks, so a program without any pays nothing. A
tracer's context is an array of words: the function's arguments, then its result; the word before
it is their number.

Source: Linux 6.18 kernel/bpf/trampoline.c, arch/x86/net/bpf_jit_comp.c.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol


class Reachable(Protocol):
    """A compiled program, as far as another one may call it."""

    address: int  # machine code: u64 f(u64 run, u64 r1 .. r5)


@dataclass(frozen=True, slots=True)
class Tracer:
    """A program that sees a function begin or end; *cookie* is what it was attached with."""

    entry: Reachable
    cookie: int = 0


@dataclass(frozen=True, slots=True)
class FunctionHooks:
    """The hooks of one function.

    Args:
        instead: the program that takes its place, if there is one.
        before, after: programs that run before and after it, in order.
        arguments: how many words tracers see before the result.
    """

    instead: Reachable | None = None
    before: tuple[Tracer, ...] = ()
    after: tuple[Tracer, ...] = ()
    arguments: int = 5


Hooks = Mapping[int, FunctionHooks]  # by the slot that the function begins at
NO_HOOKS: Final[Hooks] = MappingProxyType({})
REGISTERS: Final = 5
