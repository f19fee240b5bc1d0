"""Kernel functions on arenas: allocate, free and reserve pages.

The work is done by the arena, whose descriptor says how to call it; pages are the matter of the
operating system, which native code cannot ask.

Source: Linux 6.18 kernel/bpf/arena.c.
"""

from typing import Final

from skep.base.native import call, load64, native
from skep.helpers.kfunc_binding import KfuncBinding
from skep.maps.answer import MINUS_EINVAL
from skep.maps.arena import ALLOC, FREE, RESERVE
from skep.maps.interface import TYPE

ARENA: Final = 33
_LOW: Final = 0xFFFF_FFFF


@native
def arena_alloc_pages(
    run: int,  # noqa: ARG001
    arena: int,
    address: int,
    count: int,
    node: int,
    flags: int,
) -> int:
    """Address of *count* new pages, for user space; 0 if there are none."""
    pages = count & _LOW
    if load64(arena + TYPE) != ARENA or flags != 0 or pages == 0:
        return 0
    return call(load64(arena + ALLOC), address, pages, node & _LOW)


@native
def arena_free_pages(run: int, arena: int, address: int, count: int) -> int:  # noqa: ARG001
    """Give pages back."""
    pages = count & _LOW
    if load64(arena + TYPE) != ARENA or pages == 0 or address == 0:
        return 0
    return call(load64(arena + FREE), address, pages, 0)


@native
def arena_reserve_pages(run: int, arena: int, address: int, count: int) -> int:  # noqa: ARG001
    """Keep pages from being allocated."""
    pages = count & _LOW
    if load64(arena + TYPE) != ARENA:
        return MINUS_EINVAL
    if pages == 0:
        return 0
    return call(load64(arena + RESERVE), address, pages, 0)


BINDINGS: Final = (
    KfuncBinding("bpf_arena_alloc_pages", native=arena_alloc_pages),
    KfuncBinding("bpf_arena_free_pages", native=arena_free_pages),
    KfuncBinding("bpf_arena_reserve_pages", native=arena_reserve_pages),
)
