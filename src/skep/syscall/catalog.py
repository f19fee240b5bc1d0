"""Where tables meet code: which helpers run, and how."""

from collections.abc import Iterator
from typing import Final

from skep.engine.interface import HelperCode
from skep.helpers import (
    cgroups,
    checksum,
    control,
    dynptr,
    elsewhere,
    maps,
    memory,
    network,
    output,
    reshape,
    routing,
    sockets,
    stacks,
    storage,
    syscalls,
    system,
    tunnel,
    typed_output,
    vlan,
)
from skep.helpers.binding import Binding
from skep.runtime.world import World

MODULES: Final = (
    maps, system, control, memory, dynptr, output, checksum, network, reshape, vlan, routing,
    sockets, tunnel, cgroups, storage, stacks, syscalls,
    typed_output, elsewhere,
)  # fmt: skip
BINDINGS: Final[tuple[Binding, ...]] = tuple(
    binding for module in MODULES for binding in module.BINDINGS
)
TAIL_CALL: Final = 12  # a jump, which the engines do themselves
IMPLEMENTED: Final = frozenset(binding.id for binding in BINDINGS) | {TAIL_CALL}


def helper_codes(world: World) -> Iterator[HelperCode]:
    """The code of every bound helper, for programs that run in *world*."""
    for binding in BINDINGS:
        yield HelperCode(binding.id, binding.native, binding.upcall_in(world))
